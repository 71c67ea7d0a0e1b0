//! The other way: what the path from a sender carries that measures nothing itself, by when its packets say they left and
//! when they came (`draft-alvestrand-rmcat-remb-03`). Loss is left to the sender, who is told of it in receiver reports.

use crate::delay::{DelayBased, Report};
use crate::report::{Config, Usage};
use crate::throughput::Throughput;

/// Units of an absolute send time in a second, and how many bits it has.
const UNITS: i64 = 1 << 18;
const BITS: u32 = 24;
/// After this pause the sender's clock begins anew, microseconds: it wraps after 64 s, and queues are gone.
const PAUSE: u64 = 2_000_000;

/// What the path from one sender carries.
///
/// Tell it of each packet that comes, and ask [`Arriving::estimate`] about ten times a second. Nothing here trusts the
/// sender: whatever its packets say, the estimate stays within its limits and memory does not grow.
#[derive(Debug)]
pub struct Arriving {
    config: Config,
    throughput: Throughput,
    delay: DelayBased,
    clock: Option<Clock>,
    /// The shortest time that a packet took since the last look, on two clocks; `None`: nothing came.
    fastest: Option<i64>,
    /// What arrives was known once: from then on there is an estimate.
    known: bool,
}

/// The sender's clock, continued beyond 24 bits, beside ours.
#[derive(Debug, Clone, Copy)]
struct Clock {
    last: u32,
    units: i64,
    /// What ours showed when it showed none.
    zero: u64,
    heard: u64,
}

impl Arriving {
    /// Nothing is known of the path yet. The estimate begins at `config.start`, or at what arrives if that is more.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let max = config.max.max(config.min);
        let start = config.start.clamp(config.min, max);
        Self {
            config: Config {
                start,
                max,
                ..config
            },
            throughput: Throughput::default(),
            delay: DelayBased::new(start as f64, config.min as f64),
            clock: None,
            fastest: None,
            known: false,
        }
    }

    /// A packet of `size` bytes came at `now`, microseconds, and says that it left at `sent`: 24 bits, seconds in 6.18 fixed
    /// point.
    #[inline]
    pub fn packet(&mut self, now: u64, sent: u32, size: usize) {
        let sent = self.time(now, sent);
        let arrived = i64::try_from(now).unwrap_or(i64::MAX);
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        self.throughput.add(sent, arrived, size);
        self.delay.packet(now, sent, arrived);
        let took = arrived.saturating_sub_unsigned(sent);
        self.fastest = Some(self.fastest.map_or(took, |fastest| fastest.min(took)));
    }

    /// Bits per second that the sender should send at most; `None` as long as little has come, and when nothing came since it
    /// was asked last. `round_trip`: microseconds, if known.
    pub fn estimate(&mut self, now: u64, round_trip: Option<u64>) -> Option<u64> {
        let fastest = self.fastest.take()?;
        let arrives = self.throughput.rate();
        if let Some(rate) = arrives.filter(|_| !self.known) {
            self.known = true;
            self.delay.begin(now, rate.max(self.config.start as f64));
        }
        if let Some(round_trip) = round_trip {
            self.delay.set_round_trip(round_trip);
        }
        let recent = (self.delay.usage() == Usage::Overuse)
            .then(|| self.throughput.recent())
            .flatten();
        let report = Report {
            fastest,
            arrives,
            recent,
            ..Report::default()
        };
        self.delay.finish(now, &report);
        let rate = self.delay.rate() as u64;
        self.known
            .then(|| rate.clamp(self.config.min, self.config.max))
    }

    /// When a packet left, on our clock as far as the first one took no time.
    fn time(&mut self, now: u64, sent: u32) -> u64 {
        let fresh = |clock: &Clock| now.saturating_sub(clock.heard) <= PAUSE;
        let clock = self.clock.filter(fresh).map_or(
            Clock {
                last: sent,
                units: 0,
                zero: now,
                heard: now,
            },
            |clock| {
                // Of two ways around the clock the shorter one.
                let ahead = sent.wrapping_sub(clock.last) << (32 - BITS);
                let ahead = i64::from((ahead as i32) >> (32 - BITS));
                Clock {
                    last: sent,
                    units: clock.units.saturating_add(ahead),
                    heard: now,
                    ..clock
                }
            },
        );
        self.clock = Some(clock);
        let micros = i128::from(clock.units) * 1_000_000 / i128::from(UNITS);
        clock
            .zero
            .saturating_add_signed(i64::try_from(micros).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: Config = Config {
        start: 300_000,
        min: 30_000,
        max: 5_000_000,
    };
    const SECOND: u64 = 1_000_000;

    /// A sender that does as it is told, once it is, over a path of a rate with a queue without end.
    struct Path {
        rate: u64,
        now: u64,
        /// When the queue is empty.
        free: u64,
        sends: u64,
        arriving: Arriving,
    }

    impl Path {
        fn new(rate: u64) -> Self {
            Self {
                rate,
                // The sender's clock wraps after 4 s.
                now: 60 * SECOND,
                free: 0,
                sends: 300_000,
                arriving: Arriving::new(CONFIG),
            }
        }

        /// Estimates of some seconds, with the time that the queue takes.
        fn run(&mut self, seconds: u64) -> Vec<(u64, u64)> {
            let mut all = Vec::new();
            let end = self.now + seconds * SECOND;
            let mut look = self.now;
            let mut came = Vec::new();
            while self.now < end {
                // Frames of 33 ms, in packets of 1000 bytes at most.
                let mut frame = self.sends / 30 / 8;
                while frame > 0 {
                    let size = frame.min(1_000);
                    frame -= size;
                    self.free = self.free.max(self.now) + size * 8 * SECOND / self.rate;
                    came.push((self.free, self.now, size));
                }
                self.now += SECOND / 30;
                let now = self.now;
                came.retain(|&(at, sent, size)| {
                    if at <= now {
                        let [a, b, c] = [16, 8, 0].map(|n| (((sent << 18) / SECOND) >> n) as u8);
                        let sent = u32::from_be_bytes([0, a, b, c]);
                        self.arriving.packet(at, sent, size as usize);
                    }
                    at > now
                });
                if now >= look {
                    look = now + SECOND / 10;
                    if let Some(rate) = self.arriving.estimate(now, Some(50_000)) {
                        self.sends = rate;
                        all.push((rate, self.free.saturating_sub(now)));
                    }
                }
            }
            all
        }
    }

    #[test]
    fn the_estimate_grows_to_what_the_path_carries_and_makes_no_queue_that_stays() {
        let mut path = Path::new(1_000_000);
        path.run(30);
        let later = path.run(60);
        let mut rates: Vec<_> = later.iter().map(|(rate, _)| *rate).collect();
        rates.sort_unstable();
        let median = rates[rates.len() / 2];
        assert!((700_000..=1_050_000).contains(&median), "{median}");
        let long = later.iter().filter(|(_, queue)| *queue > 150_000).count();
        assert!(long * 10 < later.len(), "{long} of {}", later.len());
    }

    #[test]
    fn a_path_that_becomes_narrow_is_followed_within_two_seconds() {
        let mut path = Path::new(2_000_000);
        path.run(40);
        assert!(path.sends > 1_200_000, "{}", path.sends);
        path.rate = 500_000;
        path.run(2);
        assert!(path.sends < 500_000, "{}", path.sends);
    }

    #[test]
    fn silence_is_no_estimate_and_a_pause_no_queue() {
        let mut path = Path::new(1_000_000);
        assert_eq!(path.arriving.estimate(0, None), None);
        let before = path.run(20).pop().unwrap().0;
        path.now += 50 * SECOND;
        assert_eq!(path.arriving.estimate(path.now, None), None);
        let after = path.run(1).pop().unwrap().0;
        assert!(after * 10 >= before * 9, "{before} {after}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_packets_say_it_stays_within_its_limits(
            packets in proptest::collection::vec((0..3_000_000u64, proptest::num::u32::ANY, 0..3_000usize), 0..300)
        ) {
            let (mut arriving, mut now) = (Arriving::new(CONFIG), 0);
            for (wait, sent, size) in packets {
                now += wait;
                arriving.packet(now, sent, size);
                if let Some(rate) = arriving.estimate(now, None) {
                    assert!((CONFIG.min..=CONFIG.max).contains(&rate));
                }
            }
        }
    }
}
