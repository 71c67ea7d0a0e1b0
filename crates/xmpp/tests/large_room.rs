//! A room of a thousand: a presence is serialised once, and joining serialises nothing of the others.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use kit::{ROOM, World};
use stanza::ns;

#[test]
fn a_presence_in_a_room_of_a_thousand_is_serialised_once() {
    let mut world = World::new();
    world.focus();
    let people: Vec<_> = (0..999).map(|_| world.participant()).collect();
    world.clear();
    let stats = world.server.stats();
    assert_eq!(stats.occupants, 999);

    let speaker = people[500].clone();
    let update = format!(
        "<presence to='{}'><SourceInfo>{{}}</SourceInfo></presence>",
        speaker.occupant(ROOM)
    );
    world.send(&speaker, &update);
    let after = world.server.stats();
    // Once for the others, once for the speaker itself, whose copy says that it is its own.
    assert_eq!(after.serialised - stats.serialised, 2);
    assert_eq!(after.sent - stats.sent, 1_000);
    assert!(people.iter().all(|client| world.take(client).len() == 1));

    let before = world.server.stats();
    world.send(
        &speaker,
        &format!(
            "<message type='groupchat' id='1' to='{ROOM}'><json-message xmlns='{}'/></message>",
            ns::JITMEET
        ),
    );
    assert_eq!(world.server.stats().serialised - before.serialised, 1);

    world.clear();
    let late = world.guest();
    let before = world.server.stats();
    world.join(&late, ROOM);
    let after = world.server.stats();
    // Its presence for the others and for itself, the metadata, the subject.
    assert_eq!(after.serialised - before.serialised, 4);
    assert_eq!(world.take(&late).len(), 1_003);

    let before = world.server.stats();
    world.server.close(world.now, late.session, late.connection);
    world.drain();
    assert_eq!(world.server.stats().serialised - before.serialised, 1);
    assert_eq!(world.server.stats().occupants, 999);
}

#[test]
fn copies_of_a_broadcast_share_their_body() {
    let mut world = World::new();
    world.focus();
    let people: Vec<_> = (0..3).map(|_| world.participant()).collect();
    let text = format!(
        "<presence xmlns='jabber:client' to='{}'/>",
        people[0].occupant(ROOM)
    );
    let presence = stanza::xml::parse(text, &stanza::xml::Limits::CLIENT).unwrap();
    world
        .server
        .handle_stanza(world.now, people[0].session, presence)
        .unwrap();
    let mut bodies = Vec::new();
    while let Some(output) = world.server.poll_output() {
        if let xmpp::Output::Send {
            stanza, session, ..
        } = output
            && session != people[0].session
        {
            bodies.push(stanza);
        }
    }
    assert_eq!(bodies.len(), 3);
    assert!(
        bodies
            .iter()
            .all(|copy| std::sync::Arc::ptr_eq(copy.shared_body(), bodies[0].shared_body()))
    );
    assert_ne!(bodies[0].to_vec(), bodies[1].to_vec());
}

#[test]
fn the_last_who_fits_into_a_room_is_told_of_everybody_and_stays() {
    // A fiftieth of everything.
    let mut world = World::with(|config| {
        config.limits.occupants /= 50;
        config.limits.unacked_stanzas /= 50;
    });
    world.focus();
    let most = world.server.config().limits.occupants;
    for _ in 0..most - 2 {
        world.participant();
    }
    let last = world.guest();
    world
        .server
        .enable_sm(world.now, last.session, true)
        .unwrap();
    world.join(&last, ROOM);
    assert_eq!(world.closed.get(&last.connection), None);
    // Everybody, itself, the metadata, the subject.
    assert_eq!(world.look(&last).len(), most - 1 + 3);
}
