//! Per-source state: packet index (rollover) and the window of indices that were used.

use crate::ahead;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// Words of the window.
const WORDS: usize = 16;
/// Indices that the window remembers.
pub(super) const WINDOW: u64 = 64 * WORDS as u64;

/// Which of the last [`WINDOW`] indices were used (RFC 3711 §3.3.2).
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// Highest index used; `None` before the first.
    highest: Option<u64>,
    /// Bit `index % WINDOW`.
    used: [u64; WORDS],
    /// When the window was last advanced or marked, in packets of the whole context.
    pub(super) tick: u64,
}

impl Window {
    /// The index nearest to the highest one used (RFC 3711 §3.3.1); `None` where it would be negative.
    pub(super) fn index_of(&self, seq: u16) -> Option<u64> {
        match self.highest {
            None => Some(u64::from(seq)),
            Some(h) => h.checked_add_signed(i64::from(seq.wrapping_sub(h as u16) as i16)),
        }
    }

    /// Whether the index may be used: not too old and not used.
    pub(super) fn is_free(&self, index: u64) -> bool {
        match self.highest {
            Some(h) if index <= h => h - index < WINDOW && !self.bit(index),
            _ => true,
        }
    }

    /// Marks the index used. It must be free.
    pub(super) fn mark(&mut self, index: u64) {
        match self.highest {
            Some(h) if index <= h => {}
            Some(h) if index - h < WINDOW => {
                // Forget what the window leaves behind.
                for skipped in h + 1..index {
                    self.used[slot(skipped)] &= !(1 << (skipped % 64));
                }
                self.highest = Some(index);
            }
            _ => {
                self.used = [0; WORDS];
                self.highest = Some(index);
            }
        }
        self.used[slot(index)] |= 1 << (index % 64);
    }

    fn bit(&self, index: u64) -> bool {
        self.used[slot(index)] >> (index % 64) & 1 != 0
    }
}

fn slot(index: u64) -> usize {
    (index / 64) as usize % WORDS
}

/// Windows by SSRC. The one that was used last is found without looking it up: packets come in bursts.
#[derive(Debug)]
pub(super) struct Streams {
    list: Vec<(u32, Window)>,
    places: HashMap<u32, u32, SecretHash>,
    last: usize,
    tick: u64,
}

impl Streams {
    /// `secret` keeps a peer from choosing SSRCs that collide.
    pub(super) fn new(secret: u64) -> Self {
        Self {
            list: Vec::new(),
            places: HashMap::with_hasher(SecretHash(secret | 1)),
            last: 0,
            tick: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Has the window fetched that was used last.
    pub(super) fn fetch(&self) {
        if let Some(last) = self.list.get(self.last) {
            ahead::fetch(last);
        }
    }

    #[inline]
    fn place(&self, ssrc: u32) -> Option<usize> {
        match self.list.get(self.last) {
            Some((known, _)) if *known == ssrc => Some(self.last),
            _ => self.places.get(&ssrc).map(|place| *place as usize),
        }
    }

    pub(super) fn get(&self, ssrc: u32) -> Option<&Window> {
        let (_, window) = self.list.get(self.place(ssrc)?)?;
        Some(window)
    }

    /// The window of a source, made if needed and if there are fewer than `most`.
    #[inline]
    pub(super) fn entry(&mut self, ssrc: u32, most: usize) -> Option<&mut Window> {
        self.tick += 1;
        let place = match self.place(ssrc) {
            Some(place) => place,
            None if self.list.len() < most => {
                let place = self.list.len();
                self.list.push((ssrc, Window::default()));
                self.places.insert(ssrc, place as u32);
                place
            }
            None => return None,
        };
        self.last = place;
        let (_, window) = self.list.get_mut(place)?;
        window.tick = self.tick;
        Some(window)
    }

    /// Forgets the source that was not used for the longest time.
    pub(super) fn evict_oldest(&mut self) {
        let oldest = self.list.iter().enumerate();
        let Some((place, ssrc)) = oldest
            .min_by_key(|(_, (_, window))| window.tick)
            .map(|(place, (ssrc, _))| (place, *ssrc))
        else {
            return;
        };
        self.places.remove(&ssrc);
        self.list.swap_remove(place);
        if let Some((moved, _)) = self.list.get(place) {
            self.places.insert(*moved, place as u32);
        }
    }
}

#[derive(Clone, Debug)]
struct SecretHash(u64);

impl BuildHasher for SecretHash {
    type Hasher = MultiplyHasher;

    fn build_hasher(&self) -> MultiplyHasher {
        MultiplyHasher {
            secret: self.0,
            value: 0,
        }
    }
}

/// One multiplication by a secret odd number; enough for keys of 32 bits.
struct MultiplyHasher {
    secret: u64,
    value: u64,
}

impl Hasher for MultiplyHasher {
    fn finish(&self) -> u64 {
        self.value
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, key: u32) {
        let product =
            u128::from(self.value ^ u64::from(key) ^ self.secret) * u128::from(self.secret);
        self.value = product as u64 ^ (product >> 64) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_once() {
        let mut w = Window::default();
        for index in [5u64, 3, 6, 4, 2000, 1999, 977] {
            assert!(w.is_free(index), "{index}");
            w.mark(index);
            assert!(!w.is_free(index), "{index}");
        }
        assert!(!w.is_free(976), "older than the window");
        assert!(!w.is_free(3));
        assert!(w.is_free(1500));
        w.mark(2000 + WINDOW - 1);
        assert!(!w.is_free(2000), "still in the window");
        assert!(w.is_free(2001));
    }

    #[test]
    fn agrees_with_a_set() {
        let mut w = Window::default();
        let mut seen = std::collections::BTreeSet::new();
        let mut x = 12345u64;
        let mut highest = 0u64;
        for _ in 0..20_000 {
            x = x
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let index = (highest + 40).saturating_sub((x >> 33) % 1200);
            let free = !seen.contains(&index) && index + WINDOW > highest;
            assert_eq!(w.is_free(index), free, "{index} of {highest}");
            if free {
                w.mark(index);
                seen.insert(index);
                highest = highest.max(index);
            }
        }
    }

    #[test]
    fn rollover() {
        let mut w = Window::default();
        assert_eq!(w.index_of(65_530), Some(65_530));
        w.mark(65_530);
        assert_eq!(w.index_of(2), Some(65_538));
        w.mark(65_538);
        assert_eq!(w.index_of(65_535), Some(65_535));
        let mut early = Window::default();
        early.mark(3);
        assert_eq!(early.index_of(65_535), None);
    }
}
