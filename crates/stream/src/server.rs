//! The server's end of a stream.
//!
//! The stream asks its caller for what only the caller knows (who an account is, which resource is free) with an
//! [`Event`], and reads on when it has the answer: each such event names the method that answers it.

mod config;
mod negotiate;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use stanza::error::Condition;
use stanza::xml::{self, Limits, Reader, ReaderEvent, Skipped, StreamHeader};
use stanza::{BareJid, Element, FullJid, element, ns};

use crate::condition::{SaslCondition, SaslFailure, StreamCondition};
use crate::frame::{self, Framing};
use crate::sasl::Credentials;

pub use config::{HostPolicy, Security, ServerConfig};
use negotiate::State;

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

    /// Bytes from the peer: any part of the stream on TCP, exactly one message on a WebSocket.
    ///
    /// Streams of the framing BOSH take elements instead: [`handle_open`](Self::handle_open),
    /// [`handle_element`](Self::handle_element), [`handle_close`](Self::handle_close).
    pub fn handle_input(&mut self, now: Instant, input: &[u8]) {
        let _ = now;
        if self.is_closed() || !self.charge(input.len()) {
            return;
        }
        match self.framing {
            Framing::Tcp => self.reader.push(input),
            Framing::WebSocket | Framing::Bosh => {
                self.inbox_bytes += input.len();
                self.inbox.push_back(input.to_vec());
            }
        }
        self.pump();
        if self.inbox_bytes > self.limits().bytes {
            self.fail(StreamCondition::PolicyViolation, None);
        }
    }

    /// The peer opened or restarted a stream of the framing BOSH.
    pub fn handle_open(&mut self, now: Instant, header: StreamHeader) {
        let _ = now;
        if !self.is_closed() {
            self.on_open(header);
        }
    }

    /// One element on a stream of the framing BOSH that took `bytes` on its way.
    pub fn handle_element(&mut self, now: Instant, element: Element, bytes: usize) {
        let _ = now;
        if self.is_closed() || !self.charge(bytes) {
            return;
        }
        if bytes > self.limits().bytes {
            self.fail(StreamCondition::PolicyViolation, Some("stanza too large"));
        } else {
            self.on_element(element);
        }
    }

    /// The peer ended a stream of the framing BOSH in order.
    pub fn handle_close(&mut self, now: Instant) {
        let _ = now;
        self.on_close();
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

    /// Answers [`Event::Anonymous`]: the peer is `user` from now on.
    pub fn accept_anonymous(&mut self, now: Instant, user: BareJid) {
        let _ = now;
        if matches!(self.state, State::AwaitAnonymous) {
            self.on_authenticated(user, None);
            self.pump();
        }
    }

    /// Answers [`Event::Lookup`]. `None` means that there is no such account, which the peer cannot tell from a wrong
    /// password.
    pub fn credentials(&mut self, now: Instant, credentials: Option<Credentials>) {
        let _ = now;
        self.on_credentials(credentials);
        self.pump();
    }

    /// Answers [`Event::Anonymous`] or [`Event::Lookup`] with a failure. The peer may try again a few times.
    pub fn refuse(&mut self, now: Instant, failure: impl Into<SaslFailure>) {
        let _ = now;
        if self.awaits_login() {
            self.sasl_fail(failure.into());
            self.pump();
        }
    }

    /// Sends a stanza before the answer to [`Event::Bind`]: what the peer would ask for next. Dropped at any other time.
    pub fn greet(&mut self, stanza: Vec<u8>) {
        if matches!(self.state, State::AwaitBind) {
            self.transmits.push_back(stanza);
        }
    }

    /// Answers [`Event::Bind`] with the address that was given.
    pub fn bound(&mut self, now: Instant, jid: &FullJid) {
        let _ = now;
        if !matches!(self.state, State::AwaitBind) {
            return;
        }
        let bind = element("bind", ns::BIND)
            .child(element("jid", ns::BIND).text(jid.as_str()))
            .done();
        let reply = element("iq", ns::CLIENT)
            .attr("type", "result")
            .attr_opt("id", self.bind_id.take())
            .child(bind)
            .done();
        self.transmits.push_back(frame::element(&reply));
        self.enter_bound();
        self.pump();
    }

    /// Answers [`Event::Bind`] with an error. The peer may try again.
    pub fn bind_failed(&mut self, now: Instant, condition: Condition) {
        let _ = now;
        if !matches!(self.state, State::AwaitBind) {
            return;
        }
        let reply = element("iq", ns::CLIENT)
            .attr("type", "error")
            .attr_opt("id", self.bind_id.take())
            .child(Element::from(stanza::error::StanzaError::new(condition)))
            .done();
        self.transmits.push_back(frame::element(&reply));
        self.state = State::Unbound;
        self.pump();
    }

    /// Answers [`Event::Resume`]: the session `previd` goes on, and we handled `h` stanzas in it.
    pub fn resumed(&mut self, now: Instant, previd: &str, h: u32) {
        let _ = now;
        if !matches!(self.state, State::AwaitResume) {
            return;
        }
        let resumed = element("resumed", ns::SM)
            .attr("previd", previd)
            .attr("h", h)
            .done();
        self.transmits.push_back(frame::element(&resumed));
        self.enter_bound();
        self.pump();
    }

    /// Answers [`Event::Resume`] with a failure. The peer may bind instead.
    pub fn resume_failed(&mut self, now: Instant, condition: Condition) {
        let _ = now;
        if matches!(self.state, State::AwaitResume) {
            self.sm_failure(condition);
            self.state = State::Unbound;
            self.pump();
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

    /// Takes `bytes` from what a peer may send before it has logged in.
    fn charge(&mut self, bytes: usize) -> bool {
        if self.user.is_some() {
            return true;
        }
        match self.budget.checked_sub(bytes) {
            Some(rest) => {
                self.budget = rest;
                true
            }
            None => {
                self.fail(
                    StreamCondition::PolicyViolation,
                    Some("too much before login"),
                );
                false
            }
        }
    }

    /// Handles input until there is none or the caller must answer first.
    fn pump(&mut self) {
        while !self.blocked() {
            match self.framing {
                Framing::Tcp => match self.reader.next_event() {
                    Ok(Some(ReaderEvent::Open(header))) => self.on_open(header),
                    Ok(Some(ReaderEvent::Element(element))) => self.on_element(element),
                    Ok(Some(ReaderEvent::Skipped(skipped))) => self.on_skipped(skipped),
                    Ok(Some(ReaderEvent::Close)) => self.on_close(),
                    Ok(None) => return,
                    Err(error) => self.fail(error.into(), None),
                },
                Framing::WebSocket => {
                    let Some(message) = self.inbox.pop_front() else {
                        return;
                    };
                    self.inbox_bytes = self.inbox_bytes.saturating_sub(message.len());
                    self.on_message(&message);
                }
                Framing::Bosh => return,
            }
        }
    }

    fn on_skipped(&mut self, skipped: Skipped) {
        if self.is_bound() {
            self.events.push_back(Event::Skipped(skipped));
        } else {
            self.fail(skipped.error.into(), None);
        }
    }

    fn on_message(&mut self, message: &[u8]) {
        match xml::parse(message, self.limits()) {
            Ok(element) if element.is("open", ns::FRAMING) => {
                self.on_open(StreamHeader::from_element(&element))
            }
            Ok(element) if element.is("close", ns::FRAMING) => self.on_close(),
            Ok(element) => self.on_element(element),
            Err(error) => self.fail(error.into(), None),
        }
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
