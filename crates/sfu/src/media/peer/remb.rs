//! What a sender that measures nothing itself is told of its path (REMB, `draft-alvestrand-rmcat-remb-03`).

use bwe::Arriving;

/// The path is looked at this often while packets come, microseconds.
const LOOK: u64 = 100_000;
/// The sender is told this often, and at once when the estimate is below this many percent of what it was told.
const TELL: u64 = 500_000;
const FALLEN: u64 = 97;

/// See the module. Times are microseconds of the shard's clock.
#[derive(Debug)]
pub(crate) struct Remb {
    arriving: Arriving,
    /// Packets came since the last look.
    fresh: bool,
    next: u64,
    /// What the sender was told last, and when.
    told: Option<(u64, u64)>,
}

impl Remb {
    pub(crate) fn new(config: bwe::Config) -> Self {
        Self {
            arriving: Arriving::new(config),
            fresh: false,
            next: 0,
            told: None,
        }
    }

    /// A packet came that says when it left.
    #[inline]
    pub(crate) fn packet(&mut self, now: u64, sent: u32, size: usize) {
        self.arriving.packet(now, sent, size);
        self.fresh = true;
    }

    /// When the path is looked at next, if packets came.
    pub(crate) fn due(&self) -> Option<u64> {
        self.fresh.then_some(self.next)
    }

    /// Looks at the path if it is time; bits per second to tell the sender.
    pub(crate) fn take(&mut self, now: u64, round_trip: Option<u64>) -> Option<u64> {
        if !self.fresh || now < self.next {
            return None;
        }
        self.fresh = false;
        self.next = now + LOOK;
        let rate = self.arriving.estimate(now, round_trip)?;
        let tells = self.told.is_none_or(|(before, at)| {
            now.saturating_sub(at) >= TELL || rate < before / 100 * FALLEN
        });
        if tells {
            self.told = Some((rate, now));
        }
        tells.then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    /// A thousand bytes every 10 ms for a time, each later than the one before by so much; what the sender was told when.
    fn run(remb: &mut Remb, from: u64, to: u64, later: u64) -> Vec<(u64, u64)> {
        let mut told = Vec::new();
        let mut at = from;
        let mut sent = from;
        while at < to {
            let units = ((u128::from(sent) << 18) / 1_000_000) as u32 & 0xFF_FFFF;
            remb.packet(at, units, 1_000);
            told.extend(remb.take(at, Some(50 * MS)).map(|rate| (at, rate)));
            sent += 10 * MS;
            at += 10 * MS + later;
        }
        told
    }

    #[test]
    fn a_sender_is_told_twice_a_second_and_at_once_of_less() {
        let config = bwe::Config {
            start: 800_000,
            min: 30_000,
            max: 10_000_000,
        };
        let mut remb = Remb::new(config);
        assert_eq!(remb.due(), None);
        let told = run(&mut remb, 0, 10_000 * MS, 0);
        assert!((18..=20).contains(&told.len()), "{told:?}");
        // What arrives are 800 kbit/s; growth ends somewhat above.
        let last = told.last().unwrap().1;
        assert!((800_000..1_050_000).contains(&last), "{last}");
        // Each packet takes 10 ms longer: half of it comes.
        let told = run(&mut remb, 10_000 * MS, 12_000 * MS, 10 * MS);
        let less = told.iter().find(|(_, rate)| *rate < 600_000);
        assert!(less.is_some_and(|(at, _)| *at < 11_000 * MS), "{told:?}");
        assert!(remb.take(20_000 * MS, None).is_some() || remb.due().is_none());
        assert_eq!(remb.take(30_000 * MS, None), None, "nothing came");
    }
}
