//! What was sent under transport-wide sequence numbers, and what the receiver says of it: what a bandwidth estimator
//! takes.

use bwe::{Acked, ProbeId};
use rtc::ahead;
use rtp::rtcp::Twcc;

/// Packets remembered at first, and at most; powers of two.
const FIRST: usize = 64;
const MOST: usize = 4096;
/// The ring grows before it forgets a packet younger than this that nothing was heard of, microseconds.
const KEPT: u32 = 1_000_000;
/// Places fetched ahead of a burst.
const FETCHED: usize = 8;
/// Loss is averaged over this many acknowledged packets or so.
const LOSS_WINDOW: f64 = 200.0;

#[derive(Debug, Clone, Copy)]
struct Sent {
    seq: u16,
    size: u16,
    /// The low 32 bits of microseconds; 0 for what is decided.
    at: u32,
    probe: Option<ProbeId>,
}

/// Ring of sent packets, which grows with their rate.
#[derive(Debug, Default)]
pub(super) struct SentPackets {
    ring: Vec<Sent>,
    loss: f64,
    unmatched: u64,
}

impl SentPackets {
    /// Smoothed fraction of packets lost, 0 to 1.
    pub(super) fn loss(&self) -> f64 {
        self.loss
    }

    /// Reports about packets that were not sent, or were forgotten.
    pub(super) fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// A packet left.
    #[inline]
    pub(super) fn sent(&mut self, seq: u16, now: u64, size: usize, probe: Option<ProbeId>) {
        let at = (now as u32).max(1);
        let sent = Sent {
            seq,
            size: size as u16,
            at,
            probe,
        };
        let mask = self.ring.len().wrapping_sub(1);
        match self.ring.get_mut(usize::from(seq) & mask) {
            Some(old) if old.at == 0 || at.wrapping_sub(old.at) >= KEPT || mask + 1 >= MOST => {
                *old = sent;
            }
            _ => self.grow(sent),
        }
    }

    /// Has the places of this packet and of those after it fetched.
    #[inline]
    pub(super) fn fetch(&self, seq: u16) {
        ahead::fetch_ring(&self.ring, seq, FETCHED);
    }

    #[cold]
    fn grow(&mut self, sent: Sent) {
        let len = (self.ring.len() * 2).clamp(FIRST, MOST);
        let nothing = Sent {
            seq: 0,
            size: 0,
            at: 0,
            probe: None,
        };
        let old = std::mem::replace(&mut self.ring, vec![nothing; len]);
        for entry in old.into_iter().filter(|e| e.at != 0).chain([sent]) {
            if let Some(place) = self.ring.get_mut(usize::from(entry.seq) & (len - 1)) {
                *place = entry;
            }
        }
    }

    /// Feedback arrived; each packet it decides about, once.
    pub(super) fn feedback(&mut self, now: u64, feedback: &Twcc<'_>, mut each: impl FnMut(Acked)) {
        let mask = self.ring.len().wrapping_sub(1);
        for (seq, arrived) in feedback.arrivals() {
            let Some(sent) = self.ring.get_mut(usize::from(seq) & mask) else {
                return;
            };
            if sent.seq != seq {
                self.unmatched += 1;
                continue;
            }
            if sent.at == 0 {
                continue;
            }
            each(Acked {
                sent: now.saturating_sub(u64::from((now as u32).wrapping_sub(sent.at))),
                arrived,
                size: sent.size,
                probe: sent.probe,
            });
            // What is reported lost may still be reported as arrived by the next message.
            if arrived.is_some() {
                sent.at = 0;
            }
            let lost = if arrived.is_none() { 1.0 } else { 0.0 };
            self.loss += (lost - self.loss) / LOSS_WINDOW;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtp::rtcp::twcc::Recorder;
    use rtp::rtcp::{Rtcp, packets};

    #[test]
    fn feedback_finds_what_was_sent() {
        let mut sent = SentPackets::default();
        let mut recorder = Recorder::new();
        for n in 0..20u16 {
            let seq = 65_530u16.wrapping_add(n);
            sent.sent(seq, 1_000_000 + u64::from(n) * 1000, 500, None);
            if n % 5 != 4 {
                recorder.record(seq, 9_000_000 + u64::from(n) * 1000);
            }
        }
        let mut buf = [0; 1200];
        let len = recorder.write(1.into(), 2.into(), &mut buf).unwrap();
        let Some(Ok(Rtcp::Twcc(twcc))) = packets(&buf[..len]).next() else {
            panic!("no feedback")
        };
        let mut seen = Vec::new();
        sent.feedback(1_100_000, &twcc, |f| seen.push(f));
        assert_eq!(seen.iter().filter(|f| f.arrived.is_none()).count(), 3);
        let delays: Vec<_> = seen
            .iter()
            .filter_map(|f| f.arrived.map(|a| a - f.sent as i64))
            .collect();
        assert!(
            delays.windows(2).all(|w| (w[0] - w[1]).abs() <= 500),
            "{delays:?}"
        );
        let mut again = 0;
        sent.feedback(1_100_000, &twcc, |f| {
            again += usize::from(f.arrived.is_some())
        });
        assert_eq!((again, sent.unmatched()), (0, 0));
        // Nothing of that number was sent.
        let mut recorder = Recorder::new();
        recorder.record(200, 9_500_000);
        let len = recorder.write(1.into(), 2.into(), &mut buf).unwrap();
        let Some(Ok(Rtcp::Twcc(twcc))) = packets(&buf[..len]).next() else {
            panic!("no feedback")
        };
        sent.feedback(1_200_000, &twcc, |_| again += 1);
        assert_eq!((again, sent.unmatched()), (0, 1));
    }
}
