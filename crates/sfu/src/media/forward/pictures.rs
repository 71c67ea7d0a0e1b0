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

fn size(bits: u32) -> u64 {
    1 << bits
}

impl Pictures {
    /// A numbering in which `first` (an id, and how many bits it has) becomes `output`.
    pub(crate) fn starting(first: (u16, u32), output: u64) -> Self {
        let (id, bits) = first;
        // In the second cycle, so that what comes before it has a number too.
        let number = size(bits) + u64::from(id);
        Self {
            highest: number,
            newest: number,
            offsets: Offsets::starting(number, output),
        }
    }

    /// The number of an id that never wraps: the nearest one to the highest so far.
    #[inline]
    pub(crate) fn unwrap(&mut self, (id, bits): (u16, u32)) -> u64 {
        let size = size(bits);
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
    pub(crate) fn is_near(&self, (id, bits): (u16, u32)) -> bool {
        let size = size(bits);
        let ahead = u64::from(id).wrapping_sub(self.highest) & (size - 1);
        ahead <= MAX_AHEAD || size - ahead <= MAX_BEHIND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_wrap_and_jumps_are_seen() {
        for bits in [16, 15, 7] {
            let top = ((1u32 << bits) - 1) as u16;
            let mut p = Pictures::starting((top - 1, bits), 5);
            let first = p.highest;
            assert_eq!(p.unwrap((0, bits)), first + 2);
            assert_eq!(p.unwrap((top, bits)), first + 1);
            assert_eq!(p.offsets.map(first + 2), Some(7));
            assert!(p.is_near((1, bits)) && p.is_near((top, bits)));
        }
        let p = Pictures::starting((20_000, 15), 0);
        for (id, near) in [
            (20_500, true),
            (20_501, false),
            (19_936, true),
            (19_935, false),
            (3, false),
        ] {
            assert_eq!(p.is_near((id, 15)), near, "{id}");
        }
    }
}
