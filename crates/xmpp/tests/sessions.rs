//! Sessions: identity, stream management, resumption, liveness, the address of the focus.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use std::time::Duration;

use kit::{Client, DOMAIN, ROOM, World, brief, briefs};
use stanza::{BareJid, ns};
use xmpp::{CloseReason, ConnectionId, Door, Login, Pace, ResumeError, WebQuery};

fn enable(world: &mut World, client: &Client) -> String {
    world
        .server
        .enable_sm(world.now, client.session, true)
        .unwrap()
        .id
        .unwrap()
}

/// The client loses its connection: nothing it is sent arrives, and the server learns of it.
fn lose(world: &mut World, client: &Client) {
    world.cut.push(client.connection);
    world
        .server
        .detach(world.now, client.session, client.connection);
    world.drain();
}

fn resume(
    world: &mut World,
    client: &Client,
    id: &str,
    h: u32,
) -> Result<(Client, u32), ResumeError> {
    let connection = world.connection();
    let resumed = world
        .server
        .resume(world.now, &client.jid.to_bare(), connection, id, h)?;
    world.drain();
    assert_eq!(
        (resumed.session, &resumed.jid),
        (client.session, &client.jid)
    );
    Ok((
        Client {
            connection,
            ..client.clone()
        },
        resumed.h,
    ))
}

#[test]
fn a_lost_connection_is_resumed_without_loss_or_repetition() {
    let mut world = World::with(|config| config.limits.probe_after = Duration::from_secs(3_600));
    world.focus();
    let bob = world.participant();
    let alice = world.guest();
    let id = enable(&mut world, &alice);
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    );
    world.join(&alice, ROOM);
    let before = world.take(&alice).len() as u32;
    world.clear();
    let say = |world: &mut World, n: u32| {
        world.send(
            &bob,
            &format!("<message type='groupchat' id='{n}' to='{ROOM}'><body>{n}</body></message>"),
        );
    };
    say(&mut world, 1);
    world.take(&alice);
    // The second never arrives, the third comes while nobody is there.
    world.cut.push(alice.connection);
    say(&mut world, 2);
    lose(&mut world, &alice);
    say(&mut world, 3);
    world.take(&bob);
    world.pass(Duration::from_secs(59));
    let (alice, handled) = resume(&mut world, &alice, &id, before + 1).unwrap();
    assert_eq!(handled, 1, "the join was handled");
    let ids: Vec<_> = world
        .take(&alice)
        .iter()
        .map(|s| s.attr("id").unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["2", "3"]);
    // Nobody saw it go, and it is still in the room.
    assert!(world.take(&bob).is_empty());
    say(&mut world, 4);
    assert_eq!(world.take(&alice).len(), 1);
    world
        .server
        .ack(world.now, alice.session, before + 4)
        .unwrap();
    lose(&mut world, &alice);
    let (alice, _) = resume(&mut world, &alice, &id, before + 4).unwrap();
    assert!(world.take(&alice).is_empty());
}

#[test]
fn a_session_may_move_before_its_old_connection_is_known_to_be_dead() {
    let mut world = World::new();
    world.focus();
    let alice = world.guest();
    let id = enable(&mut world, &alice);
    let (moved, _) = resume(&mut world, &alice, &id, 0).unwrap();
    assert_eq!(
        world.closed.get(&alice.connection),
        Some(&CloseReason::Conflict)
    );
    // The old connection's end no longer matters.
    world
        .server
        .detach(world.now, alice.session, alice.connection);
    world
        .server
        .close(world.now, alice.session, alice.connection);
    assert_eq!(world.server.jid(alice.session), Some(&moved.jid));
    world.join(&moved, ROOM);
    assert!(!world.take(&moved).is_empty());
}

#[test]
fn hibernation_ends() {
    let mut world = World::with(|config| config.limits.probe_after = Duration::from_secs(3_600));
    world.focus();
    let bob = world.participant();
    let alice = world.participant();
    let id = enable(&mut world, &alice);
    world.clear();
    lose(&mut world, &alice);
    assert_eq!(world.server.stats().hibernating, 1);
    world.pass(Duration::from_secs(59));
    assert!(
        world
            .take(&bob)
            .iter()
            .all(|stanza| stanza.name() != "presence")
    );
    world.pass(Duration::from_secs(1));
    let gone = format!("presence {} type=unavailable none/none", alice.nick);
    assert!(briefs(&world.take(&bob)).contains(&gone));
    assert_eq!(
        resume(&mut world, &alice, &id, 0).unwrap_err(),
        ResumeError::ItemNotFound
    );
}

#[test]
fn service_accounts_hibernate_shorter_and_bridges_not_at_all() {
    let mut world = World::new();
    let focus = world.account("focus", "focus");
    let enabled = world
        .server
        .enable_sm(world.now, focus.session, true)
        .unwrap();
    assert_eq!(enabled.max, Duration::from_secs(15));
    lose(&mut world, &focus);
    world.pass(Duration::from_secs(14));
    assert!(world.server.jid(focus.session).is_some());
    world.pass(Duration::from_secs(1));
    assert!(world.server.jid(focus.session).is_none());
    let bridge = world.account("jvb", "a");
    let enabled = world
        .server
        .enable_sm(world.now, bridge.session, true)
        .unwrap();
    assert_eq!(enabled.id, None);
    lose(&mut world, &bridge);
    assert!(world.server.jid(bridge.session).is_none());
}

#[test]
fn only_the_same_user_resumes() {
    let mut world = World::new();
    let alice = world.guest();
    let id = enable(&mut world, &alice);
    let mut mallory = alice.clone();
    mallory.jid = world.guest().jid;
    let connection = world.connection();
    let stolen = world
        .server
        .resume(world.now, &mallory.jid.to_bare(), connection, &id, 0);
    assert_eq!(stolen.unwrap_err(), ResumeError::ItemNotFound);
    // Whoever knows the id gets the user at login.
    let query = |previd: &str| WebQuery {
        previd: Some(previd.to_owned()),
        ..WebQuery::default()
    };
    assert_eq!(
        world.server.anonymous_user(DOMAIN, &query(&id)).unwrap(),
        alice.jid.to_bare()
    );
    assert_ne!(
        world
            .server
            .anonymous_user(DOMAIN, &query("guess"))
            .unwrap(),
        alice.jid.to_bare()
    );
    // Not so for accounts with a password.
    let focus = world.account("focus", "focus");
    let id = enable(&mut world, &focus);
    assert_ne!(
        world.server.anonymous_user(DOMAIN, &query(&id)).unwrap(),
        focus.jid.to_bare()
    );
}

#[test]
fn acknowledging_too_much_ends_the_session() {
    let mut world = World::new();
    let alice = world.guest();
    let id = enable(&mut world, &alice);
    world.server.ack(world.now, alice.session, 1).unwrap();
    world.drain();
    assert_eq!(
        world.closed.get(&alice.connection),
        Some(&CloseReason::AckTooHigh)
    );
    assert!(world.server.ack(world.now, alice.session, 1).is_err());
    assert_eq!(
        resume(&mut world, &alice, &id, 0).unwrap_err(),
        ResumeError::ItemNotFound
    );
}

#[test]
fn counters_are_told_in_order_and_asked_for() {
    let mut world = World::with(|config| config.limits.ack_request_every = 5);
    let alice = world.guest();
    world.ask(
        &alice,
        "<iq type='get' id='0' to='meet.example.com'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    enable(&mut world, &alice);
    for n in 1..=6 {
        let ping =
            format!("<iq type='get' id='{n}' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>");
        world.ask(&alice, &ping);
    }
    world
        .server
        .ack_requested(world.now, alice.session)
        .unwrap();
    world.drain();
    assert_eq!(world.acks.get(&alice.connection), Some(&vec![6]));
    assert_eq!(world.ack_requests.get(&alice.connection), Some(&1));
    world.server.ack(world.now, alice.session, 6).unwrap();
    for n in 7..=11 {
        let ping =
            format!("<iq type='get' id='{n}' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>");
        world.ask(&alice, &ping);
    }
    assert_eq!(world.ack_requests.get(&alice.connection), Some(&2));
}

#[test]
fn clients_are_asked_seldom_and_services_often() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.participant();
    enable(&mut world, &focus);
    enable(&mut world, &alice);
    world.clear();
    let bob = world.participant();
    let say = |world: &mut World, many: usize| {
        for _ in 0..many {
            let text = format!("<message type='groupchat' to='{ROOM}'><body>x</body></message>");
            world.send(&bob, &text);
        }
    };
    // With Bob's presence they got five, then 25.
    say(&mut world, 4);
    assert_eq!(world.ack_requests.get(&focus.connection), Some(&1));
    assert_eq!(world.ack_requests.get(&alice.connection), None);
    say(&mut world, 20);
    assert_eq!(world.ack_requests.get(&alice.connection), Some(&1));
}

#[test]
fn a_peer_that_does_not_read_is_dropped() {
    let mut world = World::with(|config| config.limits.unacked_stanzas = 10);
    world.focus();
    let bob = world.participant();
    let alice = world.participant();
    enable(&mut world, &alice);
    world.clear();
    for n in 0..11 {
        world.send(
            &bob,
            &format!("<message type='groupchat' id='{n}' to='{ROOM}'><body>x</body></message>"),
        );
    }
    assert_eq!(
        world.closed.get(&alice.connection),
        Some(&CloseReason::ResourceConstraint)
    );
    let gone = format!("presence {} type=unavailable none/none", alice.nick);
    assert!(briefs(&world.take(&bob)).contains(&gone));
}

#[test]
fn a_silent_connection_is_probed_and_given_up() {
    let mut world = World::new();
    let alice = world.guest();
    enable(&mut world, &alice);
    let bob = world.guest();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.ack_requests.get(&alice.connection), Some(&1));
    let ping = world.take(&bob);
    assert!(ping[0].has_child("ping", ns::PING));
    // Bob answers, with an error as browsers do.
    let id = ping[0].attr("id").unwrap().to_owned();
    world.send(&bob, &format!("<iq type='error' id='{id}' to='{DOMAIN}'/>"));
    world.pass(Duration::from_secs(15));
    assert_eq!(
        world.closed.get(&alice.connection),
        Some(&CloseReason::ConnectionTimeout)
    );
    assert!(world.server.jid(alice.session).is_some(), "hibernates");
    assert_eq!(world.closed.get(&bob.connection), None);
}

#[test]
fn binding_a_taken_resource_ends_the_old_session() {
    let mut world = World::new();
    let old = world.account("jvb", "one");
    // Of a bridge, once it has fallen silent: as long as it is well it keeps its place.
    world.pass(Duration::from_secs(13));
    let new = world.account("jvb", "one");
    assert_eq!(old.jid, new.jid);
    assert_eq!(
        world.closed.get(&old.connection),
        Some(&CloseReason::Conflict)
    );
    assert!(world.server.jid(old.session).is_none());
    let user = BareJid::new("jvb@auth.meet.example.com").unwrap();
    let login = Login {
        user,
        resource: Some(String::new()),
        connection: ConnectionId(99),
        query: WebQuery::default(),
    };
    assert_eq!(
        world.server.bind(world.now, login).unwrap_err(),
        xmpp::BindError::BadResource
    );
}

#[test]
fn endpoint_ids_of_guests_differ() {
    let mut world = World::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let guest = world.guest();
        assert!(guest.nick.len() == 8 && guest.nick.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(seen.insert(guest.nick));
    }
}

#[test]
fn accounts_have_their_derived_passwords() {
    let world = World::with(|config| {
        config.accounts.push(xmpp::Account {
            jid: "jibri@auth.meet.example.com".to_owned(),
            password: "p".to_owned(),
            admin: false,
        });
    });
    let check = |name: &str, password: &str| {
        let jid = BareJid::new(&format!("{name}@auth.{DOMAIN}")).unwrap();
        world
            .server
            .credentials(&jid, Door::Process)
            .is_some_and(|credentials| credentials.verify_plain(password))
    };
    assert!(check(
        "focus",
        &xmpp::auth::derive_password(b"cluster secret", "focus")
    ));
    assert!(check(
        "jvb",
        &xmpp::auth::derive_password(b"cluster secret", "jvb")
    ));
    assert!(!check(
        "focus",
        &xmpp::auth::derive_password(b"cluster secret", "jvb")
    ));
    assert!(check("jibri", "p") && !check("nobody", "p"));
    assert_eq!(world.server.login_host("MEET.example.com"), Some(true));
    assert_eq!(
        world.server.login_host("auth.meet.example.com"),
        Some(false)
    );
    assert_eq!(world.server.login_host("conference.meet.example.com"), None);
}

const REQUEST: &str = "<iq type='set' id='r1' to='focus.meet.example.com'>\
    <conference xmlns='http://jitsi.org/protocol/focus' room='standup@conference.meet.example.com'/></iq>";

#[test]
fn the_focus_is_asked_through_its_address() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.guest();
    world.send(&alice, REQUEST);
    let seen = world.take(&focus);
    let from = format!("focus.meet.example.com/{}", alice.jid);
    assert_eq!(
        (seen[0].attr("from"), seen[0].attr("to")),
        (Some(from.as_str()), Some(focus.jid.as_str()))
    );
    let answer = format!(
        "<iq type='result' id='r1' to='{from}'><conference xmlns='http://jitsi.org/protocol/focus' ready='true'/></iq>"
    );
    world.send(&focus, &answer);
    let seen = world.take(&alice);
    assert_eq!(briefs(&seen), ["iq focus.meet.example.com type=result"]);
    assert!(seen[0].has_child("conference", ns::FOCUS));
    world.send(
        &alice,
        "<message to='focus.meet.example.com'><body>hi</body></message>",
    );
    assert!(brief(&world.take(&alice)[0]).ends_with("cancel/feature-not-implemented"));
}

#[test]
fn a_conference_request_outlives_the_focus_it_was_given_to() {
    let mut world = World::new();
    let first = world.focus();
    let alice = world.guest();
    world.send(&alice, REQUEST);
    world
        .server
        .close(world.now, first.session, first.connection);
    world.drain();
    assert!(world.take(&alice).is_empty());
    let second = world.focus();
    // It arrived with the focus's first words; the kit has thrown it away with the rest of that inbox.
    let from = format!("focus.meet.example.com/{}", alice.jid);
    world.send(&second, &format!("<iq type='result' id='r1' to='{from}'/>"));
    assert_eq!(
        briefs(&world.take(&alice)),
        ["iq focus.meet.example.com type=result"]
    );
    // Without any focus it is refused in the end; other requests are at once.
    world
        .server
        .close(world.now, second.session, second.connection);
    world.send(&alice, REQUEST);
    world.pass(Duration::from_secs(20));
    assert!(
        briefs(&world.take(&alice)).contains(
            &"iq focus.meet.example.com type=error cancel/service-unavailable".to_owned()
        )
    );
    let other = "<iq type='get' id='o' to='focus.meet.example.com'><query xmlns='urn:x'/></iq>";
    assert!(brief(&world.ask(&alice, other)).ends_with("cancel/service-unavailable"));
}

#[test]
fn a_fast_client_is_read_slowly() {
    let mut world = World::with(|config| {
        config.limits.rate = xmpp::Rates {
            presence: 1,
            message: 1,
            iq: 1,
            burst_seconds: 2,
        };
    });
    let focus = world.focus();
    let alice = world.guest();
    let ping = "<iq type='get' id='p' to='meet.example.com'><ping xmlns='urn:xmpp:ping'/></iq>";
    assert_eq!(world.send(&alice, ping), Pace::Now);
    assert_eq!(world.send(&alice, ping), Pace::Now);
    assert_eq!(
        world.send(&alice, ping),
        Pace::NotBefore(world.now + Duration::from_secs(1))
    );
    assert_eq!(world.take(&alice).len(), 3, "nothing is dropped");
    for _ in 0..10 {
        assert_eq!(world.send(&focus, ping), Pace::Now);
    }
}

#[test]
fn shutting_down_closes_every_stream() {
    let mut world = World::new();
    let (alice, bob) = (world.guest(), world.guest());
    enable(&mut world, &bob);
    lose(&mut world, &bob);
    world.server.shutdown(world.now);
    world.drain();
    assert_eq!(
        world.closed.get(&alice.connection),
        Some(&CloseReason::SystemShutdown)
    );
    assert_eq!(world.server.stats().sessions, 0);
}
