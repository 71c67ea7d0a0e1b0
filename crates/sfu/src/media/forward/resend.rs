//! How much a receiver may have sent again: a share of what it is sent, so that asking cannot multiply what leaves.

/// One byte for so many bytes of video sent. Lines that lose more need less video, not more repeats.
const SHARE: u64 = 3;
/// This much in any case, bytes per second, and no more than this share of what the line carries: one in so many.
const FLOOR: u64 = 20_000;
const FLOOR_SHARE: u64 = 16;
/// What is not used adds up to this, bytes: a gap of a third of a second at 3 Mbit/s; and to no more than what the line
/// carries in so many microseconds.
const CAPACITY: u64 = 128 * 1024;
const CAPACITY_TIME: u64 = 300_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct ResendBudget {
    bytes: u64,
    at: u64,
    floor: u64,
    capacity: u64,
}

impl ResendBudget {
    /// Full.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            bytes: CAPACITY,
            at: now,
            floor: FLOOR,
            capacity: CAPACITY,
        }
    }

    /// The line carries so many bits per second; `None`: that is not known.
    pub(crate) fn set_line(&mut self, line: Option<u64>) {
        let bytes = line.map_or(u64::MAX / 1_000_000, |bits| bits / 8);
        self.floor = FLOOR.min(bytes / FLOOR_SHARE);
        self.capacity = CAPACITY.min(bytes.saturating_mul(CAPACITY_TIME) / 1_000_000);
        self.bytes = self.bytes.min(self.capacity);
    }

    /// So many bytes of video were sent for the first time.
    pub(crate) fn earn(&mut self, sent: u64) {
        self.bytes = (self.bytes + sent / SHARE).min(self.capacity);
    }

    /// Whether so many bytes may be sent again now; if so they count as sent.
    pub(crate) fn spend(&mut self, now: u64, bytes: u64) -> bool {
        let due = now.saturating_sub(self.at).min(10_000_000) * self.floor / 1_000_000;
        if due > 0 {
            self.at = now;
            self.bytes = (self.bytes + due).min(self.capacity);
        }
        let enough = self.bytes >= bytes;
        if enough {
            self.bytes -= bytes;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked for without end, a receiver gets the capacity, the floor, and its share of what was sent.
    #[test]
    fn asking_cannot_multiply_what_leaves() {
        for (rate, seconds, line) in [
            (0u64, 20u64, None),
            (300_000, 20, None),
            (30_000, 20, Some(400_000)),
        ] {
            let mut budget = ResendBudget::new(0);
            budget.set_line(line);
            let (floor, capacity) = (budget.floor, budget.capacity);
            assert!(line.is_none_or(|line| floor <= line / 128 && capacity <= line / 24));
            let mut resent = 0;
            for ms in 0..seconds * 1000 {
                budget.earn(rate / 1000);
                while budget.spend(ms * 1000, 1200) {
                    resent += 1200;
                }
            }
            let allowed = capacity + seconds * (floor + rate / SHARE);
            assert!(
                resent <= allowed && resent * 10 > allowed * 9,
                "{resent} of {allowed}"
            );
        }
    }
}
