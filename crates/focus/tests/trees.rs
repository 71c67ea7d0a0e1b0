//! Meetings over more bridges than have relays to each other: some are a core, each of the others has one relay, to one of
//! those.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use focus::{Event, Strategy};
use support::*;

const MEETING: &str = "5cc8f3dc-meeting";
const SECOND: Duration = Duration::from_secs(1);
const PEOPLE: [&str; 6] = ["aa", "bb", "cc", "dd", "ee", "ff"];

/// A meeting of six on bridges of their own, of which two are the core; and idle bridges.
fn meeting(bridges: u32) -> World {
    let mut world = World::with(|config| {
        config.bridges.strategy = Strategy::Split;
        config.bridges.max_mesh = Some(2);
    });
    for n in 1..=bridges {
        let name = format!("jvb{n}");
        world.add_bridge(&name, 0.0);
        world.bridges.get_mut(&name).unwrap().relates = true;
        tell(&mut world, &name, false);
    }
    world.request(ROOM);
    for nick in PEOPLE {
        world.join(FakeClient::new(nick));
        world.advance(SECOND);
    }
    world.advance(3 * SECOND);
    assert_whole(&world);
    world
}

fn tell(world: &mut World, name: &str, drain: bool) {
    let media = format!("10.0.0.{}:10000", name.strip_prefix("jvb").unwrap());
    world.bridge_stats(
        name,
        &[
            ("stress_level", "0.0"),
            ("drain", if drain { "true" } else { "false" }),
            ("relay_id", &format!("relay-of-{name}")),
            ("pontoon_media", &media),
        ],
    );
}

/// The bridges of the meeting, and to which others each has relays.
fn relays(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let homes = world.home_of(MEETING).into_iter();
    let others = |name: &str| {
        let relays = world.bridges[name].relays.keys();
        let relays = relays.filter(|(meeting, _)| meeting == MEETING);
        relays
            .map(|(_, other)| other.strip_prefix("relay-of-").unwrap().to_owned())
            .collect()
    };
    homes.map(|name| (name.to_owned(), others(name))).collect()
}

/// Those that have several.
fn core(world: &World) -> Vec<String> {
    let all = relays(world).into_iter();
    let several = all.filter(|(_, others)| others.len() > 1);
    several.map(|(name, _)| name).collect()
}

fn people_on(world: &World, name: &str) -> BTreeSet<String> {
    let people = world.bridges[name].conferences[MEETING].keys();
    people.cloned().collect()
}

/// What one bridge sends comes to every other one, once, over relays as bridges pass it on; and each knows behind which relay
/// its sender is.
fn assert_whole(world: &World) {
    let all = relays(world);
    let key = |other: &str| (MEETING.to_owned(), format!("relay-of-{other}"));
    for source in all.keys() {
        let mut reached = BTreeMap::new();
        let mut next: Vec<(String, String, Option<String>)> = Vec::new();
        let begin = all[source].iter();
        next.extend(begin.map(|to| (source.clone(), to.clone(), None)));
        while let Some((from, at, through)) = next.pop() {
            let mesh = &world.bridges[&from].meshes[&key(&at)];
            assert_eq!(world.bridges[&at].meshes[&key(&from)], *mesh);
            if through.as_ref() == Some(mesh) {
                continue;
            }
            let twice = reached.insert(at.clone(), from.clone());
            assert_eq!(twice, None, "from {source} to {at}: {all:?}");
            let on = all[&at].iter().filter(|to| **to != from);
            next.extend(on.map(|to| (at.clone(), to.clone(), Some(mesh.clone()))));
        }
        assert_eq!(reached.len() + 1, all.len(), "from {source}: {all:?}");
        for (at, from) in reached {
            let behind = &world.bridges[&at].relays[&key(&from)];
            let people = people_on(world, source);
            assert!(
                people.is_subset(behind),
                "{at} has {behind:?} behind {from}, and not {people:?}: {all:?}"
            );
        }
    }
    let homes = all.keys().flat_map(|name| people_on(world, name));
    let homes: Vec<String> = homes.collect();
    assert_eq!(homes.len(), world.clients.len(), "{homes:?}");
    for name in all.keys() {
        let known = world.bridges[name].behind(MEETING).len() + people_on(world, name).len();
        assert_eq!(known, world.clients.len(), "{name}");
    }
}

fn offers(world: &World) -> usize {
    world.clients.values().map(|c| c.offers.len()).sum()
}

fn made(world: &World) -> u32 {
    world.bridges.values().map(|b| b.relays_made).sum()
}

#[test]
fn beyond_the_core_each_bridge_has_one_relay() {
    let world = meeting(6);
    assert_eq!(world.home_of(MEETING).len(), 6);
    assert_eq!(core(&world).len(), 2);
    // One between the two, and four.
    assert_eq!(made(&world), 10);
    let status = world.focus.status();
    let places = &status.meetings[0].bridges;
    let leaves = places.iter().filter(|place| place.behind.is_some());
    assert_eq!(leaves.count(), 4);
    let told = |e: &&Event| matches!(e, Event::Leaf { .. });
    assert_eq!(world.events.iter().filter(told).count(), 4);
}

#[test]
fn whatever_one_says_of_its_sources_is_told_wherever_it_is_relayed() {
    let mut world = meeting(6);
    let before = made(&world);
    world.leave("ff");
    world.advance(SECOND);
    assert_whole(&world);
    world.join(FakeClient::new("gg"));
    world.join(FakeClient::new("hh"));
    world.advance(2 * SECOND);
    assert_whole(&world);
    // Where the last one left, and where another one came.
    assert!(made(&world) <= before + 2, "{:?}", relays(&world));
    assert_eq!(offers(&world), 7);
}

#[test]
fn a_core_bridge_that_dies_takes_its_own_people_along_alone() {
    for at in [0, 1] {
        let mut world = meeting(7);
        let dead = core(&world)[at].clone();
        let before = offers(&world);
        world.kill_bridge(&dead);
        world.advance(3 * SECOND);
        assert_whole(&world);
        assert_eq!(offers(&world), before + 1, "{:#?}", world.events);
        assert_eq!(core(&world).len(), 2, "{:?}", relays(&world));
        assert_eq!(world.focus.stats().relays_failed_total, 0);
    }
}

#[test]
fn a_leaf_that_dies_changes_nothing_for_the_others() {
    let mut world = meeting(7);
    let (core, made_before) = (core(&world), made(&world));
    let homes = world.home_of(MEETING).into_iter();
    let leaf = homes.map(str::to_owned).find(|name| !core.contains(name));
    let before = offers(&world);
    world.kill_bridge(&leaf.unwrap());
    world.advance(3 * SECOND);
    assert_whole(&world);
    assert_eq!(offers(&world), before + 1);
    // One relay of the bridge that is new.
    assert!(made(&world) <= made_before + 2);
}

#[test]
fn a_core_bridge_that_is_drained_is_left_by_its_leaves() {
    let mut world = meeting(7);
    let drained = core(&world)[0].clone();
    tell(&mut world, &drained, true);
    world.advance(10 * SECOND);
    assert!(!world.home_of(MEETING).contains(&drained.as_str()));
    assert_whole(&world);
    assert_eq!(core(&world).len(), 2);
}

#[test]
fn a_core_bridge_without_people_stays_as_long_as_others_meet_through_it() {
    let mut world = meeting(6);
    let empty = core(&world)[0].clone();
    let gone: Vec<String> = people_on(&world, &empty).into_iter().collect();
    let before = made(&world);
    for nick in &gone {
        world.leave(nick);
    }
    world.advance(3 * SECOND);
    assert_whole(&world);
    assert_eq!(core(&world).len(), 2);
    assert_eq!(made(&world), before, "no relay was made anew");
    // When nobody meets through it any more, it is left.
    let leaves: Vec<String> = relays(&world)[&empty].iter().cloned().collect();
    for leaf in leaves {
        for nick in people_on(&world, &leaf) {
            if world.clients.len() > 2 {
                world.leave(&nick);
                world.advance(SECOND);
            }
        }
    }
    world.advance(3 * SECOND);
    assert_whole(&world);
    assert!(!world.home_of(MEETING).contains(&empty.as_str()));
}

#[test]
fn without_a_limit_all_have_relays_to_each_other() {
    let mut world = World::with(|config| {
        config.bridges.strategy = Strategy::Split;
        config.bridges.max_mesh = None;
    });
    for n in 1..=6 {
        let name = format!("jvb{n}");
        world.add_bridge(&name, 0.0);
        world.bridges.get_mut(&name).unwrap().relates = true;
        tell(&mut world, &name, false);
    }
    world.request(ROOM);
    for nick in PEOPLE {
        world.join(FakeClient::new(nick));
    }
    world.advance(3 * SECOND);
    assert_whole(&world);
    assert_eq!(made(&world), 30);
    assert!(relays(&world).values().all(|others| others.len() == 5));
}
