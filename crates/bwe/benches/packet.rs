//! What the estimate costs for each packet: noted as sent and as reported.
//!
//! `cargo bench -p bwe` prints nanoseconds a packet at rates of a thumbnail and of a wall of tiles, with reports every 100 ms.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use bwe::{Acked, Config, Estimator};
use std::time::{Duration, Instant};

const SECONDS: u64 = 300;

fn main() {
    for (what, packets, lost) in [
        ("200 kbit/s", 25, 0),
        ("1 Mbit/s", 120, 0),
        ("10 Mbit/s", 1_000, 0),
        ("1 Mbit/s, 5% lost", 120, 20),
    ] {
        let config = Config {
            start: 300_000,
            min: 30_000,
            max: 20_000_000,
        };
        let mut estimator = Estimator::new(config, 0);
        let every = 1_000_000 / packets;
        let mut report = Vec::new();
        let mut spent = Duration::ZERO;
        let mut count = 0_u64;
        for at in (0..SECONDS * 1_000_000).step_by(100_000) {
            report.clear();
            for sent in (at..at + 100_000).filter(|t| t % every == 0) {
                count += 1;
                let is_lost = lost > 0 && count.is_multiple_of(lost);
                report.push(Acked {
                    sent,
                    arrived: (!is_lost)
                        .then_some(sent as i64 + 20_000 + (count * 7_919 % 2_000) as i64),
                    size: 1_100,
                    probe: None,
                });
            }
            let begun = Instant::now();
            estimator.demand(at, 2_000_000);
            for packet in &report {
                estimator.sent(packet.sent, usize::from(packet.size), None);
            }
            estimator.feedback(at + 120_000, &report, None);
            while estimator.poll_timeout().is_some_and(|t| t <= at + 120_000) {
                estimator.on_timer(at + 120_000);
            }
            std::hint::black_box(estimator.poll_probe(at + 120_000));
            std::hint::black_box(estimator.estimate());
            spent += begun.elapsed();
        }
        let each = spent.as_nanos() as f64 / count as f64;
        println!("{what}: {each:.1} ns a packet ({count} packets)");
    }
}
