//! The rate that follows from growing and shrinking queues: up step by step, down to below what arrives.

use crate::capacity::LinkCapacity;
use crate::report::Usage;

/// Share of what arrives that is sent after overuse.
const BACK_OFF: f64 = 0.85;
/// And this less, bits per second.
const BACK_OFF_MORE: f64 = 5_000.0;
/// Growth in a second as long as nobody knows where the limit is.
const GROWTH: f64 = 1.08;
/// No growth beyond what arrives times this, and this more at very low rates, where pictures come unevenly.
const BEYOND: f64 = 1.25;
const BEYOND_MORE: f64 = 10_000.0;
/// Growth at least, bits per second: of a step, and of a second near the limit.
const STEP: f64 = 1_000.0;
const SLOW: f64 = 4_000.0;
/// Round trip as long as none is known, microseconds.
const ROUND_TRIP: u64 = 200_000;
/// A packet of video, bytes.
const PACKET: f64 = 1_200.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Let queues drain.
    Hold,
    Increase,
}

/// See the module. Rates in bits per second, times in microseconds.
#[derive(Debug)]
pub(crate) struct Aimd {
    min: f64,
    rate: f64,
    arrives: f64,
    capacity: LinkCapacity,
    state: State,
    changed: Option<u64>,
    /// When it went down last.
    reduced: Option<u64>,
    round_trip: u64,
}

impl Aimd {
    pub(crate) fn new(start: f64, min: f64) -> Self {
        Self {
            min,
            rate: start.max(min),
            arrives: start,
            capacity: LinkCapacity::default(),
            state: State::Hold,
            changed: None,
            reduced: None,
            round_trip: ROUND_TRIP,
        }
    }

    /// The rate now.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// The time from a packet to the report of it.
    pub(crate) fn set_round_trip(&mut self, round_trip: u64) {
        self.round_trip = round_trip;
    }

    /// A measurement replaces the rate.
    pub(crate) fn set(&mut self, now: u64, rate: f64) {
        if rate < self.rate {
            self.reduced = Some(now);
        }
        self.rate = rate.max(self.min);
        self.changed = Some(now);
    }

    /// Whether what the last step down has brought is known: it was a round trip ago.
    pub(crate) fn has_settled(&self, now: u64) -> bool {
        self.reduced
            .is_none_or(|at| now.saturating_sub(at) >= self.round_trip)
    }

    /// Whether queues that still grow are a reason to send even less.
    pub(crate) fn may_reduce(&self, now: u64, arrives: f64) -> bool {
        let pause = self.round_trip.clamp(10_000, 200_000);
        let changed = self
            .changed
            .is_none_or(|at| now.saturating_sub(at) >= pause);
        changed || arrives < 0.5 * self.rate
    }

    /// Another report: how queues are, what arrives, and whether less is sent than could be, which proves nothing.
    pub(crate) fn update(&mut self, now: u64, usage: Usage, arrives: Option<f64>, in_alr: bool) {
        if let Some(arrives) = arrives {
            self.arrives = arrives;
        }
        match usage {
            Usage::Underuse => self.state = State::Hold,
            Usage::Overuse => self.decrease(now),
            Usage::Normal => {
                if self.state == State::Hold {
                    self.changed = Some(now);
                    self.state = State::Increase;
                }
                self.increase(now, in_alr);
            }
        }
        self.rate = self.rate.max(self.min);
    }

    fn increase(&mut self, now: u64, in_alr: bool) {
        if self.arrives > self.capacity.upper() {
            self.capacity.reset();
        }
        let limit = BEYOND * self.arrives + BEYOND_MORE;
        if self.rate < limit && !in_alr {
            let passed = self.changed.map(|at| seconds(now.saturating_sub(at)));
            let more = if self.capacity.estimate().is_some() {
                self.near_limit() * passed.unwrap_or(0.0)
            } else {
                let growth = GROWTH.powf(passed.map_or(1.0, |passed| passed.min(1.0)));
                (self.rate * (growth - 1.0)).max(STEP)
            };
            self.rate = (self.rate + more).min(limit);
        }
        self.changed = Some(now);
    }

    fn decrease(&mut self, now: u64) {
        let mut less = self.arrives * BACK_OFF;
        if less > BACK_OFF_MORE {
            less -= BACK_OFF_MORE;
        }
        if less > self.rate
            && let Some(capacity) = self.capacity.estimate()
        {
            less = BACK_OFF * capacity;
        }
        self.rate = self.rate.min(less);
        if self.arrives < self.capacity.lower() {
            self.capacity.reset();
        }
        self.capacity.overused(self.arrives);
        self.state = State::Hold;
        self.reduced = Some(now);
        self.changed = Some(now);
    }

    /// Growth near the limit, bits per second in a second: a packet in each response time.
    fn near_limit(&self) -> f64 {
        let frame = self.rate / 30.0 / 8.0;
        let packet = frame / (frame / PACKET).ceil().max(1.0);
        let response = seconds(self.round_trip.saturating_add(100_000)) * 2.0;
        (packet * 8.0 / response).max(SLOW)
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn it_grows_by_eight_percent_a_second_at_first() {
        let mut aimd = Aimd::new(300_000.0, 10_000.0);
        for n in 0..=100 {
            aimd.update(n * SECOND / 10, Usage::Normal, Some(1e7), false);
        }
        let expected = 300_000.0 * 1.08_f64.powi(10);
        assert!(
            (aimd.rate() / expected - 1.0).abs() < 0.02,
            "{}",
            aimd.rate()
        );
    }

    #[test]
    fn what_arrives_limits_growth() {
        let mut aimd = Aimd::new(300_000.0, 10_000.0);
        for n in 0..300 {
            aimd.update(n * SECOND / 10, Usage::Normal, Some(250_000.0), false);
        }
        assert_eq!(aimd.rate(), 322_500.0);
    }

    #[test]
    fn overuse_goes_below_what_arrives_and_then_grows_slowly() {
        let mut aimd = Aimd::new(1_000_000.0, 10_000.0);
        aimd.update(0, Usage::Normal, Some(900_000.0), false);
        aimd.update(SECOND, Usage::Overuse, Some(800_000.0), false);
        assert_eq!(aimd.rate(), 675_000.0);
        aimd.update(2 * SECOND, Usage::Normal, Some(800_000.0), false);
        for n in 20..40 {
            aimd.update(n * SECOND / 10, Usage::Normal, Some(800_000.0), false);
        }
        // 2 s at a packet in each 600 ms.
        assert!(
            (690_000.0..720_000.0).contains(&aimd.rate()),
            "{}",
            aimd.rate()
        );
    }

    #[test]
    fn it_is_never_below_its_minimum() {
        let mut aimd = Aimd::new(100_000.0, 30_000.0);
        aimd.update(0, Usage::Overuse, Some(1_000.0), false);
        assert_eq!(aimd.rate(), 30_000.0);
    }
}
