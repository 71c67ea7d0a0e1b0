//! Whatever a peer reports: no panic, an estimate within its limits, bounded memory, deadlines that pass.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bwe::{Acked, Config, Estimator, ProbeId};
use proptest::prelude::*;
use std::num::NonZeroU8;

const CONFIG: Config = Config {
    start: 300_000,
    min: 20_000,
    max: 5_000_000,
};

#[derive(Debug, Clone)]
enum Step {
    Sent(usize),
    Feedback(Vec<Acked>, Option<u64>),
    Report(u32, u32, Option<u64>),
    Told(u64),
    Demand(u64),
    Poll,
}

fn acked() -> impl Strategy<Value = Acked> {
    let sent = prop_oneof![0..10_000_000_u64, any::<u64>()];
    let arrived = prop_oneof![
        Just(None),
        (0..10_000_000_i64).prop_map(Some),
        any::<i64>().prop_map(Some)
    ];
    (sent, arrived, any::<u16>(), any::<Option<u8>>()).prop_map(|(sent, arrived, size, probe)| {
        Acked {
            sent,
            arrived,
            size,
            probe: probe.and_then(NonZeroU8::new).map(ProbeId),
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2_000_usize).prop_map(Step::Sent),
        (prop::collection::vec(acked(), 0..60), any::<Option<u64>>())
            .prop_map(|(p, rtt)| Step::Feedback(p, rtt)),
        (any::<u32>(), any::<u32>(), any::<Option<u64>>())
            .prop_map(|(e, l, rtt)| Step::Report(e, l, rtt)),
        any::<u64>().prop_map(Step::Told),
        prop_oneof![0..20_000_000_u64, any::<u64>()].prop_map(Step::Demand),
        Just(Step::Poll),
    ]
}

fn take(estimator: &mut Estimator, now: u64, step: &Step) {
    match step {
        Step::Sent(size) => estimator.sent(now, *size),
        Step::Feedback(packets, rtt) => estimator.feedback(now, packets, *rtt),
        Step::Report(expected, lost, rtt) => estimator.lost_report(now, *expected, *lost, *rtt),
        Step::Told(bitrate) => estimator.told(now, *bitrate),
        Step::Demand(wanted) => estimator.demand(now, *wanted),
        Step::Poll => {
            if let Some(probe) = estimator.poll_probe(now) {
                assert!(probe.bitrate <= CONFIG.max, "{probe:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn anything_may_be_reported(steps in prop::collection::vec((0..500_000_u64, step()), 1..200)) {
        let mut now = 0;
        let mut estimator = Estimator::new(CONFIG, now);
        for (passed, step) in &steps {
            now += passed;
            take(&mut estimator, now, step);
            let estimate = estimator.estimate();
            prop_assert!((CONFIG.min..=CONFIG.max).contains(&estimate.target), "{estimate:?}");
            prop_assert!((0.0..=1.0).contains(&estimate.loss_ratio), "{estimate:?}");
            // Every deadline passes: a host that keeps them is not called for ever.
            for _ in 0..4 {
                if estimator.poll_timeout().is_some_and(|at| at <= now) {
                    estimator.on_timer(now);
                }
            }
            prop_assert!(estimator.poll_timeout().is_none_or(|at| at > now));
        }
    }

    /// Of two paths that differ in nothing but their rate, the wider one is not said to carry much less.
    #[test]
    fn more_is_not_less(rate in 200_000..3_000_000_u64, wider in 1.3..3.0_f64) {
        let estimate = |capacity: u64| {
            let mut estimator = Estimator::new(CONFIG, 0);
            let (mut free, mut report) = (0, Vec::new());
            let (mut now, mut tokens) = (0_u64, 0.0);
            while now < 10_000_000 {
                now += 2_000;
                tokens += estimator.estimate().target as f64 / 8e6 * 2_000.0;
                while tokens >= 1_000.0 {
                    tokens -= 1_000.0;
                    free = u64::max(free, now) + 8_000_000_000 / capacity;
                    estimator.sent(now, 1_000);
                    report.push(Acked { sent: now, arrived: Some(free as i64), size: 1_000, probe: None });
                }
                if now % 100_000 == 0 {
                    let heard = report.partition_point(|p| p.arrived.is_some_and(|at| at <= now as i64));
                    let packets: Vec<Acked> = report.drain(..heard).collect();
                    estimator.feedback(now, &packets, None);
                }
            }
            estimator.estimate().target as f64
        };
        let wide = (rate as f64 * wider) as u64;
        prop_assert!(estimate(wide) >= 0.8 * estimate(rate));
    }
}

#[test]
fn it_is_small() {
    assert!(size_of::<Estimator>() < 3_000, "{}", size_of::<Estimator>());
}
