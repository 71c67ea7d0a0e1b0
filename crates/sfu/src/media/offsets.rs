//! Renumbering a stream of which some numbers are left out, so that what remains has no gaps of our making.

use std::collections::VecDeque;

/// Ranges remembered; with every second frame left out at 30 fps this spans eight seconds of them.
const MAX_RANGES: usize = 128;

#[derive(Debug, Clone, Copy)]
struct Range {
    /// First input number of the range.
    start: u64,
    /// Subtracted from input numbers of the range.
    offset: u64,
}

/// Maps input numbers (unwrapped) to output numbers.
///
/// Numbers that were left out are closed up; numbers not seen yet keep their place, since they may still come. The
/// mapping of a number never changes once something after it was mapped.
#[derive(Debug, Clone)]
pub(crate) struct Offsets {
    /// The newest range, which nearly all numbers belong to.
    last: Range,
    /// The ranges before it, oldest first.
    older: VecDeque<Range>,
    /// Highest input number decided upon; 0 for none, since numbers in use are far above.
    highest: u64,
}

impl Offsets {
    /// A mapping in which `input`, which is not 0, becomes `output` and earlier numbers do not exist.
    ///
    /// Output numbers are kept by wrapping subtraction, so `output` may be greater than `input`.
    pub(crate) fn starting(input: u64, output: u64) -> Self {
        Self {
            last: Range {
                start: input,
                offset: input.wrapping_sub(output),
            },
            older: VecDeque::new(),
            highest: 0,
        }
    }

    /// The output number of an input number; `None` if it was left out or is older than the mapping.
    #[inline]
    pub(crate) fn map(&self, input: u64) -> Option<u64> {
        if input >= self.last.start {
            return Some(input.wrapping_sub(self.last.offset));
        }
        self.map_older(input)
    }

    #[cold]
    fn map_older(&self, input: u64) -> Option<u64> {
        let at = self.older.iter().rposition(|r| r.start <= input)?;
        let range = self.older.get(at)?;
        // The hole before the next range has as many numbers as its offset grew.
        let next = self.older.get(at + 1).unwrap_or(&self.last);
        let hole = next.offset.wrapping_sub(range.offset);
        (input < next.start.saturating_sub(hole)).then(|| input.wrapping_sub(range.offset))
    }

    /// Takes an input number that is passed on; its output number, as [`Self::map`].
    #[inline]
    pub(crate) fn accept(&mut self, input: u64) -> Option<u64> {
        let output = self.map(input)?;
        self.highest = self.highest.max(input);
        Some(output)
    }

    /// Leaves out an input number. If later numbers were mapped already, its place stays empty.
    pub(crate) fn leave_out(&mut self, input: u64) {
        if input <= self.highest || input < self.last.start {
            return;
        }
        self.highest = input;
        let offset = self.last.offset.wrapping_add(1);
        if input == self.last.start {
            // Right after another hole, or before anything passed.
            self.last = Range {
                start: input + 1,
                offset,
            };
            return;
        }
        if self.older.len() + 1 == MAX_RANGES {
            self.older.pop_front();
        }
        self.older.push_back(self.last);
        self.last = Range {
            start: input + 1,
            offset,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn left_out_numbers_are_closed_up_and_unseen_ones_keep_their_place() {
        let mut o = Offsets::starting(100, 10);
        assert_eq!(o.accept(100), Some(10));
        o.leave_out(101);
        o.leave_out(102);
        assert_eq!(o.accept(103), Some(11));
        assert_eq!(o.accept(105), Some(13));
        o.leave_out(106);
        assert_eq!(o.accept(107), Some(14));
        assert_eq!(o.map(101), None);
        assert_eq!(o.map(102), None);
        assert_eq!(o.map(106), None);
        assert_eq!(o.accept(104), Some(12));
        assert_eq!(o.map(99), None);
    }

    #[test]
    fn leaving_out_the_first_keeps_the_first_output() {
        let mut o = Offsets::starting(5, 1000);
        o.leave_out(5);
        o.leave_out(6);
        assert_eq!(o.accept(7), Some(1000));
    }

    proptest! {
        /// Reordered by a few places, no number is given twice, order is kept, and in-order streams have no gap.
        #[test]
        fn output_is_injective_and_monotonous(
            kept in proptest::collection::vec(any::<bool>(), 1..400),
            delays in proptest::collection::vec(0u64..4, 400),
        ) {
            let mut order: Vec<(u64, u64)> = (0..kept.len() as u64).map(|n| (n + delays[n as usize], n)).collect();
            order.sort_unstable();
            let mut o = Offsets::starting(1000, 7);
            let mut out: HashMap<u64, u64> = HashMap::new();
            for &(_, n) in &order {
                if kept[n as usize] {
                    if let Some(m) = o.accept(1000 + n) {
                        prop_assert!(out.insert(n, m).is_none());
                    }
                } else {
                    o.leave_out(1000 + n);
                }
            }
            let mut pairs: Vec<_> = out.into_iter().collect();
            pairs.sort_unstable();
            for w in pairs.windows(2) {
                prop_assert!(w[0].1 < w[1].1, "{:?}", w);
                prop_assert!(w[1].1 - w[0].1 <= w[1].0 - w[0].0);
            }
            if delays.iter().all(|d| *d == 0) {
                prop_assert!(pairs.windows(2).all(|w| w[1].1 == w[0].1 + 1));
            }
        }
    }
}
