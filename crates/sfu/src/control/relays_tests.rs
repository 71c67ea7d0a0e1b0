//! Relays as a focus asks for them, in the order and form of a recorded meeting.

use stanza::Element;
use stanza::colibri2::SctpRole;
use stanza::media::Setup;

use super::tests::{Fixture, MEDIA, NS};
use super::*;

const ICE: &str = "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8l7151k87sb1vq' pwd='1ilm0kvj9ail400au7is60vmt2'>\
    <rtcp-mux/><fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>36:81:CD:9A:DB:28:66:A1:82:1E:A6:C8:77:5D:D0:5D:37:A5:55:AC:00:76:92:8D:22:F2:CD:F4:8A:5E:4D:3E</fingerprint>\
    <candidate protocol='udp' foundation='1' generation='0' id='7' component='1' network='0' port='10000' type='host' ip='10.99.0.12' priority='2130706431'/></transport>";

fn relay(flags: &str, children: &str) -> String {
    format!(
        "<conference-modify {NS}><relay id='jvb2' {flags}>{children}</relay></conference-modify>"
    )
}

fn create(role: &str, unique: bool) -> String {
    let unique = if unique { "use-unique-port='true'" } else { "" };
    relay(
        "create='true' mesh-id='0'",
        &format!(
            "{MEDIA}<transport {unique} ice-controlling='true'><sctp role='{role}'/></transport>\
             <endpoints><endpoint id='d8' create='true' stats-id='U'><sources/><capability name='source-names'/></endpoint></endpoints>"
        ),
    )
}

fn sources(endpoint: &str, ssrc: u32) -> String {
    format!(
        "<endpoints><endpoint id='{endpoint}'><sources><media-source id='{endpoint}-v0' type='video'>\
         <source ssrc='{ssrc}' name='{endpoint}-v0' videoType='camera' xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'/>\
         </media-source></sources></endpoint></endpoints>"
    )
}

fn own() -> SocketAddr {
    "192.0.2.1:38020".parse().unwrap()
}

#[test]
fn a_relay_is_made_described_and_taken_back_as_recorded() {
    let mut f = Fixture::called(Some("jvb1"));
    f.create("a1", true, "");
    f.controller.spare_addresses(vec![own()]);
    let created = f.ask(&create("client", true)).unwrap();
    let answer = &created.relays[0];
    let transport = answer.transport.clone().unwrap();
    let ice = transport.ice.unwrap();
    assert_eq!((answer.id.as_str(), created.sources), ("jvb2", None));
    assert_eq!(ice.fingerprints[0].setup, Some(Setup::Actpass));
    assert_eq!(ice.candidates.len(), 1);
    assert_eq!(ice.candidates[0].port, 38020, "a port for this relay alone");
    let sctp = transport.sctp.unwrap();
    // Bridges are recorded to name the other one's role.
    assert_eq!((sctp.role, sctp.port), (Some(SctpRole::Server), Some(5000)));
    let bare = f
        .ask(&relay("", &format!("<transport>{ICE}</transport>")))
        .unwrap();
    let text = String::from(&Element::from(&bare.relays[0]));
    assert_eq!(text, "<relay xmlns='jitsi:colibri2' id='jvb2'/>");
    // Sources of those behind it, and who goes.
    f.ask(&relay("", &sources("d8", 7))).unwrap();
    let stats = |f: &Fixture| {
        let id = f.controller.shard().conferences()[0];
        f.controller.shard().conference_stats(id).unwrap()
    };
    assert_eq!(
        (stats(&f).relays, stats(&f).relayed, stats(&f).endpoints),
        (1, 1, 1)
    );
    f.ask(&relay(
        "",
        "<endpoints><endpoint id='d8' expire='true'/></endpoints>",
    ))
    .unwrap();
    assert_eq!(stats(&f).relayed, 0);
    let gone = f.ask(&relay("expire='true'", "")).unwrap();
    assert!(gone.relays[0].expire);
    let freed = std::iter::from_fn(|| f.controller.poll_output(f.now));
    let freed: Vec<_> = freed
        .filter_map(|o| match o {
            Output::AddressesFree(addresses) => Some(addresses),
            _ => None,
        })
        .collect();
    assert_eq!(freed, [vec![own()]]);
    // What is gone may go again.
    assert!(f.ask(&relay("expire='true'", "")).is_ok());
}

#[test]
fn the_younger_bridge_shares_its_port_and_waits_for_the_channel() {
    let mut f = Fixture::called(Some("jvb1"));
    f.create("a1", true, "");
    f.controller.spare_addresses(vec![own()]);
    let created = f.ask(&create("server", false)).unwrap();
    let transport = created.relays[0].transport.clone().unwrap();
    assert_eq!(transport.sctp.unwrap().role, Some(SctpRole::Client));
    assert_eq!(transport.ice.unwrap().candidates[0].port, 10000);
    assert_eq!(f.controller.take_spare(), [own()], "it is not used up");
}

#[test]
fn requests_about_relays_that_cannot_be_met() {
    let mut f = Fixture::called(Some("jvb1"));
    f.create("a1", true, "");
    let update = relay("", &format!("<transport>{ICE}</transport>"));
    let cases = [
        (update, "bad-request"),
        (relay("create='true'", ""), "bad-request"),
        (
            relay("create='true'", "<transport/>"),
            "feature-not-implemented",
        ),
        (
            relay(
                "create='true'",
                "<transport><sctp port='5001'/></transport>",
            ),
            "bad-request",
        ),
    ];
    for (request, condition) in cases {
        assert_eq!(
            f.ask(&request).unwrap_err().condition,
            condition,
            "{request}"
        );
    }
    f.ask(&create("client", true)).unwrap();
    assert_eq!(
        f.ask(&create("client", true)).unwrap_err().condition,
        "conflict"
    );
    // SSRCs that somebody here has are no fault of the focus: what they are of is left out.
    f.ask(&format!(
        "<conference-modify {NS}><endpoint id='a1'>{}</endpoint></conference-modify>",
        "<sources><media-source id='a1-v0' type='video'><source ssrc='7' xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'/></media-source></sources>"
    ))
    .unwrap();
    assert!(f.ask(&relay("", &sources("d8", 7))).is_ok());
    let mut notes = std::iter::from_fn(|| f.controller.poll_output(f.now));
    assert!(notes.any(|o| matches!(o, Output::Note(Note::Ignored(..)))));
}

#[test]
fn with_a_relay_alone_a_conference_ends_by_itself() {
    let mut f = Fixture::called(Some("jvb1"));
    f.create("a1", true, "");
    f.ask(&create("client", true)).unwrap();
    let expire =
        format!("<conference-modify {NS}><endpoint id='a1' expire='true'/></conference-modify>");
    f.ask(&expire).unwrap();
    assert_eq!(f.controller.shard().conferences().len(), 1);
    for _ in 0..400 {
        f.now += std::time::Duration::from_millis(500);
        f.controller.handle_timeout(f.now);
        while f.controller.poll_output(f.now).is_some() {}
    }
    assert_eq!(f.controller.shard().conferences().len(), 0);
}

#[test]
fn somebody_who_moves_here_is_not_behind_the_relay_any_more() {
    let mut f = Fixture::called(Some("jvb1"));
    f.create("a1", true, "");
    f.ask(&create("client", true)).unwrap();
    f.ask(&relay("", &sources("d8", 7))).unwrap();
    f.create("d8", false, "");
    let id = f.controller.shard().conferences()[0];
    let stats = f.controller.shard().conference_stats(id).unwrap();
    assert_eq!((stats.endpoints, stats.relayed), (2, 0));
}
