//! Configuration, events and results of a transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::srtp::Profile;
use crate::{Candidate, Certificate};

/// How a transport is set up.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// Candidates to signal. The addresses at which packets arrive (`to` of [`crate::Transport::handle_control`]) are the
    /// host ones and the `related` ones of the reflexive ones.
    pub candidates: Vec<Candidate>,
    /// Our certificate.
    pub certificate: Arc<Certificate>,
    /// Start as controlling agent. Conflicts are resolved.
    pub controlling: bool,
    /// Take part in SCTP and accept a data channel from the peer.
    pub sctp: bool,
    /// With `sctp`: begin the association and open a channel with this label and subprotocol, instead of waiting.
    pub open_channel: Option<(String, String)>,
    /// Put in front of the random part of each username fragment, to steer STUN by it; ICE characters
    /// (`A-Z a-z 0-9 + /`), at most 32.
    pub ufrag_prefix: String,
    /// Longest message accepted and sent on the data channel, bytes.
    pub max_message_size: usize,
}

impl TransportConfig {
    /// A controlling transport without SCTP, with the usual limits.
    pub fn new(candidates: Vec<Candidate>, certificate: Arc<Certificate>) -> Self {
        Self {
            candidates,
            certificate,
            controlling: true,
            sctp: false,
            open_channel: None,
            ufrag_prefix: String::new(),
            max_message_size: 256 * 1024,
        }
    }
}

/// A pair of addresses that packets travel between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
}

/// A datagram to send, whose bytes are at the start of the buffer given to [`crate::Transport::poll_transmit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Our address to send it from.
    pub from: SocketAddr,
    /// Where to send it.
    pub to: SocketAddr,
    /// Its length.
    pub len: usize,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// ICE and DTLS are done: SRTP contexts are there, media may flow. Once.
    Connected {
        /// Chosen SRTP protection.
        profile: Profile,
    },
    /// Media is to be sent on this path from now on; also sent for the first one, which may be before
    /// [`Event::Connected`].
    PathChanged(Path),
    /// A restarted ICE session took over; the old credentials live on for three seconds.
    IceRestarted {
        /// The generation that took over.
        generation: u32,
    },
    /// A restart was given up; the established session goes on.
    IceRestartFailed {
        /// The generation given up.
        generation: u32,
    },
    /// No path has been confirmed by the peer for the consent time (RFC 7675). It can come back.
    ConsentLost,
    /// The peer answers again.
    ConsentRestored,
    /// The peer opened the data channel.
    ChannelOpen {
        /// Its label.
        label: String,
        /// Its subprotocol.
        protocol: String,
    },
    /// A text message on the data channel.
    ChannelMessage(String),
    /// The data channel or its association is gone.
    ChannelClosed,
    /// The peer closed the DTLS association: it leaves, and the transport is over.
    ClosedByPeer,
    /// The transport is dead.
    Failed(FailReason),
}

/// Why a transport is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailReason {
    /// The peer's certificate matches none of the signalled fingerprints.
    Fingerprint,
    /// The DTLS handshake failed or took too long, or the peer broke the protocol.
    Dtls,
    /// The handshake chose no SRTP protection.
    NoSrtpProfile,
}

/// Why a channel message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel is not open (yet).
    #[error("data channel is not open")]
    NotOpen,
    /// Longer than the limit.
    #[error("message too long")]
    TooLong,
    /// The send buffer is full; drop the message or the peer.
    #[error("send buffer full")]
    Full,
}

/// Counters of a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportStats {
    /// STUN messages that were malformed, unauthenticated, or not for this transport.
    pub stun_dropped: u64,
    /// DTLS datagrams dropped: from unvalidated addresses, over a limit, or undecodable.
    pub dtls_dropped: u64,
    /// DTLS datagrams that came inside of connectivity checks (draft-hancke-webrtc-sped).
    pub dtls_embedded: u64,
    /// The SCTP association began without a handshake of its own (draft-hancke-tsvwg-snap).
    pub sctp_signalled: bool,
    /// Channel messages dropped: binary, not UTF-8, on another stream, or too long.
    pub channel_dropped: u64,
    /// How often the path changed after the first.
    pub path_changes: u64,
    /// Last round trip time measured by connectivity checks.
    pub rtt: Option<Duration>,
}
