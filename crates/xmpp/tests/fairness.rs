//! Nobody gets more than a share: queues of services, what is kept for clients, guesses, knocks.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use kit::{Client, DOMAIN, ROOM, World, brief, briefs};
use proptest::prelude::*;
use stanza::{Element, ElementExt as _, ns};
use xmpp::{Pace, WebQuery};

/// A focus that acknowledges nothing by itself.
fn slow_focus(world: &mut World) -> Client {
    let focus = world.focus();
    world
        .server
        .enable_sm(world.now, focus.session, true)
        .unwrap();
    focus
}

fn ping(id: &str) -> String {
    format!("<iq type='get' id='{id}' to='focus.{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>")
}

fn request(id: &str) -> String {
    let payload = format!("<conference xmlns='{}' room='{ROOM}'/>", ns::FOCUS);
    format!("<iq type='set' id='{id}' to='focus.{DOMAIN}'>{payload}</iq>")
}

/// Every error in `seen` must be one that says: later.
fn refused(seen: &[Element]) -> usize {
    let errors: Vec<&Element> = seen
        .iter()
        .filter(|stanza| stanza.attr("type") == Some("error"))
        .collect();
    for error in &errors {
        let line = brief(error);
        assert!(line.ends_with("wait/resource-constraint"), "{line}");
    }
    errors.len()
}

fn burst(clients: usize, each: usize, stanza: fn(&str) -> String) {
    let mut world = World::new();
    let focus = slow_focus(&mut world);
    let noisy: Vec<Client> = (0..clients).map(|_| world.guest()).collect();
    for n in 0..each {
        for client in &noisy {
            world.send(client, &stanza(&format!("n{n}")));
        }
    }
    assert_eq!(world.closed.get(&focus.connection), None, "cut off");
    let taken = world.take(&focus).len();
    let answers: usize = noisy
        .iter()
        .map(|client| refused(&world.take(client)))
        .sum();
    assert_eq!(
        taken + answers,
        clients * each,
        "each is delivered or refused"
    );
    // Somebody quiet is heard at once, behind no more than the others' shares.
    assert!(taken < 500, "{taken}");
    let quiet = world.guest();
    world.send(&quiet, &stanza("quiet"));
    assert_eq!(world.take(&focus).len(), 1);
    // When the focus has caught up, everybody may go on.
    world
        .server
        .ack(world.now, focus.session, u32::try_from(taken + 1).unwrap())
        .unwrap();
    for client in &noisy {
        world.send(client, &stanza("later"));
    }
    assert_eq!(world.take(&focus).len(), clients);
}

#[test]
fn a_burst_of_pings_does_not_cut_the_focus_off() {
    burst(8, 400, ping);
}

#[test]
fn a_burst_of_conference_requests_does_not_cut_the_focus_off() {
    burst(6, 400, request);
}

#[test]
fn a_burst_in_a_room_slows_its_senders_and_does_not_cut_the_focus_off() {
    let mut world = World::with(|config| config.limits.unacked_stanzas = 2_000);
    let focus = slow_focus(&mut world);
    let people: Vec<Client> = (0..30).map(|_| world.participant()).collect();
    world.clear();
    let mut slowed = 0;
    for _ in 0..100 {
        for client in &people {
            let to = client.occupant(ROOM);
            let pace = world.send(client, &format!("<presence to='{to}'/>"));
            slowed += usize::from(pace != Pace::Now);
        }
    }
    assert_eq!(world.closed.get(&focus.connection), None, "cut off");
    assert!(
        slowed >= 30 * (100 - 40),
        "beyond its share, each is told to wait: {slowed}"
    );
    let quiet = world.guest();
    world.join(&quiet, ROOM);
    assert!(
        briefs(&world.take(&quiet))
            .iter()
            .any(|line| line.contains("110")),
        "others still get in"
    );
    for client in &people {
        world
            .server
            .close(world.now, client.session, client.connection);
    }
    world.drain();
    let gone = world.take(&focus);
    let gone = gone
        .iter()
        .filter(|s| s.attr("type") == Some("unavailable"));
    assert_eq!(gone.count(), 30, "leaving is never refused");
}

#[test]
fn unanswered_requests_have_a_size_and_an_end() {
    let mut world = World::new();
    let focus = world.focus();
    let mut waiting = Vec::new();
    for n in 0..12 {
        let client = world.guest();
        let id = "x".repeat(200_000);
        for m in 0..5 {
            world.send(&client, &ping(&format!("{m}{id}")));
        }
        assert_eq!(refused(&world.take(&client)), 5, "one id alone is too much");
        for m in 0..400 {
            world.send(&client, &ping(&format!("{n}-{m}-{}", "y".repeat(1_000))));
        }
        let refused = refused(&world.take(&client));
        assert!(refused > 0, "a client has a share");
        waiting.push((client, 400 - refused));
    }
    let most = world.server.config().limits.kept_bytes as u64;
    let kept = world.server.stats().kept_bytes;
    assert!(kept > 0 && kept <= most, "{kept}");
    assert!(
        kept <= 12 * world.server.config().limits.kept_bytes_per_session as u64,
        "{kept}"
    );
    world.clear();
    // Liveness would end the sessions first.
    let wait = world.server.config().limits.answer_wait;
    let end = world.now + wait;
    while world.now < end {
        for client in waiting.iter().map(|(client, _)| client).chain([&focus]) {
            world.server.heard(world.now, client.session);
        }
        world.pass(Duration::from_secs(10));
    }
    for (client, open) in &waiting {
        let seen = world.take(client);
        let late = seen
            .iter()
            .filter(|stanza| brief(stanza).ends_with("wait/remote-server-timeout"));
        assert_eq!(late.count(), *open, "each open request got its error");
    }
    assert_eq!(world.server.stats().kept_bytes, 0);
}

#[test]
fn a_request_that_no_focus_survives_is_not_asked_for_ever() {
    let mut world = World::new();
    let client = world.guest();
    world.send(&client, &request("poison"));
    let mut met = 0;
    for _ in 0..6 {
        let focus = world.account("focus", "focus");
        world.send(&focus, "<presence/>");
        let seen = world.take(&focus);
        met += seen
            .iter()
            .filter(|s| s.attr("id") == Some("poison"))
            .count();
        world
            .server
            .close(world.now, focus.session, focus.connection);
        world.drain();
    }
    assert_eq!(met, 3);
    assert_eq!(
        briefs(&world.take(&client)),
        [format!(
            "iq focus.{DOMAIN} type=error cancel/service-unavailable"
        )]
    );
    assert_eq!(world.server.stats().kept_bytes, 0);
}

#[test]
fn requests_held_while_there_is_no_focus_are_bounded_in_bytes() {
    let mut world = World::new();
    for _ in 0..20 {
        let client = world.guest();
        for n in 0..40 {
            let fat = format!("<property name='p' value='{}'/>", "z".repeat(100_000));
            world.send(
                &client,
                &request(&format!("h{n}")).replace("/></iq>", &format!(">{fat}</conference></iq>")),
            );
        }
        assert_eq!(refused(&world.take(&client)), 39);
    }
    let kept = world.server.stats().kept_bytes;
    assert!(kept <= 20 * 128 * 1024, "{kept}");
    world.pass(Duration::from_secs(21));
    assert_eq!(world.server.stats().kept_bytes, 0);
}

fn protect(world: &mut World, moderator: &Client) {
    let field = |var: &str, value: &str| {
        format!("<field var='muc#roomconfig_{var}'><value>{value}</value></field>")
    };
    let form = format!(
        "<iq type='set' id='c' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>{}{}</x></query></iq>",
        ns::MUC_OWNER,
        field("roomsecret", "pw"),
        field("passwordprotectedroom", "1"),
    );
    assert_eq!(world.ask(moderator, &form).attr("type"), Some("result"));
    world.clear();
}

fn from(world: &mut World, address: &str) -> Client {
    world.guest_with(WebQuery {
        room: Some("standup".to_owned()),
        address: Some(address.parse::<IpAddr>().unwrap().into()),
        ..WebQuery::default()
    })
}

fn try_password(world: &mut World, client: &Client, password: &str) -> String {
    let to = client.occupant(ROOM);
    let x = format!("<x xmlns='{}'><password>{password}</password></x>", ns::MUC);
    world.send(client, &format!("<presence to='{to}'>{x}</presence>"));
    let seen = world.take(client);
    let error = seen.iter().find(|s| s.attr("type") == Some("error"));
    error.map_or_else(
        || "in".to_owned(),
        |error| {
            stanza::error::StanzaError::from_stanza(error)
                .unwrap()
                .condition
                .to_string()
        },
    )
}

#[test]
fn guessing_a_password_is_slow_and_locks_nobody_else_out() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    protect(&mut world, &alice);
    // Each guess from a fresh login of the same household.
    let mut looked_at = 0;
    let start = world.now;
    for n in 0..200 {
        let mallory = from(&mut world, &format!("2001:db8:0:1::{n:x}"));
        match try_password(&mut world, &mallory, &format!("guess{n}")).as_str() {
            "not-authorized" => looked_at += 1,
            "resource-constraint" => {}
            other => panic!("{other}"),
        }
        world
            .server
            .close(world.now, mallory.session, mallory.connection);
        world.pass(Duration::from_secs(1));
        for client in [&focus, &alice] {
            world.server.heard(world.now, client.session);
        }
    }
    assert_eq!(world.now - start, Duration::from_secs(200));
    assert!(looked_at <= 20 + 200 / 30 + 1, "{looked_at}");
    // Not even the right one is looked at there; elsewhere everybody comes in.
    let mallory = from(&mut world, "2001:db8:0:1::1");
    assert_eq!(
        try_password(&mut world, &mallory, "pw"),
        "resource-constraint"
    );
    let bob = from(&mut world, "2001:db8:0:2::1");
    assert_eq!(try_password(&mut world, &bob, "pw"), "in");
    assert!(world.server.stats().guesses_refused > 0);
    world.pass(Duration::from_secs(31));
    assert_eq!(try_password(&mut world, &mallory, "pw"), "in");
}

#[test]
fn guessing_from_many_addresses_leaves_each_one_guess() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    protect(&mut world, &alice);
    let mut looked_at = 0;
    for n in 0..300 {
        for _ in 0..3 {
            let mallory = from(&mut world, &format!("10.1.{}.{}", n / 100, n % 100));
            let answer = try_password(&mut world, &mallory, "guess");
            looked_at += usize::from(answer == "not-authorized");
            world
                .server
                .close(world.now, mallory.session, mallory.connection);
        }
    }
    assert!(looked_at <= 100 + 300, "{looked_at}");
    let bob = from(&mut world, "192.0.2.9");
    assert_eq!(try_password(&mut world, &bob, "pw"), "in");
}

#[test]
fn a_school_behind_one_address_may_mistype() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    protect(&mut world, &alice);
    for n in 0..500 {
        let pupil = from(&mut world, "192.0.2.1");
        if n % 5 == 0 {
            assert_eq!(
                try_password(&mut world, &pupil, "pv"),
                "not-authorized",
                "{n}"
            );
        }
        assert_eq!(try_password(&mut world, &pupil, "pw"), "in", "{n}");
    }
}

#[test]
fn a_knock_is_a_name_and_no_more() {
    const LOBBY: &str = "standup@lobby.meet.example.com";
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    world.ask(
        &alice,
        &format!(
            "<iq type='set' id='m' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>\
             <field var='muc#roomconfig_membersonly'><value>1</value></field></x></query></iq>",
            ns::MUC_OWNER
        ),
    );
    world.join(&alice, LOBBY);
    world.clear();
    let knock = |nick: &str, more: &str| {
        format!(
            "<presence to='{LOBBY}/{nick}'><x xmlns='{}'/><nick xmlns='{}'>Bob</nick>{more}</presence>",
            ns::MUC,
            ns::NICK
        )
    };
    let bob = world.guest();
    for (nick, more, error) in [
        ("a b", String::new(), "cancel/not-allowed"),
        ("focus", String::new(), "cancel/not-allowed"),
        (
            &*bob.nick,
            format!("<email>{}</email>", "x".repeat(200_000)),
            "modify/policy-violation",
        ),
    ] {
        world.send(&bob, &knock(nick, &more));
        let seen = briefs(&world.take(&bob));
        assert!(seen.len() == 1 && seen[0].ends_with(error), "{seen:?}");
    }
    assert!(world.take(&alice).is_empty(), "moderators notice nothing");
    let more = "<email><b/>bob@example.com</email><permissions xmlns='http://jitsi.org/jitmeet'/><anything/>";
    world.send(&bob, &knock(&bob.nick, more));
    let seen = world.take(&alice);
    let names: Vec<&str> = seen[0].children().map(Element::name).collect();
    assert_eq!(names, ["nick", "email", "x"]);
    assert_eq!(
        seen[0].child_text("email", ns::CLIENT).as_deref(),
        Some("bob@example.com")
    );
    // Nor does anything of a farewell reach them.
    world.send(
        &bob,
        &format!(
            "<presence to='{LOBBY}/{}' type='unavailable'><status>{}</status></presence>",
            bob.nick,
            "x".repeat(100_000)
        ),
    );
    assert!(
        world.take(&alice)[0]
            .children()
            .all(|child| child.name() == "x")
    );
}

fn slowed(pace: Pace, now: Instant) -> Instant {
    match pace {
        Pace::Now => now,
        Pace::NotBefore(at) => at,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever noisy senders do, and however slowly the focus acknowledges, it is not cut off, and somebody who asks once
    /// in a while is delivered at once, each time.
    #[test]
    fn the_quiet_are_heard(
        noise in prop::collection::vec((0usize..12, 0usize..4, 1usize..60), 1..60),
        acked in 0usize..20,
    ) {
        let mut world = World::new();
        let focus = slow_focus(&mut world);
        let noisy: Vec<Client> = (0..12).map(|_| world.participant()).collect();
        let quiet = world.participant();
        world.clear();
        let mut ready = [world.now; 12];
        let (mut sent, mut acknowledged) = (0, 0);
        for (round, (who, what, times)) in noise.into_iter().enumerate() {
            let client = &noisy[who];
            for n in 0..times {
                if ready[who] > world.now {
                    break;
                }
                let id = format!("{round}-{n}");
                let text = match what {
                    0 => ping(&id),
                    1 => request(&id),
                    2 => format!("<presence to='{}'/>", client.occupant(ROOM)),
                    _ => format!("<message type='groupchat' to='{ROOM}'><body>{id}</body></message>"),
                };
                let pace = world.send(client, &text);
                ready[who] = slowed(pace, world.now);
            }
            sent += world.take(&focus).len();
            let id = format!("quiet{round}");
            world.send(&quiet, &ping(&id));
            let seen = world.take(&focus);
            // Its own share is used up only if the focus acknowledges nothing of it for 30 rounds.
            if acked > 0 || round < 30 {
                prop_assert_eq!(seen.last().and_then(|s| s.attr("id")), Some(&*id));
            }
            sent += seen.len();
            acknowledged = if acked > 0 { sent - (sent - acknowledged) / (acked + 1) } else { 0 };
            world.server.ack(world.now, focus.session, u32::try_from(acknowledged).unwrap()).unwrap();
            world.drain();
            world.pass(Duration::from_millis(100));
            prop_assert_eq!(world.closed.get(&focus.connection), None);
            world.server.heard(world.now, quiet.session);
        }
    }
}
