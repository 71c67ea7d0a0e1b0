//! Group chat, private messages, history, the subject, IQs between occupants.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use kit::{Client, ROOM, World, brief, briefs};
use stanza::{ElementExt as _, ns};

fn say(world: &mut World, client: &Client, inner: &str) {
    world.send(
        client,
        &format!("<message type='groupchat' id='m1' to='{ROOM}'>{inner}</message>"),
    );
}

#[test]
fn group_chat_comes_back_with_its_id() {
    let mut world = World::new();
    world.focus();
    let (alice, bob) = (world.participant(), world.participant());
    world.clear();
    say(
        &mut world,
        &alice,
        "<body>hello</body><nick xmlns='http://jabber.org/protocol/nick'>spoof</nick><other xmlns='o'/>",
    );
    for client in [&alice, &bob] {
        let seen = world.take(client);
        assert_eq!(
            briefs(&seen),
            [format!(
                "message {} type=groupchat body=\"hello\"",
                alice.nick
            )]
        );
        assert_eq!(seen[0].attr("id"), Some("m1"));
        assert!(!seen[0].has_child("nick", ns::NICK) && seen[0].has_child("other", "o"));
    }
    // Without an id all get the same new one.
    world.send(
        &alice,
        &format!("<message type='groupchat' to='{ROOM}'><body>2</body></message>"),
    );
    let (a, b) = (world.take(&alice), world.take(&bob));
    assert!(a[0].attr("id").is_some_and(|id| id.len() == 36));
    assert_eq!(a[0].attr("id"), b[0].attr("id"));
}

#[test]
fn json_messages_reactions_and_retractions_pass_unchanged() {
    let mut world = World::new();
    world.focus();
    let (alice, bob) = (world.participant(), world.participant());
    world.clear();
    let payload = "<json-message xmlns='http://jitsi.org/jitmeet'>{\"type\":\"x\",\"a\":\"%20\"}</json-message>\
                   <reactions xmlns='urn:xmpp:reactions:0' id='m0'><reaction>👍</reaction><store xmlns='urn:xmpp:hints'/></reactions>";
    say(&mut world, &alice, payload);
    let seen = world.take(&bob);
    assert_eq!(
        seen[0].child_text("json-message", ns::JITMEET).as_deref(),
        Some("{\"type\":\"x\",\"a\":\"%20\"}")
    );
    let reactions = seen[0].get_child("reactions", ns::REACTIONS).unwrap();
    assert!(reactions.has_child("store", ns::HINTS));
}

#[test]
fn late_joiners_get_the_past_with_its_time_and_names() {
    let mut world = World::new();
    world.focus();
    let alice = world.participant();
    for n in 0..25 {
        say(&mut world, &alice, &format!("<body>{n}</body>"));
    }
    say(
        &mut world,
        &alice,
        "<json-message xmlns='http://jitsi.org/jitmeet'>{}</json-message>",
    );
    world.send(
        &alice,
        &format!(
            "<presence type='unavailable' to='{}'/>",
            alice.occupant(ROOM)
        ),
    );
    let bob = world.guest();
    world.join(&bob, ROOM);
    let past: Vec<_> = world
        .take(&bob)
        .into_iter()
        .filter(|s| s.has_child("delay", ns::DELAY))
        .collect();
    let bodies: Vec<_> = past
        .iter()
        .filter_map(|s| s.child_text("body", ns::CLIENT))
        .collect();
    assert_eq!(bodies, (5..25).map(|n| n.to_string()).collect::<Vec<_>>());
    let delay = past[0].get_child("delay", ns::DELAY).unwrap();
    assert_eq!(delay.attr("stamp"), Some("2026-08-20T08:00:00Z"));
    let name = past[0].child_text("display-name", ns::DISPLAY_NAME);
    assert_eq!(name, Some(format!("name of {}", alice.nick)));
    let carol = world.guest();
    let join = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='2'/></x>";
    world.send(
        &carol,
        &format!("<presence to='{}'>{join}</presence>", carol.occupant(ROOM)),
    );
    let bodies = world
        .take(&carol)
        .iter()
        .filter_map(|s| s.child_text("body", ns::CLIENT))
        .collect::<Vec<_>>();
    assert_eq!(bodies, ["23", "24"]);
}

#[test]
fn the_subject_is_the_moderators() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.participant();
    world.clear();
    say(&mut world, &bob, "<subject>mine</subject>");
    assert_eq!(
        briefs(&world.take(&bob)),
        [format!("message {ROOM} type=error auth/forbidden")]
    );
    say(&mut world, &alice, "<subject>topic</subject>");
    assert_eq!(
        briefs(&world.take(&bob)),
        [format!(
            "message {} type=groupchat subject=\"topic\"",
            alice.nick
        )]
    );
    let carol = world.guest();
    world.join(&carol, ROOM);
    let seen = world.take(&carol);
    assert_eq!(
        brief(seen.last().unwrap()),
        format!("message {} type=groupchat subject=\"topic\"", alice.nick)
    );
}

#[test]
fn private_messages_reach_one_person() {
    let mut world = World::new();
    world.focus();
    let (alice, bob) = (world.participant(), world.participant());
    world.clear();
    let to = bob.occupant(ROOM);
    world.send(
        &alice,
        &format!(
            "<message type='chat' id='p' to='{to}'><body>psst</body><reply to='m0'/></message>"
        ),
    );
    let seen = world.take(&bob);
    assert_eq!(
        briefs(&seen),
        [format!("message {} type=chat body=\"psst\"", alice.nick)]
    );
    assert_eq!(
        seen[0]
            .get_child("reply", ns::REPLY)
            .and_then(|reply| reply.attr("to")),
        Some("m0")
    );
    assert!(world.take(&alice).is_empty());
    for (to, error) in [
        (format!("{ROOM}/nobody"), "cancel/item-not-found"),
        (ROOM.to_owned(), "modify/bad-request"),
        (bob.jid.to_string(), "cancel/not-allowed"),
        (
            "nobody@elsewhere.org".to_owned(),
            "cancel/remote-server-not-found",
        ),
    ] {
        world.send(
            &alice,
            &format!("<message type='chat' id='p' to='{to}'><body>x</body></message>"),
        );
        let seen = world.take(&alice);
        assert!(
            brief(&seen[0]).ends_with(error),
            "{to}: {}",
            brief(&seen[0])
        );
    }
}

#[test]
fn strangers_cannot_speak() {
    let mut world = World::new();
    world.focus();
    let alice = world.participant();
    let stranger = world.guest();
    world.clear();
    say(&mut world, &stranger, "<body>hi</body>");
    assert_eq!(
        briefs(&world.take(&stranger)),
        [format!("message {ROOM} type=error modify/not-acceptable")]
    );
    assert!(world.take(&alice).is_empty());
}

#[test]
fn requests_between_occupants_keep_their_id_and_are_answered() {
    let mut world = World::new();
    world.focus();
    let (alice, bob) = (world.participant(), world.participant());
    world.clear();
    let (a, b) = (alice.occupant(ROOM), bob.occupant(ROOM));
    world.send(
        &alice,
        &format!("<iq type='set' id='j:1' to='{b}'><jingle xmlns='urn:xmpp:jingle:1'/></iq>"),
    );
    let seen = world.take(&bob);
    assert_eq!(
        (seen[0].attr("from"), seen[0].attr("id")),
        (Some(a.as_str()), Some("j:1"))
    );
    assert_eq!(seen[0].attr("to"), Some(bob.jid.as_str()));
    world.send(&bob, &format!("<iq type='result' id='j:1' to='{a}'/>"));
    let seen = world.take(&alice);
    assert_eq!(
        (seen[0].attr("from"), seen[0].attr("id")),
        (Some(b.as_str()), Some("j:1"))
    );
    // An answer nobody asked for goes nowhere, nor does a second one.
    world.send(&bob, &format!("<iq type='result' id='j:1' to='{a}'/>"));
    world.send(&bob, &format!("<iq type='result' id='other' to='{a}'/>"));
    assert!(world.take(&alice).is_empty());
    // Who asks somebody that is gone, or goes, hears of it.
    let query = format!("<iq type='get' id='q' to='{b}'><query xmlns='urn:x'/></iq>");
    world.send(&alice, &query);
    world.server.close(world.now, bob.session, bob.connection);
    world.drain();
    let seen = briefs(&world.take(&alice));
    assert!(
        seen.contains(&format!(
            "iq {} type=error cancel/service-unavailable",
            bob.nick
        )),
        "{seen:?}"
    );
    assert_eq!(
        brief(&world.ask(&alice, &query)),
        format!("iq {} type=error cancel/item-not-found", bob.nick)
    );
    let ping = format!("<iq type='get' id='p' to='{a}'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(
        brief(&world.ask(&alice, &ping)),
        format!("iq {} type=result", alice.nick)
    );
}
