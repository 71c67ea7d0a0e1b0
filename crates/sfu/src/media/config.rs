//! What a shard needs to know from the start, and why it refuses requests.

use rtc::Certificate;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a shard needs to know from the start.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Number of the shard, by which others know it.
    pub number: u8,
    /// Host candidates: the addresses of the shard's socket.
    pub host_candidates: Vec<SocketAddr>,
    /// Server-reflexive candidates: the address outside and the host candidate behind it.
    pub mapped_candidates: Vec<(SocketAddr, SocketAddr)>,
    /// The certificate of all endpoints.
    pub certificate: Arc<Certificate>,
    /// Put in front of ICE user fragments, so that a host with several shards can tell whose STUN it is.
    pub ufrag_prefix: String,
    /// Even out packet sizes within a burst by up to two bytes of RTP padding.
    pub pad_bursts: bool,
    /// Longest time a packet waits for the rest of its burst.
    pub burst_window: Duration,
    /// Room of the store of published packets: number of packets and bytes (both are rounded up to a power of two). It
    /// should hold one to three seconds of what comes in.
    pub store: (usize, usize),
    /// Where the estimate of what a receiver's line carries starts, and its limits.
    pub bandwidth: bwe::Config,
    /// An endpoint without any sign of life for this long is expired.
    pub endpoint_timeout: Duration,
    /// A conference without endpoints for this long is expired.
    pub conference_timeout: Duration,
    /// Most conferences and most endpoints of a conference.
    pub limits: (usize, usize),
}

impl ShardConfig {
    /// The defaults with one certificate and the addresses of one socket.
    pub fn new(certificate: Arc<Certificate>, host_candidates: Vec<SocketAddr>) -> Self {
        Self {
            number: 0,
            host_candidates,
            mapped_candidates: Vec::new(),
            certificate,
            ufrag_prefix: String::new(),
            pad_bursts: true,
            burst_window: Duration::from_micros(200),
            store: (32 * 1024, 16 << 20),
            bandwidth: bwe::Config {
                start: 800_000,
                min: 30_000,
                max: 50_000_000,
            },
            endpoint_timeout: Duration::from_secs(60),
            conference_timeout: Duration::from_secs(20),
            limits: (10_000, 5_000),
        }
    }
}

/// Why a control request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No such conference.
    #[error("no such conference")]
    NoConference,
    /// No such endpoint.
    #[error("no such endpoint")]
    NoEndpoint,
    /// The id is taken.
    #[error("the id is taken")]
    Exists,
    /// The shard is full.
    #[error("the shard is full")]
    Full,
    /// An SSRC belongs to another endpoint already.
    #[error("an SSRC belongs to another endpoint")]
    SsrcConflict,
    /// The peer's transport parameters make no sense.
    #[error("bad transport parameters")]
    BadTransport,
}
