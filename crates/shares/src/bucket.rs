//! Rates: buckets of tokens that come back with time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A sustained rate and what may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time in which one token comes back.
    pub every: Duration,
    /// Tokens of a full bucket.
    pub burst: u32,
}

impl Rate {
    fn span(&self) -> Duration {
        self.every * self.burst.max(1)
    }
}

/// One bucket. It does not know its rate, which is given with each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// When there will be a token; `None` when there is one now.
    #[must_use]
    pub fn ready_at(&self, now: Instant, rate: &Rate) -> Option<Instant> {
        // There is a token while the debt leaves room for one more.
        let ready = (self.full_at + rate.every).checked_sub(rate.span())?;
        (ready > now).then_some(ready)
    }

    /// Takes a token.
    ///
    /// # Errors
    /// When there is none: the time at which there will be one.
    pub fn take(&mut self, now: Instant, rate: &Rate) -> Result<(), Instant> {
        match self.ready_at(now, rate) {
            Some(ready) => Err(ready),
            None => {
                self.full_at = self.full_at.max(now) + rate.every;
                Ok(())
            }
        }
    }

    /// Gives tokens back, up to a full bucket.
    pub fn give(&mut self, now: Instant, rate: &Rate, tokens: u32) {
        let earlier = self.full_at.checked_sub(rate.every * tokens);
        self.full_at = earlier.map_or(now, |earlier| earlier.max(now));
    }

    /// Empties the bucket: the next token comes after one interval.
    pub fn empty(&mut self, now: Instant, rate: &Rate) {
        self.full_at = now + rate.span();
    }
}

/// A bucket for each key, for a bounded number of keys: full ones need not be remembered, and when there are too many
/// others, the fuller half is forgotten.
#[derive(Clone, Debug)]
pub struct Buckets<K> {
    rate: Rate,
    most: usize,
    all: HashMap<K, Bucket>,
}

impl<K: Eq + Hash + Copy> Buckets<K> {
    /// Buckets of `rate`, of which `most` are remembered.
    #[must_use]
    pub fn new(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            most: most.max(2),
            all: HashMap::new(),
        }
    }

    /// Takes a token of `key`.
    ///
    /// # Errors
    /// When there is none: the time at which there will be one.
    pub fn take(&mut self, now: Instant, key: K) -> Result<(), Instant> {
        let rate = self.rate;
        self.bucket(now, key).take(now, &rate)
    }

    /// When `key` will have a token; `None` when it has one now.
    #[must_use]
    pub fn ready_at(&self, now: Instant, key: K) -> Option<Instant> {
        self.all.get(&key)?.ready_at(now, &self.rate)
    }

    /// Gives tokens back to `key`.
    pub fn give(&mut self, now: Instant, key: K, tokens: u32) {
        if let Some(bucket) = self.all.get_mut(&key) {
            bucket.give(now, &self.rate, tokens);
        }
    }

    /// Empties the bucket of `key`.
    pub fn empty(&mut self, now: Instant, key: K) {
        let rate = self.rate;
        self.bucket(now, key).empty(now, &rate);
    }

    /// Keys remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn bucket(&mut self, now: Instant, key: K) -> &mut Bucket {
        if self.all.len() >= self.most && !self.all.contains_key(&key) {
            self.forget(now);
        }
        self.all.entry(key).or_insert_with(|| Bucket::new(now))
    }

    fn forget(&mut self, now: Instant) {
        self.all.retain(|_, bucket| bucket.full_at > now);
        if self.all.len() < self.most {
            return;
        }
        let mut times: Vec<Instant> = self.all.values().map(|bucket| bucket.full_at).collect();
        let middle = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(middle);
        // Many may owe exactly as much: of those, any will do.
        let emptier = self.all.values().filter(|b| b.full_at > median).count();
        let mut equals = (self.most / 2).saturating_sub(emptier);
        self.all.retain(|_, bucket| {
            let equal = bucket.full_at == median && equals > 0;
            equals -= usize::from(equal);
            equal || bucket.full_at > median
        });
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "any instant will do as the origin"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate {
        every: Duration::from_secs(10),
        burst: 3,
    };

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        for _ in 0..3 {
            assert_eq!(bucket.take(start, &RATE), Ok(()));
        }
        let later = start + RATE.every;
        assert_eq!(bucket.take(start, &RATE), Err(later));
        assert_eq!(bucket.take(later, &RATE), Ok(()));
        assert_eq!(bucket.take(later, &RATE), Err(later + RATE.every));
        bucket.give(later, &RATE, 1);
        assert_eq!(bucket.take(later, &RATE), Ok(()));
        bucket.give(later, &RATE, 100);
        for _ in 0..3 {
            assert_eq!(bucket.take(later, &RATE), Ok(()), "full, not fuller");
        }
        assert!(bucket.take(later, &RATE).is_err());
        bucket.give(later, &RATE, 100);
        bucket.empty(later, &RATE);
        assert_eq!(bucket.ready_at(later, &RATE), Some(later + RATE.every));
    }

    #[test]
    fn many_keys_do_not_grow_the_table_and_the_emptiest_are_remembered() {
        let now = Instant::now();
        let mut buckets = Buckets::new(RATE, 100);
        for _ in 0..4 {
            let _ = buckets.take(now, 0);
        }
        for key in 1..10_000 {
            assert_eq!(buckets.take(now, key), Ok(()));
            assert!(buckets.len() <= 100);
        }
        assert!(buckets.take(now, 0).is_err(), "the heaviest is remembered");
    }

    proptest! {
        #[test]
        fn no_more_than_rate_and_burst(steps in prop::collection::vec(0u64..30, 1..200)) {
            let start = Instant::now();
            let (mut now, mut bucket, mut taken) = (start, Bucket::new(start), 0u64);
            for step in steps {
                now += Duration::from_secs(step);
                taken += u64::from(bucket.take(now, &RATE).is_ok());
                let most = u64::from(RATE.burst) + (now - start).as_secs() / RATE.every.as_secs();
                prop_assert!(taken <= most);
            }
        }
    }
}
