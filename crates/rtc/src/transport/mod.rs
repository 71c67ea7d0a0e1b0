//! One peer's transport: ICE, DTLS and the data channel, driven without sockets or clock.
//!
//! Driving: after each call drain [`Transport::poll_transmit`] and [`Transport::poll_event`], and call
//! [`Transport::handle_timeout`] at or after [`Transport::poll_timeout`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::srtp::{Inbound, Outbound, Profile};
use crate::{Candidate, Certificate, LocalParameters, RemoteParameters};

/// How a transport is set up.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// Candidates to signal. The addresses at which packets arrive (`to` of [`Transport::handle_control`]) are the
    /// host ones and the `related` ones of the reflexive ones.
    pub candidates: Vec<Candidate>,
    /// Our certificate.
    pub certificate: Arc<Certificate>,
    /// Start as controlling agent. Conflicts are resolved.
    pub controlling: bool,
    /// Take part in SCTP and accept a data channel from the peer.
    pub sctp: bool,
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

/// A datagram to send, whose bytes are at the start of the buffer given to [`Transport::poll_transmit`].
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
    /// The peer closed the DTLS association.
    ClosedByPeer,
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
    /// Channel messages dropped: binary, not UTF-8, on another stream, or too long.
    pub channel_dropped: u64,
    /// How often the path changed after the first.
    pub path_changes: u64,
    /// Last round trip time measured by connectivity checks.
    pub rtt: Option<Duration>,
}

/// One peer's transport.
#[derive(Debug)]
pub struct Transport {
    config: TransportConfig,
}

impl Transport {
    /// A new transport with fresh ICE credentials. Nothing is sent before [`Transport::set_remote`].
    pub fn new(now: Instant, config: TransportConfig, rng: &mut impl Rng) -> Self {
        let _ = (now, rng);
        Self { config }
    }

    /// What to signal to the peer: of the pending restart if there is one, else of the established session.
    pub fn local(&self) -> LocalParameters {
        LocalParameters {
            ufrag: String::new(),
            pwd: String::new(),
            candidates: self.config.candidates.clone(),
            fingerprint: self.config.certificate.fingerprint().clone(),
            setup: crate::Setup::ActPass,
            generation: 0,
        }
    }

    /// Username fragments that STUN for this transport can carry: established, pending, and the one just replaced.
    pub fn ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Takes over what the peer signalled. Can be called again; see [`RemoteParameters`].
    pub fn set_remote(&mut self, now: Instant, remote: RemoteParameters) {
        let _ = (now, remote);
    }

    /// Begins an ICE restart and returns what to signal. `None` while no path is established: signal
    /// [`Transport::local`] again, without a generation. A pending restart that was not answered yet is returned
    /// unchanged.
    pub fn restart_ice(&mut self, now: Instant, rng: &mut impl Rng) -> Option<LocalParameters> {
        let _ = (now, rng);
        None
    }

    /// Takes a STUN or DTLS datagram that came from `from` to our address `to`. Returns whether it was for us and
    /// authentic (for DTLS: from a known address), so that the caller may bind the address to this transport.
    pub fn handle_control(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> bool {
        let _ = (now, from, to, datagram);
        false
    }

    /// Notes that SRTP or SRTCP from this address was authentic. Once for each burst is enough. This is what lets the
    /// path follow the peer.
    pub fn media_received(&mut self, now: Instant, from: SocketAddr, to: SocketAddr) {
        let _ = (now, from, to);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When to call [`Transport::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The next datagram to send, written to the start of `buf` (1,500 bytes suffice).
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        let _ = buf;
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Where to send media; `None` before the first validated pair.
    pub fn path(&self) -> Option<Path> {
        None
    }

    /// Whether ICE and DTLS are done.
    pub fn is_connected(&self) -> bool {
        false
    }

    /// Whether the data channel is open.
    pub fn is_channel_open(&self) -> bool {
        false
    }

    /// The context for what the peer sends, once connected. It can be taken out to live beside the packet path.
    pub fn srtp_inbound(&mut self) -> Option<&mut Inbound> {
        None
    }

    /// The context for what we send, once connected.
    pub fn srtp_outbound(&mut self) -> Option<&mut Outbound> {
        None
    }

    /// Takes both contexts out, once; [`Transport::srtp_inbound`] and [`Transport::srtp_outbound`] return `None` then.
    pub fn take_srtp(&mut self) -> Option<(Inbound, Outbound)> {
        None
    }

    /// Queues a text message on the data channel.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_channel(&mut self, now: Instant, text: &str) -> Result<(), SendError> {
        let _ = (now, text);
        Err(SendError::NotOpen)
    }

    /// Says goodbye: closes DTLS. Drain [`Transport::poll_transmit`] once more afterwards.
    pub fn close(&mut self, now: Instant) {
        let _ = now;
    }

    /// Last moment at which the peer proved to be there: consent, request, or media noted.
    pub fn last_activity(&self) -> Option<Instant> {
        None
    }

    /// Counters.
    pub fn stats(&self) -> TransportStats {
        TransportStats::default()
    }
}
