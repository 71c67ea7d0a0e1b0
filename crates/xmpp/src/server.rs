//! The server as its host sees it.

use std::time::{Duration, Instant};

use stanza::{BareJid, Element, FullJid};
use thiserror::Error;

use crate::auth::Credentials;
use crate::{Config, Output};

/// A connection of the host, named by the host. Never reused while the server knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A session: what a bound resource is called inside. It outlives its connection while it hibernates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

/// What the client said in the URL and headers of its WebSocket or BOSH request.
#[derive(Clone, Debug, Default)]
pub struct WebQuery {
    /// `room`: name of the room as in the page's path.
    pub room: Option<String>,
    /// `prefix`: tenant, added by the front.
    pub prefix: Option<String>,
    /// `previd`: stream management id of the session the client wants to resume.
    pub previd: Option<String>,
    /// Region of the user, from a proxy's header.
    pub region: Option<String>,
}

/// An authenticated client that wants a resource.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who authenticated.
    pub user: BareJid,
    /// Resource asked for; the server makes one when absent.
    pub resource: Option<String>,
    /// Connection the session is attached to.
    pub connection: ConnectionId,
    /// URL parameters of that connection.
    pub query: WebQuery,
}

/// Result of [`Server::bind`].
#[derive(Clone, Debug)]
pub struct Bound {
    /// The new session.
    pub session: SessionId,
    /// Its address, for the bind result.
    pub jid: FullJid,
}

/// Result of [`Server::enable_sm`], for `<enabled/>`.
#[derive(Clone, Debug)]
pub struct Enabled {
    /// Id to resume with (`[A-Za-z0-9_-]+`); `None` when the session cannot be resumed.
    pub id: Option<String>,
    /// How long the session survives its connection.
    pub max: Duration,
}

/// Result of [`Server::resume`], for `<resumed/>`. Write that first: the outputs that follow replay what was not
/// acknowledged.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The session, now attached to the new connection.
    pub session: SessionId,
    /// Its unchanged address.
    pub jid: FullJid,
    /// Stanzas of the peer handled so far, modulo 2³².
    pub h: u32,
}

/// When the host may hand in the next stanza of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Now,
    /// Not before this time: stop reading from the connection until then.
    NotBefore(Instant),
}

/// Why a login failed.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// The host is not one of ours, or has no anonymous login.
    #[error("no anonymous login on this host")]
    NotAllowed,
}

/// Why no resource was bound.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// The resource is not valid: stanza error `bad-request`.
    #[error("invalid resource")]
    BadResource,
    /// The server has as many sessions as it may: stanza error `resource-constraint`.
    #[error("too many sessions")]
    TooManySessions,
}

/// Why a session was not resumed.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumeError {
    /// No such session, or of another user: `<failed><item-not-found/></failed>`.
    #[error("no such session")]
    ItemNotFound,
    /// The peer claims to have received more than was sent: `<failed><unexpected-request/></failed>`. The session is gone.
    #[error("acknowledges more than was sent")]
    AckTooHigh,
}

/// The session has ended meanwhile; the host should close the connection if it still has it.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("no such session")]
pub struct UnknownSession;

/// Counters and sizes for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sessions, hibernating ones included.
    pub sessions: u64,
    /// Sessions without a connection.
    pub hibernating: u64,
    /// Rooms of meetings (not of services).
    pub rooms: u64,
    /// Occupants of those rooms, the focus not counted.
    pub occupants: u64,
    /// Stanzas received.
    pub received: u64,
    /// Stanzas sent, replays included.
    pub sent: u64,
    /// Trees serialised; less than `sent` because broadcasts share one.
    pub serialised: u64,
    /// Sessions resumed.
    pub resumed: u64,
    /// Stanzas answered with an error or dropped.
    pub refused: u64,
}

/// One signalling node's XMPP server.
#[derive(Debug)]
pub struct Server {
    config: Config,
}

impl Server {
    /// A server with no sessions. `seed` feeds all its random ids; it must be secret and fresh.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let _ = seed;
        Self { config }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether clients may open a stream to `host`, and whether it offers ANONYMOUS (`Some(true)`) or passwords
    /// (`Some(false)`).
    #[must_use]
    pub fn login_host(&self, host: &str) -> Option<bool> {
        let _ = host;
        None
    }

    /// Keys of a password account, for SCRAM and PLAIN.
    #[must_use]
    pub fn credentials(&self, user: &BareJid) -> Option<&Credentials> {
        let _ = user;
        None
    }

    /// Name for a client that logs in with SASL ANONYMOUS on `host`: a fresh one, or that of the session it is about to
    /// resume, when it names one in `previd`.
    pub fn anonymous_user(&mut self, host: &str, query: &WebQuery) -> Result<BareJid, AuthError> {
        let _ = (host, query);
        Err(AuthError::NotAllowed)
    }

    /// Binds a resource (RFC 6120 §7). A session of the same account that holds the resource ends with `conflict`.
    pub fn bind(&mut self, now: Instant, login: Login) -> Result<Bound, BindError> {
        let _ = (now, login);
        Err(BindError::TooManySessions)
    }

    /// Handles one stanza of a session, in the namespace `jabber:client`. Every IQ get or set is answered sooner or later.
    pub fn handle_stanza(
        &mut self,
        now: Instant,
        session: SessionId,
        stanza: Element,
    ) -> Result<Pace, UnknownSession> {
        let _ = (now, session, stanza);
        Err(UnknownSession)
    }

    /// Turns stream management on (XEP-0198 §3); counting starts now.
    pub fn enable_sm(
        &mut self,
        now: Instant,
        session: SessionId,
        resume: bool,
    ) -> Result<Enabled, UnknownSession> {
        let _ = (now, session, resume);
        Err(UnknownSession)
    }

    /// Attaches the session named by `previd` to another connection (XEP-0198 §5). `user` is who authenticated there,
    /// `h` what the peer received. The old connection, if it is still there, is closed with `conflict`.
    pub fn resume(
        &mut self,
        now: Instant,
        user: &BareJid,
        connection: ConnectionId,
        previd: &str,
        h: u32,
    ) -> Result<Resumed, ResumeError> {
        let _ = (now, user, connection, previd, h);
        Err(ResumeError::ItemNotFound)
    }

    /// The peer received `h` stanzas (`<a/>`). Too high a value ends the session with [`Output::Close`].
    pub fn ack(&mut self, now: Instant, session: SessionId, h: u32) -> Result<(), UnknownSession> {
        let _ = (now, session, h);
        Err(UnknownSession)
    }

    /// The peer asks what was handled (`<r/>`): answered with [`Output::Ack`], in order with the stanzas.
    pub fn ack_requested(
        &mut self,
        now: Instant,
        session: SessionId,
    ) -> Result<(), UnknownSession> {
        let _ = (now, session);
        Err(UnknownSession)
    }

    /// Bytes came from the session's connection that are no stanza (white space, BOSH polls): it is alive.
    pub fn heard(&mut self, now: Instant, session: SessionId) {
        let _ = (now, session);
    }

    /// The connection is lost. The session hibernates if it may, else ends. Does nothing when the session has moved to
    /// another connection meanwhile.
    pub fn detach(&mut self, now: Instant, session: SessionId, connection: ConnectionId) {
        let _ = (now, session, connection);
    }

    /// The peer ended its stream in order: the session ends at once. Does nothing when the session has moved to another
    /// connection meanwhile.
    pub fn close(&mut self, now: Instant, session: SessionId, connection: ConnectionId) {
        let _ = (now, session, connection);
    }

    /// Address of a live session.
    #[must_use]
    pub fn jid(&self, session: SessionId) -> Option<&FullJid> {
        let _ = session;
        None
    }

    /// What to do next, in order; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// When [`Server::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
