//! The focus logs in again while its former session still stands: nobody sees it leave.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use std::time::Duration;

use kit::{Client, ROOM, World, brief, briefs};
use stanza::ns;
use xmpp::CloseReason;

const REQUEST: &str = "<iq type='set' id='r1' to='focus.meet.example.com'>\
    <conference xmlns='http://jitsi.org/protocol/focus' room='standup@conference.meet.example.com'/></iq>";

fn hibernate(world: &mut World, client: &Client) {
    world
        .server
        .enable_sm(world.now, client.session, true)
        .unwrap();
    world
        .server
        .detach(world.now, client.session, client.connection);
    world.drain();
}

fn again(world: &mut World) -> Client {
    let mut focus = world.account("focus", "focus");
    focus.nick = "focus".to_owned();
    focus
}

fn unavailable(world: &mut World, client: &Client) -> usize {
    let seen = world.take(client);
    let gone = seen
        .iter()
        .filter(|s| s.attr("type") == Some("unavailable"));
    gone.count()
}

#[test]
fn a_focus_that_logs_in_again_is_not_seen_to_leave() {
    for hibernates in [true, false] {
        let mut world = World::with(|c| c.limits.probe_after = Duration::from_secs(3_600));
        let first = world.focus();
        let alice = world.participant();
        if hibernates {
            hibernate(&mut world, &first);
        }
        world.clear();
        let second = again(&mut world);
        let closed = world.closed.get(&first.connection);
        assert_eq!(closed.is_none(), hibernates);
        assert!(closed.is_none_or(|reason| *reason == CloseReason::Conflict));
        assert!(world.look(&alice).is_empty(), "nothing has happened yet");
        // People still come in meanwhile.
        let bob = world.participant();
        world.clear();
        world.join(&second, ROOM);
        let told = briefs(&world.take(&second));
        assert!(
            told.iter().any(|line| line.contains(&alice.nick)),
            "{told:?}"
        );
        assert!(told.iter().any(|line| line.contains(&bob.nick)));
        let of_focus =
            |s: &stanza::Element| s.attr("from").is_some_and(|from| from.ends_with("/focus"));
        for client in [&alice, &bob] {
            let seen = world.look(client);
            assert!(seen.iter().all(|s| s.attr("type").is_none()));
            assert!(seen.iter().any(of_focus));
        }
        world.clear();
        world.pass(Duration::from_secs(60));
        assert_eq!(unavailable(&mut world, &alice), 0);
        assert!(world.server.jid(first.session).is_none(), "it is gone");
        assert_eq!(world.server.jid(second.session), Some(&second.jid));
        // What is said to the focus reaches the new session.
        world.send(
            &alice,
            &format!("<iq type='get' id='x' to='{ROOM}/focus'><query xmlns='urn:x'/></iq>"),
        );
        let got = world.take(&second);
        assert!(got.iter().any(|s| s.attr("id") == Some("x")));
    }
}

#[test]
fn a_focus_that_does_not_come_back_into_a_room_leaves_it() {
    let mut world = World::new();
    world.focus();
    let alice = world.participant();
    world.clear();
    let _second = again(&mut world);
    world.pass(Duration::from_secs(10));
    assert_eq!(unavailable(&mut world, &alice), 0);
    world.pass(Duration::from_secs(10));
    assert_eq!(unavailable(&mut world, &alice), 1);
}

#[test]
fn a_conference_request_goes_over_to_the_new_session() {
    let mut world = World::new();
    let first = world.focus();
    let alice = world.guest();
    world.send(&alice, REQUEST);
    hibernate(&mut world, &first);
    let second = again(&mut world);
    world.send(&second, "<presence/>");
    let got = world.take(&second);
    assert!(got.iter().any(|s| s.attr("id") == Some("r1")));
    assert!(world.look(&alice).is_empty());
}

#[test]
fn what_the_focus_was_asked_in_a_room_goes_over_with_its_place() {
    let mut world = World::new();
    let first = world.focus();
    let alice = world.participant();
    let ask = |id: &str| {
        format!("<iq type='set' id='{id}' to='{ROOM}/focus'><query xmlns='urn:x'/></iq>")
    };
    // One was delivered, one waits for the focus to be back, one comes when nobody is there.
    world.send(&alice, &ask("one"));
    hibernate(&mut world, &first);
    world.send(&alice, &ask("two"));
    world.clear();
    let second = again(&mut world);
    world.send(&alice, &ask("three"));
    assert!(world.look(&alice).is_empty());
    world.join(&second, ROOM);
    let got = world.take(&second);
    let asked = got.iter().filter(|s| s.has_child("query", "urn:x"));
    let asked: Vec<_> = asked.map(|s| (s.attr("from"), s.attr("id"))).collect();
    let from = alice.occupant(ROOM);
    let expected = ["one", "two", "three"].map(|id| (Some(from.as_str()), Some(id)));
    assert_eq!(asked, expected);
    let own = got
        .iter()
        .position(|s| s.attr("from") == Some(&format!("{ROOM}/focus")));
    let first_asked = got.iter().position(|s| s.name() == "iq");
    assert!(own < first_asked, "it is in the room before it is asked");
    world.clear();
    world.send(
        &second,
        &format!("<iq type='result' id='two' to='{from}'/>"),
    );
    assert_eq!(briefs(&world.take(&alice)), ["iq focus type=result"]);
}

#[test]
fn what_nobody_takes_over_is_refused() {
    let mut world = World::new();
    let first = world.focus();
    let alice = world.participant();
    hibernate(&mut world, &first);
    world.send(
        &alice,
        &format!("<iq type='set' id='x' to='{ROOM}/focus'><query xmlns='urn:x'/></iq>"),
    );
    world.send(
        &alice,
        "<iq type='get' id='y' to='focus.meet.example.com'><query xmlns='urn:x'/></iq>",
    );
    world.clear();
    again(&mut world);
    let refused = world.take(&alice);
    assert_eq!(refused.len(), 1, "the other may still be taken over");
    assert_eq!(refused[0].attr("id"), Some("y"));
    assert!(brief(&refused[0]).ends_with("cancel/service-unavailable"));
    world.pass(Duration::from_secs(16));
    let refused = world.take(&alice);
    assert!(
        refused
            .iter()
            .any(|s| s.attr("id") == Some("x") && s.attr("type") == Some("error"))
    );
}

#[test]
fn a_placeholder_cannot_be_resumed() {
    let mut world = World::new();
    let first = world.focus();
    world.participant();
    let id = world
        .server
        .enable_sm(world.now, first.session, true)
        .unwrap()
        .id
        .unwrap();
    again(&mut world);
    let connection = world.connection();
    let account = first.jid.to_bare();
    let resumed = world.server.resume(world.now, &account, connection, &id, 0);
    assert!(resumed.is_err());
}

/// What the room calls the place of the focus, as the focus has just been told.
fn place(world: &mut World, focus: &Client) -> String {
    let told = world.take(focus);
    let mut places = told.iter().filter_map(|s| s.get_child("place", ns::PLACE));
    places.next().unwrap().attr("id").unwrap().to_owned()
}

#[test]
fn a_place_has_the_same_name_until_the_focus_is_seen_to_leave() {
    let mut world = World::new();
    let join = |world: &mut World, focus: &mut Client| {
        focus.nick = "focus".to_owned();
        world.join(focus, ROOM);
        place(world, focus)
    };
    let mut first = again(&mut world);
    let before = join(&mut world, &mut first);
    let alice = world.participant();
    let mut second = again(&mut world);
    assert_eq!(join(&mut world, &mut second), before);
    let seen = world.look(&alice);
    assert!(seen.iter().all(|s| !s.has_child("place", ns::PLACE)));
    world.clear();
    let mut third = again(&mut world);
    world.pass(Duration::from_secs(30));
    assert_eq!(unavailable(&mut world, &alice), 1);
    assert_ne!(join(&mut world, &mut third), before);
}
