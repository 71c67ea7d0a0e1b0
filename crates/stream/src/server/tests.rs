//! A server's end of a stream, met by browsers, services and bad input.

use std::time::Duration;

use proptest::prelude::*;
use stanza::{FullJid, xml};

use super::*;
use crate::condition::SaslFailure;
use crate::sasl::{Credentials, Hash};
use crate::scram::ClientExchange;
use base64::engine::general_purpose::STANDARD as BASE64;

const WS_OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='meet.example.com' version='1.0'/>";
const TCP_OPEN: &str = "<?xml version='1.0'?><stream:stream to='auth.example.com' version='1.0' \
                        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const BIND: &str = "<iq xmlns='jabber:client' type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";

fn config() -> Arc<ServerConfig> {
    let hosts = BTreeMap::from([
        (
            "meet.example.com".to_owned(),
            HostPolicy {
                anonymous: true,
                password: false,
                plain: false,
                limits: Limits::CLIENT,
            },
        ),
        (
            "auth.example.com".to_owned(),
            HostPolicy {
                anonymous: false,
                password: true,
                plain: true,
                limits: Limits::SERVICE,
            },
        ),
    ]);
    Arc::new(ServerConfig::new(hosts, [7; 32]))
}

struct Rig {
    server: Server,
    now: Instant,
}

#[allow(
    clippy::disallowed_methods,
    reason = "an instant to start from; the tests move it themselves"
)]
fn start() -> Instant {
    Instant::now()
}

impl Rig {
    fn new(framing: Framing, security: Security) -> Self {
        let now = start();
        let server = Server::new(config(), framing, security, now, [1; 32]);
        Self { server, now }
    }

    fn input(&mut self, text: &str) -> &mut Self {
        self.server.handle_input(self.now, text.as_bytes());
        self
    }

    fn output(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.server.poll_transmit())
            .map(|bytes| String::from_utf8(bytes).expect("text"))
            .collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.server.poll_event()).collect()
    }

    /// A WebSocket peer with a bound resource and nothing left to read.
    fn bound() -> Self {
        let mut rig = Self::new(Framing::WebSocket, Security::Secure);
        rig.input(WS_OPEN)
            .input("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
        let user = BareJid::new("u1@meet.example.com").expect("jid");
        rig.server.accept_anonymous(rig.now, user);
        rig.input(WS_OPEN).input(BIND);
        let jid = FullJid::new("u1@meet.example.com/r").expect("jid");
        rig.server.bound(rig.now, &jid);
        assert!(rig.server.is_bound());
        rig.output();
        rig.events();
        rig
    }
}

#[test]
fn an_anonymous_browser_gets_in() {
    let mut rig = Rig::new(Framing::WebSocket, Security::Secure);
    let out = rig.input(WS_OPEN).output();
    assert!(out[0].starts_with(
        "<open xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" from=\"meet.example.com\" id="
    ));
    assert_eq!(
        out[1],
        "<stream:features xmlns:stream=\"http://etherx.jabber.org/streams\" xmlns=\"jabber:client\">\
         <mechanisms xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">\
         <mechanism xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">ANONYMOUS</mechanism></mechanisms></stream:features>"
    );
    rig.input("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
    let host = "meet.example.com".to_owned();
    assert_eq!(rig.events(), [Event::Anonymous { host }]);
    assert!(!rig.server.wants_input());
    let user = BareJid::new("a1b2@meet.example.com").expect("jid");
    rig.server.accept_anonymous(rig.now, user.clone());
    assert_eq!(
        rig.output(),
        ["<success xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"/>"]
    );
    let out = rig.input(WS_OPEN).output();
    assert!(out[1].contains(
        "<bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\"/><sm xmlns=\"urn:xmpp:sm:3\"/>"
    ));
    rig.input(BIND);
    assert_eq!(
        rig.events(),
        [Event::Bind {
            user,
            resource: None
        }]
    );
    let jid = FullJid::new("a1b2@meet.example.com/r").expect("jid");
    rig.server.greet(b"<message/>".to_vec());
    rig.server.bound(rig.now, &jid);
    rig.server.greet(b"<late/>".to_vec());
    assert_eq!(
        rig.output(),
        [
            "<message/>",
            "<iq xmlns=\"jabber:client\" id=\"b1\" type=\"result\"><bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\">\
          <jid xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\">a1b2@meet.example.com/r</jid></bind></iq>"
        ]
    );
    assert_eq!(rig.server.poll_timeout(), None, "no deadline after login");
}

#[test]
fn stream_management_and_stanzas_reach_the_caller_in_order() {
    let mut rig = Rig::bound();
    rig.input("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        .input("<message xmlns='jabber:client'/>")
        .input("<r xmlns='urn:xmpp:sm:3'/>")
        .input("<a xmlns='urn:xmpp:sm:3' h='3'/>");
    assert_eq!(
        rig.events(),
        [
            Event::EnableSm { resume: true },
            Event::Stanza(element("message", ns::CLIENT).done()),
            Event::AckRequest,
            Event::Ack(3),
        ]
    );
    rig.server.sm_enabled(Some("id-1"), Some(60));
    rig.server.ack(1);
    rig.server.request_ack();
    assert_eq!(
        rig.output(),
        [
            "<enabled xmlns=\"urn:xmpp:sm:3\" id=\"id-1\" max=\"60\" resume=\"true\"/>",
            "<a xmlns=\"urn:xmpp:sm:3\" h=\"1\"/>",
            "<r xmlns=\"urn:xmpp:sm:3\"/>",
        ]
    );
    rig.input("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
    assert_eq!(
        rig.output(),
        ["<close xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" />"]
    );
    assert_eq!(rig.events(), [Event::Closed(CloseReason::ByPeer)]);
}

#[test]
fn a_session_is_resumed_instead_of_bound() {
    let mut rig = Rig::new(Framing::WebSocket, Security::Secure);
    rig.input(WS_OPEN)
        .input("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
    let user = BareJid::new("u1@meet.example.com").expect("jid");
    rig.server.accept_anonymous(rig.now, user.clone());
    rig.input(WS_OPEN);
    rig.events();
    rig.output();
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='p1' h='12'/>";
    let asked = Event::Resume {
        user,
        previd: "p1".into(),
        h: 12,
    };
    assert_eq!(rig.input(resume).events(), std::slice::from_ref(&asked));
    rig.server.resume_failed(rig.now, Condition::ItemNotFound);
    assert_eq!(
        rig.output(),
        [
            "<failed xmlns=\"urn:xmpp:sm:3\"><item-not-found xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/></failed>"
        ]
    );
    assert_eq!(rig.input(resume).events(), [asked]);
    rig.server.resumed(rig.now, "p1", 9);
    assert_eq!(
        rig.output(),
        ["<resumed xmlns=\"urn:xmpp:sm:3\" h=\"9\" previd=\"p1\"/>"]
    );
    assert!(rig.server.is_bound());
}

/// Logs in on TCP with SCRAM; `known` is what the server has, `tried` what the peer types.
fn scram(hash: Hash, known: Option<&str>, tried: &str) -> (Rig, Vec<String>) {
    let mut rig = Rig::new(Framing::Tcp, Security::StartTls);
    let out = rig.input(TCP_OPEN).output().concat();
    assert!(out.contains("<starttls xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"><required"));
    assert!(!out.contains("mechanism"), "no login before TLS");
    rig.input("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><injected/>");
    assert_eq!(
        rig.output(),
        ["<proceed xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>"]
    );
    assert_eq!(rig.events(), [Event::StartTls]);
    rig.server.tls_started(rig.now);
    let out = rig.input(TCP_OPEN).output().concat();
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"] {
        assert!(out.contains(&format!(">{mechanism}<")), "{out}");
    }
    let (mut client, first) = ClientExchange::start(hash, "jvb", "nonce");
    rig.input(&format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{}'>{}</auth>",
        hash.mechanism(),
        BASE64.encode(first)
    ));
    let user = BareJid::new("jvb@auth.example.com").expect("jid");
    assert_eq!(rig.events(), [Event::Lookup { user }]);
    let credentials = known.map(|password| Credentials::derive(password, b"salt", 4096));
    rig.server.credentials(rig.now, credentials);
    let out = rig.output().concat();
    let challenge = xml::parse(&out, &Limits::CLIENT).expect("challenge");
    assert!(challenge.is("challenge", ns::SASL));
    let challenge = BASE64.decode(challenge.text()).expect("base64");
    let response = client.respond(&challenge, tried).expect("acceptable");
    rig.input(&format!(
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
        BASE64.encode(response)
    ));
    let out = rig.output();
    if let Ok(success) = xml::parse(&out[0], &Limits::CLIENT)
        && success.is("success", ns::SASL)
    {
        let verifier = BASE64.decode(success.text()).expect("base64");
        assert!(client.verify(&verifier));
    }
    (rig, out)
}

#[test]
fn passwords_over_tls() {
    for hash in [Hash::Sha1, Hash::Sha256] {
        let (mut rig, out) = scram(hash, Some("pw"), "pw");
        assert!(out[0].starts_with("<success"), "{out:?}");
        assert!(rig.server.is_authenticated());
        assert!(rig.input(TCP_OPEN).output().concat().contains("<bind"));
        for (known, tried) in [(Some("pw"), "other"), (None, "pw")] {
            let (rig, out) = scram(hash, known, tried);
            assert_eq!(
                out,
                ["<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"><not-authorized/></failure>"]
            );
            assert!(!rig.server.is_authenticated());
        }
    }
}

#[test]
fn plain_needs_the_right_password_and_a_protected_stream() {
    let attempt = |security, message: &[u8], password: &str| {
        let mut rig = Rig::new(Framing::WebSocket, security);
        rig.input(&WS_OPEN.replace("meet.", "auth."));
        let offered = rig.output().concat().contains(">PLAIN<");
        assert_eq!(offered, security == Security::Secure);
        rig.input(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{}</auth>",
            BASE64.encode(message)
        ));
        rig.server
            .credentials(rig.now, Some(Credentials::derive(password, b"salt", 1)));
        rig.output().concat()
    };
    assert!(attempt(Security::Secure, b"\0jvb\0pw", "pw").contains("<success"));
    assert!(attempt(Security::Secure, b"jvb@auth.example.com\0jvb\0pw", "pw").contains("<success"));
    assert!(attempt(Security::Secure, b"\0jvb\0pw", "other").contains("<not-authorized/>"));
    assert!(
        attempt(Security::Secure, b"focus@auth.example.com\0jvb\0pw", "pw")
            .contains("<invalid-authzid/>")
    );
    assert!(attempt(Security::Secure, b"\0a@b\0pw", "pw").contains("<not-authorized/>"));
    assert!(attempt(Security::Secure, b"jvb", "pw").contains("<malformed-request/>"));
    assert!(attempt(Security::Insecure, b"\0jvb\0pw", "pw").contains("<invalid-mechanism/>"));
}

#[test]
fn failures_are_spelled_as_browsers_search_for_them_and_counted() {
    let mut rig = Rig::new(Framing::WebSocket, Security::Secure);
    rig.input(WS_OPEN).output();
    for attempt in 1..=3 {
        rig.input("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
        rig.server.refuse(
            rig.now,
            SaslFailure {
                condition: SaslCondition::NotAllowed,
                text: Some("token expired".into()),
            },
        );
        let out = rig.output();
        assert_eq!(
            out[0],
            "<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"><not-allowed/><text>token expired</text></failure>"
        );
        let told = Event::LoginFailed(SaslCondition::NotAllowed);
        assert!(rig.events().contains(&told));
        assert_eq!(rig.server.is_closed(), attempt == 3);
    }
}

/// What a peer does, in which framing, and the condition the stream ends with.
#[test]
fn bad_input_gets_its_condition() {
    let large = format!("{WS_OPEN}{}", "x".repeat(20_000));
    let endless = "x".repeat(20_000);
    let deep = "<a>".repeat(17) + &"</a>".repeat(17);
    let cases: Vec<(Framing, Vec<&str>, &str)> = vec![
        (Framing::WebSocket, vec!["<open"], "not-well-formed"),
        (Framing::WebSocket, vec![&large], "policy-violation"),
        (Framing::WebSocket, vec![WS_OPEN, &deep], "policy-violation"),
        (
            Framing::WebSocket,
            vec![WS_OPEN, "<!DOCTYPE a><a/>"],
            "restricted-xml",
        ),
        (
            Framing::WebSocket,
            vec![WS_OPEN, "<message/>"],
            "not-authorized",
        ),
        (Framing::WebSocket, vec![WS_OPEN, WS_OPEN], "bad-format"),
        (
            Framing::WebSocket,
            vec!["<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0'/>"],
            "improper-addressing",
        ),
        (
            Framing::WebSocket,
            vec!["<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='x' version='1.0'/>"],
            "host-unknown",
        ),
        (
            Framing::WebSocket,
            vec!["<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='meet.example.com'/>"],
            "unsupported-version",
        ),
        (
            Framing::Tcp,
            vec!["GET / HTTP/1.1\r\n\r\n"],
            "not-well-formed",
        ),
        (
            Framing::Tcp,
            vec![TCP_OPEN, "<presence/>"],
            "not-authorized",
        ),
        (Framing::Tcp, vec![TCP_OPEN, "<a></b>"], "not-well-formed"),
        (
            Framing::Tcp,
            vec![TCP_OPEN, "<a b='", &endless],
            "policy-violation",
        ),
    ];
    for (framing, inputs, expected) in cases {
        let mut rig = Rig::new(framing, Security::Secure);
        for input in &inputs {
            rig.input(input);
        }
        let out = rig.output();
        let first = if framing == Framing::Tcp {
            "<?xml"
        } else {
            "<open "
        };
        assert!(out[0].starts_with(first), "the header comes first: {out:?}");
        let error =
            format!("<stream:error xmlns:stream=\"http://etherx.jabber.org/streams\"><{expected} ");
        assert!(
            out.iter().any(|o| o.starts_with(&error)),
            "{expected}: {out:?}"
        );
        let events = rig.events();
        assert!(
            matches!(events.last(), Some(Event::Closed(CloseReason::Error(c))) if c.as_str() == expected)
        );
        assert!(
            rig.input("<more/>").output().is_empty(),
            "nothing after the end"
        );
    }
}

#[test]
fn bound_peers_are_held_to_stanzas() {
    for (input, expected) in [
        (
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            "unsupported-stanza-type",
        ),
        ("<data xmlns='jabber:client'/>", "unsupported-stanza-type"),
        ("<a xmlns='urn:xmpp:sm:3'/>", "undefined-condition"),
    ] {
        let mut rig = Rig::bound();
        let out = rig.input(input).output().concat();
        assert!(out.contains(expected), "{out}");
    }
    let mut rig = Rig::bound();
    let body = "x".repeat(200 * 1024);
    rig.input(&format!(
        "<message xmlns='jabber:client'><body>{body}</body></message>"
    ));
    assert!(
        matches!(rig.events()[..], [Event::Stanza(_)]),
        "larger after login"
    );
}

#[test]
fn peers_that_do_not_log_in_are_sent_away() {
    let mut rig = Rig::new(Framing::Tcp, Security::Secure);
    let deadline = rig.server.poll_timeout().expect("deadline");
    assert_eq!(deadline, rig.now + Duration::from_secs(30));
    rig.server
        .handle_timeout(deadline - Duration::from_millis(1));
    assert!(!rig.server.is_closed());
    rig.server.handle_timeout(deadline);
    assert!(rig.output().concat().contains("connection-timeout"));

    let mut rig = Rig::new(Framing::Tcp, Security::Secure);
    rig.input(TCP_OPEN);
    for _ in 0..8 {
        rig.input(&" ".repeat(9_000));
    }
    assert!(
        rig.output().concat().contains("policy-violation"),
        "white space counts too"
    );
}

#[test]
fn input_waits_for_the_callers_answer() {
    let mut rig = Rig::new(Framing::WebSocket, Security::Secure);
    rig.input(WS_OPEN)
        .input("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>")
        .input(WS_OPEN)
        .input(BIND);
    assert!(matches!(rig.events()[..], [Event::Anonymous { .. }]));
    let user = BareJid::new("u@meet.example.com").expect("jid");
    rig.server.accept_anonymous(rig.now, user);
    assert!(matches!(rig.events()[..], [Event::Bind { .. }]));
    for _ in 0..40 {
        rig.input(&format!(
            "<message xmlns='jabber:client'>{}</message>",
            "x".repeat(9_000)
        ));
    }
    assert!(rig.server.is_closed(), "but not without bounds");
}

proptest! {
    #[test]
    fn no_input_panics(
        framing in proptest::sample::select(vec![Framing::Tcp, Framing::WebSocket]),
        inputs in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(vec![WS_OPEN, TCP_OPEN, BIND, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
                    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'/>", "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
                    "<resume xmlns='urn:xmpp:sm:3' h='1'/>", "</stream:stream>"]).prop_map(str::to_owned),
                "\\PC{0,40}",
            ],
            0..12,
        ),
        answers in any::<u16>(),
    ) {
        let mut rig = Rig::new(framing, Security::Secure);
        for (n, input) in inputs.iter().enumerate() {
            rig.input(input);
            if answers >> (n % 16) & 1 == 1 {
                rig.server.credentials(rig.now, None);
                rig.server.refuse(rig.now, SaslCondition::NotAuthorized);
                rig.server.bind_failed(rig.now, Condition::Conflict);
            }
        }
        rig.output();
    }
}

#[test]
fn a_service_that_says_too_much_at_once_is_told_and_stays() {
    let mut rig = Rig::new(Framing::Tcp, Security::Secure);
    rig.input(TCP_OPEN);
    let plain = BASE64.encode("\0focus\0secret");
    rig.input(&format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>"
    ));
    rig.server
        .credentials(rig.now, Some(Credentials::derive("secret", b"salt", 64)));
    rig.input(TCP_OPEN);
    rig.input(BIND);
    let jid = FullJid::new("focus@auth.example.com/focus").expect("jid");
    rig.server.bound(rig.now, &jid);
    while rig.server.poll_event().is_some() {}
    let text = "x".repeat(Limits::SERVICE.bytes);
    rig.input(&format!(
        "<iq type='set' id='7' to='a@b/c'>{text}</iq><presence/>"
    ));
    let Some(Event::Skipped(skipped)) = rig.server.poll_event() else {
        panic!("passed over");
    };
    let stanza = skipped.stanza.expect("an IQ");
    assert_eq!(
        (stanza.attr("id"), stanza.attr("to")),
        (Some("7"), Some("a@b/c"))
    );
    assert!(matches!(rig.server.poll_event(), Some(Event::Stanza(_))));
    assert!(rig.server.is_bound());
}

#[test]
fn elements_of_xml_itself_end_a_participants_stream() {
    let mut rig = Rig::new(Framing::WebSocket, Security::Secure);
    rig.input(WS_OPEN);
    rig.input("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
    let user = BareJid::new("u@meet.example.com").expect("jid");
    rig.server.accept_anonymous(rig.now, user);
    rig.input(WS_OPEN);
    rig.output();
    rig.input("<iq xmlns='jabber:client' type='get' id='1'><xml:a/></iq>");
    let out = rig.output().concat();
    assert!(out.contains("<bad-format "), "{out}");
    assert!(rig.server.is_closed());
}
