//! Budgets: an amount in all, of which each holder may have a part.

use std::collections::HashMap;
use std::hash::Hash;

/// What a holder may have, as a part of what is left free beside it.
const PART: usize = 8;

/// An amount shared by many.
///
/// A holder may have no more than an eighth of what is then left free: the less there is, the less it may have, and for
/// whoever has nothing yet there is something left (dynamic thresholds, Choudhury and Hahne 1998).
#[derive(Clone, Debug)]
pub struct Budget<K> {
    most: usize,
    of_one: usize,
    taken: usize,
    holders: HashMap<K, usize>,
}

impl<K: Eq + Hash + Copy> Budget<K> {
    /// `most` in all, `of_one` at most for one holder.
    #[must_use]
    pub fn new(most: usize, of_one: usize) -> Self {
        Self {
            most,
            of_one,
            taken: 0,
            holders: HashMap::new(),
        }
    }

    /// Whether `key` may have `amount` more.
    #[must_use]
    pub fn fits(&self, key: K, amount: usize) -> bool {
        let own = self.of(key).saturating_add(amount);
        let free = self.most.saturating_sub(self.taken.saturating_add(amount));
        own <= self.of_one && own.saturating_mul(PART) <= free
    }

    /// Counts `amount` for `key`, whether it fits or not.
    pub fn add(&mut self, key: K, amount: usize) {
        if amount > 0 {
            self.taken = self.taken.saturating_add(amount);
            let own = self.holders.entry(key).or_default();
            *own = own.saturating_add(amount);
        }
    }

    /// Counts `amount` for `key` if it fits; tells whether it did.
    pub fn take(&mut self, key: K, amount: usize) -> bool {
        let fits = self.fits(key, amount);
        if fits {
            self.add(key, amount);
        }
        fits
    }

    /// `key` gives `amount` back.
    pub fn give(&mut self, key: K, amount: usize) {
        let Some(own) = self.holders.get_mut(&key) else {
            return;
        };
        let given = amount.min(*own);
        *own -= given;
        self.taken -= given.min(self.taken);
        if *own == 0 {
            self.holders.remove(&key);
        }
    }

    /// What `key` has.
    #[must_use]
    pub fn of(&self, key: K) -> usize {
        self.holders.get(&key).copied().unwrap_or(0)
    }

    /// What all have.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_given_back_is_free_again() {
        let mut budget = Budget::new(90, 90);
        assert!(budget.take('a', 10));
        assert!(!budget.take('a', 1), "the rest is for others");
        assert!(budget.take('b', 8));
        budget.give('a', 10);
        budget.give('a', 10);
        assert_eq!((budget.taken(), budget.of('a')), (8, 0));
        assert!(!Budget::new(100, 10).take('a', 11));
    }

    proptest! {
        /// Whatever twenty greedy holders do, one that has nothing gets something.
        #[test]
        fn a_newcomer_finds_room(
            takes in prop::collection::vec((0u8..20, 1usize..500, any::<bool>()), 0..500),
        ) {
            const MOST: usize = 10_000;
            let mut budget = Budget::new(MOST, MOST);
            let mut model: HashMap<u8, usize> = HashMap::new();
            for (key, amount, take) in takes {
                if take {
                    if budget.take(key, amount) {
                        *model.entry(key).or_default() += amount;
                    }
                } else {
                    budget.give(key, amount);
                    let own = model.entry(key).or_default();
                    *own = own.saturating_sub(amount);
                }
                prop_assert_eq!(budget.taken(), model.values().sum::<usize>());
                prop_assert!(budget.taken() <= MOST);
                // Each of the 20 leaves at least 8/9 of what was free before: 948 in the end, of which a ninth is 105.
                prop_assert!(budget.fits(255, 100), "{}", budget.taken());
            }
        }
    }
}
