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

/// See the module. The number of a value that was removed is given to the next one.
#[derive(Debug)]
pub(crate) struct Table<K, T> {
    places: Vec<Option<T>>,
    len: usize,
    key: PhantomData<fn(K)>,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            len: 0,
            key: PhantomData,
        }
    }
}

impl<K: Key, T> Table<K, T> {
    /// The number that the next value gets.
    pub(crate) fn next_key(&self) -> K {
        let free = match self.len == self.places.len() {
            true => None,
            false => self.places.iter().position(Option::is_none),
        };
        K::of(free.unwrap_or(self.places.len()))
    }

    /// Puts a value at a number, in place of what is there.
    pub(crate) fn set(&mut self, key: K, value: T) {
        let index = key.index();
        if index >= self.places.len() {
            self.places.resize_with(index + 1, || None);
        }
        if let Some(place) = self.places.get_mut(index) {
            self.len += usize::from(place.replace(value).is_none());
        }
    }

    /// Puts a value at the first free number.
    pub(crate) fn insert(&mut self, value: T) -> K {
        let key = self.next_key();
        self.set(key, value);
        key
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let removed = self.places.get_mut(key.index())?.take();
        self.len -= usize::from(removed.is_some());
        while self.places.last().is_some_and(Option::is_none) {
            self.places.pop();
        }
        removed
    }

    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        self.places.get(key.index())?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.places.get_mut(key.index())?.as_mut()
    }

    /// Has a value fetched into the cache, without what it points at.
    #[inline]
    pub(crate) fn fetch(&self, key: K) {
        if let Some(place) = self.places.get(key.index()) {
            ahead::fetch(place);
        }
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All numbers in use are below this one.
    #[cfg(test)]
    fn end(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(i, place)| Some((K::of(i), place.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(i, place)| Some((K::of(i), place.as_mut()?)))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.iter().map(|(key, _)| key)
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
        assert_eq!((table.len(), table.end()), (2, 3));
        assert_eq!(table.insert("d"), keys[1]);
        assert_eq!(table.values().copied().collect::<Vec<_>>(), ["a", "d", "c"]);
        table.remove(keys[2]);
        table.remove(keys[1]);
        assert_eq!((table.len(), table.end()), (1, 1));
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
