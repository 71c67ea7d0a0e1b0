//! What happens on a link.

use stanza::{Element, FullJid};

/// What happens on a link.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkEvent {
    /// Logged in and bound.
    Online {
        /// Our address.
        jid: FullJid,
        /// The former session goes on: nothing was lost, and the server still knows what we joined. Otherwise the
        /// session is new and what was sent meanwhile is gone.
        resumed: bool,
    },
    /// A stanza for us, in the namespace `jabber:client`.
    Stanza(Element),
    /// Something was passed over that is over a limit or no stanza; whoever asked for an answer was given an error. The word
    /// says why, for metrics.
    Ignored(&'static str),
    /// The server refused the login: no such account, another password. The link tries again by itself, now and then.
    Refused {
        /// Why, for the log.
        reason: String,
    },
    /// Somebody else has our address: another session of the same account with the same resource. The link tries again by
    /// itself, as [`crate::LinkConfig::yields`] says.
    Taken {
        /// In what words the server said it, for the log.
        reason: String,
    },
    /// An attempt failed before there was a stream. The link tries again by itself.
    Unreachable {
        /// Why, for the log.
        reason: String,
    },
    /// The stream is lost. The link tries again by itself.
    Offline {
        /// Why, for the log.
        reason: String,
    },
}
