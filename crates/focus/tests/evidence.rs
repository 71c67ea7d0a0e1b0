//! What is seen of a bridge from several sides, and what follows: dead, stopped, cut off from here, cut off from its people,
//! drained.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::time::Duration;

use focus::{Event, Leave, Then};
use stanza::jitsi::evidence::{People, SilentMeeting};
use support::*;

const MEETING: &str = "5cc8f3dc-meeting";
const SECOND: Duration = Duration::from_secs(1);

/// A bridge that can be asked about others.
fn add(world: &mut World, name: &str, stress: f64) {
    world.add_bridge(name, stress);
    let port = port(name);
    world.bridge_stats(
        name,
        &[
            ("stress_level", &stress.to_string()),
            ("drain", "false"),
            ("pontoon_media", &port),
        ],
    );
}

fn port(name: &str) -> String {
    format!("10.0.0.{}:10000", name.strip_prefix("jvb").unwrap())
}

/// From now on all other bridges reach it, or do not.
fn reach(world: &mut World, name: &str, reached: bool) {
    let port = port(name).parse().unwrap();
    for bridge in world.bridges.values_mut().filter(|b| b.name != name) {
        bridge.reaches.retain(|known| *known != port);
        bridge.reaches.extend(reached.then_some(port));
    }
}

/// A meeting of two on `jvb1`, and idle bridges.
fn meeting(bridges: u32) -> World {
    let mut world = World::new();
    for n in 1..=bridges {
        add(
            &mut world,
            &format!("jvb{n}"),
            if n == 1 { 0.0 } else { 0.2 },
        );
    }
    world.request(ROOM);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    world.advance(3 * SECOND);
    assert_eq!(world.home_of(MEETING), ["jvb1"]);
    world
}

/// Another meeting of two begins.
fn open(world: &mut World, name: &str) {
    let room = format!("{name}@conference.meet.test");
    world.form_fields = vec![("muc#roominfo_meetingId".into(), name.into())];
    world.request(&room);
    for person in ["x", "y"] {
        let mut client = FakeClient::new(&format!("{person}{name}"));
        client.room = room.clone();
        world.join(client);
    }
}

fn offers(world: &World) -> Vec<usize> {
    world.clients.values().map(|c| c.offers.len()).collect()
}

fn is_told(world: &World) -> bool {
    let last = world.focus_presences.last().unwrap();
    last.has_child("bridgeNotAvailable", stanza::ns::FOCUS)
}

#[test]
fn a_stopped_bridge_that_nobody_reaches_is_left_within_half_a_second() {
    for phase in 0..10 {
        let mut world = meeting(2);
        world.advance(Duration::from_millis(15 * phase));
        world.bridges.get_mut("jvb1").unwrap().health = Health::Frozen;
        world.advance(Duration::from_millis(250));
        assert_eq!(offers(&world), [1, 1], "a hiccup is no death");
        world.advance(Duration::from_millis(220));
        assert_eq!(offers(&world), [2, 2], "phase {phase}: {:?}", world.events);
        assert!(world.home_of(MEETING).contains(&"jvb2"));
    }
}

#[test]
fn meetings_of_a_bridge_that_is_cut_off_from_the_focus_alone_go_on() {
    let mut world = meeting(3);
    reach(&mut world, "jvb1", true);
    world.bridges.get_mut("jvb1").unwrap().health = Health::Frozen;
    world.advance(60 * SECOND);
    assert_eq!(offers(&world), [1, 1], "{:?}", world.events);
    let cut_off = |e: &&Event| matches!(e, Event::BridgeCutOff { .. });
    assert_eq!(world.events.iter().filter(cut_off).count(), 1, "said once");
    assert_eq!(world.focus.stats().bridges_usable, 2);
    // It gets nothing new.
    open(&mut world, "other");
    assert_ne!(world.home_of("other"), ["jvb1"]);
    // When it answers again, all is as before.
    world.bridges.get_mut("jvb1").unwrap().health = Health::Well;
    world.advance(SECOND);
    assert_eq!(world.focus.stats().bridges_usable, 3);
    assert_eq!(offers(&world), [1, 1, 1, 1]);
    // When it dies while it is cut off, that is seen too.
    world.bridges.get_mut("jvb1").unwrap().health = Health::Frozen;
    world.advance(10 * SECOND);
    assert_eq!(offers(&world), [1, 1, 1, 1]);
    reach(&mut world, "jvb1", false);
    world.advance(4 * SECOND);
    assert_eq!(offers(&world), [2, 2, 1, 1]);
}

#[test]
fn a_bridge_that_answers_late_once_is_not_taken_to_be_cut_off() {
    let mut world = meeting(2);
    reach(&mut world, "jvb1", true);
    world.bridges.get_mut("jvb1").unwrap().health = Health::Frozen;
    // Others are asked meanwhile, and reach it.
    world.advance(Duration::from_millis(250));
    assert_eq!(world.focus.stats().bridges_usable, 2);
    world.bridges.get_mut("jvb1").unwrap().health = Health::Well;
    world.advance(5 * SECOND);
    let cut_off = |e: &&Event| matches!(e, Event::BridgeCutOff { .. });
    assert_eq!(world.events.iter().find(cut_off), None);
}

#[test]
fn a_newcomer_takes_a_meeting_along_that_its_bridge_cannot_be_asked_for() {
    let mut world = meeting(2);
    reach(&mut world, "jvb1", true);
    world.bridges.get_mut("jvb1").unwrap().health = Health::Frozen;
    world.advance(5 * SECOND);
    world.join(FakeClient::new("cc"));
    world.advance(3 * SECOND);
    assert_eq!(offers(&world), [2, 2, 1], "{:?}", world.events);
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    assert_eq!(world.focus.stats().bridges_lost_total, 0);
}

#[test]
fn a_bridge_whose_stream_ends_is_left_at_once_only_if_nobody_reaches_it() {
    // Dead: another bridge says so at once.
    let mut world = meeting(2);
    world.kill_bridge("jvb1");
    assert_eq!(offers(&world), [2, 2]);
    // Only its stream broke.
    let mut world = meeting(2);
    reach(&mut world, "jvb1", true);
    let bridge = world.bridges.remove("jvb1").unwrap();
    world.kill_bridge("jvb1");
    world.advance(30 * SECOND);
    assert_eq!(offers(&world), [1, 1], "{:?}", world.events);
    world.bridges.insert("jvb1".to_owned(), bridge);
    let presence = world.bridge_presences["jvb1"].clone();
    world.deliver(presence);
    world.advance(5 * SECOND);
    world.join(FakeClient::new("cc"));
    assert_eq!(offers(&world), [1, 1, 1]);
    assert_eq!(world.home_of(MEETING), ["jvb1"]);
}

#[test]
fn a_newcomer_does_not_wait_for_a_bridge_that_is_away() {
    let mut world = meeting(2);
    reach(&mut world, "jvb1", true);
    let bridge = world.bridges.remove("jvb1").unwrap();
    world.kill_bridge("jvb1");
    world.advance(5 * SECOND);
    world.join(FakeClient::new("cc"));
    world.advance(3 * SECOND);
    assert_eq!(offers(&world), [2, 2, 1], "{:?}", world.events);
    // What it still has of the meeting is taken from it when it is back.
    world.bridges.insert("jvb1".to_owned(), bridge);
    let presence = world.bridge_presences["jvb1"].clone();
    world.deliver(presence);
    world.advance(SECOND);
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
}

/// What operators read that begins so.
fn lines(world: &World, beginning: &str) -> Vec<String> {
    let all = world.events.iter().map(ToString::to_string);
    all.filter(|line| line.starts_with(beginning)).collect()
}

#[test]
fn operators_read_from_where_a_bridge_came_and_when_it_is_back() {
    let mut world = World::new();
    for n in 1..=2 {
        let name = format!("jvb{n}");
        world.bridges.insert(name.clone(), FakeBridge::new(&name));
        let stats = [
            ("stress_level", "0.125"),
            ("drain", "false"),
            ("region", "eu"),
            ("version", "2.1"),
            ("pontoon_media", &port(&name)),
        ];
        world.bridge_stats(&name, &stats);
    }
    assert_eq!(
        lines(&world, "bridge jvb1 "),
        ["bridge jvb1 came: media at 10.0.0.1:10000, version 2.1, region eu, load 0.125"]
    );
    // It does not answer for a while.
    reach(&mut world, "jvb1", true);
    world.bridges.get_mut("jvb1").unwrap().health = Health::Frozen;
    world.advance(10 * SECOND);
    world.bridges.get_mut("jvb1").unwrap().health = Health::Well;
    world.advance(5 * SECOND);
    let back = lines(&world, "bridge jvb1 is back after ");
    assert_eq!(back.len(), 1, "said once: {:?}", world.events);
    assert!(
        back[0].ends_with(" ms: media at 10.0.0.1:10000, conferences on it: 0"),
        "{back:?}"
    );
    // Its stream breaks.
    let bridge = world.bridges.remove("jvb1").unwrap();
    world.kill_bridge("jvb1");
    world.advance(10 * SECOND);
    world.bridges.insert("jvb1".to_owned(), bridge);
    let presence = world.bridge_presences["jvb1"].clone();
    world.deliver(presence);
    world.advance(SECOND);
    let back = lines(&world, "bridge jvb1 is back after ");
    assert_eq!(back.len(), 2, "{:?}", world.events);
    assert_eq!(lines(&world, "bridge jvb1 came").len(), 1);
}

/// The bridge says that it hears nobody of these meetings, each of so many people.
fn hears_nobody(world: &mut World, name: &str, meetings: &[(&str, usize)]) {
    let here = meetings.iter().map(|(_, people)| people).sum();
    world.bridges.get_mut(name).unwrap().people = People {
        here,
        unheard: here,
        lossy: 0,
        silent: meetings
            .iter()
            .map(|(id, here)| SilentMeeting {
                meeting_id: (*id).to_owned(),
                here: *here,
            })
            .collect(),
        broken: Vec::new(),
    };
}

#[test]
fn a_bridge_that_hears_none_of_its_people_is_left_and_avoided() {
    let mut world = meeting(3);
    open(&mut world, "other");
    world.advance(SECOND);
    assert_eq!(world.home_of("other"), ["jvb1"]);
    hears_nobody(&mut world, "jvb1", &[(MEETING, 2), ("other", 2)]);
    world.advance(Duration::from_millis(600));
    assert_eq!(offers(&world), [2, 2, 2, 2], "{:?}", world.events);
    assert!(world.home_of(MEETING) != ["jvb1"] && world.home_of("other") != ["jvb1"]);
    world.bridges.get_mut("jvb1").unwrap().people = People::default();
    world.advance(30 * SECOND);
    open(&mut world, "third");
    assert_ne!(
        world.home_of("third"),
        ["jvb1"],
        "although it is the least loaded"
    );
    world.advance(40 * SECOND);
    open(&mut world, "fourth");
    assert_eq!(world.home_of("fourth"), ["jvb1"]);
}

#[test]
fn one_meeting_that_is_not_heard_moves_alone_and_not_for_ever() {
    let mut world = meeting(2);
    hears_nobody(&mut world, "jvb1", &[(MEETING, 2)]);
    world.advance(SECOND);
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    assert_eq!(world.focus.stats().bridges_lost_total, 0);
    // They are not heard there either: it is they.
    world.bridges.get_mut("jvb1").unwrap().people = People::default();
    hears_nobody(&mut world, "jvb2", &[(MEETING, 2)]);
    world.advance(120 * SECOND);
    let moves = offers(&world)[0];
    assert!((2..=5).contains(&moves), "{moves}");
}

#[test]
fn without_another_bridge_people_are_told_and_served_when_one_comes() {
    let mut world = meeting(1);
    hears_nobody(&mut world, "jvb1", &[(MEETING, 2)]);
    world.advance(SECOND);
    assert!(is_told(&world));
    world.bridges.get_mut("jvb1").unwrap().people = People::default();
    world.advance(SECOND);
    assert!(!is_told(&world), "it was they, or it is over");
    hears_nobody(&mut world, "jvb1", &[(MEETING, 2)]);
    world.advance(SECOND);
    assert!(is_told(&world));
    add(&mut world, "jvb2", 0.0);
    world.advance(SECOND);
    assert!(!is_told(&world));
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    assert_eq!(offers(&world), [2, 2]);
}

#[test]
fn a_bridge_whose_line_loses_much_is_left_in_portions_and_avoided() {
    let mut world = meeting(2);
    open(&mut world, "other");
    world.bridges.get_mut("jvb1").unwrap().people = People {
        here: 4,
        unheard: 0,
        lossy: 4,
        silent: Vec::new(),
        broken: Vec::new(),
    };
    world.advance(3 * SECOND);
    assert_eq!(offers(&world), [1, 1, 1, 1], "it may pass");
    world.advance(4 * SECOND);
    assert_eq!(offers(&world), [2, 2, 2, 2], "{:?}", world.events);
    open(&mut world, "third");
    assert_eq!(world.home_of("third"), ["jvb2"]);
}

#[test]
fn a_drained_bridge_is_emptied_as_soon_as_there_is_a_better_one() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    world.bridge_stats("jvb1", &[("drain", "true")]);
    world.advance(5 * SECOND);
    assert_eq!(offers(&world), [1, 1], "there is no other");
    let other = FakeBridge::new("jvb2");
    world.bridges.insert("jvb2".to_owned(), other);
    world.bridge_stats("jvb2", &[("drain", "true"), ("stress_level", "0.9")]);
    world.advance(5 * SECOND);
    assert_eq!(offers(&world), [1, 1], "the other one wants nobody either");
    world.bridge_stats("jvb2", &[("drain", "false")]);
    world.advance(SECOND);
    assert_eq!(offers(&world), [2, 2]);
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    assert_eq!(world.focus.stats().bridges_lost_total, 0);
}

#[test]
fn a_drain_goes_in_portions_and_is_done_in_time() {
    let mut world = World::new();
    world.add_bridge("jvb1", 0.0);
    for n in 0..40 {
        open(&mut world, &format!("r{n}"));
    }
    world.add_bridge("jvb2", 0.0);
    world.add_bridge("jvb3", 0.0);
    world.bridge_stats("jvb1", &[("drain", "true")]);
    let left = |world: &World| world.bridges["jvb1"].conferences.len();
    assert!((20..40).contains(&left(&world)), "{}", left(&world));
    world.advance(2 * SECOND);
    assert_eq!(left(&world), 0);
    assert!(offers(&world).iter().all(|n| *n == 2), "each moved once");
    let (two, three) = (
        world.bridges["jvb2"].conferences.len(),
        world.bridges["jvb3"].conferences.len(),
    );
    assert_eq!((two, three), (20, 20), "by load");
}

#[test]
fn with_one_bridge_draining_and_one_closing_the_meeting_goes_to_the_one_that_takes_it() {
    let mut world = World::ready(&["jvb1", "jvb2"]);
    world.bridge_stats("jvb1", &[("drain", "true")]);
    world.bridge_stats("jvb2", &[("drain", "false"), ("graceful_shutdown", "true")]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    world.advance(10 * SECOND);
    assert_eq!(world.home_of(MEETING), ["jvb1"]);
    assert_eq!(offers(&world), [1, 1]);
    assert!(
        world.bridges["jvb2"].requests.is_empty(),
        "it was never asked"
    );
}

#[test]
fn operators_see_where_meetings_are_and_why_and_move_them() {
    let mut world = meeting(3);
    let status = world.focus.status();
    let names: Vec<_> = status.bridges.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["jvb1", "jvb2", "jvb3"]);
    let (first, meeting) = (&status.bridges[0], &status.meetings[0]);
    assert_eq!((first.state, first.meetings, first.people), ("ready", 1, 2));
    assert_eq!(first.addresses, ["10.0.0.1:10000"]);
    assert_eq!((meeting.room.as_str(), meeting.people), (ROOM, 2));
    assert_eq!(meeting.bridges[0].bridge, "jvb1");
    assert!(
        meeting.bridges[0].why.starts_with("least loaded"),
        "{meeting:?}"
    );

    let now = world.now;
    let moved = |world: &mut World, to| {
        let done = world.focus.order_move(now, ROOM, to);
        world.run();
        done.map_err(|error| error.to_string())
    };
    assert_eq!(moved(&mut world, Some("jvb3")), Ok(()));
    assert_eq!(world.home_of(MEETING), ["jvb3"]);
    assert_eq!(offers(&world), [2, 2]);
    let nowhere = Err("no other bridge can take it".to_owned());
    assert_eq!(moved(&mut world, Some("jvb3")), nowhere, "it is there");
    assert_eq!(moved(&mut world, None), Ok(()));
    assert_ne!(world.home_of(MEETING), ["jvb3"]);
    assert!(
        moved(&mut world, Some("jvb9"))
            .unwrap_err()
            .contains("jvb9")
    );
    assert!(
        world
            .focus
            .order_move(now, "no@conference.meet.test", None)
            .is_err()
    );
}

#[test]
fn operators_have_some_people_leave_a_bridge() {
    let mut world = meeting(2);
    open(&mut world, "other");
    world.advance(SECOND);
    assert_eq!(world.home_of("other"), ["jvb1"]);
    let leave = |world: &mut World, who: Leave| {
        let now = world.now;
        let left = world.focus.order_leave(now, &who);
        world.run();
        left.map(|left| (left.people, left.meetings))
    };
    let number = |bridge: &str, room: Option<&str>, people| Leave::Number {
        bridge: bridge.to_owned(),
        room: room.map(str::to_owned),
        people,
    };
    let person = |endpoint: &str, bridge: Option<&str>| Leave::Person {
        room: ROOM.to_owned(),
        endpoint: endpoint.to_owned(),
        bridge: bridge.map(str::to_owned),
    };
    // A meeting's people stay together, and its bridge may be told by its address.
    let address = format!("{BREWERY}/jvb1");
    assert_eq!(
        leave(&mut world, number(&address, Some(ROOM), 1)),
        Ok((2, 1))
    );
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    assert_eq!(world.home_of("other"), ["jvb1"]);
    // Who is not there need not leave.
    assert_eq!(leave(&mut world, person("aa", Some("jvb1"))), Ok((0, 0)));
    assert_eq!(leave(&mut world, person("zz", None)), Ok((0, 0)));
    assert_eq!(leave(&mut world, number("jvb1", None, 0)), Ok((0, 0)));
    assert_eq!(offers(&world), [2, 2, 1, 1]);
    assert_eq!(leave(&mut world, person("aa", Some("jvb2"))), Ok((2, 1)));
    assert_eq!(world.home_of(MEETING), ["jvb1"]);
    let half = Leave::Fraction {
        bridge: "jvb1".to_owned(),
        fraction: 0.5,
    };
    assert_eq!(leave(&mut world, half), Ok((2, 1)));
    assert_eq!(world.focus.status().bridges[0].people, 2);
    for unknown in [number("jvb9", None, 1), number("jvb1", Some("no@x"), 1)] {
        assert!(leave(&mut world, unknown).is_err());
    }
}

#[test]
fn operators_drain_bridges_of_any_make() {
    let mut world = meeting(2);
    let now = world.now;
    world
        .focus
        .order_drain(now, "jvb1", true, Then::Stay)
        .unwrap();
    world.run();
    assert_eq!(world.home_of(MEETING), ["jvb2"]);
    assert!(world.focus.status().bridges[0].drain);
    // Its own word does not take the order back.
    world.bridge_stats(
        "jvb1",
        &[("drain", "false"), ("pontoon_media", &port("jvb1"))],
    );
    open(&mut world, "other");
    assert_eq!(world.home_of("other"), ["jvb2"]);
    world
        .focus
        .order_drain(now, "jvb1", false, Then::Stay)
        .unwrap();
    world.run();
    open(&mut world, "third");
    assert_eq!(world.home_of("third"), ["jvb1"]);
    assert!(
        world
            .focus
            .order_drain(now, "jvb9", true, Then::Stay)
            .is_err()
    );
}
