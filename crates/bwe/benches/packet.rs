//! What the estimate costs for each packet: noted as sent and as reported.
//!
//! `cargo bench -p bwe` prints nanoseconds a packet at rates of a thumbnail and of a wall of tiles, with reports every 100 ms.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use bwe::{Acked, Config, Estimator};
use std::time::Instant;

const SECONDS: u64 = 300;
/// Time between reports, microseconds.
const REPORT: u64 = 100_000;

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
        let mut count = 0_u64;
        let mut packet = |sent: u64| {
            count += 1;
            let is_lost = lost > 0 && count.is_multiple_of(lost);
            let jitter = count * 7_919 % 2_000;
            Acked {
                sent,
                arrived: (!is_lost).then_some((sent + 20_000 + jitter) as i64),
                size: 1_100,
                probe: None,
            }
        };
        // The clock is read twice in all: reading it costs more than a packet.
        let begins: Vec<u64> = (0..SECONDS * 10).map(|n| n * REPORT).collect();
        let reports: Vec<Vec<Acked>> = begins
            .iter()
            .map(|at| {
                (*at..at + REPORT)
                    .filter(|t| t % every == 0)
                    .map(&mut packet)
                    .collect()
            })
            .collect();
        let begun = Instant::now();
        for (at, report) in begins.iter().zip(&reports) {
            let heard = at + REPORT + 20_000;
            estimator.demand(*at, 2_000_000);
            for packet in report {
                estimator.sent(packet.sent, usize::from(packet.size));
            }
            estimator.feedback(heard, report, None);
            while estimator.poll_timeout().is_some_and(|t| t <= heard) {
                estimator.on_timer(heard);
            }
            std::hint::black_box(estimator.poll_probe(heard));
            std::hint::black_box(estimator.estimate());
        }
        let each = begun.elapsed().as_nanos() as f64 / count as f64;
        println!("{what}: {each:.1} ns a packet ({count} packets)");
    }
}
