//! Jingle against what real clients send.
use proptest::prelude::*;

use super::*;
use crate::xml::{Limits, parse, to_string};

const ACCEPT: &str = "<jingle action='session-accept' xmlns='urn:xmpp:jingle:1' responder='u1@meet.test/r' initiator='room@conference.meet.test/focus' sid='1sb1g9toeento'>\
<traceparent parent_id='0' trace_id='0' trace_flags='00' xmlns='jitsi:opentelemetry'/>\
<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='audio'/><content name='video'/><content name='data'/></group>\
<content name='audio' creator='responder' senders='both'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>\
<payload-type clockrate='48000' channels='2' id='111' name='opus'><parameter name='minptime' value='10'/><rtcp-fb type='transport-cc' xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0'/></payload-type>\
<source ssrc='3055474023' name='aa-a0' xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'><parameter name='msid' value='aa-audio-0-1 x-1'/></source>\
<rtcp-mux/><rtp-hdrext uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level' id='1' xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/>\
<extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/></description>\
<transport ufrag='zjTb' pwd='uOw1BOXLYNvfxInEVQ2652hy' xmlns='urn:xmpp:jingle:transports:ice-udp:1'><fingerprint setup='active' hash='sha-256' xmlns='urn:xmpp:jingle:apps:dtls:0'>A1:4B</fingerprint></transport></content>\
<content name='video' creator='responder' senders='both'><initial-last-n xmlns='jitsi:colibri2' value='20'/>\
<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>\
<source ssrc='1' name='aa-v0' videoType='camera' xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'/><source ssrc='2' name='aa-v0' xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'/>\
<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='1'/><source ssrc='2'/></ssrc-group></description></content>\
<content name='data' creator='responder'><transport ufrag='zjTb' pwd='p' xmlns='urn:xmpp:jingle:transports:ice-udp:1'>\
<sctpmap streams='0' protocol='webrtc-datachannel' number='5000' xmlns='urn:xmpp:jingle:transports:dtls-sctp:1'/></transport></content></jingle>";

fn read(text: &str) -> Result<Jingle, Malformed> {
    Jingle::try_from(&parse(text, &Limits::CLIENT).unwrap())
}

#[test]
fn an_accept_is_read_whole() {
    let accept = read(ACCEPT).unwrap();
    assert_eq!(accept.action, Action::SessionAccept);
    assert_eq!(accept.sid, "1sb1g9toeento");
    assert_eq!(
        accept.bundle.as_deref(),
        Some(["audio", "video", "data"].map(String::from).as_slice())
    );
    let [audio, video, data] = accept.contents.as_slice() else {
        panic!("{accept:?}")
    };
    assert_eq!(
        audio.all_sources().map(|s| s.ssrc).collect::<Vec<_>>(),
        [3_055_474_023]
    );
    let transport = audio.transport.as_ref().unwrap();
    assert_eq!(transport.ufrag.as_deref(), Some("zjTb"));
    assert!(!transport.rtcp_mux);
    assert!(audio.description.as_ref().unwrap().rtcp_mux);
    assert_eq!(video.initial_last_n, Some(20));
    assert_eq!(
        video.all_groups().next().map(|g| g.ssrcs.clone()),
        Some(vec![1, 2])
    );
    assert_eq!(data.sctp.as_ref().map(|s| s.number), Some(5000));
    assert_eq!(data.media(), "data");
}

#[test]
fn what_is_written_is_read_again() {
    let accept = read(ACCEPT).unwrap();
    assert_eq!(read(&to_string(&Element::from(&accept))), Ok(accept));
}

#[test]
fn restart_requests() {
    let terminate = read(
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s'><reason><connectivity-error/><text>ICE FAILED</text></reason>\
         <bridge-session xmlns='http://jitsi.org/protocol/focus' id='b1' restart='true'/></jingle>",
    )
    .unwrap();
    let session = terminate.bridge_session.unwrap();
    assert_eq!(
        (session.id.as_str(), session.restart, session.ice_restart),
        ("b1", Some(true), false)
    );
    let reason = terminate.reason.unwrap();
    assert_eq!(
        (reason.condition.as_str(), reason.text.as_deref()),
        ("connectivity-error", Some("ICE FAILED"))
    );
    let info = read(
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s'><bridge-session xmlns='http://jitsi.org/protocol/focus' id='b1' ice-restart='true'/>\
         <ice-state xmlns='http://jitsi.org/protocol/focus'>failed</ice-state></jingle>",
    )
    .unwrap();
    assert!(info.bridge_session.unwrap().ice_restart);
    assert_eq!(info.ice_state.as_deref(), Some("failed"));
}

#[test]
fn older_names_of_source_changes() {
    for (name, action) in [
        ("addsource", Action::SourceAdd),
        ("removesource", Action::SourceRemove),
    ] {
        assert_eq!(Action::from_name(name), action);
    }
    assert_eq!(Action::from_name("x").name(), "x");
}

#[test]
fn malformed_stanzas_say_what_is_wrong() {
    let many = "<content name='x'/>".repeat(MAX_CONTENTS + 1);
    for (inner, element, problem) in [
        ("sid='s'>", "jingle", "no action"),
        ("action='session-info'>", "jingle", "no sid"),
        ("action='session-info' sid=''>", "jingle", "no sid"),
        (
            "action='session-accept' sid='s'><content/>",
            "content",
            "no name",
        ),
        (
            "action='source-add' sid='s'><content name='video'><description xmlns='urn:xmpp:jingle:apps:rtp:1'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='-1'/></description></content>",
            "source",
            "ssrc must be a 32-bit number",
        ),
        (
            &format!("action='source-add' sid='s'>{many}"),
            "content",
            "too many",
        ),
        (
            "action='source-add' sid='s'><json-message xmlns='http://jitsi.org/jitmeet'>{}</json-message>",
            "json-message",
            "not compact sources",
        ),
    ] {
        let text = format!("<jingle xmlns='urn:xmpp:jingle:1' {inner}</jingle>");
        assert_eq!(
            read(&text),
            Err(Malformed {
                element: leak(element),
                problem: leak(problem)
            }),
            "{text}"
        );
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn source() -> impl Strategy<Value = Source> {
    (
        any::<u32>(),
        proptest::option::of("[a-z0-9-]{1,10}"),
        proptest::option::of("camera|desktop"),
    )
        .prop_map(|(ssrc, name, video_type)| Source {
            ssrc,
            name,
            video_type,
            ..Source::default()
        })
}

proptest! {
    #[test]
    fn sources_round_trip(
        sources in proptest::collection::vec(source(), 0..8),
        ssrcs in proptest::collection::vec(any::<u32>(), 0..4),
        sid in "[a-z0-9]{1,13}",
    ) {
        let mut jingle = Jingle::new(Action::SourceAdd, &sid);
        let groups = vec![SsrcGroup { semantics: "FID".into(), ssrcs }];
        jingle.contents.push(Content {
            name: "video".into(),
            description: Some(Description { media: Some("video".into()), sources, groups, ..Description::default() }),
            ..Content::default()
        });
        prop_assert_eq!(read(&to_string(&Element::from(&jingle))), Ok(jingle));
    }

    #[test]
    fn any_values_are_read_or_refused(action in "\\PC{0,12}", sid in "\\PC{0,12}", ssrc in "\\PC{0,12}") {
        let source = element("source", NS_SSMA).attr("ssrc", ssrc);
        let content = element("content", ns::JINGLE).attr("name", "video").child(source);
        let jingle = element("jingle", ns::JINGLE).attr("action", action).attr("sid", sid).child(content).done();
        let _ = Jingle::try_from(&jingle);
    }
}

#[test]
fn a_transport_says_that_it_takes_dtls_in_checks() {
    let transport = IceTransport {
        sped: true,
        sctp_init: Some("AQAAFA==".to_owned()),
        ..IceTransport::default()
    };
    let element = Element::from(&transport);
    assert!(element.has_child("sped", "urn:pontoon:sped:0"));
    assert!(element.has_child("sctp-init", "urn:pontoon:snap:0"));
    assert_eq!(IceTransport::try_from(&element), Ok(transport));
    let plain = Element::from(&IceTransport::default());
    assert_eq!(plain.children().count(), 0);
}
