//! What was measured, as one line of JSON.

use crate::median;
use crate::raw::Raw;
use crate::round::Round;

/// A case: its rounds.
#[derive(Default)]
pub(crate) struct Case {
    us: Vec<f64>,
    rates: Vec<f64>,
    shares: Vec<f64>,
    least: Vec<f64>,
    lost: u64,
}

impl Case {
    /// `limit` and `least` are µs a packet: the raw loop, and at the ordinary rate.
    pub(crate) fn add(&mut self, round: &Round, limit: f64, least: f64) {
        self.us.push(round.each());
        self.rates.push(round.rate());
        self.shares.push(limit / round.each());
        self.least.push(least);
        self.lost += round.tally.lost;
    }
}

/// What was carried at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saturated {
    /// Packets a second.
    pub(crate) rate: f64,
    /// µs of processor time a packet.
    pub(crate) each: f64,
    /// Share of the machine's limit.
    pub(crate) share: f64,
    /// Share of a processor that the bridge used.
    pub(crate) busy: f64,
    /// Share of a processor that the receivers used.
    pub(crate) receivers_busy: f64,
}

impl Saturated {
    pub(crate) fn of(round: &Round, limit: f64) -> Self {
        Self {
            rate: round.rate(),
            each: round.each(),
            share: limit / round.each(),
            busy: round.busy(),
            receivers_busy: round.receivers_busy(),
        }
    }
}

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) raw: Vec<Raw>,
    pub(crate) cases: Vec<(&'static str, Case)>,
    pub(crate) saturation: Vec<(&'static str, Saturated)>,
    /// Percentiles 50 and 99 of the time in the bridge at 70% load, µs.
    pub(crate) latency: Option<[f64; 2]>,
    /// KiB of a viewer and of a sender.
    pub(crate) memory: Option<[f64; 2]>,
    /// Two shards, compared with one.
    pub(crate) two_cores: Option<f64>,
}

impl Report {
    /// The object.
    pub(crate) fn json(&self) -> String {
        let raw = Raw::median(&self.raw);
        let cases = self.cases.iter().map(|(name, case)| {
            let (us, rate) = (median(case.us.clone()), median(case.rates.clone()));
            let (share, least) = (median(case.shares.clone()), median(case.least.clone()));
            format!(
                r#""{name}":{{"us":{us:.2},"pps":{rate:.0},"share":{share:.2},"least_us":{least:.2},"lost":{}}}"#,
                case.lost
            )
        });
        let worst = self
            .saturation
            .iter()
            .filter(|(name, _)| name.starts_with("1x"));
        let worst = worst.min_by(|(_, a), (_, b)| a.share.total_cmp(&b.share));
        let saturation = worst.map(|(_, s)| ("1xN", *s)).into_iter();
        let saturation = saturation.chain(self.saturation.iter().copied());
        let saturation = saturation
            .map(|(name, s)| format!(r#""{name}":{{"pps":{:.0},"share":{:.2}}}"#, s.rate, s.share));
        let figure = |figure: Option<f64>, digits: usize| {
            figure.map_or("null".to_owned(), |f| format!("{f:.digits$}"))
        };
        let pair = |pair: Option<[f64; 2]>| [0, 1].map(|n| figure(pair.map(|p| p[n]), 0));
        let ([p50, p99], [viewer, sender]) = (pair(self.latency), pair(self.memory));
        // Measured by other benchmarks before this one: scripts/bench.sh.
        let given = |name| std::env::var(name).unwrap_or_else(|_| "null".to_owned());
        let cases: Vec<String> = cases.collect();
        let saturation: Vec<String> = saturation.collect();
        format!(
            r#"{{"raw":{{"seal_us":{:.3},"send_us":{:.2},"gso6_us":{:.2}}},"cases":{{{}}},"saturation":{{{}}},"latency_us":{{"p50":{p50},"p99":{p99}}},"memory_kib":{{"viewer":{viewer},"sender":{sender}}},"instructions":{},"two_cores":{},"join_us_1000":{}}}"#,
            raw.seal,
            raw.send,
            raw.gso6,
            cases.join(","),
            saturation.join(","),
            given("BENCH_INSTRUCTIONS"),
            figure(self.two_cores, 2),
            given("BENCH_JOIN_US"),
        )
    }
}
