//! What the host of a controller has to do, and to log.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::media::{ChannelPath, ConferenceId, EndpointId, RelayId};

/// A WebSocket of an endpoint, while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WebSocketId(pub u64);

/// Something for the host to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send text on a WebSocket.
    WebSocketText {
        /// Which.
        socket: WebSocketId,
        /// One JSON object, the same allocation for all receivers of a broadcast.
        text: Arc<str>,
    },
    /// Close a WebSocket.
    WebSocketClose {
        /// Which.
        socket: WebSocketId,
        /// Close code.
        code: u16,
        /// Close reason.
        reason: &'static str,
    },
    /// Addresses that were one relay's are not in use any more, but for what is sent with the next datagrams.
    AddressesFree(Vec<SocketAddr>),
    /// A conference is gone.
    ConferenceEnded {
        /// The meeting id of the focus.
        meeting_id: String,
        /// Id on this bridge.
        conference: ConferenceId,
    },
    /// Something worth a log line.
    Note(Note),
}

/// A change worth a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A conference was created.
    ConferenceCreated(ConferenceId),
    /// An endpoint was created.
    EndpointCreated(ConferenceId, EndpointId),
    /// ICE and DTLS of an endpoint are up.
    Connected(ConferenceId, EndpointId),
    /// The bridge channel of an endpoint opened.
    ChannelOpened(ConferenceId, EndpointId, ChannelPath),
    /// The transport of an endpoint failed.
    TransportFailed(ConferenceId, EndpointId, String),
    /// Nothing was heard of an endpoint for long; it was removed.
    EndpointExpired(ConferenceId, EndpointId),
    /// A relay to another bridge was created.
    RelayCreated(ConferenceId, RelayId),
    /// ICE and DTLS of a relay are up.
    RelayConnected(ConferenceId, RelayId),
    /// The channel to another bridge opened.
    RelayChannelOpened(ConferenceId, RelayId),
    /// The transport of a relay failed.
    RelayFailed(ConferenceId, RelayId, String),
    /// Part of a request was ignored because of what the endpoint's client sent.
    Ignored(ConferenceId, EndpointId, String),
}
