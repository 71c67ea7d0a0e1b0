//! What the server hands to its host: stanzas ready to write, and what to do with connections.

use std::sync::Arc;

use crate::ids::{ConnectionId, SessionId};

/// A stanza ready to be written, complete and self-contained, in UTF-8.
///
/// A broadcast shares one serialised body between all recipients; only the `to` attribute differs.
#[derive(Clone, Debug)]
pub struct Outgoing {
    body: Arc<[u8]>,
    /// Where in `body` ` to="…"` belongs; `None` when the body already has its address.
    gap: Option<(usize, Arc<str>)>,
}

impl Outgoing {
    /// A stanza that already carries its address.
    #[must_use]
    pub fn whole(body: Arc<[u8]>) -> Self {
        Self { body, gap: None }
    }

    /// A shared body with the recipient's address to be written at `at`, which is clamped to the body.
    /// `to` must already be escaped for an attribute in double quotes.
    pub(crate) fn addressed(body: Arc<[u8]>, at: usize, to: Arc<str>) -> Self {
        let at = at.min(body.len());
        Self {
            body,
            gap: Some((at, to)),
        }
    }

    /// Appends the stanza to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.gap {
            None => out.extend_from_slice(&self.body),
            Some((at, to)) => {
                let (head, tail) = self.body.split_at(*at);
                out.extend_from_slice(head);
                out.extend_from_slice(b" to=\"");
                out.extend_from_slice(to.as_bytes());
                out.push(b'"');
                out.extend_from_slice(tail);
            }
        }
    }

    /// Length of the stanza in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a stanza is never empty")]
    pub fn len(&self) -> usize {
        self.body.len()
            + self
                .gap
                .as_ref()
                .map_or(0, |(_, to)| to.len() + " to=\"\"".len())
    }

    /// The stanza as a new vector.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.write(&mut out);
        out
    }

    /// Where the address belongs, if the body has none.
    pub(crate) fn gap(&self) -> Option<usize> {
        self.gap.as_ref().map(|(at, _)| *at)
    }

    /// The body shared between the copies of a broadcast.
    #[must_use]
    pub fn shared_body(&self) -> &Arc<[u8]> {
        &self.body
    }
}

/// Something for the host to do, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write `stanza` on `connection`.
    Send {
        /// Connection the session is attached to now.
        connection: ConnectionId,
        /// Session the stanza belongs to.
        session: SessionId,
        /// The stanza.
        stanza: Outgoing,
    },
    /// Ask the peer on `connection` to acknowledge what it received (XEP-0198 `<r/>`).
    RequestAck {
        /// Connection to ask on.
        connection: ConnectionId,
    },
    /// Tell the peer on `connection` how many of its stanzas were handled (XEP-0198 `<a/>`).
    Ack {
        /// Connection to tell.
        connection: ConnectionId,
        /// Stanzas handled since stream management was enabled, modulo 2³².
        h: u32,
    },
    /// End the stream on `connection` and forget it. The session, if it still exists, is not attached to it any more.
    Close {
        /// Connection to close.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// Make an account for a bridge and keep it, then answer with [`Server::joined`](crate::Server::joined).
    Join(JoinRequest),
}

/// Why a stream is ended by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// Another connection bound the same resource or resumed this session: stream error `conflict`.
    Conflict,
    /// The peer does not read, or its queue grew beyond its limit: stream error `resource-constraint`.
    ResourceConstraint,
    /// The peer broke stream management (acknowledged more than it was sent): stream error `undefined-condition`.
    AckTooHigh,
    /// The peer broke a rule of the server: stream error `policy-violation`.
    PolicyViolation,
    /// The peer gave no sign of life: stream error `connection-timeout`.
    ConnectionTimeout,
    /// The account is gone or has another password now: stream error `not-authorized`.
    Revoked,
    /// The server stops: stream error `system-shutdown`.
    SystemShutdown,
}

impl CloseReason {
    /// The stream error condition of RFC 6120 §4.9.3 to send.
    #[must_use]
    pub fn condition(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::ResourceConstraint => "resource-constraint",
            Self::AckTooHigh => "undefined-condition",
            Self::PolicyViolation => "policy-violation",
            Self::ConnectionTimeout => "connection-timeout",
            Self::Revoked => "not-authorized",
            Self::SystemShutdown => "system-shutdown",
        }
    }
}

/// A bridge asks for an account of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The session that asks.
    pub session: SessionId,
    /// The id of its request.
    pub id: String,
    /// The name it would like to have; see [`is_bridge_name`](crate::is_bridge_name).
    pub name: String,
    /// The password it has chosen.
    pub password: String,
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest")
            .field("session", &self.session)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
