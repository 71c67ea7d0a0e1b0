//! Joining, leaving, and what others see of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use std::time::Duration;

use kit::{DOMAIN, ROOM, World, brief, briefs, element};
use stanza::{ElementExt as _, ns};

#[test]
fn a_join_looks_like_the_recorded_one() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.guest();
    world.join(&alice, ROOM);
    let a = &alice.nick;
    let seen = world.take(&alice);
    assert_eq!(
        briefs(&seen),
        [
            "presence focus owner/moderator".to_owned(),
            "message metadata.meet.example.com json-message".to_owned(),
            format!("presence {a} none/participant [100, 110]"),
            format!("message {ROOM} type=groupchat subject=\"\""),
        ]
    );
    // Everybody's real address is there, and the sender is the occupant.
    for presence in seen.iter().filter(|stanza| stanza.name() == "presence") {
        let item = stanza::muc::User::of(presence).unwrap().item.unwrap();
        assert!(item.jid.unwrap().is_full());
        assert!(presence.attr("from").unwrap().starts_with(ROOM));
        assert_eq!(presence.attr("to"), Some(alice.jid.as_str()));
    }
    assert_eq!(
        briefs(&world.take(&focus)),
        [format!("presence {a} none/participant")]
    );

    let bob = world.guest();
    world.join(&bob, ROOM);
    let b = &bob.nick;
    assert_eq!(
        briefs(&world.take(&bob))[..3],
        [
            "presence focus owner/moderator".to_owned(),
            format!("presence {a} none/participant"),
            "message metadata.meet.example.com json-message".to_owned(),
        ]
    );
    assert_eq!(
        briefs(&world.take(&alice)),
        [format!("presence {b} none/participant")]
    );
}

#[test]
fn the_focus_creates_the_room_and_sees_it_created() {
    let mut world = World::new();
    let mut focus = world.account("focus", "focus");
    focus.nick = "focus".to_owned();
    world.join(&focus, ROOM);
    let seen = world.take(&focus);
    assert_eq!(
        brief(&seen[1]),
        "presence focus owner/moderator [201, 100, 110]"
    );
}

#[test]
fn the_focus_makes_the_first_one_owner() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.participant();
    let bob = world.participant();
    world.clear();
    world.grant(&focus, &alice, "owner");
    let a = &alice.nick;
    assert_eq!(
        briefs(&world.take(&alice)),
        [format!(
            "presence {a} owner/moderator by=focus [110] permissions"
        )]
    );
    assert_eq!(
        briefs(&world.take(&bob)),
        [format!("presence {a} owner/moderator by=focus")]
    );
    // Whoever comes later sees the new role, but not who gave it.
    let carol = world.guest();
    world.join(&carol, ROOM);
    assert!(briefs(&world.take(&carol)).contains(&format!("presence {a} owner/moderator")));
}

#[test]
fn only_the_focus_creates_rooms() {
    let mut world = World::new();
    let alice = world.guest();
    world.join(&alice, ROOM);
    let seen = world.take(&alice);
    assert_eq!(
        brief(&seen[0]),
        format!("presence {} type=error cancel/not-allowed", alice.nick)
    );
    let error = stanza::error::StanzaError::from_stanza(&seen[0]).unwrap();
    assert_eq!(error.text.as_deref(), Some("Room creation is restricted"));
    assert_eq!(seen[0].attr("from"), Some(alice.occupant(ROOM).as_str()));
}

#[test]
fn unknown_children_reach_others_and_later_joiners_in_order() {
    let mut world = World::new();
    world.focus();
    let alice = world.participant();
    let bob = world.participant();
    world.clear();
    let text = "<foo bar='1'>x</foo><SourceInfo>{\"a\":1}</SourceInfo><foo xmlns='urn:other'/>\
                <identity>spoof</identity><permissions xmlns='http://jitsi.org/jitmeet'/>\
                <x xmlns='http://jabber.org/protocol/muc#user'><status code='201'/></x>";
    world.send(
        &alice,
        &format!("<presence to='{}'>{text}</presence>", alice.occupant(ROOM)),
    );
    let carol = world.guest();
    world.join(&carol, ROOM);
    for client in [&bob, &carol] {
        let seen = world.take(client);
        let presence = seen
            .iter()
            .find(|s| s.attr("from") == Some(&alice.occupant(ROOM)))
            .unwrap();
        let children: Vec<_> = presence
            .children()
            .map(|child| (child.name().to_owned(), child.ns()))
            .collect();
        let expected = [
            ("foo", ns::CLIENT),
            ("SourceInfo", ns::CLIENT),
            ("foo", "urn:other"),
            ("x", ns::MUC_USER),
        ];
        assert_eq!(
            children,
            expected.map(|(name, ns)| (name.to_owned(), ns.to_owned()))
        );
        assert!(!stanza::muc::User::of(presence).unwrap().has(201));
    }
}

#[test]
fn a_room_name_with_percent_signs_stays_as_it_is() {
    let mut world = World::new();
    let room = "caf%c3%a9%20ops@conference.meet.example.com";
    let mut focus = world.account("focus", "focus");
    focus.nick = "focus".to_owned();
    world.join(&focus, room);
    let alice = world.guest();
    world.join(&alice, room);
    let seen = world.take(&alice);
    assert!(seen.iter().all(|stanza| {
        let from = stanza.attr("from").unwrap();
        from.starts_with(room) || from.starts_with("metadata")
    }));
    let metadata = seen
        .iter()
        .find(|stanza| stanza.has_child("json-message", ns::JITMEET))
        .unwrap();
    assert_eq!(metadata.payload().unwrap().attr("room"), Some(room));
}

#[test]
fn tenants_meet_under_their_own_name() {
    let mut world = World::new();
    let external = "r@conference.acme.meet.example.com";
    let mut focus = world.account("focus", "focus");
    focus.nick = "focus".to_owned();
    world.join(&focus, external);
    let alice = world.guest();
    world.join(&alice, "[acme]r@conference.meet.example.com");
    let seen = world.take(&alice);
    assert_eq!(
        seen[0].attr("from"),
        Some("r@conference.acme.meet.example.com/focus")
    );
}

#[test]
fn leaving_is_confirmed_and_seen() {
    let mut world = World::new();
    world.focus();
    let alice = world.participant();
    let bob = world.participant();
    world.clear();
    let text = format!(
        "<presence type='unavailable' to='{}'><status>switch_room</status></presence>",
        alice.occupant(ROOM)
    );
    world.send(&alice, &text);
    let a = &alice.nick;
    assert_eq!(
        briefs(&world.take(&alice)),
        [format!("presence {a} type=unavailable none/none [110]")]
    );
    let seen = world.take(&bob);
    assert_eq!(
        briefs(&seen),
        [format!("presence {a} type=unavailable none/none")]
    );
    assert_eq!(
        seen[0].child_text("status", ns::CLIENT).as_deref(),
        Some("switch_room")
    );
    // Once more: the room does not know it any more.
    world.send(&alice, &text);
    assert_eq!(
        brief(&world.take(&alice)[0]),
        format!("presence {a} type=error cancel/item-not-found")
    );
    // Unavailable without an address means everywhere.
    world.send(&bob, "<presence type='unavailable'/>");
    assert_eq!(
        briefs(&world.take(&bob)),
        [format!(
            "presence {} type=unavailable none/none [110]",
            bob.nick
        )]
    );
}

#[test]
fn a_presence_with_a_join_request_brings_everything_again() {
    let mut world = World::new();
    world.focus();
    let alice = world.participant();
    world.join(&alice, ROOM);
    let a = &alice.nick;
    assert_eq!(
        briefs(&world.take(&alice)),
        [
            "presence focus owner/moderator".to_owned(),
            format!("presence {a} none/participant [110]"),
            format!("message {ROOM} type=groupchat subject=\"\""),
        ]
    );
}

#[test]
fn nicknames_are_checked() {
    let mut world = World::new();
    world.focus();
    let alice = world.participant();
    for (nick, error) in [
        (alice.nick.as_str(), "cancel/conflict"),
        ("focus", "cancel/not-allowed"),
        ("no-dash", "cancel/not-allowed"),
    ] {
        let mut mallory = world.guest();
        mallory.nick = nick.to_owned();
        world.join(&mallory, ROOM);
        assert_eq!(
            brief(&world.take(&mallory)[0]),
            format!("presence {nick} type=error {error}")
        );
    }
    let mut renamed = alice.clone();
    renamed.nick = "other".to_owned();
    world.clear();
    world.join(&renamed, ROOM);
    assert_eq!(
        briefs(&world.take(&alice)),
        ["presence other type=error cancel/not-allowed"]
    );
}

#[test]
fn joins_wait_for_the_focus_in_order() {
    let mut world = World::new();
    let mut focus = world.focus();
    let alice = world.participant();
    world.send(
        &focus,
        &format!("<presence type='unavailable' to='{ROOM}/focus'/>"),
    );
    let (bob, carol) = (world.guest(), world.guest());
    world.join(&bob, ROOM);
    world.join(&carol, ROOM);
    assert!(world.take(&bob).is_empty() && world.take(&carol).is_empty());
    world.clear();
    focus = world.focus();
    let order: Vec<String> = briefs(&world.take(&alice))
        .into_iter()
        .filter(|line| line.contains("participant"))
        .collect();
    assert_eq!(
        order,
        [&bob, &carol].map(|client| format!("presence {} none/participant", client.nick))
    );
    // Without a focus they are refused in the end, in the words that make clients ask again.
    world.send(
        &focus,
        &format!("<presence type='unavailable' to='{ROOM}/focus'/>"),
    );
    let dave = world.guest();
    world.join(&dave, ROOM);
    world.pass(Duration::from_secs(19));
    assert!(world.take(&dave).is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(
        brief(&world.take(&dave)[0]),
        format!("presence {} type=error cancel/not-allowed", dave.nick)
    );
}

#[test]
fn a_full_room_is_full_for_guests_only() {
    let mut world = World::with(|config| {
        config.max_occupants = Some(1);
        config.accounts.push(xmpp::Account {
            jid: format!("recorder@auth.{DOMAIN}"),
            password: "secret of the recorder".to_owned(),
            admin: false,
        });
    });
    world.focus();
    world.participant();
    let bob = world.guest();
    world.join(&bob, ROOM);
    assert_eq!(
        brief(&world.take(&bob)[0]),
        format!(
            "presence {} type=error cancel/service-unavailable",
            bob.nick
        )
    );
    let recorder = world.account("recorder", "recorder");
    world.join(&recorder, ROOM);
    assert_eq!(
        brief(&world.take(&recorder)[0]),
        "presence focus owner/moderator"
    );
}

#[test]
fn a_large_presence_is_refused() {
    let mut world = World::new();
    world.focus();
    let alice = world.participant();
    let text = format!(
        "<presence to='{}'><a>{}</a></presence>",
        alice.occupant(ROOM),
        "x".repeat(70_000)
    );
    world.send(&alice, &text);
    assert_eq!(
        brief(&world.take(&alice)[0]),
        format!("presence {} type=error modify/policy-violation", alice.nick)
    );
}

#[test]
fn the_region_of_the_connection_is_added_once() {
    let mut world = World::new();
    world.focus();
    let bob = world.participant();
    let query = xmpp::WebQuery {
        region: Some("eu".to_owned()),
        ..xmpp::WebQuery::default()
    };
    let alice = world.guest_with(query);
    world.join(&alice, ROOM);
    let seen = world.take(&bob);
    assert_eq!(
        seen[0]
            .child_text("jitsi_participant_region", ns::CLIENT)
            .as_deref(),
        Some("eu")
    );
    let own = "<jitsi_participant_region>us</jitsi_participant_region>";
    world.send(
        &alice,
        &format!("<presence to='{}'>{own}</presence>", alice.occupant(ROOM)),
    );
    let seen = world.take(&bob);
    let regions: Vec<_> = seen[0]
        .children()
        .filter(|child| child.name().ends_with("region"))
        .collect();
    assert_eq!(
        regions
            .iter()
            .map(|region| region.text())
            .collect::<Vec<_>>(),
        ["us"]
    );
}

#[test]
fn the_room_tells_its_occupants_about_itself() {
    let mut world = World::new();
    world.focus();
    let alice = world.participant();
    let stranger = world.guest();
    let query = format!(
        "<iq type='get' id='d' to='{ROOM}'><query xmlns='{}'/></iq>",
        ns::DISCO_INFO
    );
    let answer = world.ask(&alice, &query);
    let info = stanza::disco::Info::try_from(answer.payload().unwrap()).unwrap();
    for feature in [
        "http://jabber.org/protocol/muc",
        "muc_open",
        "muc_unsecured",
        "muc_hidden",
        "muc_nonanonymous",
    ] {
        assert!(info.has(feature), "{feature}");
    }
    let form = &info.forms[0];
    assert_eq!(form.kind, stanza::data_form::FormKind::Result);
    assert_eq!(form.get("muc#roominfo_meetingId").map(str::len), Some(36));
    assert_eq!(
        form.get("muc#roominfo_created_timestamp"),
        Some("1787212800000")
    );
    assert_eq!(form.get("muc#roominfo_isbreakout"), None);
    assert_eq!(
        brief(&world.ask(&stranger, &query)),
        format!("iq {ROOM} type=error auth/forbidden")
    );
    let gone = query.replace("standup", "nothing");
    let error = "iq nothing@conference.meet.example.com type=error cancel/item-not-found";
    assert_eq!(brief(&world.ask(&alice, &gone)), error);
}

#[test]
fn workers_in_a_brewery_do_not_see_each_other() {
    let mut world = World::new();
    let mut first = world.account("jvb", "one");
    first.nick = "jvb1".to_owned();
    world.join(&first, "jvbbrewery@internal.auth.meet.example.com");
    let mut focus = world.account("focus", "focus");
    focus.nick = "focus".to_owned();
    // Written with other letters, it is the same room.
    world.join(&focus, "JvbBrewery@internal.auth.meet.example.com");
    let mut second = world.account("jvb", "two");
    second.nick = "jvb2".to_owned();
    world.join(&second, "jvbbrewery@internal.auth.meet.example.com");
    let presences = |seen: Vec<stanza::Element>| -> Vec<String> {
        briefs(&seen)
            .into_iter()
            .filter(|line| line.starts_with("presence"))
            .collect()
    };
    assert_eq!(
        presences(world.take(&first)),
        ["presence jvb1 none/participant [100, 110]"]
    );
    assert_eq!(
        presences(world.take(&second)),
        ["presence jvb2 none/participant [100, 110]"]
    );
    assert_eq!(
        presences(world.take(&focus)),
        [
            "presence jvb1 none/participant",
            "presence focus owner/moderator [100, 110]",
            "presence jvb2 none/participant",
        ]
    );
    // A bridge whose connection is lost is gone at once.
    world
        .server
        .detach(world.now, first.session, first.connection);
    world.drain();
    assert_eq!(
        presences(world.take(&focus)),
        ["presence jvb1 type=unavailable none/none"]
    );
    // Guests have no business there.
    let guest = world.guest();
    world.join(&guest, "jvbbrewery@internal.auth.meet.example.com");
    assert_eq!(
        brief(&world.take(&guest)[0]),
        format!("presence {} type=error auth/forbidden", guest.nick)
    );
}

#[test]
fn a_focus_that_comes_back_takes_its_place_again() {
    let mut world = World::new();
    let old = world.focus();
    let alice = world.participant();
    world.clear();
    let mut new = world.account("focus", "another");
    new.nick = "focus".to_owned();
    world.join(&new, ROOM);
    assert_eq!(
        briefs(&world.take(&old)),
        ["presence focus type=unavailable owner/none [110]"]
    );
    // Clients take a focus that leaves for the end: they must only see an update.
    let seen = world.take(&alice);
    assert_eq!(briefs(&seen), ["presence focus owner/moderator"]);
    let item = stanza::muc::User::of(&seen[0]).unwrap().item.unwrap();
    assert_eq!(item.jid.unwrap().as_str(), new.jid.as_str());
    world.send(
        &old,
        &format!("<presence to='{ROOM}/focus'><late/></presence>"),
    );
    assert!(world.take(&alice).is_empty());
}

#[test]
fn every_element_names_its_namespace() {
    let mut world = World::new();
    world.focus();
    let alice = world.guest();
    let stanza = element(&format!(
        "<presence to='{}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
        alice.occupant(ROOM)
    ));
    world
        .server
        .handle_stanza(world.now, alice.session, stanza)
        .unwrap();
    let mut own = String::new();
    while let Some(output) = world.server.poll_output() {
        if let xmpp::Output::Send { stanza, .. } = output {
            own = String::from_utf8(stanza.to_vec()).unwrap();
            assert!(own.contains(" xmlns=\"jabber:client\""), "{own}");
            if own.contains("code=\"110\"") {
                break;
            }
        }
    }
    for inner in ["<x", "<item", "<status"] {
        let tag = &own[own.find(inner).unwrap()..];
        let tag = &tag[..tag.find('>').unwrap()];
        assert!(
            tag.contains("xmlns=\"http://jabber.org/protocol/muc#user\""),
            "{tag}"
        );
    }
}
