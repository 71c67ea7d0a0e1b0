//! The meet node is killed, and told to end, while a bridge in another process carries a meeting: media flow on, and people
//! come back to their sessions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test ends where its set-up fails, and reads the clock"
)]

#[path = "common/guarded.rs"]
mod guarded;
#[path = "common/nodes.rs"]
mod nodes;
#[path = "common/person.rs"]
mod person;

use bot::Event;
use guarded::Guarded;
use nodes::{Process, free_tcp, join, media_flow, role, undisturbed, wait};

fn says(text: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Chat { text: said, .. } if said == text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meeting_outlives_its_meet_node() {
    let (meet_state, bridge_state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (https, xmpp) = (free_tcp(), free_tcp());
    let meet = role("meet", https, xmpp);
    let (mut node, token) = Process::start(meet_state.path(), &meet, "Add a bridge").await;
    let bridge = ["bridge", "--udp", "127.0.0.1:0", "--join", &token].map(str::to_owned);
    let (_bridge, _) = Process::start(bridge_state.path(), &bridge, "Pontoon").await;
    let mut bots = vec![join(https, 0).await, join(https, 1).await];
    media_flow(&mut bots, "at first").await;
    for (round, signal) in ["-KILL", "-TERM", "-KILL"].into_iter().enumerate() {
        node.signal(signal);
        let what = format!("while the meet node is away after {signal}");
        let text = format!("said in round {round}");
        let said = text.clone();
        bots[0].with(move |bot| bot.chat(&said));
        media_flow(&mut bots, &what).await;
        let (again, same) = Process::start(meet_state.path(), &meet, "Add a bridge").await;
        assert_eq!(same, token);
        node = again;
        // What was said meanwhile is heard, once.
        let heard = says(&text);
        wait(&mut bots[1], &what, |s| s.events.iter().any(&heard)).await;
        let what = format!("after {signal}");
        media_flow(&mut bots, &what).await;
        undisturbed(&bots, &what);
        let times = bots[1].snapshot().events.into_iter().filter(heard);
        assert_eq!(times.count(), 1, "{what}");
        // The meeting is not only running but alive.
        bots.push(join(https, 2 + round as u64).await);
        media_flow(&mut bots, &format!("with another one {what}")).await;
        undisturbed(&bots, &what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_all_in_one_comes_back_with_its_meeting() {
    let state = tempfile::tempdir().unwrap();
    let (https, xmpp) = (free_tcp(), free_tcp());
    let mut up = role("up", https, xmpp);
    up.extend(["--udp", "127.0.0.1:0"].map(str::to_owned));
    let (mut node, _) = Process::start(state.path(), &up, "Add a bridge").await;
    let mut bots = vec![join(https, 0).await, join(https, 1).await];
    media_flow(&mut bots, "at first").await;
    for signal in ["-KILL", "-TERM"] {
        node.signal(signal);
        (node, _) = Process::start(state.path(), &up, "Add a bridge").await;
        let what = format!("after {signal}");
        media_flow(&mut bots, &what).await;
        for bot in &bots {
            let events = bot.snapshot().events;
            let left = |event: &&Event| matches!(event, Event::OccupantLeft(_) | Event::Out(_));
            assert_eq!(events.iter().find(left), None, "{what}: {events:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_agreed_in_a_room_holds_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let (https, xmpp) = (free_tcp(), free_tcp());
    let meet = role("meet", https, xmpp);
    let (mut node, _) = Process::start(state.path(), &meet, "Add a bridge").await;
    let mut room = Guarded::new(https).await;
    room.say("before");
    room.is_heard("at first").await;
    room.knock("first").await;
    room.holds("dia", "at first").await;
    for (round, signal) in ["-TERM", "-KILL", "-TERM", "-KILL"].into_iter().enumerate() {
        let what = format!("{signal}, round {round}");
        room.knock(&format!("waiter{round}")).await;
        node.signal(signal);
        room.say(&format!("said while it was away, {round}"));
        (node, _) = Process::start(state.path(), &meet, "Add a bridge").await;
        room.is_back(&what).await;
        room.holds(&format!("dia{round}"), &what).await;
    }
}
