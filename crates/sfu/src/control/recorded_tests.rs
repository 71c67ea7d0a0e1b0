//! What jicofo asked of jitsi-videobridges in recorded meetings, asked of ours: the answers are alike but for keys and numbers.

use stanza::Element;
use stanza::colibri2::{ConferenceModified, Transport};
use stanza::xml::to_string;

use super::tests::Fixture;

/// Two bridges with a relay: three people come, one shares a screen, one leaves and comes back, the end.
const RELAYS: &str = include_str!("../../../stanza/testdata/recorded/relays.txt");
/// A bridge with a meeting is killed, which goes to another one.
const FAILOVER: &str = include_str!("../../../stanza/testdata/recorded/failover.txt");
/// A bridge with a meeting is drained and shut down.
const DRAIN: &str = include_str!("../../../stanza/testdata/recorded/drain.txt");

/// What was asked of a bridge and what it answered, in order. Lines say the bridge, `<` or `>`, and the element, in which
/// lines before stand for descriptions of media.
fn exchanges(recording: &str, bridge: &str) -> Vec<(String, Element)> {
    let mut media = Vec::new();
    let mut exchanges: Vec<(String, Element)> = Vec::new();
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
                "<" => exchanges.push((xml, Element::bare("none", "none"))),
                _ => exchanges.last_mut().unwrap().1 = xml.parse().unwrap(),
            }
        }
    }
    exchanges
}

/// An answer without what differs from one bridge to another: keys, addresses and numbers. Ports stay.
fn compared(answer: &Element) -> ConferenceModified {
    let mut answer = ConferenceModified::try_from(answer).unwrap();
    let endpoints = answer.endpoints.iter_mut().map(|e| &mut e.transport);
    let transports = endpoints.chain(answer.relays.iter_mut().map(|r| &mut r.transport));
    for transport in transports.flatten() {
        let Transport { ice: Some(ice), .. } = transport else {
            continue;
        };
        assert!(ice.ufrag.take().is_some() && ice.pwd.take().is_some());
        // Ours takes DTLS in checks, and has its WebSockets on.
        ice.sped = false;
        ice.sctp_init = None;
        ice.web_sockets.clear();
        ice.fingerprints.iter_mut().for_each(|f| f.value.clear());
        for candidate in &mut ice.candidates {
            candidate.id.clear();
            candidate.ip.clear();
            candidate.foundation.clear();
        }
    }
    let sources = answer.sources.iter_mut().flatten();
    for source in sources.flat_map(|s| &mut s.sources) {
        source.ssrc = 0;
    }
    answer
}

fn replay(recording: &str, bridge: &str) {
    let mut f = Fixture::called(Some(bridge));
    f.controller
        .spare_addresses(vec!["192.0.2.1:38020".parse().unwrap()]);
    let exchanges = exchanges(recording, bridge);
    assert!(!exchanges.is_empty());
    for (request, theirs) in exchanges {
        let ours = f.ask(&request);
        let ours = ours.unwrap_or_else(|error| panic!("{bridge}: {error:?}: {request}"));
        let written: Element = to_string(&Element::from(&ours)).parse().unwrap();
        assert_eq!(
            compared(&written),
            compared(&theirs),
            "{bridge} was asked: {request}"
        );
    }
}

#[test]
fn a_meeting_on_two_bridges_with_a_relay() {
    for bridge in ["jvb1", "jvb2"] {
        replay(RELAYS, bridge);
    }
}

#[test]
fn a_meeting_that_comes_from_a_bridge_that_was_killed() {
    for bridge in ["jvb1", "jvb2"] {
        replay(FAILOVER, bridge);
    }
}

#[test]
fn a_meeting_that_leaves_a_drained_bridge() {
    for bridge in ["jvb1", "jvb2"] {
        replay(DRAIN, bridge);
    }
}
