//! Meetings over several bridges: relays that fail, bridges that cannot be asked, people who cannot be reached.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::time::Duration;

use focus::{Event, Strategy};
use stanza::colibri2::ErrorAnswer;
use stanza::jingle::{Action, BridgeSession};
use stanza::jitsi::evidence::{BrokenRelay, SilentMeeting};
use support::*;

const MEETING: &str = "5cc8f3dc-meeting";
const SECOND: Duration = Duration::from_secs(1);

/// A meeting spread over bridges, one person on each as far as there are enough, and idle bridges.
fn spread(bridges: u32, people: &[&str]) -> World {
    let mut world = World::with(|config| config.bridges.strategy = Strategy::Split);
    for n in 1..=bridges {
        add(&mut world, n);
    }
    world.request(ROOM);
    for nick in people {
        world.join(FakeClient::new(nick));
        world.advance(SECOND);
    }
    world.advance(3 * SECOND);
    assert_whole(&world);
    world
}

fn add(world: &mut World, n: u32) {
    let name = format!("jvb{n}");
    world.add_bridge(&name, 0.0);
    world.bridges.get_mut(&name).unwrap().relates = true;
    tell(world, &name);
}

/// A presence of a bridge that makes relays and can be asked about others.
fn tell(world: &mut World, name: &str) {
    let media = port(name);
    world.bridge_stats(
        name,
        &[
            ("stress_level", "0.0"),
            ("drain", "false"),
            ("relay_id", &format!("relay-of-{name}")),
            ("pontoon_media", &media),
        ],
    );
}

fn port(name: &str) -> String {
    format!("10.0.0.{}:10000", name.strip_prefix("jvb").unwrap())
}

fn reach(world: &mut World, name: &str) {
    let port = port(name).parse().unwrap();
    for bridge in world.bridges.values_mut().filter(|b| b.name != name) {
        bridge.reaches.push(port);
    }
}

fn homes(world: &World) -> Vec<String> {
    let homes = world.home_of(MEETING).into_iter();
    homes.map(str::to_owned).collect()
}

/// Where somebody has an endpoint.
fn home(world: &World, nick: &str) -> String {
    let mut all = world.bridges.values().filter(|bridge| {
        let meeting = bridge.conferences.get(MEETING);
        meeting.is_some_and(|people| people.contains_key(nick))
    });
    let home = all.next().expect("it is on a bridge").name.clone();
    assert!(all.next().is_none(), "{nick} is on two bridges");
    home
}

/// Everybody is on one bridge, and every bridge of the meeting knows of everybody.
fn assert_whole(world: &World) {
    for nick in world.clients.keys() {
        home(world, nick);
    }
    for name in homes(world) {
        let bridge = &world.bridges[&name];
        let mut known = bridge.behind(MEETING);
        known.extend(bridge.conferences[MEETING].keys().cloned());
        assert!(
            world.clients.keys().eq(known.iter()),
            "{name} knows of {known:?}; {:#?}",
            world.events
        );
    }
}

fn offers(world: &World) -> Vec<usize> {
    world.clients.values().map(|c| c.offers.len()).collect()
}

fn made(world: &World) -> u32 {
    world.bridges.values().map(|b| b.relays_made).sum()
}

/// A bridge says from now on that its relay to another one is broken, or not any more.
fn broken(world: &mut World, at: &str, other: Option<&str>) {
    let broken = other.map(|other| BrokenRelay {
        meeting_id: MEETING.to_owned(),
        relay: format!("relay-of-{other}"),
    });
    world.bridges.get_mut(at).unwrap().people.broken = broken.into_iter().collect();
}

#[test]
fn a_relay_through_which_nothing_comes_is_made_anew() {
    let mut world = spread(2, &["aa", "bb"]);
    assert_eq!(made(&world), 2);
    for n in 1..=5 {
        // Both ends say so, and say it once more before they have looked again.
        broken(&mut world, "jvb1", Some("jvb2"));
        broken(&mut world, "jvb2", Some("jvb1"));
        world.advance(SECOND);
        assert_eq!(made(&world), 2 + 2 * n, "once for both");
        broken(&mut world, "jvb1", None);
        broken(&mut world, "jvb2", None);
        // What has worked for a while and fails then does not add up with what was before.
        world.advance(25 * SECOND);
    }
    assert_eq!(
        offers(&world),
        [1, 1],
        "nobody was moved: {:#?}",
        world.events
    );
    assert_whole(&world);
    assert_eq!(world.focus.stats().relays_failed_total, 5);
    assert!(world.has_event(|e| matches!(
        e,
        Event::RelayFailed {
            failures: 1,
            hopeless: false,
            ..
        }
    )));
}

#[test]
fn errors_of_a_relay_do_not_add_up_over_the_life_of_a_meeting() {
    let mut world = spread(2, &["aa", "bb"]);
    for n in 0..6 {
        world.advance(30 * SECOND);
        // What is said next of the people behind the relay is refused.
        let error = ErrorAnswer::plain("bad-request", "no");
        world
            .bridges
            .get_mut("jvb1")
            .unwrap()
            .errors
            .push_back(error);
        let name = format!("c{n}");
        world.join(FakeClient::new(&name));
        world.advance(2 * SECOND);
        world.leave(&name);
        world.advance(SECOND);
    }
    assert_eq!(homes(&world), ["jvb1", "jvb2"], "{:#?}", world.events);
    assert_whole(&world);
}

/// Where nobody answers, the way to them is in doubt, or this node is behind: that is no fault of relays.
#[test]
fn while_no_bridge_answers_nothing_said_of_a_relay_counts_as_its_failure() {
    let mut world = spread(3, &["aa", "bb", "cc", "dd", "ee", "ff"]);
    let before = homes(&world);
    let offered = offers(&world);
    for bridge in world.bridges.values_mut() {
        bridge.health = Health::Frozen;
    }
    for nick in ["dd", "ee"] {
        world.leave(nick);
        world.advance(SECOND / 2);
    }
    world.advance(5 * SECOND);
    for bridge in world.bridges.values_mut() {
        bridge.health = Health::Well;
    }
    world.advance(3 * SECOND);
    let failed = world.focus.stats().relays_failed_total;
    assert_eq!(failed, 0, "{:#?}", world.events);
    assert_eq!(homes(&world), before);
    assert_eq!(offers(&world), offered[..4], "nobody got another session");
    assert_whole(&world);
}

/// A bridge that was too busy to answer for a while was told several things by then: that is one failure, not several in a row.
#[test]
fn what_was_said_of_a_relay_before_it_was_made_anew_says_nothing_of_the_new_one() {
    let people = ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"];
    let mut world = spread(2, &people);
    let busy = home(&world, "aa");
    let elsewhere = people.iter().filter(|nick| home(&world, nick) != busy);
    let elsewhere: Vec<&str> = elsewhere.copied().collect();
    assert!(elsewhere.len() > 3, "{elsewhere:?}");
    world.bridges.get_mut(&busy).unwrap().deaf = true;
    for nick in &elsewhere[..3] {
        world.leave(nick);
        world.advance(SECOND / 4);
    }
    world.advance(SECOND);
    world.bridges.get_mut(&busy).unwrap().deaf = false;
    world.advance(3 * SECOND);
    assert_eq!(
        world.focus.stats().relays_failed_total,
        1,
        "{:#?}",
        world.events
    );
    assert_eq!(homes(&world), ["jvb1", "jvb2"]);
    assert_whole(&world);
}

#[test]
fn where_no_relay_holds_the_meeting_comes_together_on_bridges_that_reach_each_other() {
    let mut world = spread(3, &["aa", "bb", "cc", "dd"]);
    assert_eq!(homes(&world).len(), 3);
    // Between these two nothing comes through, whatever is made.
    let lonely = home(&world, "bb");
    let other = home(&world, "cc");
    let third = home(&world, "aa");
    let before = offers(&world);
    broken(&mut world, &lonely, Some(&other));
    world.advance(20 * SECOND);
    assert_whole(&world);
    let left = homes(&world);
    assert_eq!(left.len(), 2, "{:#?}", world.events);
    assert!(left.contains(&third));
    let moved: usize = offers(&world).iter().sum::<usize>() - before.iter().sum::<usize>();
    assert_eq!(moved, 1, "only whoever was on the bridge that was left");
    assert!(world.has_event(|e| matches!(e, Event::RelayFailed { hopeless: true, .. })));
    assert!(world.has_event(
        |e| matches!(e, Event::ConferenceMoved { reason, .. } if reason.contains("relays to bridge"))
    ));
    // Whoever comes is not placed there again for some minutes; then it may be tried again.
    let abandoned = if left.contains(&lonely) {
        other.clone()
    } else {
        lonely.clone()
    };
    broken(&mut world, &lonely, None);
    world.join(FakeClient::new("ee"));
    world.advance(3 * SECOND);
    assert!(!homes(&world).contains(&abandoned));
    world.advance(301 * SECOND);
    world.join(FakeClient::new("ff"));
    world.advance(3 * SECOND);
    assert!(homes(&world).contains(&abandoned), "{:#?}", world.events);
    assert_whole(&world);
}

/// A participant says that ICE failed.
fn ice_failed(world: &mut World, nick: &str) {
    let mut info = world.clients[nick].jingle(Action::SessionInfo);
    info.ice_state = Some("failed".to_owned());
    info.bridge_session = Some(BridgeSession {
        id: world.clients[nick].stay(),
        ..BridgeSession::default()
    });
    assert_eq!(condition(&world.ask(nick, &info)), "result");
}

#[test]
fn who_cannot_reach_one_of_several_bridges_is_placed_on_another_one() {
    let mut world = spread(2, &["aa", "bb", "cc"]);
    let home_of_b = home(&world, "bb");
    assert_ne!(home(&world, "aa"), home_of_b);
    for _ in 0..2 {
        ice_failed(&mut world, "bb");
        world.advance(5 * SECOND);
    }
    assert_ne!(home(&world, "bb"), home_of_b, "{:#?}", world.events);
    assert_whole(&world);
    assert_eq!(world.clients["aa"].offers.len(), 1);
}

#[test]
fn any_of_several_bridges_that_hears_nobody_of_the_meeting_is_left() {
    let mut world = spread(3, &["aa", "bb", "cc", "dd", "ee", "ff"]);
    assert_eq!(homes(&world).len(), 3);
    for nick in ["bb", "cc"] {
        let deaf = home(&world, nick);
        let there = world.bridges[&deaf].conferences[MEETING].len();
        assert!(there >= 2);
        // One after the other: that the first was left does not make the second wait.
        world.bridges.get_mut(&deaf).unwrap().people.silent = vec![SilentMeeting {
            meeting_id: MEETING.to_owned(),
            here: there,
        }];
        world.advance(SECOND);
        assert!(!homes(&world).contains(&deaf), "{:#?}", world.events);
        world.bridges.get_mut(&deaf).unwrap().people.silent.clear();
        assert_whole(&world);
    }
}

#[test]
fn a_newcomer_to_another_bridge_takes_people_along_from_one_that_cannot_be_told() {
    for cut in ["aa", "bb"] {
        let mut world = spread(3, &["aa", "bb"]);
        let gone = home(&world, cut);
        // Its stream ends, its media go on: the others reach it.
        reach(&mut world, &gone);
        world.kill_bridge(&gone);
        world.advance(20 * SECOND);
        assert_eq!(offers(&world), [1, 1], "without newcomers its people stay");
        world.join(FakeClient::new("cc"));
        world.advance(5 * SECOND);
        assert_whole(&world);
        assert!(!homes(&world).contains(&gone));
        assert_eq!(world.clients[cut].offers.len(), 2, "{:#?}", world.events);
    }
}

/// Whoever it is placed with: on a bridge that has no relay to the one that is cut off yet, or on one that has.
#[test]
fn who_came_while_a_bridge_was_cut_off_is_made_known_to_it_when_it_is_heard() {
    for bridges in [2, 3] {
        let mut world = spread(bridges, &["aa", "bb"]);
        let gone = home(&world, "aa");
        reach(&mut world, &gone);
        world.bridges.get_mut(&gone).unwrap().health = Health::Frozen;
        world.advance(2 * SECOND);
        world.join(FakeClient::new("cc"));
        world.advance(10 * SECOND);
        assert_ne!(home(&world, "cc"), gone);
        let before = world.bridges.values().map(|b| b.requests.len());
        let before: usize = before.sum();
        world.advance(10 * SECOND);
        let after = world.bridges.values().map(|b| b.requests.len());
        assert_eq!(after.sum::<usize>(), before, "nobody is asked meanwhile");
        world.bridges.get_mut(&gone).unwrap().health = Health::Well;
        world.advance(2 * SECOND);
        assert_whole(&world);
        assert_eq!(offers(&world), [1, 1, 1], "{:#?}", world.events);
        assert_eq!(world.focus.stats().relays_failed_total, 0);
    }
}

/// The server says that a bridge could not be reached: its stream may have just ended, which is no fault of its relays.
#[test]
fn what_could_not_be_delivered_is_said_again_before_it_counts() {
    for bounces in [1, 2, 1_000] {
        let mut world = spread(3, &["aa", "bb"]);
        let home_of_a = home(&world, "aa");
        let bounce = || ErrorAnswer::plain("service-unavailable", "");
        let bridge = world.bridges.get_mut(&home_of_a).unwrap();
        bridge.errors.extend((0..bounces).map(|_| bounce()));
        let before = bridge.requests.len();
        world.join(FakeClient::new("cc"));
        world.advance(5 * SECOND);
        let asked = world.bridges[&home_of_a].requests.len() - before;
        assert!(asked < 40, "{asked} requests in 5 s");
        if bounces < 1_000 {
            assert_whole(&world);
            assert_eq!(offers(&world), [1, 1, 1], "{bounces}: {:#?}", world.events);
            assert_eq!(world.focus.stats().relays_failed_total, 0);
        }
    }
}
