//! One direction of a path through a network.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How packets get lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// None does.
    None,
    /// Each packet with this probability (0 to 1), independently.
    Random(f64),
    /// The model of Gilbert and Elliott: a good and a bad state, each with its loss.
    Burst {
        /// Probability, per packet, to go from good to bad.
        enter: f64,
        /// Probability, per packet, to go from bad to good.
        leave: f64,
        /// Probability of loss in the good state.
        good: f64,
        /// Probability of loss in the bad state.
        bad: f64,
    },
}

impl Loss {
    /// Bursts in which everything is lost: this share of all packets (0 to 1, not 1), so many in a row on average.
    #[must_use]
    pub fn bursts(share: f64, length: f64) -> Self {
        let leave = 1.0 / length.max(1.0);
        Self::Burst {
            enter: (share * leave / (1.0 - share)).clamp(0.0, 1.0),
            leave,
            good: 0.0,
            bad: 1.0,
        }
    }
}

/// How much may wait for a limited rate; what does not fit is lost (drop tail).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// So many bytes.
    Bytes(usize),
    /// As much as leaves within this time.
    Time(Duration),
}

/// What a path does to packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkSpec {
    /// Delay of every packet.
    pub delay: Duration,
    /// Further delay, uniform from zero to this. Order is kept.
    pub jitter: Duration,
    /// Loss.
    pub loss: Loss,
    /// Probability (0 to 1) that a packet is held back by `reorder_by`, so that later ones overtake it.
    pub reorder: f64,
    /// How long such a packet is held back.
    pub reorder_by: Duration,
    /// Bits a second; `None`: no limit.
    pub rate: Option<u64>,
    /// What may wait for a limited rate.
    pub queue: Queue,
}

impl Default for LinkSpec {
    /// A clean path of 1 ms.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: Loss::None,
            reorder: 0.0,
            reorder_by: Duration::from_millis(5),
            rate: None,
            queue: Queue::Bytes(256 * 1024),
        }
    }
}

/// What a path does over time.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// Latest change last, each with the time since the path was made.
    changes: Vec<(Duration, LinkSpec)>,
}

impl Course {
    /// Always the same.
    #[must_use]
    pub fn steady(spec: LinkSpec) -> Self {
        Self::default().then(Duration::ZERO, spec)
    }

    /// From `at` on something else; changes come in the order of their times.
    #[must_use]
    pub fn then(mut self, at: Duration, spec: LinkSpec) -> Self {
        self.changes.push((at, spec));
        self
    }

    /// What it does at this time since it was made.
    #[must_use]
    pub fn at(&self, elapsed: Duration) -> LinkSpec {
        let known = self.changes.partition_point(|(at, _)| *at <= elapsed);
        let last = known.checked_sub(1).and_then(|n| self.changes.get(n));
        last.map_or_else(LinkSpec::default, |(_, spec)| *spec)
    }
}

/// What became of the packets of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Given to it.
    pub sent: u64,
    /// Did not fit into the queue.
    pub dropped: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Bytes that passed.
    pub bytes: u64,
}

/// One direction of a path, with its state.
#[derive(Debug)]
pub struct Link {
    spec: LinkSpec,
    course: Option<(Course, Instant)>,
    stats: LinkStats,
    rng: ChaCha8Rng,
    bad: bool,
    /// When the sender's queue is empty again.
    idle_at: Option<Instant>,
    /// Arrival of the last packet that was not held back.
    last_arrival: Option<Instant>,
}

impl Link {
    /// A path with its own chance.
    #[must_use]
    pub fn new(spec: LinkSpec, seed: u64) -> Self {
        Self {
            spec,
            course: None,
            stats: LinkStats::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            bad: false,
            idle_at: None,
            last_arrival: None,
        }
    }

    /// A path that changes over time, which counts from `start`.
    #[must_use]
    pub fn over_time(course: Course, start: Instant, seed: u64) -> Self {
        Self {
            course: Some((course, start)),
            ..Self::new(LinkSpec::default(), seed)
        }
    }

    /// Changes what the path does from now on; what waits in its queue still leaves at the rate there was.
    pub fn set_spec(&mut self, spec: LinkSpec) {
        self.course = None;
        self.spec = spec;
    }

    /// What became of the packets so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// How long a packet that is sent now would wait.
    #[must_use]
    pub fn waiting(&self, now: Instant) -> Duration {
        self.idle_at
            .map_or(Duration::ZERO, |idle| idle.saturating_duration_since(now))
    }

    /// Sends a packet of `len` bytes; returns when it arrives, or nothing if it is lost.
    pub fn send(&mut self, now: Instant, len: usize) -> Option<Instant> {
        if let Some((course, start)) = &self.course {
            self.spec = course.at(now.saturating_duration_since(*start));
        }
        self.stats.sent += 1;
        let Some(departure) = self.depart(now, len) else {
            self.stats.dropped += 1;
            return None;
        };
        if self.is_lost() {
            self.stats.lost += 1;
            return None;
        }
        self.stats.bytes += len as u64;
        let jitter = self.spec.jitter.mul_f64(self.rng.random::<f64>());
        let arrival = departure + self.spec.delay + jitter;
        if self.spec.reorder > 0.0 && self.rng.random_bool(self.spec.reorder.clamp(0.0, 1.0)) {
            return Some(arrival + self.spec.reorder_by);
        }
        let arrival = self.last_arrival.map_or(arrival, |last| last.max(arrival));
        self.last_arrival = Some(arrival);
        Some(arrival)
    }

    /// Passes the rate limit: when the last bit leaves, or nothing if the queue is full.
    fn depart(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.spec.rate.filter(|rate| *rate > 0) else {
            return Some(now);
        };
        let start = self.idle_at.map_or(now, |idle| idle.max(now));
        let waiting = (start - now).as_secs_f64();
        let fits = match self.spec.queue {
            Queue::Bytes(most) => waiting * rate as f64 / 8.0 + len as f64 <= most as f64,
            Queue::Time(most) => waiting <= most.as_secs_f64(),
        };
        if !fits {
            return None;
        }
        let end = start + Duration::from_secs_f64(len as f64 * 8.0 / rate as f64);
        self.idle_at = Some(end);
        Some(end)
    }

    fn is_lost(&mut self) -> bool {
        match self.spec.loss {
            Loss::None => false,
            Loss::Random(p) => self.rng.random_bool(p.clamp(0.0, 1.0)),
            Loss::Burst {
                enter,
                leave,
                good,
                bad,
            } => {
                let change = if self.bad { leave } else { enter };
                if self.rng.random_bool(change.clamp(0.0, 1.0)) {
                    self.bad = !self.bad;
                }
                let lost = if self.bad { bad } else { good };
                self.rng.random_bool(lost.clamp(0.0, 1.0))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some first instant")]
mod tests {
    use super::*;

    fn run(spec: LinkSpec, packets: usize, every: Duration) -> Vec<Option<Duration>> {
        let start = Instant::now();
        let mut link = Link::new(spec, 7);
        (0..packets)
            .map(|n| {
                let now = start + every * u32::try_from(n).unwrap();
                link.send(now, 1_000).map(|at| at - now)
            })
            .collect()
    }

    #[test]
    fn a_clean_path_only_delays() {
        let all = run(LinkSpec::default(), 50, Duration::from_millis(1));
        assert!(all.iter().all(|d| *d == Some(Duration::from_millis(1))));
    }

    #[test]
    fn random_loss_is_near_its_probability() {
        let spec = LinkSpec {
            loss: Loss::Random(0.1),
            ..LinkSpec::default()
        };
        let lost = run(spec, 10_000, Duration::from_millis(1))
            .iter()
            .filter(|d| d.is_none())
            .count();
        assert!((800..1_200).contains(&lost), "{lost}");
    }

    #[test]
    fn bursts_lose_several_in_a_row() {
        let spec = LinkSpec {
            loss: Loss::bursts(0.05, 5.0),
            ..LinkSpec::default()
        };
        let all = run(spec, 10_000, Duration::from_millis(1));
        let pairs = all.windows(2).filter(|w| w[0].is_none() && w[1].is_none());
        let lost = all.iter().filter(|d| d.is_none()).count();
        assert!(pairs.count() * 2 > lost, "mean burst must be long");
        assert!((300..700).contains(&lost), "{lost}");
    }

    #[test]
    fn a_path_changes_over_time() {
        let at = |kbit: u64| LinkSpec {
            rate: Some(kbit * 1_000),
            queue: Queue::Time(Duration::from_millis(100)),
            ..LinkSpec::default()
        };
        let course = Course::steady(at(800)).then(Duration::from_secs(1), at(80));
        let start = Instant::now();
        let mut link = Link::over_time(course, start, 1);
        let after = |link: &mut Link, ms| {
            let now = start + Duration::from_millis(ms);
            link.send(now, 1_000).map(|at| (at - now).as_millis())
        };
        assert_eq!(after(&mut link, 0), Some(11));
        assert_eq!(after(&mut link, 1_000), Some(101));
        assert_eq!(after(&mut link, 1_000), Some(201));
        assert_eq!(after(&mut link, 1_000), None);
        assert_eq!(link.stats().dropped, 1);
    }

    #[test]
    fn a_limited_rate_queues_and_then_drops() {
        let spec = LinkSpec {
            rate: Some(800_000),
            queue: Queue::Bytes(5_000),
            ..LinkSpec::default()
        };
        let all = run(spec, 10, Duration::ZERO);
        let arrived: Vec<_> = all.iter().flatten().collect();
        assert_eq!(arrived.len(), 5);
        assert_eq!(*arrived[4], Duration::from_millis(51));
    }

    #[test]
    fn jitter_keeps_order_and_reordering_does_not() {
        let jitter = LinkSpec {
            jitter: Duration::from_millis(20),
            ..LinkSpec::default()
        };
        let every = Duration::from_millis(1);
        let arrivals = |spec| {
            run(spec, 1_000, every)
                .iter()
                .enumerate()
                .map(|(n, d)| every * u32::try_from(n).unwrap() + d.unwrap())
                .collect::<Vec<_>>()
        };
        assert!(arrivals(jitter).is_sorted());
        let reorder = LinkSpec {
            reorder: 0.05,
            ..LinkSpec::default()
        };
        assert!(!arrivals(reorder).is_sorted());
    }
}
