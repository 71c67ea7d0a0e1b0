//! BOSH sessions, request by request.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stanza::xml::{self, Limits};
use stanza::{BareJid, FullJid};

use super::*;
use crate::server::HostPolicy;

#[allow(
    clippy::disallowed_methods,
    reason = "an instant to start from; the tests move it themselves"
)]
fn start() -> Instant {
    Instant::now()
}

fn config() -> Arc<ServerConfig> {
    let policy = HostPolicy {
        anonymous: true,
        password: false,
        plain: false,
        limits: Limits::CLIENT,
    };
    Arc::new(ServerConfig::new(
        BTreeMap::from([("meet.example.com".to_owned(), policy)]),
        [0; 32],
    ))
}

struct Rig {
    session: Session,
    now: Instant,
    rid: u64,
    token: u64,
    stanzas: Vec<Element>,
}

const CREATE: &str = "<body xmlns='http://jabber.org/protocol/httpbind' rid='100' to='meet.example.com' wait='60' \
                      hold='1' ver='1.6' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'/>";

fn parse(text: &str) -> Element {
    xml::parse(text, &Limits::CLIENT).expect("well-formed")
}

impl Rig {
    fn new() -> (Self, Element) {
        let now = start();
        let session = Session::create(
            &config(),
            BoshConfig::default(),
            now,
            [9; 32],
            "sid-1",
            RequestToken(0),
            &parse(CREATE),
            CREATE.len(),
        )
        .unwrap_or_else(|_| panic!("created"));
        let mut rig = Self {
            session,
            now,
            rid: 100,
            token: 0,
            stanzas: Vec::new(),
        };
        let answers = rig.answers();
        assert_eq!(answers.len(), 1);
        (rig, parse(&answers[0].1))
    }

    fn answers(&mut self) -> Vec<(u64, String)> {
        std::iter::from_fn(|| self.session.poll_response())
            .map(|(token, body)| (token.0, String::from_utf8(body).expect("text")))
            .collect()
    }

    fn serve(&mut self) {
        let now = self.now;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Anonymous { host } => {
                    let user = BareJid::new(&format!("u@{host}")).expect("jid");
                    self.session.server().accept_anonymous(now, user);
                }
                Event::Bind { .. } => {
                    let jid = FullJid::new("u@meet.example.com/r").expect("jid");
                    self.session.server().bound(now, &jid);
                }
                Event::Stanza(stanza) => self.stanzas.push(stanza),
                _ => {}
            }
            self.session.flush(now);
        }
    }

    /// The request `rid` with `attrs` and `children`; returns what is answered now.
    fn at(&mut self, rid: u64, attrs: &str, children: &str) -> Vec<(u64, String)> {
        self.token += 1;
        let text = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' sid='sid-1' rid='{rid}' {attrs}>\
             {children}</body>"
        );
        let token = RequestToken(self.token);
        self.session
            .handle_request(self.now, token, &parse(&text), text.len());
        self.serve();
        self.answers()
    }

    fn next(&mut self, attrs: &str, children: &str) -> Vec<(u64, String)> {
        self.rid += 1;
        self.at(self.rid, attrs, children)
    }

    fn bound() -> Self {
        let (mut rig, _) = Self::new();
        let out = rig.next(
            "",
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>",
        );
        assert!(out[0].1.contains("<success"), "{out:?}");
        let out = rig.next("xmpp:restart='true' to='meet.example.com'", "");
        assert!(out[0].1.contains("<bind"), "{out:?}");
        assert!(
            !out[0].1.contains("urn:xmpp:sm:3"),
            "no stream management over BOSH"
        );
        let out = rig.next(
            "",
            "<iq xmlns='jabber:client' type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        );
        assert!(out[0].1.contains("u@meet.example.com/r"), "{out:?}");
        rig
    }

    fn send(&mut self, text: &str) -> Vec<(u64, String)> {
        self.session.server().send(text.as_bytes().to_vec());
        self.session.flush(self.now);
        self.answers()
    }
}

#[test]
fn the_first_answer_has_what_browsers_read() {
    let (_, body) = Rig::new();
    assert!(body.is("body", ns::HTTP_BIND));
    for (name, value) in [
        ("sid", "sid-1"),
        ("wait", "60"),
        ("hold", "1"),
        ("requests", "2"),
        ("inactivity", "60"),
    ] {
        assert_eq!(body.attr(name), Some(value), "{name}");
    }
    let features = body.get_child("features", ns::STREAM).expect("features");
    assert!(features.has_child("mechanisms", ns::SASL));
}

#[test]
fn creation_needs_a_request_id() {
    let body = parse("<body xmlns='http://jabber.org/protocol/httpbind' to='meet.example.com'/>");
    let token = RequestToken(0);
    let made = Session::create(
        &config(),
        BoshConfig::default(),
        start(),
        [0; 32],
        "s",
        token,
        &body,
        10,
    );
    assert_eq!(made.err(), Some(Terminal::BadRequest));
    let error = parse(&String::from_utf8(terminate_body(Terminal::ItemNotFound)).expect("text"));
    assert_eq!(
        (error.attr("type"), error.attr("condition")),
        (Some("terminate"), Some("item-not-found"))
    );
}

#[test]
fn requests_wait_for_stanzas_and_stanzas_for_requests() {
    let mut rig = Rig::bound();
    assert!(rig.next("", "").is_empty(), "held");
    let held = rig.token;
    let out = rig.send("<message xmlns='jabber:client' id='m1'/>");
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].0, held);
    assert!(out[0].1.contains("id='m1'"));
    assert!(
        rig.send("<message xmlns='jabber:client' id='m2'/>")
            .is_empty(),
        "no request to answer"
    );
    let out = rig.next("", "");
    assert!(out[0].1.contains("id='m2'"));
    // A second request releases the first.
    assert!(rig.next("", "").is_empty());
    let first = rig.token;
    let out = rig.next("", "<message xmlns='jabber:client' id='c'/>");
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].0, first);
    assert_eq!(rig.stanzas.len(), 1);
}

#[test]
fn requests_out_of_order_are_handled_in_order_and_repeated_ones_once() {
    let mut rig = Rig::bound();
    let (a, b) = (rig.rid + 1, rig.rid + 2);
    assert!(
        rig.at(b, "", "<message xmlns='jabber:client' id='b'/>")
            .is_empty()
    );
    assert!(rig.stanzas.is_empty());
    rig.at(a, "", "<message xmlns='jabber:client' id='a'/>");
    let ids: Vec<_> = rig.stanzas.iter().filter_map(|s| s.attr("id")).collect();
    assert_eq!(ids, ["a", "b"]);
    // The answer to `a` is known; `b` is still held and moves to the new request.
    let again = rig.at(a, "", "<message xmlns='jabber:client' id='a'/>");
    assert_eq!(again.len(), 1);
    let moved = rig.at(b, "", "<message xmlns='jabber:client' id='b'/>");
    assert_eq!(moved.len(), 1);
    assert_ne!(moved[0].0, rig.token);
    assert_eq!(rig.stanzas.len(), 2, "nothing is handled twice");
    let out = rig.send("<message xmlns='jabber:client' id='m'/>");
    assert_eq!(out[0].0, rig.token);
}

#[test]
fn requests_outside_the_window_end_the_session() {
    for rid in [1, 1_000, 103 + 1 + WINDOW] {
        let mut rig = Rig::bound();
        let out = rig.at(rid, "", "");
        assert!(out[0].1.contains("item-not-found"), "{rid}: {out:?}");
        assert!(rig.session.is_finished());
    }
}

#[test]
fn waiting_has_an_end_and_so_has_silence() {
    let mut rig = Rig::bound();
    rig.next("", "");
    let due = rig.session.poll_timeout().expect("deadline");
    assert_eq!(due, rig.now + Duration::from_secs(60));
    rig.now = due;
    rig.session.handle_timeout(due);
    let out = rig.answers();
    assert_eq!(out.len(), 1);
    assert_eq!(
        out[0].1,
        "<body xmlns=\"http://jabber.org/protocol/httpbind\"/>"
    );
    let due = rig.session.poll_timeout().expect("deadline");
    rig.session.handle_timeout(due - Duration::from_millis(1));
    assert!(!rig.session.is_finished());
    rig.session.handle_timeout(due);
    assert!(rig.session.is_finished());
    assert_eq!(rig.session.poll_event(), None, "lost, not closed");
    assert_eq!(rig.session.poll_timeout(), None);
}

#[test]
fn leaving_is_heard_and_answered() {
    let mut rig = Rig::bound();
    rig.next("", "");
    let out = rig.next(
        "type='terminate'",
        "<presence xmlns='jabber:client' type='unavailable'/>",
    );
    assert_eq!(out.len(), 2);
    assert!(
        out.iter()
            .all(|(_, body)| body.contains("type=\"terminate\"")),
        "{out:?}"
    );
    assert_eq!(rig.stanzas.len(), 1);
    assert!(rig.session.is_finished());
    assert!(rig.next("", "")[0].1.contains("item-not-found"));
}

#[test]
fn stream_errors_come_with_the_end_of_the_session() {
    let (mut rig, _) = Rig::new();
    let out = rig.next("", "<message xmlns='jabber:client'/>");
    assert!(out[0].1.contains("remote-stream-error"), "{out:?}");
    assert!(out[0].1.contains("<not-authorized"), "{out:?}");
    assert!(rig.session.is_finished());
}

proptest! {
    #[test]
    fn no_request_panics(requests in proptest::collection::vec((95u64..112, 0usize..6), 0..20)) {
        let children = [
            "",
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>",
            "<iq type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            "<message/>",
            "<a xmlns='urn:xmpp:sm:3' h='1'/>",
            "text",
        ];
        let (mut rig, _) = Rig::new();
        for (rid, child) in requests {
            let attrs = if rid % 5 == 0 { "xmpp:restart='true'" } else { "" };
            rig.at(rid, attrs, children[child]);
        }
    }
}

#[test]
fn one_answer_carries_no_more_than_its_share() {
    let mut rig = Rig::bound();
    let large = format!(
        "<message xmlns='jabber:client'><body>{}</body></message>",
        "x".repeat(200_000)
    );
    for _ in 0..5 {
        rig.session.server().send(large.clone().into_bytes());
    }
    let mut messages = 0;
    for _ in 0..3 {
        let answers = rig.next("", "");
        for (_, body) in answers {
            assert!(body.len() <= MAX_BODY + 200, "{}", body.len());
            messages += body.matches("<message").count();
        }
    }
    assert_eq!(messages, 5);
}
