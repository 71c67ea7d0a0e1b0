//! Somebody's machine sleeps for a while; when it wakes up, it is in the meeting as before.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use world::World;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn who_slept_sees_the_others_again() {
    for seconds in [3, 10, 23, 40] {
        let mut world = World::two_rooms(u64::from(seconds));
        world.run(3 * SECOND);
        world.stop_bot(0);
        world.run(seconds * SECOND);
        world.continue_bot(0);
        let before: Vec<u64> = (0..2).map(|n| world.frames(n)).collect();
        let seen = world.run_until(30 * SECOND, |w| {
            (0..2).all(|n| w.frames(n) > before[n] + 30)
        });
        let after: Vec<u64> = (0..2).map(|n| world.frames(n)).collect();
        assert!(
            seen,
            "slept {seconds} s: pictures {before:?}, then {after:?}; {:?}",
            world.events[0]
        );
    }
}
