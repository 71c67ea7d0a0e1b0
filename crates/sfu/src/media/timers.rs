//! When something is due: one heap of deadlines for a whole shard. What has nothing to do has no entry.

use super::table::PeerId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Deadlines of endpoints are rounded up to this, microseconds, so that those of many fall together.
const GRAIN: u64 = 5_000;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// An endpoint of the conference at an index.
    Peer(usize, PeerId),
    /// The conference at an index.
    Conference(usize),
    /// Everything that is looked at from time to time.
    Sweep,
}

/// When one thing is due next, as far as the heap knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scheduled(u64);

impl Default for Scheduled {
    fn default() -> Self {
        Self(u64::MAX)
    }
}

/// See the module. Times are microseconds of the shard's clock.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Due)>>,
}

impl Timers {
    /// Something is due at `at`, or before if it was scheduled so.
    pub(crate) fn schedule(&mut self, at: u64, due: Due, scheduled: &mut Scheduled) {
        let at = at.next_multiple_of(GRAIN);
        if at < scheduled.0 {
            scheduled.0 = at;
            self.heap.push(Reverse((at, due)));
        }
    }

    /// What is due now, with the time it was scheduled for. An entry that [`Scheduled::take`] does not know was followed
    /// by an earlier one.
    pub(crate) fn pop(&mut self, now: u64) -> Option<(u64, Due)> {
        let Reverse((at, due)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((at, due))
    }

    /// When the next entry is due.
    pub(crate) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

impl Scheduled {
    /// Whether this is what an entry for `at` was made for; if so, nothing is scheduled any more.
    pub(crate) fn take(&mut self, at: u64) -> bool {
        let known = self.0 == at;
        if known {
            self.0 = u64::MAX;
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_time_counts() {
        let (mut timers, mut scheduled) = (Timers::default(), Scheduled::default());
        for at in [50_000, 20_001, 30_000] {
            timers.schedule(at, Due::Sweep, &mut scheduled);
        }
        assert_eq!(timers.pop(24_999), None);
        let (at, due) = timers.pop(25_000).unwrap();
        assert_eq!((at, due), (25_000, Due::Sweep));
        assert!(scheduled.take(at));
        timers.schedule(90_000, Due::Sweep, &mut scheduled);
        let (at, _) = timers.pop(60_000).unwrap();
        assert!(!scheduled.take(at), "what it was before");
        assert_eq!(timers.next(), Some(90_000));
    }
}
