//! A bridge dies: its meetings go on elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use world::World;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn rooms_are_spread_over_bridges() {
    let world = World::two_rooms(1);
    let endpoints: Vec<_> = world.bridges.iter().map(world::Bridge::endpoints).collect();
    assert_eq!(endpoints, [2, 2], "{:?}", world.decisions);
}

/// Kills a bridge and returns how long its people saw nothing new.
fn outage(seed: u64, stream: bool, limit: Duration) -> Duration {
    let mut world = World::two_rooms(seed);
    let moved = world.decisions.len();
    let dead = (0..2).find(|n| world.bridges[*n].endpoints() == 2).unwrap();
    let before: Vec<_> = (0..4).map(|n| world.frames(n)).collect();
    world.run(SECOND / 10);
    let moving: Vec<_> = (0..4).filter(|n| world.frames(*n) > before[*n]).collect();
    assert_eq!(moving.len(), 4, "all pictures move before");
    world.kill_bridge(dead, stream);
    let at = world.elapsed();
    world.run(SECOND / 5);
    let stopped: Vec<_> = (0..4).map(|n| world.frames(n)).collect();
    let back = world.run_until(limit, |w| (0..4).all(|n| w.frames(n) > stopped[n] + 3));
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
