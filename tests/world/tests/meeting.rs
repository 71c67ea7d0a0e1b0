//! A meeting of three over a network that loses and reorders.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bot::Event;
use sim::{LinkSpec, Loss};
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);

/// One percent lost, some overtaken, a path across a country.
fn lossy() -> LinkSpec {
    LinkSpec {
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(3),
        loss: Loss::Random(0.01),
        reorder: 0.01,
        ..LinkSpec::default()
    }
}

fn world(seed: u64, path: LinkSpec) -> World {
    World::new(&WorldConfig {
        seed,
        bridges: 1,
        path,
    })
}

/// Whether every bot has decoded a frame of every other.
fn everybody_sees_everybody(world: &World) -> bool {
    world.everybody_sees(world.bots.len() - 1)
}

fn describe(world: &World) -> String {
    let bots = world.bots.iter().zip(&world.events);
    let bots: String = bots
        .map(|(bot, events)| {
            format!(
                "{} {:?} {:?}\n  {events:?}\n",
                bot.endpoint(),
                bot.video(),
                bot.audio()
            )
        })
        .collect();
    format!("{bots}{:?}", world.decisions)
}

#[test]
fn everybody_sees_everybody_within_half_a_second() {
    for seed in 0..10 {
        let mut world = world(seed, LinkSpec::default());
        world.run(SECOND);
        for _ in 0..3 {
            world.join("standup", |_| {});
            world.run(SECOND / 10);
        }
        let seen = world.run_until(SECOND / 2, everybody_sees_everybody);
        assert!(seen, "seed {seed}\n{}", describe(&world));
    }
}

#[test]
fn a_network_that_loses_and_reorders_costs_no_frame() {
    for seed in 0..5 {
        let mut world = world(seed, lossy());
        world.run(SECOND);
        for n in 0..3 {
            world.join("standup", |_| {});
            world.with_bot(n, |bot| bot.speak(-30));
            world.run(SECOND / 10);
        }
        // A lost first packet of SCTP or DTLS is sent again after a second or more, by the client.
        let seen = world.run_until(8 * SECOND, everybody_sees_everybody);
        assert!(seen, "seed {seed}\n{}", describe(&world));
        // Whoever climbs has all get a key frame, and nobody waits for what is missing before one.
        let best = |bot: &bot::Bot| bot.video().values().all(|s| s.layer == Some(2));
        let climbed = world.run_until(20 * SECOND, |w| w.bots.iter().all(best));
        assert!(climbed, "seed {seed}\n{}", describe(&world));
        world.run(SECOND);

        let before: Vec<_> = world.bots.iter().map(|b| b.video().clone()).collect();
        world.run(10 * SECOND);
        for (bot, before) in world.bots.iter().zip(before) {
            for (source, stats) in bot.video() {
                let decoded = stats.decoded - before[source].decoded;
                let skipped = stats.skipped - before[source].skipped;
                assert!(
                    decoded >= 290,
                    "seed {seed}: {source} {decoded} frames\n{}",
                    describe(&world)
                );
                assert_eq!(skipped, 0, "seed {seed}: {source} {stats:?}");
            }
            assert_eq!(bot.audio().len(), 2, "everybody is heard");
            assert!(bot.audio().values().all(|packets| *packets > 400));
        }
    }
}

#[test]
fn chat_and_leaving_are_seen_by_all() {
    let mut world = world(1, LinkSpec::default());
    world.run(SECOND);
    for _ in 0..3 {
        world.join("standup", |_| {});
    }
    assert!(
        world.run_until(2 * SECOND, everybody_sees_everybody),
        "{}",
        describe(&world)
    );
    world.with_bot(0, |bot| bot.chat("hello"));
    let writer = world.bots[0].endpoint().to_owned();
    let chat = Event::Chat {
        from: writer.clone(),
        text: "hello".to_owned(),
    };
    let told =
        |world: &World, n: usize, event: &Event| world.events[n].iter().any(|(_, e)| e == event);
    assert!(world.run_until(SECOND, |w| (0..3).all(|n| told(w, n, &chat))));
    world.with_bot(0, bot::Bot::leave);
    let left = Event::OccupantLeft(writer);
    assert!(world.run_until(SECOND, |w| (1..3).all(|n| told(w, n, &left))));
}

#[test]
fn who_speaks_becomes_the_dominant_speaker() {
    let mut world = world(2, LinkSpec::default());
    world.run(SECOND);
    for _ in 0..3 {
        world.join("standup", |_| {});
    }
    assert!(world.run_until(2 * SECOND, everybody_sees_everybody));
    for speaker in [1, 2] {
        for n in 0..3 {
            let level = if n == speaker { -20 } else { -127 };
            world.with_bot(n, |bot| bot.speak(level));
        }
        let dominant = Event::DominantSpeaker(world.bots[speaker].endpoint().to_owned());
        let heard = world.run_until(6 * SECOND, |w| {
            w.events[0].iter().any(|(_, e)| *e == dominant)
        });
        assert!(heard, "{}", describe(&world));
    }
}

#[test]
fn cameras_of_one_layer_are_seen_soon_though_it_takes_more_than_lines_are_first_taken_for() {
    let mut world = world(3, LinkSpec::default());
    world.run(SECOND);
    let layer = bot::Layer {
        height: 720,
        bitrate: 1_600_000,
    };
    for n in 0..3 {
        world.join("standup", |config| {
            config.max_height = 720;
            let cameras = config.video.iter_mut();
            cameras.for_each(|camera| camera.layers = vec![layer]);
        });
        // Silence would not be forwarded: sound is there from the first moment on.
        world.with_bot(n, |bot| bot.speak(-30));
    }
    let seen = world.run_until(4 * SECOND, everybody_sees_everybody);
    assert!(seen, "{}", describe(&world));
}

#[test]
fn who_leaves_before_it_was_let_in_stays_out() {
    for after in 0..12 {
        let mut world = World::new(&WorldConfig {
            seed: 227,
            bridges: 1,
            path: LinkSpec::default(),
        });
        world.run(SECOND);
        let stays = world.join("standup", |_| {});
        world.run(SECOND);
        let leaves = world.join("standup", |_| {});
        world.run(Duration::from_millis(after));
        world.with_bot(leaves, bot::Bot::leave);
        world.run(3 * SECOND);
        let seen = world.events[stays].iter().fold(0, |seen, (_, event)| {
            seen + match event {
                bot::Event::OccupantJoined(_) => 1,
                bot::Event::OccupantLeft(_) => -1,
                _ => 0,
            }
        });
        assert_eq!(seen, 0, "after {after} ms: {:?}", world.events);
    }
}
