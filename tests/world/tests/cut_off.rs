//! A bridge is cut off from the meet node while its meeting changes: when it is back, nothing of that is missing.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use sim::LinkSpec;
use world::{Party, World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);

/// A meeting of two over two of three bridges, and a third person who comes while the bridge of the first is cut off from the
/// meet node. `breaks`: in the end its connection breaks, and what waited in it is lost.
fn newcomer(seed: u64, breaks: bool) {
    let mut world = World::split(&WorldConfig {
        seed,
        bridges: 3,
        path: LinkSpec::default(),
    });
    world.run(SECOND);
    for _ in 0..2 {
        world.join("standup", |_| {});
        world.run(SECOND / 5);
    }
    assert!(world.run_until(5 * SECOND, |w| w.everybody_sees(1)));
    let cut_off = Party::Bridge(0);
    assert_eq!(world.bridges[0].endpoints(), 1);
    world.hold(cut_off);
    world.run(2 * SECOND);
    world.join("standup", |_| {});
    world.run(10 * SECOND);
    if breaks {
        world.cut_stream(cut_off);
        world.run(12 * SECOND);
    }
    world.release(cut_off);
    let seen = world.run_until(5 * SECOND, |w| w.everybody_sees(2));
    assert!(seen, "breaks: {breaks}, {:#?}", world.decisions);
}

#[test]
fn who_came_while_a_bridge_was_cut_off_is_seen_on_it_when_it_is_back() {
    newcomer(38, true);
    newcomer(39, false);
}
