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
    /// Gilbert's model: a good and a bad state; in the bad one every packet is lost.
    Burst {
        /// Probability, per packet, to go from good to bad.
        enter: f64,
        /// Probability, per packet, to go from bad to good.
        leave: f64,
    },
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
    /// Bytes that may wait for a limited rate; what does not fit is lost.
    pub queue: usize,
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
            queue: 256 * 1024,
        }
    }
}

/// One direction of a path, with its state.
#[derive(Debug)]
pub struct Link {
    spec: LinkSpec,
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
            rng: ChaCha8Rng::seed_from_u64(seed),
            bad: false,
            idle_at: None,
            last_arrival: None,
        }
    }

    /// Changes what the path does from now on.
    pub fn set_spec(&mut self, spec: LinkSpec) {
        self.spec = spec;
    }

    /// Sends a packet of `len` bytes; returns when it arrives, or nothing if it is lost.
    pub fn send(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let departure = self.depart(now, len)?;
        if self.is_lost() {
            return None;
        }
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
        let waiting = (start - now).as_secs_f64() * rate as f64 / 8.0;
        if waiting + len as f64 > self.spec.queue as f64 {
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
            Loss::Burst { enter, leave } => {
                let change = if self.bad { leave } else { enter };
                if self.rng.random_bool(change.clamp(0.0, 1.0)) {
                    self.bad = !self.bad;
                }
                self.bad
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
            loss: Loss::Burst {
                enter: 0.01,
                leave: 0.2,
            },
            ..LinkSpec::default()
        };
        let all = run(spec, 10_000, Duration::from_millis(1));
        let pairs = all.windows(2).filter(|w| w[0].is_none() && w[1].is_none());
        let lost = all.iter().filter(|d| d.is_none()).count();
        assert!(pairs.count() * 2 > lost, "mean burst must be long");
    }

    #[test]
    fn a_limited_rate_queues_and_then_drops() {
        let spec = LinkSpec {
            rate: Some(800_000),
            queue: 5_000,
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
