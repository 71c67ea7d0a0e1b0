//! Nothing gets through between people and a bridge, which lives and answers: they are served by another one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::ops::Range;
use std::time::Duration;

use bot::{Event, Served};
use sim::LinkSpec;
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);
/// Whoever is cut off from a bridge goes without sound and pictures for no longer than this.
const BOUND: Duration = Duration::from_secs(5);
/// People of each meeting.
const PEOPLE: usize = 4;

fn people_of(room: usize) -> Range<usize> {
    room * PEOPLE..(room + 1) * PEOPLE
}

/// Some meetings of four on two bridges; and on which each is.
fn meetings(seed: u64, rooms: usize) -> (World, Vec<usize>) {
    let mut world = World::new(&WorldConfig {
        seed,
        bridges: 2,
        path: LinkSpec {
            delay: Duration::from_millis(15),
            ..LinkSpec::default()
        },
    });
    world.run(SECOND);
    let mut homes = Vec::new();
    for room in 0..rooms {
        let before: Vec<usize> = world.bridges.iter().map(world::Bridge::endpoints).collect();
        for n in people_of(room) {
            world.join(&format!("room{room}"), |_| {});
            world.with_bot(n, |bot| bot.speak(-30));
            world.run(SECOND / 5);
        }
        world.run(3 * SECOND);
        let home = (0..2).find(|n| world.bridges[*n].endpoints() == before[*n] + PEOPLE);
        homes.push(home.unwrap());
    }
    let seen = world.run_until(8 * SECOND, |w| w.everybody_sees(PEOPLE - 1));
    assert!(seen, "seed {seed}: {:?}", world.decisions);
    world.run(5 * SECOND);
    served(&mut world);
    (world, homes)
}

/// What each got since it was asked last.
fn served(world: &mut World) -> Vec<Served> {
    let now = world.now();
    let all = 0..world.bots.len();
    all.map(|n| world.with_bot(n, |bot| bot.take_served(now)))
        .collect()
}

fn sessions(world: &World, n: usize) -> usize {
    let events = world.events[n].iter();
    events
        .filter(|(_, e)| matches!(e, Event::Connected))
        .count()
}

/// Time goes on, and all are served again: those of the rooms that were cut off in time and with new sessions, the others as if
/// nothing had happened.
fn assert_served(world: &mut World, rooms: usize, cut_off: &[usize]) {
    let before: Vec<usize> = (0..world.bots.len()).map(|n| sessions(world, n)).collect();
    world.run(12 * SECOND);
    let all = served(world);
    for room in 0..rooms {
        let moves = cut_off.contains(&room);
        let bound = if moves { BOUND } else { SECOND / 2 };
        for n in people_of(room) {
            let served = all[n];
            println!("room {room}, bot {n}: {served:?}");
            assert_eq!((served.sees, served.hears), (PEOPLE - 1, true), "bot {n}");
            let (sound, pictures) = (served.audio.unwrap(), served.video.unwrap());
            assert!(
                sound <= bound && pictures <= bound,
                "room {room}, bot {n}: {served:?} {:#?}",
                world.decisions
            );
            let again = sessions(world, n) > before[n];
            assert_eq!(again, moves, "room {room}, bot {n}");
        }
    }
}

#[test]
fn a_bridge_that_none_of_its_people_reaches_is_left_within_five_seconds() {
    for (seed, phase) in [(1, 0), (2, 90), (3, 200)] {
        let (mut world, homes) = meetings(seed, 3);
        world.run(Duration::from_millis(phase));
        let shut = homes[0];
        world.shut_port(shut, true);
        let cut_off: Vec<usize> = (0..3).filter(|room| homes[*room] == shut).collect();
        assert!(cut_off.len() < 3);
        assert_served(&mut world, 3, &cut_off);
        assert_eq!(world.bridges[shut].endpoints(), 0);
    }
}

#[test]
fn a_meeting_that_does_not_reach_its_bridge_leaves_it_alone_within_five_seconds() {
    for (seed, phase) in [(4, 0), (5, 130), (6, 240)] {
        let (mut world, homes) = meetings(seed, 3);
        world.run(Duration::from_millis(phase));
        // Of three meetings, two are on one bridge.
        let shared =
            (0..3).find(|room| homes.iter().filter(|home| **home == homes[*room]).count() == 2);
        let room = shared.unwrap();
        let bridge = world.bridges[homes[room]].address.ip();
        for n in people_of(room) {
            let person = world.bots[n].local().ip();
            world.cut_path(person, bridge, true);
        }
        assert_served(&mut world, 3, &[room]);
    }
}
