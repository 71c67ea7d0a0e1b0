//! One receiver's estimate, made of its parts.

use crate::alr::Alr;
use crate::delay::{DelayBased, Outcome, Report};
use crate::loss::LossState;
use crate::probe::{Clusters, Limit, Prober};
use crate::report::{Acked, Config, Estimate, Probe, Usage};
use crate::target::Target;
use crate::throughput::Throughput;

/// The least rate at all, bits per second.
const LEAST: u64 = 5_000;
/// After a probe below what arrives, no less than this share of that.
const PROBE_DROP: f64 = 0.85;
/// Weight of a new round trip in the average.
const ROUND_TRIP: f64 = 1.0 / 16.0;
/// Places kept for reports that came in disorder.
const KEPT: usize = 256;

/// What the path to one receiver carries.
///
/// Tell it what is sent, what the peer reports and what is wanted; then ask for [`Estimator::estimate`], send what
/// [`Estimator::poll_probe`] asks for, and call [`Estimator::on_timer`] when [`Estimator::poll_timeout`] is over.
///
/// Nothing here trusts the peer: whatever it reports, the estimate stays within its limits and memory does not grow.
#[derive(Debug)]
pub struct Estimator {
    throughput: Throughput,
    delay: DelayBased,
    target: Target,
    alr: Alr,
    clusters: Clusters,
    prober: Prober,
    /// Average time from sending to report, microseconds.
    round_trip: Option<f64>,
    arrives: Option<f64>,
    /// A probe has measured something.
    measured: bool,
    /// Arrivals of a report that has them in another order than they were sent: place in the report.
    disorder: Vec<(i64, u32)>,
}

/// What a look at all packets of a report tells.
struct Overview {
    /// The last arrival; `None`: all are lost.
    arrived: Option<i64>,
    is_ordered: bool,
    /// When the oldest of those that arrived was sent.
    oldest: u64,
    /// Smallest difference of report and sending, without the time a packet waited for the report; relative to `arrived`.
    fastest: i64,
}

impl Estimator {
    /// Nothing is known of the path yet. All times: microseconds of any one monotone clock.
    #[must_use]
    pub fn new(config: Config, now: u64) -> Self {
        let min = config.min.max(LEAST);
        let max = config.max.max(min);
        let start = config.start.clamp(min, max);
        let config = Config { start, min, max };
        let (start, max) = (start as f64, max as f64);
        let mut alr = Alr::default();
        alr.set_target(start);
        let mut target = Target::new(&config);
        target.heard(now, 0);
        Self {
            throughput: Throughput::default(),
            delay: DelayBased::new(start, min as f64),
            target,
            alr,
            clusters: Clusters::default(),
            prober: Prober::new(start, max),
            round_trip: None,
            arrives: None,
            measured: false,
            disorder: Vec::new(),
        }
    }

    /// A packet of `size` bytes that the peer will report leaves.
    #[inline]
    pub fn sent(&mut self, now: u64, size: usize) {
        self.alr.sent(now, size);
        self.target.sent(now);
    }

    /// One report of the peer: what became of some packets, in order of sending. `rtt`: the round trip in microseconds, if
    /// something else than this report tells it.
    pub fn feedback(&mut self, now: u64, packets: &[Acked], rtt: Option<u64>) {
        if packets.is_empty() {
            return;
        }
        let overview = self.look(packets);
        if let Some(arrived) = overview.arrived {
            self.note_round_trip(now, &overview, arrived, rtt);
            if overview.is_ordered {
                for packet in packets {
                    self.packet(now, packet);
                }
            } else {
                self.packets_in_disorder(now, packets);
            }
            self.arrives = self.throughput.rate();
        }
        let in_alr = self.alr.since();
        let mut outcome = Outcome::default();
        let mut delay = None;
        if overview.arrived.is_some() {
            let report = self.report(&overview, in_alr.is_some());
            outcome = self.delay.finish(now, &report);
            delay = Some(self.delay.rate());
        }
        if outcome.probed {
            self.target.set(self.delay.rate());
        }
        self.target
            .finish(now, delay, self.arrives, in_alr.is_some());
        self.settle(now);
        if outcome.recovered {
            self.prober.recovered(now);
        }
    }

    /// What a receiver report says of loss, of a peer that reports no packets one by one: packets expected and lost since
    /// the report before, and the round trip in microseconds if it is known.
    pub fn lost_report(&mut self, now: u64, expected: u32, lost: u32, rtt: Option<u64>) {
        self.target
            .lost_report(now, expected, lost, rtt.unwrap_or(0));
        self.settle(now);
    }

    /// The peer says itself what the path carries (REMB), bits per second: there is never more.
    pub fn told(&mut self, now: u64, bitrate: u64) {
        self.target.told(now, bitrate as f64);
        self.settle(now);
    }

    /// Time has passed.
    pub fn on_timer(&mut self, now: u64) {
        self.target.on_timer(now);
        self.settle(now);
        self.prober.on_timer(now);
    }

    /// When [`Estimator::on_timer`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let timeouts = [self.target.timeout(), self.prober.timeout()];
        timeouts.into_iter().flatten().min()
    }

    /// What is known now.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let (loss, _) = self.target.loss();
        Estimate {
            target: self.target.rate() as u64,
            delay: self.delay.rate() as u64,
            loss: loss.map(|rate| rate as u64),
            acknowledged: self.arrives.map(|rate| rate as u64),
            usage: self.delay.usage(),
            in_alr: self.alr.since().is_some(),
            loss_ratio: self.target.loss_ratio() as f32,
            measured: self.measured,
        }
    }

    /// The next probe to send, if the path is to be asked. There is something after [`Estimator::feedback`],
    /// [`Estimator::demand`] or [`Estimator::on_timer`] only.
    pub fn poll_probe(&mut self, now: u64) -> Option<Probe> {
        self.prober.on_timer(now);
        let probe = self.prober.poll()?;
        self.clusters.begin(&probe);
        Some(probe)
    }

    /// The last probe was given up, for want of anything to send: the path is asked again soon.
    pub fn probe_unsent(&mut self) {
        self.prober.unsent();
    }

    /// What would be sent if the path carried all, bits per second. Before something is wanted, and, but for the first probe,
    /// beyond twice of it, the path is not probed.
    pub fn demand(&mut self, now: u64, wanted: u64) {
        self.prober.demand(now, wanted as f64);
    }

    fn look(&mut self, packets: &[Acked]) -> Overview {
        let mut overview = Overview {
            arrived: None,
            is_ordered: true,
            oldest: u64::MAX,
            fastest: i64::MAX,
        };
        for packet in packets {
            self.target.packet(packet);
            let Some(arrived) = packet.arrived else {
                continue;
            };
            if overview.arrived.is_some_and(|last| arrived < last) {
                overview.is_ordered = false;
            } else {
                overview.arrived = Some(arrived);
            }
            overview.oldest = overview.oldest.min(packet.sent);
            let travelled = arrived.saturating_sub_unsigned(packet.sent);
            overview.fastest = overview.fastest.min(travelled);
        }
        overview
    }

    fn note_round_trip(&mut self, now: u64, overview: &Overview, arrived: i64, rtt: Option<u64>) {
        // now - sent - (last arrival - arrival), of the packet with the smallest one.
        let fastest = overview
            .fastest
            .saturating_sub(arrived)
            .saturating_add_unsigned(now);
        self.target.heard(now, u64::try_from(fastest).unwrap_or(0));
        let measured = now.saturating_sub(overview.oldest) as f64;
        let average = self.round_trip.get_or_insert(measured);
        *average += (measured - *average) * ROUND_TRIP;
        self.delay.set_round_trip(rtt.unwrap_or(*average as u64));
    }

    #[inline]
    fn packet(&mut self, now: u64, packet: &Acked) {
        let Some(arrived) = packet.arrived else {
            return;
        };
        self.throughput.add(packet.sent, arrived, packet.size);
        self.delay.packet(now, packet.sent, arrived);
        if let Some(id) = packet.probe {
            self.clusters.packet(id, packet, arrived);
        }
    }

    #[cold]
    fn packets_in_disorder(&mut self, now: u64, packets: &[Acked]) {
        let mut order = std::mem::take(&mut self.disorder);
        let arrivals = (0..)
            .zip(packets)
            .filter_map(|(n, p)| Some((p.arrived?, n)));
        order.extend(arrivals);
        order.sort_unstable();
        for (_, n) in order.drain(..) {
            if let Some(packet) = packets.get(n as usize) {
                self.packet(now, packet);
            }
        }
        order.shrink_to(KEPT);
        self.disorder = order;
    }

    fn report(&mut self, overview: &Overview, in_alr: bool) -> Report {
        let (is_probe, probed) = self.clusters.take();
        if is_probe {
            self.prober.answered();
        }
        self.measured |= probed.is_some();
        Report {
            fastest: overview.fastest,
            arrives: self.arrives,
            recent: (self.delay.usage() == Usage::Overuse)
                .then(|| self.throughput.recent())
                .flatten(),
            is_probe,
            probed: probed.map(|rate| self.plausible(rate)),
            in_alr,
        }
    }

    /// A probe far below what arrives was a bad one; but if queues do grow, a little less than that drains them.
    fn plausible(&self, probed: f64) -> f64 {
        let least = self.arrives.map_or(0.0, |arrives| arrives * PROBE_DROP);
        probed.max(least.min(self.delay.rate()))
    }

    fn settle(&mut self, now: u64) {
        let rate = self.target.rate();
        self.alr.set_target(rate);
        self.prober.set_alr(self.alr.since());
        self.prober.set_estimate(now, rate, self.limit(now));
    }

    fn limit(&self, now: u64) -> Limit {
        let (_, loss) = self.target.loss();
        if self.target.is_idle(now) {
            // No report will ever say that the path is free again: where nothing is sent a probe has to ask.
            return match loss {
                LossState::DelayBased => Limit::Known,
                LossState::Decreasing | LossState::Increasing => Limit::LossIncreasing,
            };
        }
        match (self.delay.usage(), loss) {
            (Usage::Overuse | Usage::Underuse, _) => Limit::Queues,
            _ if self.target.is_silent() => Limit::Silence,
            (Usage::Normal, LossState::Decreasing) => Limit::Loss,
            (Usage::Normal, LossState::Increasing) => Limit::LossIncreasing,
            (Usage::Normal, LossState::DelayBased) => Limit::Known,
        }
    }
}
