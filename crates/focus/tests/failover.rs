//! Bridges that fail, leave, hesitate or come back, and where conferences go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::time::Duration;

use focus::Event;
use stanza::colibri2::{ErrorAnswer, Reason};
use stanza::jingle::{Action, BridgeSession};
use support::*;

const MEETING: &str = "5cc8f3dc-meeting";

/// A meeting of two on a bridge, with the other bridges idle.
fn meeting(bridges: &[&str]) -> (World, String) {
    let mut world = World::ready(bridges);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    world.advance(Duration::from_secs(3));
    let home = world.home_of(MEETING);
    assert_eq!(home.len(), 1);
    let home = home[0].to_owned();
    (world, home)
}

fn offers(world: &World) -> Vec<usize> {
    world.clients.values().map(|c| c.offers.len()).collect()
}

fn other(home: &str) -> &'static str {
    if home == "jvb1" { "jvb2" } else { "jvb1" }
}

#[test]
fn a_bridge_that_leaves_is_replaced_at_once() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    world.kill_bridge(&home);
    assert_eq!(world.home_of(MEETING), [other(&home)]);
    assert_eq!(offers(&world), [2, 2]);
    for client in world.clients.values() {
        assert_eq!(client.terminations.len(), 1);
        assert!(client.session.is_some());
    }
    let endpoints = &world.bridges[other(&home)].conferences[MEETING];
    assert!(
        endpoints
            .values()
            .all(|e| e.transport.is_some() && e.sources.len() == 2)
    );
    assert!(world.has_event(|e| matches!(
        e,
        Event::ConferenceMoved {
            participants: 2,
            ..
        }
    )));
    assert_eq!(world.focus.stats().moves_total, 2);
}

#[test]
fn a_silent_bridge_is_replaced_within_two_seconds() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    world.bridges.get_mut(&home).unwrap().health = Health::Frozen;
    world.advance(Duration::from_millis(1000));
    assert_eq!(offers(&world), [1, 1], "a hiccup is no death");
    world.advance(Duration::from_millis(1000));
    assert_eq!(offers(&world), [2, 2]);
    assert!(world.home_of(MEETING).contains(&other(&home)));
    assert!(world.has_event(|e| matches!(e, Event::BridgeDown { reason, conferences: 1, .. } if reason.contains("silent"))));
}

#[test]
fn the_only_bridge_keeps_its_conferences_however_silent_it_is() {
    let (mut world, home) = meeting(&["jvb1"]);
    world.bridges.get_mut(&home).unwrap().health = Health::Frozen;
    world.advance(Duration::from_secs(30));
    assert_eq!(offers(&world), [1, 1]);
    assert_eq!(world.focus.stats().bridges_usable, 0);
    world.bridges.get_mut(&home).unwrap().health = Health::Well;
    world.advance(Duration::from_secs(1));
    assert_eq!(world.focus.stats().bridges_usable, 1);
    assert_eq!(offers(&world), [1, 1]);
}

#[test]
fn when_all_bridges_are_silent_nobody_is_moved() {
    let (mut world, _) = meeting(&["jvb1", "jvb2"]);
    world
        .bridges
        .values_mut()
        .for_each(|b| b.health = Health::Frozen);
    world.advance(Duration::from_secs(10));
    assert_eq!(offers(&world), [1, 1]);
}

/// A participant ends its session and asks for another, as clients do whose media are dead.
fn complain(world: &mut World, nick: &str) {
    let stay = world.clients[nick].stay();
    let mut terminate = world.clients[nick].jingle(Action::SessionTerminate);
    terminate.bridge_session = Some(BridgeSession {
        id: stay,
        restart: Some(true),
        ..BridgeSession::default()
    });
    world.clients.get_mut(nick).unwrap().session = None;
    assert_eq!(condition(&world.ask(nick, &terminate)), "result");
}

#[test]
fn silence_and_several_complaints_need_no_waiting() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    world.bridges.get_mut(&home).unwrap().health = Health::Frozen;
    world.advance(Duration::from_millis(1100));
    complain(&mut world, "aa");
    assert_eq!(offers(&world), [1, 1], "one person is no evidence");
    complain(&mut world, "bb");
    assert_eq!(offers(&world), [2, 2], "two are");
}

#[test]
fn a_complaint_about_a_healthy_bridge_moves_its_sender_alone() {
    // At every phase of the health checks, also between a check and its answer.
    for phase in 0..10 {
        let (mut world, home) = meeting(&["jvb1", "jvb2"]);
        world.advance(Duration::from_millis(50 * phase));
        complain(&mut world, "aa");
        world.advance(Duration::from_secs(3));
        assert_eq!(world.home_of(MEETING), [home.as_str()]);
        assert_eq!(offers(&world), [2, 1]);
        assert_eq!(world.focus.stats().bridges_lost_total, 0);
    }
}

#[test]
fn a_complaint_while_a_health_check_is_under_way_moves_its_sender_alone() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    // The check that is sent now is answered after the complaint.
    world.bridges.get_mut(&home).unwrap().health = Health::Frozen;
    world.advance(Duration::from_millis(500));
    world.bridges.get_mut(&home).unwrap().health = Health::Well;
    complain(&mut world, "aa");
    complain(&mut world, "bb");
    world.advance(Duration::from_secs(3));
    assert_eq!(world.home_of(MEETING), [home.as_str()]);
    assert_eq!(offers(&world), [2, 2]);
    assert_eq!(world.focus.stats().bridges_lost_total, 0);
}

#[test]
fn one_meeting_is_no_evidence_against_a_bridge_that_has_others() {
    let (mut world, home) = meeting(&["jvb1"]);
    world.form_fields = vec![("muc#roominfo_meetingId".into(), "other".into())];
    world.request("other@conference.meet.test");
    for nick in ["cc", "dd"] {
        let mut client = FakeClient::new(nick);
        client.room = "other@conference.meet.test".to_owned();
        world.join(client);
    }
    world.add_bridge("jvb2", 0.0);
    world.advance(Duration::from_secs(3));
    world.bridges.get_mut(&home).unwrap().health = Health::Frozen;
    world.advance(Duration::from_millis(1100));
    complain(&mut world, "aa");
    complain(&mut world, "bb");
    assert_eq!(world.focus.stats().bridges_lost_total, 0);
    complain(&mut world, "cc");
    assert_eq!(world.focus.stats().bridges_lost_total, 1);
    assert_eq!(offers(&world), [2, 2, 2, 2]);
}

#[test]
fn ice_that_fails_again_and_again_is_met_with_growing_patience() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    let mut at = Vec::new();
    let begin = world.now;
    for _ in 0..5 {
        let before = world.clients["aa"].offers.len();
        assert_eq!(condition(&ice_failed(&mut world, "aa")), "result");
        // What is being replaced already is not replaced once more.
        while world.clients["aa"].offers.len() == before {
            assert_eq!(condition(&ice_failed(&mut world, "aa")), "result");
            world.advance(Duration::from_millis(100));
        }
        assert_eq!(world.clients["aa"].offers.len(), before + 1);
        at.push((world.now - begin).as_secs());
    }
    assert!(
        at[1] >= 2 && at[2] >= at[1] + 4 && at[3] >= at[2] + 8,
        "{at:?}"
    );
    assert_eq!(
        condition(&ice_failed(&mut world, "aa")),
        "resource-constraint"
    );
    let (_, reason) = world.clients["aa"].terminations.last().unwrap();
    assert_eq!(reason, "connectivity-error");
    world.advance(Duration::from_secs(60));
    assert_eq!(
        offers(&world),
        [6, 1],
        "left in peace, and nobody else was touched"
    );
    assert!(!world.bridges[&home].conferences[MEETING].contains_key("aa"));
    let stats = world.focus.stats();
    assert_eq!(stats.given_up_total, 1);
    assert_eq!(
        stats.reinvites_total[focus::Reinvite::IceFailed as usize],
        5
    );
}

#[test]
fn a_bridge_that_works_for_nobody_of_a_meeting_is_left_by_it() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    for _ in 0..2 {
        for nick in ["aa", "bb"] {
            ice_failed(&mut world, nick);
        }
        world.advance(Duration::from_secs(5));
    }
    assert_eq!(world.home_of(MEETING), [other(&home)]);
    assert_eq!(
        world.focus.stats().bridges_lost_total,
        0,
        "others may stay there"
    );
    assert!(world.clients.values().all(|c| c.session.is_some()));
}

/// A participant says that ICE failed.
fn ice_failed(world: &mut World, nick: &str) -> stanza::Element {
    let mut info = world.clients[nick].jingle(Action::SessionInfo);
    info.ice_state = Some("failed".to_owned());
    info.bridge_session = Some(BridgeSession {
        id: world.clients[nick].stay(),
        ..BridgeSession::default()
    });
    world.ask(nick, &info)
}

#[test]
fn an_unwell_bridge_is_left() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    world.bridges.get_mut(&home).unwrap().health = Health::Unwell;
    world.advance(Duration::from_millis(600));
    assert_eq!(world.home_of(MEETING), [other(&home)]);
    assert_eq!(offers(&world), [2, 2]);
}

#[test]
fn a_bridge_that_shuts_down_is_left_after_the_new_one_is_ready() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    world.bridge_stats(&home, &[("shutting_down", "true"), ("drain", "true")]);
    assert_eq!(world.home_of(MEETING), [other(&home)]);
    assert_eq!(offers(&world), [2, 2]);
    // Endpoints were removed one by one as their replacements were offered.
    let goodbyes = world.bridges[&home]
        .requests
        .iter()
        .filter(|r| r.expire || r.endpoints.iter().any(|e| e.expire));
    assert_eq!(goodbyes.count(), 2);
}

#[test]
fn without_a_bridge_people_wait_and_are_served_when_one_comes() {
    let mut world = World::ready(&[]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    assert_eq!(offers(&world), [0, 0]);
    let has_marker = |world: &World| {
        world
            .focus_presences
            .last()
            .unwrap()
            .has_child("bridgeNotAvailable", stanza::ns::FOCUS)
    };
    assert!(has_marker(&world));
    world.advance(Duration::from_secs(60));
    let warnings = world
        .events
        .iter()
        .filter(|e| matches!(e, Event::NoBridge { .. }))
        .count();
    assert_eq!(warnings, 1, "said once, not with every try");
    world.add_bridge("jvb1", 0.0);
    assert_eq!(offers(&world), [1, 1]);
    assert!(!has_marker(&world));
}

#[test]
fn a_dead_last_bridge_and_its_return() {
    let (mut world, home) = meeting(&["jvb1"]);
    world.kill_bridge(&home);
    assert!(
        world.clients.values().all(|c| c.terminations.is_empty()),
        "nothing is taken before something is given"
    );
    world.advance(Duration::from_secs(7));
    world.add_bridge("jvb1", 0.0);
    assert_eq!(offers(&world), [2, 2]);
    assert_eq!(world.home_of(MEETING), ["jvb1"]);
}

#[test]
fn an_only_bridge_whose_stream_broke_keeps_its_sessions() {
    let (mut world, home) = meeting(&["jvb1"]);
    let bridge = world.bridges.remove(&home).unwrap();
    world.kill_bridge(&home);
    world.advance(Duration::from_secs(10));
    let marker = |world: &World| {
        let last = world.focus_presences.last().unwrap();
        last.has_child("bridgeNotAvailable", stanza::ns::FOCUS)
    };
    assert!(marker(&world));
    world.bridges.insert(home.clone(), bridge);
    let presence = world.bridge_presences[&home].clone();
    world.deliver(presence);
    world.advance(Duration::from_secs(10));
    assert!(!marker(&world));
    assert_eq!(offers(&world), [1, 1], "nobody was touched");
    world.join(FakeClient::new("cc"));
    assert_eq!(offers(&world), [1, 1, 1]);
}

#[test]
fn a_bridge_that_comes_takes_the_meetings_of_one_that_stays_away() {
    let (mut world, home) = meeting(&["jvb1"]);
    world.kill_bridge(&home);
    world.advance(Duration::from_secs(10));
    world.add_bridge("jvb2", 0.0);
    world.advance(Duration::from_secs(1));
    assert_eq!(offers(&world), [2, 2]);
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
}

#[test]
fn answers_to_allocations_and_what_follows() {
    let marked = |condition: &str, reason| ErrorAnswer::marked(condition, reason, "x");
    let cases = [
        // The error, whether the conference is on the same bridge after it, offers after three seconds.
        (ErrorAnswer::plain("internal-server-error", "x"), false, 1),
        (ErrorAnswer::plain("service-unavailable", "x"), false, 1),
        (ErrorAnswer::plain("item-not-found", "x"), false, 1),
        (
            marked("service-unavailable", Reason::GracefulShutdown),
            false,
            1,
        ),
        (
            marked("item-not-found", Reason::ConferenceNotFound),
            true,
            1,
        ),
        (marked("conflict", Reason::ConferenceAlreadyExists), true, 1),
        (ErrorAnswer::plain("bad-request", "x"), true, 0),
    ];
    for (error, same, count) in cases {
        let mut world = World::ready(&["jvb1", "jvb2"]);
        // The first choice is jvb1 by name.
        world
            .bridges
            .get_mut("jvb1")
            .unwrap()
            .errors
            .push_back(error.clone());
        world.join(FakeClient::new("aa"));
        world.join(FakeClient::new("bb"));
        world.advance(Duration::from_secs(3));
        // With the stay given up, the choice is free again: it must work, wherever it is.
        let homes = world
            .home_of(MEETING)
            .iter()
            .map(|h| (*h).to_owned())
            .collect::<Vec<_>>();
        assert_eq!(homes.len(), 1, "{error:?}");
        if !same {
            assert_eq!(homes, ["jvb2"], "{error:?}");
        }
        let first: usize = offers(&world).into_iter().min().unwrap();
        assert_eq!(first, count, "{error:?}");
    }
}

#[test]
fn a_bridge_without_data_channels_is_asked_without() {
    let mut world = World::ready(&["jvb1"]);
    world.bridges.get_mut("jvb1").unwrap().no_sctp = true;
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    // At once, and without another conference: the old one might not be gone yet.
    assert_eq!(offers(&world), [1, 1]);
    assert_eq!(world.home_of(MEETING), ["jvb1"]);
    let requests = &world.bridges["jvb1"].requests;
    assert_eq!(requests.iter().filter(|r| r.create).count(), 1);
    assert!(!requests.iter().any(|r| r.expire));
    for client in world.clients.values() {
        let names = client.offers[0].contents.iter().map(|c| c.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["audio", "video"]);
    }
    // It is known from the first refusal.
    world.join(FakeClient::new("cc"));
    let bridge = &world.bridges["jvb1"];
    let last = bridge.requests.iter().rev().find_map(|r| {
        let created = r.endpoints.iter().find(|e| e.create)?;
        created.transport.as_ref()
    });
    assert_eq!(last.unwrap().sctp, None);
    assert_eq!(offers(&world), [1, 1, 1]);
}

#[test]
fn a_deaf_bridge_is_given_up_after_one_allocation() {
    let mut world = World::ready(&["jvb1", "jvb2"]);
    world.bridges.get_mut("jvb1").unwrap().deaf = true;
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    assert_eq!(offers(&world), [0, 0]);
    world.advance(Duration::from_millis(2100));
    assert_eq!(offers(&world), [1, 1]);
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
}

#[test]
fn an_only_deaf_bridge_is_asked_until_it_answers() {
    let mut world = World::ready(&["jvb1"]);
    world.bridges.get_mut("jvb1").unwrap().deaf = true;
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    world.advance(Duration::from_secs(20));
    let asked = world.bridges["jvb1"].requests.len();
    assert!((10..60).contains(&asked), "{asked} requests in 20 s");
    world.bridges.get_mut("jvb1").unwrap().deaf = false;
    world.advance(Duration::from_secs(5));
    assert_eq!(offers(&world), [1, 1]);
}

#[test]
fn an_endpoint_the_bridge_forgot_is_made_again() {
    let (mut world, home) = meeting(&["jvb1"]);
    world
        .bridges
        .get_mut(&home)
        .unwrap()
        .conferences
        .get_mut(MEETING)
        .unwrap()
        .remove("aa");
    let mut add = world.clients["aa"].jingle(Action::SourceAdd);
    add.contents = vec![world.clients["aa"].content("video", "v1", &[5001], vec![])];
    assert_eq!(condition(&world.ask("aa", &add)), "result");
    assert_eq!(offers(&world), [2, 1]);
    assert_eq!(world.bridges[&home].conferences[MEETING].len(), 2);
}

#[test]
fn a_conference_the_bridge_forgot_is_made_again() {
    let (mut world, home) = meeting(&["jvb1"]);
    world.bridges.get_mut(&home).unwrap().conferences.clear();
    let mut add = world.clients["aa"].jingle(Action::SourceAdd);
    add.contents = vec![world.clients["aa"].content("video", "v1", &[5001], vec![])];
    world.ask("aa", &add);
    assert_eq!(offers(&world), [2, 2]);
    assert_eq!(world.bridges[&home].conferences[MEETING].len(), 2);
}

#[test]
fn an_unanswered_update_is_said_again() {
    let (mut world, home) = meeting(&["jvb1"]);
    world.bridges.get_mut(&home).unwrap().deaf = true;
    let mut add = world.clients["aa"].jingle(Action::SourceAdd);
    add.contents = vec![world.clients["aa"].content("video", "v1", &[5001], vec![])];
    world.ask("aa", &add);
    world.bridges.get_mut(&home).unwrap().deaf = false;
    world.advance(Duration::from_secs(3));
    assert_eq!(
        world.bridges[&home].endpoint(MEETING, "aa").sources.len(),
        3
    );
    assert_eq!(offers(&world), [1, 1]);
}

#[test]
fn a_bridge_that_refuses_all_updates_is_left() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    let refusal = ErrorAnswer::plain("internal-server-error", "x");
    world
        .bridges
        .get_mut(&home)
        .unwrap()
        .errors
        .extend(std::iter::repeat_n(refusal, 50));
    let mut add = world.clients["aa"].jingle(Action::SourceAdd);
    add.contents = vec![world.clients["aa"].content("video", "v1", &[5001], vec![])];
    world.ask("aa", &add);
    world.advance(Duration::from_secs(5));
    assert!(world.home_of(MEETING).contains(&other(&home)));
    assert!(world.clients.values().all(|c| c.session.is_some()));
}

#[test]
fn promised_load_counts_before_it_is_reported() {
    let mut world = World::new();
    world.add_bridge("jvb1", 0.10);
    world.add_bridge("jvb2", 0.12);
    for (room, people) in [("one", ["a1", "b1", "c1"]), ("two", ["a2", "b2", "c2"])] {
        let room = format!("{room}@conference.meet.test");
        world.form_fields = vec![("muc#roominfo_meetingId".into(), room.clone())];
        world.request(&room);
        for nick in people {
            let mut client = FakeClient::new(nick);
            client.room = room.clone();
            world.join(client);
        }
    }
    assert_eq!(world.home_of("one@conference.meet.test"), ["jvb1"]);
    assert_eq!(world.home_of("two@conference.meet.test"), ["jvb2"]);
    let chosen: Vec<_> = world
        .events
        .iter()
        .filter_map(|e| match e {
            Event::BridgeSelected {
                bridge,
                stress,
                promised,
                candidates,
                reason,
                ..
            } => Some((
                bridge.resource().as_str().to_owned(),
                *stress,
                *promised,
                *candidates,
                reason.clone(),
            )),
            _ => None,
        })
        .collect();
    let reason = "least loaded".to_owned();
    assert_eq!(chosen[0], ("jvb1".into(), 0.10, 0.0, 2, reason.clone()));
    assert_eq!(chosen[1], ("jvb2".into(), 0.12, 0.0, 2, reason));
}

#[test]
fn conferences_of_a_dead_bridge_are_spread_by_load() {
    let mut world = World::new();
    world.add_bridge("jvb1", 0.0);
    let rooms: Vec<String> = (0..6)
        .map(|i| format!("room{i}@conference.meet.test"))
        .collect();
    for (i, room) in rooms.iter().enumerate() {
        world.form_fields = vec![("muc#roominfo_meetingId".into(), room.clone())];
        world.request(room);
        for person in ["a", "b"] {
            let mut client = FakeClient::new(&format!("{person}{i}"));
            client.room = room.clone();
            world.join(client);
        }
    }
    world.add_bridge("jvb2", 0.1);
    world.add_bridge("jvb3", 0.1);
    world.kill_bridge("jvb1");
    let (two, three) = (
        world.bridges["jvb2"].conferences.len(),
        world.bridges["jvb3"].conferences.len(),
    );
    assert_eq!((two, three), (3, 3));
    assert!(
        world
            .clients
            .values()
            .all(|c| c.session.is_some() && c.offers.len() == 2)
    );
}

#[test]
fn a_bridge_that_shuts_down_during_an_allocation_is_left_clean() {
    let mut world = World::ready(&["jvb1", "jvb2"]);
    // The allocations at jvb1 wait for answers when it says goodbye.
    world.bridges.get_mut("jvb1").unwrap().deaf = true;
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    world.bridges.get_mut("jvb1").unwrap().deaf = false;
    world.bridge_stats("jvb1", &[("shutting_down", "true")]);
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    assert_eq!(offers(&world), [1, 1]);
    assert!(
        world.bridges["jvb1"].requests.iter().any(|r| r.expire),
        "nothing stays behind"
    );
}

#[test]
fn the_log_says_which_bridge_and_why() {
    let (mut world, home) = meeting(&["jvb1", "jvb2"]);
    world.kill_bridge(&home);
    let log: Vec<String> = world.events.iter().map(ToString::to_string).collect();
    let has = |text: String| {
        assert!(
            log.iter().any(|line| line.starts_with(&text)),
            "{text:?} is not in {log:#?}"
        )
    };
    has(format!(
        "conference {ROOM} is placed on bridge {home}: least loaded"
    ));
    has(format!(
        "bridge {home} is not used any more: it left the brewery; conferences on it: 1"
    ));
    has(format!(
        "conference {ROOM} leaves bridge {home} with 2 participants"
    ));
    has(format!(
        "conference {ROOM} is placed on bridge {}: least loaded",
        other(&home)
    ));
}
