//! Roles, kicks, passwords, configuration, the end of a room.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use kit::{Client, ROOM, World, brief, briefs};
use stanza::data_form::DataForm;
use stanza::disco::Info;
use stanza::muc::Owner;
use stanza::{Element, ElementExt as _, ns};

fn admin(item: &str) -> String {
    format!(
        "<iq type='set' id='a' to='{ROOM}'><query xmlns='{}'>{item}</query></iq>",
        ns::MUC_ADMIN
    )
}

fn submit(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    format!(
        "<iq type='set' id='c' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>{fields}</x></query></iq>",
        ns::MUC_OWNER
    )
}

fn info(world: &mut World, client: &Client) -> Info {
    let query = format!(
        "<iq type='get' id='i' to='{ROOM}'><query xmlns='{}'/></iq>",
        ns::DISCO_INFO
    );
    let answer = world.ask(client, &query);
    Info::try_from(answer.payload().unwrap()).unwrap()
}

fn join_with_password(world: &mut World, client: &Client, password: &str) -> String {
    let to = client.occupant(ROOM);
    let x =
        format!("<x xmlns='http://jabber.org/protocol/muc'><password>{password}</password></x>");
    world.send(client, &format!("<presence to='{to}'>{x}</presence>"));
    let seen = world.take(client);
    let error = seen
        .iter()
        .find(|stanza| stanza.attr("type") == Some("error"));
    error.map_or_else(|| "in".to_owned(), brief)
}

#[test]
fn a_kick_says_who_and_why() {
    let mut world = World::new();
    let focus = world.focus();
    let mallory = world.moderator(&focus);
    let alice = world.moderator(&focus);
    let bob = world.participant();
    world.clear();
    let item = format!(
        "<item nick='{}' role='none'><reason>testing</reason></item>",
        mallory.nick
    );
    assert_eq!(
        brief(&world.ask(&alice, &admin(&item))),
        format!("iq {ROOM} type=result")
    );
    let (a, m) = (&alice.nick, &mallory.nick);
    let line = format!("presence {m} type=unavailable none/none by={a} because=testing");
    assert_eq!(
        briefs(&world.take(&mallory)),
        [format!("{line} [307, 110]")]
    );
    assert_eq!(briefs(&world.take(&bob)), [format!("{line} [307]")]);
    // A kicked moderator comes back as nobody special.
    world.join(&mallory, ROOM);
    assert!(
        briefs(&world.take(&mallory))
            .contains(&format!("presence {m} none/participant [100, 110]"))
    );
}

#[test]
fn rights_are_checked_by_the_room() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.participant();
    let stranger = world.guest();
    let bare = |client: &Client| client.jid.to_bare().to_string();
    let cases: Vec<(&Client, String, &str)> = vec![
        (
            &bob,
            format!("<item nick='{}' role='none'/>", alice.nick),
            "auth/forbidden",
        ),
        (
            &bob,
            format!("<item affiliation='owner' jid='{}'/>", bare(&bob)),
            "auth/forbidden",
        ),
        (
            &stranger,
            format!("<item nick='{}' role='none'/>", bob.nick),
            "auth/forbidden",
        ),
        (
            &alice,
            "<item nick='focus' role='none'/>".to_owned(),
            "cancel/not-allowed",
        ),
        (
            &alice,
            "<item nick='focus' role='participant'/>".to_owned(),
            "cancel/not-allowed",
        ),
        (
            &alice,
            format!("<item affiliation='outcast' jid='{}'/>", bare(&focus)),
            "cancel/not-allowed",
        ),
        (
            &alice,
            "<item nick='nobody' role='none'/>".to_owned(),
            "cancel/item-not-found",
        ),
        (
            &alice,
            format!("<item affiliation='member' jid='{}'/>", bob.jid),
            "modify/jid-malformed",
        ),
        (
            &alice,
            "<item affiliation='king' jid='a@b'/>".to_owned(),
            "modify/bad-request",
        ),
        (
            &alice,
            "<item affiliation='owner'/>".to_owned(),
            "modify/bad-request",
        ),
        (&alice, String::new(), "modify/bad-request"),
    ];
    for (client, item, error) in cases {
        let answer = world.ask(client, &admin(&item));
        assert_eq!(
            brief(&answer),
            format!("iq {ROOM} type=error {error}"),
            "{item}"
        );
    }
    for query in [
        format!(
            "<iq type='get' id='f' to='{ROOM}'><query xmlns='{}'/></iq>",
            ns::MUC_OWNER
        ),
        submit(&[("muc#roomconfig_roomsecret", "x")]),
    ] {
        assert_eq!(
            brief(&world.ask(&bob, &query)),
            format!("iq {ROOM} type=error auth/forbidden")
        );
    }
}

#[test]
fn several_affiliations_change_in_one_request() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let (bob, carol) = (world.participant(), world.participant());
    world.clear();
    let items: String = [&bob, &carol]
        .map(|client| {
            format!(
                "<item affiliation='member' jid='{}'/>",
                client.jid.to_bare()
            )
        })
        .concat();
    assert_eq!(
        brief(&world.ask(&alice, &admin(&items))),
        format!("iq {ROOM} type=result")
    );
    let seen = briefs(&world.take(&bob));
    let line = |client: &Client| {
        format!(
            "presence {} member/participant by={}",
            client.nick, alice.nick
        )
    };
    assert_eq!(seen, [format!("{} [110]", line(&bob)), line(&carol)]);
    // If one of them cannot be done, none is.
    let items = format!(
        "<item affiliation='owner' jid='{}'/><item affiliation='none' jid='{}'/>",
        bob.jid.to_bare(),
        focus.jid.to_bare()
    );
    world.ask(&alice, &admin(&items));
    assert_eq!(
        world
            .server
            .affiliation(&stanza::BareJid::new(ROOM).unwrap(), &bob.jid.to_bare()),
        Some(stanza::muc::Affiliation::Member)
    );
}

#[test]
fn revoking_ownership_takes_the_role() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.moderator(&focus);
    let item = format!("<item affiliation='member' jid='{}'/>", bob.jid.to_bare());
    world.ask(&alice, &admin(&item));
    assert_eq!(
        briefs(&world.take(&bob)),
        [format!(
            "presence {} member/participant by={} [110]",
            bob.nick, alice.nick
        )]
    );
}

#[test]
fn owners_who_left_are_forgotten() {
    const MOST: usize = 40;
    let mut world = World::with(|config| config.limits.occupants = MOST);
    let focus = world.focus();
    let alice = world.moderator(&focus);
    for _ in 0..3 * MOST {
        let bob = world.moderator(&focus);
        let room = stanza::BareJid::new(ROOM).unwrap();
        let is = |world: &World, client: &kit::Client| {
            world.server.affiliation(&room, &client.jid.to_bare())
        };
        assert_eq!(is(&world, &bob), Some(stanza::muc::Affiliation::Owner));
        assert_eq!(is(&world, &alice), Some(stanza::muc::Affiliation::Owner));
        world.server.close(world.now, bob.session, bob.connection);
        world.clear();
    }
    let query = admin("<item affiliation='owner'/>").replace("'set'", "'get'");
    let owners = world
        .ask(&focus, &query)
        .children()
        .map(|q| q.children().count())
        .sum::<usize>();
    assert!(owners <= 32, "{owners} owners, of whom one is there");
}

#[test]
fn a_ban_keeps_out() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.participant();
    let item = format!("<item affiliation='outcast' jid='{}'/>", bob.jid.to_bare());
    world.ask(&alice, &admin(&item));
    let seen = briefs(&world.take(&bob));
    assert!(
        seen[0].ends_with("type=unavailable outcast/none by=".to_owned().as_str())
            || seen[0].contains("[301, 307, 110]")
    );
    world.join(&bob, ROOM);
    assert_eq!(
        briefs(&world.take(&bob)),
        [format!("presence {} type=error auth/forbidden", bob.nick)]
    );
}

#[test]
fn a_password_locks_the_room() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.participant();
    assert!(info(&mut world, &alice).has("muc_unsecured"));
    world.ask(
        &alice,
        &submit(&[
            ("muc#roomconfig_roomsecret", "pw"),
            ("muc#roomconfig_passwordprotectedroom", "1"),
        ]),
    );
    assert_eq!(
        briefs(&world.take(&bob)),
        [format!("message {ROOM} type=groupchat [104]")]
    );
    assert!(info(&mut world, &alice).has("muc_passwordprotected"));
    let carol = world.guest();
    let refused = format!("presence {} type=error auth/not-authorized", carol.nick);
    world.join(&carol, ROOM);
    assert_eq!(briefs(&world.take(&carol)), std::slice::from_ref(&refused));
    assert_eq!(join_with_password(&mut world, &carol, "wrong"), refused);
    assert_eq!(join_with_password(&mut world, &carol, "pw"), "in");
    // A partial form keeps the secret; the same form again changes nothing and says nothing.
    world.clear();
    world.ask(
        &alice,
        &submit(&[
            ("muc#roomconfig_passwordprotectedroom", "1"),
            ("muc#roomconfig_whois", "anyone"),
        ]),
    );
    assert!(world.take(&bob).is_empty());
    let dave = world.guest();
    assert_eq!(join_with_password(&mut world, &dave, "pw"), "in");
    // Unlock.
    world.ask(
        &alice,
        &submit(&[
            ("muc#roomconfig_roomsecret", ""),
            ("muc#roomconfig_passwordprotectedroom", "0"),
        ]),
    );
    let erin = world.guest();
    assert_eq!(join_with_password(&mut world, &erin, ""), "in");
}

#[test]
fn the_form_has_what_clients_look_for() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    // Clients put a submit form into the question.
    let query = submit(&[("muc#roomconfig_whois", "anyone")]).replace("type='set'", "type='get'");
    let answer = world.ask(&alice, &query);
    let Ok(Owner::Form(form)) = Owner::try_from(answer.payload().unwrap()) else {
        panic!("no form")
    };
    for var in [
        "muc#roomconfig_whois",
        "muc#roomconfig_roomsecret",
        "muc#roomconfig_membersonly",
    ] {
        assert!(form.get(var).is_some(), "{var}");
    }
    assert_eq!(form.get("muc#roomconfig_whois"), Some("anyone"));
    assert_eq!(form.kind, stanza::data_form::FormKind::Form);
}

#[test]
fn only_the_focus_names_the_meeting() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let id = |info: Info| {
        info.forms[0]
            .get("muc#roominfo_meetingId")
            .map(str::to_owned)
    };
    world.ask(&alice, &submit(&[("muc#roominfo_meetingId", "mine")]));
    assert_ne!(id(info(&mut world, &alice)).as_deref(), Some("mine"));
    world.ask(&focus, &submit(&[("muc#roominfo_meetingId", "theirs")]));
    assert_eq!(id(info(&mut world, &alice)).as_deref(), Some("theirs"));
}

#[test]
fn destroying_a_room_tells_everybody_and_frees_its_name() {
    let mut world = World::new();
    let focus = world.focus();
    let bob = world.participant();
    world.clear();
    let destroy = format!(
        "<iq type='set' id='d' to='{ROOM}'><query xmlns='{}'><destroy><reason>over</reason></destroy></query></iq>",
        ns::MUC_OWNER
    );
    assert_eq!(
        brief(&world.ask(&focus, &destroy)),
        format!("iq {ROOM} type=result")
    );
    assert_eq!(
        briefs(&world.take(&bob)),
        [format!(
            "presence {} type=unavailable none/none destroy=\"over\" [110]",
            bob.nick
        )]
    );
    assert_eq!(world.server.stats().rooms, 0);
    world.join(&bob, ROOM);
    assert!(brief(&world.take(&bob)[0]).ends_with("cancel/not-allowed"));
}

#[test]
fn a_room_ends_with_its_last_occupant() {
    let mut world = World::new();
    let focus = world.focus();
    assert_eq!(world.server.stats().rooms, 1);
    world.send(
        &focus,
        &format!("<presence type='unavailable' to='{ROOM}/focus'/>"),
    );
    assert_eq!(world.server.stats().rooms, 0);
}

#[test]
fn lists_are_for_moderators() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let query = admin("<item affiliation='owner'/>").replace("'set'", "'get'");
    let answer = world.ask(&alice, &query);
    let items: Vec<_> = answer
        .payload()
        .unwrap()
        .children()
        .filter_map(|item| item.attr("jid"))
        .collect();
    assert_eq!(items, [alice.jid.to_bare().to_string()]);
    let query = admin("<item role='moderator'/>").replace("'set'", "'get'");
    assert_eq!(
        world
            .ask(&alice, &query)
            .payload()
            .map(|query| query.children().count()),
        Some(2)
    );
    let form = DataForm::try_from(&Element::bare("x", ns::DATA));
    assert!(form.is_err());
}
