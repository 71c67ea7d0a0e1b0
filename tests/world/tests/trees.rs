//! A meeting over more bridges than have relays to each other: what its people see and hear goes over up to three relays.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bot::{Event, Layer, VideoSpec};
use focus::Strategy;
use sim::LinkSpec;
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);
/// Bridges with relays to each other.
const CORE: usize = 2;

/// Six bridges, and one to spare.
fn begin(seed: u64) -> World {
    let config = WorldConfig {
        seed,
        bridges: 7,
        path: LinkSpec {
            delay: Duration::from_millis(10),
            ..LinkSpec::default()
        },
    };
    let mut world = World::with_focus(&config, |focus| {
        focus.bridges.strategy = Strategy::Split;
        focus.bridges.max_mesh = Some(CORE);
    });
    world.run(SECOND);
    // Nobody is placed on a bridge that drains.
    world.drain_bridge(6, true);
    world.run(SECOND);
    world
}

fn small() -> VideoSpec {
    VideoSpec {
        layers: vec![
            Layer {
                height: 180,
                bitrate: 60_000,
            },
            Layer {
                height: 360,
                bitrate: 200_000,
            },
        ],
        frame_rate: 10,
        temporal: false,
    }
}

/// Two people who send, and eighteen who watch and listen, on six bridges.
fn audience(seed: u64) -> World {
    let mut world = begin(seed);
    for n in 0..20 {
        world.join("lecture", |bot| {
            bot.video = (n < 2).then(small);
            bot.audio = n < 2;
            bot.max_height = 180;
        });
        if n < 2 {
            world.with_bot(n, |bot| bot.speak(-30));
        }
        world.run(SECOND / 10);
    }
    let all = 0..20;
    let served = world.run_until(15 * SECOND, |w| all.clone().all(|n| sees(w, n, 5)));
    assert!(served, "{:?}", places(&world));
    world
}

/// Whether somebody has had so many pictures of each who sends, and sound.
fn sees(world: &World, n: usize, frames: u64) -> bool {
    let bot = &world.bots[n];
    let others = (0..2).filter(|sender| *sender != n);
    others.clone().all(|sender| {
        let name = world.bots[sender].endpoint();
        let video = bot.video().get(&format!("{name}-v0"));
        let audio = bot.audio().get(&format!("{name}-a0"));
        video.is_some_and(|v| v.decoded >= frames) && audio.is_some_and(|p| *p >= frames)
    })
}

/// Pictures and sound packets that each has had of each who sends.
fn had(world: &World) -> Vec<(u64, u64)> {
    let bots = world.bots.iter().enumerate();
    let all = bots.flat_map(|(n, bot)| {
        let others = (0..2).filter(move |sender| *sender != n);
        others.map(move |sender| {
            let name = world.bots[sender].endpoint();
            let video = bot.video().get(&format!("{name}-v0"));
            let audio = bot.audio().get(&format!("{name}-a0"));
            (video.map_or(0, |v| v.decoded), audio.copied().unwrap_or(0))
        })
    });
    all.collect()
}

/// Everybody gets pictures and sound of all who send.
fn assert_served(world: &mut World, case: &str) {
    let before = had(world);
    world.run(2 * SECOND);
    for (n, (before, after)) in before.iter().zip(had(world)).enumerate() {
        let (pictures, sound) = (after.0 - before.0, after.1 - before.1);
        assert!(
            pictures >= 17 && sound >= 90,
            "{case}, view {n}: {pictures} pictures, {sound} packets of sound; {:?}",
            places(world)
        );
    }
}

/// The bridges of the meeting, each with the one to which it has its only relay.
fn places(world: &World) -> Vec<(usize, Option<usize>)> {
    let number = |name: &String| {
        let mut bridges = world.bridges.iter();
        bridges.position(|bridge| bridge.name() == name).unwrap()
    };
    let status = world.focus_status();
    let places = status.meetings.iter().flat_map(|m| m.bridges.clone());
    places
        .map(|place| (number(&place.bridge), place.behind.as_ref().map(number)))
        .collect()
}

/// Those with leaves.
fn core(world: &World) -> Vec<usize> {
    let places = places(world).into_iter();
    places
        .filter(|(_, behind)| behind.is_none())
        .map(|(n, _)| n)
        .collect()
}

fn relays(world: &World) -> usize {
    let alive = world.bridges.iter().filter(|b| !b.dead);
    alive.map(|bridge| bridge.relayed().0).sum()
}

/// How often everybody was given a session.
fn sessions(world: &World) -> usize {
    let all = world.events.iter().flatten();
    all.filter(|(_, e)| matches!(e, Event::Connected)).count()
}

/// Two relays for each bridge but one: both ends count.
fn is_a_tree(world: &World) -> bool {
    let bridges = places(world).len();
    let core = core(world).len();
    relays(world) == core * (core - 1) + 2 * (bridges - core)
}

#[test]
fn an_audience_on_six_bridges_sees_and_hears_whoever_sends() {
    let mut world = audience(1);
    assert_eq!((places(&world).len(), core(&world).len()), (6, CORE));
    assert!(is_a_tree(&world), "{:?}", places(&world));
    assert_served(&mut world, "all is well");
    // Who speaks is known everywhere.
    for speaker in [1, 0] {
        let told = world.all_hear_of_speaker(speaker, 2);
        assert!(told, "{speaker}");
    }
    // All leave: nothing is left anywhere.
    for n in 0..20 {
        world.with_bot(n, bot::Bot::leave);
    }
    world.run(90 * SECOND);
    for bridge in &world.bridges {
        assert_eq!((bridge.endpoints(), bridge.relayed()), (0, (0, 0)));
        assert_eq!(bridge.controller.meetings().count(), 0);
    }
}

#[test]
fn whoever_wants_a_large_picture_on_a_leaf_has_it_and_others_do_not() {
    let mut world = audience(2);
    let layer = |w: &World, n: usize| {
        let name = format!("{}-v0", w.bots[0].endpoint());
        w.bots[n].video()[&name].layer
    };
    // As many people as bridges in a row are on one each.
    let at_leaves = 8..14;
    for n in at_leaves.clone() {
        assert_eq!(layer(&world, n), Some(0));
    }
    world.with_bot(9, |bot| bot.ask_height(360));
    let large = world.run_until(5 * SECOND, |w| layer(w, 9) == Some(1));
    assert!(large, "{:?}", places(&world));
    for n in at_leaves.filter(|n| *n != 9) {
        assert_eq!(layer(&world, n), Some(0));
    }
    // Whoever wants nothing gets nothing, and when nobody wants anything the camera rests.
    world.with_bot(9, |bot| bot.ask_height(180));
    assert!(world.run_until(5 * SECOND, |w| layer(w, 9) == Some(0)));
    assert_served(&mut world, "as before");
}

#[test]
fn a_core_bridge_is_killed_and_everybody_else_keeps_its_session() {
    for (seed, which) in [(3, 0), (4, 1)] {
        let mut world = audience(seed);
        let dead = core(&world)[which];
        let there = world.bridges[dead].endpoints();
        let before = sessions(&world);
        world.kill_bridge(dead, true);
        world.drain_bridge(6, false);
        world.run(5 * SECOND);
        assert_eq!(sessions(&world), before + there);
        assert_eq!(core(&world).len(), CORE);
        assert!(is_a_tree(&world), "{:?}", places(&world));
        assert_served(&mut world, "a core bridge was killed");
    }
}

#[test]
fn a_leaf_is_killed_and_its_people_are_served_elsewhere() {
    let mut world = audience(5);
    let leaf = places(&world).into_iter().find(|(_, core)| core.is_some());
    let leaf = leaf.unwrap().0;
    let there = world.bridges[leaf].endpoints();
    let before = sessions(&world);
    world.kill_bridge(leaf, true);
    world.run(5 * SECOND);
    assert_eq!(sessions(&world), before + there);
    assert!(is_a_tree(&world), "{:?}", places(&world));
    assert_served(&mut world, "a leaf was killed");
}

#[test]
fn a_leaf_that_cannot_reach_its_bridge_is_related_to_another_one() {
    let mut world = audience(8);
    let places_before = places(&world);
    let leaf = places_before.iter().find(|(_, core)| core.is_some());
    let (leaf, core) = *leaf.unwrap();
    let core = core.unwrap();
    let before = sessions(&world);
    let [a, b] = [leaf, core].map(|n| world.bridges[n].address.ip());
    world.cut_path(a, b, true);
    let other = |w: &World| {
        let mut places = places(w).into_iter();
        places.any(|(n, behind)| n == leaf && behind.is_some_and(|to| to != core))
    };
    let related = world.run_until(60 * SECOND, other);
    assert!(related, "{:?} {:?}", places(&world), world.decisions);
    world.run(3 * SECOND);
    assert_eq!(sessions(&world), before, "nobody got another session");
    assert!(is_a_tree(&world), "{:?}", places(&world));
    assert_served(&mut world, "one cannot reach its bridge");
}

#[test]
fn people_of_a_leaf_that_reaches_no_other_bridge_are_served_elsewhere() {
    let mut world = audience(9);
    let leaf = places(&world).into_iter().find(|(_, core)| core.is_some());
    let leaf = leaf.unwrap().0;
    for n in (0..world.bridges.len()).filter(|n| *n != leaf) {
        let [a, b] = [leaf, n].map(|n| world.bridges[n].address.ip());
        world.cut_path(a, b, true);
    }
    let left = world.run_until(60 * SECOND, |w| w.bridges[leaf].endpoints() == 0);
    assert!(left, "{:?} {:?}", places(&world), world.decisions);
    world.run(5 * SECOND);
    assert!(is_a_tree(&world), "{:?}", places(&world));
    assert_served(&mut world, "one reaches no other");
}

#[test]
fn a_core_bridge_is_drained_and_everybody_is_served() {
    let mut world = audience(6);
    let drained = core(&world)[0];
    world.drain_bridge(6, false);
    world.drain_bridge(drained, true);
    let empty = world.run_until(15 * SECOND, |w| w.bridges[drained].endpoints() == 0);
    assert!(empty, "{:?}", places(&world));
    world.run(3 * SECOND);
    assert!(is_a_tree(&world), "{:?}", places(&world));
    assert_served(&mut world, "a core bridge was drained");
}

#[test]
fn a_focus_that_is_replaced_goes_on_with_the_tree() {
    let mut world = audience(7);
    let (before, made) = (places(&world), relays_created(&world));
    world.cut_focus();
    world.run(3 * SECOND);
    world.replace_focus();
    world.run(5 * SECOND);
    assert_eq!(places(&world), before);
    assert_eq!(relays_created(&world), made, "no relay was made anew");
    assert_served(&mut world, "another focus");
}

fn relays_created(world: &World) -> u64 {
    let all = world.bridges.iter().map(|b| b.controller.shard().stats());
    all.map(|stats| stats.relays_created).sum()
}
