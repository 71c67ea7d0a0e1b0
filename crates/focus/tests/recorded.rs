//! Offers and requests to bridges against recorded ones of the system whose clients and bridges must be served.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::time::Duration;

use focus::{ConferenceRequest, Strategy};
use stanza::colibri2::{ConferenceModify, Endpoint};
use stanza::jingle::Jingle;
use stanza::media::IceTransport;
use stanza::xml::{Limits, parse};
use stanza::{BareJid, Element};
use support::*;

fn fixture(text: &str) -> Element {
    parse(text.trim_end(), &Limits::SERVICE).unwrap()
}

/// What differs from one session to the next.
fn without_ids(mut jingle: Jingle) -> Jingle {
    jingle.sid = String::new();
    for content in &mut jingle.contents {
        let transport: &mut IceTransport = content.transport.as_mut().unwrap();
        (transport.ufrag, transport.pwd) = (None, None);
        transport
            .candidates
            .iter_mut()
            .for_each(|candidate| candidate.id.clear());
    }
    let bridge_session = jingle.bridge_session.as_mut().unwrap();
    (bridge_session.id, bridge_session.region) = (String::new(), None);
    jingle
}

fn world() -> World {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("2905496c"));
    world.join(FakeClient::new("fa640d1f"));
    world
}

#[test]
fn an_offer_is_the_recorded_one_but_for_ids() {
    let recorded = Jingle::try_from(&fixture(include_str!("fixtures/offer.xml"))).unwrap();
    let ours = world().clients["2905496c"].offers[0].clone();
    assert_eq!(without_ids(ours), without_ids(recorded));
}

#[test]
fn an_allocation_is_the_recorded_one() {
    let recorded =
        ConferenceModify::try_from(&fixture(include_str!("fixtures/allocation.xml"))).unwrap();
    assert_eq!(world().bridges["jvb1"].requests[0], recorded);
}

/// Two bridges with a relay: three people come, one shares a screen, one leaves and comes back, the end.
const RELAYS: &str = include_str!("../../stanza/testdata/recorded/relays.txt");
/// A bridge with a meeting is killed, which goes to another one.
const FAILOVER: &str = include_str!("../../stanza/testdata/recorded/failover.txt");
const SECOND: Duration = Duration::from_secs(1);

/// What was asked of a bridge, and what it answered. Lines say the bridge, `<` or `>`, and the element, in which lines before
/// stand for descriptions of media.
fn recorded(recording: &str, bridge: &str) -> (Vec<ConferenceModify>, Vec<Element>) {
    let mut media = Vec::new();
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    for line in recording.lines() {
        let (who, rest) = line.split_once(' ').unwrap();
        if who.starts_with("media") {
            media.push((format!("{{{who}}}"), rest));
        } else if who == bridge {
            let (way, xml) = rest.split_once(' ').unwrap();
            let mut xml = xml.to_owned();
            for (name, description) in &media {
                xml = xml.replace(name, description);
            }
            match way {
                "<" => asked.push(ConferenceModify::try_from(&fixture(&xml)).unwrap()),
                _ => answered.push(fixture(&xml)),
            }
        }
    }
    (asked, answered)
}

/// A bridge that answers as a recorded one did.
fn add(world: &mut World, recording: &str, bridge: &str, stress: &str) {
    world.add_bridge(bridge, 0.0);
    let added = world.bridges.get_mut(bridge).unwrap();
    (added.relates, added.recorded) = (true, recorded(recording, bridge).1);
    let stats = [
        ("stress_level", stress),
        ("drain", "false"),
        ("relay_id", bridge),
    ];
    world.bridge_stats(bridge, &stats);
}

/// The first client asks for the room, as the recorded ones did.
fn request(world: &mut World) {
    let mut request = ConferenceRequest::new(BareJid::new(ROOM).unwrap());
    let no = ("rtcstatsEnabled".to_owned(), "false".to_owned());
    request.properties.extend([no]);
    world.focus.conference_request(world.now, request);
    world.run();
}

/// Of what was asked all that is not about a client's own media, without what is merely called otherwise.
fn compared(asked: &[ConferenceModify]) -> Vec<ConferenceModify> {
    let made = |endpoints: &[Endpoint]| endpoints.iter().any(|e| e.create || e.expire);
    let meant = asked.iter().filter(|asked| {
        let mut relays = asked.relays.iter();
        made(&asked.endpoints) || relays.any(|r| r.transport.is_some() || made(&r.endpoints))
    });
    let mut all: Vec<ConferenceModify> = meant.cloned().collect();
    for asked in &mut all {
        asked.name = asked.name.take().map(|_| String::new());
        let behind = asked.relays.iter_mut().flat_map(|r| &mut r.endpoints);
        for endpoint in asked.endpoints.iter_mut().chain(behind) {
            endpoint.stats_id = endpoint.stats_id.take().map(|_| String::new());
            endpoint.media.sort_by_key(|media| media.media.name());
        }
        for relay in &mut asked.relays {
            relay.media.sort_by_key(|media| media.media.name());
            // It was switched off there.
            for media in &mut relay.media {
                media.payload_types.retain(|pt| pt.name != "red");
            }
        }
    }
    all
}

/// How a client is to reach its bridge, by the offer: user fragment, fingerprint, address; and the bridge's own source.
fn reached(client: &FakeClient, offer: usize) -> (String, String, String, u32) {
    let offer = &client.offers[offer];
    let transport = offer.contents.iter().find_map(|c| c.transport.as_ref());
    let transport = transport.unwrap();
    let (print, candidate) = (&transport.fingerprints[0], &transport.candidates[0]);
    let bridge = &offer.sources.as_ref().unwrap().0["jvb"];
    (
        transport.ufrag.clone().unwrap(),
        print.value[..5].to_owned(),
        format!("{}:{}", candidate.ip, candidate.port),
        bridge.audio[0].ssrc,
    )
}

#[test]
fn two_bridges_are_asked_for_a_relay_as_they_were() {
    let mut world = World::with(|config| config.bridges.strategy = Strategy::Split);
    let meeting = "505f0742-2646-418c-8c22-b000a8a03443";
    world.form_fields = vec![("muc#roominfo_meetingId".into(), meeting.into())];
    for bridge in ["jvb1", "jvb2"] {
        add(&mut world, RELAYS, bridge, "0.0");
    }
    request(&mut world);
    for nick in ["5179117f", "d833a337", "f9c0b315"] {
        world.join(FakeClient::new(nick));
        world.advance(SECOND);
    }
    world.leave("f9c0b315");
    world.advance(SECOND);
    world.join(FakeClient::new("ec3e62ed"));
    world.advance(SECOND);
    for bridge in ["jvb1", "jvb2"] {
        let theirs = compared(&recorded(RELAYS, bridge).0);
        let ours = compared(&world.bridges[bridge].requests);
        assert_eq!(ours, theirs, "{bridge}");
        assert!(world.bridges[bridge].recorded.iter().all(|left| {
            let text = stanza::xml::to_string(left);
            !text.contains("ufrag")
        }));
    }
    let expected = |ufrag: &str, print: &str, address: &str, ssrc| {
        (ufrag.to_owned(), print.to_owned(), address.to_owned(), ssrc)
    };
    assert_eq!(
        reached(&world.clients["5179117f"], 0),
        expected("b15sr1k87sb1u5", "00:64", "10.99.0.11:10000", 4_244_378_529)
    );
    assert_eq!(
        reached(&world.clients["d833a337"], 0),
        expected("45sj11k87sb1v6", "36:81", "10.99.0.12:10000", 1_452_661_750)
    );
}

#[test]
fn a_killed_bridge_is_left_for_the_other_one_as_it_was() {
    let mut world = World::new();
    let meeting = "1035e361-01d2-4b17-b9b2-ab7d9e61ec13";
    world.form_fields = vec![("muc#roominfo_meetingId".into(), meeting.into())];
    add(&mut world, FAILOVER, "jvb1", "0.3");
    add(&mut world, FAILOVER, "jvb2", "0.0");
    request(&mut world);
    for nick in ["f3c521c9", "7eb31f21", "aca4992c"] {
        world.join(FakeClient::new(nick));
        world.advance(SECOND);
    }
    let theirs = compared(&recorded(FAILOVER, "jvb2").0);
    assert_eq!(compared(&world.bridges["jvb2"].requests), theirs);
    world.kill_bridge("jvb2");
    world.advance(SECOND);
    // Who comes first is not always the same one: the first says what the meeting is called.
    let order = |mut asked: Vec<ConferenceModify>| {
        let first = &mut asked[0];
        assert!(first.create && first.name.take().is_some() && !first.rtcstats_enabled);
        (first.create, first.rtcstats_enabled) = (false, true);
        asked.sort_by(|a, b| a.endpoints[0].id.cmp(&b.endpoints[0].id));
        asked.retain(|asked| asked.endpoints[0].create);
        asked
    };
    let theirs = order(compared(&recorded(FAILOVER, "jvb1").0));
    assert_eq!(theirs.len(), 3);
    assert_eq!(order(compared(&world.bridges["jvb1"].requests)), theirs);
    for (nick, ufrag) in recorded_ufrags() {
        let client = &world.clients[nick];
        assert_eq!(client.offers.len(), 2);
        assert_eq!(client.terminations.len(), 1);
        assert_eq!(client.terminations[0].1, "success");
        let (offered, _, address, _) = reached(client, 1);
        assert_eq!((offered, address.as_str()), (ufrag, "10.99.0.11:10000"));
    }
}

/// By what each of the three reaches the other bridge.
fn recorded_ufrags() -> Vec<(&'static str, String)> {
    let answers = recorded(FAILOVER, "jvb1").1;
    let answers = answers
        .iter()
        .map(|answer| stanza::colibri2::ConferenceModified::try_from(answer).unwrap());
    let endpoints: Vec<Endpoint> = answers.flat_map(|answer| answer.endpoints).collect();
    let ufrag = |nick: &&'static str| {
        let mut all = endpoints.iter().filter(|e| e.id == *nick);
        let ice = all.find_map(|e| e.transport.as_ref()?.ice.as_ref());
        (*nick, ice.unwrap().ufrag.clone().unwrap())
    };
    ["f3c521c9", "7eb31f21", "aca4992c"]
        .iter()
        .map(ufrag)
        .collect()
}
