//! Where a server's stream stands.

use stanza::BareJid;

use crate::sasl::Hash;
use crate::scram::{ClientFirst, ServerExchange};

/// What the stream waits for.
pub(super) enum State {
    /// The peer's header.
    Header,
    /// `<starttls/>`.
    Unprotected,
    /// The caller: the handshake.
    StartTls,
    /// `<auth/>`.
    Unauthenticated,
    /// The first SCRAM or PLAIN message, after an `<auth/>` without one.
    Initial(Mechanism),
    /// The caller: who is the anonymous user.
    AwaitAnonymous,
    /// The caller: what is kept of the account.
    AwaitCredentials(BareJid, Offer),
    /// The client's proof.
    Proof(BareJid, Box<ServerExchange>),
    /// The header after the login.
    Restart,
    /// Bind or resume.
    Unbound,
    /// The caller: the address.
    AwaitBind,
    /// The caller: the session.
    AwaitResume,
    /// Stanzas.
    Bound,
    /// Nothing any more.
    Closed,
}

/// A mechanism with a password.
#[derive(Clone, Copy)]
pub(super) enum Mechanism {
    Scram(Hash),
    Plain,
}

/// What the peer has said when the account is looked up.
pub(super) enum Offer {
    Scram(Hash, ClientFirst),
    Plain(String),
}
