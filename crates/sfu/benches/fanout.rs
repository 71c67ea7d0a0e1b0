//! What forwarding costs before the send: one sender, many receivers, a whole shard with real keys.
//!
//! `cargo bench -p sfu --bench fanout [receivers]` prints nanoseconds per forwarded packet. For instructions run the
//! binary under `valgrind --tool=callgrind --toggle-collect='*measured*'` and divide by the packets it prints.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and may stop"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};
use support::World;
use support::camera::Camera;

const FRAMES: u32 = 1_000;

/// The part that counts: datagrams in, runs out.
#[inline(never)]
fn measured(world: &mut World, datagrams: &mut [Vec<u8>]) {
    world.feed(datagrams);
}

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let receivers = numbers.first().copied().unwrap_or(50);
    let frames = numbers.get(1).map_or(FRAMES, |n| *n as u32);
    for (what, packets, size) in [
        ("video, 6 x 1,100 bytes a frame", 6, 1_100),
        ("one packet of 1,100 bytes a frame", 1, 1_100),
    ] {
        let mut world = World::new(sim::LinkSpec::default(), 1);
        let mut camera = Camera::new(1, 1, false, packets);
        camera.size = size;
        world.join("sender", Some(camera), None, true);
        for n in 0..receivers {
            world.join(&format!("r{n}"), None, None, true);
        }
        world.connect_all();
        for n in 1..=receivers {
            world.want(n, 720);
        }
        world.run(Duration::from_secs(3));
        let before = (
            world.shard.stats().packets_forwarded,
            world.shard.stats().runs_sent,
        );
        let mut spent = Duration::ZERO;
        for _ in 0..frames {
            world.now += Duration::from_millis(33);
            let mut datagrams = world.media_of(0);
            let start = Instant::now();
            measured(&mut world, &mut datagrams);
            spent += start.elapsed();
        }
        let forwarded = world.shard.stats().packets_forwarded - before.0;
        let runs = world.shard.stats().runs_sent - before.1;
        let each = spent.as_nanos() as f64 / forwarded as f64;
        println!(
            "{what}, {receivers} receivers: {each:.0} ns per forwarded packet ({forwarded} packets in {runs} runs, {:?})",
            world.profile()
        );
    }
}
