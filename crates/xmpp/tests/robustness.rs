//! Whatever clients send in whatever order: no panic, every request answered, nothing left over.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use std::time::Duration;

use kit::{Client, ROOM, World};
use proptest::collection::vec;
use proptest::prelude::*;
use stanza::{Element, ElementExt as _, element, ns};

const ADDRESSES: [&str; 17] = [
    "",
    "meet.example.com",
    ROOM,
    "standup@conference.meet.example.com/focus",
    "standup@conference.meet.example.com/aaaaaaaa",
    "other@conference.meet.example.com/x",
    "conference.meet.example.com",
    "[t]r@conference.meet.example.com/x",
    "standup@lobby.meet.example.com/x",
    "lobby.meet.example.com",
    "jvbbrewery@internal.auth.meet.example.com/x",
    "focus.meet.example.com",
    "focus.meet.example.com/a@meet.example.com/b",
    "avmoderation.meet.example.com",
    "metadata.meet.example.com",
    "polls.meet.example.com",
    "@@//",
];

/// Payloads, some right, some not.
const PAYLOADS: [&str; 20] = [
    "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='-1'/></x>",
    "<x xmlns='http://jabber.org/protocol/muc'/>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='a@meet.example.com/b'/><invite/></x>",
    "<query xmlns='http://jabber.org/protocol/muc#admin'><item nick='focus' role='none'/></query>",
    "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner' jid='a@b'/></query>",
    "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>",
    "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>\
     <field var='muc#roomconfig_membersonly'><value>true</value></field></x></query>",
    "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
    "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "<ping xmlns='urn:xmpp:ping'/>",
    "<conference xmlns='http://jitsi.org/protocol/focus'/>",
    "<av_moderation enable='true' mediaType='audio'/>",
    "<room_metadata xmlns='http://jitsi.org/jitmeet' room='standup@conference.meet.example.com'>{\"key\":1}</room_metadata>",
    "<json-message xmlns='http://jitsi.org/jitmeet'>{\"command\":\"new-poll\",\"pollId\":\"p\",\"question\":\"q\",\"answers\":[{\"name\":\"a\"}]}</json-message>",
    "<json-message xmlns='http://jitsi.org/jitmeet'>{\"command\":\"answer-poll\",\"pollId\":\"p\",\"answers\":[true]}</json-message>",
    "<end_conference/>",
    "<body>x</body>",
    "<subject/>",
    "<nick xmlns='http://jabber.org/protocol/nick'>n</nick>",
    "<error/>",
];

#[derive(Clone, Debug)]
enum Act {
    Send {
        who: usize,
        kind: usize,
        to: usize,
        subtype: usize,
        payloads: Vec<usize>,
    },
    Enable(usize),
    Lose(usize),
    Resume(usize, u32),
    Ack(usize, u32),
    Close(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let send = (
        0..4_usize,
        0..3_usize,
        0..ADDRESSES.len(),
        0..8_usize,
        vec(0..PAYLOADS.len(), 0..3),
    );
    prop_oneof![
        20 => send.prop_map(|(who, kind, to, subtype, payloads)| Act::Send { who, kind, to, subtype, payloads }),
        2 => (0..4_usize).prop_map(Act::Enable),
        1 => (0..4_usize).prop_map(Act::Lose),
        1 => (0..4_usize, 0..20_u32).prop_map(|(who, h)| Act::Resume(who, h)),
        1 => (0..4_usize, 0..20_u32).prop_map(|(who, h)| Act::Ack(who, h)),
        1 => (0..4_usize).prop_map(Act::Close),
        1 => (0..40_u64).prop_map(Act::Pass),
    ]
}

fn stanza_of(kind: usize, to: &str, subtype: usize, id: usize, payloads: &[usize]) -> Element {
    let names = ["iq", "message", "presence"];
    let subtypes = [
        "",
        "get",
        "set",
        "result",
        "error",
        "groupchat",
        "chat",
        "unavailable",
    ];
    let mut stanza = element(names[kind], ns::CLIENT)
        .attr("id", format!("i{id}"))
        .done();
    if !to.is_empty() {
        stanza.put("to", to);
    }
    if !subtypes[subtype].is_empty() {
        stanza.put("type", subtypes[subtype]);
    }
    for &payload in payloads {
        stanza.append_child(kit::element(PAYLOADS[payload]));
    }
    stanza
}

/// Whether somebody at the server's end must answer this, and at once.
fn must_be_answered(stanza: &Element) -> bool {
    // Others answer for themselves, and a conference request may wait for a focus.
    let relayed = stanza
        .jid("to")
        .is_some_and(|to| to.is_full() || to.as_str() == "focus.meet.example.com");
    stanza::iq::is_request(stanza) && !relayed
}

struct Actor {
    client: Client,
    id: Option<String>,
    live: bool,
}

fn perform(
    world: &mut World,
    actors: &mut [Actor],
    index: usize,
    act: &Act,
) -> Result<(), TestCaseError> {
    match act {
        Act::Send {
            who,
            kind,
            to,
            subtype,
            payloads,
        } => {
            let stanza = stanza_of(*kind, ADDRESSES[*to], *subtype, index, payloads);
            let asked = must_be_answered(&stanza);
            let client = &actors[*who].client;
            let sent = world
                .server
                .handle_stanza(world.now, client.session, stanza);
            world.drain();
            let live = actors[*who].live && !world.closed.contains_key(&client.connection);
            if sent.is_ok() && asked && live {
                let inbox = world.look(client);
                let id = format!("i{index}");
                let answers = inbox
                    .iter()
                    .filter(|stanza| stanza.name() == "iq" && stanza.attr("id") == Some(&id));
                prop_assert_eq!(answers.count(), 1, "answers to {:?}", act);
            }
        }
        Act::Enable(who) => {
            let enabled = world
                .server
                .enable_sm(world.now, actors[*who].client.session, true);
            actors[*who].id = enabled.ok().and_then(|enabled| enabled.id);
        }
        Act::Lose(who) => {
            let client = &actors[*who].client;
            world
                .server
                .detach(world.now, client.session, client.connection);
            actors[*who].live = false;
        }
        Act::Resume(who, h) => {
            let connection = world.connection();
            let id = actors[*who].id.clone().unwrap_or_default();
            let user = actors[*who].client.jid.to_bare();
            if world
                .server
                .resume(world.now, &user, connection, &id, *h)
                .is_ok()
            {
                actors[*who].client.connection = connection;
                actors[*who].live = true;
            }
        }
        Act::Ack(who, h) => {
            let _ = world.server.ack(world.now, actors[*who].client.session, *h);
        }
        Act::Close(who) => {
            let client = &actors[*who].client;
            world
                .server
                .close(world.now, client.session, client.connection);
        }
        Act::Pass(seconds) => world.pass(Duration::from_secs(*seconds)),
    }
    world.drain();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_goes(acts in vec(act(), 1..80)) {
        let mut world = World::new();
        let focus = world.focus();
        let alice = world.moderator(&focus);
        let mut bob = world.participant();
        bob.nick = "aaaaaaaa".to_owned();
        world.join(&bob, ROOM);
        let guest = world.guest();
        let clients = [focus, alice, bob, guest];
        let mut actors: Vec<Actor> =
            clients.into_iter().map(|client| Actor { client, id: None, live: true }).collect();
        for (index, act) in acts.iter().enumerate() {
            perform(&mut world, &mut actors, index, act)?;
        }
        // When everybody is gone, so is everything else.
        for actor in &actors {
            world.server.close(world.now, actor.client.session, actor.client.connection);
        }
        world.drain();
        world.pass(Duration::from_secs(200));
        let stats = world.server.stats();
        prop_assert_eq!((stats.sessions, stats.rooms, stats.occupants), (0, 0, 0));
    }

    /// Whatever is lost or acknowledged when: the peer gets each stanza once, in order.
    #[test]
    fn nothing_is_lost_or_repeated(steps in vec((0..4_u8, any::<bool>()), 1..60)) {
        let mut world = World::with(|config| config.limits.probe_after = Duration::from_secs(3_600));
        world.focus();
        let bob = world.participant();
        let mut alice = world.participant();
        let id = world.server.enable_sm(world.now, alice.session, true).unwrap().id.unwrap();
        world.clear();
        let (mut said, mut received, mut cut) = (0_u32, Vec::new(), false);
        for (step, late) in steps {
            match step {
                0 | 1 => {
                    world.send(&bob, &format!("<message type='groupchat' id='{said}' to='{ROOM}'><body>x</body></message>"));
                    said += 1;
                }
                2 => {
                    // The wire is cut; the server may learn of it only later.
                    if late { world.cut.push(alice.connection) }
                    else { world.server.detach(world.now, alice.session, alice.connection) }
                    cut = true;
                }
                _ if cut => {
                    let connection = world.connection();
                    let h = u32::try_from(received.len()).unwrap();
                    world.server.resume(world.now, &alice.jid.to_bare(), connection, &id, h).unwrap();
                    alice.connection = connection;
                    cut = false;
                }
                _ => {
                    let h = u32::try_from(received.len()).unwrap();
                    world.server.ack(world.now, alice.session, h).unwrap();
                }
            }
            world.drain();
            received.extend(world.take(&alice).iter().filter_map(|s| s.attr("id").map(str::to_owned)));
        }
        let connection = world.connection();
        let h = u32::try_from(received.len()).unwrap();
        world.server.resume(world.now, &alice.jid.to_bare(), connection, &id, h).unwrap();
        alice.connection = connection;
        world.drain();
        received.extend(world.take(&alice).iter().filter_map(|s| s.attr("id").map(str::to_owned)));
        prop_assert_eq!(received, (0..said).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
