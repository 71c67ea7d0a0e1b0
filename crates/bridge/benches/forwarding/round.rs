//! One measurement of a running scene.

use std::time::{Duration, Instant};

use bot::Tally;

use crate::account::{Account, load, memory};
use crate::scene::Scene;
use crate::server::Counters;

pub(crate) struct Round {
    pub(crate) seconds: f64,
    /// What receivers got, and lost.
    pub(crate) tally: Tally,
    pub(crate) counters: Counters,
    process: Account,
    shard: Account,
    receivers: Account,
    /// Seconds of the shard's thread that used most.
    busiest: f64,
    memory: u64,
    /// Percentiles 50, 95 and 99 of the time from the camera until a receiver has the frame; for audio, the packet. µs.
    pub(crate) delay: [u64; 3],
    load: String,
}

impl Round {
    pub(crate) fn measure(scene: &mut Scene, length: Duration) -> Self {
        let look = |scene: &mut Scene| {
            let look = scene.crowd.look();
            let process = Account::of(scene.server.id(), "");
            let shard = Account::of(scene.server.id(), "shard-");
            let own = Account::of(std::process::id(), "");
            let threads = Account::threads(scene.server.id(), "shard-");
            let counters = scene.server.counters();
            (Instant::now(), look, process, shard, own, counters, threads)
        };
        let before = look(scene);
        std::thread::sleep(length);
        let after = look(scene);
        let delay = if after.1.frame_delay.is_empty() {
            &after.1.voice_delay
        } else {
            &after.1.frame_delay
        };
        Self {
            seconds: (after.0 - before.0).as_secs_f64(),
            tally: after.1.tally.since(before.1.tally),
            process: after.2.since(&before.2),
            shard: after.3.since(&before.3),
            receivers: after.4.since(&before.4),
            busiest: (after.6.iter())
                .map(|(name, used)| used - before.6.get(name).unwrap_or(&0.0))
                .fold(0.0, f64::max),
            memory: memory(scene.server.id()),
            delay: [0.5, 0.95, 0.99].map(|q| delay.value_at_quantile(q)),
            counters: after.5.since(&before.5),
            load: load(),
        }
    }

    /// Microseconds of the bridge for each packet that a receiver got.
    pub(crate) fn each(&self) -> f64 {
        self.process.total * 1e6 / self.tally.packets().max(1) as f64
    }

    /// Microseconds of the shard's thread that used most, for each packet that a receiver got.
    pub(crate) fn busiest(&self) -> f64 {
        self.busiest * 1e6 / self.tally.packets().max(1) as f64
    }

    /// Packets that receivers got, a second.
    pub(crate) fn rate(&self) -> f64 {
        self.tally.packets() as f64 / self.seconds
    }

    /// Share of one processor that the bridge used.
    pub(crate) fn busy(&self) -> f64 {
        self.process.total / self.seconds
    }

    /// Share of one processor that the receivers used.
    pub(crate) fn receivers_busy(&self) -> f64 {
        self.receivers.total / self.seconds
    }

    /// Percentiles 50 and 99 of the time that packets were in the bridge, µs, where it says so.
    pub(crate) fn waited(&self) -> Option<[f64; 2]> {
        Some([self.counters.waited(0.5)?, self.counters.waited(0.99)?])
    }

    /// Of what was sent, what did not arrive.
    pub(crate) fn loss(&self) -> f64 {
        self.tally.lost as f64 / (self.tally.lost + self.tally.packets()).max(1) as f64
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = |seconds: f64| seconds * 1e6 / self.tally.packets().max(1) as f64;
        let [p50, p95, p99] = self.delay.map(|us| us as f64 / 1e3);
        writeln!(
            f,
            "  {:.2} µs a packet: user {:.2}, system {:.2}; the shard's thread {:.2}",
            self.each(),
            each(self.process.user()),
            each(self.process.system()),
            each(self.shard.total),
        )?;
        writeln!(
            f,
            "    {:.0} packets/s; bridge {:.0}% of its processor, {} MiB; receivers {:.0}% of theirs; load {}",
            self.rate(),
            self.busy() * 100.0,
            self.memory >> 20,
            self.receivers_busy() * 100.0,
            self.load,
        )?;
        write!(
            f,
            "    lost {}, sent again {}, refused by the kernel {}; {:.2} datagrams a send, {:.0} waits a second; delay p50 {p50:.2}, p95 {p95:.2}, p99 {p99:.2} ms",
            self.tally.lost,
            self.counters.again,
            self.counters.refused,
            self.counters.burst(),
            self.shard.waits as f64 / self.seconds,
        )?;
        match self.waited() {
            Some([p50, p99]) => write!(f, "; in the bridge p50 {p50:.0}, p99 {p99:.0} µs"),
            None => Ok(()),
        }
    }
}
