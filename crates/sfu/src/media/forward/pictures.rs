//! Picture ids of one encoding towards one receiver: unwrapped, and renumbered without gaps.

use crate::media::offsets::Offsets;

/// A key frame whose id is ahead or behind by more begins a new numbering.
const MAX_AHEAD: u64 = 500;
const MAX_BEHIND: u64 = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Pictures {
    highest: u64,
    /// Newest picture looked at for a change of layers.
    pub(crate) newest: u64,
    pub(crate) offsets: Offsets,
}

fn size(long: bool) -> u64 {
    if long { 1 << 15 } else { 1 << 7 }
}

impl Pictures {
    /// A numbering in which `first` (an id, and whether it has 15 bits, else 7) becomes `output`.
    pub(crate) fn starting(first: (u16, bool), output: u64) -> Self {
        let (id, long) = first;
        // In the second cycle, so that what comes before it has a number too.
        let number = size(long) + u64::from(id);
        Self {
            highest: number,
            newest: number,
            offsets: Offsets::starting(number, output),
        }
    }

    /// The number of an id that never wraps: the nearest one to the highest so far.
    #[inline]
    pub(crate) fn unwrap(&mut self, (id, long): (u16, bool)) -> u64 {
        let size = size(long);
        // Sizes are powers of two.
        let delta = u64::from(id).wrapping_sub(self.highest) & (size - 1);
        let number = if delta < size / 2 {
            self.highest + delta
        } else {
            (self.highest + delta).saturating_sub(size)
        };
        self.highest = self.highest.max(number);
        number
    }

    /// Whether an id may belong to this numbering.
    #[inline]
    pub(crate) fn is_near(&self, (id, long): (u16, bool)) -> bool {
        let size = size(long);
        let ahead = u64::from(id).wrapping_sub(self.highest) & (size - 1);
        ahead <= MAX_AHEAD || size - ahead <= MAX_BEHIND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_wrap_and_jumps_are_seen() {
        for long in [true, false] {
            let top = if long { 0x7FFF } else { 0x7F };
            let mut p = Pictures::starting((top - 1, long), 5);
            let first = p.highest;
            assert_eq!(p.unwrap((0, long)), first + 2);
            assert_eq!(p.unwrap((top, long)), first + 1);
            assert_eq!(p.offsets.map(first + 2), Some(7));
            assert!(p.is_near((1, long)) && p.is_near((top, long)));
        }
        let p = Pictures::starting((20_000, true), 0);
        for (id, near) in [
            (20_500, true),
            (20_501, false),
            (19_936, true),
            (19_935, false),
            (3, false),
        ] {
            assert_eq!(p.is_near((id, true)), near, "{id}");
        }
    }
}
