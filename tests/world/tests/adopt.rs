//! The focus is away for a while: meetings go on, and nobody in them sees anything of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bot::Event;
use world::World;

const SECOND: Duration = Duration::from_secs(1);

/// Two rooms that have been running for a while.
fn two_rooms(seed: u64) -> World {
    let mut world = World::two_rooms(seed);
    world.run(SECOND);
    world
}

/// Plays `blow` on a running world and checks that the first four bots saw nothing of it.
fn unnoticed(mut world: World, blow: impl FnOnce(&mut World)) -> World {
    let told: Vec<usize> = world.events.iter().map(Vec::len).collect();
    let lost = |w: &World, n: usize| -> u64 { w.bots[n].video().values().map(|s| s.skipped).sum() };
    let before: Vec<_> = (0..4).map(|n| (world.frames(n), lost(&world, n))).collect();
    let at = world.elapsed();
    blow(&mut world);
    world.run(10 * SECOND);
    let span = world.elapsed() - at;
    for n in 0..4 {
        let news = &world.events[n][told[n]..];
        let disturbed = |event: &Event| {
            matches!(
                event,
                Event::SessionEnded | Event::Connected | Event::Failed(_) | Event::Out(_)
            )
        };
        assert!(
            !news.iter().any(|(_, event)| disturbed(event)),
            "bot {n}: {news:?}\n{:?}",
            world.decisions
        );
        assert_eq!(lost(&world, n), before[n].1, "bot {n} lost frames");
        let came = world.frames(n) - before[n].0;
        assert!(
            came + 15 >= span.as_secs() * 15,
            "bot {n}: {came} frames in {span:?}"
        );
        for (name, video) in world.bots[n].video() {
            let gap = video.longest_gap;
            assert!(
                gap < SECOND / 2,
                "bot {n} saw nothing of {name} for {gap:?}"
            );
        }
    }
    assert_eq!(world.focus_stats().conferences, 2);
    world
}

/// The meeting is not only running but alive: somebody comes and is seen.
fn one_more_comes(mut world: World) {
    let n = world.join("red", |_| {});
    let seen = world.run_until(5 * SECOND, |w| {
        let video = w.bots[n].video();
        video.len() == 2 && video.values().all(|s| s.decoded > 5)
    });
    assert!(seen, "{:?}", world.decisions);
}

#[test]
fn a_stream_that_is_resumed_is_not_noticed() {
    let world = unnoticed(two_rooms(1), |world| {
        world.cut_focus();
        world.run(10 * SECOND);
        world.resume_focus();
    });
    assert_eq!(world.focus_stats().adopted_total, 0);
    one_more_comes(world);
}

#[test]
fn a_stream_that_is_replaced_is_not_noticed() {
    for away in [1, 13] {
        let world = unnoticed(two_rooms(2), |world| {
            world.cut_focus();
            world.run(away * SECOND);
            world.reattach_focus();
        });
        assert_eq!(world.focus_stats().adopted_total, 2);
        one_more_comes(world);
    }
}

#[test]
fn a_stream_that_is_replaced_before_its_end_is_known_is_not_noticed() {
    let world = unnoticed(two_rooms(3), World::reattach_focus);
    assert_eq!(world.focus_stats().adopted_total, 2);
    one_more_comes(world);
}

#[test]
fn a_focus_that_is_replaced_is_not_noticed() {
    let world = unnoticed(two_rooms(4), |world| {
        world.cut_focus();
        world.run(5 * SECOND);
        world.replace_focus();
    });
    assert_eq!(world.focus_stats().adopted_total, 2);
    one_more_comes(world);
}

#[test]
fn somebody_who_came_while_the_focus_was_away_gets_a_session() {
    let mut world = two_rooms(5);
    world.cut_focus();
    world.run(SECOND);
    let n = world.join("blue", |_| {});
    world.run(3 * SECOND);
    world.reattach_focus();
    let seen = world.run_until(5 * SECOND, |w| {
        let video = w.bots[n].video();
        video.len() == 2 && video.values().all(|s| s.decoded > 5)
    });
    assert!(seen, "{:?}", world.decisions);
}
