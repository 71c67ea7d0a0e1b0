//! The client's end of a stream: TLS, login, bind, and a session that survives its connection.

mod input;
mod negotiate;
mod state;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use stanza::error::StanzaError;
use stanza::xml::{Limits, Reader, StreamHeader, XmlError};
use stanza::{Element, FullJid, element, ns};

use crate::condition::{SaslFailure, StreamCondition};
use crate::frame::{self, Framing};
use crate::unacked::Unacked;
use state::State;

/// Settings of a client.
#[derive(Clone)]
pub struct ClientConfig {
    /// The host to log in to.
    pub domain: String,
    /// How stanzas are put on the connection; BOSH is not spoken by this end.
    pub framing: Framing,
    /// User name and password; `None` logs in with SASL ANONYMOUS.
    pub password: Option<(String, String)>,
    /// The resource to ask for; the server chooses when absent.
    pub resource: Option<String>,
    /// Whether to ask for a session that survives its connection.
    pub resume: bool,
    /// Silence after which the server is asked for a sign of life.
    pub keep_alive: Duration,
    /// How long the server may take to give one.
    pub keep_alive_timeout: Duration,
    /// What one stanza may use: more than any server accepts, so that nothing a stranger has written ends the stream.
    pub limits: Limits,
    /// Stanzas that may wait for an acknowledgement.
    pub max_unacked: usize,
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("domain", &self.domain)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

impl ClientConfig {
    /// Settings for an account, everything else at its default.
    #[must_use]
    pub fn new(domain: &str, password: Option<(String, String)>) -> Self {
        Self {
            domain: domain.to_owned(),
            framing: Framing::Tcp,
            password,
            resource: None,
            resume: true,
            keep_alive: Duration::from_secs(5),
            keep_alive_timeout: Duration::from_secs(5),
            limits: Limits::FROM_SERVER,
            max_unacked: 10_000,
        }
    }
}

/// Why a client's stream ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server's bytes are not acceptable.
    #[error("the server sent bad XML: {0}")]
    Xml(#[from] XmlError),
    /// The server ended the stream with an error.
    #[error("the server ended the stream: {0}")]
    Stream(StreamCondition),
    /// The server ended the stream in order.
    #[error("the server ended the stream")]
    ByPeer,
    /// The server offers no TLS, and TLS was asked for.
    #[error("the server offers no TLS")]
    NoTls,
    /// The server offers no way to log in that we have.
    #[error("the server offers no login mechanism that can be used")]
    NoMechanism,
    /// The server refused the login.
    #[error("login refused: {}", .0.condition)]
    Sasl(SaslFailure),
    /// The server does not know the password itself.
    #[error("the server could not prove that it knows the account")]
    ServerNotAuthentic,
    /// No resource was given.
    #[error("no resource was bound: {0}")]
    Bind(StanzaError),
    /// The server did something that has no meaning at this point.
    #[error("unexpected: {0}")]
    Unexpected(&'static str),
    /// No sign of life from the server.
    #[error("the server does not answer")]
    Timeout,
    /// The server acknowledged more stanzas than it was sent.
    #[error("the server acknowledged more than it was sent")]
    AckTooHigh,
    /// Too many stanzas wait for an acknowledgement.
    #[error("too many stanzas wait for an acknowledgement")]
    QueueFull,
    /// [`Client::close`] was called.
    #[error("closed")]
    Closed,
}

/// What a client tells its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server waits for a TLS handshake. Then [`Client::tls_started`].
    StartTls,
    /// Logged in.
    Online {
        /// Our address.
        jid: FullJid,
        /// The former session goes on, with nothing lost.
        resumed: bool,
    },
    /// A stanza.
    Stanza(Element),
    /// Something was passed over that nobody can do anything with: a stanza over a limit (or, on a WebSocket, a message that
    /// is no XML), answered if it asked for an answer, or an element that is no stanza. The word is for metrics.
    Ignored(&'static str),
    /// The stream has ended. Send what is left, drop the connection, and call [`Client::connect`] on the next one.
    Closed(ClientError),
}

/// A session, as far as it is to survive its connection.
struct Session {
    jid: FullJid,
    sm: Option<StreamManagement>,
}

#[derive(Default)]
struct StreamManagement {
    /// What to resume with; `None` until the server agreed.
    id: Option<String>,
    /// Whether the server agreed, from when on its stanzas count.
    enabled: bool,
    unacked: Unacked,
    received: u32,
    /// Stanzas sent since the last request for an acknowledgement.
    unasked: u32,
}

/// Stanzas after which an acknowledgement is asked for.
const ACK_EVERY: u32 = 5;
/// Id of our sign-of-life requests.
const PING_ID: &str = "keep-alive";

/// The client's end of a stream. It outlives connections: after [`Event::Closed`] or [`Client::disconnected`] call
/// [`Client::connect`] for the next one.
pub struct Client {
    config: ClientConfig,
    rng: ChaCha20Rng,
    state: State,
    secure: bool,
    authenticated: bool,
    reader: Reader,
    session: Option<Session>,
    heard: Option<Instant>,
    probe: Option<Instant>,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Client {
    /// A client without a connection. `seed` must be secret and fresh: nonces follow from it.
    #[must_use]
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Self {
        Self {
            reader: Reader::new(config.limits),
            rng: ChaCha20Rng::from_seed(seed),
            state: State::Idle,
            secure: false,
            authenticated: false,
            session: None,
            heard: None,
            probe: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            config,
        }
    }

    /// Name of the session that is to be resumed, or could be. A server that gives out names at login finds out by it who
    /// comes back: on a WebSocket it belongs into the address.
    #[must_use]
    pub fn resume_id(&self) -> Option<&str> {
        self.session.as_ref()?.sm.as_ref()?.id.as_deref()
    }

    /// There is a new connection. `secure`: nobody can read it, so no TLS is needed; otherwise TLS is insisted on.
    pub fn connect(&mut self, now: Instant, secure: bool) {
        self.reader = Reader::new(self.config.limits);
        self.transmits.clear();
        self.secure = secure;
        self.authenticated = false;
        self.heard = Some(now);
        self.probe = None;
        self.open();
    }

    /// The connection is lost. A session that can be resumed is kept.
    pub fn disconnected(&mut self) {
        self.state = State::Idle;
        self.transmits.clear();
        self.heard = None;
        self.probe = None;
        if !self.is_resumable() {
            self.session = None;
        }
    }

    /// Whether there is a session that the next connection can resume.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.session
            .as_ref()
            .and_then(|session| session.sm.as_ref())
            .is_some_and(|sm| sm.id.is_some())
    }

    /// Whether stanzas go out at once.
    #[must_use]
    pub fn is_online(&self) -> bool {
        matches!(self.state, State::Online)
    }

    /// The TLS handshake is done.
    pub fn tls_started(&mut self, now: Instant) {
        let _ = now;
        if matches!(self.state, State::AwaitTls) {
            self.secure = true;
            self.reader.restart_discarding();
            self.open();
        }
    }

    /// Sends a stanza, or keeps it for the resumption of the session. Returns false when there is no session to send it in;
    /// the stanza is dropped then.
    pub fn send(&mut self, now: Instant, stanza: &Element) -> bool {
        let _ = now;
        self.queue(stanza)
    }

    fn queue(&mut self, stanza: &Element) -> bool {
        let online = self.is_online();
        let Some(session) = &mut self.session else {
            return false;
        };
        let bytes = frame::element(stanza);
        let Some(sm) = &mut session.sm else {
            if online {
                self.transmits.push_back(bytes);
            }
            return online;
        };
        if online {
            self.transmits.push_back(bytes.clone());
        } else if sm.id.is_none() {
            return false;
        }
        sm.unacked.push(bytes);
        sm.unasked += 1;
        if online && sm.unasked >= ACK_EVERY {
            sm.unasked = 0;
            self.transmits
                .push_back(frame::element(&element("r", ns::SM).done()));
        }
        if sm.unacked.len() > self.config.max_unacked {
            self.session = None;
            self.fail(ClientError::QueueFull);
        }
        true
    }

    /// Ends the stream in order, and the session with it.
    pub fn close(&mut self, now: Instant) {
        let _ = now;
        if let Some(sm) = self.enabled_sm() {
            let h = sm.received;
            self.transmits.push_back(answer_ack(h));
        }
        self.session = None;
        self.fail(ClientError::Closed);
    }

    /// The next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_online() {
            return None;
        }
        self.probe
            .or_else(|| Some(self.heard? + self.config.keep_alive))
    }

    /// Does what is due at `now`: asks a silent server for a sign of life, and gives up one that gives none.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        if self.probe.is_some() {
            return self.fail(ClientError::Timeout);
        }
        let probe = if self.enabled_sm().is_some() {
            element("r", ns::SM).done()
        } else {
            stanza::iq::get(
                &self.config.domain,
                PING_ID,
                element("ping", ns::PING).done(),
            )
        };
        self.transmits.push_back(frame::element(&probe));
        self.probe = Some(now + self.config.keep_alive_timeout);
    }

    fn enabled_sm(&mut self) -> Option<&mut StreamManagement> {
        self.session.as_mut()?.sm.as_mut().filter(|sm| sm.enabled)
    }

    fn open(&mut self) {
        let header = StreamHeader {
            to: Some(self.config.domain.clone()),
            version: Some("1.0".to_owned()),
            lang: Some("en".to_owned()),
            ..StreamHeader::default()
        };
        self.transmits
            .extend(frame::open(self.config.framing, &header));
        self.state = State::AwaitHeader;
    }

    /// Ends the stream on this connection. The session stays if it can be resumed.
    fn fail(&mut self, error: ClientError) {
        if matches!(self.state, State::Closed) {
            return;
        }
        if !matches!(self.state, State::Idle) {
            self.transmits.extend(frame::close(self.config.framing));
        }
        self.state = State::Closed;
        self.probe = None;
        self.events.push_back(Event::Closed(error));
    }
}

fn answer_ack(h: u32) -> Vec<u8> {
    frame::element(&element("a", ns::SM).attr("h", h).done())
}

#[cfg(test)]
mod tests;
