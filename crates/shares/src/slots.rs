//! Slots: a number of places, from which whoever has most gives one up when there is none left.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// One place that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot<K> {
    key: K,
    serial: u64,
}

/// A number of places. Whoever comes gets one: when all are taken, or when the newcomer's key has as many as one key may
/// have, the oldest place of the key that has most (of the newcomer's key) is taken away.
#[derive(Clone, Debug)]
pub struct Slots<K> {
    most: usize,
    of_one: usize,
    taken: usize,
    next: u64,
    holders: HashMap<K, BTreeSet<u64>>,
    /// The same keys by how much they have; among equals, whose oldest place is the oldest comes last.
    ranking: BTreeSet<(usize, Reverse<u64>, K)>,
}

impl<K: Copy + Eq + Ord + Hash> Slots<K> {
    /// `most` places in all (at least one), `of_one` at most for one key.
    #[must_use]
    pub fn new(most: usize, of_one: usize) -> Self {
        Self {
            most: most.max(1),
            of_one: of_one.max(1),
            taken: 0,
            next: 0,
            holders: HashMap::new(),
            ranking: BTreeSet::new(),
        }
    }

    /// Takes a place for `key`, and says whose place was taken away for it.
    pub fn enter(&mut self, key: K) -> (Slot<K>, Option<Slot<K>>) {
        let evicted = if self.of(key) >= self.of_one {
            self.oldest(key)
        } else if self.taken >= self.most {
            let heaviest = self.ranking.last().map(|(_, _, key)| *key);
            heaviest.and_then(|heaviest| self.oldest(heaviest))
        } else {
            None
        };
        if let Some(evicted) = evicted {
            self.leave(evicted);
        }
        self.next += 1;
        let serial = self.next;
        self.change(key, |places| places.insert(serial));
        (Slot { key, serial }, evicted)
    }

    /// Gives a place back; false when it was taken away before.
    pub fn leave(&mut self, slot: Slot<K>) -> bool {
        self.change(slot.key, |places| places.remove(&slot.serial))
    }

    /// Makes a place the newest; `None` when it was taken away before.
    pub fn renew(&mut self, slot: Slot<K>) -> Option<Slot<K>> {
        self.next += 1;
        let serial = self.next;
        self.change(slot.key, |places| {
            places.remove(&slot.serial) && places.insert(serial)
        })
        .then_some(Slot { serial, ..slot })
    }

    /// Places that `key` has.
    #[must_use]
    pub fn of(&self, key: K) -> usize {
        self.holders.get(&key).map_or(0, BTreeSet::len)
    }

    /// Places taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    fn oldest(&self, key: K) -> Option<Slot<K>> {
        let serial = *self.holders.get(&key)?.first()?;
        Some(Slot { key, serial })
    }

    /// Changes the places of a key and keeps the ranking right.
    fn change(&mut self, key: K, act: impl FnOnce(&mut BTreeSet<u64>) -> bool) -> bool {
        let places = self.holders.entry(key).or_default();
        let rank = |places: &BTreeSet<u64>| {
            let first = *places.first()?;
            Some((places.len(), Reverse(first), key))
        };
        let before = places.len();
        if let Some(old) = rank(places) {
            self.ranking.remove(&old);
        }
        let changed = act(places);
        self.taken = self.taken + places.len() - before;
        match rank(places) {
            Some(new) => {
                self.ranking.insert(new);
            }
            None => {
                self.holders.remove(&key);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_oldest_of_whoever_has_most_makes_room() {
        let mut slots = Slots::new(4, 4);
        let (lone, _) = slots.enter('b');
        let (first, none) = slots.enter('a');
        assert_eq!(none, None);
        slots.enter('a');
        slots.enter('a');
        let (_, evicted) = slots.enter('c');
        assert_eq!(evicted, Some(first));
        assert!(!slots.leave(first), "it is gone already");
        assert!(slots.leave(lone));
        assert_eq!(slots.enter('d').1, None);
    }

    #[test]
    fn whoever_is_renewed_is_the_newest() {
        let mut slots = Slots::new(2, 2);
        let (first, _) = slots.enter('a');
        let (second, _) = slots.enter('a');
        let first = slots.renew(first).unwrap();
        assert_eq!(slots.enter('b').1, Some(second));
        assert_eq!(slots.renew(second), None);
        assert!(slots.leave(first));
    }

    #[test]
    fn among_equals_the_oldest_goes() {
        let mut slots = Slots::new(3, 3);
        let (first, _) = slots.enter('z');
        slots.enter('a');
        slots.enter('m');
        assert_eq!(slots.enter('b').1, Some(first));
    }

    #[test]
    fn one_key_has_no_more_than_its_number() {
        let mut slots = Slots::new(100, 2);
        let (first, _) = slots.enter('a');
        slots.enter('a');
        assert_eq!(slots.enter('a').1, Some(first));
        assert_eq!((slots.of('a'), slots.taken()), (2, 2));
    }

    proptest! {
        /// Everybody gets in, there are never too many, and nobody who has less than an even part loses a place.
        #[test]
        fn whoever_has_little_is_left_alone(
            steps in prop::collection::vec((0u8..12, any::<bool>()), 1..400),
        ) {
            const MOST: usize = 24;
            let mut slots = Slots::new(MOST, MOST);
            let mut held: Vec<Slot<u8>> = Vec::new();
            for (key, enter) in steps {
                if enter {
                    let keys: std::collections::BTreeSet<u8> =
                        held.iter().map(|slot| slot.key).collect();
                    let even = MOST / keys.len().max(1);
                    let (slot, evicted) = slots.enter(key);
                    if let Some(evicted) = evicted {
                        let had = held.iter().filter(|slot| slot.key == evicted.key).count();
                        prop_assert!(had >= even, "{had} of {even}");
                        held.retain(|slot| *slot != evicted);
                    }
                    held.push(slot);
                } else if let Some(at) = held.iter().position(|slot| slot.key == key) {
                    prop_assert!(slots.leave(held.remove(at)));
                }
                prop_assert_eq!(slots.taken(), held.len());
                prop_assert!(held.len() <= MOST);
            }
        }
    }
}
