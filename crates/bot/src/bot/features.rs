//! What a participant can do, as its presence says and whoever asks it hears (XEP-0030): our focus reads the one, jicofo asks.

use stanza::disco::Info;
use stanza::{Element, element, iq, ns};

const FEATURES: [&str; 8] = [
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:transports:dtls-sctp:1",
    "urn:ietf:rfc:4588",
    "http://jitsi.org/tcc",
    "http://jitsi.org/ssrc-rewriting-1",
    "http://jitsi.org/json-encoded-sources",
    "http://jitsi.org/source-name",
];

/// What those have who can have two sessions: for a while, or one as a spare.
const OF_TWO_SESSIONS: [&str; 2] = [ns::MOVES, ns::SPARES];

/// All of them; `moves`: it can have two sessions.
fn features(moves: bool) -> impl Iterator<Item = &'static str> {
    let further = OF_TWO_SESSIONS.into_iter().filter(move |_| moves);
    FEATURES.into_iter().chain(further)
}

/// For its presence.
pub(super) fn in_presence(moves: bool) -> Element {
    let feature = |var: &str| element("feature", ns::CLIENT).attr("var", var);
    let all = element("features", ns::CLIENT).children(features(moves).map(feature));
    all.done()
}

/// The answer to who asks for them with `request`; `None` if it asks for something else.
pub(super) fn answer(request: &Element, moves: bool) -> Option<Element> {
    let asked = Info::try_from(request.get_child("query", ns::DISCO_INFO)?).ok()?;
    if request.attr("type") != Some("get") {
        return None;
    }
    let info = Info {
        node: asked.node,
        ..Info::default()
    };
    let info = info
        .identity("client", "bot", Some("Pontoon"))
        .features(features(moves));
    Some(iq::result_to(request, Some(info.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_focus_that_asks_hears_what_the_presence_says() {
        let query = element("query", ns::DISCO_INFO).attr("node", "n").done();
        let request = element("iq", ns::CLIENT)
            .attr("type", "get")
            .attr("id", "7");
        let request = request
            .attr("from", "room@conference.meet.test/focus")
            .child(query)
            .done();
        let answer = answer(&request, true).unwrap();
        assert_eq!(
            (answer.attr("type"), answer.attr("to"), answer.attr("id")),
            (Some("result"), request.attr("from"), Some("7"))
        );
        let info = answer.get_child("query", ns::DISCO_INFO).unwrap();
        let told = Info::try_from(info).unwrap().features;
        let presence = in_presence(true);
        let said = presence.children().filter_map(|f| f.attr("var"));
        assert_eq!(told, said.collect::<Vec<_>>());
        assert!(told.iter().any(|feature| feature == ns::MOVES));
    }

    #[test]
    fn other_requests_are_not_answered_so() {
        let ping = iq::get("bot@meet.test/1", "7", element("ping", ns::PING).done());
        assert_eq!(answer(&ping, false), None);
    }
}
