//! Metadata, moderation of microphones and cameras, the waiting room, polls, speaking times, the end of a meeting.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use std::time::Duration;

use kit::{Client, ROOM, World, brief, briefs};
use serde_json::{Value, json};
use stanza::{Element, ElementExt as _, ns};

const LOBBY: &str = "standup@lobby.meet.example.com";

/// The JSON a client got from `from`.
fn pushed(seen: &[Element], from: &str) -> Vec<Value> {
    let of = |stanza: &&Element| stanza.attr("from") == Some(from);
    let json = |stanza: &Element| stanza.child_text("json-message", ns::JITMEET);
    seen.iter()
        .filter(of)
        .filter_map(json)
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect()
}

fn set(world: &mut World, client: &Client, json: &str) {
    let element = format!(
        "<room_metadata xmlns='http://jitsi.org/jitmeet' room='{ROOM}'>{json}</room_metadata>"
    );
    world.send(
        client,
        &format!("<message to='metadata.meet.example.com'>{element}</message>"),
    );
}

#[test]
fn metadata_is_shared_and_guarded() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.participant();
    world.clear();
    let from = "metadata.meet.example.com";
    set(
        &mut world,
        &alice,
        r#"{"type":"room_metadata","key":"recording","data":{"on":true,"at":"5%"}}"#,
    );
    let seen = world.take(&bob);
    let text = seen[0].child_text("json-message", ns::JITMEET).unwrap();
    assert!(!text.contains('%') && text.contains("5\\u0025"), "{text}");
    let document =
        json!({"type": "room_metadata", "metadata": {"recording": {"on": true, "at": "5%"}}});
    assert_eq!(pushed(&seen, from), [document]);
    world.clear();
    // The same again is no change.
    set(
        &mut world,
        &alice,
        r#"{"type":"room_metadata","key":"recording","data":{"on":true,"at":"5%"}}"#,
    );
    assert!(world.take(&bob).is_empty());
    for (client, json) in [
        (&bob, r#"{"key":"recording","data":{}}"#.to_owned()),
        (&alice, r#"{"key":"services","data":[]}"#.to_owned()),
        (&alice, r#"{"key":"x"}"#.to_owned()),
        (&alice, r#"[1]"#.to_owned()),
        (&alice, "{".to_owned()),
        (
            &alice,
            format!(r#"{{"key":"big","data":"{}"}}"#, "x".repeat(70_000)),
        ),
    ] {
        set(&mut world, client, &json);
        assert_eq!(
            briefs(&world.take(client)),
            [format!(
                "message {from} type=error cancel/service-unavailable"
            )]
        );
    }
    let carol = world.guest();
    world.join(&carol, ROOM);
    let seen = world.take(&carol);
    assert_eq!(
        pushed(&seen, from)[0]["metadata"],
        json!({"recording": {"on": true, "at": "5%"}})
    );
}

#[test]
fn start_muted_in_presence_becomes_metadata() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.participant();
    world.clear();
    let policy =
        "<startmuted xmlns='http://jitsi.org/jitmeet/start-muted' audio='true' video='false'/>";
    for client in [&bob, &alice] {
        world.send(
            client,
            &format!(
                "<presence to='{}'>{policy}</presence>",
                client.occupant(ROOM)
            ),
        );
    }
    let all = pushed(&world.take(&bob), "metadata.meet.example.com");
    assert_eq!(all.len(), 1);
    assert_eq!(
        all[0]["metadata"]["startMuted"],
        json!({"audio": true, "video": false})
    );
}

fn moderate(world: &mut World, client: &Client, attrs: &str) -> Vec<Element> {
    world.send(
        client,
        &format!("<message to='avmoderation.meet.example.com'><av_moderation {attrs}/></message>"),
    );
    world.take(client)
}

#[test]
fn moderation_is_told_to_those_it_concerns() {
    let from = "avmoderation.meet.example.com";
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.participant();
    world.clear();
    let (a, b) = (alice.occupant(ROOM), bob.occupant(ROOM));
    let seen = moderate(&mut world, &alice, "enable='true' mediaType='audio'");
    let enabled = json!({"type": "av_moderation", "room": ROOM, "enabled": true, "mediaType": "audio", "actor": a});
    let list = |people: Value| json!({"type": "av_moderation", "room": ROOM, "whitelists": people, "mediaType": "audio"});
    assert_eq!(
        pushed(&seen, from),
        [enabled.clone(), list(json!({"audio": [a]}))]
    );
    assert_eq!(
        pushed(&world.take(&bob), from),
        std::slice::from_ref(&enabled)
    );
    // The focus enforces it, so it is told all.
    assert_eq!(
        pushed(&world.take(&focus), from),
        [enabled.clone(), list(json!({"audio": [a]}))]
    );
    let seen = moderate(
        &mut world,
        &alice,
        &format!("jidToWhitelist='{b}' mediaType='audio'"),
    );
    assert_eq!(
        pushed(&seen, from)[0]["whitelists"]["audio"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let approved =
        json!({"type": "av_moderation", "room": ROOM, "approved": true, "mediaType": "audio"});
    assert_eq!(pushed(&world.take(&bob), from), [approved]);
    let seen = moderate(
        &mut world,
        &alice,
        &format!("jidToBlacklist='{b}' mediaType='audio'"),
    );
    assert_eq!(pushed(&seen, from)[0]["removed"], json!(true));
    let removed =
        json!({"type": "av_moderation", "room": ROOM, "removed": true, "mediaType": "audio"});
    assert_eq!(pushed(&world.take(&bob), from), [removed]);
    // Joiners start muted and know why.
    let carol = world.guest();
    world.join(&carol, ROOM);
    let seen = world.take(&carol);
    assert_eq!(pushed(&seen, from), [enabled]);
    assert_eq!(
        pushed(&seen, "metadata.meet.example.com")[0]["metadata"]["startMuted"]["audio"],
        json!(true)
    );
    // A new moderator may unmute and sees the list.
    world.clear();
    world.grant(&focus, &carol, "owner");
    assert_eq!(
        pushed(&world.take(&carol), from)[0]["whitelists"]["audio"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    world.clear();
    moderate(&mut world, &alice, "enable='false' mediaType='audio'");
    assert_eq!(pushed(&world.take(&bob), from)[0]["enabled"], json!(false));
    // "Please unmute" while nothing is moderated.
    moderate(
        &mut world,
        &alice,
        &format!("jidToWhitelist='{b}' mediaType='audio'"),
    );
    assert_eq!(pushed(&world.take(&bob), from)[0]["from"], json!(a));
    for (client, attrs) in [
        (&bob, "enable='true' mediaType='audio'".to_owned()),
        (&alice, "enable='true' mediaType='smell'".to_owned()),
        (&alice, "mediaType='audio'".to_owned()),
        (
            &alice,
            format!("jidToWhitelist='{ROOM}/nobody' mediaType='audio'"),
        ),
    ] {
        let seen = moderate(&mut world, client, &attrs);
        assert_eq!(
            briefs(&seen),
            [format!(
                "message {from} type=error cancel/service-unavailable"
            )],
            "{attrs}"
        );
    }
}

#[test]
fn a_moderator_ends_the_meeting() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.participant();
    world.clear();
    let end = "<message to='endconference.meet.example.com'><end_conference/></message>";
    world.send(&bob, end);
    assert!(brief(&world.take(&bob)[0]).ends_with("cancel/service-unavailable"));
    world.send(&alice, end);
    for client in [&alice, &bob] {
        let line = briefs(&world.take(client)).pop().unwrap();
        assert!(
            line.ends_with("destroy=\"The meeting has been terminated\" [110]"),
            "{line}"
        );
    }
    assert_eq!(world.server.stats().rooms, 0);
    // Clients say goodbye to a room that is gone.
    world.send(
        &bob,
        &format!("<presence type='unavailable' to='{}'/>", bob.occupant(ROOM)),
    );
    assert!(brief(&world.take(&bob)[0]).ends_with("cancel/item-not-found"));
}

#[test]
fn polls_are_told_to_all_and_kept_for_joiners() {
    let mut world = World::new();
    world.focus();
    let (alice, bob) = (world.participant(), world.participant());
    world.clear();
    let host = "polls.meet.example.com";
    let say = |world: &mut World, client: &Client, json: &Value| {
        let text = json.to_string();
        let payload =
            format!("<json-message xmlns='http://jitsi.org/jitmeet'>{text}</json-message>");
        world.send(
            client,
            &format!("<message type='chat' to='{host}'>{payload}</message>"),
        );
    };
    let ask = json!({"type": "polls", "command": "new-poll", "pollId": "p1", "question": "Lunch?",
        "answers": [{"name": "now", "spoiled": 1}, {"name": "later"}]});
    let vote = |chosen: Value| json!({"type": "polls", "command": "answer-poll", "pollId": "p1", "answers": chosen});
    say(&mut world, &alice, &ask);
    let told = json!({"type": "polls", "command": "new-poll", "pollId": "p1", "question": "Lunch?",
        "answers": [{"name": "now"}, {"name": "later"}],
        "senderId": alice.nick, "senderName": format!("name of {}", alice.nick)});
    for client in [&alice, &bob] {
        assert_eq!(
            pushed(&world.take(client), host),
            std::slice::from_ref(&told)
        );
    }
    say(&mut world, &bob, &vote(json!([true, false])));
    assert_eq!(
        pushed(&world.take(&alice), host),
        [
            json!({"type": "polls", "command": "answer-poll", "pollId": "p1", "answers": [true, false],
            "senderId": bob.nick, "senderName": format!("name of {}", bob.nick)})
        ]
    );
    world.clear();
    // The same again is no news; a change of mind is.
    say(&mut world, &bob, &vote(json!([true, false])));
    assert!(world.take(&alice).is_empty());
    say(&mut world, &bob, &vote(json!([false, true])));
    assert_eq!(
        pushed(&world.take(&alice), host)[0]["answers"],
        json!([false, true])
    );
    world.clear();
    for wrong in [
        ask.clone(),
        vote(json!([true])),
        vote(json!([1, 0])),
        json!({"command": "answer-poll", "pollId": "p2", "answers": [true, false]}),
        json!({"command": "new-poll", "pollId": "p3", "question": "?", "answers": []}),
        json!({"command": "new-poll", "pollId": "p3", "question": "?", "answers": ["text"]}),
        json!({"command": "new-poll", "pollId": "p3", "answers": [{"name": "no question"}]}),
        json!({"command": "new-poll", "pollId": "p3", "question": "x".repeat(5_000), "answers": [{"name": "long"}]}),
        json!({"command": "close-poll", "pollId": "p1"}),
        json!([]),
    ] {
        say(&mut world, &bob, &wrong);
        assert_eq!(
            briefs(&world.take(&bob)),
            [format!(
                "message {host} type=error cancel/service-unavailable"
            )],
            "{wrong}"
        );
    }
    assert!(world.take(&alice).is_empty());
    let carol = world.guest();
    world.join(&carol, ROOM);
    let voter = json!({"id": bob.nick, "name": format!("name of {}", bob.nick)});
    let poll = json!({"pollId": "p1", "question": "Lunch?",
        "senderId": alice.nick, "senderName": format!("name of {}", alice.nick),
        "answers": [{"name": "now", "voters": []}, {"name": "later", "voters": [voter]}]});
    assert_eq!(
        pushed(&world.take(&carol), host),
        [json!({"type": "polls", "command": "old-polls", "polls": [poll]})]
    );
}

#[test]
fn speaking_times_are_told_to_joiners() {
    let mut world = World::new();
    world.focus();
    let (alice, bob) = (world.participant(), world.participant());
    let speak = |world: &mut World, client: &Client, silence: bool| {
        let stats = format!(
            "<speakerstats xmlns='http://jitsi.org/jitmeet' room='{ROOM}' silence='{silence}'/>"
        );
        world.send(
            client,
            &format!("<message to='speakerstats.meet.example.com'>{stats}</message>"),
        );
    };
    speak(&mut world, &alice, false);
    world.pass(Duration::from_secs(3));
    speak(&mut world, &bob, false);
    world.pass(Duration::from_secs(2));
    speak(&mut world, &bob, true);
    world.pass(Duration::from_secs(5));
    world.send(
        &alice,
        &format!(
            "<presence type='unavailable' to='{}'/>",
            alice.occupant(ROOM)
        ),
    );
    let carol = world.guest();
    world.join(&carol, ROOM);
    let users = pushed(&world.take(&carol), "speakerstats.meet.example.com")[0]["users"].clone();
    assert_eq!(users[&alice.nick]["totalDominantSpeakerTime"], json!(3000));
    assert_eq!(
        users[&alice.nick]["displayName"],
        json!(format!("name of {}", alice.nick))
    );
    assert_eq!(users[&bob.nick]["totalDominantSpeakerTime"], json!(2000));
    assert_eq!(users[&bob.nick].get("displayName"), None);
}

fn members_only(world: &mut World, client: &Client, on: bool) {
    let form = format!(
        "<iq type='set' id='m' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='muc#roomconfig_membersonly'><value>{on}</value></field></x></query></iq>",
        ns::MUC_OWNER
    );
    assert!(brief(&world.ask(client, &form)).ends_with("type=result"));
}

#[test]
fn people_wait_until_a_moderator_lets_them_in() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let bob = world.participant();
    world.clear();
    members_only(&mut world, &alice, true);
    let seen = world.take(&bob);
    let event =
        |event: &str, value: Value| json!({"type": "lobby-notify", "event": event, "value": value});
    assert_eq!(
        pushed(&seen, &alice.occupant(ROOM)),
        [event("LOBBY-ENABLED", json!(true))]
    );
    assert_eq!(
        pushed(&seen, "metadata.meet.example.com")[0]["metadata"]["lobbyEnabled"],
        json!(true)
    );
    assert!(briefs(&seen).contains(&format!("message {ROOM} type=groupchat [104]")));
    let query = format!(
        "<iq type='get' id='i' to='{ROOM}'><query xmlns='{}'/></iq>",
        ns::DISCO_INFO
    );
    let info = world.ask(&alice, &query);
    let info = stanza::disco::Info::try_from(info.payload().unwrap()).unwrap();
    assert!(info.has("muc_membersonly"));
    assert_eq!(info.forms[0].get("muc#roominfo_lobbyroom"), Some(LOBBY));

    // The moderator watches, two people knock.
    world.clear();
    world.join(&alice, LOBBY);
    let a = &alice.nick;
    assert_eq!(
        briefs(&world.take(&alice)),
        [format!("presence {a} owner/moderator [100, 110]")]
    );
    let (carol, dave) = (world.guest(), world.guest());
    world.join(&carol, ROOM);
    let refused = world.take(&carol);
    let c = &carol.nick;
    assert_eq!(
        briefs(&refused),
        [format!(
            "presence {c} type=error auth/registration-required"
        )]
    );
    let error = stanza::error::StanzaError::from_stanza(&refused[0]).unwrap();
    assert_eq!(
        error.application.map(|child| child.text()).as_deref(),
        Some(LOBBY)
    );
    let node = "<query xmlns='http://jabber.org/protocol/disco#info' node='lobbyrooms'/>";
    let info = world.ask(
        &carol,
        &format!("<iq type='get' id='l' to='lobby.meet.example.com'>{node}</iq>"),
    );
    assert!(
        info.payload()
            .unwrap()
            .children()
            .any(|feature| feature.attr("var") == Some(ns::LOBBY_DISPLAY_NAME))
    );
    world.join(&carol, LOBBY);
    world.join(&dave, LOBBY);
    // Whoever waits sees nobody but itself.
    assert_eq!(
        briefs(&world.take(&carol)),
        [format!("presence {c} none/participant [100, 110]")]
    );
    assert_eq!(
        briefs(&world.take(&dave)),
        [format!(
            "presence {} none/participant [100, 110]",
            dave.nick
        )]
    );
    let knocks = world.take(&alice);
    assert_eq!(briefs(&knocks).len(), 2);
    let knocker = stanza::muc::User::of(&knocks[0])
        .unwrap()
        .item
        .unwrap()
        .jid
        .unwrap();
    assert_eq!(knocker.as_str(), carol.jid.as_str());

    // Carol is let in.
    world.clear();
    let invite = format!("<x xmlns='{}'><invite to='{knocker}'/></x>", ns::MUC_USER);
    world.send(
        &alice,
        &format!("<message id='v' to='{ROOM}'>{invite}</message>"),
    );
    let invitation = world.take(&carol);
    assert_eq!(invitation[0].attr("from"), Some(ROOM));
    assert_eq!(
        stanza::muc::User::of(&invitation[0]).unwrap().invites.len(),
        1
    );
    let seen = pushed(&world.take(&bob), &alice.occupant(ROOM));
    assert_eq!(seen[0]["event"], json!("LOBBY-ACCESS-GRANTED"));
    assert_eq!(seen[0]["name"], json!(format!("name of {c}")));
    world.join(&carol, ROOM);
    assert!(
        briefs(&world.take(&carol))
            .contains(&format!("presence {c} member/participant [100, 110]"))
    );
    world.send(
        &carol,
        &format!("<presence type='unavailable' to='{LOBBY}/{c}'/>"),
    );
    assert_eq!(
        briefs(&world.take(&carol)),
        [format!("presence {c} type=unavailable member/none [110]")]
    );

    // Dave is turned away.
    world.clear();
    let kick = format!(
        "<query xmlns='{}'><item nick='{}' role='none'/></query>",
        ns::MUC_ADMIN,
        dave.nick
    );
    assert!(
        brief(&world.ask(
            &alice,
            &format!("<iq type='set' id='k' to='{LOBBY}'>{kick}</iq>")
        ))
        .ends_with("result")
    );
    let line = format!(
        "presence {} type=unavailable none/none by={a} [307, 110]",
        dave.nick
    );
    assert_eq!(briefs(&world.take(&dave)), [line]);
    assert_eq!(
        pushed(&world.take(&bob), &alice.occupant(ROOM))[0]["event"],
        json!("LOBBY-ACCESS-DENIED")
    );

    // The meeting opens: who waits goes in by itself.
    world.join(&dave, LOBBY);
    world.clear();
    members_only(&mut world, &alice, false);
    let seen = world.take(&dave);
    let destroy = stanza::muc::User::of(&seen[0]).unwrap().destroy.unwrap();
    assert_eq!(
        destroy.jid.map(|jid| jid.to_string()).as_deref(),
        Some(ROOM)
    );
    world.join(&dave, ROOM);
    assert!(briefs(&world.take(&dave)).contains(&format!(
        "presence {} none/participant [100, 110]",
        dave.nick
    )));
}

#[test]
fn the_waiting_room_has_its_rules() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let carol = world.guest();
    world.join(&carol, LOBBY);
    assert!(
        brief(&world.take(&carol)[0]).ends_with("cancel/not-allowed"),
        "there is none yet"
    );
    members_only(&mut world, &alice, true);
    let nameless = "<x xmlns='http://jabber.org/protocol/muc'/>";
    for room in [ROOM, LOBBY] {
        world.send(
            &carol,
            &format!(
                "<presence to='{}'>{nameless}</presence>",
                carol.occupant(room)
            ),
        );
        let seen = world.take(&carol);
        let error = stanza::error::StanzaError::from_stanza(&seen[0]).unwrap();
        assert_eq!(
            error.application.as_ref().map(|child| child.name()),
            Some("displayname-required")
        );
    }
    world.join(&carol, LOBBY);
    world.join(&alice, LOBBY);
    let dave = world.guest();
    world.join(&dave, LOBBY);
    world.clear();
    let chat = |to: &Client| {
        format!(
            "<message type='chat' to='{}'><body>hi</body></message>",
            to.occupant(LOBBY)
        )
    };
    world.send(&carol, &chat(&alice));
    assert_eq!(
        briefs(&world.take(&alice)),
        [format!("message {} type=chat body=\"hi\"", carol.nick)]
    );
    world.send(&carol, &chat(&dave));
    assert!(world.take(&dave).is_empty());
    assert!(brief(&world.take(&carol)[0]).ends_with("cancel/item-not-found"));
    // Somebody whose connection is lost does not wait any more; with the moderator gone nobody watches.
    world.server.close(world.now, dave.session, dave.connection);
    world.drain();
    assert_eq!(
        briefs(&world.take(&alice)),
        [format!("presence {} type=unavailable none/none", dave.nick)]
    );
    // The end of the meeting is the end of its waiting room.
    world.send(
        &alice,
        "<message to='endconference.meet.example.com'><end_conference/></message>",
    );
    let line = briefs(&world.take(&carol)).pop().unwrap();
    assert!(
        line.contains("destroy=\"The meeting has been terminated\""),
        "{line}"
    );
}

#[test]
fn a_password_opens_the_door_too() {
    let mut world = World::new();
    let focus = world.focus();
    let alice = world.moderator(&focus);
    let form = format!(
        "<iq type='set' id='m' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='muc#roomconfig_membersonly'><value>1</value></field>\
         <field var='muc#roomconfig_roomsecret'><value>pw</value></field></x></query></iq>",
        ns::MUC_OWNER
    );
    world.ask(&alice, &form);
    let bob = world.guest();
    let x = "<x xmlns='http://jabber.org/protocol/muc'><password>pw</password></x>";
    world.send(
        &bob,
        &format!("<presence to='{}'>{x}</presence>", bob.occupant(ROOM)),
    );
    assert!(briefs(&world.take(&bob)).contains(&format!(
        "presence {} none/participant [100, 110]",
        bob.nick
    )));
}
