//! The server's end of a stream.
//!
//! The stream asks its caller for what only the caller knows (who an account is, which resource is free) with an
//! [`Event`], and reads on when it has the answer: each such event names the method that answers it.

mod answers;
mod config;
mod input;
mod negotiate;
mod state;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use stanza::error::Condition;
use stanza::xml::{Limits, Reader, Skipped, StreamHeader};
use stanza::{BareJid, Element, element, ns};

use crate::condition::{SaslCondition, StreamCondition};
use crate::frame::{self, Framing};

pub use config::{HostPolicy, Security, ServerConfig};
use state::State;

/// What a stream tells its caller, or asks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer waits for a TLS handshake, once what [`Server::poll_transmit`] has is sent. Then [`Server::tls_started`].
    StartTls,
    /// Somebody wants in without a name. Answer with [`Server::accept_anonymous`] or [`Server::refuse`].
    Anonymous {
        /// The host logged in to.
        host: String,
    },
    /// Somebody wants in with a password. Answer with [`Server::credentials`] or [`Server::refuse`].
    Lookup {
        /// The account.
        user: BareJid,
    },
    /// A login failed; the peer was told. Nothing to answer.
    LoginFailed(SaslCondition),
    /// A new session. Answer with [`Server::bound`] or [`Server::bind_failed`].
    Bind {
        /// Who logged in.
        user: BareJid,
        /// The resource asked for.
        resource: Option<String>,
    },
    /// A former session is to go on here. Answer with [`Server::resumed`] or [`Server::resume_failed`].
    Resume {
        /// Who logged in.
        user: BareJid,
        /// The session's stream management id.
        previd: String,
        /// Stanzas the peer received in it.
        h: u32,
    },
    /// The peer turns stream management on. Answer with [`Server::sm_enabled`] or [`Server::sm_failed`]; the stream reads
    /// on meanwhile.
    EnableSm {
        /// Whether the session shall survive its connection.
        resume: bool,
    },
    /// The peer received so many stanzas.
    Ack(u32),
    /// The peer asks how many stanzas were handled. Answer with [`Server::ack`], in order.
    AckRequest,
    /// A stanza of the bound session: `message`, `presence` or `iq` in `jabber:client`.
    Stanza(Element),
    /// A stanza of the bound session is over a limit and was passed over: only where the limits say so. It counts as a
    /// stanza, and one that asks for an answer gets an error from the caller.
    Skipped(Skipped),
    /// The stream has ended. Send what is left, then drop the connection.
    Closed(CloseReason),
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer ended it in order.
    ByPeer,
    /// The peer ended it with an error of its own.
    PeerError,
    /// We ended it with this error.
    Error(StreamCondition),
    /// The caller ended it without an error.
    ByCaller,
}

/// The server's end of one stream. See the [module](self) for how to drive it.
pub struct Server {
    config: Arc<ServerConfig>,
    framing: Framing,
    security: Security,
    rng: ChaCha20Rng,
    state: State,
    reader: Reader,
    /// Messages of a framed transport that wait for an answer of the caller.
    inbox: VecDeque<Vec<u8>>,
    inbox_bytes: usize,
    /// Bytes the peer may still send before it has logged in.
    budget: usize,
    login_deadline: Option<Instant>,
    failures: u8,
    host: Option<String>,
    user: Option<BareJid>,
    bind_id: Option<String>,
    opened: bool,
    close_reason: Option<CloseReason>,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Server {
    /// A stream that waits for its peer to open it.
    ///
    /// `seed` must be secret and fresh: nonces and stream ids follow from it.
    #[must_use]
    pub fn new(
        config: Arc<ServerConfig>,
        framing: Framing,
        security: Security,
        now: Instant,
        seed: [u8; 32],
    ) -> Self {
        Self {
            reader: Reader::new(config.unauthenticated),
            budget: config.unauthenticated_bytes,
            login_deadline: Some(now + config.login_timeout),
            framing,
            security,
            rng: ChaCha20Rng::from_seed(seed),
            state: State::Header,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            failures: 0,
            host: None,
            user: None,
            bind_id: None,
            opened: false,
            close_reason: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            config,
        }
    }

    /// Whether a stanza may be sent: a resource is bound or a session resumed.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        matches!(self.state, State::Bound)
    }

    /// Whether the peer has logged in.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.user.is_some()
    }

    /// The host the peer opened the stream to.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether the stream has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Why the stream has ended, if it has.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason
    }

    /// Whether input is handled at once. While it is not, the caller shall leave it in the socket: what is handed in
    /// anyway waits, up to the limit of one stanza.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.blocked()
    }

    /// The TLS handshake is done. What came before it is forgotten.
    pub fn tls_started(&mut self, now: Instant) {
        let _ = now;
        if matches!(self.state, State::StartTls) {
            self.security = Security::Secure;
            self.reader.restart_discarding();
            self.state = State::Header;
        }
    }

    /// Sends a stanza before the answer to [`Event::Bind`]: what the peer would ask for next. Dropped at any other time.
    pub fn greet(&mut self, stanza: Vec<u8>) {
        if matches!(self.state, State::AwaitBind) {
            self.transmits.push_back(stanza);
        }
    }

    /// Answers [`Event::EnableSm`]. `id` is what the session can be resumed with, `max` for how many seconds.
    pub fn sm_enabled(&mut self, id: Option<&str>, max: Option<u64>) {
        let enabled = element("enabled", ns::SM)
            .attr_opt("id", id)
            .attr_opt("resume", id.map(|_| "true"))
            .attr_opt("max", max)
            .done();
        self.send_element(&enabled);
    }

    /// Answers [`Event::EnableSm`] with a failure.
    pub fn sm_failed(&mut self, condition: Condition) {
        if self.is_bound() {
            self.sm_failure(condition);
        }
    }

    /// Tells the peer how many of its stanzas were handled.
    pub fn ack(&mut self, h: u32) {
        self.send_element(&element("a", ns::SM).attr("h", h).done());
    }

    /// Asks the peer how many stanzas it received.
    pub fn request_ack(&mut self) {
        self.send_element(&element("r", ns::SM).done());
    }

    /// Sends a stanza: complete, self-contained XML. Dropped unless a resource is bound.
    pub fn send(&mut self, stanza: Vec<u8>) {
        if self.is_bound() {
            self.transmits.push_back(stanza);
        }
    }

    /// Ends the stream, with an error or in order.
    pub fn close(&mut self, now: Instant, error: Option<StreamCondition>) {
        let _ = now;
        match error {
            Some(condition) => self.fail(condition, None),
            None => self.end(CloseReason::ByCaller),
        }
    }

    /// The next bytes to send: any part of the stream on TCP, one message on a WebSocket, one element in BOSH.
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
        self.login_deadline
    }

    /// Does what is due at `now`: a peer that has not logged in in time is sent away.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.login_deadline.is_some_and(|deadline| deadline <= now) {
            self.fail(StreamCondition::ConnectionTimeout, None);
        }
    }

    /// The transport is gone: nothing can be sent any more, and no event tells of it.
    pub(crate) fn handle_abort(&mut self) {
        self.state = State::Closed;
        self.login_deadline = None;
        self.transmits.clear();
        self.inbox = VecDeque::new();
        self.inbox_bytes = 0;
    }

    fn limits(&self) -> &Limits {
        match self.policy() {
            Some(policy) if self.user.is_some() => &policy.limits,
            _ => &self.config.unauthenticated,
        }
    }

    fn policy(&self) -> Option<&HostPolicy> {
        self.config.hosts.get(self.host.as_deref()?)
    }

    fn send_element(&mut self, element: &Element) {
        if self.is_bound() {
            self.transmits.push_back(frame::element(element));
        }
    }

    fn sm_failure(&mut self, condition: Condition) {
        let failed = element("failed", ns::SM)
            .child(element(condition.as_str(), ns::STANZA_ERRORS))
            .done();
        self.transmits.push_back(frame::element(&failed));
    }

    fn blocked(&self) -> bool {
        matches!(
            self.state,
            State::StartTls
                | State::AwaitAnonymous
                | State::AwaitCredentials(..)
                | State::AwaitBind
                | State::AwaitResume
                | State::Closed
        )
    }

    fn awaits_login(&self) -> bool {
        matches!(
            self.state,
            State::AwaitAnonymous | State::AwaitCredentials(..)
        )
    }

    fn enter_bound(&mut self) {
        self.state = State::Bound;
        self.login_deadline = None;
    }

    fn send_header(&mut self) {
        let header = StreamHeader {
            from: self.host.clone(),
            to: None,
            id: Some(self.random_id()),
            version: Some("1.0".to_owned()),
            lang: Some("en".to_owned()),
        };
        self.transmits.extend(frame::open(self.framing, &header));
        self.opened = true;
    }

    fn open_if_needed(&mut self) {
        if matches!(self.state, State::Header | State::Restart) {
            self.send_header();
        }
    }

    fn random_id(&mut self) -> String {
        let mut bytes = [0; 12];
        self.rng.fill_bytes(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Ends the stream with an error. A peer that has not seen our header gets it first.
    fn fail(&mut self, condition: StreamCondition, text: Option<&str>) {
        if self.is_closed() {
            return;
        }
        self.open_if_needed();
        self.transmits.push_back(frame::error(condition, text));
        self.end(CloseReason::Error(condition));
    }

    fn end(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        if self.opened {
            self.transmits.extend(frame::close(self.framing));
        }
        self.state = State::Closed;
        self.close_reason = Some(reason);
        self.login_deadline = None;
        self.inbox = VecDeque::new();
        self.inbox_bytes = 0;
        self.events.push_back(Event::Closed(reason));
    }
}

/// A table of hosts with one entry.
#[must_use]
pub fn single_host(host: &str, policy: HostPolicy) -> BTreeMap<String, HostPolicy> {
    BTreeMap::from([(host.to_owned(), policy)])
}

#[cfg(test)]
mod tests;
