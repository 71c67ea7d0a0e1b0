//! A sender with a given demand, paced by its estimate, over one path of the network model, and what comes of it.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bwe::{Acked, Config, Estimator, Probe, ProbeId};
use sim::{Course, Link, LinkSpec};

/// The clock's step.
const STEP: u64 = 1_000;
/// The receiver reports so often, microseconds.
const REPORT: u64 = 100_000;
const PACKET: usize = 1_200;
const AUDIO: usize = 120;
const AUDIO_EVERY: u64 = 20_000;

/// Whoever says what to send: our estimator, or another one to compare it with.
pub(crate) trait Controller {
    fn sent(&mut self, now: u64, size: usize, sequence: i64, probe: Option<Probe>);
    /// Packets with their sequence numbers and the probes they belong to.
    fn feedback(&mut self, now: u64, packets: &[(i64, Acked, Option<Probe>)]);
    fn advance(&mut self, now: u64);
    fn demand(&mut self, now: u64, wanted: u64);
    fn poll_probe(&mut self, now: u64) -> Option<Probe>;
    fn target(&self) -> u64;
}

impl Controller for Estimator {
    fn sent(&mut self, now: u64, size: usize, _: i64, _: Option<Probe>) {
        Self::sent(self, now, size);
    }

    fn feedback(&mut self, now: u64, packets: &[(i64, Acked, Option<Probe>)]) {
        let packets: Vec<Acked> = packets.iter().map(|(_, packet, _)| *packet).collect();
        Self::feedback(self, now, &packets, None);
    }

    fn advance(&mut self, now: u64) {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            self.on_timer(now);
        }
    }

    fn demand(&mut self, now: u64, wanted: u64) {
        Self::demand(self, now, wanted);
    }

    fn poll_probe(&mut self, now: u64) -> Option<Probe> {
        Self::poll_probe(self, now)
    }

    fn target(&self) -> u64 {
        self.estimate().target
    }
}

/// A scenario.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) name: String,
    /// There and back.
    pub(crate) course: Course,
    pub(crate) back: LinkSpec,
    pub(crate) seconds: u64,
    /// Bits per second: what the layers carry, lowest first; with none anything can be sent up to `wanted`.
    pub(crate) layers: Vec<u64>,
    pub(crate) wanted: u64,
}

/// One moment, every 100 ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: f64,
    pub(crate) target: u64,
    pub(crate) capacity: Option<u64>,
    pub(crate) video: u64,
    /// Milliseconds a packet waits.
    pub(crate) queue: f64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) moments: Vec<Moment>,
    pub(crate) link: sim::LinkStats,
    /// Packets dropped by the queue after the first three seconds, as a share of all.
    pub(crate) dropped: f64,
    /// Bytes of padding, as a share of all.
    pub(crate) padding: f64,
}

impl Run {
    fn after(&self, seconds: f64) -> impl Iterator<Item = &Moment> + Clone {
        self.moments.iter().filter(move |m| m.at >= seconds)
    }

    /// Median of the estimate's distance from the capacity (or from what is wanted, if that is less), as a share.
    pub(crate) fn median_error(&self, from: f64, wanted: u64) -> f64 {
        let mut errors: Vec<f64> = self
            .after(from)
            .map(|m| {
                let right = m.capacity.unwrap_or(u64::MAX).min(wanted) as f64;
                // Beyond what is wanted nothing is too much.
                let estimate = if right == wanted as f64 {
                    m.target.min(wanted)
                } else {
                    m.target
                };
                (estimate as f64 / right - 1.0).abs()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        errors.get(errors.len() / 2).copied().unwrap_or(1.0)
    }

    /// Share of time in which the estimate is above the capacity by more than a twentieth.
    pub(crate) fn above(&self, from: f64) -> f64 {
        let over = self.after(from).filter(|m| {
            m.capacity
                .is_some_and(|c| m.target as f64 > c as f64 * 1.05)
        });
        over.count() as f64 / self.after(from).count().max(1) as f64
    }

    /// Lowest estimate after this time.
    pub(crate) fn lowest(&self, from: f64) -> u64 {
        self.after(from).map(|m| m.target).min().unwrap_or(0)
    }

    /// Seconds from `from` until the estimate is `level` for the first time.
    pub(crate) fn reaches(&self, from: f64, level: u64) -> Option<f64> {
        self.after(from)
            .find(|m| m.target >= level)
            .map(|m| m.at - from)
    }

    /// Seconds from `from` until the estimate is no more than `level`.
    pub(crate) fn falls(&self, from: f64, level: u64) -> Option<f64> {
        self.after(from)
            .find(|m| m.target <= level)
            .map(|m| m.at - from)
    }

    /// Median of the estimate, bits per second.
    pub(crate) fn median(&self, from: f64) -> u64 {
        let mut all: Vec<u64> = self.after(from).map(|m| m.target).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    }

    /// Milliseconds that 95 of 100 packets do not wait longer than.
    pub(crate) fn queue(&self, from: f64) -> f64 {
        let mut all: Vec<f64> = self.after(from).map(|m| m.queue).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() * 95 / 100).copied().unwrap_or(0.0)
    }

    /// Share of time in which at least this much video was sent.
    pub(crate) fn sends(&self, from: f64, video: u64) -> f64 {
        let enough = self.after(from).filter(|m| m.video >= video).count();
        enough as f64 / self.after(from).count().max(1) as f64
    }
}

struct Packet {
    sent: u64,
    size: u16,
    probe: Option<Probe>,
    arrived: Option<i64>,
}

/// Sequence numbers and arrivals.
type Report = Vec<(i64, Option<i64>)>;

struct Walk<'a, C> {
    controller: &'a mut C,
    start: Instant,
    there: Link,
    back: Link,
    packets: BTreeMap<i64, Packet>,
    next: i64,
    /// Arrivals to come, and reports on their way.
    arriving: BTreeMap<(u64, i64), ()>,
    reports: VecDeque<(u64, Report)>,
    fresh: Vec<i64>,
    reported: i64,
}

impl<C: Controller> Walk<'_, C> {
    fn instant(&self, now: u64) -> Instant {
        self.start + Duration::from_micros(now)
    }

    fn send(&mut self, now: u64, size: usize, probe: Option<Probe>) {
        let n = self.next;
        self.next += 1;
        self.controller.sent(now, size, n, probe);
        let at = self.instant(now);
        if let Some(arrival) = self.there.send(at, size + 28) {
            let arrival = (arrival - self.start).as_micros() as u64;
            self.arriving.insert((arrival, n), ());
        }
        let packet = Packet {
            sent: now,
            size: size as u16,
            probe,
            arrived: None,
        };
        self.packets.insert(n, packet);
    }

    fn arrive(&mut self, now: u64) {
        while let Some(entry) = self.arriving.first_entry() {
            let (at, n) = *entry.key();
            if at > now {
                return;
            }
            entry.remove();
            if let Some(packet) = self.packets.get_mut(&n) {
                // The peer's clock is another one, and tells quarters of a millisecond.
                packet.arrived = Some((at / 250 * 250) as i64 + 7_000_000_000);
                self.fresh.push(n);
            }
        }
    }

    fn report(&mut self, now: u64) {
        let Some(last) = self.fresh.iter().max().copied() else {
            return;
        };
        let first = self
            .fresh
            .iter()
            .min()
            .copied()
            .unwrap_or(last)
            .min(self.reported + 1);
        let fresh = std::mem::take(&mut self.fresh);
        let all = (first..=last.max(self.reported))
            .filter(|n| *n > self.reported || fresh.contains(n))
            .map(|n| (n, self.packets.get(&n).and_then(|p| p.arrived)))
            .collect();
        self.reported = last.max(self.reported);
        if let Some(arrival) = self.back.send(self.instant(now), 80) {
            let arrival = (arrival - self.start).as_micros() as u64;
            self.reports.push_back((arrival, all));
        }
    }

    fn hear(&mut self, now: u64) {
        while let Some((_, report)) = self.reports.pop_front_if(|(at, _)| *at <= now) {
            let packets: Vec<_> = report
                .iter()
                .filter_map(|(n, arrived)| {
                    let packet = self.packets.get(n)?;
                    let acked = Acked {
                        sent: packet.sent,
                        arrived: *arrived,
                        size: packet.size,
                        probe: packet.probe.map(|p| p.id),
                    };
                    Some((*n, acked, packet.probe))
                })
                .collect();
            self.controller.feedback(now, &packets);
        }
    }
}

/// Runs a scenario.
pub(crate) fn run(scene: &Scene, controller: &mut impl Controller, seed: u64) -> Run {
    #[allow(
        clippy::disallowed_methods,
        reason = "any instant will do as the beginning"
    )]
    let start = Instant::now();
    let mut walk = Walk {
        controller,
        start,
        there: Link::over_time(scene.course.clone(), start, seed),
        back: Link::new(scene.back, seed + 1),
        packets: BTreeMap::new(),
        next: 0,
        arriving: BTreeMap::new(),
        reports: VecDeque::new(),
        fresh: Vec::new(),
        reported: -1,
    };
    let mut moments = Vec::new();
    let mut tokens = 0.0;
    let mut video = 0;
    let mut probe: Option<(Probe, u64, u32, u32)> = None;
    let (mut padding, mut bytes) = (0, 0);
    let mut early = sim::LinkStats::default();
    for now in (0..scene.seconds * 1_000_000).step_by(STEP as usize) {
        walk.arrive(now);
        if now % REPORT == 0 {
            walk.report(now);
        }
        walk.hear(now);
        walk.controller.advance(now);
        walk.controller.demand(now, scene.wanted);
        if now % AUDIO_EVERY == 0 {
            walk.send(now, AUDIO, probe.map(|(p, ..)| p));
        }
        if now % 100_000 == 0 {
            let target = walk.controller.target();
            let most = target.saturating_sub(60_000).min(scene.wanted);
            let layers = scene.layers.iter().copied().filter(|rate| *rate <= most);
            video = if scene.layers.is_empty() {
                most
            } else {
                layers.max().unwrap_or(0)
            };
            let elapsed = Duration::from_micros(now);
            moments.push(Moment {
                at: elapsed.as_secs_f64(),
                target,
                capacity: scene.course.at(elapsed).rate,
                video,
                queue: walk.there.waiting(start + elapsed).as_secs_f64() * 1e3,
            });
        }
        tokens += video as f64 / 8e6 * STEP as f64;
        if probe.is_none() {
            probe = walk.controller.poll_probe(now).map(|p| (p, now, 0, 0));
        }
        if let Some((cluster, begun, sent, sent_bytes)) = &mut probe {
            let due = cluster.bitrate as f64 / 8e6 * (now - *begun) as f64;
            let count = cluster
                .min_packets
                .max(cluster.min_bytes.div_ceil(PACKET as u32));
            let size = (cluster.min_bytes / count + 1).clamp(200, PACKET as u32);
            let cluster = *cluster;
            while f64::from(*sent_bytes) <= due
                && (*sent <= count || *sent_bytes < cluster.min_bytes)
            {
                walk.send(now, size as usize, Some(cluster));
                *sent += 1;
                *sent_bytes += size;
                bytes += size as usize;
                // Media goes along first.
                if tokens >= f64::from(size) {
                    tokens -= f64::from(size);
                } else {
                    padding += size as usize;
                }
            }
            if *sent > count && *sent_bytes >= cluster.min_bytes {
                probe = None;
            }
        }
        while probe.is_none() && tokens >= PACKET as f64 {
            tokens -= PACKET as f64;
            bytes += PACKET;
            walk.send(now, PACKET, None);
        }
        if now == 3_000_000 {
            early = walk.there.stats();
        }
    }
    let link = walk.there.stats();
    let dropped = (link.dropped - early.dropped) as f64 / (link.sent - early.sent).max(1) as f64;
    Run {
        moments,
        link,
        dropped,
        padding: padding as f64 / bytes.max(1) as f64,
    }
}

/// Our estimator as the bridge begins with it.
pub(crate) fn ours() -> Estimator {
    let config = Config {
        start: 300_000,
        min: 30_000,
        max: 20_000_000,
    };
    Estimator::new(config, 0)
}

/// A name that no probe of ours has.
pub(crate) fn name(n: i32) -> ProbeId {
    let n = u8::try_from(n.rem_euclid(255) + 1).unwrap_or(1);
    ProbeId(std::num::NonZeroU8::new(n).unwrap_or(std::num::NonZeroU8::MIN))
}
