//! A server stream behind HTTP requests (XEP-0124, XEP-0206).
//!
//! The caller parses the body of each request, looks the session up by its `sid`, and hands both in with a token of its
//! own for the request. Answers come from [`Session::poll_response`], now or later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stanza::xml::{StreamHeader, escape_attr};
use stanza::{Element, ns};

use crate::frame::Framing;
use crate::server::{CloseReason, Event, Security, Server, ServerConfig};

/// Settings of BOSH sessions.
#[derive(Debug, Clone, Copy)]
pub struct BoshConfig {
    /// Longest time a request may wait for something to answer.
    pub max_wait: Duration,
    /// Time without any request after which a session is given up.
    pub inactivity: Duration,
    /// Most requests of a session that may wait at one time.
    pub max_hold: u8,
}

impl Default for BoshConfig {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_secs(60),
            inactivity: Duration::from_secs(60),
            max_hold: 1,
        }
    }
}

/// Names a request until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestToken(pub u64);

/// A reason to end a session (XEP-0124 section 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// The request is malformed.
    BadRequest,
    /// No such session, or the request is out of its window.
    ItemNotFound,
    /// Too many or too large requests.
    PolicyViolation,
    /// The stream ended with an error.
    RemoteStreamError,
}

impl Terminal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::ItemNotFound => "item-not-found",
            Self::PolicyViolation => "policy-violation",
            Self::RemoteStreamError => "remote-stream-error",
        }
    }
}

/// The body that ends a session that is not, or no longer, known.
#[must_use]
pub fn terminate_body(reason: Terminal) -> Vec<u8> {
    Body::new()
        .attr("type", "terminate")
        .attr("condition", reason.as_str())
        .finish(&[])
}

/// Requests that may come ahead of the one expected, and answers kept for requests that are repeated.
const WINDOW: u64 = 4;
/// Bytes of elements in one answer, unless a single one is larger; the rest waits for the next request.
const MAX_BODY: usize = 512 * 1024;
/// Bytes of requests that came early or wait for the stream.
const MAX_WAITING: usize = 512 * 1024;

struct Held {
    rid: u64,
    token: RequestToken,
    deadline: Instant,
}

enum Item {
    Open(StreamHeader),
    Element(Element, usize),
    Close,
}

/// One BOSH session and the stream in it.
pub struct Session {
    server: Server,
    sid: String,
    config: BoshConfig,
    wait: Duration,
    hold: usize,
    /// The request id expected next.
    next_rid: u64,
    /// Requests that came before their turn.
    early: BTreeMap<u64, (RequestToken, Element, usize)>,
    /// What the stream will read when its caller has answered.
    inbox: VecDeque<(Item, usize)>,
    waiting_bytes: usize,
    held: VecDeque<Held>,
    /// Answers by request id, for requests that are repeated.
    sent: VecDeque<(u64, Vec<u8>)>,
    responses: VecDeque<(RequestToken, Vec<u8>)>,
    /// Elements for the peer.
    outgoing: VecDeque<Vec<u8>>,
    /// Attributes of the first answer, until it is given.
    greeting: Option<Body>,
    idle_since: Instant,
    finished: bool,
}

impl Session {
    /// Opens a session with its first request; `bytes` is the size of that request. `sid` must not be guessable.
    ///
    /// # Errors
    /// When the request is no session creation request; the caller answers with [`terminate_body`].
    #[expect(
        clippy::too_many_arguments,
        reason = "called in one place, all of different types"
    )]
    pub fn create(
        server: &Arc<ServerConfig>,
        config: BoshConfig,
        now: Instant,
        seed: [u8; 32],
        sid: &str,
        token: RequestToken,
        body: &Element,
        bytes: usize,
    ) -> Result<Self, Terminal> {
        let rid = rid(body).ok_or(Terminal::BadRequest)?;
        let asked = number(body, "wait").unwrap_or(0);
        let wait = Duration::from_secs(asked).min(config.max_wait);
        let hold = number(body, "hold")
            .unwrap_or(1)
            .min(u64::from(config.max_hold));
        let greeting = Body::new()
            .attr("sid", sid)
            .attr("wait", &wait.as_secs().to_string())
            .attr("requests", &(hold + 1).to_string())
            .attr("hold", &hold.to_string())
            .attr("inactivity", &config.inactivity.as_secs().to_string())
            .attr("polling", "2")
            .attr("ver", "1.6")
            .attr("from", body.attr("to").unwrap_or_default())
            .attr("secure", "true")
            .attr("xmlns:xmpp", ns::XBOSH)
            .attr("xmpp:version", "1.0")
            .attr("xmpp:restartlogic", "true");
        let mut session = Self {
            server: Server::new(
                Arc::clone(server),
                Framing::Bosh,
                Security::Secure,
                now,
                seed,
            ),
            sid: sid.to_owned(),
            config,
            wait,
            hold: usize::try_from(hold).unwrap_or(1),
            next_rid: rid,
            early: BTreeMap::new(),
            inbox: VecDeque::new(),
            waiting_bytes: 0,
            held: VecDeque::new(),
            sent: VecDeque::new(),
            responses: VecDeque::new(),
            outgoing: VecDeque::new(),
            greeting: Some(greeting),
            idle_since: now,
            finished: false,
        };
        session.enqueue(Item::Open(StreamHeader::from_element(body)), 0);
        session.handle_request(now, token, body, bytes);
        Ok(session)
    }

    /// The session's id.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// The stream, to answer its events. Call [`flush`](Self::flush) afterwards.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// A request of this session: its parsed body and how many bytes that was.
    pub fn handle_request(
        &mut self,
        now: Instant,
        token: RequestToken,
        body: &Element,
        bytes: usize,
    ) {
        if self.finished {
            self.responses
                .push_back((token, terminate_body(Terminal::ItemNotFound)));
            return;
        }
        self.idle_since = now;
        let Some(rid) = rid(body) else {
            return self.refuse(token, Terminal::BadRequest);
        };
        if rid < self.next_rid {
            return self.repeat(now, rid, token);
        }
        if rid >= self.next_rid + WINDOW {
            return self.refuse(token, Terminal::ItemNotFound);
        }
        self.waiting_bytes += bytes;
        if self.waiting_bytes > MAX_WAITING {
            return self.refuse(token, Terminal::PolicyViolation);
        }
        if let Some((old, ..)) = self.early.insert(rid, (token, body.clone(), bytes)) {
            self.responses.push_back((old, Body::new().finish(&[])));
        }
        while let Some((token, body, bytes)) = self.early.remove(&self.next_rid) {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            self.take(now, token, &body, bytes);
        }
        self.flush(now);
    }

    /// Takes a request whose turn it is.
    fn take(&mut self, now: Instant, token: RequestToken, body: &Element, bytes: usize) {
        self.held.push_back(Held {
            rid: self.next_rid,
            token,
            deadline: now + self.wait,
        });
        self.next_rid += 1;
        let restart = body
            .attrs()
            .get(ns::XBOSH, "restart")
            .is_some_and(|v| v == "true" || v == "1");
        if restart {
            let mut header = StreamHeader::from_element(body);
            // Some clients name the host in the first request only.
            header.to = header.to.or_else(|| self.server.host().map(str::to_owned));
            self.enqueue(Item::Open(header), 0);
        }
        let count = body.children().count().max(1);
        for child in body.children() {
            self.enqueue(Item::Element(child.clone(), bytes / count), bytes / count);
        }
        if body.attr("type") == Some("terminate") {
            self.enqueue(Item::Close, 0);
        }
    }

    fn enqueue(&mut self, item: Item, bytes: usize) {
        self.waiting_bytes += bytes;
        self.inbox.push_back((item, bytes));
    }

    /// A request seen before: answered again as it was, or held in place of the first, whose connection is gone.
    fn repeat(&mut self, now: Instant, rid: u64, token: RequestToken) {
        if let Some((_, body)) = self.sent.iter().find(|(sent, _)| *sent == rid) {
            self.responses.push_back((token, body.clone()));
        } else if let Some(held) = self.held.iter_mut().find(|held| held.rid == rid) {
            let old = std::mem::replace(&mut held.token, token);
            held.deadline = now + self.wait;
            self.responses.push_back((old, Body::new().finish(&[])));
        } else {
            self.refuse(token, Terminal::ItemNotFound);
        }
    }

    /// Answers a request that ends the session.
    fn refuse(&mut self, token: RequestToken, reason: Terminal) {
        self.responses.push_back((token, terminate_body(reason)));
        self.server.handle_abort();
        self.finish(None);
    }

    /// Moves what the stream has to say into answers. To be called after the stream was called directly.
    pub fn flush(&mut self, now: Instant) {
        while self.server.wants_input() {
            let Some((item, bytes)) = self.inbox.pop_front() else {
                break;
            };
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            match item {
                Item::Open(header) => self.server.handle_open(now, header),
                Item::Element(element, bytes) => self.server.handle_element(now, element, bytes),
                Item::Close => self.server.handle_close(now),
            }
        }
        while let Some(bytes) = self.server.poll_transmit() {
            self.outgoing.push_back(bytes);
        }
        if let Some(reason) = self.server.close_reason() {
            let error = matches!(reason, CloseReason::Error(_));
            return self.finish(error.then_some(Terminal::RemoteStreamError));
        }
        while !self.outgoing.is_empty() && !self.held.is_empty() {
            self.answer_oldest(now);
        }
        while self.held.len() > self.hold {
            self.answer_oldest(now);
        }
    }

    /// The next event of the stream.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.server.poll_event()
    }

    /// The next answer.
    pub fn poll_response(&mut self) -> Option<(RequestToken, Vec<u8>)> {
        self.responses.pop_front()
    }

    /// Whether the session is over and all it had to say is said.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.finished {
            return None;
        }
        let own = match self.held.front() {
            Some(held) => held.deadline,
            None => self.idle_since + self.config.inactivity,
        };
        Some(
            self.server
                .poll_timeout()
                .map_or(own, |stream| stream.min(own)),
        )
    }

    /// Does what is due at `now`: answers requests that waited long enough, ends a session nobody asks after.
    ///
    /// A session that ends here raises no [`Event::Closed`]: its connection is lost, not closed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(now);
        while self.held.front().is_some_and(|held| held.deadline <= now) {
            self.answer_oldest(now);
        }
        if self.held.is_empty() && self.idle_since + self.config.inactivity <= now {
            self.server.handle_abort();
            self.finish(None);
        }
        self.flush(now);
    }

    fn answer_oldest(&mut self, now: Instant) {
        let Some(held) = self.held.pop_front() else {
            return;
        };
        self.idle_since = now;
        let elements = self.next_elements();
        let body = self
            .greeting
            .take()
            .unwrap_or_else(Body::new)
            .finish(&elements);
        if u64::try_from(self.sent.len()).is_ok_and(|len| len >= WINDOW) {
            self.sent.pop_front();
        }
        self.sent.push_back((held.rid, body.clone()));
        self.responses.push_back((held.token, body));
    }

    /// What fits into one answer.
    fn next_elements(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(element) = self
            .outgoing
            .pop_front_if(|element| out.is_empty() || out.len() + element.len() <= MAX_BODY)
        {
            out.extend_from_slice(&element);
        }
        out
    }

    /// Answers all requests with the end of the session.
    fn finish(&mut self, reason: Option<Terminal>) {
        if self.finished {
            return;
        }
        self.finished = true;
        let mut elements: Vec<u8> = self.outgoing.drain(..).flatten().collect();
        let early = std::mem::take(&mut self.early)
            .into_values()
            .map(|(token, ..)| token);
        let tokens: Vec<RequestToken> = self
            .held
            .drain(..)
            .map(|held| held.token)
            .chain(early)
            .collect();
        for token in tokens {
            let mut body = self
                .greeting
                .take()
                .unwrap_or_else(Body::new)
                .attr("type", "terminate");
            if let Some(reason) = reason {
                body = body.attr("condition", reason.as_str());
            }
            self.responses.push_back((token, body.finish(&elements)));
            elements.clear();
        }
        self.inbox.clear();
        self.sent.clear();
    }
}

fn number(body: &Element, name: &str) -> Option<u64> {
    body.attr(name)?.parse().ok()
}

/// A request id: 1 to 2⁵³ − 1 (XEP-0124 section 14.1), with room to count up.
fn rid(body: &Element) -> Option<u64> {
    number(body, "rid").filter(|rid| (1..(1 << 53)).contains(rid))
}

/// The start tag of an answer under construction.
struct Body(Vec<u8>);

impl Body {
    fn new() -> Self {
        Self(b"<body xmlns=\"http://jabber.org/protocol/httpbind\"".to_vec())
    }

    fn attr(mut self, name: &str, value: &str) -> Self {
        self.0.push(b' ');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"=\"");
        escape_attr(value, &mut self.0);
        self.0.push(b'"');
        self
    }

    fn finish(mut self, elements: &[u8]) -> Vec<u8> {
        if elements.is_empty() {
            self.0.extend_from_slice(b"/>");
        } else {
            self.0
                .extend_from_slice(b" xmlns:stream=\"http://etherx.jabber.org/streams\">");
            self.0.extend_from_slice(elements);
            self.0.extend_from_slice(b"</body>");
        }
        self.0
    }
}

#[cfg(test)]
mod tests;
