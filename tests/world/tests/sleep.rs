//! Somebody's machine sleeps for a while, or the bridge's; afterwards all is as before.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use bot::{Layer, VideoSpec};
use sim::LinkSpec;
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn who_slept_sees_the_others_again() {
    for seconds in [10, 23] {
        let mut world = World::new(&WorldConfig {
            seed: u64::from(seconds),
            bridges: 1,
            path: LinkSpec::default(),
        });
        world.run(SECOND);
        for _ in 0..2 {
            world.join("standup", |config| {
                let (height, bitrate) = (180, 100_000);
                config.video = Some(VideoSpec {
                    layers: vec![Layer { height, bitrate }],
                    frame_rate: 10,
                    temporal: false,
                });
            });
        }
        world.run(3 * SECOND);
        world.stop_bot(0);
        world.run(seconds * SECOND);
        world.continue_bot(0);
        let before = [0, 1].map(|n| world.frames(n));
        let seen = world.run_until(30 * SECOND, |w| {
            (0..2).all(|n| w.frames(n) > before[n] + 30)
        });
        let after = [0, 1].map(|n| world.frames(n));
        assert!(
            seen,
            "slept {seconds} s: pictures {before:?}, then {after:?}; {:?}",
            world.events[0]
        );
    }
}

/// When it goes on, its people's consent is long over, and what came before it stopped was never reported to them: nothing of that
/// is due any more. (It was, for ever, so that no time passed.)
#[test]
fn a_bridge_that_was_stopped_for_long_goes_on() {
    let mut world = World::new(&WorldConfig {
        seed: 237,
        bridges: 1,
        path: LinkSpec::default(),
    });
    world.run(SECOND);
    for _ in 0..3 {
        world.join("standup", |config| config.max_height = 180);
    }
    assert!(world.run_until(5 * SECOND, |w| w.everybody_sees(2)));
    world.stop_bridge(0);
    world.run(40 * SECOND);
    world.continue_bridge(0);
    world.run(20 * SECOND);
    let before = world.frames(1);
    world.run(5 * SECOND);
    assert!(world.frames(1) > before + 60, "{:?}", world.decisions);
}
