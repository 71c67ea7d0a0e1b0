//! How long packets are in the bridge, counted without locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use telemetry::prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use telemetry::prometheus_client::metrics::MetricType;

/// Below this all is one bucket, microseconds; a power of two.
const FIRST: u64 = 16;
/// Buckets of an octave, each as wide as the others; a power of two.
const PER_OCTAVE: usize = 4;
const OCTAVES: usize = 12;
/// The last bucket is for all that is longer than 65 ms.
const BUCKETS: usize = 1 + OCTAVES * PER_OCTAVE + 1;

/// Counts of latencies by bucket. One thread counts, any reads.
#[derive(Debug)]
pub(crate) struct Latencies {
    counts: [AtomicU64; BUCKETS],
    microseconds: AtomicU64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
            microseconds: AtomicU64::new(0),
        }
    }
}

impl Latencies {
    /// Counts `packets` packets that took this long.
    pub(crate) fn record(&self, latency: Duration, packets: u64) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let add = |counter: &AtomicU64, n: u64| {
            // Nobody else writes, so this is no read-modify-write with a bus lock.
            let sum = counter.load(Ordering::Relaxed).wrapping_add(n);
            counter.store(sum, Ordering::Relaxed);
        };
        if let Some(counter) = self.counts.get(bucket(us)) {
            add(counter, packets);
        }
        add(&self.microseconds, us.saturating_mul(packets));
    }
}

/// The bucket of a latency.
fn bucket(us: u64) -> usize {
    let Some(octave) = (us / FIRST).checked_ilog2() else {
        return 0;
    };
    // The bits behind the first one.
    let within = (us >> (octave + FIRST.ilog2() - PER_OCTAVE.ilog2())) as usize % PER_OCTAVE;
    (1 + octave as usize * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// Where a bucket ends, seconds.
fn end(bucket: usize) -> f64 {
    if bucket + 1 == BUCKETS {
        return f64::INFINITY;
    }
    let (octave, within) = (bucket / PER_OCTAVE, bucket % PER_OCTAVE);
    let us = (FIRST << octave) * (PER_OCTAVE + within) as u64 / PER_OCTAVE as u64;
    us as f64 / 1e6
}

/// The counts of several threads, added when they are asked for.
#[derive(Debug, Default)]
pub(crate) struct LatencySum {
    counts: Vec<(f64, u64)>,
    seconds: f64,
}

impl LatencySum {
    pub(crate) fn of<'a>(all: impl Iterator<Item = &'a Latencies>) -> Self {
        let mut sum = Self {
            counts: (0..BUCKETS).map(|bucket| (end(bucket), 0)).collect(),
            seconds: 0.0,
        };
        for latencies in all {
            for ((_, total), count) in sum.counts.iter_mut().zip(&latencies.counts) {
                *total += count.load(Ordering::Relaxed);
            }
            sum.seconds += latencies.microseconds.load(Ordering::Relaxed) as f64 / 1e6;
        }
        sum
    }
}

impl EncodeMetric for LatencySum {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let total = self.counts.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.seconds, total, &self.counts, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_below_the_end_of_its_bucket_and_not_below_the_one_before() {
        let interesting = (0..24).flat_map(|bit| (0..8).map(move |n| (8 + n) << bit >> 3));
        for us in interesting.chain([1_000_000_000, u64::MAX]) {
            let bucket = bucket(us);
            let seconds = us as f64 / 1e6;
            assert!(seconds < end(bucket), "{us} in {bucket}");
            assert!(
                bucket == 0 || seconds >= end(bucket - 1),
                "{us} in {bucket}"
            );
        }
        // Nowhere is a bucket wider than a quarter of what it begins with.
        assert!((1..BUCKETS - 1).all(|b| end(b) / end(b - 1) < 1.2501));
        assert_eq!((end(0), end(BUCKETS - 2)), (16e-6, 65_536e-6));
    }

    #[test]
    fn counts_of_threads_are_added() {
        let all = [Latencies::default(), Latencies::default()];
        all[0].record(Duration::from_micros(100), 6);
        all[1].record(Duration::from_micros(100), 1);
        all[1].record(Duration::from_secs(2), 1);
        let sum = LatencySum::of(all.iter());
        let filled: Vec<_> = sum.counts.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [&(112e-6, 7), &(f64::INFINITY, 1)]);
        assert!((sum.seconds - 2.0007).abs() < 1e-9);
    }
}
