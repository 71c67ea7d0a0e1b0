//! Spare connections on another bridge: what a bridge that is killed costs those who have them, and what is left of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use sim::LinkSpec;
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(5);

/// A meeting of people who all see each other; whether each of them can hold a spare connection.
fn meeting(seed: u64, standby: bool, able: &[bool]) -> World {
    let config = WorldConfig {
        seed,
        bridges: 3,
        path: LinkSpec {
            delay: Duration::from_millis(15),
            ..LinkSpec::default()
        },
    };
    let mut world = World::with_focus(&config, |focus| focus.bridges.standby = standby);
    world.run(SECOND);
    for (n, able) in able.iter().enumerate() {
        world.join("standup", |bot| bot.moves = *able);
        world.with_bot(n, |bot| bot.speak(-30));
        world.run(SECOND / 5);
    }
    let seen = world.run_until(10 * SECOND, |w| w.everybody_sees(able.len() - 1));
    assert!(seen, "{:?}", world.decisions);
    world.run(8 * SECOND);
    world
}

/// The bridge that a meeting is on, and that with the spares of its people.
fn places(world: &World) -> (usize, Option<usize>) {
    let status = world.focus_status();
    let number = |name: &str| {
        let mut bridges = world.bridges.iter();
        bridges.position(|bridge| bridge.name() == name).unwrap()
    };
    let meeting = &status.meetings[0];
    let spares = meeting.spares.as_ref().map(|place| number(&place.bridge));
    (number(&meeting.bridges[0].bridge), spares)
}

fn endpoints(world: &World) -> Vec<usize> {
    world.bridges.iter().map(world::Bridge::endpoints).collect()
}

/// Sound packets and pictures that everybody has had of everybody else.
fn had(world: &World) -> Vec<(u64, u64)> {
    let all = world.bots.iter().flat_map(|bot| {
        let sound = |video: &str| {
            let name = video.replace("-v0", "-a0");
            bot.audio().get(&name).copied().unwrap_or(0)
        };
        let video = bot.video().iter();
        video.map(move |(source, stats)| (sound(source), stats.decoded))
    });
    all.collect()
}

/// The longest times, from now on for a while, in which somebody had no sound, and no picture, of somebody else.
fn gaps(world: &mut World, time: Duration) -> (Duration, Duration) {
    let mut last = had(world);
    let mut since = vec![(Duration::ZERO, Duration::ZERO); last.len()];
    let mut longest = (Duration::ZERO, Duration::ZERO);
    let count = |since: &mut Duration, longest: &mut Duration, more: bool| {
        *since = if more { Duration::ZERO } else { *since + STEP };
        *longest = (*longest).max(*since);
    };
    for _ in 0..time.as_millis() / STEP.as_millis() {
        world.run(STEP);
        let now = had(world);
        for ((since, before), now) in since.iter_mut().zip(&last).zip(&now) {
            count(&mut since.0, &mut longest.0, now.0 > before.0);
            count(&mut since.1, &mut longest.1, now.1 > before.1);
        }
        last = now;
    }
    longest
}

#[test]
fn a_killed_bridge_costs_a_moment_of_sound() {
    for seed in 1..5 {
        let people = 3 + seed as usize % 2;
        let mut world = meeting(seed, true, &vec![true; people]);
        // Twice: they have spares again.
        for _ in 0..2 {
            let (home, spares) = places(&world);
            let spares = spares.unwrap();
            assert_eq!(endpoints(&world)[spares], people, "each has one");
            world.kill_bridge(home, true);
            let (sound, pictures) = gaps(&mut world, 4 * SECOND);
            println!("seed {seed}: no sound for {sound:?}, no picture for {pictures:?}");
            assert!(sound <= Duration::from_millis(300), "{sound:?}");
            assert!(pictures <= Duration::from_millis(900), "{pictures:?}");
            assert_eq!(places(&world).0, spares);
            world.restart_bridge(home);
            world.run(8 * SECOND);
            assert!(world.everybody_sees(people - 1), "{:?}", world.decisions);
        }
        for n in 0..people {
            world.with_bot(n, bot::Bot::leave);
        }
        world.run(30 * SECOND);
        assert_eq!(endpoints(&world), [0, 0, 0], "nothing is left");
    }
}

#[test]
fn nothing_goes_over_a_spare_connection() {
    let mut world = meeting(5, true, &[true; 3]);
    let (_, spares) = places(&world);
    let bridge = &world.bridges[spares.unwrap()];
    assert_eq!(bridge.controller.shard().stats().packets_forwarded, 0);
    // Whoever is silent and unseen there is not taken for dead: nobody goes anywhere.
    let before = world.decisions.len();
    world.run(60 * SECOND);
    assert_eq!(world.decisions[before..], []);
    assert!(world.everybody_sees(2));
}

#[test]
fn who_cannot_hold_one_is_moved_as_before() {
    let able = [true, false, true, false];
    let mut world = meeting(6, true, &able);
    let (home, spares) = places(&world);
    assert_eq!(endpoints(&world)[spares.unwrap()], 2);
    world.kill_bridge(home, true);
    world.run(5 * SECOND);
    assert_eq!(endpoints(&world)[spares.unwrap()], 4);
    assert!(world.everybody_sees(3), "{:?}", world.decisions);
}

#[test]
fn a_bridge_with_spares_that_dies_or_drains_is_not_noticed() {
    for drained in [false, true] {
        let mut world = meeting(7, true, &[true; 3]);
        let (home, spares) = places(&world);
        let spares = spares.unwrap();
        match drained {
            true => world.drain(spares),
            false => world.kill_bridge(spares, true),
        }
        let (sound, pictures) = gaps(&mut world, 8 * SECOND);
        assert!(sound <= Duration::from_millis(60), "{sound:?}");
        assert!(pictures <= Duration::from_millis(150), "{pictures:?}");
        let after = places(&world);
        assert_eq!(after.0, home);
        assert!(after.1.is_some_and(|other| other != spares), "{after:?}");
        if drained {
            assert_eq!(endpoints(&world)[spares], 0);
        }
    }
}

#[test]
fn with_spares_a_drained_bridge_costs_nothing() {
    let mut world = meeting(8, true, &[true; 3]);
    let (home, spares) = places(&world);
    world.drain(home);
    let (sound, pictures) = gaps(&mut world, 8 * SECOND);
    assert!(sound <= Duration::from_millis(60), "{sound:?}");
    assert!(pictures <= Duration::from_millis(150), "{pictures:?}");
    assert_eq!(places(&world).0, spares.unwrap());
    assert_eq!(endpoints(&world)[home], 0);
}

#[test]
fn a_bridge_that_is_killed_while_people_come_loses_nobody() {
    for after in [10, 40, 100, 250, 600] {
        let mut world = meeting(9, true, &[true; 2]);
        for n in 2..5 {
            world.join("standup", |_| {});
            world.with_bot(n, |bot| bot.speak(-30));
        }
        world.run(Duration::from_millis(after));
        let (home, _) = places(&world);
        world.kill_bridge(home, true);
        let seen = world.run_until(10 * SECOND, |w| w.everybody_sees(4));
        assert!(seen, "{after} ms: {:?}", world.decisions);
        world.run(10 * SECOND);
        let (_, spares) = places(&world);
        assert_eq!(endpoints(&world)[spares.unwrap()], 5, "{after} ms");
        assert!(world.everybody_sees(4), "{after} ms");
    }
}
