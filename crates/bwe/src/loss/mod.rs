//! What loss says: of several rates the one under which the losses seen are most likely.
//!
//! A path loses by itself (inherent loss) and what is sent beyond its rate. Both are estimated together, from how much of
//! what was sent in the last seconds was lost at which rate. Rates in bits per second, times in microseconds.

mod channel;
mod observations;

use crate::report::Acked;
use channel::{Channel, Evidence};
use observations::Observations;

/// Rates to choose from, beside what arrives and what delay says: the present one times these.
const FACTORS: [f64; 3] = [1.02, 1.0, 0.95];
/// Observations without which nothing is said.
const REQUIRED: usize = 3;
/// Growth within [`GROWTH_WINDOW`] microseconds while loss limits.
const GROWTH: f64 = 1.3;
const GROWTH_WINDOW: u64 = 300_000;
/// Beyond this share of loss the rate has a limit at once: [`BALANCE`] divided by what is beyond.
const OFFSET: f64 = 0.05;
const BALANCE: f64 = 150_000.0;
/// The limit of growth is never below.
const LEAST: f64 = 5_000.0;

/// Who says what to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossState {
    /// Delay does.
    DelayBased,
    /// Loss does, and it allows more.
    Increasing,
    /// Loss does, and it allows less.
    Decreasing,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct LossBased {
    observations: Observations,
    best: Option<Channel>,
    state: LossState,
    estimate: f64,
    arrives: Option<f64>,
    min: f64,
    max: f64,
    /// Since when the limit of growth holds.
    window: Option<u64>,
    window_limit: f64,
}

impl LossBased {
    pub(crate) fn new(min: f64, max: f64) -> Self {
        Self {
            observations: Observations::default(),
            best: None,
            state: LossState::DelayBased,
            estimate: max,
            arrives: None,
            min,
            max,
            window: None,
            window_limit: f64::INFINITY,
        }
    }

    /// Whether enough was seen to say something.
    pub(crate) fn is_ready(&self) -> bool {
        self.best.is_some() && self.observations.count() >= REQUIRED
    }

    /// What loss allows, and whether that limits.
    pub(crate) fn result(&self) -> (f64, LossState) {
        (self.estimate, self.state)
    }

    /// Share of bytes lost lately.
    pub(crate) fn ratio(&self) -> f64 {
        self.observations.ratio()
    }

    /// What arrives: never is less allowed.
    pub(crate) fn set_arrives(&mut self, arrives: Option<f64>) {
        self.arrives = arrives.or(self.arrives);
    }

    /// The peer says what became of a packet.
    #[inline]
    pub(crate) fn packet(&mut self, packet: &Acked) {
        self.observations.packet(packet);
    }

    /// All packets of a report were given; `delay` is what delay says.
    pub(crate) fn finish(&mut self, delay: f64, in_alr: bool) {
        let Some(now) = self.observations.finish() else {
            return;
        };
        let before = *self.best.get_or_insert_with(|| {
            self.estimate = delay;
            Channel::new(delay)
        });
        let mut best = self.choose(before, delay, in_alr);
        if self.observations.recent() > best.inherent && before.rate < best.rate {
            best.rate = before.rate;
        }
        let is_limited = self.state != LossState::DelayBased;
        let is_young = |at: u64| at + GROWTH_WINDOW > now;
        if is_limited && self.window.is_some_and(is_young) {
            best.rate = best.rate.min(self.window_limit);
        }
        let bounded = best.rate.min(self.at_once()).min(delay).max(self.floor());
        best.rate = best.rate.max(self.floor());
        self.best = Some(best);
        self.conclude(bounded, delay);
        let is_limited = self.state != LossState::DelayBased;
        if is_limited && self.window.is_none_or(|at| at + GROWTH_WINDOW < now) {
            self.window_limit = (best.rate * GROWTH).max(LEAST);
            self.window = Some(now);
        }
    }

    /// The most likely of the candidates.
    fn choose(&self, before: Channel, delay: f64, in_alr: bool) -> Channel {
        let evidence = Evidence::new(&self.observations);
        let is_limited = self.state != LossState::DelayBased;
        let limit = if is_limited {
            self.window_limit.min(self.max)
        } else {
            self.max
        };
        let arrives = self.arrives.filter(|_| !in_alr);
        let more = (delay > before.rate).then_some(delay);
        let candidates = FACTORS.map(|factor| factor * before.rate);
        let rates = candidates.into_iter().chain(arrives).chain(more);
        if evidence.is_clean() {
            // The higher the likelier.
            let rate = rates.fold(before.rate, f64::max);
            return evidence.fit(Channel {
                rate: rate.min(limit.max(before.rate)),
                ..before
            });
        }
        let mut best = (f64::NEG_INFINITY, before);
        for rate in rates {
            let candidate = evidence.fit(Channel {
                rate: rate.min(limit.max(before.rate)),
                ..before
            });
            let likelihood = evidence.likelihood(&candidate);
            if likelihood > best.0 {
                best = (likelihood, candidate);
            }
        }
        best.1
    }

    fn conclude(&mut self, bounded: f64, delay: f64) {
        let is_limited = self.state != LossState::DelayBased;
        let is_same = self.estimate == bounded && self.state == LossState::Increasing;
        let grows = is_limited && (self.estimate < bounded || is_same);
        self.state = if bounded >= delay || bounded >= self.max {
            LossState::DelayBased
        } else if grows {
            LossState::Increasing
        } else {
            LossState::Decreasing
        };
        self.estimate = bounded;
    }

    fn at_once(&self) -> f64 {
        let beyond = self.ratio() - OFFSET;
        if beyond > 0.0 {
            BALANCE / beyond
        } else {
            self.max
        }
    }

    fn floor(&self) -> f64 {
        self.arrives.unwrap_or(0.0).max(self.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    /// Packets of 1,000 bytes at `rate` for `seconds`, those lost for which `lost` says so; a report every 50 ms.
    fn run(
        loss: &mut LossBased,
        from: u64,
        seconds: u64,
        rate: f64,
        mut lost: impl FnMut(u64) -> bool,
    ) -> u64 {
        let every = (8e9 / rate) as u64;
        let (mut at, mut report, mut n) = (from, from + 50 * MS, 0);
        while at < from + seconds * 1_000 * MS {
            let arrived = (!lost(n)).then_some(at as i64);
            loss.packet(&Acked {
                sent: at,
                arrived,
                size: 1_000,
                probe: None,
            });
            n += 1;
            at += every;
            if at >= report {
                loss.finish(2_000_000.0, false);
                report += 50 * MS;
            }
        }
        at
    }

    fn of(rate: f64) -> LossBased {
        let mut loss = LossBased::new(10_000.0, 10_000_000.0);
        loss.set_arrives(Some(rate));
        loss
    }

    #[test]
    fn a_clean_path_is_left_to_delay() {
        let mut loss = of(1_500_000.0);
        assert!(!loss.is_ready());
        run(&mut loss, 0, 5, 1_500_000.0, |_| false);
        assert!(loss.is_ready());
        assert_eq!(loss.result(), (2_000_000.0, LossState::DelayBased));
    }

    #[test]
    fn what_is_beyond_the_path_is_given_up() {
        let mut loss = of(1_000_000.0);
        run(&mut loss, 0, 5, 2_000_000.0, |n| n % 2 == 0);
        let (rate, state) = loss.result();
        assert!((990_000.0..1_050_000.0).contains(&rate), "{rate}");
        assert_ne!(state, LossState::DelayBased);
    }

    #[test]
    fn a_burst_now_and_then_changes_nothing() {
        let mut loss = of(900_000.0);
        // 60 ms without a packet, every two seconds.
        run(&mut loss, 0, 20, 1_000_000.0, |n| n % 250 < 8);
        assert!(loss.result().0 > 1_900_000.0, "{:?}", loss.result());
    }

    #[test]
    fn a_lossy_path_keeps_most_of_its_rate() {
        let mut loss = of(400_000.0);
        run(&mut loss, 0, 20, 500_000.0, |n| n % 5 == 0);
        assert!(loss.result().0 > 450_000.0, "{:?}", loss.result());
    }

    #[test]
    fn it_recovers_when_losses_end() {
        let mut loss = of(500_000.0);
        let at = run(&mut loss, 0, 5, 1_000_000.0, |n| n % 2 == 0);
        assert!(loss.result().0 < 600_000.0, "{:?}", loss.result());
        run(&mut loss, at, 7, 500_000.0, |_| false);
        assert_eq!(loss.result().1, LossState::DelayBased);
    }
}
