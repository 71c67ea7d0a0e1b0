//! A bridge dies: its meetings go on elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use sim::LinkSpec;
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);

/// Two rooms of two on two bridges, everybody seeing everybody.
fn two_rooms(seed: u64) -> World {
    let mut world = World::new(&WorldConfig {
        seed,
        bridges: 2,
        path: LinkSpec::default(),
    });
    world.run(SECOND);
    for room in ["red", "blue"] {
        for _ in 0..2 {
            world.join(room, |_| {});
        }
        world.run(SECOND / 2);
    }
    assert!(world.run_until(2 * SECOND, |w| {
        w.bots
            .iter()
            .all(|b| b.video().values().any(|s| s.decoded > 0))
    }));
    world
}

fn frames(world: &World, n: usize) -> u64 {
    world.bots[n].video().values().map(|s| s.decoded).sum()
}

#[test]
fn rooms_are_spread_over_bridges() {
    let world = two_rooms(1);
    let endpoints: Vec<_> = world.bridges.iter().map(world::Bridge::endpoints).collect();
    assert_eq!(endpoints, [2, 2], "{:?}", world.decisions);
}

/// Kills a bridge and returns how long its people saw nothing new.
fn outage(seed: u64, stream: bool, limit: Duration) -> Duration {
    let mut world = two_rooms(seed);
    let moved = world.decisions.len();
    let dead = (0..2).find(|n| world.bridges[*n].endpoints() == 2).unwrap();
    let before: Vec<_> = (0..4).map(|n| frames(&world, n)).collect();
    world.run(SECOND / 10);
    let moving: Vec<_> = (0..4).filter(|n| frames(&world, *n) > before[*n]).collect();
    assert_eq!(moving.len(), 4, "all pictures move before");
    world.kill_bridge(dead, stream);
    let at = world.elapsed();
    world.run(SECOND / 5);
    let stopped: Vec<_> = (0..4).map(|n| frames(&world, n)).collect();
    let back = world.run_until(limit, |w| (0..4).all(|n| frames(w, n) > stopped[n] + 3));
    assert!(
        back,
        "not within {limit:?}: {:?}\n{:?}",
        &world.decisions[moved..],
        world.events
    );
    let endpoints = world.bridges[1 - dead].endpoints();
    assert_eq!(endpoints, 4, "everybody is on the other bridge");
    world.elapsed() - at
}

#[test]
fn a_bridge_whose_stream_closes_is_replaced_within_a_second() {
    for seed in 0..5 {
        let outage = outage(seed, true, SECOND);
        assert!(outage <= SECOND, "{outage:?}");
    }
}

#[test]
fn a_bridge_that_falls_silent_is_replaced() {
    let outage = outage(1, false, 5 * SECOND);
    assert!(outage <= 4 * SECOND, "{outage:?}");
}
