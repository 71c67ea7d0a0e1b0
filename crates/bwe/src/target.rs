//! The rate to send at: the least of what delay and loss say, less when nothing is heard of what was sent.

use crate::loss::{LossBased, LossState};
use crate::report::{Acked, Config};

/// At the beginning delay alone counts for so long if nothing was lost, microseconds.
const START: u64 = 2_000_000;
/// Packets without which a share of loss says nothing.
const REPORTED: u32 = 20;
/// Shares of loss, where reports tell no more: up to the first one more is sent, beyond the second one less.
const LOW: f64 = 0.02;
const HIGH: f64 = 0.1;
/// Growth in a second then: a factor and bits per second.
const GROWTH: f64 = 1.08;
const GROWTH_MORE: f64 = 1_000.0;
/// Pause between two steps down, beside the round trip, microseconds.
const PAUSE: u64 = 300_000;
/// Beyond this round trip, or time without a report while packets leave, less is sent: each second by this factor, microseconds.
const SILENCE: u64 = 3_000_000;
const SILENCE_EVERY: u64 = 1_000_000;
const SILENCE_FACTOR: f64 = 0.8;
/// The rate below which the silence reduces nothing, bits per second.
const SILENCE_LEAST: f64 = 5_000.0;

/// Nothing is under way after so long without a packet, microseconds.
const IDLE: u64 = 1_000_000;

/// Reports and what was sent since.
#[derive(Debug, Default)]
struct Silence {
    /// The last report, and the round trip it tells.
    heard: Option<(u64, u64)>,
    sent: Option<u64>,
}

impl Silence {
    fn is_long(&self) -> bool {
        let Some((heard, round_trip)) = self.heard else {
            return false;
        };
        let since = self.sent.map_or(0, |sent| sent.saturating_sub(heard));
        since.saturating_add(round_trip) > SILENCE
    }

    fn is_any(&self) -> bool {
        self.sent > self.heard.map(|(at, _)| at)
    }
}

/// See the module. Rates in bits per second, times in microseconds.
#[derive(Debug)]
pub(crate) struct Target {
    rate: f64,
    min: f64,
    max: f64,
    delay: f64,
    loss: LossBased,
    first: Option<u64>,
    /// Packets since the share of loss was known last.
    expected: u32,
    lost: u32,
    share: f64,
    shared: Option<u64>,
    decreased: Option<u64>,
    increased: Option<u64>,
    silence: Silence,
    check: Option<u64>,
}

impl Target {
    pub(crate) fn new(config: &Config) -> Self {
        let (min, max) = (config.min as f64, config.max as f64);
        Self {
            rate: config.start as f64,
            min,
            max,
            delay: f64::INFINITY,
            loss: LossBased::new(min, max),
            first: None,
            expected: 0,
            lost: 0,
            share: 0.0,
            shared: None,
            decreased: None,
            increased: None,
            silence: Silence::default(),
            check: None,
        }
    }

    /// The rate.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// What loss allows as long as that limits.
    pub(crate) fn loss(&self) -> (Option<f64>, LossState) {
        let (rate, state) = self.loss.result();
        let limits = self.loss.is_ready() && state != LossState::DelayBased;
        (limits.then_some(rate), state)
    }

    /// Share of loss lately: of bytes where each packet is reported, else of packets.
    pub(crate) fn loss_ratio(&self) -> f64 {
        if self.loss.is_ready() {
            self.loss.ratio()
        } else {
            self.share
        }
    }

    /// Whether nothing was heard for too long.
    pub(crate) fn is_silent(&self) -> bool {
        self.silence.is_long()
    }

    /// Whether nothing left lately: what was said of the path is then of a queue and of loss that may be gone.
    pub(crate) fn is_idle(&self, now: u64) -> bool {
        let quiet = |sent: u64| now.saturating_sub(sent) >= IDLE;
        self.silence.sent.is_none_or(quiet)
    }

    /// A packet leaves.
    #[inline]
    pub(crate) fn sent(&mut self, now: u64) {
        // Silence begins with the first packet.
        self.silence.heard.get_or_insert((now, 0));
        self.silence.sent = Some(now);
        if self.check.is_none() {
            self.check = Some(now + SILENCE_EVERY);
        }
    }

    /// When to look for silence again.
    pub(crate) fn timeout(&self) -> Option<u64> {
        self.check
    }

    /// Time has passed.
    pub(crate) fn on_timer(&mut self, now: u64) {
        if self.check.is_some_and(|at| at <= now) {
            self.check = self.silence.is_any().then_some(now + SILENCE_EVERY);
            self.update(now);
        }
    }

    /// The peer says what became of a packet.
    #[inline]
    pub(crate) fn packet(&mut self, packet: &Acked) {
        self.loss.packet(packet);
        self.expected = self.expected.saturating_add(1);
        self.lost = self
            .lost
            .saturating_add(u32::from(packet.arrived.is_none()));
    }

    /// A report came; `round_trip` is that of its packets without the time they waited for it.
    pub(crate) fn heard(&mut self, now: u64, round_trip: u64) {
        self.silence.heard = Some((now, round_trip));
    }

    /// A probe has measured this: what delay and loss said before does not limit it.
    pub(crate) fn set(&mut self, rate: f64) {
        self.delay = f64::INFINITY;
        self.apply(rate);
    }

    /// All packets of a report were given: what delay says (`None`: nothing new), what arrives.
    pub(crate) fn finish(
        &mut self,
        now: u64,
        delay: Option<f64>,
        arrives: Option<f64>,
        in_alr: bool,
    ) {
        self.first.get_or_insert(now);
        self.delay = delay.unwrap_or(self.delay);
        self.loss.set_arrives(arrives);
        self.loss.finish(self.delay.min(self.max), in_alr);
        let due = self
            .shared
            .is_none_or(|at| now.saturating_sub(at) > 1_000_000);
        if due {
            self.share(now);
        }
        self.update(now);
    }

    /// The peer says that there is no more than this.
    pub(crate) fn told(&mut self, now: u64, rate: f64) {
        self.first.get_or_insert(now);
        self.delay = rate;
        self.update(now);
    }

    /// What a receiver report says where packets are not reported one by one.
    pub(crate) fn lost_report(&mut self, now: u64, expected: u32, lost: u32, round_trip: u64) {
        self.first.get_or_insert(now);
        self.heard(now, round_trip);
        self.expected = self.expected.saturating_add(expected);
        self.lost = self.lost.saturating_add(lost.min(expected));
        if self.share(now) {
            self.follow_share(now, round_trip);
        }
        self.update(now);
    }

    fn share(&mut self, now: u64) -> bool {
        let enough = self.expected >= REPORTED;
        if enough {
            self.share = f64::from(self.lost) / f64::from(self.expected);
            self.shared = Some(now);
            self.expected = 0;
            self.lost = 0;
        }
        enough
    }

    fn follow_share(&mut self, now: u64, round_trip: u64) {
        if self.loss.is_ready() {
            return;
        }
        let passed = |at: Option<u64>| at.map_or(u64::MAX, |at| now.saturating_sub(at));
        if self.share <= LOW {
            let seconds = passed(self.increased).min(1_000_000) as f64 / 1e6;
            self.increased = Some(now);
            self.apply(self.rate * GROWTH.powf(seconds) + GROWTH_MORE * seconds);
            return;
        }
        self.increased = Some(now);
        if self.share > HIGH && passed(self.decreased) >= PAUSE.saturating_add(round_trip) {
            self.decreased = Some(now);
            self.apply(self.rate * (1.0 - self.share / 2.0));
        }
    }

    fn update(&mut self, now: u64) {
        if self.silence.is_long() {
            let passed = self
                .decreased
                .is_none_or(|at| now.saturating_sub(at) >= SILENCE_EVERY);
            if passed && self.rate > SILENCE_LEAST {
                self.decreased = Some(now);
                self.apply((self.rate * SILENCE_FACTOR).max(SILENCE_LEAST));
            }
            return;
        }
        let is_young = self.first.is_none_or(|at| now.saturating_sub(at) < START);
        let is_ready = self.loss.is_ready();
        let rate = if is_ready {
            self.loss.result().0
        } else if self.share == 0.0 && is_young && self.delay.is_finite() {
            self.rate.max(self.delay)
        } else {
            self.rate
        };
        self.apply(rate);
    }

    fn apply(&mut self, rate: f64) {
        self.rate = rate.min(self.delay).min(self.max).max(self.min);
    }
}
