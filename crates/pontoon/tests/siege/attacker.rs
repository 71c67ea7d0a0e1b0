//! What a stranger with a socket can do: the hands of all attacks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::server::{DOMAIN, Server};

/// How long one step of a stranger may take before it counts as refused.
const STEP: Duration = Duration::from_secs(20);

/// Whom attacks aim at, and from where.
#[derive(Clone)]
pub struct Aim {
    pub https: u16,
    pub xmpp: u16,
    pub udp: u16,
    source: IpAddr,
    next: Arc<AtomicU32>,
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

impl Aim {
    pub fn new(server: &Server) -> Self {
        Self {
            https: server.https,
            xmpp: server.xmpp,
            udp: server.udp,
            source: Ipv4Addr::new(127, 66, 0, 1).into(),
            next: Arc::default(),
        }
    }

    /// The same from an address nobody used before.
    pub fn elsewhere(&self) -> Self {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let [_, b, c, d] = n.to_be_bytes();
        Self {
            source: Ipv4Addr::new(127, 70 + b, c, d).into(),
            ..self.clone()
        }
    }

    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// A connection on which nothing was said.
    pub async fn tcp(&self, port: u16) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        socket.bind(SocketAddr::new(self.source, 0)).ok()?;
        let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        timeout(STEP, socket.connect(to)).await.ok()?.ok()
    }

    /// A connection with TLS; `protocol` is what ALPN offers.
    pub async fn tls(&self, protocol: &[u8]) -> Option<TlsStream<TcpStream>> {
        let stream = self.tcp(self.https).await?;
        let name = ServerName::try_from(DOMAIN).ok()?;
        let connect = TlsConnector::from(tls_config(protocol)).connect(name, stream);
        timeout(STEP, connect).await.ok()?.ok()
    }

    async fn web_socket(&self, room: &str) -> Option<Socket> {
        let stream = self.tls(b"http/1.1").await?;
        let url = format!("wss://{DOMAIN}/xmpp-websocket?room={room}");
        let mut request = url.into_client_request().ok()?;
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "xmpp".parse().ok()?);
        let (socket, _) = timeout(STEP, client_async(request, stream))
            .await
            .ok()?
            .ok()?;
        Some(socket)
    }

    /// A guest who is logged in.
    pub async fn login(&self, room: &str) -> Option<Guest> {
        timeout(STEP, self.try_login(room)).await.ok()?
    }

    async fn try_login(&self, room: &str) -> Option<Guest> {
        let (sink, stream) = self.web_socket(room).await?.split();
        let mut guest = Guest {
            sink,
            stream,
            jid: String::new(),
        };
        let open = format!(
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{DOMAIN}' version='1.0'/>"
        );
        guest.say(&open).await?;
        guest.until("ANONYMOUS").await?;
        guest
            .say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>")
            .await?;
        guest.until("<success").await?;
        guest.say(&open).await?;
        guest.until("urn:ietf:params:xml:ns:xmpp-bind").await?;
        guest
            .say("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            .await?;
        let bound = guest.until("<jid").await?;
        let jid = bound
            .split("<jid")
            .nth(1)?
            .split('>')
            .nth(1)?
            .split('<')
            .next()?;
        guest.jid = jid.to_owned();
        Some(guest)
    }
}

/// A guest's session.
pub struct Guest {
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    pub jid: String,
}

impl Guest {
    /// Sends a text; `None` when the server has hung up or takes no more.
    pub async fn say(&mut self, text: &str) -> Option<()> {
        let sent = self.sink.send(Message::text(text));
        timeout(STEP, sent).await.ok()?.ok()
    }

    pub async fn hear(&mut self) -> Option<String> {
        loop {
            match self.stream.next().await?.ok()? {
                Message::Text(text) => return Some(text.to_string()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// The next message that contains a word.
    pub async fn until(&mut self, word: &str) -> Option<String> {
        loop {
            let text = self.hear().await?;
            if text.contains(word) {
                return Some(text);
            }
        }
    }

    /// Says everything while reading what comes, and gives up when the server does not take it; returns how much it took.
    pub async fn pour(&mut self, texts: impl IntoIterator<Item = String>) -> usize {
        let mut taken = 0;
        for text in texts {
            let Self { sink, stream, .. } = self;
            let mut sent = std::pin::pin!(sink.send(Message::text(text)));
            let done = loop {
                tokio::select! {
                    done = &mut sent => break done.is_ok(),
                    message = stream.next() => match message {
                        Some(Ok(_)) => {}
                        _ => break false,
                    },
                    () = tokio::time::sleep(STEP) => break false,
                }
            };
            if !done {
                break;
            }
            taken += 1;
        }
        taken
    }

    /// Asks the focus for a room; true when it is ready.
    pub async fn request(&mut self, room: &str) -> Option<bool> {
        self.say(&format!(
            "<iq xmlns='jabber:client' type='set' id='conf' to='focus.{DOMAIN}'><conference xmlns='http://jitsi.org/protocol/focus' \
             room='{room}@conference.{DOMAIN}' machine-uid='m'/></iq>"
        ))
        .await?;
        let answer = timeout(STEP, self.until("id=\"conf\"")).await.ok()??;
        Some(answer.contains("ready=\"true\""))
    }

    /// Enters a room as clients do.
    pub async fn enter(&mut self, room: &str) -> Option<()> {
        let nick: String = self.jid.chars().take(8).collect();
        let features =
            ["audio", "video"].map(|f| format!("<feature var='urn:xmpp:jingle:apps:rtp:{f}'/>"));
        self.say(&format!(
            "<presence xmlns='jabber:client' to='{room}@conference.{DOMAIN}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/>\
             <features>{}</features></presence>",
            features.concat()
        ))
        .await?;
        let entered = async {
            loop {
                let text = self.hear().await?;
                if text.contains("code=\"110\"") {
                    return Some(());
                }
                if text.starts_with("<presence") && text.contains("type=\"error\"") {
                    return None;
                }
            }
        };
        timeout(STEP, entered).await.ok()?
    }
}

fn tls_config(protocol: &[u8]) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

/// Believes whoever answers: the server's certificate is its own.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
