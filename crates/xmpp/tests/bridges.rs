//! Accounts of bridges: what they open, who can take them, and how they end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kit;

use std::time::Duration;

use kit::{Client, DOMAIN, ROOM, World, brief, briefs};
use stanza::{BareJid, ElementExt as _, ns};
use xmpp::auth::Credentials;
use xmpp::{BindError, CloseReason, Door, Login, WebQuery};

const BREWERY: &str = "jvbbrewery@internal.auth.meet.example.com";

fn sits(world: &mut World, account: &str, resource: &str, nick: &str) -> Client {
    let mut client = world.account(account, resource);
    client.nick = nick.to_owned();
    world.join(&client, BREWERY);
    client
}

#[test]
fn a_bridge_enters_the_brewery_and_no_meeting() {
    let mut world = World::new();
    world.set_bridges(&["alpha"], None);
    let focus = world.focus();
    let alice = world.moderator(&focus);
    world.send(
        &alice,
        &format!("<message type='groupchat' to='{ROOM}'><body>secret</body></message>"),
    );
    let bridge = sits(&mut world, "alpha", "alpha", "alpha");
    let seen = briefs(&world.take(&bridge));
    assert_eq!(seen[0], "presence alpha none/participant [100, 110]");
    for room in [
        ROOM,
        "standup@lobby.meet.example.com",
        "new@conference.meet.example.com",
        "__jicofo-health-check@conference.meet.example.com",
        "other@internal.auth.meet.example.com",
    ] {
        world.join(&bridge, room);
        let seen = world.take(&bridge);
        assert_eq!(seen.len(), 1, "{room}: {seen:?}");
        assert!(brief(&seen[0]).ends_with("auth/forbidden"), "{room}");
    }
    assert!(
        !briefs(&world.take(&alice))
            .iter()
            .any(|line| line.contains("alpha"))
    );
}

#[test]
fn a_bridge_speaks_with_the_server_and_the_focus_alone() {
    let mut world = World::with(|config| {
        config.external_services.push(xmpp::ExternalService {
            kind: xmpp::ServiceKind::Turn,
            host: "turn.example.com".to_owned(),
            port: 3478,
            transport: None,
            credentials: xmpp::ServiceCredentials::None,
        });
        config.accounts.push(xmpp::Account {
            jid: format!("recorder@auth.{DOMAIN}"),
            password: "secret of the recorder".to_owned(),
            admin: false,
        });
    });
    world.set_bridges(&["alpha", "beta"], None);
    let focus = sits(&mut world, "focus", "focus", "focus");
    let alpha = sits(&mut world, "alpha", "a", "alpha");
    let beta = sits(&mut world, "beta", "b", "beta");
    let recorder = sits(&mut world, "recorder", "r", "recorder");
    let guest = world.guest();
    world.clear();

    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    let allowed = [
        format!("<iq type='get' id='1'>{ping}</iq>"),
        format!("<iq type='get' id='2' to='{DOMAIN}'>{ping}</iq>"),
        format!(
            "<iq type='get' id='3' to='auth.{DOMAIN}'><query xmlns='{}'/></iq>",
            ns::DISCO_INFO
        ),
        format!("<iq type='get' id='4' to='{BREWERY}/alpha'>{ping}</iq>"),
    ];
    for text in &allowed {
        assert_eq!(
            world.ask(&alpha, text).attr("type"),
            Some("result"),
            "{text}"
        );
    }
    let conference = format!("<conference xmlns='{}' room='{ROOM}'/>", ns::FOCUS);
    let refused = [
        format!("<iq type='get' id='r' to='{BREWERY}/beta'>{ping}</iq>"),
        format!("<iq type='get' id='r' to='{BREWERY}/recorder'>{ping}</iq>"),
        format!("<iq type='get' id='r' to='{}'>{ping}</iq>", beta.jid),
        format!("<iq type='get' id='r' to='{}'>{ping}</iq>", focus.jid),
        format!("<iq type='get' id='r' to='{}'>{ping}</iq>", guest.jid),
        format!("<iq type='set' id='r' to='focus.{DOMAIN}'>{conference}</iq>"),
        format!(
            "<iq type='get' id='r' to='{DOMAIN}'><services xmlns='{}'/></iq>",
            ns::EXTDISCO
        ),
        format!(
            "<iq type='set' id='r' to='{BREWERY}'><query xmlns='{}'/></iq>",
            ns::MUC_OWNER
        ),
        format!("<message type='groupchat' id='r' to='{BREWERY}'><body>x</body></message>"),
        format!("<message type='chat' id='r' to='{BREWERY}/beta'><body>x</body></message>"),
        format!("<message id='r' to='polls.{DOMAIN}'><body>x</body></message>"),
        format!(
            "<message id='r' to='{}'><body>x</body></message>",
            guest.jid
        ),
    ];
    for text in &refused {
        world.send(&alpha, text);
        let seen = world.take(&alpha);
        assert_eq!(seen.len(), 1, "{text}: {seen:?}");
        assert!(
            brief(&seen[0]).ends_with("auth/forbidden"),
            "{text}: {seen:?}"
        );
    }
    for other in [&beta, &recorder, &guest, &focus] {
        assert_eq!(briefs(&world.take(other)), [""; 0]);
    }
    // Nor do others reach it; the focus does, and is answered.
    for to in [format!("{BREWERY}/alpha"), alpha.jid.to_string()] {
        world.send(
            &recorder,
            &format!("<iq type='get' id='x' to='{to}'>{ping}</iq>"),
        );
        world.send(
            &recorder,
            &format!("<message type='chat' to='{to}'><body>x</body></message>"),
        );
    }
    world.send(
        &recorder,
        &format!("<message type='groupchat' to='{BREWERY}'><body>x</body></message>"),
    );
    assert_eq!(briefs(&world.take(&alpha)), [""; 0]);
    world.send(
        &focus,
        &format!("<iq type='get' id='h' to='{BREWERY}/alpha'>{ping}</iq>"),
    );
    assert_eq!(briefs(&world.take(&alpha)), ["iq focus type=get"]);
    world.clear();
    world.send(
        &alpha,
        &format!("<iq type='result' id='h' to='{BREWERY}/focus'/>"),
    );
    assert_eq!(briefs(&world.take(&focus)), ["iq alpha type=result"]);
}

#[test]
fn nobody_takes_the_place_of_another_bridge() {
    let mut world = World::new();
    world.set_bridges(&["alpha", "beta"], None);
    let alpha = sits(&mut world, "alpha", "one", "alpha");
    world.clear();
    // The same resource is another address; the same nickname is taken.
    let beta = sits(&mut world, "beta", "one", "alpha");
    assert!(brief(&world.take(&beta)[0]).ends_with("cancel/conflict"));
    // Nor is the place of the focus, while it is away.
    let mut false_focus = beta.clone();
    false_focus.nick = "focus".to_owned();
    world.join(&false_focus, BREWERY);
    assert!(brief(&world.take(&beta)[0]).ends_with("cancel/not-allowed"));
    assert!(world.closed.is_empty());
    assert!(world.take(&alpha).is_empty());
    // A machine copied from the bridge does not take its place either, as long as the bridge is well.
    let copy = Login {
        user: alpha.jid.to_bare(),
        resource: Some("one".to_owned()),
        connection: world.connection(),
        query: WebQuery::default(),
    };
    let refused = world.server.bind(world.now, copy);
    assert_eq!(refused.unwrap_err(), BindError::InUse);
    assert!(world.closed.is_empty());
    // The bridge itself comes back in its own place, when it has fallen silent.
    world.pass(Duration::from_secs(13));
    let again = sits(&mut world, "alpha", "one", "alpha");
    assert_eq!(
        world.closed.get(&alpha.connection),
        Some(&CloseReason::Conflict)
    );
    assert!(world.server.jid(again.session).is_some());
}

#[test]
fn revoked_accounts_end_at_once_and_the_others_go_on() {
    let mut world = World::new();
    world.set_bridges(&["alpha", "beta"], None);
    let focus = sits(&mut world, "focus", "focus", "focus");
    let alpha = sits(&mut world, "alpha", "a", "alpha");
    let beta = sits(&mut world, "beta", "b", "beta");
    world.clear();
    world.set_bridges(&["beta"], None);
    assert_eq!(
        world.closed.get(&alpha.connection),
        Some(&CloseReason::Revoked)
    );
    assert_eq!(CloseReason::Revoked.condition(), "not-authorized");
    assert_eq!(
        briefs(&world.take(&focus)),
        ["presence alpha type=unavailable none/none"]
    );
    assert!(world.server.jid(beta.session).is_some());
    let user = |name: &str| BareJid::new(&format!("{name}@auth.{DOMAIN}")).unwrap();
    let known = |world: &World, name: &str| {
        world
            .server
            .credentials(&user(name), Door::Service)
            .is_some()
    };
    assert!(!known(&world, "alpha") && known(&world, "beta"));
    // The bridge of this process and the focus are no business of this list.
    world.set_bridges(&["jvb", "focus", "join", "Bad Name"], None);
    assert!(world.server.jid(focus.session).is_some());
    let derived = xmpp::auth::derive_password(b"cluster secret", "focus");
    let focus = world.server.credentials(&user("focus"), Door::Process);
    assert!(focus.unwrap().verify_plain(&derived));
    assert!(!known(&world, "join") && !known(&world, "beta"));
}

#[test]
fn each_account_has_its_doors() {
    let mut world = World::new();
    world.set_bridges(&["alpha"], Some("an invitation to all"));
    let open = |name: &str| {
        let user = BareJid::new(&format!("{name}@auth.{DOMAIN}")).unwrap();
        [Door::Web, Door::Service, Door::Process]
            .map(|door| world.server.credentials(&user, door).is_some())
    };
    assert_eq!(open("alpha"), [false, true, true]);
    assert_eq!(open("join"), [false, true, true]);
    assert_eq!(open("focus"), [false, true, true]);
    assert_eq!(open("jvb"), [false, false, true], "old tokens open nothing");
}

#[test]
fn a_new_bridge_asks_for_an_account_and_can_do_nothing_else() {
    let mut world = World::new();
    world.set_bridges(&[], Some("an invitation to all"));
    let focus = world.focus();
    let newcomer = world.account("join", "x");
    for room in [ROOM, BREWERY] {
        world.join(&newcomer, room);
        assert!(brief(&world.take(&newcomer)[0]).ends_with("auth/forbidden"));
    }
    let register = |name: &str, password: &str| {
        format!(
            "<iq type='set' id='j' to='auth.{DOMAIN}'><query xmlns='jabber:iq:register'>\
             <username>{name}</username><password>{password}</password></query></iq>"
        )
    };
    for (name, password) in [
        ("focus", "0123456789abcdef"),
        ("a b", "0123456789abcdef"),
        ("gamma", "short"),
    ] {
        let answer = world.ask(&newcomer, &register(name, password));
        let answer = brief(&answer);
        assert!(answer.ends_with("modify/bad-request"), "{name}: {answer}");
    }
    assert!(world.joining.is_empty());
    world.send(&newcomer, &register("gamma", "0123456789abcdef"));
    let request = world.joining.pop().unwrap();
    assert_eq!((request.name.as_str(), request.id.as_str()), ("gamma", "j"));
    assert!(!format!("{request:?}").contains("0123456789abcdef"));
    // Once: the next answer is an error.
    world.send(&newcomer, &register("delta", "0123456789abcdef"));
    assert!(brief(&world.take(&newcomer)[0]).ends_with("wait/unexpected-request"));
    assert!(world.joining.is_empty());

    let made = Credentials::new(&request.password, b"salt");
    world.server.joined(
        world.now,
        request.session,
        &request.id,
        Ok(("gamma-2".to_owned(), made)),
    );
    world.drain();
    let answer = world.take(&newcomer).pop().unwrap();
    let query = answer.get_child("query", ns::REGISTER).unwrap();
    assert_eq!(
        query.child_text("username", ns::REGISTER).as_deref(),
        Some("gamma-2")
    );
    let bridge = sits(&mut world, "gamma-2", "g", "gamma-2");
    assert!(brief(&world.take(&bridge)[0]).starts_with("presence gamma-2 none/participant"));
    // When the invitation is made anew, who holds the old one is out; bridges that have an account stay.
    world.set_bridges(&["gamma-2"], Some("another invitation"));
    assert_eq!(
        world.closed.get(&newcomer.connection),
        Some(&CloseReason::Revoked)
    );
    assert!(world.server.jid(focus.session).is_some());
}

#[test]
fn sessions_of_one_bridge_have_a_limit() {
    let mut world = World::new();
    world.set_bridges(&["alpha"], None);
    let user = BareJid::new(&format!("alpha@auth.{DOMAIN}")).unwrap();
    let results: Vec<bool> = (0..40)
        .map(|_| {
            let login = Login {
                user: user.clone(),
                resource: None,
                connection: world.connection(),
                query: WebQuery::default(),
            };
            world.server.bind(world.now, login).is_ok()
        })
        .collect();
    assert_eq!(results.iter().filter(|bound| **bound).count(), 32);
}
