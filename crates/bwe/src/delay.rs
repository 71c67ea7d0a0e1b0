//! What delay says: groups, their trend, and the rate that follows.

use crate::aimd::Aimd;
use crate::groups::Groups;
use crate::report::Usage;
use crate::trendline::Trendline;

/// After this pause the past says nothing, microseconds.
const PAUSE: u64 = 2_000_000;

/// What a report has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The rate is what a probe has measured.
    pub(crate) probed: bool,
    /// Queues had shrunk and are as before.
    pub(crate) recovered: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct DelayBased {
    groups: Groups,
    trendline: Trendline,
    aimd: Aimd,
    seen: Option<u64>,
    recovered: bool,
}

impl DelayBased {
    pub(crate) fn new(start: f64, min: f64) -> Self {
        Self {
            groups: Groups::default(),
            trendline: Trendline::default(),
            aimd: Aimd::new(start, min),
            seen: None,
            recovered: false,
        }
    }

    /// The rate, bits per second.
    pub(crate) fn rate(&self) -> f64 {
        self.aimd.rate()
    }

    pub(crate) fn usage(&self) -> Usage {
        self.trendline.usage()
    }

    pub(crate) fn set_round_trip(&mut self, round_trip: u64) {
        self.aimd.set_round_trip(round_trip);
    }

    /// A packet has arrived; in the order of arrival.
    #[inline]
    pub(crate) fn packet(&mut self, now: u64, sent: u64, arrived: i64) {
        if self
            .seen
            .is_none_or(|seen| now.saturating_sub(seen) > PAUSE)
        {
            self.groups = Groups::default();
            self.trendline = Trendline::default();
        }
        self.seen = Some(now);
        if let Some(delta) = self.groups.add(sent, arrived, now) {
            let before = self.trendline.usage();
            self.trendline.add(delta, arrived);
            self.recovered |= before == Usage::Underuse && self.usage() == Usage::Normal;
        }
    }

    /// All packets of a report were given. `arrives` and `probed`: what arrives, and what a probe has measured.
    pub(crate) fn finish(
        &mut self,
        now: u64,
        arrives: Option<f64>,
        probed: Option<f64>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let recovered = std::mem::take(&mut self.recovered);
        let usage = self.usage();
        if usage == Usage::Overuse {
            match arrives {
                Some(arrives) if self.aimd.may_reduce(now, arrives) => {
                    self.aimd.update(now, usage, Some(arrives));
                }
                Some(_) => {}
                // Nothing is measured yet: half of it.
                None => {
                    let half = self.aimd.rate() / 2.0;
                    if self.aimd.may_reduce(now, half - 1.0) {
                        self.aimd.set(now, half);
                    }
                }
            }
        } else if let Some(probed) = probed {
            self.aimd.set(now, probed);
            outcome.probed = true;
        } else {
            self.aimd.update(now, usage, arrives);
            outcome.recovered = recovered;
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    /// Packets of 1,200 bytes at `rate` through a link of `capacity` for `seconds`, reported every 50 ms.
    fn run(delay: &mut DelayBased, from: u64, seconds: u64, rate: u64, capacity: u64) -> u64 {
        let every = 1_200 * 8 * 1_000_000 / rate;
        let takes = 1_200 * 8 * 1_000_000 / capacity;
        let mut free = 0;
        let mut report = from + 50 * MS;
        let mut at = from;
        while at < from + seconds * 1_000 * MS {
            free = free.max(at) + takes;
            delay.packet(report, at, free as i64);
            at += every;
            if at >= report {
                delay.finish(report, Some(rate.min(capacity) as f64), None);
                report += 50 * MS;
            }
        }
        at
    }

    #[test]
    fn a_full_link_is_seen_and_left() {
        let mut delay = DelayBased::new(1_000_000.0, 10_000.0);
        let at = run(&mut delay, 0, 5, 900_000, 10_000_000);
        let before = delay.rate();
        assert!(before > 1_000_000.0, "{before}");
        run(&mut delay, at, 2, 900_000, 600_000);
        assert!(
            (400_000.0..600_000.0).contains(&delay.rate()),
            "{}",
            delay.rate()
        );
    }

    #[test]
    fn a_probe_sets_the_rate() {
        let mut delay = DelayBased::new(300_000.0, 10_000.0);
        let outcome = delay.finish(1_000, Some(200_000.0), Some(2_000_000.0));
        assert!(outcome.probed);
        assert_eq!(delay.rate(), 2_000_000.0);
    }
}
