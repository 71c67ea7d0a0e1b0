//! When to probe, and how much for.
//!
//! At first twice at once, then, as long as the path gives what was asked for, for twice as much each time. Later when
//! more is wanted than when it was asked last, after a drop, and again and again as long as more is wanted than the path is
//! known to carry.

use crate::report::{Probe, ProbeId};
use std::num::NonZeroU8;

/// The first two probes: the rate at the beginning times these.
const FIRST: [f64; 2] = [3.0, 6.0];
/// Each further one: what was measured times this.
const STEP: f64 = 2.0;
/// Share of a probe that must have arrived for another one.
const FURTHER: f64 = 0.7;
/// No probe but the first asks for more than what is wanted times this: streams are uneven, and measurements a little low.
const WANTED: f64 = 2.0;
/// Times the rate that loss allows.
const LOSS_LIMITED: f64 = 1.5;
/// How long a result may take, microseconds.
const RESULT: u64 = 1_000_000;
/// Between probes as long as more is wanted, and as long as less is sent than could be, microseconds.
const WANTED_EVERY: u64 = 2_000_000;
const ALR_EVERY: u64 = 5_000_000;
/// An estimate this far above what is wanted needs no probe.
const ENOUGH: f64 = 1.2;
/// A wish for this much more than at the last probe is a reason for another one, once that is so long ago, microseconds.
const MORE: f64 = 1.2;
const MORE_EVERY: u64 = 500_000;
/// So many probes follow each other so soon as long as nothing was ever heard of any of their packets: a peer that does not
/// know a stream yet does not report it.
const EAGER: u8 = 4;
/// How long a probe waits when the path is not fit for one, microseconds.
const RETRY: u64 = 250_000;
/// A drop to this share is a large one; within this time the path is asked for so much of what was, microseconds.
const DROP: f64 = 0.66;
const DROP_WITHIN: u64 = 5_000_000;
const DROP_PROBE: f64 = 0.85;
const DROP_EVERY: u64 = 5_000_000;
/// A probe that asks for no more than the estimate times this tells nothing.
const UNCERTAIN: f64 = 1.05;
/// Length of a probe, microseconds, and its packets.
const DURATION: u64 = 15_000;
const PACKETS: u32 = 5;

/// What limits the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// What was measured or tried so far.
    Known,
    /// Queues, which grow or shrink.
    Queues,
    /// Nothing is heard of what was sent.
    Silence,
    /// Loss.
    Loss,
    /// Loss, which allows more.
    LossIncreasing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was asked yet.
    First,
    /// A result may be a reason to ask for more.
    Waiting,
    Done,
}

/// See the module. Rates in bits per second, times in microseconds.
#[derive(Debug)]
pub(crate) struct Prober {
    state: State,
    estimate: f64,
    max: f64,
    wanted: f64,
    /// What was wanted at the last probe, or since then if that was less.
    asked_for: f64,
    /// Packets of a probe were reported; probes so far of which none was.
    answered: bool,
    unanswered: u8,
    limit: Limit,
    /// A result above this is a reason to ask for more.
    further: f64,
    begun: Option<u64>,
    retry: u64,
    in_alr: Option<u64>,
    /// The last large drop: when, and from where.
    dropped: Option<(u64, f64)>,
    recovered: Option<u64>,
    last_id: u8,
    queue: [Option<Probe>; 2],
}

impl Prober {
    pub(crate) fn new(start: f64, max: f64) -> Self {
        Self {
            state: State::First,
            estimate: start,
            max,
            wanted: 0.0,
            asked_for: 0.0,
            answered: false,
            unanswered: 0,
            limit: Limit::Known,
            further: f64::INFINITY,
            begun: None,
            retry: 0,
            in_alr: None,
            dropped: None,
            recovered: None,
            last_id: 0,
            queue: [None; 2],
        }
    }

    /// The next probe to send.
    pub(crate) fn poll(&mut self) -> Option<Probe> {
        let [first, second] = &mut self.queue;
        first.take().or_else(|| second.take())
    }

    /// When [`Prober::on_timer`] has something to do.
    pub(crate) fn timeout(&self) -> Option<u64> {
        match self.state {
            State::Waiting if self.is_ignored() => self.begun.map(|at| at + MORE_EVERY),
            State::Waiting => self.begun.map(|at| at + RESULT),
            State::First => (self.wanted > 0.0).then_some(self.retry),
            State::Done => self.due(),
        }
    }

    /// When the path is asked again.
    fn due(&self) -> Option<u64> {
        let begun = self.begun.unwrap_or(0);
        let at = if self.wants_more() || self.is_ignored() {
            begun + MORE_EVERY
        } else if self.estimate < self.wanted {
            begun + WANTED_EVERY
        } else if self.estimate < self.wanted * ENOUGH {
            self.in_alr?.max(begun) + ALR_EVERY
        } else {
            return None;
        };
        Some(at.max(self.retry))
    }

    /// More is wanted than when the path was asked last, and than it is known to carry.
    fn wants_more(&self) -> bool {
        self.wanted > self.asked_for * MORE && self.estimate < self.wanted
    }

    /// Nothing was ever heard of a probe, and there were not many.
    fn is_ignored(&self) -> bool {
        !self.answered && self.unanswered < EAGER && self.estimate < self.wanted
    }

    /// The peer has reported packets of a probe.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }

    /// Time has passed.
    pub(crate) fn on_timer(&mut self, now: u64) {
        if self.timeout().is_none_or(|at| at > now) {
            return;
        }
        match self.state {
            State::First => self.first(now),
            State::Waiting => self.state = State::Done,
            State::Done if self.wants_more() || self.is_ignored() => self.more(now),
            State::Done => self.begin(now, &[STEP * self.estimate], true),
        }
    }

    /// What is wanted at first may be the first of many things: the first probe is not limited by it.
    fn first(&mut self, now: u64) {
        let rates = FIRST.map(|factor| factor * self.estimate);
        self.begin_with(now, &rates, true, rates[0]);
    }

    fn more(&mut self, now: u64) {
        let most = STEP * self.estimate;
        let rates = [self.wanted.min(most), (self.wanted * WANTED).min(most)];
        self.begin(now, &rates, most < self.wanted * WANTED);
    }

    /// What is sent less than could be, since when.
    pub(crate) fn set_alr(&mut self, since: Option<u64>) {
        self.in_alr = since;
    }

    /// So much is wanted.
    pub(crate) fn demand(&mut self, now: u64, wanted: f64) {
        self.wanted = wanted;
        self.asked_for = self.asked_for.min(wanted);
        let is_free = self
            .begun
            .is_none_or(|at| now.saturating_sub(at) >= MORE_EVERY);
        match self.state {
            State::First if wanted > 0.0 && now >= self.retry => self.first(now),
            State::Done if self.wants_more() && is_free => self.more(now),
            _ => {}
        }
    }

    /// The estimate has changed, and what limits it.
    pub(crate) fn set_estimate(&mut self, now: u64, estimate: f64, limit: Limit) {
        self.limit = limit;
        if estimate < DROP * self.estimate {
            self.dropped = Some((now, self.estimate));
        }
        self.estimate = estimate;
        if self.state == State::Waiting && estimate > self.further {
            self.begin(now, &[STEP * estimate], true);
        }
    }

    /// The last probe could not be sent: nothing was asked, whatever is wanted.
    pub(crate) fn unsent(&mut self) {
        self.state = State::Done;
        self.asked_for = 0.0;
    }

    /// Queues had shrunk and are as before: was the drop a real one?
    pub(crate) fn recovered(&mut self, now: u64) {
        let Some((at, before)) = self.dropped else {
            return;
        };
        let recently = |at: u64, within: u64| now.saturating_sub(at) < within;
        let is_again = self.recovered.is_some_and(|at| recently(at, DROP_EVERY));
        let rate = DROP_PROBE * before;
        if self.state == State::Done
            && recently(at, DROP_WITHIN)
            && !is_again
            && rate > UNCERTAIN * self.estimate
        {
            self.recovered = Some(now);
            self.begin(now, &[rate], false);
        }
    }

    fn begin(&mut self, now: u64, rates: &[f64], further: bool) {
        self.begin_with(now, rates, further, 0.0);
    }

    /// `least`: so much may be asked for however little is wanted.
    fn begin_with(&mut self, now: u64, rates: &[f64], further: bool, least: f64) {
        let mut most = self.max.min((self.wanted * WANTED).max(least));
        match self.limit {
            Limit::Queues | Limit::Silence | Limit::Loss => {
                self.retry = now + RETRY;
                return;
            }
            Limit::LossIncreasing => most = most.min(self.estimate * LOSS_LIMITED),
            Limit::Known => {}
        }
        if self.begun.is_some() {
            self.unanswered = self.unanswered.saturating_add(1);
        }
        self.begun = Some(now);
        self.asked_for = self.wanted;
        self.state = State::Done;
        self.further = f64::INFINITY;
        self.queue = [None; 2];
        if most < UNCERTAIN * self.estimate {
            return;
        }
        let mut last = 0.0;
        for (n, rate) in rates.iter().map(|rate| rate.min(most)).enumerate() {
            if rate > last {
                last = rate;
                let probe = self.probe(rate);
                if let Some(place) = self.queue.get_mut(n) {
                    *place = Some(probe);
                }
            }
        }
        if further && last < most {
            self.state = State::Waiting;
            self.further = FURTHER * last;
        }
    }

    fn probe(&mut self, rate: f64) -> Probe {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        let bytes = rate * DURATION as f64 / 8e6;
        Probe {
            id: ProbeId(NonZeroU8::new(self.last_id).unwrap_or(NonZeroU8::MIN)),
            bitrate: rate as u64,
            duration: DURATION,
            min_packets: PACKETS,
            min_bytes: bytes as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn polled(prober: &mut Prober) -> Vec<u64> {
        std::iter::from_fn(|| prober.poll())
            .map(|p| p.bitrate / 1_000)
            .collect()
    }

    /// Has asked at the beginning, waited, and knows 500 kbit/s.
    fn done(wanted: f64) -> Prober {
        let mut prober = Prober::new(300_000.0, 10_000_000.0);
        prober.demand(0, wanted);
        polled(&mut prober);
        prober.answered();
        prober.set_estimate(SECOND / 5, 500_000.0, Limit::Known);
        prober.on_timer(SECOND);
        polled(&mut prober);
        prober
    }

    #[test]
    fn it_begins_when_something_is_wanted_and_goes_on_while_the_path_gives_it() {
        let mut prober = Prober::new(300_000.0, 10_000_000.0);
        assert_eq!(prober.timeout(), None);
        assert_eq!(polled(&mut prober), []);
        prober.demand(0, 3_000_000.0);
        assert_eq!(polled(&mut prober), [900, 1_800]);
        prober.set_estimate(SECOND / 5, 900_000.0, Limit::Known);
        assert_eq!(polled(&mut prober), []);
        prober.set_estimate(SECOND / 4, 1_700_000.0, Limit::Known);
        assert_eq!(polled(&mut prober), [3_400]);
        prober.set_estimate(SECOND / 3, 3_300_000.0, Limit::Known);
        // Twice what is wanted is the most.
        assert_eq!(polled(&mut prober), [6_000]);
        assert_eq!(prober.timeout(), None);
    }

    #[test]
    fn nobody_is_asked_for_more_than_twice_what_is_wanted() {
        let mut prober = Prober::new(300_000.0, 10_000_000.0);
        prober.demand(0, 500_000.0);
        assert_eq!(polled(&mut prober), [900, 1_000]);
    }

    #[test]
    fn what_is_wanted_at_first_is_not_all_that_will_be() {
        let mut prober = Prober::new(300_000.0, 10_000_000.0);
        prober.demand(0, 100_000.0);
        assert_eq!(polled(&mut prober), [900]);
        // In a moment one wish follows another; the first one that is free takes up what they come to.
        prober.set_estimate(SECOND / 20, 850_000.0, Limit::Known);
        for n in 2..=10_u32 {
            prober.demand(SECOND / 20, 100_000.0 * f64::from(n));
        }
        assert_eq!(polled(&mut prober), []);
        assert_eq!(prober.timeout(), Some(MORE_EVERY));
        prober.on_timer(MORE_EVERY);
        assert_eq!(polled(&mut prober), [1_000, 1_700]);
    }

    #[test]
    fn what_nobody_heard_of_is_asked_again_soon_but_not_for_ever() {
        let mut prober = Prober::new(300_000.0, 10_000_000.0);
        prober.demand(0, 800_000.0);
        let mut asked = vec![0];
        let mut now = 0;
        while let Some(at) = prober.timeout().filter(|at| *at < 8 * SECOND) {
            now = at.max(now);
            prober.on_timer(now);
            if !polled(&mut prober).is_empty() && asked.last() != Some(&now) {
                asked.push(now);
            }
        }
        let gaps: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() > 5, "{gaps:?}");
        let (soon, later) = gaps.split_at(usize::from(EAGER));
        assert!(soon.iter().all(|gap| *gap == MORE_EVERY), "{gaps:?}");
        assert!(later.iter().all(|gap| *gap >= WANTED_EVERY), "{gaps:?}");
    }

    #[test]
    fn what_could_not_be_sent_is_asked_again_soon() {
        let mut prober = Prober::new(300_000.0, 10_000_000.0);
        prober.demand(0, 800_000.0);
        assert_eq!(polled(&mut prober), [900, 1_600]);
        prober.unsent();
        assert_eq!(prober.timeout(), Some(MORE_EVERY));
        prober.on_timer(MORE_EVERY);
        assert_eq!(polled(&mut prober), [600]);
    }

    #[test]
    fn it_asks_again_as_long_as_more_is_wanted() {
        let mut prober = done(3_000_000.0);
        assert_eq!(prober.timeout(), Some(2 * SECOND));
        prober.on_timer(2 * SECOND);
        assert_eq!(polled(&mut prober), [1_000]);
        prober.on_timer(3 * SECOND);
        prober.on_timer(4 * SECOND);
        assert_eq!(polled(&mut prober), [1_000]);
    }

    #[test]
    fn what_is_enough_needs_no_probe_but_in_a_calm_time() {
        let mut prober = done(450_000.0);
        assert_eq!(prober.timeout(), None);
        prober.set_alr(Some(SECOND));
        assert_eq!(prober.timeout(), Some(6 * SECOND));
        prober.demand(SECOND, 300_000.0);
        assert_eq!(prober.timeout(), None);
    }

    #[test]
    fn a_new_wish_is_a_reason_to_ask_at_once() {
        let mut prober = done(400_000.0);
        prober.demand(3 * SECOND, 700_000.0);
        assert_eq!(polled(&mut prober), [700, 1_000]);
    }

    #[test]
    fn after_a_drop_the_path_is_asked_for_most_of_what_was() {
        let mut prober = done(400_000.0);
        prober.set_estimate(3 * SECOND, 200_000.0, Limit::Queues);
        prober.set_estimate(4 * SECOND, 200_000.0, Limit::Known);
        prober.recovered(4 * SECOND);
        assert_eq!(polled(&mut prober), [425]);
        prober.recovered(4 * SECOND);
        assert_eq!(polled(&mut prober), []);
    }

    #[test]
    fn a_path_in_trouble_is_left_alone() {
        let mut prober = done(3_000_000.0);
        prober.set_estimate(SECOND, 400_000.0, Limit::Queues);
        prober.on_timer(2 * SECOND);
        assert_eq!(polled(&mut prober), []);
        assert_eq!(prober.timeout(), Some(2 * SECOND + RETRY));
        prober.set_estimate(2 * SECOND, 400_000.0, Limit::LossIncreasing);
        prober.on_timer(2 * SECOND + RETRY);
        assert_eq!(polled(&mut prober), [600]);
    }
}
