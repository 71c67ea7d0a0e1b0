//! Why a node did not start.

use std::net::SocketAddr;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A port for XMPP over TCP could not be had.
    #[error("cannot listen for XMPP on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configured name is no host name.
    #[error("{0:?} is not a valid XMPP host name")]
    Domain(String),
}
