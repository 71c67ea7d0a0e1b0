//! A signalling node as a bridge sees it: login, bind, and a brewery with a focus in it.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where it fails, and reads the clock"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::{Bridge, BridgeConfig, NodeConfig, NodeTarget};
use link::{MemoryConnector, MemoryListener};
use stanza::colibri2::ConferenceModified;
use stanza::error::Condition;
use stanza::media::IceTransport;
use stanza::xml::{Limits, to_string};
use stanza::{Element, FullJid};
use stream::sasl::Credentials;
use stream::server::{Event, HostPolicy, Security, ServerConfig, single_host};
use stream::{Framing, Server};
use telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub mod client;

pub const BREWERY: &str = "jvbbrewery@internal.auth.meet.test";
/// A request that creates an endpoint, and the conference with the first.
pub fn create(meeting: &str, id: &str, conference: bool) -> String {
    let flags = if conference {
        "create='true' name='r@conference.meet.test'"
    } else {
        ""
    };
    format!(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='{meeting}' {flags}><endpoint id='{id}' create='true'>\
         <media type='audio'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000' channels='2'/>\
         <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/></media>\
         <media type='video'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='100' name='VP8' clockrate='90000'>\
         <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/>\
         <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/></payload-type>\
         <payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='96' name='rtx' clockrate='90000'>\
         <parameter name='apt' value='100'/></payload-type></media>\
         <transport ice-controlling='true'><sctp/></transport><sources/>\
         <capability name='source-names'/><capability name='ssrc-rewriting'/></endpoint></conference-modify>"
    )
}

/// The transport of the first endpoint in an answer.
pub fn transport(answer: &Element) -> IceTransport {
    let payload = answer.children().next().expect("a payload");
    let modified = ConferenceModified::try_from(payload).expect("a conference-modified");
    modified.endpoints[0]
        .transport
        .as_ref()
        .and_then(|t| t.ice.clone())
        .expect("a transport")
}

pub const FOCUS: &str = "jvbbrewery@internal.auth.meet.test/focus";

/// One bridge and the node it is attached to.
pub struct Meet {
    listener: MemoryListener,
    stream: Option<(DuplexStream, Server)>,
    jid: Option<FullJid>,
    next_id: u64,
}

pub fn config(connector: MemoryConnector) -> BridgeConfig {
    let mut config = BridgeConfig::new("b1", Metrics::new());
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.shards = 1;
    config.presence_interval = Duration::from_secs(3600);
    let target = NodeTarget::Memory(connector);
    config.nodes = vec![NodeConfig::new(target, "meet.test", "secret".to_owned())];
    config
}

/// Starts a bridge and waits for its first presence, the third part.
pub async fn attach(adjust: impl FnOnce(&mut BridgeConfig)) -> (Bridge, Meet, Element) {
    let (connector, listener) = link::memory();
    let mut config = config(connector);
    adjust(&mut config);
    let bridge = Bridge::start(config).unwrap();
    let mut meet = Meet {
        listener,
        stream: None,
        jid: None,
        next_id: 0,
    };
    let join = meet.next_stanza().await;
    (bridge, meet, join)
}

/// Starts a bridge and waits until it sits in the brewery; its first presence is the third part.
pub async fn start(adjust: impl FnOnce(&mut BridgeConfig)) -> (Bridge, Meet, Element) {
    let (bridge, mut meet, join) = attach(adjust).await;
    assert_eq!(
        join.attr("to"),
        Some("jvbbrewery@internal.auth.meet.test/b1")
    );
    meet.send(&format!(
        "<presence xmlns='jabber:client' from='{BREWERY}/b1' to='{}'><x xmlns='http://jabber.org/protocol/muc#user'>\
         <item affiliation='owner' role='moderator'/><status code='110'/></x></presence>",
        meet.jid()
    ))
    .await;
    (bridge, meet, join)
}

impl Meet {
    pub fn jid(&self) -> String {
        self.jid.as_ref().map(|j| j.to_string()).unwrap_or_default()
    }

    async fn connect(&mut self) {
        let policy = HostPolicy {
            anonymous: false,
            password: true,
            plain: true,
            limits: Limits::CLIENT,
        };
        let config = ServerConfig::new(single_host("auth.meet.test", policy), [1; 32]);
        let server = Server::new(
            Arc::new(config),
            Framing::Tcp,
            Security::Secure,
            Instant::now(),
            [2; 32],
        );
        let stream = self.listener.accept().await.expect("the bridge dials");
        self.stream = Some((stream, server));
    }

    /// The next stanza of the bridge, within five seconds; `None` at the end of its stream.
    pub async fn try_next(&mut self) -> Option<Element> {
        tokio::time::timeout(Duration::from_secs(5), self.read())
            .await
            .expect("a stanza within five seconds")
    }

    pub async fn next_stanza(&mut self) -> Element {
        self.try_next().await.expect("a stanza")
    }

    async fn read(&mut self) -> Option<Element> {
        if self.stream.is_none() {
            self.connect().await;
        }
        loop {
            self.flush().await;
            while let Some(event) = self.server().poll_event() {
                if let Event::Closed(_) = event {
                    self.flush().await;
                    return None;
                }
                if let Some(stanza) = self.handle(event) {
                    return Some(stanza);
                }
                self.flush().await;
            }
            let mut buffer = [0; 16 * 1024];
            let (stream, server) = self.stream.as_mut().unwrap();
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
            server.handle_input(Instant::now(), &buffer[..count]);
        }
    }

    fn server(&mut self) -> &mut Server {
        &mut self.stream.as_mut().unwrap().1
    }

    fn handle(&mut self, event: Event) -> Option<Element> {
        let now = Instant::now();
        match event {
            Event::Lookup { user } => {
                assert_eq!(user.to_string(), "jvb@auth.meet.test");
                let credentials = Credentials::derive("secret", b"salt", 4096);
                self.server().credentials(now, Some(credentials));
            }
            Event::Bind { user, resource } => {
                let jid = format!("{user}/{}", resource.as_deref().unwrap_or("r"));
                let jid = FullJid::new(&jid).unwrap();
                self.server().bound(now, &jid);
                self.jid = Some(jid);
            }
            Event::EnableSm { .. } => self.server().sm_failed(Condition::FeatureNotImplemented),
            Event::Stanza(stanza) => return Some(stanza),
            _ => {}
        }
        None
    }

    async fn flush(&mut self) {
        let (stream, server) = self.stream.as_mut().unwrap();
        while let Some(bytes) = server.poll_transmit() {
            // The bridge may have closed the stream already.
            let _ = stream.write_all(&bytes).await;
        }
    }

    pub async fn send(&mut self, xml: &str) {
        let element: Element = xml.parse().unwrap();
        let bytes = to_string(&element).into_bytes();
        self.server().send(bytes);
        self.flush().await;
    }

    /// Sends a request and waits for its answer; presences in between are skipped.
    pub async fn ask_as(&mut self, from: &str, payload: &str) -> Element {
        self.next_id += 1;
        let id = format!("q{}", self.next_id);
        let to = self.jid();
        self.send(&format!(
            "<iq xmlns='jabber:client' type='get' id='{id}' from='{from}' to='{to}'>{payload}</iq>"
        ))
        .await;
        loop {
            let stanza = self.next_stanza().await;
            if stanza.name() == "iq" && stanza.attr("id") == Some(&id) {
                assert_eq!(stanza.attr("to"), Some(from));
                return stanza;
            }
        }
    }

    pub async fn ask(&mut self, payload: &str) -> Element {
        self.ask_as(FOCUS, payload).await
    }
}
