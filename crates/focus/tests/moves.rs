//! Planned moves of clients that take a second session beside the first: nobody loses anything, whatever happens meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::time::Duration;

use serde_json::json;
use stanza::jingle::{Action, Jingle};
use stanza::jitsi::moderation::json_message;
use stanza::{Build, Jid, ns};
use support::*;

const MEETING: &str = "5cc8f3dc-meeting";
const SECOND: Duration = Duration::from_secs(1);

/// A client that can take a session beside the one it has, and says by itself or not when that carries everything.
fn able(nick: &str, tells_moved: bool) -> FakeClient {
    let mut client = FakeClient::new(nick);
    client.features.push(ns::MOVES);
    client.tells_moved = tells_moved;
    client
}

/// A meeting on `jvb1`, and other bridges.
fn meeting(bridges: &[&str], clients: Vec<FakeClient>) -> World {
    let mut world = World::ready(bridges);
    for client in clients {
        world.join(client);
    }
    world.advance(3 * SECOND);
    assert_eq!(world.home_of(MEETING), ["jvb1"]);
    world
}

fn drain(world: &mut World, name: &str) {
    world
        .focus
        .order_drain(world.now, name, true, focus::Then::Stay)
        .unwrap();
    world.run();
}

fn people_on(world: &World, name: &str) -> Vec<String> {
    let meeting = world.bridges[name].conferences.get(MEETING);
    meeting
        .into_iter()
        .flat_map(|m| m.keys().cloned())
        .collect()
}

fn ssrcs_on(world: &World, name: &str, nick: &str) -> Vec<u32> {
    let endpoint = world.bridges[name].endpoint(MEETING, nick);
    let sources = endpoint.sources.iter().flat_map(|media| &media.sources);
    sources.map(|source| source.ssrc).collect()
}

fn say(world: &mut World, nick: &str, jingle: &Jingle) {
    assert_eq!(condition(&world.ask(nick, jingle)), "result");
}

#[test]
fn the_former_session_ends_when_all_are_ready() {
    let mut world = meeting(
        &["jvb1", "jvb2"],
        vec![able("aa", false), able("bb", false)],
    );
    let before = ssrcs_on(&world, "jvb1", "aa");
    drain(&mut world, "jvb1");
    for bridge in ["jvb1", "jvb2"] {
        assert_eq!(people_on(&world, bridge), ["aa", "bb"], "they are on both");
    }
    assert_eq!(ssrcs_on(&world, "jvb1", "aa"), before);
    let after = ssrcs_on(&world, "jvb2", "aa");
    assert_eq!(after.len(), before.len());
    assert!(
        after.iter().all(|ssrc| !before.contains(ssrc)),
        "a connection of its own"
    );
    let moved = world.clients["aa"].moved();
    say(&mut world, "aa", &moved);
    assert!(
        world.clients["aa"].terminations.is_empty(),
        "somebody may still need it"
    );
    assert_eq!(people_on(&world, "jvb1"), ["aa", "bb"]);
    let moved = world.clients["bb"].moved();
    say(&mut world, "bb", &moved);
    assert!(people_on(&world, "jvb1").is_empty());
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    for client in world.clients.values() {
        assert_eq!((client.offers.len(), client.terminations.len()), (2, 1));
        assert!(client.session.is_some() && client.next.is_none());
    }
    world.advance(60 * SECOND);
    assert!(world.clients.values().all(|c| c.offers.len() == 2));
}

#[test]
fn who_is_not_ready_in_time_is_moved_all_the_same() {
    let mut world = meeting(&["jvb1", "jvb2"], vec![able("aa", true), able("bb", false)]);
    drain(&mut world, "jvb1");
    world.advance(5 * SECOND);
    assert_eq!(people_on(&world, "jvb1"), ["aa", "bb"]);
    world.advance(2 * SECOND);
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    assert!(world.clients.values().all(|c| c.session.is_some()));
}

#[test]
fn others_are_moved_as_before_and_keep_nobody_waiting() {
    let mut world = meeting(
        &["jvb1", "jvb2"],
        vec![
            able("aa", true),
            FakeClient::new("bb"),
            FakeClient::old("cc"),
        ],
    );
    drain(&mut world, "jvb1");
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    for client in world.clients.values() {
        assert_eq!((client.offers.len(), client.terminations.len()), (2, 1));
    }
    // Whoever is told sources by the focus knows those of the new sessions, and no others.
    let mut told: Vec<u32> = world.clients["cc"].known.keys().copied().collect();
    let mut there = ssrcs_on(&world, "jvb2", "aa");
    there.extend(ssrcs_on(&world, "jvb2", "bb"));
    told.sort_unstable();
    there.sort_unstable();
    assert!(!told.is_empty() && told.iter().all(|ssrc| there.contains(ssrc)));
}

#[test]
fn a_new_bridge_that_dies_meanwhile_costs_nothing() {
    let mut world = meeting(
        &["jvb1", "jvb2", "jvb3"],
        vec![able("aa", false), able("bb", false)],
    );
    drain(&mut world, "jvb1");
    let new = world.home_of(MEETING)[1].to_owned();
    world.kill_bridge(&new);
    assert_eq!(people_on(&world, "jvb1"), ["aa", "bb"]);
    for nick in ["aa", "bb"] {
        assert_eq!(world.clients[nick].offers.len(), 3);
        let moved = world.clients[nick].moved();
        say(&mut world, nick, &moved);
    }
    let home = world.home_of(MEETING);
    assert!(home.len() == 1 && home[0] != "jvb1");
    assert!(world.clients.values().all(|c| c.terminations.len() == 1));
}

#[test]
fn an_old_bridge_that_dies_meanwhile_is_left_for_the_one_that_is_ready() {
    let mut world = meeting(
        &["jvb1", "jvb2"],
        vec![able("aa", false), able("bb", false)],
    );
    drain(&mut world, "jvb1");
    world.kill_bridge("jvb1");
    assert_eq!(people_on(&world, "jvb2"), ["aa", "bb"]);
    for client in world.clients.values() {
        assert_eq!(client.offers.len(), 2, "no third session");
        assert!(client.session.is_some() && client.next.is_none());
    }
}

#[test]
fn a_client_that_complains_of_the_old_session_goes_on_with_the_new_one() {
    let mut world = meeting(
        &["jvb1", "jvb2"],
        vec![able("aa", false), able("bb", false)],
    );
    drain(&mut world, "jvb1");
    let mut terminate = world.clients["aa"].jingle(Action::SessionTerminate);
    terminate.bridge_session = Some(stanza::jingle::BridgeSession {
        id: world.clients["aa"].stay(),
        restart: Some(true),
        ..Default::default()
    });
    say(&mut world, "aa", &terminate);
    assert_eq!(world.clients["aa"].offers.len(), 2);
    assert_eq!(people_on(&world, "jvb1"), ["bb"]);
    let moved = world.clients["bb"].moved();
    say(&mut world, "bb", &moved);
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
}

#[test]
fn a_session_beside_that_cannot_be_had_is_followed_by_one_in_its_place() {
    for refuses in [false, true] {
        let mut world = meeting(&["jvb1", "jvb2"], vec![able("aa", true), able("bb", true)]);
        let aa = world.clients.get_mut("aa").unwrap();
        (aa.refuses, aa.accepts) = (refuses, false);
        drain(&mut world, "jvb1");
        // Without an answer, time tells; with a refusal there is nothing to wait for.
        let waiting = if refuses { 0 } else { 2 };
        assert_eq!(people_on(&world, "jvb1").len(), waiting);
        world.clients.get_mut("aa").unwrap().refuses = false;
        world.clients.get_mut("aa").unwrap().accepts = true;
        if !refuses {
            // It says so itself.
            let sid = world.clients["aa"].next.as_ref().unwrap().sid.clone();
            world.clients.get_mut("aa").unwrap().next = None;
            say(
                &mut world,
                "aa",
                &Jingle::new(Action::SessionTerminate, &sid),
            );
        }
        world.advance(10 * SECOND);
        assert_eq!(world.home_of(MEETING), ["jvb2"], "{:#?}", world.events);
        assert!(world.clients["aa"].session.is_some());
        assert_eq!(people_on(&world, "jvb2"), ["aa", "bb"]);
    }
}

#[test]
fn who_leaves_or_comes_meanwhile_disturbs_nothing() {
    let mut world = meeting(
        &["jvb1", "jvb2"],
        vec![able("aa", true), able("bb", false), able("cc", true)],
    );
    drain(&mut world, "jvb1");
    world.join(able("dd", true));
    assert_eq!(people_on(&world, "jvb2"), ["aa", "bb", "cc", "dd"]);
    assert_eq!(people_on(&world, "jvb1"), ["aa", "bb", "cc"]);
    // The only one that was waited for.
    world.leave("bb");
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    assert_eq!(people_on(&world, "jvb2"), ["aa", "cc", "dd"]);
}

#[test]
fn whose_numbers_somebody_took_meanwhile_gets_others() {
    let mut world = meeting(
        &["jvb1", "jvb2"],
        vec![able("aa", false), able("bb", false)],
    );
    drain(&mut world, "jvb1");
    let mut cc = able("cc", true);
    cc.ssrc = ssrcs_on(&world, "jvb2", "aa")[0];
    world.join(cc);
    for nick in ["aa", "bb"] {
        let moved = world.clients[nick].moved();
        say(&mut world, nick, &moved);
    }
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    world.advance(10 * SECOND);
    let (aa, cc) = (
        ssrcs_on(&world, "jvb2", "aa"),
        ssrcs_on(&world, "jvb2", "cc"),
    );
    assert_eq!((aa.len(), cc.len()), (5, 5));
    assert!(aa.iter().all(|ssrc| !cc.contains(ssrc)), "{aa:?} {cc:?}");
    assert_eq!(world.clients["cc"].offers.len(), 1, "who came first stays");
    let again = world.focus.stats().reinvites_total[focus::Reinvite::SourcesClash as usize];
    assert_eq!(again, 1);
}

#[test]
fn a_mute_meanwhile_holds_on_both_bridges() {
    let mut world = meeting(
        &["jvb1", "jvb2"],
        vec![able("aa", false), able("bb", false)],
    );
    drain(&mut world, "jvb1");
    let message =
        json!({"type": "av_moderation", "room": ROOM, "enabled": true, "mediaType": "audio"});
    let message = json_message(&Jid::new(FOCUS).unwrap(), &message);
    let message = Build::from(message).attr("from", MODERATION);
    world.deliver(message.done());
    for bridge in ["jvb1", "jvb2"] {
        assert!(
            world.bridges[bridge]
                .endpoint(MEETING, "bb")
                .force_mute
                .audio,
            "{bridge}"
        );
    }
}

#[test]
fn a_focus_that_is_replaced_meanwhile_ends_the_move_anew() {
    let mut world = meeting(
        &["jvb1", "jvb2"],
        vec![able("aa", false), able("bb", false)],
    );
    drain(&mut world, "jvb1");
    for client in world.clients.values_mut() {
        client.tells_moved = true;
    }
    world.restart();
    world.advance(20 * SECOND);
    for nick in ["aa", "bb"] {
        let client = &world.clients[nick];
        let session = client.session.as_ref().expect("a session");
        let offer = client.offers.last().unwrap();
        assert_eq!(session.sid, offer.sid);
        assert!(people_on(&world, "jvb2").contains(&nick.to_owned()));
    }
}
