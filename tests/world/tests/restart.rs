//! The meet node ends, or is killed, and another one takes its place: media flow all the time, and nobody in a meeting
//! sees anything of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bot::Event;
use world::World;

const SECOND: Duration = Duration::from_secs(1);
/// Clients come back within this time.
const BACK: Duration = Duration::from_secs(3);

/// Two rooms that have been running for a while.
fn two_rooms(seed: u64) -> World {
    let mut world = World::two_rooms(seed);
    world.keep_journal();
    world.run(SECOND);
    world
}

/// What a bot has seen so far.
struct Seen {
    events: usize,
    frames: u64,
    lost: u64,
    /// Of whom it has pictures.
    sources: Vec<String>,
}

/// What each of the first four bots has seen so far.
fn seen(world: &World) -> Vec<Seen> {
    let of = |n: usize| {
        let video = world.bots[n].video();
        Seen {
            events: world.events[n].len(),
            frames: world.frames(n),
            lost: video.values().map(|s| s.skipped).sum(),
            sources: video.keys().cloned().collect(),
        }
    };
    (0..4).map(of).collect()
}

/// Checks that the first four bots saw nothing of what happened since `before`, which was so long ago.
fn unnoticed(world: &World, before: &[Seen], span: Duration, what: &str) {
    for (n, before) in before.iter().enumerate() {
        let news = &world.events[n][before.events..];
        let disturbed = |event: &Event| {
            matches!(
                event,
                Event::SessionEnded | Event::Connected | Event::Failed(_) | Event::Out(_)
            )
        };
        assert!(
            !news.iter().any(|(_, event)| disturbed(event)),
            "{what}: bot {n}: {news:?}\n{:?}",
            world.decisions
        );
        let now = &seen(world)[n];
        assert_eq!(now.lost, before.lost, "{what}: bot {n} lost frames");
        let came = now.frames - before.frames;
        assert!(
            came + 15 >= span.as_secs() * 15,
            "{what}: bot {n}: {came} frames in {span:?}"
        );
        // Whoever came meanwhile may have had to be let in anew.
        let all = world.bots[n].video();
        for (name, video) in all.iter().filter(|(n, _)| before.sources.contains(n)) {
            let gap = video.longest_gap;
            assert!(
                gap < SECOND / 2,
                "{what}: bot {n} saw nothing of {name} for {gap:?}"
            );
        }
    }
}

/// Somebody comes and is seen, in `limit`.
fn one_more_comes(world: &mut World, limit: Duration, what: &str) {
    let n = world.join("red", |_| {});
    let seen = world.run_until(limit, |w| {
        let video = w.bots[n].video();
        video.len() >= 2 && video.values().filter(|s| s.decoded > 0).count() >= 2
    });
    assert!(seen, "{what}: {:?}", world.decisions);
}

/// Ends the meet node, lets `away` pass and starts it again.
fn restart(world: &mut World, killed: bool, away: Duration, what: &str) {
    let before = seen(world);
    let at = world.elapsed();
    match killed {
        true => world.kill_meet(),
        false => world.end_meet(),
    }
    world.run(away);
    world.start_meet(BACK);
    world.run(2 * BACK);
    unnoticed(world, &before, world.elapsed() - at, what);
}

#[test]
fn a_meet_node_that_is_restarted_is_not_noticed() {
    for (seed, killed, away) in [(1, false, 1), (2, true, 1), (3, true, 30)] {
        let what = format!("killed: {killed}, away: {away} s");
        let mut world = two_rooms(seed);
        restart(&mut world, killed, away * SECOND, &what);
        let stats = world.focus_stats();
        assert_eq!((stats.conferences, stats.adopted_total), (2, 2), "{what}");
        // It can happen again.
        restart(&mut world, killed, SECOND, &what);
        // The meetings are alive: who speaks is heard, and who comes is seen.
        let told: Vec<usize> = world.events.iter().map(Vec::len).collect();
        world.with_bot(0, |bot| bot.chat("still here"));
        world.run(SECOND);
        let heard = world.events[1][told[1]..].iter();
        let heard =
            heard.filter(|(_, e)| matches!(e, Event::Chat { text, .. } if text == "still here"));
        assert_eq!(heard.count(), 1, "{what}: {:?}", world.events[1]);
        one_more_comes(&mut world, 3 * SECOND, &what);
    }
}

#[test]
fn people_come_in_within_two_seconds_of_the_start() {
    let mut world = two_rooms(4);
    world.kill_meet();
    world.run(5 * SECOND);
    // Bridges come back within a second, as their links try so often.
    world.start_meet(SECOND);
    one_more_comes(&mut world, 2 * SECOND, "right after the start");
}

#[test]
fn a_meet_node_that_is_killed_at_any_moment_is_not_noticed() {
    // Whatever is under way then: somebody comes, speaks, or leaves.
    for moment in [3, 40, 250] {
        let what = format!("{moment} ms after somebody came");
        let mut world = two_rooms(100 + moment);
        let before = seen(&world);
        let at = world.elapsed();
        let n = world.join("red", |_| {});
        world.with_bot(2, |bot| bot.chat("who hears me?"));
        world.run(Duration::from_millis(moment));
        world.kill_meet();
        world.run(2 * SECOND);
        world.start_meet(BACK);
        world.run(2 * BACK);
        unnoticed(&world, &before, world.elapsed() - at, &what);
        let chats = |n: usize| {
            let all = world.events[n].iter();
            all.filter(|(_, e)| matches!(e, Event::Chat { .. })).count()
        };
        assert_eq!(chats(3), 1, "{what}");
        let seen = world.bots[n].video().values();
        assert_eq!(
            seen.filter(|s| s.decoded > 0).count(),
            2,
            "{what}: {:?}\n{:?}",
            world.events[n],
            world.decisions
        );
    }
}
