//! What forwarding costs in a running bridge: processor time of its process for each packet that a receiver decrypted,
//! beside the limit of the machine measured in the same minutes.
//!
//! `cargo bench -p bridge --bench forwarding -- [case]...` measures these cases, by default all; `FULL=1` for longer
//! rounds. Each figure is printed, and one JSON object at the end. The bridge is a process of its own on the last
//! processor; the signalling node, the senders and the receivers (an independent WebRTC stack) are on the first one.
//! Everything travels over real sockets on loopback, which charges the delivery of a datagram to its sender: ICE, DTLS,
//! SRTP with the receivers' reports, NACKs and transport-wide feedback. docs/performance.md says what each figure means.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and stops where it fails"
)]

mod account;
mod cases;
mod least;
mod raw;
mod report;
mod round;
mod saturation;
mod scene;
mod server;

use report::Report;

const DOMAIN: &str = "meet.internal";
const SECRET: &[u8] = b"secret of the benchmark";

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds of a case; their median counts.
    pub(crate) rounds: usize,
    /// Seconds of a round.
    pub(crate) seconds: u64,
    /// Seconds of a step towards saturation.
    pub(crate) step: u64,
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let last = std::thread::available_parallelism().unwrap().get() - 1;
    if let [first, port, password, shards] = arguments.as_slice()
        && first == "--serve"
    {
        let shards = shards.parse().unwrap();
        if shards == 1 {
            net::pin_current_thread(last).unwrap();
        }
        return server::serve(port.parse().unwrap(), password, shards);
    }
    // What cargo itself adds.
    arguments.retain(|argument| !argument.starts_with("--"));
    if last == 0 {
        println!("One processor only: the bridge shares it with the receivers.");
    }
    let full = std::env::var("FULL").is_ok_and(|full| full == "1");
    let effort = if full {
        Effort {
            rounds: 5,
            seconds: 15,
            step: 6,
        }
    } else {
        Effort {
            rounds: 3,
            seconds: 3,
            step: 1,
        }
    };
    net::pin_current_thread(0).unwrap();
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|a| a == name);
    let mut report = Report::default();
    cases::run(effort, last, &wanted, &mut report);
    println!("{}", report.json());
}

/// The median; 0 of nothing.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}
