//! What was sent under transport-wide sequence numbers, and what the receiver says of it.
//!
//! Feedback ends here as a list of (send time, arrival, size), which is what a bandwidth estimator takes.

use rtp::rtcp::Twcc;
use rtp::seq::diff;

/// Packets remembered, a power of two: two seconds of 4 Mbit/s.
const REMEMBERED: usize = 2048;
/// Loss is averaged over this many acknowledged packets or so.
const LOSS_WINDOW: f64 = 200.0;

#[derive(Debug, Clone, Copy)]
struct Sent {
    seq: u16,
    size: u16,
    open: bool,
    at: u64,
}

/// What feedback says of one packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feedback {
    /// When it was sent, microseconds of our clock.
    pub(crate) sent: u64,
    /// When it arrived, microseconds of the receiver's clock; `None` if it was lost.
    pub(crate) arrived: Option<i64>,
    /// Bytes on the wire without UDP and IP headers.
    pub(crate) size: u16,
}

/// Ring of sent packets.
#[derive(Debug, Default)]
pub(crate) struct SentPackets {
    ring: Vec<Sent>,
    /// Smoothed fraction of packets lost, 0 to 1.
    pub(crate) loss: f64,
    /// Feedback messages received.
    pub(crate) feedbacks: u64,
    /// Latest acknowledged number.
    pub(crate) acknowledged: Option<u16>,
}

impl SentPackets {
    /// A packet left.
    pub(crate) fn sent(&mut self, seq: u16, at: u64, size: usize) {
        if self.ring.is_empty() {
            self.ring.resize(
                REMEMBERED,
                Sent {
                    seq: 0,
                    size: 0,
                    open: false,
                    at: 0,
                },
            );
        }
        if let Some(slot) = self.ring.get_mut(usize::from(seq) % REMEMBERED) {
            *slot = Sent {
                seq,
                size: u16::try_from(size).unwrap_or(u16::MAX),
                open: true,
                at,
            };
        }
    }

    /// Feedback arrived; each packet it decides about, once.
    pub(crate) fn feedback(&mut self, feedback: &Twcc<'_>, mut each: impl FnMut(Feedback)) {
        self.feedbacks += 1;
        for (seq, arrived) in feedback.arrivals() {
            let Some(slot) = self.ring.get_mut(usize::from(seq) % REMEMBERED) else {
                return;
            };
            if slot.seq != seq || !slot.open {
                continue;
            }
            // What is reported lost may still be reported as arrived by the next message.
            slot.open = arrived.is_none();
            if arrived.is_some() && self.acknowledged.is_none_or(|a| diff(seq, a) > 0) {
                self.acknowledged = Some(seq);
            }
            let lost = if arrived.is_none() { 1.0 } else { 0.0 };
            self.loss += (lost - self.loss) / LOSS_WINDOW;
            each(Feedback {
                sent: slot.at,
                arrived,
                size: slot.size,
            });
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
            sent.sent(seq, 1_000_000 + u64::from(n) * 1000, 500);
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
        sent.feedback(&twcc, |f| seen.push(f));
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
        sent.feedback(&twcc, |f| again += usize::from(f.arrived.is_some()));
        assert_eq!(again, 0);
    }
}
