//! Requests and messages against a whole shard.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use stanza::Element;
use stanza::colibri2::{ConferenceModified, ConferenceModify, ErrorAnswer, Reason};

use super::*;
use crate::media::Certificate;

pub(super) const NS: &str = "xmlns='jitsi:colibri2' meeting-id='m1'";
pub(super) const MEDIA: &str = "<media type='audio'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000' channels='2'/></media>\
    <media type='video'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='100' name='VP8' clockrate='90000'/></media>";

#[allow(clippy::disallowed_methods, reason = "a start for the test's own time")]
fn clock() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}

pub(super) struct Fixture {
    pub(super) controller: Controller,
    pub(super) now: Instant,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::called(None)
    }

    /// A bridge that others know under a name.
    pub(super) fn called(relay_id: Option<&str>) -> Self {
        let (now, wall) = clock();
        let certificate = Arc::new(Certificate::generate(wall).unwrap());
        let shard = ShardConfig::new(certificate, vec!["192.0.2.1:10000".parse().unwrap()]);
        let config = ControlConfig {
            shard: 3,
            web_socket_bases: vec!["wss://meet.test/colibri-ws/b1".to_owned()],
            relay_id: relay_id.map(str::to_owned),
            ..ControlConfig::default()
        };
        Self {
            controller: Controller::new(config, shard, [7; 32]),
            now,
        }
    }

    pub(super) fn ask(&mut self, xml: &str) -> Result<ConferenceModified, ErrorAnswer> {
        self.answer(xml, true).result
    }

    fn answer(&mut self, xml: &str, accept_new: bool) -> Answer {
        let element: Element = xml.parse().unwrap();
        let request = ConferenceModify::try_from(&element).unwrap();
        self.controller.modify(self.now, &request, accept_new)
    }

    fn error(&mut self, xml: &str) -> (String, Option<Reason>) {
        let error = self.ask(xml).unwrap_err();
        (error.condition, error.reason)
    }

    pub(super) fn create(&mut self, id: &str, conference: bool, extra: &str) -> ConferenceModified {
        let flag = if conference {
            "create='true' name='r@c.test'"
        } else {
            ""
        };
        let xml = format!(
            "<conference-modify {NS} {flag}>{}</conference-modify>",
            endpoint(id, extra)
        );
        self.ask(&xml).unwrap()
    }

    /// Opens the WebSocket of an endpoint by the URL in its transport.
    pub(super) fn open(&mut self, created: &ConferenceModified) -> WebSocketId {
        let (conference, endpoint, password) = url(created);
        self.controller
            .open_web_socket(self.now, conference, &endpoint, &password)
            .unwrap()
    }

    pub(super) fn texts(&mut self) -> Vec<(WebSocketId, String)> {
        let mut texts = Vec::new();
        while let Some(output) = self.controller.poll_output(self.now) {
            if let Output::WebSocketText { socket, text } = output {
                texts.push((socket, text.to_string()));
            }
        }
        texts
    }
}

fn endpoint(id: &str, extra: &str) -> String {
    format!(
        "<endpoint id='{id}' create='true' stats-id='S'{}>{MEDIA}<transport ice-controlling='true'><sctp/></transport>\
         <sources/><capability name='source-names'/><capability name='ssrc-rewriting'/></endpoint>",
        extra
    )
}

fn url(created: &ConferenceModified) -> (ConferenceId, String, String) {
    let ice = created.endpoints[0]
        .transport
        .as_ref()
        .unwrap()
        .ice
        .as_ref()
        .unwrap();
    let (path, password) = ice.web_sockets[0].split_once("?pwd=").unwrap();
    let parts: Vec<&str> = path.rsplit('/').collect();
    let conference = ConferenceId(u64::from_str_radix(parts[1], 16).unwrap());
    (conference, parts[0].to_owned(), password.to_owned())
}

#[test]
fn a_created_endpoint_is_described_in_full() {
    let mut f = Fixture::new();
    let created = f.create("a1", true, "");
    let transport = created.endpoints[0].transport.clone().unwrap();
    let ice = transport.ice.unwrap();
    assert!(ice.rtcp_mux && ice.ice_generation.is_none());
    assert_eq!(ice.fingerprints[0].setup.unwrap().name(), "actpass");
    assert_eq!(
        (
            ice.fingerprints[0].hash.as_str(),
            ice.fingerprints[0].value.len()
        ),
        ("sha-256", 95)
    );
    assert!(ice.ufrag.unwrap().len() >= 4 && ice.pwd.unwrap().len() >= 22);
    assert_eq!(
        (ice.candidates[0].ip.as_str(), ice.candidates[0].port),
        ("192.0.2.1", 10_000)
    );
    assert_eq!(ice.candidates[0].kind, "host");
    let sctp = transport.sctp.unwrap();
    assert_eq!((sctp.port, sctp.role.is_some()), (Some(5000), true));
    let (conference, endpoint, password) = url(&created);
    assert_eq!(
        (conference.0 & 0xff, endpoint.as_str(), password.len()),
        (3, "a1", 24)
    );
    let sources = created.sources.unwrap();
    assert_eq!(
        (sources[0].id.as_str(), sources[1].id.as_str()),
        ("jvb-a0", "jvb-v0")
    );
    // The same bridge sources with every create, and a transport of its own.
    let second = f.create("b2", false, "");
    assert_eq!(second.sources.as_ref(), Some(&sources));
    assert_ne!(url(&second).2, password);
}

#[test]
fn what_does_or_does_not_exist() {
    let mut f = Fixture::new();
    let unknown = format!("<conference-modify {NS}/>");
    assert_eq!(
        f.error(&unknown),
        ("item-not-found".into(), Some(Reason::ConferenceNotFound))
    );
    f.create("a1", true, "");
    let again = format!(
        "<conference-modify {NS} create='true'>{}</conference-modify>",
        endpoint("b", "")
    );
    assert_eq!(
        f.error(&again),
        ("conflict".into(), Some(Reason::ConferenceAlreadyExists))
    );
    let same = format!(
        "<conference-modify {NS}>{}</conference-modify>",
        endpoint("a1", "")
    );
    assert_eq!(f.error(&same), ("conflict".into(), None));
    let update = format!(
        "<conference-modify {NS}><endpoint id='zz'><sources/></endpoint></conference-modify>"
    );
    let error = f.ask(&update).unwrap_err();
    assert_eq!(
        (error.condition.as_str(), error.reason),
        ("item-not-found", Some(Reason::UnknownEndpoint))
    );
    assert_eq!(error.endpoint.as_deref(), Some("zz"));
    // Removing or muting what is not there is no error.
    for part in [
        "<endpoint id='zz' expire='true'/>",
        "<endpoint id='zz'><force-mute audio='true'/></endpoint><endpoint id='a1'><force-mute/></endpoint>",
    ] {
        f.ask(&format!(
            "<conference-modify {NS}>{part}</conference-modify>"
        ))
        .unwrap();
    }
}

#[test]
fn graceful_shutdown_refuses_conferences_but_not_endpoints() {
    let mut f = Fixture::new();
    let create = format!(
        "<conference-modify {NS} create='true'>{}</conference-modify>",
        endpoint("a", "")
    );
    let error = f.answer(&create, false).result.unwrap_err();
    assert_eq!(
        (error.condition.as_str(), error.reason),
        ("service-unavailable", Some(Reason::GracefulShutdown))
    );
    f.ask(&create).unwrap();
    let second = format!(
        "<conference-modify {NS}>{}</conference-modify>",
        endpoint("b", "")
    );
    assert!(f.answer(&second, false).result.is_ok());
}

#[test]
fn requests_of_a_wrong_shape_or_content() {
    let mut f = Fixture::new();
    f.create("a1", true, "");
    let cases = [
        (format!("{}{}", endpoint("b", ""), endpoint("c", "")), "feature-not-implemented", true),
        (format!("{}<relay id='r' create='true'/>", endpoint("b", "")), "feature-not-implemented", true),
        ("<relay id='r' create='true'/>".to_owned(), "feature-not-implemented", false),
        ("<connects><connect id='t' create='true'/></connects>".to_owned(), "feature-not-implemented", true),
        ("<endpoint id='b' create='true'><capability name='source-names'/></endpoint>".to_owned(), "bad-request", false),
        ("<endpoint id='b' create='true'><transport/></endpoint>".to_owned(), "bad-request", false),
        (endpoint("b", "").replace("<sctp/>", "<sctp role='client'/>"), "feature-not-implemented", false),
        (endpoint("b", "").replace("<sctp/>", "<sctp port='5001'/>"), "bad-request", false),
        (
            endpoint("b", " muc-role='visitor'").replace(
                "<sources/>",
                "<sources><media-source type='audio' id='b-a0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1'/></media-source></sources>",
            ),
            "bad-request",
            false,
        ),
    ];
    for (part, condition, marked) in cases {
        let error = f
            .ask(&format!(
                "<conference-modify {NS}>{part}</conference-modify>"
            ))
            .unwrap_err();
        assert_eq!(
            (error.condition.as_str(), error.reason.is_some()),
            (condition, marked),
            "{part}"
        );
    }
    let name =
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='m2' create='true' name='a@b@c'/>";
    assert_eq!(f.error(name), ("bad-request".into(), None));
    // Every refused endpoint was refused before it existed.
    let ids: Vec<_> = f
        .controller
        .meetings
        .values()
        .flat_map(|m| m.members.keys().cloned())
        .collect();
    assert_eq!(ids, [EndpointId::new("a1").unwrap()]);
}

#[test]
fn the_last_endpoint_takes_the_conference_along() {
    let mut f = Fixture::new();
    f.create("a1", true, "");
    f.create("b2", false, "");
    let expire = |id: &str| {
        format!("<conference-modify {NS}><endpoint id='{id}' expire='true'/></conference-modify>")
    };
    let answer = f.answer(&expire("a1"), true);
    assert!(answer.result.unwrap().endpoints[0].expire && answer.conference.is_some());
    let answer = f.answer(&expire("b2"), true);
    assert!(answer.result.is_ok() && answer.conference.is_none());
    let mut ended = Vec::new();
    while let Some(output) = f.controller.poll_output(f.now) {
        if let Output::ConferenceEnded { meeting_id, .. } = output {
            ended.push(meeting_id);
        }
    }
    assert_eq!(ended, ["m1"]);
    f.create("a1", true, "");
    assert!(
        f.answer(&format!("<conference-modify {NS} expire='true'/>"), true)
            .conference
            .is_none()
    );
    assert_eq!(f.controller.shard().conferences(), []);
}

#[test]
fn an_ice_restart_of_a_transport_not_yet_up_changes_nothing() {
    let mut f = Fixture::new();
    let created = f.create("a1", true, "");
    let before = created.endpoints[0].transport.clone().unwrap().ice.unwrap();
    let restart = format!(
        "<conference-modify {NS}><endpoint id='a1'><transport ice-restart='true'/></endpoint></conference-modify>"
    );
    let answer = f.ask(&restart).unwrap();
    let ice = answer.endpoints[0].transport.clone().unwrap().ice.unwrap();
    assert_eq!((ice.ufrag, ice.ice_generation), (before.ufrag, None));
    assert_eq!(answer.sources, None);
}

#[test]
fn web_sockets_open_with_the_password_only() {
    let mut f = Fixture::new();
    let created = f.create("a1", true, "");
    let (conference, endpoint, password) = url(&created);
    let wrong = password.chars().rev().collect::<String>();
    for (c, e, p) in [
        (conference, "a1", wrong.as_str()),
        (conference, "a1", ""),
        (conference, "b2", password.as_str()),
        (ConferenceId(conference.0 ^ 0x100), "a1", password.as_str()),
    ] {
        assert_eq!(f.controller.open_web_socket(f.now, c, e, p), Err(Denied));
    }
    let first = f
        .controller
        .open_web_socket(f.now, conference, &endpoint, &password)
        .unwrap();
    assert_eq!(
        f.texts()[0],
        (first, r#"{"colibriClass":"ServerHello"}"#.to_owned())
    );
    let second = f
        .controller
        .open_web_socket(f.now, conference, &endpoint, &password)
        .unwrap();
    let closed: Vec<_> = std::iter::from_fn(|| f.controller.poll_output(f.now))
        .filter_map(|o| match o {
            Output::WebSocketClose {
                socket,
                code,
                reason,
            } => Some((socket, code, reason)),
            _ => None,
        })
        .collect();
    assert_eq!(closed, [(first, 1000, "replaced")]);
    // The old socket's end does not disturb the new one.
    f.controller.web_socket_closed(first);
    f.controller
        .web_socket_text(f.now, second, r#"{"colibriClass":"ClientHello"}"#);
    assert_eq!(
        f.texts()
            .iter()
            .filter(|(s, t)| *s == second && t.contains("ServerHello"))
            .count(),
        1
    );
    f.ask(&format!(
        "<conference-modify {NS}><endpoint id='a1' expire='true'/></conference-modify>"
    ))
    .unwrap();
    let last = std::iter::from_fn(|| f.controller.poll_output(f.now)).find_map(|o| match o {
        Output::WebSocketClose { socket, code, .. } => Some((socket, code)),
        _ => None,
    });
    assert_eq!(last, Some((second, 1001)));
}

#[test]
fn endpoint_messages_reach_whom_they_are_for() {
    let mut f = Fixture::new();
    let (a, b, v) = (
        f.create("a1", true, ""),
        f.create("b2", false, ""),
        f.create("v3", false, " muc-role='visitor'"),
    );
    let (a, b, v) = (f.open(&a), f.open(&b), f.open(&v));
    f.texts();
    let send = |f: &mut Fixture, socket, text: &str| {
        f.controller.web_socket_text(f.now, socket, text);
        let mut to: Vec<_> = f
            .texts()
            .into_iter()
            .filter(|(_, t)| t.contains("EndpointMessage"))
            .collect();
        to.sort_by_key(|(s, _)| s.0);
        to
    };
    let all = send(
        &mut f,
        a,
        r#"{"colibriClass":"EndpointMessage","to":"","from":"forged","msgPayload":{"k":1}}"#,
    );
    let text =
        r#"{"colibriClass":"EndpointMessage","from":"a1","to":"","msgPayload":{"k":1}}"#.to_owned();
    assert_eq!(all, [(b, text.clone()), (v, text)]);
    let one = send(
        &mut f,
        b,
        r#"{"colibriClass":"EndpointMessage","to":"a1","msgPayload":{}}"#,
    );
    assert_eq!(one.iter().map(|(s, _)| *s).collect::<Vec<_>>(), [a]);
    assert_eq!(
        send(
            &mut f,
            v,
            r#"{"colibriClass":"EndpointMessage","to":"a1","msgPayload":{}}"#
        ),
        []
    );
    assert_eq!(f.controller.stats().forbidden, 1);
}

#[test]
fn bad_messages_are_counted_and_a_flood_is_cut() {
    let mut f = Fixture::new();
    let (a, b) = (f.create("a1", true, ""), f.create("b2", false, ""));
    let (a, b) = (f.open(&a), f.open(&b));
    f.texts();
    for text in [
        "",
        "{",
        r#"{"colibriClass":"ClientHello","colibriClass":"ClientHello"}"#,
    ] {
        f.controller.web_socket_text(f.now, a, text);
    }
    f.controller.web_socket_text(
        f.now,
        a,
        r#"{"colibriClass":"SelectedEndpointsChangedEvent"}"#,
    );
    assert_eq!(
        (f.controller.stats().invalid, f.controller.stats().unknown),
        (3, 1)
    );
    let message = r#"{"colibriClass":"EndpointMessage","to":"b2","msgPayload":{}}"#;
    for _ in 0..1000 {
        f.controller.web_socket_text(f.now, a, message);
    }
    let got = f.texts().into_iter().filter(|(s, _)| *s == b).count();
    assert_eq!(got, 396);
    assert_eq!(f.controller.stats().rate_limited, 604);
    f.now += Duration::from_millis(500);
    f.controller.web_socket_text(f.now, a, message);
    assert_eq!(f.texts().len(), 1);
}

#[test]
fn passwords_are_letters_and_digits() {
    let mut f = Fixture::new();
    let (one, two) = (
        f.controller.random_password(),
        f.controller.random_password(),
    );
    assert_ne!(one, two);
    assert!(one.len() == 24 && one.bytes().all(|b| b.is_ascii_alphanumeric()));
}
