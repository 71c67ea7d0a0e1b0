//! IQ requests to a bridge, from occupants of the brewery only.

#![allow(clippy::disallowed_methods, reason = "health is a question of time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use stanza::colibri2::{ConferenceModify, ErrorAnswer, NS_COLIBRI2};
use stanza::disco::Info;
use stanza::element;
use stanza::{Element, iq, ns};

use crate::shared::{Shared, lock};

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
        ("healthcheck", NS_HEALTH) => send(match health(shared) {
            Ok(()) => iq::result_to(request, None),
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

/// A thread publishes every second; one that did not for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Whether the bridge can serve: every worker's thread is alive. A bridge that shuts down or drains is healthy.
pub(crate) fn health(shared: &Shared) -> Result<(), &'static str> {
    health_at(shared, Instant::now())
}

fn health_at(shared: &Shared, now: Instant) -> Result<(), &'static str> {
    let stuck = shared.workers.iter().any(|worker| {
        let last = lock(&worker.snapshot).at.unwrap_or(shared.started);
        now.saturating_duration_since(last) > STUCK_AFTER
    });
    if stuck {
        return Err("a media thread is stuck");
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{Snapshot, WorkerHandle};

    #[test]
    fn a_silent_thread_makes_the_bridge_ill() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let handle = WorkerHandle::for_test;
        let shared = Shared::new(
            "b".into(),
            None,
            "v".into(),
            vec![handle(), handle()],
            100,
            start,
        );
        assert_eq!(health_at(&shared, at(5)), Ok(()), "not started yet");
        assert!(health_at(&shared, at(6)).is_err());
        let told = |seconds| Snapshot {
            at: Some(at(seconds)),
            ..Snapshot::default()
        };
        *lock(&shared.workers[0].snapshot) = told(6);
        assert!(health_at(&shared, at(6)).is_err(), "the other one");
        *lock(&shared.workers[1].snapshot) = told(5);
        assert_eq!(health_at(&shared, at(10)), Ok(()));
        assert!(health_at(&shared, at(11)).is_err());
    }
}
