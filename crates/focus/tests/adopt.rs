//! The focus loses its stream, or its memory: meetings go on, and nobody is disturbed who need not be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::time::Duration;

use focus::{Focus, FocusConfig, RequestError, Snapshot};
use proptest::prelude::*;
use stanza::jingle::Action;
use stanza::{Build, FullJid, iq};
use support::*;

const MEETING: &str = "5cc8f3dc-meeting";
const SECOND: Duration = Duration::from_secs(1);

/// What happens to the focus.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    /// Its stream breaks and another one follows.
    Stream,
    /// It is replaced by another one with its snapshot.
    Memory,
}

const BLOWS: [Blow; 2] = [Blow::Stream, Blow::Memory];

fn meeting(bridges: &[&str]) -> World {
    let mut world = World::ready(bridges);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::old("bb"));
    world.advance(3 * SECOND);
    assert_eq!(offers(&world), [1, 1]);
    world
}

fn offers(world: &World) -> Vec<usize> {
    world.clients.values().map(|c| c.offers.len()).collect()
}

fn home(world: &World) -> String {
    world.home_of(MEETING)[0].to_owned()
}

/// The blow falls; `meanwhile` happens before the focus is back.
fn strike(world: &mut World, blow: Blow, meanwhile: impl FnOnce(&mut World)) {
    world.cut();
    meanwhile(world);
    world.advance(40 * SECOND);
    match blow {
        Blow::Stream => world.reattach(),
        Blow::Memory => world.restart(),
    }
}

fn add_source(world: &mut World, nick: &str, ssrc: u32) -> String {
    let mut add = world.clients[nick].jingle(Action::SourceAdd);
    add.contents = vec![world.clients[nick].content("video", "v1", &[ssrc], vec![])];
    condition(&world.ask(nick, &add))
}

#[test]
fn who_stays_notices_nothing() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1", "jvb2"]);
        let home = home(&world);
        let before = world.bridges[&home].requests.len();
        let (sid, told) = (
            world.clients["aa"].session.as_ref().unwrap().sid.clone(),
            world.clients["bb"].known.clone(),
        );
        strike(&mut world, blow, |_| {});
        world.advance(60 * SECOND);
        assert_eq!(offers(&world), [1, 1], "{blow:?}");
        assert!(world.clients.values().all(|c| c.terminations.is_empty()));
        assert_eq!(world.clients["bb"].known, told);
        let since = &world.bridges[&home].requests[before..];
        assert!(
            since
                .iter()
                .all(|r| !r.expire && !r.create && r.endpoints.is_empty()),
            "the bridge is only asked: {since:?}"
        );
        let stats = world.focus.stats();
        assert_eq!((stats.adopted_total, stats.sessions), (1, 2));
        assert_eq!(stats.reinvites_total.iter().sum::<u64>(), 0);
        // And the sessions are alive.
        assert_eq!(world.clients["aa"].session.as_ref().unwrap().sid, sid);
        assert_eq!(add_source(&mut world, "aa", 5001), "result");
        assert_eq!(
            world.bridges[&home].endpoint(MEETING, "aa").sources.len(),
            3
        );
        assert_eq!(world.clients["bb"].known.len(), told.len() + 1);
    }
}

/// The places of the focus before and after: on a server that does not name them, and on one that gave it another.
const LOST_PLACES: [[Option<&str>; 2]; 2] = [[None, None], [Some("first"), Some("second")]];

#[test]
fn who_saw_the_focus_leave_is_invited_anew() {
    for blow in BLOWS {
        for [first, second] in LOST_PLACES {
            let mut world = World::new();
            world.place = first;
            world.add_bridge("jvb1", 0.0);
            world.request(ROOM);
            world.join(FakeClient::new("aa"));
            world.join(FakeClient::old("bb"));
            world.advance(3 * SECOND);
            let told = world.clients["bb"].known.len();
            // What was under way was about sessions that are over.
            world.bridges.get_mut("jvb1").unwrap().deaf = true;
            assert_eq!(add_source(&mut world, "aa", 5001), "result");
            strike(&mut world, blow, |world| {
                world.bridges.get_mut("jvb1").unwrap().deaf = false;
                world.focus_is_seen_to_leave(second);
            });
            // At once, and no more after that.
            for _ in 0..2 {
                assert_eq!(offers(&world), [2, 2], "{blow:?} {second:?}");
                world.advance(60 * SECOND);
            }
            let [aa, bb] = ["aa", "bb"].map(|nick| world.bridges["jvb1"].endpoint(MEETING, nick));
            assert_eq!((aa.sources.len(), bb.sources.len()), (2, 2));
            let known = world.clients["bb"].known.values();
            assert!(known.clone().all(|name| name.starts_with("aa-")));
            assert_eq!(
                known.count(),
                told,
                "bb knows what aa sends now, and no more"
            );
            let stats = world.focus.stats();
            assert_eq!((stats.sessions, stats.adopted_total), (2, 1));
            let again = stats.reinvites_total[focus::Reinvite::FocusLeft as usize];
            assert_eq!(again, 2);
            assert_eq!(add_source(&mut world, "aa", 5002), "result");
        }
    }
}

#[test]
fn who_saw_the_focus_leave_is_invited_when_the_bridge_is_back_too() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        let bridge = world.bridges.remove("jvb1").unwrap();
        strike(&mut world, blow, |world| world.focus_is_seen_to_leave(None));
        world.advance(2 * SECOND);
        assert_eq!(offers(&world), [1, 1], "{blow:?}");
        world.bridges.insert("jvb1".to_owned(), bridge);
        let presence = world.bridge_presences["jvb1"].clone();
        world.deliver(presence);
        assert_eq!(offers(&world), [2, 2], "{blow:?}");
        assert_eq!(world.bridges["jvb1"].conferences[MEETING].len(), 2);
    }
}

#[test]
fn a_stream_that_breaks_on_the_way_back_does_not_hide_that_the_focus_left() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        world.room_answers = false;
        strike(&mut world, blow, |world| {
            world.focus_is_seen_to_leave(Some("second"));
        });
        assert_eq!(offers(&world), [1, 1]);
        world.room_answers = true;
        strike(&mut world, blow, |_| {});
        assert_eq!(offers(&world), [2, 2], "{blow:?}");
        // That place is kept from now on.
        strike(&mut world, blow, |_| {});
        world.advance(60 * SECOND);
        assert_eq!(offers(&world), [2, 2], "{blow:?}");
    }
}

#[test]
fn the_presence_of_the_focus_is_whole_at_once() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        let before = world.sent.len();
        let children = |presence: &stanza::Element| {
            let all = presence.children().filter(|c| c.name() != "x");
            all.map(stanza::xml::to_string).collect::<Vec<_>>()
        };
        let told = children(world.focus_presences.last().unwrap());
        strike(&mut world, blow, |_| {});
        let room = format!("{ROOM}/focus");
        let presences = world.sent[before..].iter();
        let mut presences = presences
            .filter(|s| s.name() == "presence" && s.attr("to") == Some(&room))
            .peekable();
        assert!(presences.peek().is_some());
        presences.for_each(|presence| assert_eq!(children(presence), told, "{blow:?}"));
        assert!(world.left.is_empty());
    }
}

#[test]
fn who_left_meanwhile_is_forgotten_and_who_came_is_invited() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        strike(&mut world, blow, |world| {
            world.leave("bb");
            world.join(FakeClient::new("cc"));
        });
        assert_eq!(
            offers(&world),
            [1, 1],
            "{blow:?}: aa its first, cc its first"
        );
        let endpoints: Vec<_> = world.bridges["jvb1"].conferences[MEETING].keys().collect();
        assert_eq!(endpoints, ["aa", "cc"]);
    }
}

#[test]
fn a_meeting_that_ended_meanwhile_is_given_up() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        strike(&mut world, blow, |world| {
            world.leave("aa");
            world.leave("bb");
        });
        assert_eq!(world.focus.stats().conferences, 0);
        assert!(world.bridges["jvb1"].conferences.is_empty());
        assert_eq!(world.left, [ROOM]);
    }
}

#[test]
fn what_was_under_way_is_said_again() {
    let mut world = meeting(&["jvb1"]);
    world.bridges.get_mut("jvb1").unwrap().deaf = true;
    assert_eq!(add_source(&mut world, "aa", 5001), "result");
    strike(&mut world, Blow::Stream, |world| {
        world.bridges.get_mut("jvb1").unwrap().deaf = false;
    });
    let endpoint = world.bridges["jvb1"].endpoint(MEETING, "aa");
    assert_eq!(endpoint.sources.len(), 3);
    assert_eq!(offers(&world), [1, 1]);
}

#[test]
fn an_allocation_under_way_is_made_again_whether_or_not_the_bridge_took_it() {
    for blow in BLOWS {
        for taken in [false, true] {
            let mut world = meeting(&["jvb1"]);
            world.bridges.get_mut("jvb1").unwrap().deaf = true;
            world.join(FakeClient::new("cc"));
            strike(&mut world, blow, |world| {
                let bridge = world.bridges.get_mut("jvb1").unwrap();
                bridge.deaf = false;
                if taken {
                    let conference = bridge.conferences.get_mut(MEETING).unwrap();
                    conference.entry("cc".to_owned()).or_default();
                }
            });
            assert_eq!(offers(&world), [1, 1, 1], "{blow:?}, taken: {taken}");
            assert_eq!(world.bridges["jvb1"].conferences[MEETING].len(), 3);
        }
    }
}

#[test]
fn an_offer_that_was_lost_is_made_again() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        let mut late = FakeClient::new("cc");
        late.accepts = false;
        world.join(late);
        world.clients.get_mut("cc").unwrap().accepts = true;
        strike(&mut world, blow, |_| {});
        world.advance(10 * SECOND);
        assert_eq!(offers(&world), [1, 1, 2], "{blow:?}");
        assert_eq!(world.focus.stats().sessions, 3);
    }
}

#[test]
fn a_conference_that_the_bridge_lost_is_placed_anew() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        strike(&mut world, blow, |world| {
            world.bridges.get_mut("jvb1").unwrap().conferences.clear();
        });
        assert_eq!(offers(&world), [2, 2], "{blow:?}");
        assert_eq!(world.bridges["jvb1"].conferences[MEETING].len(), 2);
    }
}

#[test]
fn a_bridge_may_come_back_a_little_later() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        let bridge = world.bridges.remove("jvb1").unwrap();
        strike(&mut world, blow, |_| {});
        world.advance(2 * SECOND);
        assert_eq!(add_source(&mut world, "aa", 5001), "result");
        world.bridges.insert("jvb1".to_owned(), bridge);
        let presence = world.bridge_presences["jvb1"].clone();
        world.deliver(presence);
        world.advance(60 * SECOND);
        assert_eq!(offers(&world), [1, 1], "{blow:?}");
        let endpoint = world.bridges["jvb1"].endpoint(MEETING, "aa");
        assert_eq!(endpoint.sources.len(), 3, "what was said meanwhile");
    }
}

#[test]
fn a_bridge_that_does_not_come_back_is_replaced() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        world.add_bridge("jvb2", 0.0);
        strike(&mut world, blow, |world| {
            world.bridges.remove("jvb1");
        });
        assert_eq!(offers(&world), [1, 1], "{blow:?}");
        world.advance(6 * SECOND);
        assert_eq!(offers(&world), [2, 2], "{blow:?}");
        assert_eq!(home(&world), "jvb2");
    }
}

#[test]
fn a_room_the_server_lost_is_made_anew_and_waits_for_its_people() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        let bb = world.clients.remove("bb").unwrap();
        let aa = world.clients.remove("aa").unwrap();
        world.rooms_lost = true;
        world.form_fields = vec![("muc#roominfo_meetingId".into(), "another".into())];
        strike(&mut world, blow, |_| {});
        world.advance(20 * SECOND);
        world.clients.insert("aa".to_owned(), aa);
        world.presence("aa");
        assert_eq!(world.bridges["jvb1"].conferences[MEETING].len(), 2);
        world.advance(15 * SECOND);
        let endpoints: Vec<_> = world.bridges["jvb1"].conferences[MEETING].keys().collect();
        assert_eq!(endpoints, ["aa"], "{blow:?}");
        assert_eq!(offers(&world), [1], "aa goes on");
        drop(bb);
    }
}

#[test]
fn a_room_that_holds_the_former_place_a_little_longer_is_asked_again() {
    for blow in BLOWS {
        let mut world = meeting(&["jvb1"]);
        world.refused_joins = 2;
        strike(&mut world, blow, |_| {});
        world.advance(3 * SECOND);
        let stats = world.focus.stats();
        assert_eq!((stats.conferences, stats.adopted_total), (1, 1));
        assert_eq!(offers(&world), [1, 1], "{blow:?}");
    }
}

#[test]
fn many_rooms_are_entered_one_after_the_other() {
    for blow in BLOWS {
        let mut world = World::new();
        world.add_bridge("jvb1", 0.0);
        for number in 0..100 {
            let room = format!("room{number}@conference.meet.test");
            world.form_fields = vec![("muc#roominfo_meetingId".into(), room.clone())];
            world.request(&room);
            for person in ["a", "b"] {
                let mut client = FakeClient::new(&format!("{person}{number}"));
                client.room = room.clone();
                world.join(client);
            }
        }
        world.cut();
        world.room_answers = false;
        let before = world.sent.len();
        match blow {
            Blow::Stream => world.reattach(),
            Blow::Memory => world.restart(),
        }
        let joins = world.sent[before..].iter();
        let rooms = joins.filter(|s| s.attr("to").is_some_and(|to| to.starts_with("room")));
        assert_eq!(rooms.count(), 32, "{blow:?}");
        world.room_answers = true;
        match blow {
            Blow::Stream => world.reattach(),
            Blow::Memory => world.restart(),
        }
        let stats = world.focus.stats();
        assert_eq!((stats.conferences, stats.adopted_total), (100, 100));
        assert!(world.clients.values().all(|c| c.offers.len() == 1));
    }
}

#[test]
fn a_request_that_is_asked_twice_around_a_break_is_answered_alike() {
    let mut world = meeting(&["jvb1"]);
    let mut add = world.clients["aa"].jingle(Action::SourceAdd);
    add.contents = vec![world.clients["aa"].content("video", "v1", &[5001], vec![])];
    let request = Build::from(iq::set(FOCUS, "same", &add))
        .attr("from", format!("{ROOM}/aa"))
        .done();
    world.deliver(request.clone());
    strike(&mut world, Blow::Stream, |_| {});
    // The answer was lost with the stream, so the server brings the request again.
    world.deliver(request);
    let answers = world.sent.iter().filter(|s| s.attr("id") == Some("same"));
    let kinds: Vec<_> = answers.map(|s| s.attr("type").unwrap()).collect();
    assert_eq!(kinds, ["result", "result"]);
}

#[test]
fn who_asks_over_http_is_not_kept_waiting_for_ever() {
    let mut world = World::new();
    world.room_answers = false;
    let id = world.request(ROOM);
    world.cut();
    let late = world.request(ROOM);
    assert_eq!(world.replies[&late], Err(RequestError::Offline));
    world.advance(16 * SECOND);
    assert!(!world.replies[&id].clone().unwrap().ready);
    world.room_answers = true;
    world.reattach();
    let id = world.request(ROOM);
    assert!(world.replies[&id].clone().unwrap().ready);
}

#[test]
fn settings_of_the_room_outlive_the_focus() {
    let mut world = meeting(&["jvb1"]);
    let moderation = stanza::element("message", stanza::ns::CLIENT)
        .attr("from", MODERATION)
        .child(
            stanza::element("json-message", "http://jitsi.org/jitmeet").text(format!(
                r#"{{"type":"av_moderation","room":"{ROOM}","enabled":true,"mediaType":"audio"}}"#
            )),
        );
    world.deliver(moderation.done());
    let mute = |world: &World, nick: &str| {
        let endpoint = world.bridges["jvb1"].endpoint(MEETING, nick);
        endpoint.force_mute.audio
    };
    let muted: Vec<bool> = ["aa", "bb"].map(|nick| mute(&world, nick)).into();
    assert!(muted.contains(&true), "{muted:?}");
    strike(&mut world, Blow::Memory, |_| {});
    world.join(FakeClient::new("cc"));
    world.advance(SECOND);
    assert_eq!(["aa", "bb"].map(|nick| mute(&world, nick)).to_vec(), muted);
    let newcomer = world.bridges["jvb1"].endpoint(MEETING, "cc");
    assert!(newcomer.force_mute.audio, "the rule holds for newcomers");
}

#[test]
fn a_snapshot_is_not_believed() {
    let world = meeting(&["jvb1"]);
    let good = String::from_utf8(world.focus.snapshot().to_json()).unwrap();
    let restored = |json: &str| -> (usize, usize) {
        let snapshot = Snapshot::from_json(json.as_bytes()).unwrap();
        let config = FocusConfig::for_domain("meet.test").unwrap();
        let mut focus = Focus::restore(world.now, config, [1; 32], &snapshot);
        let warnings = std::iter::from_fn(|| focus.poll_event()).count();
        (focus.snapshot().len(), warnings)
    };
    assert_eq!(restored(&good), (1, 0));
    for (from, to) in [
        ("standup@conference.meet.test\"", "standup@elsewhere.test\""),
        ("standup@conference.meet.test\"", "@@\""),
        ("internal.auth.meet.test", "evil.test"),
        ("\"nick\":\"bb\"", "\"nick\":\"aa\""),
        ("\"nick\":\"bb\"", "\"nick\":\"b/\\u0000\""),
        ("\"name\":\"aa-", "\"name\":\"zz-"),
        ("\"media\":\"audio\"", "\"media\":\"smell\""),
    ] {
        assert!(good.contains(from), "{from} in {good}");
        let bad = good.replace(from, to);
        assert_eq!(restored(&bad), (0, 1), "{from} → {to}");
    }
    for bad in ["", "{}", "[]", "{\"version\":1}", &good[..good.len() - 1]] {
        assert!(Snapshot::from_json(bad.as_bytes()).is_err(), "{bad}");
    }
    let newer = good.replace("\"version\":1", "\"version\":2");
    assert!(Snapshot::from_json(newer.as_bytes()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever became of the file: it is refused or used, and the focus serves on.
    #[test]
    fn a_damaged_snapshot_does_no_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut world = meeting(&["jvb1"]);
        let mut json = world.focus.snapshot().to_json();
        for (at, byte) in changes {
            let at = at.index(json.len());
            json[at] = byte;
        }
        if let Some(cut) = cut {
            json.truncate(cut.index(json.len()));
        }
        if let Ok(snapshot) = Snapshot::from_json(&json) {
            let config = FocusConfig::for_domain("meet.test").unwrap();
            world.focus = Focus::restore(world.now, config, [1; 32], &snapshot);
            world.joined.clear();
            world.focus.online(world.now, FullJid::new(FOCUS).unwrap(), false);
            world.focus.handle_timeout(world.now + 60 * SECOND);
            while world.focus.poll_transmit().is_some() {}
        }
    }
}
