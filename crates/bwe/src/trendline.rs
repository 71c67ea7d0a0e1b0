//! Whether queues on the path grow: the slope of delay over time, against a threshold that adapts to the path's noise.

use crate::groups::Delta;
use crate::report::Usage;

/// Groups a line is laid through.
const WINDOW: usize = 20;
/// Weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// The slope is multiplied by this, and by the number of groups seen up to [`GROUPS`].
const GAIN: f64 = 4.0;
const GROUPS: u32 = 60;
/// Overuse lasts at least so long before it is one, milliseconds.
const OVERUSE: f64 = 10.0;
/// How fast the threshold rises and falls, per millisecond.
const RISE: f64 = 0.0087;
const FALL: f64 = 0.039;
const THRESHOLD: f64 = 12.5;
const THRESHOLDS: (f64, f64) = (6.0, 600.0);
/// Trends this far above the threshold do not change it.
const SPIKE: f64 = 15.0;
/// The threshold adapts for no more than this at once, milliseconds.
const STEP: f64 = 100.0;

/// See the module.
#[derive(Debug)]
pub(crate) struct Trendline {
    /// Arrivals since the first one and smoothed delays, milliseconds; a ring.
    times: [f64; WINDOW],
    delays: [f64; WINDOW],
    next: usize,
    groups: u32,
    first: Option<i64>,
    accumulated: f64,
    smoothed: f64,
    threshold: f64,
    updated: Option<f64>,
    trend: f64,
    /// Milliseconds over the threshold.
    over: Option<f64>,
    overs: u32,
    usage: Usage,
}

impl Default for Trendline {
    fn default() -> Self {
        Self {
            times: [0.0; WINDOW],
            delays: [0.0; WINDOW],
            next: 0,
            groups: 0,
            first: None,
            accumulated: 0.0,
            smoothed: 0.0,
            threshold: THRESHOLD,
            updated: None,
            trend: 0.0,
            over: None,
            overs: 0,
            usage: Usage::Normal,
        }
    }
}

impl Trendline {
    /// What the trend says now.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// A group is complete; `arrived` is when the next one began to arrive, microseconds.
    pub(crate) fn add(&mut self, delta: Delta, arrived: i64) {
        let first = *self.first.get_or_insert(arrived);
        let now = arrived.saturating_sub(first) as f64 / 1_000.0;
        let sent = delta.sent as f64 / 1_000.0;
        self.groups = (self.groups + 1).min(1_000);
        self.accumulated += delta.arrived as f64 / 1_000.0 - sent;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        self.times[self.next] = now;
        self.delays[self.next] = self.smoothed;
        self.next = (self.next + 1) % WINDOW;
        let trend = if self.groups as usize >= WINDOW {
            self.slope(now).unwrap_or(self.trend)
        } else {
            self.trend
        };
        self.detect(trend, sent, now);
    }

    /// Slope of the line through the window. Times count from the newest one, so that an hour costs no precision.
    fn slope(&self, newest: f64) -> Option<f64> {
        let (mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0);
        for (time, delay) in self.times.iter().zip(&self.delays) {
            let time = time - newest;
            let delay = delay - self.smoothed;
            x += time;
            y += delay;
            xx += time * time;
            xy += time * delay;
        }
        let n = WINDOW as f64;
        let spread = n * xx - x * x;
        (spread > 1e-9).then(|| (n * xy - x * y) / spread)
    }

    fn detect(&mut self, trend: f64, sent: f64, now: f64) {
        if self.groups < 2 {
            self.usage = Usage::Normal;
            return;
        }
        let modified = f64::from(self.groups.min(GROUPS)) * trend * GAIN;
        if modified > self.threshold {
            // Half of the time since the group before counts as overuse at first.
            let over = self.over.map_or(sent / 2.0, |over| over + sent);
            self.over = Some(over);
            self.overs += 1;
            if over > OVERUSE && self.overs > 1 && trend >= self.trend {
                self.over = Some(0.0);
                self.overs = 0;
                self.usage = Usage::Overuse;
            }
        } else {
            self.over = None;
            self.overs = 0;
            self.usage = if modified < -self.threshold {
                Usage::Underuse
            } else {
                Usage::Normal
            };
        }
        self.trend = trend;
        self.adapt(modified.abs(), now);
    }

    fn adapt(&mut self, modified: f64, now: f64) {
        let passed = (now - self.updated.unwrap_or(now)).min(STEP);
        self.updated = Some(now);
        if modified > self.threshold + SPIKE {
            return;
        }
        let speed = if modified < self.threshold {
            FALL
        } else {
            RISE
        };
        self.threshold += speed * (modified - self.threshold) * passed;
        self.threshold = self.threshold.clamp(THRESHOLDS.0, THRESHOLDS.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups every 10 ms whose delay grows by `growth` microseconds each.
    fn run(line: &mut Trendline, from: i64, groups: i64, growth: i64) -> Usage {
        for n in 0..groups {
            let delta = Delta {
                sent: 10_000,
                arrived: 10_000 + growth,
            };
            line.add(delta, from + n * (10_000 + growth));
        }
        line.usage()
    }

    #[test]
    fn growing_delay_is_overuse_and_falling_delay_is_underuse() {
        let mut line = Trendline::default();
        assert_eq!(run(&mut line, 0, 100, 0), Usage::Normal);
        assert_eq!(run(&mut line, 1_000_000, 30, 2_000), Usage::Overuse);
        assert_eq!(run(&mut line, 2_000_000, 40, -2_000), Usage::Underuse);
        assert_eq!(run(&mut line, 3_000_000, 80, 0), Usage::Normal);
    }

    #[test]
    fn noise_raises_the_threshold() {
        let mut line = Trendline::default();
        let mut over = 0;
        for n in 0..2_000_i64 {
            // A wave of 40 groups: the delay rises and falls by 6 ms.
            let growth = if n % 40 < 20 { 300 } else { -300 };
            let delta = Delta {
                sent: 10_000,
                arrived: 10_000 + growth,
            };
            line.add(delta, n * 10_000);
            over += usize::from(n > 1_000 && line.usage() == Usage::Overuse);
        }
        assert!(over < 100, "{over}");
    }

    #[test]
    fn the_beginning_tells_nothing() {
        let mut line = Trendline::default();
        assert_eq!(run(&mut line, 0, 10, 20_000), Usage::Normal);
    }
}
