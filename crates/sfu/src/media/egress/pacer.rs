//! How much may leave towards a receiver now, so that no burst fills the queues of its line, and what waits for its turn.

use crate::media::packet::Outgoing;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Packets leave so many times faster than the line is estimated to carry, in eighths: bursts shall not add up, yet leave
/// soon. On a narrow line a key frame alone would fill the line's queue so.
const FASTER: u64 = 12;
const FASTER_NARROW: u64 = 9;
/// Up to here a line is narrow, bits per second.
const NARROW: u64 = 500_000;
/// Where so much is lost its queue may be full, and any pace beyond what the line carries would keep it so: each loss brings
/// repeats and key frames, which wait here in their turn.
const LOSSY: f32 = 0.04;
const FASTER_LOSSY: u64 = 8;
/// So much may leave at once, as time at that pace, nanoseconds.
const SLACK: u64 = 20_000_000;
/// What leaves regardless of the pace, audio above all, holds up the rest for no longer than this, nanoseconds: when the
/// line is known to carry more again, nothing is owed from before.
const DEBT: u64 = 200_000_000;
/// Video that has waited longer is of no use any more, microseconds; longer by what a large key frame takes at the pace,
/// bytes, since the next one would take as long.
const OLDEST: u64 = 500_000;
const KEY_FRAME: u64 = 16_000;
const OLDEST_EVER: u64 = 1_500_000;
/// Most packets that wait.
const MOST: usize = 2048;

/// See the module. Times are microseconds of the shard's clock.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    /// Nanoseconds that a byte takes; 0 for no limit.
    per_byte: u64,
    /// When all that left is through at the pace, nanoseconds.
    through_at: u64,
}

impl Pacer {
    /// The line carries so many bits per second, `None` for no limit, and loses this share of what is sent.
    pub(super) fn set_line(&mut self, line: Option<u64>, loss: f32) {
        let pace = line.map(|line| {
            let faster = match line > NARROW {
                _ if loss >= LOSSY => FASTER_LOSSY,
                true => FASTER,
                false => FASTER_NARROW,
            };
            (line.clamp(1, u64::MAX / FASTER) * faster / 8).max(1)
        });
        self.per_byte = pace.map_or(0, |pace| 8_000_000_000 / pace.min(8_000_000_000));
    }

    /// Bytes that may leave now; the last packet may go beyond.
    #[inline]
    pub(super) fn room(&self, now: u64) -> u64 {
        let time = (now * 1_000 + SLACK).saturating_sub(self.through_at);
        time.checked_div(self.per_byte).unwrap_or(u64::MAX)
    }

    /// So many bytes left.
    #[inline]
    pub(super) fn left(&mut self, now: u64, bytes: u64) {
        let now = now * 1_000;
        let through_at = self.through_at.max(now) + bytes * self.per_byte;
        self.through_at = through_at.min(now + DEBT);
    }

    /// Video that has waited longer is of no use any more.
    pub(super) fn patience(&self) -> u64 {
        (OLDEST + KEY_FRAME * self.per_byte / 1_000).min(OLDEST_EVER)
    }

    /// When a packet may leave again.
    pub(super) fn due(&self) -> u64 {
        (self.through_at + 1_400 * self.per_byte).saturating_sub(SLACK) / 1_000
    }
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    out: Outgoing,
    since: u64,
}

/// Video that waits for its turn, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    list: VecDeque<Waiting>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// How long its oldest packet has waited.
    pub(super) fn age(&self, now: u64) -> u64 {
        self.list.front().map_or(0, |w| now.saturating_sub(w.since))
    }

    /// Whether it is more than `patience`, and too long to be of use.
    pub(super) fn is_hopeless(&self, now: u64, patience: u64) -> bool {
        self.age(now) > patience || self.list.len() > MOST
    }

    pub(super) fn push(&mut self, now: u64, out: Outgoing) {
        self.list.push_back(Waiting { out, since: now });
    }

    pub(super) fn front(&self) -> Option<Outgoing> {
        self.list.front().map(|w| w.out)
    }

    pub(super) fn pop(&mut self) {
        self.list.pop_front();
    }

    /// Forgets everything; the streams it belonged to.
    pub(super) fn clear(&mut self) -> SmallVec<[u32; 4]> {
        let mut ssrcs: SmallVec<[u32; 4]> = SmallVec::new();
        for waiting in self.list.drain(..) {
            if !ssrcs.contains(&waiting.out.ssrc) {
                ssrcs.push(waiting.out.ssrc);
            }
        }
        ssrcs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_beyond_the_pace_is_not_owed_for_long() {
        let mut pacer = Pacer::default();
        pacer.set_line(Some(30_000), 0.0);
        let mut now = 0;
        while now < 30_000_000 {
            pacer.left(now, 300);
            now += 20_000;
        }
        assert_eq!(pacer.room(now), 0);
        pacer.set_line(Some(2_000_000), 0.0);
        assert!(pacer.room(now + 250_000) > 0);
    }

    #[test]
    fn where_much_is_lost_no_more_leaves_than_the_line_carries() {
        for (line, loss, expected) in [
            (800_000, 0.0, 150),
            (400_000, 0.0, 56),
            (800_000, 0.1, 100),
            (400_000, 0.1, 50),
        ] {
            let mut pacer = Pacer::default();
            pacer.set_line(Some(line), loss);
            let start = 3_600_000_000;
            let mut sent = 0;
            for ms in 0..1_000 {
                let now = start + ms * 1_000;
                while pacer.room(now) > 0 {
                    pacer.left(now, 100);
                    sent += 100;
                }
            }
            let a_millisecond = sent / 1_020;
            assert!(
                (expected - 1..=expected + 1).contains(&a_millisecond),
                "{line} {loss}: {a_millisecond}"
            );
        }
    }

    #[test]
    fn what_leaves_keeps_the_pace_but_for_the_slack() {
        let mut pacer = Pacer::default();
        let start = 3_600_000_000;
        assert_eq!(pacer.room(start), u64::MAX);
        pacer.set_line(Some(800_000), 0.0);
        // 150 bytes a millisecond.
        let mut sent = 0;
        for ms in 0..1_000 {
            let now = start + ms * 1_000;
            while pacer.room(now) > 0 {
                pacer.left(now, 1_000);
                sent += 1_000;
            }
            assert!(pacer.due() > now);
        }
        let expected = 150 * 1_020;
        assert!((expected..expected + 2_000).contains(&sent), "{sent}");
    }
}
