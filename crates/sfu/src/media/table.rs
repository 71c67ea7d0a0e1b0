//! Values under small numbers that are used again: what an endpoint or a feed is called on the packet path.

use rtc::ahead;
use std::fmt;
use std::marker::PhantomData;

/// A number of a [`Table`].
pub(crate) trait Key: Copy + Eq + fmt::Debug {
    /// The key of a place.
    fn of(index: usize) -> Self;
    /// The place.
    fn index(self) -> usize;
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name(u32);

        impl Key for $name {
            fn of(index: usize) -> Self {
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }

            fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

key! {
    /// An endpoint of a conference.
    PeerId
}
key! {
    /// A published source of a conference.
    FeedId
}

/// Places of a chunk: a small meeting needs one, and what one more of a crowd needs is made quickly.
const CHUNK: usize = 4;

/// See the module. The number of a value that was removed is given to the next one. Values lie in chunks, which stay where
/// they are: one more of a thousand moves none of them.
#[derive(Debug)]
pub(crate) struct Table<K, T> {
    chunks: Vec<Box<[Option<T>]>>,
    taken: KeySet,
    len: usize,
    key: PhantomData<fn(K)>,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            taken: KeySet::default(),
            len: 0,
            key: PhantomData,
        }
    }
}

impl<K: Key, T> Table<K, T> {
    /// The number that the next value gets.
    pub(crate) fn next_key(&self) -> K {
        K::of(self.taken.first_gap())
    }

    /// Puts a value at a number, in place of what is there.
    pub(crate) fn set(&mut self, key: K, value: T) {
        let (chunk, at) = (key.index() / CHUNK, key.index() % CHUNK);
        while self.chunks.len() <= chunk {
            self.chunks.push((0..CHUNK).map(|_| None).collect());
        }
        if let Some(place) = self.chunks.get_mut(chunk).and_then(|c| c.get_mut(at)) {
            self.len += usize::from(place.replace(value).is_none());
            self.taken.insert(key);
        }
    }

    /// Puts a value at the first free number.
    pub(crate) fn insert(&mut self, value: T) -> K {
        let key = self.next_key();
        self.set(key, value);
        key
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let removed = self.place_mut(key)?.take()?;
        self.len -= 1;
        self.taken.remove(key);
        // One chunk stays in store.
        let end = self.taken.last().map_or(0, |last| last / CHUNK + 1);
        self.chunks.truncate(end + 1);
        Some(removed)
    }

    #[inline]
    fn place(&self, key: K) -> Option<&Option<T>> {
        let (chunk, at) = (key.index() / CHUNK, key.index() % CHUNK);
        self.chunks.get(chunk)?.get(at)
    }

    #[inline]
    fn place_mut(&mut self, key: K) -> Option<&mut Option<T>> {
        let (chunk, at) = (key.index() / CHUNK, key.index() % CHUNK);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        self.place(key)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.place_mut(key)?.as_mut()
    }

    /// Has a value fetched into the cache, without what it points at.
    #[inline]
    pub(crate) fn fetch(&self, key: K) {
        if let Some(place) = self.place(key) {
            ahead::fetch(place);
        }
    }

    /// The least number in use that is not below this place.
    pub(crate) fn next(&self, from: usize) -> Option<K> {
        self.taken.next(from)
    }

    /// The place behind a number.
    pub(crate) fn after(&self, key: K) -> usize {
        key.index() + 1
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.keys().filter_map(|key| Some((key, self.get(key)?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        let places = self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut());
        let places = places.enumerate();
        places.filter_map(|(i, place)| Some((K::of(i), place.as_mut()?)))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let key = self.next(from)?;
            from = self.after(key);
            Some(key)
        })
    }
}

/// A set of numbers.
#[derive(Debug, Default, Clone)]
pub(crate) struct KeySet {
    words: Vec<u64>,
}

impl KeySet {
    pub(crate) fn clear(&mut self) {
        self.words.clear();
    }

    pub(crate) fn insert(&mut self, key: impl Key) {
        let index = key.index();
        if index / 64 >= self.words.len() {
            self.words.resize(index / 64 + 1, 0);
        }
        if let Some(word) = self.words.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    fn remove(&mut self, key: impl Key) {
        let index = key.index();
        if let Some(word) = self.words.get_mut(index / 64) {
            *word &= !(1 << (index % 64));
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    /// The least number that is no member.
    fn first_gap(&self) -> usize {
        let full = self.words.iter().take_while(|word| **word == u64::MAX);
        let word = full.count();
        let rest = self.words.get(word).copied().unwrap_or(0);
        word * 64 + rest.trailing_ones() as usize
    }

    /// The greatest member, of a set whose last word is not empty.
    fn last(&self) -> Option<usize> {
        let (last, before) = self.words.split_last()?;
        Some(before.len() * 64 + last.checked_ilog2()? as usize)
    }

    /// The least member that is not below `from`.
    pub(crate) fn next<K: Key>(&self, from: usize) -> Option<K> {
        let mut word = from / 64;
        let mut bits = self.words.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.words.get(word)?;
        }
        Some(K::of(word * 64 + bits.trailing_zeros() as usize))
    }
}

/// One way through a set in order, which knows who comes next.
#[derive(Debug)]
pub(crate) struct Walk<K, const AHEAD: usize> {
    coming: [Option<K>; AHEAD],
    from: usize,
}

impl<K: Key, const AHEAD: usize> Walk<K, AHEAD> {
    /// Begins at the least member that is not below `from`.
    pub(crate) fn new(set: &KeySet, from: usize) -> Self {
        let mut walk = Self {
            coming: [None; AHEAD],
            from,
        };
        for _ in 0..AHEAD {
            walk.step(set);
        }
        walk
    }

    /// Goes on; the member that is left.
    #[inline]
    pub(crate) fn step(&mut self, set: &KeySet) -> Option<K> {
        let found = set.next::<K>(self.from);
        self.from = found.map_or(usize::MAX, |key| key.index() + 1);
        let left = self.coming.first().copied().flatten();
        self.coming.rotate_left(1);
        if let Some(last) = self.coming.last_mut() {
            *last = found;
        }
        left
    }

    /// Who is left after so many further steps.
    #[inline]
    pub(crate) fn coming(&self, steps: usize) -> Option<K> {
        self.coming.get(steps).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again() {
        let mut table: Table<PeerId, &str> = Table::default();
        let keys: Vec<_> = ["a", "b", "c"].map(|v| table.insert(v)).to_vec();
        assert_eq!(table.remove(keys[1]), Some("b"));
        assert_eq!(table.remove(keys[1]), None);
        assert_eq!(table.len(), 2);
        assert_eq!(table.insert("d"), keys[1]);
        assert_eq!(table.values().copied().collect::<Vec<_>>(), ["a", "d", "c"]);
        table.remove(keys[2]);
        table.remove(keys[1]);
        assert_eq!((table.len(), table.next_key()), (1, keys[1]));
    }

    #[test]
    fn a_crowd_that_has_gone_leaves_two_chunks() {
        let mut table: Table<PeerId, usize> = Table::default();
        let keys: Vec<_> = (0..500).map(|n| table.insert(n)).collect();
        let found: Vec<_> = table.iter_mut().map(|(key, n)| (key, *n)).collect();
        assert_eq!(found, keys.iter().copied().zip(0..).collect::<Vec<_>>());
        let whole = table.chunks.len();
        for key in &keys[3..] {
            table.remove(*key);
        }
        assert!(whole > 15 && table.chunks.len() == 2);
        assert_eq!(table.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn sets_are_walked_in_order() {
        let mut set = KeySet::default();
        for n in [3usize, 64, 200, 64] {
            set.insert(PeerId::of(n));
        }
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(key) = set.next::<PeerId>(from) {
            found.push(key.index());
            from = key.index() + 1;
        }
        assert_eq!(found, [3, 64, 200]);
        let mut walk = Walk::<PeerId, 2>::new(&set, 4);
        assert_eq!(
            [0, 1, 2].map(|n| walk.coming(n)),
            [Some(PeerId(64)), Some(PeerId(200)), None]
        );
        assert_eq!(
            [(); 3].map(|()| walk.step(&set)),
            [Some(PeerId(64)), Some(PeerId(200)), None]
        );
    }
}
