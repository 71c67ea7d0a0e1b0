//! Recorded requests and answers, read and written back.

use minidom::Element;

use super::*;
use crate::media::{MediaType, Setup};

const CREATE: &str = include_str!("../../testdata/colibri2/create.xml");
const CREATED: &str = include_str!("../../testdata/colibri2/created.xml");
const UPDATE: &str = include_str!("../../testdata/colibri2/update.xml");
const RESTARTED: &str = include_str!("../../testdata/colibri2/restarted.xml");

fn element(text: &str) -> Element {
    text.parse().unwrap()
}

fn child(text: &str) -> Element {
    element(text).children().next().unwrap().clone()
}

#[test]
fn create_request() {
    let request = ConferenceModify::try_from(&child(CREATE)).unwrap();
    assert!(request.create && !request.expire && !request.rtcstats_enabled);
    assert_eq!(
        request.name.as_deref(),
        Some("standup@conference.meet.test")
    );
    let endpoint = &request.endpoints[0];
    assert_eq!((endpoint.id.as_str(), endpoint.create), ("2905496c", true));
    assert_eq!(endpoint.sources, Some(vec![]));
    assert!(endpoint.has_capability(capability::SSRC_REWRITING));
    let transport = endpoint.transport.as_ref().unwrap();
    assert!(transport.ice_controlling && transport.ice.is_none());
    assert_eq!(transport.sctp, Some(Sctp::default()));
    let video = &endpoint.media[0];
    assert_eq!(
        (video.media, video.extmap_allow_mixed),
        (MediaType::Video, true)
    );
    let vp8 = &video.payload_types[0];
    assert_eq!(
        (vp8.id, vp8.name.as_str(), vp8.clockrate),
        (100, "VP8", 90_000)
    );
    assert!(
        vp8.has_fb("nack", Some("pli"))
            && vp8.has_fb("nack", None)
            && vp8.has_fb("ccm", Some("fir"))
    );
    assert_eq!(video.payload_types[1].parameter("apt"), Some("100"));
    assert_eq!(video.hdr_exts[0].id, 3);
    assert_eq!(endpoint.media[1].payload_types[0].channels, 2);
}

#[test]
fn create_answer() {
    let answer = ConferenceModified::try_from(&child(CREATED)).unwrap();
    let transport = answer.endpoints[0].transport.as_ref().unwrap();
    assert_eq!(
        transport.sctp,
        Some(Sctp {
            role: Some(SctpRole::Server),
            port: Some(5000)
        })
    );
    let ice = transport.ice.as_ref().unwrap();
    assert!(ice.rtcp_mux && ice.ice_generation.is_none());
    assert_eq!(ice.fingerprints[0].setup, Some(Setup::Actpass));
    assert_eq!(
        (ice.candidates[0].ip.as_str(), ice.candidates[0].port),
        ("10.99.0.11", 10_000)
    );
    assert_eq!(ice.candidates[0].priority, 2_130_706_431);
    assert_eq!(
        ice.web_sockets,
        ["wss://meet.test/colibri-ws/jvb1/11dc889c75226ddc/2905496c?pwd=x"]
    );
    let sources = answer.sources.unwrap();
    assert_eq!(
        (sources[0].id.as_str(), sources[0].sources[0].ssrc),
        ("jvb-a0", 169_720_827)
    );
}

#[test]
fn update_with_sources() {
    let request = ConferenceModify::try_from(&child(UPDATE)).unwrap();
    let endpoint = &request.endpoints[0];
    let sources = endpoint.sources.as_ref().unwrap();
    assert_eq!(sources[1].media, MediaType::Video);
    assert_eq!(sources[1].sources.len(), 4);
    assert_eq!(sources[1].groups.len(), 3);
    assert_eq!(sources[1].groups[1].semantics, "SIM");
    assert_eq!(endpoint.initial_last_n, Some(20));
    let ice = endpoint.transport.as_ref().unwrap().ice.as_ref().unwrap();
    assert_eq!(
        (ice.ufrag.as_deref(), ice.fingerprints[0].setup),
        (Some("zjTb"), Some(Setup::Active))
    );
}

#[test]
fn written_stanzas_read_the_same() {
    for text in [CREATE, UPDATE] {
        let request = ConferenceModify::try_from(&child(text)).unwrap();
        assert_eq!(
            ConferenceModify::try_from(&Element::from(&request)).unwrap(),
            request
        );
    }
    for text in [CREATED, RESTARTED] {
        let answer = ConferenceModified::try_from(&child(text)).unwrap();
        assert_eq!(
            ConferenceModified::try_from(&Element::from(&answer)).unwrap(),
            answer
        );
    }
    let restarted = ConferenceModified::try_from(&child(RESTARTED)).unwrap();
    let ice = restarted.endpoints[0]
        .transport
        .as_ref()
        .unwrap()
        .ice
        .as_ref()
        .unwrap();
    assert_eq!(
        (ice.ice_generation, ice.fingerprints[0].setup),
        (Some(1), Some(Setup::Passive))
    );
}

#[test]
fn relays_and_connects_survive() {
    let text = "<conference-modify xmlns='jitsi:colibri2' meeting-id='m'><connects><connect id='t'/></connects>\
        <relay id='r2' create='true' mesh-id='0'><media type='audio'/>\
        <transport ice-controlling='true' use-unique-port='true'><sctp role='client'/></transport>\
        <endpoints><endpoint id='c' create='true'><sources/></endpoint></endpoints></relay></conference-modify>";
    let request = ConferenceModify::try_from(&element(text)).unwrap();
    let relay = &request.relays[0];
    assert_eq!(
        (relay.mesh_id.as_deref(), relay.endpoints.len()),
        (Some("0"), 1)
    );
    assert_eq!(
        relay.transport.as_ref().unwrap().sctp.unwrap().role,
        Some(SctpRole::Client)
    );
    assert!(request.connects.is_some() && request.rtcstats_enabled);
    assert_eq!(
        ConferenceModify::try_from(&Element::from(&request)).unwrap(),
        request
    );
}

#[test]
fn malformed_requests_are_named() {
    for (text, element) in [
        (
            "<conference-modify xmlns='jitsi:colibri2'/>",
            "conference-modify",
        ),
        (
            "<conference-modify xmlns='jitsi:colibri2' meeting-id='m'><endpoint/></conference-modify>",
            "endpoint",
        ),
        (
            "<conference-modify xmlns='jitsi:colibri2' meeting-id='m'><endpoint id='a'><media type='x'/></endpoint></conference-modify>",
            "media",
        ),
        (
            "<conference-modify xmlns='jitsi:colibri2' meeting-id='m'><endpoint id='a'><sources><media-source type='audio' id='a'>\
             <source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='4294967296'/></media-source></sources></endpoint></conference-modify>",
            "source",
        ),
    ] {
        assert_eq!(
            ConferenceModify::try_from(&self::element(text))
                .unwrap_err()
                .element,
            element
        );
    }
}

#[test]
fn errors_with_and_without_the_marker() {
    let iq = element("<iq xmlns='jabber:client' type='get' id='q9' from='b@m/focus' to='x'/>");
    let mut error = ErrorAnswer::marked("item-not-found", Reason::UnknownEndpoint, "no a1");
    error.endpoint = Some("a1".into());
    let reply = error.reply_to(&iq);
    assert_eq!(
        (reply.attr("id"), reply.attr("to")),
        (Some("q9"), Some("b@m/focus"))
    );
    assert_eq!(ErrorAnswer::of_iq(&reply), Some(error));
    // The room answers for an occupant that has left.
    let room = element(
        "<iq xmlns='jabber:client' type='error' id='q'><conference-modify xmlns='jitsi:colibri2'/>\
         <error type='cancel' by='b@m'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
    let answer = ErrorAnswer::of_iq(&room).unwrap();
    assert_eq!(
        (answer.condition.as_str(), answer.reason),
        ("item-not-found", None)
    );
    assert_eq!(ErrorAnswer::of_iq(&iq), None);
}
