//! Which packets leave together: datagrams of equal size towards one address, the last of which may be shorter.

use rtc::srtp::MAX_OVERHEAD;

/// Most segments of one GSO send, and most bytes (below 2^16 with headers).
const MAX_SEGMENTS: usize = 60;
const MAX_RUN: usize = 60_000;
/// Padding that may even out sizes.
const MAX_PADDING: usize = 2;

/// The next packets that leave as one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Size of the segments in plaintext.
    pub(super) segment: usize,
    /// Number of packets.
    pub(super) count: usize,
    /// The last one is shorter than the rest, and stays so.
    pub(super) short_end: bool,
}

impl Plan {
    /// Plans the run that begins with the first of `sizes`. `pad`: sizes may be evened out.
    #[inline]
    pub(super) fn new(sizes: impl Iterator<Item = usize>, pad: bool) -> Self {
        let slack = if pad { MAX_PADDING } else { 0 };
        let (mut min, mut max, mut count) = (usize::MAX, 0, 0);
        for size in sizes {
            let (low, high) = (min.min(size), max.max(size));
            let full = count >= MAX_SEGMENTS || (count + 1) * (high + MAX_OVERHEAD) > MAX_RUN;
            if count > 0 && full {
                break;
            }
            if count == 0 || high - low <= slack {
                (min, max, count) = (low, high, count + 1);
            } else {
                // The last segment of a GSO send may be shorter.
                let short_end = size < min;
                return Self {
                    segment: max,
                    count: count + usize::from(short_end),
                    short_end,
                };
            }
        }
        Self {
            segment: max,
            count,
            short_end: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sizes_leave_together_and_a_shorter_one_ends_a_run() {
        let plan = |sizes: &[usize], pad| {
            let plan = Plan::new(sizes.iter().copied(), pad);
            (plan.segment, plan.count, plan.short_end)
        };
        assert_eq!(plan(&[1000, 1000, 1000], false), (1000, 3, false));
        assert_eq!(plan(&[1000, 1001, 999], true), (1001, 3, false));
        assert_eq!(plan(&[1000, 1001, 999], false), (1000, 1, false));
        assert_eq!(plan(&[1000, 1000, 200, 1000], true), (1000, 3, true));
        assert_eq!(plan(&[200, 1000], true), (200, 1, false));
        assert_eq!(plan(&[1500; 100], false).1, MAX_RUN / (1500 + MAX_OVERHEAD));
        assert_eq!(plan(&[100; 100], false).1, MAX_SEGMENTS);
    }
}
