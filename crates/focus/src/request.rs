//! Conference requests that came over HTTP, and why one got no conference.

use thiserror::Error;

/// Names a conference request that came over HTTP until its answer is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

/// Why a conference request got no answer with a conference in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The room is on a host this focus does not serve (HTTP: 400).
    #[error("this focus does not serve the host of the room")]
    ForeignRoom,
    /// The focus is not connected to its XMPP server (HTTP: 503).
    #[error("the focus is not connected")]
    Offline,
    /// As many conferences as allowed exist (HTTP: 503).
    #[error("too many conferences")]
    TooMany,
}
