//! Where a client's stream stands.

use crate::scram::ClientExchange;

/// What the client waits for.
pub(super) enum State {
    /// A connection.
    Idle,
    /// The server's header.
    AwaitHeader,
    /// `<stream:features/>`.
    AwaitFeatures,
    /// `<proceed/>`.
    AwaitProceed,
    /// The caller: the handshake.
    AwaitTls,
    /// The end of a login by PLAIN or ANONYMOUS.
    AwaitSuccess,
    /// The next message of SCRAM; `true` when the server has proven itself.
    Scram(Box<ClientExchange>, bool),
    /// `<resumed/>`; true when the server can do stream management.
    AwaitResumed,
    /// The bind result; whether the server offers stream management.
    AwaitBind(bool),
    /// Stanzas.
    Online,
    /// The next connection.
    Closed,
}
