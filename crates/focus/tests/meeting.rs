//! Meetings from the first request to the last goodbye.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::time::Duration;

use focus::{Event, RequestError};
use stanza::jingle::{Action, BridgeSession, Jingle};
use stanza::{Build, element};
use stanza::{Element, iq, ns};
use support::*;

const MEETING: &str = "5cc8f3dc-meeting";

#[test]
fn a_request_is_answered_when_the_room_is_ready() {
    let mut world = World::new();
    let id = world.request(ROOM);
    let answer = world.replies[&id].clone().unwrap();
    assert!(answer.ready);
    assert_eq!(
        answer.focus_jid.unwrap().to_string(),
        "focus@auth.meet.test"
    );
    assert_eq!(answer.properties["authentication"], "false");
    assert!(world.has_event(
        |e| matches!(e, Event::ConferenceStarted { meeting_id, .. } if meeting_id == MEETING)
    ));
    // The form was submitted with one field, and the join element was sent once.
    let submitted = world
        .sent
        .iter()
        .find(|s| s.attr("type") == Some("set") && s.has_child("query", ns::MUC_OWNER))
        .unwrap();
    let text = stanza::xml::to_string(submitted);
    assert!(
        text.contains("muc#roomconfig_whois")
            && text.contains("<value xmlns=\"jabber:x:data\">anyone</value>"),
        "{text}"
    );
    let properties = world
        .focus_presences
        .last()
        .unwrap()
        .get_child("conference-properties", ns::FOCUS)
        .unwrap();
    let keys: Vec<_> = properties
        .children()
        .map(|p| (p.attr("key").unwrap(), p.attr("value").unwrap()))
        .collect();
    assert_eq!(keys, [("support-terminate-restart", "true")]);
}

#[test]
fn a_request_by_iq_through_the_proxy() {
    let mut world = World::new();
    let from = "focus.meet.test/fa640d1f-uuid@meet.test/tPu_8RlahTc2";
    let conference = element("conference", ns::FOCUS)
        .attr("room", ROOM)
        .attr("machine-uid", "d66")
        .done();
    let request = iq::set(FOCUS, "3d25:sendIQ", conference);
    let request = Build::from(request).attr("from", from).done();
    world.deliver(request.clone());
    world.deliver(Build::from(request).attr("id", "second").done());
    let [first, second] = world.iq_replies.as_slice() else {
        panic!()
    };
    assert_eq!(
        (first.attr("id"), first.attr("to")),
        (Some("3d25:sendIQ"), Some(from))
    );
    assert_eq!(second.attr("id"), Some("second"));
    let answer = first.get_child("conference", ns::FOCUS).unwrap();
    assert_eq!(
        (answer.attr("ready"), answer.attr("room")),
        (Some("true"), Some(ROOM))
    );
    assert_eq!(answer.attr("focusjid"), Some("focus@auth.meet.test"));
}

#[test]
fn requests_that_cannot_be_served() {
    let mut world = World::with(|config| config.max_conferences = 1);
    let foreign = world.request("standup@elsewhere.test");
    assert_eq!(world.replies[&foreign], Err(RequestError::ForeignRoom));
    let lookalike = world.request("standup@conference.evilmeet.test");
    assert_eq!(world.replies[&lookalike], Err(RequestError::ForeignRoom));
    world.request("standup@conference.tenant.meet.test");
    assert_eq!(world.joined.len(), 1);
    let second = world.request(ROOM);
    assert_eq!(world.replies[&second], Err(RequestError::TooMany));
    let from = "focus.meet.test/x@meet.test/y";
    let request = iq::set(FOCUS, "7", element("conference", ns::FOCUS));
    let request = Build::from(request).attr("from", from).done();
    world.deliver(request);
    assert_eq!(condition(world.iq_replies.last().unwrap()), "bad-request");
}

#[test]
fn a_room_that_does_not_answer_is_given_up_and_the_request_still_answered() {
    let mut world = World::new();
    world.room_answers = false;
    let id = world.request(ROOM);
    assert!(!world.replies.contains_key(&id));
    world.advance(Duration::from_secs(15));
    assert!(!world.replies[&id].clone().unwrap().ready);
    assert_eq!(world.left, [ROOM]);
    world.room_answers = true;
    let id = world.request(ROOM);
    assert!(world.replies[&id].clone().unwrap().ready);
}

#[test]
fn two_people_get_offers_like_the_recorded_ones() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("fa640d1f"));
    assert!(
        world.clients["fa640d1f"].offers.is_empty(),
        "one person needs no session"
    );
    assert_eq!(world.grants, ["fa640d1f"]);
    world.join(FakeClient::new("2905496c"));
    assert_eq!(world.grants, ["fa640d1f"], "only the first becomes owner");
    let offer = world.clients["2905496c"].session.clone().unwrap();
    assert_eq!(offer.initiator.as_deref(), Some(FOCUS));
    let names: Vec<_> = offer.contents.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["audio", "video", "data"]);
    assert_eq!(offer.bundle.as_deref().unwrap(), names);
    assert_eq!(
        offer.bridge_session.as_ref().unwrap().region.as_deref(),
        Some("eu")
    );
    let transports: Vec<_> = offer
        .contents
        .iter()
        .map(|c| c.transport.clone().unwrap())
        .collect();
    assert!(
        transports
            .iter()
            .all(|t| *t == transports[0] && t.rtcp_mux && !t.candidates.is_empty())
    );
    assert_eq!(offer.contents[2].sctp.as_ref().unwrap().number, 5000);
    assert_eq!(
        offer.sources.as_ref().unwrap().to_json(),
        r#"{"sources":{"jvb":[[{"m":"mixedmslabel mixedlabelvideo0","n":"jvb-v0","s":1943892353}],[],[{"m":"mixedmslabel mixedlabelaudio0","n":"jvb-a0","s":169720827}]]}}"#
    );
    let payload_types = |i: usize| -> Vec<u8> {
        offer.contents[i]
            .description
            .as_ref()
            .unwrap()
            .payload_types
            .iter()
            .map(|pt| pt.id)
            .collect()
    };
    assert_eq!(payload_types(0), [111, 126]);
    assert_eq!(payload_types(1), [41, 100, 107, 101, 42, 96, 97, 99]);
    let h264 = offer.contents[1]
        .description
        .as_ref()
        .unwrap()
        .payload_types[2]
        .clone();
    assert_eq!(
        h264.parameter("profile-level-id"),
        Some("42e01f;level-asymmetry-allowed=1;packetization-mode=1;")
    );
}

#[test]
fn the_bridge_is_told_of_transport_sources_and_last_n() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    let requests = &world.bridges["jvb1"].requests;
    let created: Vec<_> = requests
        .iter()
        .map(|r| (r.create, r.endpoints[0].create))
        .collect();
    assert_eq!(
        created[..2],
        [(true, true), (false, true)],
        "the second is asked for before the first is answered"
    );
    assert!(
        requests[..2]
            .iter()
            .all(|r| r.endpoints[0].media.len() == 2)
    );
    let endpoint = world.bridges["jvb1"].endpoint(MEETING, "aa");
    let transport = endpoint.transport.as_ref().unwrap();
    assert_eq!(
        (transport.ufrag.as_deref(), transport.rtcp_mux),
        (Some("caa"), true)
    );
    assert_eq!(endpoint.initial_last_n, Some(20));
    assert_eq!(
        endpoint.capabilities.iter().collect::<Vec<_>>(),
        ["source-names", "ssrc-rewriting"]
    );
    let sources: Vec<_> = endpoint
        .sources
        .iter()
        .map(|m| (m.id.as_str(), m.sources.len(), m.groups.len()))
        .collect();
    assert_eq!(sources, [("aa-a0", 1, 0), ("aa-v0", 4, 3)]);
    assert!(
        world.clients["bb"].known.is_empty(),
        "with rewriting the bridge tells of sources"
    );
    assert_eq!(world.focus.stats().sessions, 2);
}

#[test]
fn clients_without_rewriting_are_told_of_every_source() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    let mut json = FakeClient::new("bb");
    json.features.retain(|f| *f != ns::SSRC_REWRITING);
    world.join(json);
    world.join(FakeClient::old("cc"));
    let names = |world: &World, nick: &str| -> Vec<String> {
        world.clients[nick].known.values().cloned().collect()
    };
    let mut of_bb = names(&world, "bb");
    of_bb.sort();
    // Audio, and of simulcast the first layer with its retransmission.
    assert_eq!(
        of_bb,
        ["aa-a0", "aa-v0", "aa-v0", "cc-a0", "cc-v0", "cc-v0"]
    );
    assert_eq!(names(&world, "cc").len(), 6);
    assert!(
        world.clients["cc"]
            .session
            .as_ref()
            .unwrap()
            .sources
            .is_none(),
        "XML only"
    );
    assert!(names(&world, "aa").is_empty());

    // A screen is shared and given up.
    let screen = {
        let aa = &world.clients["aa"];
        let mut add = aa.jingle(Action::SourceAdd);
        add.contents = vec![aa.content(
            "video",
            "v1",
            &[5001, 5002],
            vec![client_group("FID", &[5001, 5002])],
        )];
        add
    };
    assert_eq!(condition(&world.ask("aa", &screen)), "result");
    assert_eq!(names(&world, "bb").len(), 8);
    assert_eq!(
        world.bridges["jvb1"].endpoint(MEETING, "aa").sources.len(),
        3
    );
    let remove = Jingle {
        action: Action::SourceRemove,
        ..screen
    };
    assert_eq!(condition(&world.ask("aa", &remove)), "result");
    assert_eq!(names(&world, "bb").len(), 6);
    assert_eq!(
        world.bridges["jvb1"].endpoint(MEETING, "aa").sources.len(),
        2
    );

    // Who leaves is not mentioned: clients see that by presence. What they were told must agree later.
    world.leave("aa");
    world.join(FakeClient::new("aa"));
    assert_eq!(names(&world, "bb").len(), 6);
}

fn client_group(semantics: &str, ssrcs: &[u32]) -> stanza::media::SsrcGroup {
    stanza::media::SsrcGroup {
        semantics: semantics.to_owned(),
        ssrcs: ssrcs.to_vec(),
    }
}

#[test]
fn source_changes_that_are_refused_change_nothing() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    let before = world.bridges["jvb1"]
        .endpoint(MEETING, "aa")
        .sources
        .clone();
    let ask = |world: &mut World, content: stanza::jingle::Content, action: Action| {
        let mut jingle = world.clients["aa"].jingle(action);
        jingle.contents = vec![content];
        condition(&world.ask("aa", &jingle))
    };
    let content = |world: &World, nick: &str, ssrcs: &[u32], groups| {
        world.clients[nick].content("video", "v1", ssrcs, groups)
    };
    let foreign_name = content(&world, "bb", &[9001], vec![]);
    assert_eq!(
        ask(&mut world, foreign_name, Action::SourceAdd),
        "bad-request"
    );
    let zero = content(&world, "aa", &[0], vec![]);
    assert_eq!(ask(&mut world, zero, Action::SourceAdd), "bad-request");
    let bad_group = content(
        &world,
        "aa",
        &[9001],
        vec![client_group("FID", &[9001, 9002])],
    );
    assert_eq!(ask(&mut world, bad_group, Action::SourceAdd), "bad-request");
    let unknown = content(&world, "aa", &[9001], vec![]);
    assert_eq!(
        ask(&mut world, unknown, Action::SourceRemove),
        "bad-request"
    );
    let mut other_media = content(&world, "aa", &[9001], vec![]);
    other_media.description.as_mut().unwrap().media = Some("haptics".into());
    assert_eq!(
        ask(&mut world, other_media, Action::SourceAdd),
        "bad-request"
    );
    assert_eq!(
        world.bridges["jvb1"].endpoint(MEETING, "aa").sources,
        before
    );
    assert_eq!(world.focus.stats().refused_total, 5);
}

#[test]
fn leaving_expires_endpoints_and_at_last_the_conference() {
    let mut world = World::ready(&["jvb1"]);
    for nick in ["aa", "bb", "cc"] {
        world.join(FakeClient::new(nick));
    }
    world.leave("aa");
    assert_eq!(world.grants, ["aa", "bb"], "somebody must moderate");
    assert_eq!(world.bridges["jvb1"].conferences[MEETING].len(), 2);
    world.leave("bb");
    assert!(world.clients["cc"].session.is_some());
    world.advance(Duration::from_secs(19));
    assert!(world.clients["cc"].session.is_some());
    world.advance(Duration::from_secs(2));
    assert_eq!(
        world.clients["cc"].terminations.last().unwrap().1,
        "expired"
    );
    assert!(world.bridges["jvb1"].conferences.is_empty());
    world.join(FakeClient::new("dd"));
    assert!(world.clients["cc"].session.is_some() && world.clients["dd"].session.is_some());
    world.leave("cc");
    world.leave("dd");
    assert_eq!(world.left, [ROOM]);
    assert!(world.bridges["jvb1"].conferences.is_empty());
    assert_eq!(world.focus.stats().conferences, 0);
    // The room can be had again at once.
    let id = world.request(ROOM);
    assert!(world.replies[&id].clone().unwrap().ready);
}

#[test]
fn a_conference_without_people_ends() {
    let mut world = World::ready(&["jvb1"]);
    world.advance(Duration::from_secs(10));
    world.request(ROOM);
    world.advance(Duration::from_secs(10));
    assert!(world.left.is_empty(), "each request gives it more time");
    world.advance(Duration::from_secs(6));
    assert_eq!(world.left, [ROOM]);
}

#[test]
fn who_was_told_that_the_room_is_ready_finds_it_although_the_last_has_left() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    world.advance(Duration::from_secs(60));
    let id = world.request(ROOM);
    assert!(world.replies[&id].clone().unwrap().ready);
    world.leave("aa");
    assert!(world.left.is_empty(), "somebody is on the way");
    world.join(FakeClient::new("bb"));
    world.leave("bb");
    assert_eq!(world.left, [ROOM], "nobody is expected any more");

    // Who does not come is not waited for long.
    let id = world.request(ROOM);
    assert!(world.replies[&id].clone().unwrap().ready);
    world.join(FakeClient::new("cc"));
    world.request(ROOM);
    world.leave("cc");
    world.advance(Duration::from_secs(16));
    assert_eq!(world.left, [ROOM, ROOM]);
}

#[test]
fn features_come_from_presence_cache_or_question() {
    let mut world = World::ready(&["jvb1"]);
    let caps = |ver: &str| {
        element("c", ns::CAPS)
            .attr("hash", "sha-1")
            .attr("node", "n")
            .attr("ver", ver)
            .done()
    };
    let questions = |world: &World| {
        world
            .sent
            .iter()
            .filter(|s| s.has_child("query", ns::DISCO_INFO))
            .count()
            - 1
    };
    let mut first = FakeClient::new("aa");
    // The hash of the feature list of these clients.
    let ver = "Xk9r4dFMYJkO3Pl5fqcwZ3ccO6Q=";
    first.extra.push(caps(ver));
    world.join(first);
    assert_eq!(questions(&world), 1);
    let mut announced = FakeClient::new("bb");
    let all = announced
        .features
        .iter()
        .map(|f| element("feature", ns::CLIENT).attr("var", f));
    announced
        .extra
        .push(element("features", ns::CLIENT).children(all).done());
    announced.tells_features = false;
    world.join(announced);
    assert_eq!(questions(&world), 1, "its presence says it all");
    assert!(world.clients["bb"].session.is_some());
    let mut silent = FakeClient::new("cc");
    silent.tells_features = false;
    world.join(silent);
    assert!(world.clients["cc"].session.is_none());
    world.advance(Duration::from_secs(5));
    let offer = world.clients["cc"].session.as_ref().unwrap();
    assert_eq!(
        offer.contents.len(),
        3,
        "who does not tell gets what all can use"
    );
    assert!(offer.sources.is_none());
}

#[test]
fn restart_ice_in_place() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    let ask = |world: &mut World, id: String| {
        let mut info = world.clients["aa"].jingle(Action::SessionInfo);
        info.bridge_session = Some(BridgeSession {
            id,
            ice_restart: true,
            ..BridgeSession::default()
        });
        condition(&world.ask("aa", &info))
    };
    let stay = world.clients["aa"].stay();
    assert_eq!(ask(&mut world, "other".into()), "item-not-found");
    world.advance(Duration::from_secs(5));
    assert_eq!(ask(&mut world, stay.clone()), "result");
    let relayed = world.clients["aa"].transports.last().unwrap();
    let content = &relayed.contents[0];
    assert_eq!(
        (
            content.name.as_str(),
            content.transport.as_ref().unwrap().ice_generation
        ),
        ("audio", Some(1))
    );
    assert_eq!(ask(&mut world, stay), "resource-constraint");
    // The client's own new credentials go to the bridge with their generation.
    let mut transport = world.clients["aa"].jingle(Action::TransportInfo);
    let mut content = world.clients["aa"].content("audio", "a0", &[], vec![]);
    content.transport.as_mut().unwrap().ice_generation = Some(1);
    transport.contents = vec![content];
    assert_eq!(condition(&world.ask("aa", &transport)), "result");
    assert_eq!(
        world.bridges["jvb1"]
            .endpoint(MEETING, "aa")
            .transport
            .as_ref()
            .unwrap()
            .ice_generation,
        Some(1)
    );
    assert_eq!(world.clients["aa"].offers.len(), 1);
}

fn restart(world: &World, nick: &str) -> Jingle {
    let client = &world.clients[nick];
    let mut terminate = client.jingle(Action::SessionTerminate);
    terminate.bridge_session = Some(BridgeSession {
        id: client.stay(),
        restart: Some(true),
        ..BridgeSession::default()
    });
    terminate
}

#[test]
fn restart_a_session() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::old("aa"));
    world.join(FakeClient::old("bb"));
    let before = world.clients["aa"].known.clone();
    let terminate = restart(&world, "bb");
    world.clients.get_mut("bb").unwrap().session = None;
    world.clients.get_mut("bb").unwrap().known.clear();
    assert_eq!(condition(&world.ask("bb", &terminate)), "result");
    assert_eq!(world.clients["bb"].offers.len(), 2);
    let after = &world.clients["aa"].known;
    assert_eq!(after.len(), 3);
    assert!(
        after.keys().all(|ssrc| !before.contains_key(ssrc)),
        "old sources are gone, new ones told"
    );
    // Too soon again: the session ends all the same.
    let terminate = restart(&world, "bb");
    world.clients.get_mut("bb").unwrap().session = None;
    assert_eq!(
        condition(&world.ask("bb", &terminate)),
        "resource-constraint"
    );
    assert_eq!(world.bridges["jvb1"].conferences[MEETING].len(), 1);
}

#[test]
fn ice_failed_leads_to_a_new_session() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    let stay = world.clients["aa"].stay();
    let mut info = world.clients["aa"].jingle(Action::SessionInfo);
    info.bridge_session = Some(BridgeSession {
        id: stay,
        ..BridgeSession::default()
    });
    info.ice_state = Some("failed".into());
    assert_eq!(condition(&world.ask("aa", &info)), "result");
    let aa = &world.clients["aa"];
    assert_eq!((aa.offers.len(), aa.terminations.len()), (2, 1));
    assert_eq!(aa.terminations[0].1, "success");
    assert_eq!(world.bridges["jvb1"].conferences[MEETING].len(), 2);
}

#[test]
fn a_client_that_ends_its_session_is_left_alone() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    let terminate = world.clients["bb"].jingle(Action::SessionTerminate);
    assert_eq!(condition(&world.ask("bb", &terminate)), "result");
    world.join(FakeClient::new("cc"));
    assert_eq!(world.clients["bb"].offers.len(), 1);
    assert_eq!(
        condition(&world.ask("bb", &terminate)),
        "result",
        "an end crossing an end is no mistake"
    );
}

#[test]
fn a_client_that_refuses_offers_gets_two_more() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    let mut bb = FakeClient::new("bb");
    bb.refuses = true;
    world.join(bb);
    world.advance(Duration::from_secs(10));
    assert_eq!(world.clients["bb"].offers.len(), 3);
    assert_eq!(world.bridges["jvb1"].conferences[MEETING].len(), 1);
    assert!(world.clients["aa"].session.is_some());
}

#[test]
fn the_focus_is_thrown_out() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    let kicked = element("presence", ns::CLIENT)
        .attr("from", format!("{ROOM}/focus"))
        .attr("type", "unavailable")
        .child(user("none", "none", None, true));
    world.joined.clear();
    world.deliver(kicked.done());
    assert!(world.bridges["jvb1"].conferences.is_empty());
    assert!(world.left.is_empty());
    assert_eq!(world.focus.stats().conferences, 0);
}

#[test]
fn a_room_is_joined_again_while_the_server_still_confirms_the_leave() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    let goodbye = Build::from(world.clients["aa"].presence())
        .attr("type", "unavailable")
        .done();
    world.clients.clear();
    // The last member leaves and somebody asks for the room before the server answers anything.
    world.focus.handle_stanza(world.now, &goodbye);
    let request = focus::ConferenceRequest::new(stanza::BareJid::new(ROOM).unwrap());
    let id = world.focus.conference_request(world.now, request);
    world.run();
    assert_eq!(world.left, [ROOM]);
    assert!(world.replies[&id].clone().unwrap().ready);
    assert_eq!(world.focus.stats().conferences, 1);
}

#[test]
fn one_that_refuses_does_not_hold_up_the_others() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    let mut bb = FakeClient::new("bb");
    bb.refuses = true;
    world.join(bb);
    world.join(FakeClient::new("cc"));
    assert!(world.clients["cc"].session.is_some());
}

#[test]
fn every_iq_is_answered() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    for (payload, expected) in [
        (element("ping", ns::PING).done(), "result"),
        (element("query", ns::DISCO_INFO).done(), "result"),
        (element("odd", "urn:odd").done(), "service-unavailable"),
        (element("jingle", ns::JINGLE).done(), "bad-request"),
        (
            Element::from(&Jingle::new(Action::SessionAccept, "x")),
            "item-not-found",
        ),
        (
            Element::from(&Jingle::new(Action::ContentModify, "x")),
            "item-not-found",
        ),
        (element("mute", ns::JITMEET_AUDIO).done(), "bad-request"),
    ] {
        assert_eq!(
            condition(&world.ask("aa", payload.clone())),
            expected,
            "{payload:?}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_stanzas() {
    let run = || {
        let mut world = World::ready(&["jvb1"]);
        world.join(FakeClient::new("aa"));
        world.join(FakeClient::new("bb"));
        world
            .sent
            .iter()
            .map(stanza::xml::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_lost_stream_is_waited_for() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    world.join(FakeClient::new("bb"));
    world.focus.offline(world.now);
    world.advance(Duration::from_secs(10));
    let jid = stanza::FullJid::new(FOCUS).unwrap();
    world.focus.online(world.now, jid.clone(), true);
    world.run();
    world.advance(Duration::from_secs(5));
    assert_eq!(world.clients["aa"].offers.len(), 1, "nothing happened");
    assert_eq!(world.focus.stats().sessions, 2);
    world.focus.offline(world.now);
    world.advance(Duration::from_secs(600));
    assert_eq!(world.focus.stats().sessions, 2, "however long it takes");
    world.focus.online(world.now, jid, true);
    world.run();
    world.advance(Duration::from_secs(5));
    assert_eq!(world.clients["aa"].offers.len(), 1, "nothing happened");
}
