//! A meeting over several bridges: the focus spreads it and has them make relays, its people meet as on one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bot::{Event, Layer, VideoSpec};
use sim::{LinkSpec, Loss};
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);

/// One meeting of some people on bridges of their own, as far as there are enough; everybody sees everybody.
fn meeting(seed: u64, bridges: u8, people: usize, path: LinkSpec) -> World {
    let mut world = World::split(&WorldConfig {
        seed,
        bridges,
        path,
    });
    world.run(SECOND);
    for n in 0..people {
        world.join("standup", |_| {});
        world.with_bot(n, |bot| bot.speak(-40));
        world.run(SECOND / 5);
    }
    let seen = world.run_until(8 * SECOND, |w| w.everybody_sees(people - 1));
    assert!(seen, "seed {seed}\n{}", describe(&world));
    world
}

fn describe(world: &World) -> String {
    let bots = world.bots.iter().zip(&world.events);
    let bots: String = bots
        .map(|(bot, events)| {
            let (video, audio) = (bot.video(), bot.audio());
            format!("{} {video:?} {audio:?}\n  {events:?}\n", bot.endpoint())
        })
        .collect();
    let bridges: Vec<_> = world.bridges.iter().map(|b| &b.notes).collect();
    format!("{bots}{:?}\n{bridges:#?}", world.decisions)
}

fn endpoints(world: &World) -> Vec<usize> {
    let alive = world.bridges.iter().filter(|b| !b.dead);
    alive.map(world::Bridge::endpoints).collect()
}

fn relayed(world: &World) -> Vec<(usize, usize)> {
    let alive = world.bridges.iter().filter(|b| !b.dead);
    alive.map(world::Bridge::relayed).collect()
}

fn relays_created(world: &World) -> u64 {
    let all = world.bridges.iter().map(|b| b.controller.shard().stats());
    all.map(|stats| stats.relays_created).sum()
}

/// Pictures that each bot has had of each other one.
fn pictures(world: &World) -> Vec<(usize, String, u64)> {
    let bots = world.bots.iter().enumerate();
    let all = bots.flat_map(|(n, bot)| {
        let video = bot.video().iter();
        video.map(move |(source, stats)| (n, source.clone(), stats.decoded))
    });
    all.collect()
}

#[test]
fn everybody_on_several_bridges_sees_and_hears_everybody() {
    let lossy = LinkSpec {
        delay: Duration::from_millis(10),
        loss: Loss::Random(0.005),
        ..LinkSpec::default()
    };
    for (seed, bridges, people, path) in [
        (1, 2, 3, LinkSpec::default()),
        (2, 2, 4, lossy),
        (3, 3, 6, LinkSpec::default()),
        (4, 3, 5, lossy),
    ] {
        let mut world = meeting(seed, bridges, people, path);
        let all = usize::from(bridges);
        let there = endpoints(&world);
        assert!(there.iter().all(|n| *n > 0), "{there:?}");
        assert_eq!(there.iter().sum::<usize>(), people);
        for (bridge, (relays, behind)) in relayed(&world).into_iter().enumerate() {
            assert_eq!((relays, behind), (all - 1, people - there[bridge]));
        }
        world.run(SECOND);
        let before = pictures(&world);
        assert_eq!(before.len(), people * (people - 1));
        world.run(4 * SECOND);
        for ((_, _, before), (n, source, after)) in before.iter().zip(pictures(&world)) {
            assert!(
                after - before > 100,
                "bot {n} got {} of {source}",
                after - before
            );
        }
        for bot in &world.bots {
            assert_eq!(bot.audio().len(), people - 1, "everybody is heard");
            assert!(bot.audio().values().all(|packets| *packets > 150));
        }
        // Each pair of bridges has made one relay, and nothing was made twice.
        assert_eq!(relays_created(&world), (all * (all - 1)) as u64);
        // All leave: nothing is left anywhere.
        for n in 0..people {
            world.with_bot(n, bot::Bot::leave);
        }
        let empty = world.run_until(5 * SECOND, |w| {
            endpoints(w).iter().sum::<usize>() == 0 && relayed(w).iter().all(|r| *r == (0, 0))
        });
        assert!(empty, "{:?}", relayed(&world));
        world.run(60 * SECOND);
        for bridge in &world.bridges {
            assert_eq!(bridge.controller.meetings().count(), 0);
        }
    }
}

#[test]
fn who_speaks_on_one_bridge_is_the_dominant_speaker_on_all() {
    let mut world = meeting(7, 3, 3, LinkSpec::default());
    for speaker in [1, 2, 0] {
        let heard = world.all_hear_of_speaker(speaker, 3);
        assert!(heard, "{}", describe(&world));
    }
}

#[test]
fn a_bridge_of_several_dies_and_only_its_people_notice() {
    for (seed, stream) in [(1, true), (2, true), (3, false)] {
        let mut world = meeting(seed, 3, 6, LinkSpec::default());
        world.run(SECOND);
        let dead = 1;
        let reinvited = |w: &World, n: usize| {
            let offers = w.events[n].iter();
            offers
                .filter(|(_, e)| matches!(e, Event::Connected))
                .count()
        };
        let sessions: Vec<usize> = (0..6).map(|n| reinvited(&world, n)).collect();
        world.kill_bridge(dead, stream);
        let back = world.run_until(10 * SECOND, |w| {
            let here = endpoints(w);
            here.iter().sum::<usize>() == 6
                && here.iter().all(|n| *n > 0)
                && relayed(w).iter().zip(&here).all(|(r, n)| *r == (1, 6 - n))
        });
        assert!(back, "{:?} {:?}", endpoints(&world), relayed(&world));
        // All see all, and nobody is lost.
        let stopped = pictures(&world);
        let moving = world.run_until(5 * SECOND, |w| {
            let all = stopped.iter().zip(pictures(w));
            let moved = all
                .filter(|((n, source, a), (m, other, b))| (n, source) == (m, other) && *b > a + 20);
            moved.count() == 30
        });
        assert!(moving, "seed {seed}\n{}", describe(&world));
        // Whoever was on another bridge kept its session.
        let kept = (0..6)
            .filter(|n| reinvited(&world, *n) == sessions[*n])
            .count();
        assert_eq!(kept, 4);
    }
}

/// Those of thirty people whose pictures are seen.
const SHOWN: usize = 12;

/// Thirty people on three bridges: small pictures of some, and sound of a few.
fn large_meeting(seed: u64) -> World {
    let mut world = World::split(&WorldConfig {
        seed,
        bridges: 3,
        path: LinkSpec::default(),
    });
    world.run(SECOND);
    for n in 0..30 {
        world.join("standup", |bot| {
            let video = VideoSpec {
                layers: vec![Layer {
                    height: 180,
                    bitrate: 30_000,
                }],
                frame_rate: 5,
                temporal: false,
            };
            bot.video = (n < SHOWN).then_some(video);
            bot.audio = n < 4;
            // Two want to see nobody.
            bot.max_height = if n >= 28 { 0 } else { 180 };
        });
        if n < 4 {
            world.with_bot(n, |bot| bot.speak(-30));
        }
        world.run(SECOND / 20);
    }
    world
}

/// Whether everybody who wants pictures has had so many of each other one since then.
fn all_move(world: &World, since: &[(usize, String, u64)], frames: u64) -> bool {
    let now = pictures(world);
    let old = |n: usize, source: &str| {
        let before = since.iter().find(|(m, s, _)| *m == n && s == source);
        before.map_or(0, |(_, _, frames)| *frames)
    };
    (0..28).all(|n| {
        let of = now.iter().filter(|(m, ..)| *m == n);
        let moving = of.filter(|(_, source, count)| *count >= old(n, source) + frames);
        moving.count() == SHOWN - usize::from(n < SHOWN)
    })
}

#[test]
fn thirty_on_three_bridges_of_which_one_dies() {
    let mut world = large_meeting(30);
    let seen = world.run_until(15 * SECOND, |w| all_move(w, &[], 5));
    assert!(seen, "{:?}", relayed(&world));
    assert_eq!(endpoints(&world), [10, 10, 10]);
    assert_eq!(relayed(&world), [(2, 20), (2, 20), (2, 20)]);
    let sessions = |w: &World, n: usize| {
        let events = w.events[n].iter();
        events
            .filter(|(_, e)| matches!(e, Event::Connected))
            .count()
    };
    let before: Vec<usize> = (0..30).map(|n| sessions(&world, n)).collect();
    world.kill_bridge(1, true);
    let back = world.run_until(10 * SECOND, |w| endpoints(w) == [15, 15]);
    assert!(back, "{:?}", endpoints(&world));
    let stopped = pictures(&world);
    let moving = world.run_until(8 * SECOND, |w| all_move(w, &stopped, 5));
    assert!(moving, "{:?} {:?}", relayed(&world), world.decisions);
    let kept = (0..30).filter(|n| sessions(&world, *n) == before[*n]);
    assert_eq!(kept.count(), 20, "who was elsewhere kept its session");
    for n in 28..30 {
        let video = world.bots[n].video();
        assert!(video.values().all(|v| v.decoded == 0), "it wanted none");
    }
    assert!(world.bots.iter().all(|bot| bot.audio().len() >= 3));
}

#[test]
fn a_focus_that_is_replaced_goes_on_with_the_relays_there_are() {
    let mut world = meeting(5, 3, 5, LinkSpec::default());
    world.run(SECOND);
    let made = relays_created(&world);
    let before = pictures(&world);
    world.cut_focus();
    world.run(3 * SECOND);
    world.replace_focus();
    world.run(5 * SECOND);
    for ((n, source, before), (_, _, after)) in before.iter().zip(pictures(&world)) {
        assert!(
            after - before > 200,
            "bot {n}: {} of {source}",
            after - before
        );
    }
    assert_eq!(relays_created(&world), made, "no relay was made anew");
    // Who comes and who goes is told to all of them as before.
    world.join("standup", |_| {});
    assert!(
        world.run_until(8 * SECOND, |w| w.everybody_sees(5)),
        "{}",
        describe(&world)
    );
    world.with_bot(0, bot::Bot::leave);
    let gone = world.run_until(2 * SECOND, |w| {
        let (here, behind) = (endpoints(w), relayed(w));
        here.iter().sum::<usize>() == 5 && here.iter().zip(behind).all(|(n, r)| r.1 == 5 - n)
    });
    assert!(gone, "{:?} {:?}", endpoints(&world), relayed(&world));
}

#[test]
fn with_one_bridge_or_the_ordinary_strategy_there_are_no_relays() {
    let world = meeting(9, 1, 3, LinkSpec::default());
    assert_eq!((endpoints(&world), relays_created(&world)), (vec![3], 0));
    let world = World::two_rooms(9);
    assert_eq!(relays_created(&world), 0);
}
