//! A client and a server on one wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use stanza::BareJid;

use super::*;
use crate::sasl::Credentials;
use crate::server::{self, HostPolicy, Security, Server, ServerConfig};

/// A client and a server joined by a wire, and the little that a server's caller does.
struct Rig {
    now: Instant,
    config: Arc<ServerConfig>,
    client: Client,
    server: Server,
    /// What a server keeps of the session: stanzas received, stanzas sent.
    received: Vec<Element>,
    sent: Vec<Vec<u8>>,
    handled: u32,
    events: Vec<Event>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "an instant to start from; the tests move it themselves"
)]
fn start() -> Instant {
    Instant::now()
}

impl Rig {
    fn new(password: Option<(&str, &str)>) -> Self {
        let policy = HostPolicy {
            anonymous: true,
            password: true,
            plain: true,
            limits: Limits::SERVICE,
        };
        let hosts = BTreeMap::from([("auth.example.com".to_owned(), policy)]);
        let config = Arc::new(ServerConfig::new(hosts, [0; 32]));
        let now = start();
        let password = password.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let client = Client::new(ClientConfig::new("auth.example.com", password), [2; 32]);
        let server = Server::new(
            Arc::clone(&config),
            Framing::Tcp,
            Security::StartTls,
            now,
            [3; 32],
        );
        Self {
            now,
            config,
            client,
            server,
            received: Vec::new(),
            sent: Vec::new(),
            handled: 0,
            events: Vec::new(),
        }
    }

    fn connect(&mut self, security: Security) {
        self.server = Server::new(
            Arc::clone(&self.config),
            Framing::Tcp,
            security,
            self.now,
            [3; 32],
        );
        self.client.connect(self.now, security == Security::Secure);
        self.run();
    }

    fn serve(&mut self, event: server::Event) {
        let now = self.now;
        match event {
            server::Event::StartTls => self.server.tls_started(now),
            server::Event::Anonymous { host } => {
                let user = BareJid::new(&format!("anon@{host}")).expect("jid");
                self.server.accept_anonymous(now, user);
            }
            server::Event::Lookup { user } => {
                let known = user.as_str() == "focus@auth.example.com";
                let credentials = known.then(|| Credentials::derive("secret", b"salt", 64));
                self.server.credentials(now, credentials);
            }
            server::Event::Bind { user, resource } => {
                let jid = user
                    .with_resource_str(resource.as_deref().unwrap_or("made-up"))
                    .expect("jid");
                self.server.bound(now, &jid);
            }
            server::Event::EnableSm { .. } => {
                self.received.clear();
                self.server.sm_enabled(Some("sm-1"), None);
            }
            server::Event::Resume { previd, h, .. } if previd == "sm-1" => {
                self.server.resumed(now, "sm-1", self.handled);
                let missed = self.sent.split_off(h as usize);
                for stanza in missed {
                    self.server.send(stanza.clone());
                    self.sent.push(stanza);
                }
            }
            server::Event::Resume { .. } => {
                self.server
                    .resume_failed(now, stanza::error::Condition::ItemNotFound);
            }
            server::Event::AckRequest => self.server.ack(self.handled),
            server::Event::Stanza(stanza) => {
                self.handled += 1;
                self.received.push(stanza);
            }
            server::Event::Skipped(_) => self.handled += 1,
            server::Event::Ack(_) | server::Event::LoginFailed(_) | server::Event::Closed(_) => {}
        }
    }

    /// Carries bytes until nothing moves.
    fn run(&mut self) {
        loop {
            let mut moved = false;
            while let Some(bytes) = self.client.poll_transmit() {
                self.server.handle_input(self.now, &bytes);
                moved = true;
            }
            while let Some(event) = self.server.poll_event() {
                self.serve(event);
                moved = true;
            }
            while let Some(bytes) = self.server.poll_transmit() {
                self.client.handle_input(self.now, &bytes);
                moved = true;
            }
            while let Some(event) = self.client.poll_event() {
                if event == Event::StartTls {
                    self.client.tls_started(self.now);
                }
                self.events.push(event);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn server_sends(&mut self, id: &str) {
        let bytes = frame::element(&message(id));
        self.sent.push(bytes.clone());
        self.server.send(bytes);
    }

    fn received_ids(&self) -> Vec<&str> {
        self.received
            .iter()
            .filter_map(|stanza| stanza.attr("id"))
            .collect()
    }

    fn stanza_ids(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Stanza(stanza) => stanza.attr("id"),
                _ => None,
            })
            .collect()
    }
}

fn message(id: &str) -> Element {
    element("message", ns::CLIENT).attr("id", id).done()
}

fn online(jid: &str, resumed: bool) -> Event {
    Event::Online {
        jid: FullJid::new(jid).expect("jid"),
        resumed,
    }
}

#[test]
fn logs_in_with_a_password_over_tls() {
    let mut rig = Rig::new(Some(("focus", "secret")));
    rig.client.config.resource = Some("focus".into());
    rig.connect(Security::StartTls);
    assert_eq!(
        rig.events,
        [
            Event::StartTls,
            online("focus@auth.example.com/focus", false)
        ]
    );
    assert!(rig.client.is_resumable());
}

#[test]
fn logs_in_anonymously_without_tls_inside_the_process() {
    let mut rig = Rig::new(None);
    rig.connect(Security::Secure);
    assert_eq!(rig.events, [online("anon@auth.example.com/made-up", false)]);
}

#[test]
fn refuses_a_server_without_tls_on_an_open_wire() {
    let mut rig = Rig::new(Some(("focus", "secret")));
    rig.server = Server::new(
        Arc::clone(&rig.config),
        Framing::Tcp,
        Security::Insecure,
        rig.now,
        [3; 32],
    );
    rig.client.connect(rig.now, false);
    rig.run();
    assert_eq!(rig.events, [Event::Closed(ClientError::NoTls)]);
}

#[test]
fn tells_a_wrong_password() {
    for (user, password) in [("focus", "wrong"), ("nobody", "secret")] {
        let mut rig = Rig::new(Some((user, password)));
        rig.connect(Security::Secure);
        assert!(
            matches!(&rig.events[..], [Event::Closed(ClientError::Sasl(failure))]
                if failure.condition == crate::SaslCondition::NotAuthorized),
            "{:?}",
            rig.events
        );
    }
}

#[test]
fn a_server_that_does_not_know_the_password_is_not_believed() {
    let mut client = Client::new(
        ClientConfig::new("auth.example.com", Some(("focus".into(), "secret".into()))),
        [2; 32],
    );
    let now = start();
    client.connect(now, true);
    client.handle_input(
        now,
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
          <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism></mechanisms>\
          </stream:features><success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    );
    assert_eq!(
        client.poll_event(),
        Some(Event::Closed(ClientError::ServerNotAuthentic))
    );
}

#[test]
fn nothing_is_lost_or_repeated_across_a_resumption() {
    let mut rig = Rig::new(Some(("focus", "secret")));
    rig.connect(Security::Secure);
    rig.server_sends("s1");
    assert!(rig.client.send(rig.now, &message("c1")));
    rig.run();
    // The wire breaks: what either side has just written never arrives.
    rig.server_sends("s2");
    assert!(rig.client.send(rig.now, &message("c2")));
    rig.client.disconnected();
    assert!(rig.client.send(rig.now, &message("c3")), "kept while away");
    rig.connect(Security::Secure);
    assert_eq!(
        rig.events
            .iter()
            .filter(|e| matches!(e, Event::Online { resumed: true, .. }))
            .count(),
        1
    );
    assert_eq!(rig.received_ids(), ["c1", "c2", "c3"]);
    assert_eq!(rig.stanza_ids(), ["s1", "s2"]);
    // The counts still agree: a second break changes nothing.
    rig.client.disconnected();
    rig.connect(Security::Secure);
    assert_eq!(rig.received_ids(), ["c1", "c2", "c3"]);
    assert_eq!(rig.stanza_ids(), ["s1", "s2"]);
}

#[test]
fn a_session_that_is_gone_is_replaced_by_a_new_one() {
    let mut rig = Rig::new(Some(("focus", "secret")));
    rig.connect(Security::Secure);
    rig.client.disconnected();
    rig.client.send(rig.now, &message("lost"));
    if let Some(sm) = rig.client.session.as_mut().and_then(|s| s.sm.as_mut()) {
        sm.id = Some("unknown".into());
    }
    rig.connect(Security::Secure);
    assert!(matches!(
        rig.events.last(),
        Some(Event::Online { resumed: false, .. })
    ));
    assert!(
        rig.received_ids().is_empty(),
        "stanzas of the old session die with it"
    );
}

#[test]
fn a_silent_server_is_asked_and_then_given_up() {
    let mut rig = Rig::new(Some(("focus", "secret")));
    rig.connect(Security::Secure);
    let due = rig.client.poll_timeout().expect("deadline");
    assert_eq!(due, rig.now + rig.client.config.keep_alive);
    rig.now = due;
    rig.client.handle_timeout(due);
    rig.run();
    assert!(rig.client.is_online(), "the server answered");
    let due = rig.client.poll_timeout().expect("deadline");
    rig.client.handle_timeout(due);
    let dead = rig.client.poll_timeout().expect("deadline");
    assert_eq!(dead, due + rig.client.config.keep_alive_timeout);
    rig.client.handle_timeout(dead);
    assert_eq!(
        rig.client.poll_event(),
        Some(Event::Closed(ClientError::Timeout))
    );
    assert!(rig.client.is_resumable());
}

#[test]
fn closing_ends_the_session() {
    let mut rig = Rig::new(Some(("focus", "secret")));
    rig.connect(Security::Secure);
    rig.client.close(rig.now);
    rig.run();
    assert_eq!(rig.events.last(), Some(&Event::Closed(ClientError::Closed)));
    assert!(rig.server.is_closed());
    assert!(!rig.client.is_resumable());
    assert!(!rig.client.send(rig.now, &message("x")));
}

#[test]
fn an_acknowledgement_of_more_than_was_sent_ends_the_stream() {
    let mut rig = Rig::new(Some(("focus", "secret")));
    rig.connect(Security::Secure);
    rig.client
        .handle_input(rig.now, b"<a xmlns='urn:xmpp:sm:3' h='5'/>");
    assert_eq!(
        rig.client.poll_event(),
        Some(Event::Closed(ClientError::AckTooHigh))
    );
}

/// The client's own words since the last look.
fn said(rig: &mut Rig) -> String {
    let mut out = String::new();
    while let Some(bytes) = rig.client.poll_transmit() {
        out.push_str(&String::from_utf8(bytes).expect("text"));
    }
    out
}

#[test]
fn what_nobody_can_read_is_passed_over_counted_and_answered() {
    let mut rig = Rig::new(Some(("focus", "secret")));
    rig.connect(Security::Secure);
    rig.events.clear();
    let many: String = (0..200).map(|n| format!(" a{n}=''")).collect();
    let deep = "<a>".repeat(120) + &"</a>".repeat(120);
    let odd = [
        // A server that has not looked at what it passes on.
        "<iq xmlns='jabber:client' type='get' id='1' from='x@y/z'><xml:a/></iq>".to_owned(),
        format!("<iq xmlns='jabber:client' type='set' id='2' from='x@y/z'{many}/>"),
        format!("<message xmlns='jabber:client' id='3'>{deep}</message>"),
        format!(
            "<iq type='result' id='4' from='a'>{}</iq>",
            "x".repeat(9 << 20)
        ),
        "<features xmlns='http://etherx.jabber.org/streams'/>".to_owned(),
        "<nonsense xmlns='jabber:client'/>".to_owned(),
        "<a xmlns='urn:xmpp:sm:3'/>".to_owned(),
    ];
    for stanza in &odd {
        rig.client.handle_input(rig.now, stanza.as_bytes());
    }
    let ignored: Vec<&str> = std::iter::from_fn(|| rig.client.poll_event())
        .map(|event| match event {
            Event::Ignored(reason) => reason,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        ignored,
        [
            "reserved-namespace",
            "too-many-parts",
            "too-deep",
            "too-large",
            "no-stanza",
            "no-stanza",
            "ack-without-count"
        ]
    );
    let out = said(&mut rig);
    for id in ["1", "2"] {
        assert!(
            out.contains(&format!("id=\"{id}\" to=\"x@y/z\" type=\"error\"")),
            "{out}"
        );
    }
    assert_eq!(
        out.matches("<iq").count(),
        2,
        "answers get no answer: {out}"
    );
    // The stream goes on, and knows how many stanzas it has seen.
    rig.client
        .handle_input(rig.now, b"<r xmlns='urn:xmpp:sm:3'/>");
    assert!(said(&mut rig).contains("h=\"4\""));
    rig.client
        .handle_input(rig.now, b"<message xmlns='jabber:client' id='5'/>");
    assert!(matches!(rig.client.poll_event(), Some(Event::Stanza(s)) if s.attr("id") == Some("5")));
    // What is no XML ends it.
    rig.client.handle_input(rig.now, b"<message></iq>");
    assert_eq!(
        rig.client.poll_event(),
        Some(Event::Closed(ClientError::Xml(XmlError::NotWellFormed)))
    );
}
