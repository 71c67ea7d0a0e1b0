//! What delay says: groups, their trend, the queue that stands, and the rate that follows.

use crate::aimd::Aimd;
use crate::groups::Groups;
use crate::report::Usage;
use crate::standing::Standing;
use crate::trendline::Trendline;

/// After this pause the past says nothing, microseconds.
const PAUSE: u64 = 2_000_000;

/// So long after a probe has measured the path, overuse brings no less than this share of what it measured, microseconds:
/// the queue is the probe's own.
const MEASURED: u64 = 500_000;
const MEASURED_SHARE: f64 = 0.92;

/// What a report has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The rate is what a probe has measured.
    pub(crate) probed: bool,
    /// Queues had shrunk and are as before.
    pub(crate) recovered: bool,
}

/// A report without its packets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Report {
    /// The shortest time any packet took, on two clocks.
    pub(crate) fastest: i64,
    /// What arrives, bits per second.
    pub(crate) arrives: Option<f64>,
    /// What arrived in the last moments.
    pub(crate) recent: Option<f64>,
    /// Some packets were of a probe.
    pub(crate) is_probe: bool,
    /// What it has measured, bits per second.
    pub(crate) probed: Option<f64>,
    /// Less is sent than could be.
    pub(crate) in_alr: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct DelayBased {
    groups: Groups,
    trendline: Trendline,
    standing: Standing,
    aimd: Aimd,
    seen: Option<u64>,
    recovered: bool,
    /// The last measurement, and when it came.
    measured: Option<(u64, f64)>,
}

impl DelayBased {
    pub(crate) fn new(start: f64, min: f64) -> Self {
        Self {
            groups: Groups::default(),
            trendline: Trendline::default(),
            standing: Standing::default(),
            aimd: Aimd::new(start, min),
            seen: None,
            recovered: false,
            measured: None,
        }
    }

    /// The rate, bits per second.
    pub(crate) fn rate(&self) -> f64 {
        self.aimd.rate()
    }

    pub(crate) fn usage(&self) -> Usage {
        self.trendline.usage()
    }

    /// Begins at a rate instead.
    pub(crate) fn begin(&mut self, now: u64, rate: f64) {
        self.aimd.set(now, rate);
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

    /// All packets of a report were given.
    pub(crate) fn finish(&mut self, now: u64, report: &Report) -> Outcome {
        let mut outcome = Outcome::default();
        let recovered = std::mem::take(&mut self.recovered);
        let usage = self.usage();
        let stands = self.standing.is_in_the_way(now, report.fastest);
        let fresh = self
            .measured
            .filter(|(at, _)| now.saturating_sub(*at) < MEASURED);
        if let Some(probed) = report.probed {
            self.measured = Some((now, probed));
        }
        match report.probed {
            // A probe that fills the path makes a queue, and has measured what the path carries: that is no reason to go
            // down to the little that arrives otherwise.
            Some(probed) if usage == Usage::Overuse || stands => {
                self.aimd.set(now, probed.min(self.aimd.rate()));
            }
            None if report.is_probe && usage == Usage::Overuse => {}
            _ if usage == Usage::Overuse || stands => match fresh {
                Some((_, probed)) => {
                    self.measured = None;
                    let rate = self.aimd.rate().min(MEASURED_SHARE * probed);
                    self.aimd.set(now, rate);
                }
                None => self.overused(now, report, stands),
            },
            Some(probed) => {
                self.aimd.set(now, probed);
                outcome.probed = true;
            }
            None => {
                self.aimd.update(now, usage, report.arrives, report.in_alr);
                outcome.recovered = recovered;
            }
        }
        outcome
    }

    fn overused(&mut self, now: u64, report: &Report, stands: bool) {
        // What arrives while a queue grows is what the path carries; before, it may have been more.
        let arrives = report
            .arrives
            .map(|rate| report.recent.map_or(rate, |recent| rate.min(recent)));
        match arrives {
            // That a queue stands is said once and then not for a while: growth in between, with each report, is no reason to
            // pass over it.
            Some(rate)
                if self.aimd.may_reduce(now, rate) || stands && self.aimd.has_settled(now) =>
            {
                self.aimd.update(now, Usage::Overuse, arrives, false);
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
                let said = Report {
                    arrives: Some(rate.min(capacity) as f64),
                    ..Report::default()
                };
                delay.finish(report, &said);
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

    /// The queue was full, or nearly so, when the path was first looked at: nothing grows, and a round trip is longer than
    /// the time between two reports.
    #[test]
    fn a_full_queue_is_left_that_does_not_grow() {
        let mut delay = DelayBased::new(800_000.0, 10_000.0);
        delay.set_round_trip(300 * MS);
        for n in 0..40 {
            let now = n * 50 * MS;
            let waits = (n as i64 * 20_000).min(120_000);
            let said = Report {
                fastest: waits,
                arrives: Some(490_000.0),
                ..Report::default()
            };
            delay.finish(now, &said);
        }
        assert!(delay.rate() < 490_000.0, "{}", delay.rate());
    }

    #[test]
    fn a_probe_sets_the_rate() {
        let mut delay = DelayBased::new(300_000.0, 10_000.0);
        let outcome = delay.finish(
            1_000,
            &Report {
                is_probe: true,
                probed: Some(2_000_000.0),
                ..Report::default()
            },
        );
        assert!(outcome.probed);
        assert_eq!(delay.rate(), 2_000_000.0);
    }
}
