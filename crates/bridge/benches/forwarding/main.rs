//! What forwarding costs in a running bridge: processor time of its process for each packet that a receiver decrypted.
//!
//! `cargo bench -p bridge --bench forwarding -- [receivers] [rounds] [seconds]`, by default 50 receivers and medians of
//! 3 rounds of 15 s. The bridge is a process of its own on the last processor; the signalling node, one sender and the
//! receivers (an independent WebRTC stack) are on the first one. Everything travels over real sockets on loopback,
//! which charges the delivery of a datagram to its sender: ICE, DTLS, SRTP with the receivers' feedback. The sender
//! makes 30 frames a second, each of six packets of 1,120 bytes.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and stops where it fails"
)]

mod account;
mod raw;
mod server;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use account::{Account, memory};
use bot::{BotConfig, Handle, Layer, Snapshot, VideoSpec};
use link::{Credentials, LinkConfig, Target};
use server::Server;
use signalling::Node;
use stanza::BareJid;

const DOMAIN: &str = "meet.internal";
const SECRET: &[u8] = b"secret of the benchmark";
/// Six packets a frame at 30 frames a second, each with 1,094 bytes of a frame.
const BITRATE: u32 = 6 * 1_094 * 8 * FRAME_RATE;
const FRAME_RATE: u32 = 30;
/// Frames that prove that a receiver is there.
const ENOUGH: u64 = 30;
/// The join may take so long.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let last = std::thread::available_parallelism().unwrap().get() - 1;
    if let Some(["--serve", port, password]) = strs(&arguments).get(..3) {
        net::pin_current_thread(last).unwrap();
        return server::serve(port.parse().unwrap(), password);
    }
    if last == 0 {
        println!("One processor only: the bridge shares it with the receivers.");
    }
    let number = |at: usize, default| {
        let mut numbers = arguments.iter().filter_map(|a| a.parse().ok());
        numbers.nth(at).unwrap_or(default)
    };
    let (receivers, rounds, seconds) = (number(0, 50), number(1, 3), number(2, 15));
    raw::print(last, receivers);
    net::pin_current_thread(0).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(receivers, rounds.max(1), seconds as u64));
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

async fn run(receivers: usize, rounds: usize, seconds: u64) {
    let node = server::node().await;
    let mut server = Server::start(&node);
    let mut bots = vec![join(&node, 0, true).await];
    for number in 1..=receivers {
        bots.push(join(&node, number, false).await);
    }
    for bot in &mut bots[1..] {
        let waiting = bot.wait(|s| s.video.values().any(|v| v.decoded >= ENOUGH));
        assert_eq!(tokio::time::timeout(PATIENCE, waiting).await, Ok(true));
    }
    let mut all = Vec::new();
    for _ in 0..rounds {
        let round = Round::measure(&mut server, &bots[1..], Duration::from_secs(seconds)).await;
        println!("{round}");
        all.push(round.each());
    }
    all.sort_by(f64::total_cmp);
    println!(
        "median of {rounds} x {seconds} s, 1 sender, {receivers} receivers: {:.2} µs per forwarded packet",
        all[rounds / 2]
    );
}

async fn join(node: &Node, number: usize, sends: bool) -> Handle {
    let target = Target::Memory(node.memory_connector());
    let link = LinkConfig::new(target, DOMAIN, Credentials::Anonymous);
    let layer = Layer {
        height: 720,
        bitrate: BITRATE,
    };
    let config = BotConfig {
        domain: DOMAIN.to_owned(),
        room: BareJid::new(&format!("hall@conference.{DOMAIN}")).unwrap(),
        name: format!("bot {number}"),
        local: SocketAddr::from(([127, 0, 0, 1], 0)),
        video: sends.then(|| VideoSpec {
            layers: vec![layer],
            frame_rate: FRAME_RATE,
        }),
        audio: false,
        max_height: 720,
    };
    let address = [127, 0, 0, 1].into();
    bot::run(config, link, address, Instant::now(), number as u64)
        .await
        .unwrap()
}

/// One measurement.
struct Round {
    seconds: f64,
    /// Packets that receivers decrypted.
    packets: u64,
    decoded: u64,
    skipped: u64,
    process: Account,
    shard: Account,
    receivers: Account,
    memory: u64,
    latencies: Vec<u64>,
    counters: server::Counters,
    load: String,
}

impl Round {
    async fn measure(server: &mut Server, receivers: &[Handle], length: Duration) -> Self {
        let look = |server: &mut Server| {
            let seen: Vec<Snapshot> = receivers.iter().map(Handle::snapshot).collect();
            let process = Account::of(server.id(), "");
            let shard = Account::of(server.id(), "shard-");
            let own = Account::of(std::process::id(), "");
            (Instant::now(), seen, process, shard, own, server.counters())
        };
        let before = look(server);
        tokio::time::sleep(length).await;
        let after = look(server);
        let total = |seen: &[Snapshot], of: fn(&bot::SourceStats) -> u64| -> u64 {
            seen.iter().flat_map(|s| s.video.values()).map(of).sum()
        };
        let grown = |of: fn(&bot::SourceStats) -> u64| total(&after.1, of) - total(&before.1, of);
        let latencies = before.1.iter().zip(&after.1);
        let latencies = latencies.flat_map(|(b, a)| &a.latencies[b.latencies.len()..]);
        let mut latencies: Vec<u64> = latencies.copied().collect();
        latencies.sort_unstable();
        Self {
            seconds: (after.0 - before.0).as_secs_f64(),
            packets: grown(|v| v.packets),
            decoded: grown(|v| v.decoded),
            skipped: grown(|v| v.skipped),
            process: after.2.since(&before.2),
            shard: after.3.since(&before.3),
            receivers: after.4.since(&before.4),
            memory: memory(server.id()),
            latencies,
            counters: after.5.since(&before.5),
            load: std::fs::read_to_string("/proc/loadavg").unwrap_or_default(),
        }
    }

    /// Microseconds of the server for each packet.
    fn each(&self) -> f64 {
        self.process.total * 1e6 / self.packets.max(1) as f64
    }

    /// A percentile of the time from the camera until a receiver has the whole frame, milliseconds.
    fn latency(&self, percent: usize) -> f64 {
        let at = self.latencies.len() * percent / 100;
        self.latencies.get(at).map_or(0.0, |us| *us as f64 / 1e3)
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = |seconds: f64| seconds * 1e6 / self.packets.max(1) as f64;
        let share = |account: &Account| account.total / self.seconds * 100.0;
        writeln!(
            f,
            "{:.2} µs per forwarded packet: user {:.2}, system {:.2}; the shard's thread {:.2}",
            self.each(),
            each(self.process.user()),
            each(self.process.system()),
            each(self.shard.total),
        )?;
        writeln!(
            f,
            "  {} packets in {:.1} s; bridge {:.1}% of its processor, {} MiB; receivers {:.1}% of theirs; load {}",
            self.packets,
            self.seconds,
            share(&self.process),
            self.memory >> 20,
            share(&self.receivers),
            self.load.trim(),
        )?;
        writeln!(
            f,
            "  receivers: {} frames shown, {} lost; the bridge sent {} packets again, the kernel refused {}",
            self.decoded, self.skipped, self.counters.again, self.counters.refused,
        )?;
        writeln!(
            f,
            "  {:.2} datagrams in a send, {:.0} waits a second; frame latency p50 {:.2}, p95 {:.2}, p99 {:.2} ms",
            self.counters.sent as f64 / self.counters.messages.max(1) as f64,
            self.shard.waits as f64 / self.seconds,
            self.latency(50),
            self.latency(95),
            self.latency(99),
        )
    }
}
