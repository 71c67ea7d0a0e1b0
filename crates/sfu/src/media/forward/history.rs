//! What was sent on a video stream lately, for retransmission: a ring that grows with the rate of the stream.

use crate::media::packet::{Outgoing, PacketId};
use rtc::ahead;

/// Packets remembered at first, and at most; powers of two.
const FIRST: usize = 32;
const MOST: usize = 2048;
/// The ring grows before it forgets a packet younger than this, microseconds.
const KEPT: u32 = 1_200_000;
/// How often a packet is sent again.
const MAX_RESENDS: u8 = 3;
/// Oldest packet that is sent again, microseconds since it was first sent: so many round trips and a second, at most.
const MAX_RESEND_AGE: u64 = 3_000_000;
const RESEND_AGE: u64 = 1_200_000;
const RESEND_TRIPS: u64 = 4;
/// Places fetched ahead of a burst.
const FETCHED: usize = 8;
/// Resends of a place that holds nothing.
const EMPTY: u8 = u8::MAX;

/// Times are the low 32 bits of microseconds: 71 minutes.
#[derive(Debug, Clone, Copy)]
struct Sent {
    id: PacketId,
    timestamp: u32,
    first: u32,
    last: u32,
    seq: u16,
    picture_id: u16,
    tl0: u8,
    ends: bool,
    templates: u8,
    active: u32,
    resends: u8,
}

impl Sent {
    fn outgoing(&self) -> Outgoing {
        Outgoing {
            id: self.id,
            ssrc: 0,
            seq: self.seq,
            timestamp: self.timestamp,
            picture_id: self.picture_id,
            tl0: self.tl0,
            video: true,
            osn: None,
            redundancy: 0,
            ends: self.ends,
            templates: self.templates,
            active: self.active,
        }
    }
}

/// Why a packet is not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was not sent, or is forgotten.
    Unknown,
    /// It was sent a moment ago: the request may have crossed it.
    Crossed,
    /// It was sent again often enough, or is too old to be of use.
    Spent,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    ring: Vec<Sent>,
}

impl History {
    /// A packet leaves.
    #[inline]
    pub(super) fn remember(&mut self, out: &Outgoing, now: u64) {
        let sent = Sent {
            id: out.id,
            timestamp: out.timestamp,
            first: now as u32,
            last: now as u32,
            seq: out.seq,
            picture_id: out.picture_id,
            tl0: out.tl0,
            ends: out.ends,
            templates: out.templates,
            active: out.active,
            resends: 0,
        };
        let mask = self.ring.len().wrapping_sub(1);
        match self.ring.get_mut(usize::from(out.seq) & mask) {
            Some(old)
                if old.resends == EMPTY
                    || (now as u32).wrapping_sub(old.first) >= KEPT
                    || mask >= MOST - 1 =>
            {
                *old = sent;
            }
            _ => self.grow(sent, now as u32),
        }
    }

    /// Has the places of this packet and of those after it fetched.
    #[inline]
    pub(super) fn fetch(&self, seq: u16) {
        ahead::fetch_ring(&self.ring, seq, FETCHED);
    }

    #[cold]
    fn grow(&mut self, sent: Sent, now: u32) {
        let empty = Sent {
            resends: EMPTY,
            ..sent
        };
        let len = (self.ring.len() * 2).clamp(FIRST, MOST);
        let old = std::mem::replace(&mut self.ring, vec![empty; len]);
        for entry in old.into_iter().chain([sent]) {
            let place = self.ring.get_mut(usize::from(entry.seq) & (len - 1));
            let older = |p: &Sent| now.wrapping_sub(p.first) > now.wrapping_sub(entry.first);
            if let Some(place) =
                place.filter(|p| p.resends == EMPTY || older(p) || p.seq == entry.seq)
                && entry.resends != EMPTY
            {
                *place = entry;
            }
        }
    }

    fn find(&mut self, seq: u16) -> Option<&mut Sent> {
        let mask = self.ring.len().wrapping_sub(1);
        let sent = self.ring.get_mut(usize::from(seq) & mask)?;
        (sent.seq == seq && sent.resends != EMPTY).then_some(sent)
    }

    /// A packet that the receiver misses, unless it was sent less than `quiet` microseconds ago (about a round trip) or is
    /// too old; as it left, but for the SSRC.
    pub(super) fn missed(&mut self, now: u64, seq: u16, quiet: u64) -> Result<Outgoing, Refusal> {
        let sent = self.find(seq).ok_or(Refusal::Unknown)?;
        let now = now as u32;
        let oldest = (RESEND_AGE + RESEND_TRIPS * quiet).min(MAX_RESEND_AGE);
        if sent.resends >= MAX_RESENDS || u64::from(now.wrapping_sub(sent.first)) > oldest {
            return Err(Refusal::Spent);
        }
        if u64::from(now.wrapping_sub(sent.last)) < quiet {
            return Err(Refusal::Crossed);
        }
        Ok(sent.outgoing())
    }

    /// A packet that was sent less than a second ago, as it left, but for the SSRC.
    pub(super) fn recent(&mut self, now: u64, seq: u16) -> Option<Outgoing> {
        let sent = self.find(seq)?;
        ((now as u32).wrapping_sub(sent.first) < KEPT).then(|| sent.outgoing())
    }

    /// It was sent again.
    pub(super) fn resent(&mut self, now: u64, seq: u16) {
        if let Some(sent) = self.find(seq) {
            sent.last = now as u32;
            sent.resends += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(seq: u16) -> Outgoing {
        Outgoing {
            id: PacketId::for_test(seq.into()),
            ssrc: 1,
            seq,
            timestamp: 0,
            picture_id: 0,
            tl0: 0,
            video: true,
            osn: None,
            redundancy: 0,
            ends: false,
            templates: 0,
            active: 0,
        }
    }

    #[test]
    fn a_second_is_remembered_at_every_rate() {
        for rate in [10u64, 170, 1000] {
            let mut history = History::default();
            let mut now = 5_000_000;
            for n in 0..20_000u64 {
                now += 1_000_000 / rate;
                history.remember(&out(n as u16), now);
            }
            for back in 0..rate {
                let seq = (19_999 - back) as u16;
                let found = history.missed(now + 50_000, seq, 10_000);
                assert_eq!(found.map(|f| f.seq), Ok(seq), "{back} of {rate}");
            }
            assert!(
                history.ring.len() <= (4 * rate as usize).max(FIRST),
                "{rate}"
            );
        }
    }

    #[test]
    fn beyond_its_largest_size_the_oldest_make_room_in_place() {
        let mut history = History::default();
        let mut places = Vec::new();
        for n in 0..3 * MOST as u64 {
            history.remember(&out(n as u16), 5_000_000 + n);
            places.push(history.ring.as_ptr());
        }
        assert_eq!(history.ring.len(), MOST);
        assert!(places[MOST..].iter().all(|place| *place == places[MOST]));
        assert!(history.missed(6_000_000, 3 * MOST as u16 - 1, 0).is_ok());
        assert_eq!(
            history.missed(6_000_000, MOST as u16, 0),
            Err(Refusal::Unknown)
        );
    }

    #[test]
    fn each_packet_thrice_and_not_at_once() {
        let mut history = History::default();
        assert_eq!(history.missed(0, 7, 0), Err(Refusal::Unknown));
        history.remember(&out(7), 1_000);
        assert_eq!(history.missed(2_000, 7, 5_000), Err(Refusal::Crossed));
        for n in 1..=3 {
            assert!(history.missed(n * 10_000, 7, 5_000).is_ok());
            history.resent(n * 10_000, 7);
        }
        assert_eq!(history.missed(90_000, 7, 5_000), Err(Refusal::Spent));
        history.remember(&out(8), 1_000);
        assert_eq!(history.missed(3_100_000, 8, 5_000), Err(Refusal::Spent));
    }
}
