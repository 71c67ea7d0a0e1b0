//! A node on real sockets, and the clients the tests play.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "each test uses a part; a test that cannot go on fails"
)]

pub mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use link::{Credentials, LinkConfig, LinkEvent, Target, TlsVerify};
use signalling::{Node, SignallingConfig, TcpConfig};
use stanza::xml::{self, Limits};
use stanza::{Element, ElementExt, element, iq, ns};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub const DOMAIN: &str = "meet.internal";
pub const SECRET: &[u8] = b"secret of the tests";
/// Ends a test that would hang; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must come.
pub async fn must<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it came in time")
}

pub struct TestNode {
    pub node: Node,
    pub http: SocketAddr,
    pub xmpp: SocketAddr,
    pub fingerprint: [u8; 32],
    certificate: rustls::pki_types::CertificateDer<'static>,
}

impl TestNode {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A node that knows the bridge `jvb1` and lets newcomers ask; passwords are as [`TestNode::link`] derives them.
    pub async fn start_with(change: impl FnOnce(&mut SignallingConfig)) -> Self {
        let certified =
            rcgen::generate_simple_self_signed(vec![DOMAIN.to_owned()]).expect("certificate");
        let der = certified.cert.der().clone();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
        let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der())
            .expect("key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], key)
            .expect("key fits");
        let mut config =
            SignallingConfig::new(DOMAIN, SECRET, telemetry::Metrics::new()).expect("domain");
        config.tcp = Some(TcpConfig {
            listen: vec!["127.0.0.1:0".parse().expect("address")],
            tls: Arc::new(tls),
            allow: Arc::new(|_| true),
        });
        config.bridges = bridges(&["jvb1"]);
        change(&mut config);
        let node = Node::start(config).await.expect("started");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("port");
        let http = listener.local_addr().expect("address");
        let router = node.router();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            http,
            xmpp: node.tcp_addresses()[0],
            fingerprint: digest.as_ref().try_into().expect("32 bytes"),
            certificate: der,
            node,
        }
    }

    pub fn link(&self, user: &str, verify: TlsVerify) -> LinkConfig {
        let credentials = Credentials::Password {
            user: user.to_owned(),
            password: xmpp::auth::derive_password(SECRET, user),
        };
        let target = Target::Tcp {
            host: "127.0.0.1".to_owned(),
            port: self.xmpp.port(),
            verify,
        };
        LinkConfig::new(target, &format!("auth.{DOMAIN}"), credentials)
    }

    /// What a client's TLS believes: the certificate of this node.
    pub fn client_tls(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// The login mechanisms a service is offered over TCP, after TLS.
    pub async fn mechanisms(&self) -> Vec<String> {
        let tls = self.client_tls();
        let header = format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
             to='auth.{DOMAIN}' version='1.0'>"
        );
        let starttls = format!("<starttls xmlns='{}'/>", ns::TLS);
        let mut socket = TcpStream::connect(self.xmpp).await.expect("connected");
        must(socket.write_all(format!("{header}{starttls}").as_bytes()))
            .await
            .expect("sent");
        read_until(&mut socket, "<proceed").await;
        let name = rustls::pki_types::ServerName::try_from(DOMAIN).expect("name");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
        let mut socket = must(connector.connect(name, socket)).await.expect("TLS");
        must(socket.write_all(header.as_bytes()))
            .await
            .expect("sent");
        let features = read_until(&mut socket, "</stream:features>").await;
        features
            .split("<mechanism")
            .filter_map(|rest| Some(rest.split_once('>')?.1.split_once("</mechanism>")?.0))
            .map(str::to_owned)
            .collect()
    }

    pub fn pinned(&self) -> TlsVerify {
        TlsVerify::Fingerprint(self.fingerprint)
    }
}

/// Reads until `end` was read.
async fn read_until(socket: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut bytes = [0; 1024];
        let count = must(socket.read(&mut bytes)).await.expect("read");
        assert!(count > 0, "closed after {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}

/// Accounts of these bridges, and that of newcomers.
pub fn bridges(names: &[&str]) -> xmpp::BridgeAccounts {
    let keys = |name: &str| {
        let password = xmpp::auth::derive_password(SECRET, name);
        xmpp::auth::Credentials::new(&password, b"salt")
    };
    xmpp::BridgeAccounts {
        bridges: names
            .iter()
            .map(|name| ((*name).to_owned(), keys(name)))
            .collect(),
        join: Some(keys("join")),
    }
}

/// The next stanza of a link.
pub async fn next_stanza(events: &mut tokio::sync::mpsc::Receiver<LinkEvent>) -> Element {
    match must(events.recv()).await.expect("link") {
        LinkEvent::Stanza(stanza) => stanza,
        other => panic!("no stanza but {other:?}"),
    }
}

/// A browser's end of a WebSocket stream.
pub struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub jid: String,
    /// Stanzas received since stream management was enabled.
    pub received: u32,
    ids: u32,
}

impl Browser {
    /// A socket on which nothing was said yet.
    pub async fn raw(node: &TestNode, query: &str) -> Self {
        let url = format!("ws://{}/xmpp-websocket?room=standup{query}", node.http);
        let mut request = url.into_client_request().expect("request");
        let protocol = "xmpp".parse().expect("value");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (socket, response) = must(tokio_tungstenite::connect_async(request))
            .await
            .expect("socket");
        assert_eq!(response.headers()["sec-websocket-protocol"], "xmpp");
        Self {
            socket,
            jid: String::new(),
            received: 0,
            ids: 0,
        }
    }

    pub async fn say(&mut self, text: &str) {
        must(self.socket.send(Message::text(text)))
            .await
            .expect("sent");
    }

    pub async fn send(&mut self, stanza: &Element) {
        self.say(&xml::to_string(stanza)).await;
    }

    /// The next message; `None` when the socket is closed.
    pub async fn hear(&mut self) -> Option<String> {
        loop {
            match must(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Everything until the socket is closed.
    pub async fn hear_out(&mut self) -> String {
        let mut out = String::new();
        while let Some(text) = self.hear().await {
            out.push_str(&text);
        }
        out
    }

    /// The next stanza; acknowledgements and requests for them are dealt with.
    pub async fn stanza(&mut self) -> Element {
        loop {
            let text = self.hear().await.expect("open");
            let stanza = xml::parse(&text, &Limits::SERVICE).expect("well-formed");
            if stanza.is("r", ns::SM) {
                let h = self.received.to_string();
                self.send(&element("a", ns::SM).attr("h", h).done()).await;
            } else if !stanza.has_ns(ns::SM) {
                self.received += 1;
                return stanza;
            }
        }
    }

    /// The next stanza that answers `wanted`.
    pub async fn stanza_where(&mut self, wanted: impl Fn(&Element) -> bool) -> Element {
        loop {
            let stanza = self.stanza().await;
            if wanted(&stanza) {
                return stanza;
            }
        }
    }

    pub async fn open(&mut self) -> String {
        self.say(&format!(
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{DOMAIN}' version='1.0'/>"
        ))
        .await;
        let open = self.hear().await.expect("open");
        assert!(open.starts_with("<open "), "{open}");
        self.hear().await.expect("features")
    }

    /// Logs in as anybody, up to where a resource would be bound.
    pub async fn login(node: &TestNode, query: &str) -> Self {
        let mut browser = Self::raw(node, query).await;
        let features = browser.open().await;
        assert!(features.contains(">ANONYMOUS<"), "{features}");
        browser
            .say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>")
            .await;
        let success = browser.hear().await.expect("success");
        assert!(success.starts_with("<success"), "{success}");
        browser.open().await;
        browser
    }

    /// Logs in and binds.
    pub async fn connect(node: &TestNode) -> Self {
        let mut browser = Self::login(node, "").await;
        let bind = element("iq", ns::CLIENT)
            .attr("type", "set")
            .attr("id", "_bind_auth_2")
            .child(element("bind", ns::BIND))
            .done();
        browser.send(&bind).await;
        let bound = browser
            .stanza_where(|s| s.attr("id") == Some("_bind_auth_2"))
            .await;
        let jid = bound
            .get_child("bind", ns::BIND)
            .and_then(|b| b.child_text("jid", ns::BIND));
        browser.jid = jid.expect("address");
        browser
    }

    /// Turns stream management on and returns the id to resume with.
    pub async fn enable(&mut self) -> String {
        self.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            .await;
        loop {
            let text = self.hear().await.expect("open");
            if text.starts_with("<enabled") {
                self.received = 0;
                let enabled = xml::parse(&text, &Limits::CLIENT).expect("well-formed");
                return enabled.attr("id").expect("id").to_owned();
            }
        }
    }

    /// Asks the server for a sign of life and returns what came before it.
    pub async fn ping(&mut self) -> Vec<Element> {
        self.ids += 1;
        let id = format!("ping{}", self.ids);
        self.send(&iq::get(DOMAIN, &id, element("ping", ns::PING).done()))
            .await;
        let mut before = Vec::new();
        loop {
            let stanza = self.stanza().await;
            if stanza.attr("id") == Some(&id) {
                assert_eq!(stanza.attr("type"), Some("result"));
                return before;
            }
            before.push(stanza);
        }
    }

    /// Asks the focus for the room and joins it.
    pub async fn join(&mut self, room: &str, nick: &str) {
        let conference = element("conference", ns::FOCUS)
            .attr("room", room)
            .attr("machine-uid", "test")
            .done();
        self.send(&iq::set(&format!("focus.{DOMAIN}"), "c1", conference))
            .await;
        let answer = self.stanza_where(|s| s.attr("id") == Some("c1")).await;
        let ready = answer
            .get_child("conference", ns::FOCUS)
            .and_then(|c| c.attr("ready"));
        assert_eq!(ready, Some("true"), "{}", xml::to_string(&answer));
        // What it can do, or the focus would ask, and wait for an answer.
        let feature = element("feature", ns::CLIENT).attr("var", "urn:xmpp:jingle:apps:rtp:audio");
        let join = element("presence", ns::CLIENT)
            .attr("to", format!("{room}/{nick}"))
            .child(element("x", ns::MUC))
            .child(element("features", ns::CLIENT).child(feature))
            .done();
        self.send(&join).await;
        let own = format!("{room}/{nick}");
        self.stanza_where(|s| s.name() == "presence" && s.attr("from") == Some(&own))
            .await;
    }

    /// Says its last words, all at once, and closes its socket so that the other end can send nothing more, as is so when
    /// a socket is closed with something unread.
    pub async fn slam(mut self, words: &[String]) {
        for text in words {
            let message = Message::text(text.as_str());
            must(self.socket.feed(message)).await.expect("taken");
        }
        if let MaybeTlsStream::Plain(socket) = self.socket.get_ref() {
            socket.set_nodelay(true).expect("no delay");
            socket.set_zero_linger().expect("linger");
        }
        must(self.socket.flush()).await.expect("sent");
    }

    /// Loses the socket without a word.
    pub fn vanish(self) -> (String, u32) {
        (self.jid, self.received)
    }
}
