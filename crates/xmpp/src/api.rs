//! What the host says to the server and hears from it, besides stanzas.

use std::time::{Duration, Instant};

use stanza::{BareJid, FullJid};
use thiserror::Error;

use crate::ids::{ConnectionId, SessionId};
use crate::journal::JournalError;
use crate::outgoing::Outgoing;

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
    /// Where the connection comes from, as the host found it: wrong passwords are counted by it.
    pub address: Option<shares::AddressClass>,
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

/// Result of [`Server::bind`](crate::Server::bind).
#[derive(Clone, Debug)]
pub struct Bound {
    /// The new session.
    pub session: SessionId,
    /// Its address, for the bind result.
    pub jid: FullJid,
    /// Tells a client what it would ask next. To be written before the bind result, or not at all.
    pub greeting: Option<Outgoing>,
}

/// Result of [`Server::enable_sm`](crate::Server::enable_sm), for `<enabled/>`.
#[derive(Clone, Debug)]
pub struct Enabled {
    /// Id to resume with (`[A-Za-z0-9_-]+`); `None` when the session cannot be resumed.
    pub id: Option<String>,
    /// How long the session survives its connection.
    pub max: Duration,
}

/// Result of [`Server::resume`](crate::Server::resume), for `<resumed/>`. Write that first: the outputs that follow replay what was not
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
    /// A bridge holds the resource, and is well: stanza error `conflict`.
    #[error("the resource is in use")]
    InUse,
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
    /// Those refused because their sender, or all, had as much waiting as may be.
    pub refused_full: u64,
    /// Requests that got an error because nobody answered in time.
    pub unanswered: u64,
    /// Wrong passwords of rooms.
    pub guesses_wrong: u64,
    /// Passwords not looked at because too many wrong ones came before.
    pub guesses_refused: u64,
    /// Bytes kept for requests and joins that wait.
    pub kept_bytes: u64,
}

/// What came of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Sessions that wait for their peers.
    pub sessions: usize,
    /// Rooms, those of services included.
    pub rooms: usize,
    /// Sessions and rooms that were left out: what was written of them is wrong, or over a limit.
    pub left_out: usize,
    /// Lines that could not be read, the last one of a process that was killed among them.
    pub damaged: usize,
    /// Why nothing could be read.
    pub error: Option<JournalError>,
}

/// A name in the configuration is no valid address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a valid XMPP address")]
pub struct BadName(pub String);
