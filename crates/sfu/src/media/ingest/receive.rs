//! One received RTP stream: duplicates, loss, reports, and what to ask for again.

use crate::media::stats::{DropReason, Loss};
use rtp::rtcp::{ReportBlock, compact_ntp};
use rtp::seq::Unwrapper;
use smallvec::SmallVec;

/// Numbers remembered to recognise duplicates, a power of two.
const WINDOW: u64 = 2048;
/// A gap greater than this is a jump, not loss (as in RFC 3550 appendix A.1, smaller since we must repair it).
const MAX_GAP: u64 = 200;
/// Most numbers missing at a time.
const MAX_MISSING: usize = 300;
const MAX_TRIES: u8 = 10;
/// A stream without a packet for this long is not being sent, microseconds.
pub(crate) const IDLE: u64 = 1_000_000;

#[derive(Debug, Clone, Copy)]
struct Missing {
    seq: u64,
    tries: u8,
    due: u64,
}

/// What the sender last said about the relation of its RTP clock to wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockPoint {
    pub(crate) ntp: u64,
    pub(crate) rtp: u32,
    pub(crate) arrival: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ReceiveStream {
    pub(crate) ssrc: u32,
    clock_rate: u32,
    repair: bool,
    numbers: Unwrapper,
    first: u64,
    seen: Box<[u64; (WINDOW / 64) as usize]>,
    /// Of those seen: what came as repair only.
    repaired: Box<[u64; (WINDOW / 64) as usize]>,
    /// Packets that came by themselves: what was repaired was lost.
    received: u64,
    reported_expected: u64,
    reported_received: u64,
    reported_highest: u64,
    /// Of what the reports since the last look spoke of.
    loss: Loss,
    transit: Option<i64>,
    jitter: u32,
    missing: Vec<Missing>,
    /// Latest sender report.
    pub(crate) clock: Option<ClockPoint>,
    /// Arrival of the latest packet.
    pub(crate) last_arrival: u64,
    bytes_this_window: u64,
    window_start: u64,
    /// Bits per second over the last full second.
    pub(crate) bitrate: u64,
}

impl ReceiveStream {
    /// `repair`: ask for what is missing.
    pub(crate) fn new(ssrc: u32, clock_rate: u32, repair: bool) -> Self {
        Self {
            ssrc,
            clock_rate,
            repair,
            numbers: Unwrapper::default(),
            first: 0,
            seen: Box::new([0; (WINDOW / 64) as usize]),
            repaired: Box::new([0; (WINDOW / 64) as usize]),
            received: 0,
            reported_expected: 0,
            reported_received: 0,
            reported_highest: 0,
            loss: Loss::default(),
            transit: None,
            jitter: 0,
            missing: Vec::new(),
            clock: None,
            last_arrival: 0,
            bytes_this_window: 0,
            window_start: 0,
            bitrate: 0,
        }
    }

    /// Takes a packet; its unwrapped sequence number. `retransmitted`: it came as RTX, so says nothing of jitter, and was
    /// lost on the way.
    pub(crate) fn receive(
        &mut self,
        now: u64,
        seq: u16,
        timestamp: u32,
        len: usize,
        retransmitted: bool,
    ) -> Result<u64, DropReason> {
        let highest = self.numbers.highest();
        let number = self.numbers.peek(seq);
        match highest {
            None => self.first = number,
            Some(h) if number + WINDOW <= h => return Err(DropReason::TooOld),
            Some(h) if number <= h => {
                if self.is_seen(number) {
                    self.came_late(number, retransmitted);
                    return Err(DropReason::Duplicate);
                }
                self.missing.retain(|m| m.seq != number);
            }
            Some(h) => self.advance(now, h, number),
        }
        self.numbers.unwrap(seq);
        self.mark(number);
        match retransmitted {
            true => self.mark_repaired(number),
            false => self.received += 1,
        }
        self.last_arrival = now;
        self.count(now, len);
        if !retransmitted {
            self.track_jitter(now, timestamp);
        }
        Ok(number)
    }

    /// A packet was had from the redundancy of a later one. Whether it was missing.
    pub(crate) fn restore(&mut self, number: u64) -> bool {
        let missing = |highest| number < highest && number + WINDOW > highest;
        if !self.numbers.highest().is_some_and(missing) || self.is_seen(number) {
            return false;
        }
        self.mark(number);
        self.mark_repaired(number);
        true
    }

    /// A packet came that was there already: if it was repaired, it had not been lost but was late.
    fn came_late(&mut self, number: u64, retransmitted: bool) {
        let (word, bit) = Self::word(number);
        if let Some(w) = self.repaired.get_mut(word).filter(|w| **w & bit != 0)
            && !retransmitted
        {
            *w &= !bit;
            self.received += 1;
        }
    }

    fn mark_repaired(&mut self, number: u64) {
        let (word, bit) = Self::word(number);
        if let Some(w) = self.repaired.get_mut(word) {
            *w |= bit;
        }
    }

    /// Numbers between the highest and `number` were not received (yet).
    fn advance(&mut self, now: u64, highest: u64, number: u64) {
        let gap = number - highest - 1;
        for n in highest + 1..number.min(highest + 1 + WINDOW) {
            self.unmark(n);
        }
        if gap > MAX_GAP {
            self.missing.clear();
        } else if self.repair {
            let room = MAX_MISSING.saturating_sub(self.missing.len());
            let lost = (highest + 1..number).take(room);
            self.missing.extend(lost.map(|seq| Missing {
                seq,
                tries: 0,
                due: now,
            }));
        }
    }

    fn word(number: u64) -> (usize, u64) {
        (((number % WINDOW) / 64) as usize, 1 << (number % 64))
    }

    fn is_seen(&self, number: u64) -> bool {
        let (word, bit) = Self::word(number);
        number < self.first || self.seen.get(word).is_some_and(|w| w & bit != 0)
    }

    fn mark(&mut self, number: u64) {
        let (word, bit) = Self::word(number);
        if let Some(w) = self.seen.get_mut(word) {
            *w |= bit;
        }
    }

    fn unmark(&mut self, number: u64) {
        let (word, bit) = Self::word(number);
        for bits in [&mut self.seen, &mut self.repaired] {
            if let Some(w) = bits.get_mut(word) {
                *w &= !bit;
            }
        }
    }

    fn count(&mut self, now: u64, len: usize) {
        if now.saturating_sub(self.window_start) >= 1_000_000 {
            let span = now - self.window_start;
            self.bitrate = if span < 3_000_000 {
                self.bytes_this_window * 8_000_000 / span.max(1)
            } else {
                0
            };
            self.bytes_this_window = 0;
            self.window_start = now;
        }
        self.bytes_this_window += len as u64;
    }

    /// RFC 3550 appendix A.8.
    fn track_jitter(&mut self, now: u64, timestamp: u32) {
        let arrival = (u128::from(now) * u128::from(self.clock_rate) / 1_000_000) as u32;
        let transit = i64::from(arrival.wrapping_sub(timestamp));
        if let Some(last) = self.transit {
            let d = i64::from((transit as u32).wrapping_sub(last as u32) as i32)
                .unsigned_abs()
                .min(u64::from(u32::MAX));
            let jitter = i64::from(self.jitter);
            self.jitter =
                (jitter + (d as i64 - ((jitter + 8) >> 4))).clamp(0, i64::from(u32::MAX)) as u32;
        }
        self.transit = Some(transit);
    }

    /// Whether packets came within the last second.
    pub(crate) fn is_active(&self, now: u64) -> bool {
        self.numbers.highest().is_some() && now.saturating_sub(self.last_arrival) < IDLE
    }

    /// Sequence numbers to ask for now, ascending; each counts as asked for.
    pub(crate) fn nacks(&mut self, now: u64, retry: u64) -> SmallVec<[u16; 16]> {
        let mut out = SmallVec::new();
        let oldest = self.numbers.highest().unwrap_or(0).saturating_sub(1000);
        self.missing
            .retain(|m| m.tries < MAX_TRIES && m.seq >= oldest);
        for m in &mut self.missing {
            if m.due <= now {
                m.tries += 1;
                m.due = now + retry;
                out.push(m.seq as u16);
            }
        }
        out
    }

    /// Whether [`Self::nacks`] may have something to say.
    pub(crate) fn has_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// What was lost by the reports since the last call.
    pub(crate) fn take_loss(&mut self) -> Loss {
        std::mem::take(&mut self.loss)
    }

    /// The report block for the next receiver report; `None` if nothing came since the last one.
    pub(crate) fn report(&mut self, now: u64) -> Option<ReportBlock> {
        let highest = self.numbers.highest()?;
        if highest == self.reported_highest && self.received == self.reported_received {
            return None;
        }
        let expected = highest - self.first + 1;
        let lost = expected as i64 - self.received as i64;
        let expected_now = expected.saturating_sub(self.reported_expected);
        let lost_now = expected_now.saturating_sub(self.received - self.reported_received);
        self.reported_expected = expected;
        self.reported_received = self.received;
        self.reported_highest = highest;
        self.loss += Loss {
            lost: lost_now,
            of: expected_now,
        };
        let (last_sr, delay) = match self.clock {
            Some(c) => (
                compact_ntp(c.ntp),
                ((now.saturating_sub(c.arrival)) << 16) / 1_000_000,
            ),
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc: self.ssrc.into(),
            fraction_lost: (lost_now * 256)
                .checked_div(expected_now)
                .unwrap_or(0)
                .min(255) as u8,
            cumulative_lost: lost.clamp(-0x7F_FFFF, 0x7F_FFFF) as i32,
            highest_seq: (highest - (1 << 16)) as u32,
            jitter: self.jitter,
            last_sr,
            delay_since_last_sr: u32::try_from(delay).unwrap_or(u32::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;

    fn take(s: &mut ReceiveStream, now: u64, seq: u16) -> Result<u64, DropReason> {
        s.receive(now, seq, 0, 100, false)
    }

    #[test]
    fn gaps_are_asked_for_until_they_are_filled() {
        let mut s = ReceiveStream::new(1, 90_000, true);
        take(&mut s, 0, 65_534).unwrap();
        take(&mut s, 0, 2).unwrap();
        assert_eq!(s.nacks(0, 50 * MS).as_slice(), [65_535, 0, 1]);
        assert!(s.nacks(49 * MS, 50 * MS).is_empty());
        let a = s.receive(50 * MS, 0, 0, 100, true).unwrap();
        let b = take(&mut s, 50 * MS, 3).unwrap();
        assert_eq!(b - a, 3);
        assert_eq!(s.nacks(50 * MS, 50 * MS).as_slice(), [65_535, 1]);
        assert_eq!(take(&mut s, 51 * MS, 0), Err(DropReason::Duplicate));
        for n in 2..20 {
            s.nacks(n * 50 * MS, 50 * MS);
        }
        assert!(!s.has_missing());
    }

    #[test]
    fn a_jump_is_no_loss() {
        let mut s = ReceiveStream::new(1, 90_000, true);
        take(&mut s, 0, 1).unwrap();
        take(&mut s, 0, 5000).unwrap();
        assert!(s.nacks(0, MS).is_empty());
        assert_eq!(take(&mut s, 0, 2), Err(DropReason::TooOld));
    }

    #[test]
    fn reports_count_loss() {
        let mut s = ReceiveStream::new(7, 90_000, false);
        for n in (0..100u16).filter(|n| n % 4 != 3) {
            take(&mut s, u64::from(n) * MS, n).unwrap();
        }
        // What is repaired was lost; what was only late was not.
        for n in [3, 7, 11] {
            s.receive(150 * MS, n, 0, 100, true).unwrap();
        }
        assert!(s.restore((1 << 16) + 15) && !s.restore((1 << 16) + 15));
        assert_eq!(take(&mut s, 160 * MS, 15), Err(DropReason::Duplicate));
        assert_eq!(take(&mut s, 160 * MS, 15), Err(DropReason::Duplicate));
        let block = s.report(200 * MS).unwrap();
        assert_eq!((block.cumulative_lost, block.highest_seq), (23, 98));
        assert_eq!(block.fraction_lost, (23 * 256 / 99) as u8);
        assert!(s.report(300 * MS).is_none());
        let loss = s.take_loss();
        assert_eq!((loss.lost, loss.of), (23, 99));
        assert_eq!(s.take_loss().of, 0, "taken once");
    }
}
