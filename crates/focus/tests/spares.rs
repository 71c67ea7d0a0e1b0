//! Spare sessions on another bridge: who has them, and what becomes of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::time::Duration;

use stanza::colibri2::{ErrorAnswer, capability};
use stanza::jingle::{Action, BridgeSession, Jingle, Moving};
use stanza::ns;
use support::*;

const MEETING: &str = "5cc8f3dc-meeting";
const SECOND: Duration = Duration::from_secs(1);
/// Time after which people who were moved have spares again.
const SETTLED: Duration = Duration::from_secs(6);

/// A client that can hold a spare session.
fn able(nick: &str) -> FakeClient {
    let mut client = FakeClient::new(nick);
    client.features.extend([ns::MOVES, ns::SPARES]);
    client.tells_moved = true;
    client
}

/// A meeting on `jvb1` of people who may have spare sessions.
fn meeting(bridges: &[&str], clients: Vec<FakeClient>) -> World {
    let mut world = World::with(|config| config.bridges.standby = true);
    bridges.iter().for_each(|name| world.add_bridge(name, 0.0));
    world.request(ROOM);
    for client in clients {
        world.join(client);
    }
    world.advance(SETTLED);
    world
}

fn people_on(world: &World, name: &str) -> Vec<String> {
    let meeting = world.bridges[name].conferences.get(MEETING);
    meeting
        .into_iter()
        .flat_map(|m| m.keys().cloned())
        .collect()
}

fn drain(world: &mut World, name: &str) {
    let order = world
        .focus
        .order_drain(world.now, name, true, focus::Then::Stay);
    order.unwrap();
    world.run();
}

/// The bridge with the spares of a meeting that is on `jvb1`.
fn standby(world: &World) -> String {
    let status = world.focus.status();
    let spares = status.meetings[0].spares.as_ref();
    spares.expect("spares").bridge.clone()
}

fn say(world: &mut World, nick: &str, jingle: &Jingle) {
    assert_eq!(condition(&world.ask(nick, jingle)), "result");
}

#[test]
fn whoever_can_has_a_spare_session_and_goes_on_with_it_when_its_bridge_dies() {
    let moves_only = {
        let mut client = FakeClient::new("dd");
        client.features.push(ns::MOVES);
        client
    };
    let clients = vec![able("aa"), able("bb"), FakeClient::new("cc"), moves_only];
    let mut world = meeting(&["jvb1", "jvb2", "jvb3"], clients);
    assert_eq!(people_on(&world, "jvb1"), ["aa", "bb", "cc", "dd"]);
    let spare = standby(&world);
    assert_eq!(people_on(&world, &spare), ["aa", "bb"]);
    for nick in ["aa", "bb"] {
        let client = &world.clients[nick];
        let first = client.offers[0].sid.clone();
        assert_eq!(client.offers[1].moving, Some(Moving::Spare(first)));
        assert_eq!((client.offers.len(), client.terminations.len()), (2, 0));
        let endpoint = world.bridges[&spare].endpoint(MEETING, nick);
        assert_eq!(endpoint.sources.len(), 2, "ready to be used");
        assert!(endpoint.capabilities.contains(capability::SOUND_AHEAD));
        let endpoint = world.bridges["jvb1"].endpoint(MEETING, nick);
        assert!(!endpoint.capabilities.contains(capability::SOUND_AHEAD));
    }
    for nick in ["cc", "dd"] {
        assert_eq!(world.clients[nick].offers.len(), 1, "not disturbed");
    }
    world.kill_bridge("jvb1");
    // At once, and without another offer; whoever had none gets one there.
    assert_eq!(people_on(&world, &spare), ["aa", "bb", "cc", "dd"]);
    for client in world.clients.values() {
        assert_eq!((client.offers.len(), client.terminations.len()), (2, 1));
        assert!(client.session.is_some() && client.next.is_none());
    }
    // And they have spares again.
    world.advance(SETTLED);
    assert_eq!(people_on(&world, &standby(&world)), ["aa", "bb"]);
    assert_ne!(standby(&world), spare);
    assert_eq!(world.clients["cc"].offers.len(), 2);
}

#[test]
fn nobody_has_a_spare_session_unless_that_is_wanted() {
    let mut world = World::ready(&["jvb1", "jvb2"]);
    world.join(able("aa"));
    world.join(able("bb"));
    world.advance(SETTLED);
    assert_eq!(world.home_of(MEETING), ["jvb1"]);
    assert!(world.clients.values().all(|c| c.offers.len() == 1));
}

#[test]
fn a_spare_session_is_no_load_and_counts_where_others_are_placed() {
    let mut world = meeting(&["jvb1", "jvb2", "jvb3"], vec![able("aa"), able("bb")]);
    let spare = standby(&world);
    // It reports endpoints, which carry nothing.
    let report = [("drain", "false"), ("region", "eu"), ("version", "1")];
    let mut report = report.to_vec();
    report.extend([("stress_level", "0.0"), ("local_endpoints", "2")]);
    world.bridge_stats(&spare, &report);
    let of = |world: &World, name: &str| {
        let bridges = world.focus.status().bridges;
        bridges.into_iter().find(|b| b.name == name).unwrap()
    };
    let at = of(&world, &spare);
    assert_eq!((at.people, at.meetings, at.spares), (0, 0, 2));
    assert_eq!(at.load, 0.0);
    // The meeting's people themselves weigh more.
    let home = of(&world, "jvb1");
    assert_eq!((home.people, home.meetings, home.spares), (2, 1, 0));
    // The next meeting goes to one that has neither; its spares not where there are some already.
    let other = "other@conference.meet.test";
    world.form_fields = vec![("muc#roominfo_meetingId".into(), "another-meeting".into())];
    world.request(other);
    for nick in ["xx", "yy"] {
        let mut client = able(nick);
        client.room = other.to_owned();
        client.ssrc = 1_000 * u32::from(nick.as_bytes()[0]);
        world.join(client);
    }
    world.advance(SETTLED);
    let status = world.focus.status();
    let second = status.meetings.iter().find(|m| m.room == other).unwrap();
    let spares = second.spares.as_ref().unwrap();
    assert_ne!(spares.bridge, spare, "{status:#?}");
    assert_ne!(spares.bridge, second.bridges[0].bridge);
}

#[test]
fn a_drained_bridge_is_left_for_the_one_with_the_spares() {
    let mut world = meeting(&["jvb1", "jvb2"], vec![able("aa"), able("bb")]);
    assert_eq!(people_on(&world, "jvb2"), ["aa", "bb"]);
    drain(&mut world, "jvb1");
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    world.advance(2 * SETTLED);
    let home = world.home_of(MEETING);
    assert_eq!(home, ["jvb2"], "no spare on a bridge that drains");
    assert!(world.clients.values().all(|c| c.offers.len() == 2));
}

#[test]
fn spares_end_with_those_whose_they_are_and_where_they_cannot_stay() {
    let clients = vec![able("aa"), able("bb"), able("cc")];
    let mut world = meeting(&["jvb1", "jvb2", "jvb3"], clients);
    let first = standby(&world);
    world.leave("cc");
    assert_eq!(people_on(&world, &first), ["aa", "bb"]);
    drain(&mut world, &first);
    assert!(
        people_on(&world, &first).is_empty(),
        "it shall become empty"
    );
    assert!(world.clients.values().all(|c| c.next.is_none()));
    world.advance(SETTLED);
    let second = standby(&world);
    assert_eq!(people_on(&world, &second), ["aa", "bb"]);
    world.kill_bridge(&second);
    assert_eq!(people_on(&world, "jvb1"), ["aa", "bb"], "nobody notices");
    assert!(world.clients.values().all(|c| c.terminations.is_empty()));
    world.leave("aa");
    world.leave("bb");
    world.advance(60 * SECOND);
    assert!(world.home_of(MEETING).is_empty(), "nothing is left");
}

#[test]
fn who_leaves_last_but_one_leaves_no_spare_behind() {
    let mut world = meeting(&["jvb1", "jvb2"], vec![able("aa"), able("bb")]);
    world.leave("bb");
    world.advance(120 * SECOND);
    assert!(world.home_of(MEETING).is_empty(), "who is alone has none");
    let client = &world.clients["aa"];
    assert!(client.session.is_none() && client.next.is_none());
}

#[test]
fn a_focus_that_is_replaced_makes_the_spares_anew() {
    let mut world = meeting(&["jvb1", "jvb2"], vec![able("aa"), able("bb")]);
    world.restart();
    world.advance(2 * SETTLED);
    for bridge in ["jvb1", "jvb2"] {
        assert_eq!(people_on(&world, bridge), ["aa", "bb"]);
    }
    world.kill_bridge("jvb1");
    assert_eq!(people_on(&world, "jvb2"), ["aa", "bb"]);
    assert!(world.clients.values().all(|c| c.session.is_some()));
}

#[test]
fn a_spare_session_that_comes_to_nothing_is_tried_again_later() {
    for refuses in [false, true] {
        let mut aa = able("aa");
        let mut world = meeting(&["jvb1"], Vec::new());
        aa.accepts = true;
        world.join(aa);
        world.join(able("bb"));
        world.clients.get_mut("aa").unwrap().refuses = refuses;
        world.add_bridge("jvb2", 0.0);
        world.advance(SETTLED);
        if !refuses {
            let sid = world.clients["aa"].next.as_ref().unwrap().sid.clone();
            world.clients.get_mut("aa").unwrap().next = None;
            let end = Jingle::new(Action::SessionTerminate, &sid);
            say(&mut world, "aa", &end);
        }
        world.advance(SETTLED);
        assert_eq!(people_on(&world, "jvb2"), ["bb"]);
        assert_eq!(world.clients["aa"].offers.len(), 2);
        world.clients.get_mut("aa").unwrap().refuses = false;
        world.advance(40 * SECOND);
        assert_eq!(people_on(&world, "jvb2"), ["aa", "bb"]);
        assert_eq!(world.clients["aa"].offers.len(), 3);
        assert!(world.clients["aa"].terminations.is_empty());
    }
}

#[test]
fn a_bridge_that_refuses_spares_is_left_in_peace_for_a_while() {
    let mut world = meeting(&["jvb1", "jvb2"], Vec::new());
    let refusal = || ErrorAnswer::plain("resource-constraint", "too many endpoints");
    let errors = &mut world.bridges.get_mut("jvb2").unwrap().errors;
    errors.push_back(refusal());
    world.join(able("aa"));
    world.join(able("bb"));
    world.advance(SECOND);
    assert!(people_on(&world, "jvb2").is_empty());
    assert_eq!(people_on(&world, "jvb1"), ["aa", "bb"]);
    world.advance(40 * SECOND);
    assert_eq!(people_on(&world, "jvb2"), ["aa", "bb"]);
    assert!(world.clients.values().all(|c| c.terminations.is_empty()));
}

#[test]
fn a_bridge_that_dies_while_spares_are_asked_for_is_left_for_theirs() {
    let mut world = meeting(&["jvb1", "jvb2"], Vec::new());
    world.bridges.get_mut("jvb2").unwrap().deaf = true;
    world.join(able("aa"));
    world.join(able("bb"));
    assert_eq!(people_on(&world, "jvb1"), ["aa", "bb"]);
    world.kill_bridge("jvb1");
    world.bridges.get_mut("jvb2").unwrap().deaf = false;
    world.advance(40 * SECOND);
    assert_eq!(people_on(&world, "jvb2"), ["aa", "bb"]);
    for client in world.clients.values() {
        assert_eq!(client.offers.len(), 2, "{:#?}", world.events);
        let stay = &client.session.as_ref().unwrap().bridge_session;
        assert!(stay.is_some() && client.next.is_none());
    }
}

#[test]
fn who_asks_for_another_session_gets_it_where_the_others_are() {
    let mut world = meeting(&["jvb1", "jvb2"], vec![able("aa"), able("bb")]);
    let mut restart = world.clients["aa"].jingle(Action::SessionTerminate);
    restart.bridge_session = Some(BridgeSession {
        id: world.clients["aa"].stay(),
        restart: Some(true),
        ..BridgeSession::default()
    });
    let aa = world.clients.get_mut("aa").unwrap();
    (aa.session, aa.next) = (None, None);
    say(&mut world, "aa", &restart);
    assert_eq!(people_on(&world, "jvb1"), ["aa", "bb"]);
    world.advance(SETTLED);
    assert_eq!(people_on(&world, "jvb2"), ["aa", "bb"]);
    assert!(world.clients["aa"].session.is_some());
}
