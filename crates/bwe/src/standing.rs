//! A queue that neither grows nor shrinks: no slope tells of it, but everything waits in it.
//!
//! Packets take at least as long as the fastest of the last seconds did without a queue. If for a while even the fastest
//! of every report takes much longer, a queue stands in the way, and less must be sent until it has drained. If sending less
//! does not help, the path itself has become longer.

/// A queue longer than this stands in the way, microseconds.
const QUEUE: i64 = 80_000;
/// If it does so for so long, microseconds.
const STANDS: u64 = 400_000;
/// The fastest packet of a path is forgotten after one to two times this, microseconds: clocks drift.
const MEMORY: u64 = 10_000_000;
/// Steps that do not help before the path counts as longer, and what counts as help: a queue of so many tenths.
const STEPS: u32 = 3;
const HELP: i64 = 8;

/// See the module. Times on two clocks: only their differences mean something.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// The fastest since `begun`, and of the time before.
    fastest: Option<i64>,
    before: Option<i64>,
    begun: u64,
    /// Since when a queue stands.
    since: Option<u64>,
    /// The queue at the last step, and steps that did not help.
    queue: i64,
    steps: u32,
}

impl Standing {
    /// The fastest packet of a report took `fastest`. Whether it is time to send less.
    pub(crate) fn is_in_the_way(&mut self, now: u64, fastest: i64) -> bool {
        if now.saturating_sub(self.begun) > MEMORY {
            self.before = self.fastest.take();
            self.begun = now;
        }
        let known = self.fastest.map_or(fastest, |known| known.min(fastest));
        self.fastest = Some(known);
        let base = self.before.map_or(known, |before| before.min(known));
        let queue = fastest.saturating_sub(base);
        if queue < QUEUE {
            self.since = None;
            self.steps = 0;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < STANDS {
            return false;
        }
        self.since = Some(now);
        let helped = self.steps == 0 || queue <= self.queue / 10 * HELP;
        self.steps = if helped { 1 } else { self.steps + 1 };
        self.queue = queue;
        if self.steps > STEPS {
            *self = Self {
                fastest: Some(fastest),
                begun: now,
                ..Self::default()
            };
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports every 100 ms for some seconds; how often less was to be sent.
    fn run(standing: &mut Standing, from: u64, seconds: u64, delay: impl Fn(u64) -> i64) -> usize {
        let reports = (0..seconds * 10).map(|n| (from * 10 + n) * 100_000);
        reports
            .filter(|now| standing.is_in_the_way(*now, delay(*now)))
            .count()
    }

    #[test]
    fn a_queue_that_stands_is_seen_and_one_that_passes_is_not() {
        let mut standing = Standing::default();
        assert_eq!(run(&mut standing, 0, 5, |_| -7_000), 0);
        let wave = |now: u64| {
            if now % 1_000_000 < 300_000 {
                150_000
            } else {
                0
            }
        };
        assert_eq!(run(&mut standing, 5, 5, wave), 0);
        assert_eq!(run(&mut standing, 10, 1, |_| 200_000), 2);
    }

    #[test]
    fn a_longer_path_is_no_queue_for_long() {
        let mut standing = Standing::default();
        run(&mut standing, 0, 5, |_| 0);
        assert_eq!(run(&mut standing, 5, 60, |_| 200_000), STEPS as usize);
    }

    #[test]
    fn clocks_may_drift() {
        let mut standing = Standing::default();
        // Two parts in a thousand.
        assert_eq!(run(&mut standing, 0, 300, |now| now as i64 / 500), 0);
    }
}
