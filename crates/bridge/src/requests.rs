//! IQ requests to a bridge, from occupants of the brewery only.

use std::sync::Arc;

use stanza::colibri2::{ConferenceModify, ErrorAnswer, NS_COLIBRI2};
use stanza::disco::Info;
use stanza::element;
use stanza::jitsi::evidence::{People, Probe};
use stanza::{Element, iq, ns};

use crate::shared::{Shared, Then};
use crate::{health, probe, totals};

const NS_HEALTH: &str = "http://jitsi.org/protocol/healthcheck";

/// Features a bridge tells about itself.
pub(crate) const FEATURES: [&str; 5] = [
    NS_HEALTH,
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:transports:ice-udp:1",
    ns::VERSION,
    ns::PING,
];

/// What a bridge tells about itself.
pub(crate) fn disco_info() -> Info {
    Info::default()
        .identity("component", "bridge", Some("Pontoon bridge"))
        .features(FEATURES)
}

/// Answers a request, at once or, for colibri2, when its conference's worker has done it.
///
/// `brewery` is the bare address of the room whose occupants are trusted.
pub(crate) fn handle(
    shared: &Arc<Shared>,
    request: &Element,
    brewery: &str,
    send: impl Fn(Element) + Send + 'static,
) {
    let Some(payload) = request.children().next() else {
        send(refuse(request, "bad-request", "No payload"));
        return;
    };
    let bare = request
        .attr("from")
        .and_then(|from| from.split('/').next())
        .unwrap_or_default();
    let trusted = bare.eq_ignore_ascii_case(brewery);
    match (payload.name(), payload.ns().as_str()) {
        // The server itself may ping and ask who we are.
        ("ping", ns::PING) => send(iq::result_to(request, None)),
        ("query", ns::DISCO_INFO) => {
            let mut info = disco_info();
            info.node = payload.attr("node").map(str::to_owned);
            send(iq::result_to(request, Some(info.into())));
        }
        _ if !trusted => send(refuse(
            request,
            "forbidden",
            "Requests come through the brewery",
        )),
        ("conference-modify", NS_COLIBRI2) => modify(shared, request, payload, send),
        ("drain", ns::DRAIN) => {
            let says = |name: &str| payload.attr(name) == Some("true");
            let (drain, end, restart) = (says("on"), says("end"), says("restart"));
            tracing::info!(drain, end, restart, "the focus sets drain mode");
            shared.set_drain(drain, Then::of(end, restart));
            send(iq::result_to(request, None));
        }
        ("probe", ns::PROBE) => probe::answer(shared, request, Probe::of_element(payload), send),
        ("healthcheck", NS_HEALTH) => send(match health::of(shared) {
            Ok(()) => {
                let people = People::is_asked(payload).then(|| totals::people(&shared.snapshots()));
                iq::result_to(request, people.map(|people| Element::from(&people)))
            }
            Err(text) => refuse(request, "internal-server-error", text),
        }),
        ("query", ns::VERSION) => send(iq::result_to(request, Some(version(shared)))),
        _ => send(refuse(request, "service-unavailable", "Not supported")),
    }
}

fn refuse(request: &Element, condition: &str, text: &str) -> Element {
    ErrorAnswer::plain(condition, text).reply_to(request)
}

fn version(shared: &Shared) -> Element {
    element("query", ns::VERSION)
        .child(element("name", ns::VERSION).text("Pontoon").done())
        .child(element("version", ns::VERSION).text(&shared.version).done())
        .child(element("os", ns::VERSION).text("Linux").done())
        .done()
}

fn modify(
    shared: &Arc<Shared>,
    request: &Element,
    payload: &Element,
    send: impl Fn(Element) + Send + 'static,
) {
    let parsed = match ConferenceModify::try_from(payload) {
        Ok(parsed) => parsed,
        Err(e) => {
            send(refuse(request, "bad-request", &e.to_string()));
            return;
        }
    };
    // Only what the answer needs; the payload of a request is large.
    let head = element("iq", ns::CLIENT)
        .attr_opt("id", request.attr("id"))
        .attr_opt("from", request.attr("from"))
        .done();
    let meeting = parsed.meeting_id.clone();
    shared.modify(
        parsed,
        Box::new(move |answer| {
            send(match answer.result {
                Ok(modified) => iq::result_to(&head, Some(Element::from(&modified))),
                Err(error) => {
                    tracing::info!(
                        meeting,
                        condition = error.condition,
                        reason = ?error.reason,
                        text = error.text,
                        "colibri2 request refused"
                    );
                    error.reply_to(&head)
                }
            });
        }),
    );
}
