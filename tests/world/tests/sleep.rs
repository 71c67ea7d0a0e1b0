//! Somebody's machine sleeps for a while; when it wakes up, it is in the meeting as before.
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
