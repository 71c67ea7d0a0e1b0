//! What the hosts answer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use kit::{DOMAIN, World, brief};
use stanza::disco::Info;
use stanza::{ElementExt as _, Jid, ns};
use xmpp::{ExternalService, Login, ServiceCredentials, ServiceKind, Transport, WebQuery};

fn get(to: &str, payload: &str) -> String {
    let to = if to.is_empty() {
        String::new()
    } else {
        format!("to='{to}'")
    };
    format!("<iq type='get' id='q' {to}>{payload}</iq>")
}

fn turn(secret: &[u8]) -> ExternalService {
    ExternalService {
        kind: ServiceKind::Turns,
        host: "turn.example.com".to_owned(),
        port: 443,
        transport: Some(Transport::Tcp),
        credentials: ServiceCredentials::Ephemeral {
            secret: secret.to_vec(),
            ttl: std::time::Duration::from_secs(3600),
        },
    }
}

#[test]
fn every_request_is_answered() {
    let mut world = World::new();
    let alice = world.guest();
    let ok = "type=result";
    let no = "type=error cancel/service-unavailable";
    for (to, payload, answer) in [
        (DOMAIN, "<ping xmlns='urn:xmpp:ping'/>", ok),
        ("", "<ping xmlns='urn:xmpp:ping'/>", ok),
        ("", "<query xmlns='jabber:iq:roster'/>", ok),
        (DOMAIN, "<query xmlns='jabber:iq:version'/>", ok),
        (DOMAIN, "<time xmlns='urn:xmpp:time'/>", ok),
        (
            DOMAIN,
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            ok,
        ),
        (
            DOMAIN,
            "<query xmlns='http://jabber.org/protocol/disco#items'/>",
            ok,
        ),
        (DOMAIN, "<services xmlns='urn:xmpp:extdisco:2'/>", ok),
        (DOMAIN, "<services xmlns='urn:xmpp:extdisco:1'/>", ok),
        (DOMAIN, "<vCard xmlns='vcard-temp'/>", no),
        ("", "<vCard xmlns='vcard-temp'/>", no),
        (DOMAIN, "", "type=error modify/bad-request"),
        (
            "conference.meet.example.com",
            "<query xmlns='http://jabber.org/protocol/disco#items'/>",
            ok,
        ),
        (
            "conference.acme.meet.example.com",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            ok,
        ),
        (
            "lobby.meet.example.com",
            "<query xmlns='http://jabber.org/protocol/disco#info' node='lobbyrooms'/>",
            ok,
        ),
        (
            "avmoderation.meet.example.com",
            "<query xmlns='urn:x'/>",
            no,
        ),
        (
            "user@avmoderation.meet.example.com",
            "<query xmlns='urn:x'/>",
            "type=error cancel/item-not-found",
        ),
        (
            "elsewhere.org",
            "<query xmlns='urn:x'/>",
            "type=error cancel/remote-server-not-found",
        ),
        (
            "@",
            "<query xmlns='urn:x'/>",
            "type=error modify/jid-malformed",
        ),
        (
            "focus@auth.meet.example.com/focus",
            "<query xmlns='urn:x'/>",
            "type=error cancel/not-allowed",
        ),
        (
            "nobody@conference.meet.example.com",
            "<query xmlns='urn:x'/>",
            "type=error cancel/item-not-found",
        ),
        (
            "nobody@conference.meet.example.com/x",
            "<query xmlns='urn:x'/>",
            "type=error cancel/item-not-found",
        ),
        (
            "nobody@lobby.meet.example.com",
            "<query xmlns='urn:x'/>",
            "type=error cancel/item-not-found",
        ),
        ("focus.meet.example.com", "<query xmlns='urn:x'/>", no),
    ] {
        let reply = world.ask(&alice, &get(to, payload));
        assert!(
            brief(&reply).ends_with(answer),
            "{to} {payload}: {}",
            brief(&reply)
        );
        // The answer comes from exactly the address that was asked.
        assert_eq!(reply.attr("from").unwrap_or_default(), to);
        assert_eq!(reply.attr("to"), Some(alice.jid.as_str()));
    }
    let set = "<iq type='set' id='_session_auth_2'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
    assert!(brief(&world.ask(&alice, set)).ends_with(ok));
}

#[test]
fn requests_without_type_or_id_are_bad() {
    let mut world = World::new();
    let alice = world.guest();
    for iq in [
        "<iq id='x' to='meet.example.com'/>",
        "<iq type='get' to='meet.example.com'/>",
        "<iq type='odd' id='1'/>",
    ] {
        world.send(&alice, iq);
        assert!(
            brief(&world.take(&alice)[0]).ends_with("modify/bad-request"),
            "{iq}"
        );
    }
    // Answers to nothing are swallowed.
    world.send(&alice, "<iq type='result' id='1' to='meet.example.com'/>");
    world.send(
        &alice,
        "<iq type='error' id='1' to='nobody@conference.meet.example.com/x'/>",
    );
    world.send(&alice, "<presence to='meet.example.com' type='subscribe'/>");
    world.send(&alice, "<presence/>");
    assert!(world.take(&alice).is_empty());
}

#[test]
fn identities_carry_the_addresses_of_components() {
    let mut world = World::with(|config| config.deployment.shard = Some("s1".to_owned()));
    let alice = world.guest();
    let reply = world.ask(
        &alice,
        &get(
            DOMAIN,
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        ),
    );
    let info = Info::try_from(reply.payload().unwrap()).unwrap();
    let name = |kind: &str| {
        info.identities
            .iter()
            .find(|identity| identity.kind == kind)
            .and_then(|identity| identity.name.clone())
    };
    for (kind, host) in [
        ("speakerstats", "speakerstats.meet.example.com"),
        ("av_moderation", "avmoderation.meet.example.com"),
        ("end_conference", "endconference.meet.example.com"),
        ("lobbyrooms", "lobby.meet.example.com"),
        ("room_metadata", "metadata.meet.example.com"),
        ("polls", "polls.meet.example.com"),
        ("shard", "s1"),
    ] {
        assert_eq!(name(kind).as_deref(), Some(host));
    }
    // What does not exist is not told.
    assert_eq!(name("breakout_rooms"), None);
    assert!(info.has(ns::PING) && info.has(ns::EXTDISCO));
}

#[test]
fn turn_servers_are_told_in_both_places() {
    let mut world = World::with(|config| config.external_services.push(turn(b"secret")));
    world.focus();
    let alice = world.guest();
    let reply = world.ask(
        &alice,
        &get(DOMAIN, "<services xmlns='urn:xmpp:extdisco:2'/>"),
    );
    let service = reply.payload().unwrap().children().next().unwrap().clone();
    let attrs = [
        "type",
        "host",
        "port",
        "transport",
        "username",
        "restricted",
    ]
    .map(|name| service.attr(name));
    let expected = ["turns", "turn.example.com", "443", "tcp", "1787216400", "1"].map(Some);
    assert_eq!(attrs, expected);
    assert_eq!(service.attr("expires"), Some("2026-08-20T09:00:00Z"));
    // Clients that were greeted with the metadata component look there instead.
    world.join(&alice, kit::ROOM);
    let seen = world.take(&alice);
    let json = seen
        .iter()
        .find_map(|s| s.child_text("json-message", ns::JITMEET))
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let told = &json["metadata"]["services"][0];
    assert_eq!(told["password"].as_str(), service.attr("password"));
    assert_eq!(
        (told["type"].as_str(), told["port"].as_str()),
        (Some("turns"), Some("443"))
    );
}

#[test]
fn clients_are_greeted_and_services_are_not() {
    let mut world = World::with(|config| config.connection_push = true);
    let user = world
        .server
        .anonymous_user(DOMAIN, &WebQuery::default())
        .unwrap();
    let connection = world.connection();
    let login = Login {
        user,
        resource: None,
        connection,
        query: WebQuery::default(),
    };
    let bound = world.server.bind(world.now, login).unwrap();
    let greeting = bound.greeting.unwrap().to_vec();
    let greeting = stanza::xml::parse(&greeting, &stanza::xml::Limits::CLIENT).unwrap();
    assert_eq!(
        (greeting.attr("from"), greeting.attr("to")),
        (Some(DOMAIN), Some(bound.jid.as_str()))
    );
    let info = Info::try_from(greeting.get_child("query", ns::DISCO_INFO).unwrap()).unwrap();
    assert!(
        info.identities
            .iter()
            .any(|identity| identity.kind == "room_metadata")
    );
    let user = Jid::new("jvb@auth.meet.example.com").unwrap().to_bare();
    let connection = world.connection();
    let login = Login {
        user,
        resource: None,
        connection,
        query: WebQuery::default(),
    };
    assert!(
        world
            .server
            .bind(world.now, login)
            .unwrap()
            .greeting
            .is_none()
    );
}
