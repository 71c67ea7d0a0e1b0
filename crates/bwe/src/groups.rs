//! Groups of packets that were sent together, and how far apart two of them were sent and arrived.

/// Packets sent within this time are one group, microseconds.
const LENGTH: u64 = 5_000;
/// Packets that arrive so close together, although sent apart, are one burst, microseconds.
const BURST_GAP: i64 = 5_000;
/// A burst is no longer than this, microseconds.
const BURST: i64 = 100_000;
/// The peer's clock has jumped if arrivals are this much further apart than their reports, microseconds.
const JUMP: i64 = 3_000_000;
/// Groups that may arrive before those sent earlier until all is forgotten.
const REORDERED: u8 = 3;

/// From one group to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delta {
    /// Between their last packets, as sent, microseconds.
    pub(crate) sent: i64,
    /// Between their last packets, as arrived, microseconds.
    pub(crate) arrived: i64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: u64,
    last_sent: u64,
    first_arrived: i64,
    last_arrived: i64,
    /// When it was reported.
    reported: u64,
}

impl Group {
    fn takes(&self, sent: u64, arrived: i64) -> bool {
        self.is_burst(sent, arrived) || sent.saturating_sub(self.first_sent) <= LENGTH
    }

    /// The network has gathered what was sent apart.
    fn is_burst(&self, sent: u64, arrived: i64) -> bool {
        let arrival = arrived.saturating_sub(self.last_arrived);
        let sending = signed(sent, self.last_sent);
        sending == 0
            || (arrival < sending
                && arrival <= BURST_GAP
                && arrived.saturating_sub(self.first_arrived) < BURST)
    }
}

/// The groups seen last.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    current: Option<Group>,
    previous: Option<Group>,
    reordered: u8,
}

impl Groups {
    /// A packet has arrived. Tells the distance of the last two groups when it begins another one.
    pub(crate) fn add(&mut self, sent: u64, arrived: i64, now: u64) -> Option<Delta> {
        let fresh = Group {
            first_sent: sent,
            last_sent: sent,
            first_arrived: arrived,
            last_arrived: arrived,
            reported: now,
        };
        let Some(current) = self.current.as_mut() else {
            self.current = Some(fresh);
            return None;
        };
        if sent < current.first_sent {
            return None;
        }
        if current.takes(sent, arrived) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrived = arrived;
            current.reported = now;
            return None;
        }
        let complete = *current;
        let delta = match self.previous {
            None => None,
            Some(previous) => Some(self.distance(&previous, &complete)?),
        };
        self.previous = Some(complete);
        self.current = Some(fresh);
        delta
    }

    /// Nothing if the two tell nothing; the packet that ended the second one is passed over then.
    fn distance(&mut self, previous: &Group, complete: &Group) -> Option<Delta> {
        let arrived = complete.last_arrived.saturating_sub(previous.last_arrived);
        let reported = signed(complete.reported, previous.reported);
        if arrived.saturating_sub(reported) >= JUMP {
            *self = Self::default();
            return None;
        }
        if arrived < 0 {
            self.reordered += 1;
            if self.reordered >= REORDERED {
                *self = Self::default();
            }
            return None;
        }
        self.reordered = 0;
        Some(Delta {
            sent: signed(complete.last_sent, previous.last_sent),
            arrived,
        })
    }
}

fn signed(later: u64, earlier: u64) -> i64 {
    later.wrapping_sub(earlier) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    fn add(groups: &mut Groups, sent: u64, arrived: u64) -> Option<(i64, i64)> {
        let delta = groups.add(sent * MS, (arrived * MS) as i64, arrived * MS)?;
        Some((delta.sent / 1_000, delta.arrived / 1_000))
    }

    #[test]
    fn distances_are_between_last_packets_of_whole_groups() {
        let mut groups = Groups::default();
        assert_eq!(add(&mut groups, 0, 100), None);
        assert_eq!(add(&mut groups, 2, 103), None);
        assert_eq!(add(&mut groups, 30, 130), None);
        assert_eq!(add(&mut groups, 31, 137), None);
        assert_eq!(add(&mut groups, 60, 160), Some((29, 34)));
    }

    #[test]
    fn what_arrives_gathered_is_one_group() {
        let mut groups = Groups::default();
        add(&mut groups, 0, 100);
        add(&mut groups, 20, 120);
        // Sent 60 ms apart, held back and let go at once.
        assert_eq!(add(&mut groups, 40, 200), Some((20, 20)));
        assert_eq!(add(&mut groups, 60, 201), None);
        assert_eq!(add(&mut groups, 80, 202), None);
        assert_eq!(add(&mut groups, 120, 240), Some((60, 82)));
    }

    #[test]
    fn what_was_sent_before_is_passed_over() {
        let mut groups = Groups::default();
        add(&mut groups, 0, 100);
        add(&mut groups, 20, 120);
        assert_eq!(add(&mut groups, 10, 121), None);
        assert_eq!(add(&mut groups, 40, 140), Some((20, 20)));
    }

    #[test]
    fn a_jump_of_the_clock_forgets() {
        let mut groups = Groups::default();
        for n in 0..4 {
            groups.add(n * 20 * MS, (n * 20 * MS) as i64, n * 20 * MS);
        }
        let jumped = 10_000_000;
        assert_eq!(
            groups.add(80 * MS, jumped + 80_000, 80 * MS),
            Some(Delta {
                sent: 20_000,
                arrived: 20_000
            })
        );
        assert_eq!(groups.add(100 * MS, jumped + 100_000, 100 * MS), None);
        assert_eq!(groups.add(120 * MS, jumped + 120_000, 120 * MS), None);
        assert_eq!(groups.add(140 * MS, jumped + 140_000, 140 * MS), None);
        assert!(groups.add(160 * MS, jumped + 160_000, 160 * MS).is_some());
    }
}
