//! Planned moves to another bridge: what they cost people who watch, frame by frame.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bot::{Event, SourceStats};
use focus::Strategy;
use sim::{LinkSpec, Loss};
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);

struct Scene {
    seed: u64,
    bridges: u8,
    strategy: Strategy,
    path: LinkSpec,
    /// Whether each of the people can take a session beside the one it has.
    able: Vec<bool>,
}

impl Scene {
    fn new(seed: u64, people: usize) -> Self {
        Self {
            seed,
            bridges: 2,
            strategy: Strategy::Single,
            path: LinkSpec {
                delay: Duration::from_millis(15),
                ..LinkSpec::default()
            },
            able: vec![true; people],
        }
    }

    fn begin(&self) -> World {
        let config = WorldConfig {
            seed: self.seed,
            bridges: self.bridges,
            path: self.path,
        };
        let mut world = World::with_focus(&config, |focus| {
            focus.bridges.strategy = self.strategy;
        });
        world.run(SECOND);
        for (n, able) in self.able.iter().enumerate() {
            world.join("standup", |bot| bot.moves = *able);
            world.with_bot(n, |bot| bot.speak(-30));
            world.run(SECOND / 5);
        }
        let others = self.able.len() - 1;
        let seen = world.run_until(10 * SECOND, |w| w.everybody_sees(others));
        assert!(seen, "{:?}", world.decisions);
        // Until everything has climbed to where it stays.
        world.run(8 * SECOND);
        world
    }
}

fn endpoints(world: &World) -> Vec<usize> {
    world.bridges.iter().map(world::Bridge::endpoints).collect()
}

/// Pictures and sound packets that a bot has had of each source.
fn had(world: &World, bot: usize) -> Vec<(String, SourceStats, u64)> {
    let bot = &world.bots[bot];
    let audio = |video: &str| {
        let name = video.replace("-v0", "-a0");
        bot.audio().get(&name).copied().unwrap_or(0)
    };
    let video = bot.video().iter();
    video
        .map(|(source, stats)| (source.clone(), *stats, audio(source)))
        .collect()
}

/// Frames that a bot missed, and sound packets, since before; and the longest time without a frame since then.
fn missed(world: &World, bot: usize, before: &[(String, SourceStats, u64)]) -> (u64, u64) {
    let mut frames = 0;
    let mut sound = 0;
    for ((source, then, heard), (same, now, hears)) in before.iter().zip(had(world, bot)) {
        assert_eq!(*source, same);
        let shown = now.last_frame.unwrap() - then.last_frame.unwrap();
        frames += u64::from(shown).saturating_sub(now.decoded - then.decoded);
        // Fifty a second, as thirty frames.
        let said = u64::from(shown) * 50 / 30;
        sound += said.saturating_sub(hears - heard);
    }
    (frames, sound)
}

fn moved(world: &World, bot: usize) -> bool {
    world.events[bot].iter().any(|(_, e)| *e == Event::Moved)
}

#[test]
fn a_drained_bridge_costs_people_who_can_move_no_frame() {
    let lossy = LinkSpec {
        delay: Duration::from_millis(20),
        loss: Loss::Random(0.01),
        ..LinkSpec::default()
    };
    let plain = Scene::new(0, 1).path;
    for (seed, people, path) in [(1, 3, plain), (2, 5, plain), (3, 4, lossy)] {
        let mut scene = Scene::new(seed, people);
        scene.path = path;
        let mut world = scene.begin();
        let from = endpoints(&world).iter().position(|n| *n > 0).unwrap();
        let before: Vec<_> = (0..people).map(|n| had(&world, n)).collect();
        world.drain(from);
        let empty = world.run_until(10 * SECOND, |w| w.bridges[from].endpoints() == 0);
        assert!(empty, "{:?} {:#?}", world.decisions, world.events);
        assert_eq!(endpoints(&world)[1 - from], people);
        world.run(5 * SECOND);
        for (n, before) in before.iter().enumerate() {
            assert!(moved(&world, n), "{:?}", world.events[n]);
            let (frames, sound) = missed(&world, n, before);
            // A line that loses does so without a move too, and not everything that is sent again comes in time.
            let allowed = if path.loss == Loss::None {
                0
            } else {
                10 * people as u64
            };
            assert!(
                frames <= allowed,
                "seed {seed}, bot {n}: {frames} {:#?}",
                had(&world, n)
            );
            assert!(sound <= 8 * people as u64, "seed {seed}, bot {n}: {sound}");
        }
    }
}

#[test]
fn who_left_is_not_waited_for() {
    let mut world = Scene::new(7, 3).begin();
    world.with_bot(2, bot::Bot::leave);
    world.run(3 * SECOND);
    let from = endpoints(&world).iter().position(|n| *n > 0).unwrap();
    world.drain(from);
    let soon = world.run_until(2 * SECOND, |w| moved(w, 0) && moved(w, 1));
    assert!(soon, "{:#?}", world.events);
}

#[test]
fn whoever_cannot_is_moved_with_a_gap_and_the_others_are_not_held_up() {
    let mut scene = Scene::new(4, 4);
    scene.able = vec![true, false, true, false];
    let mut world = scene.begin();
    let from = endpoints(&world).iter().position(|n| *n > 0).unwrap();
    let before: Vec<_> = (0..4).map(|n| had(&world, n)).collect();
    world.drain(from);
    assert!(world.run_until(10 * SECOND, |w| w.bridges[from].endpoints() == 0));
    world.run(5 * SECOND);
    for (n, able) in scene.able.iter().enumerate() {
        assert_eq!(moved(&world, n), *able);
        for ((source, then, _), (_, now, _)) in before[n].iter().zip(had(&world, n)) {
            println!(
                "bot {n} (able {able}), {source}: {} frames skipped, longest gap {:?}",
                now.skipped - then.skipped,
                now.longest_gap
            );
            assert!(now.decoded > then.decoded + 60, "it goes on");
        }
    }
    // Those who can miss nothing of each other.
    let of = |world: &World, bot: usize, other: usize| {
        let name = format!("{}-v0", world.bots[other].endpoint());
        world.bots[bot].video()[&name].skipped
    };
    assert_eq!((of(&world, 0, 2), of(&world, 2, 0)), (0, 0));
}

#[test]
fn one_of_several_bridges_is_drained_while_the_meeting_goes_on() {
    let mut scene = Scene::new(5, 6);
    (scene.bridges, scene.strategy) = (3, Strategy::Split);
    let mut world = scene.begin();
    // The one in the middle: people go to an elder and to a newer one.
    let from = 1;
    assert_eq!(endpoints(&world)[from], 2);
    world.drain(from);
    assert!(world.run_until(10 * SECOND, |w| w.bridges[from].endpoints() == 0));
    world.run(2 * SECOND);
    let before: Vec<_> = (0..6).map(|n| had(&world, n)).collect();
    world.run(4 * SECOND);
    for (n, before) in before.iter().enumerate() {
        assert_eq!(before.len(), 5);
        for ((source, then, _), (_, now, _)) in before.iter().zip(had(&world, n)) {
            assert!(now.decoded > then.decoded + 100, "bot {n} sees {source}");
            println!("bot {n}, {source}: skipped {}", now.skipped);
        }
    }
}

#[test]
fn a_bridge_that_dies_while_it_is_drained_is_left_for_the_one_that_is_ready() {
    for after in [20, 60, 150, 400] {
        let mut world = Scene::new(6, 3).begin();
        let from = endpoints(&world).iter().position(|n| *n > 0).unwrap();
        world.drain(from);
        world.run(Duration::from_millis(after));
        world.kill_bridge(from, true);
        let back = world.run_until(10 * SECOND, |w| w.bridges[1 - from].endpoints() == 3);
        assert!(back, "{:?}", world.decisions);
        world.run(2 * SECOND);
        let before: Vec<_> = (0..3).map(|n| had(&world, n)).collect();
        world.run(2 * SECOND);
        for (n, before) in before.iter().enumerate() {
            for ((source, then, _), (_, now, _)) in before.iter().zip(had(&world, n)) {
                assert!(
                    now.decoded > then.decoded + 45,
                    "{after} ms: bot {n} sees {source}"
                );
            }
        }
    }
}
