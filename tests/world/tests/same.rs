//! One seed, run twice, is one and the same course of events: whatever differs came from an order that nothing gave, or from
//! chance that was not seeded.

use std::time::Duration;

use bot::{Layer, VideoSpec};
use focus::Strategy;
use sim::{LinkSpec, Loss};
use world::{Party, World, WorldConfig, alone};

const SECOND: Duration = Duration::from_secs(1);

/// A world in which much happens, written down.
fn course(seed: u64) -> Vec<String> {
    let config = WorldConfig {
        seed,
        bridges: 3,
        path: LinkSpec {
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(3),
            loss: Loss::Random(0.01),
            reorder: 0.01,
            ..LinkSpec::default()
        },
    };
    let mut world = World::with_focus(&config, |focus| {
        if seed.is_multiple_of(2) {
            focus.bridges.strategy = Strategy::Split;
        }
    });
    world.keep_journal();
    world.record();
    world.run(SECOND);
    for n in 0..6 {
        world.join(if n % 3 == 0 { "red" } else { "blue" }, |config| {
            let (height, bitrate) = (180, 100_000);
            config.video = Some(VideoSpec {
                layers: vec![Layer { height, bitrate }],
                frame_rate: 10,
                temporal: false,
            });
            config.audio = n % 2 == 0;
        });
        world.with_bot(n, |bot| bot.speak(-30));
        world.run(SECOND / 10);
    }
    world.run(3 * SECOND);
    world.kill_bridge(0, false);
    world.vanish(5, true);
    world.run(3 * SECOND);
    world.kill_meet();
    world.run(SECOND);
    world.start_meet(SECOND);
    world.restart_bridge(0);
    world.hold(Party::Bot(2));
    world.run(2 * SECOND);
    world.release(Party::Bot(2));
    world.run(2 * SECOND);
    world.trace().to_vec()
}

#[test]
fn one_seed_is_one_course_of_events() {
    for seed in 0..2 {
        let (first, second) = (alone(seed, || course(seed)), alone(seed, || course(seed)));
        let differs = first.iter().zip(&second).position(|(a, b)| a != b);
        if let Some(at) = differs {
            for n in at.saturating_sub(3)..(at + 3).min(first.len()).min(second.len()) {
                println!("{}\n{}\n", first[n], second[n]);
            }
        }
        let happened = first.len();
        assert!(
            happened > 10_000,
            "{happened} lines: {:#?}",
            &first[..happened.min(80)]
        );
        assert_eq!((differs, first.len()), (None, second.len()), "seed {seed}");
    }
}
