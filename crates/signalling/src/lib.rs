//! The signalling node: runs xmpp and focus behind WebSocket, BOSH, TCP and in-memory streams.
//!
//! [`Node::start`] brings everything up; [`Node::router`] is what the front serves to browsers; in-process parts connect
//! through [`Node::memory_connector`].
//!
//! One task owns the XMPP server ([`server_task`]); each connection is a task of its own that parses, logs in and writes. The focus
//! is a client of the node like any other, over an in-memory stream.

mod body;
mod brake;
mod bytes;
mod conference_request;
mod config;
mod doors;
mod error;
mod focus_store;
mod focus_task;
mod gate;
mod http_bind;
mod jitsi;
mod journal;
mod lanes;
mod metrics;
mod node;
mod operator;
mod pacer;
mod peer;
mod room_names;
mod seen;
mod server_task;
mod visitor;
mod web;
mod websocket;

pub use config::{NewBridge, NewBridgeFn, SignallingConfig, TcpConfig};
pub use error::StartError;
pub use node::{BridgeDoor, Node};

use std::time::Instant;

/// The time. Cores get it from here only.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// 128 random bits, for names that must not be guessed.
pub(crate) fn random_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Runs a part of a core. A defect there ends what was being done, not the node.
pub(crate) fn contained<T>(what: &'static str, act: impl FnOnce() -> T) -> Option<T> {
    // The core may be left with half a change; its owner drops the connection that caused it.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)) {
        Ok(done) => Some(done),
        Err(_) => {
            tracing::error!(what, "a defect was contained; please report it");
            None
        }
    }
}

/// Returns when the node stops.
pub(crate) async fn stopped(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
