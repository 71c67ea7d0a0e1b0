//! What two transports tell each other through signalling.

use std::net::SocketAddr;

use crate::{Fingerprint, SctpInit, is_tcp};

/// Who starts the DTLS handshake (RFC 5763 §5, RFC 8842).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Either; the other side decides.
    ActPass,
    /// DTLS client.
    Active,
    /// DTLS server.
    Passive,
}

impl Setup {
    /// The token of SDP and Jingle.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

impl std::str::FromStr for Setup {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "actpass" => Ok(Self::ActPass),
            "active" => Ok(Self::Active),
            "passive" => Ok(Self::Passive),
            _ => Err(()),
        }
    }
}

/// Kind of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// An address of the host itself.
    Host,
    /// Server reflexive: a public address that is mapped to a host address.
    Srflx,
    /// Peer reflexive.
    Prflx,
    /// Relayed (TURN).
    Relay,
}

impl CandidateKind {
    /// The token of SDP and Jingle.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Srflx => "srflx",
            Self::Prflx => "prflx",
            Self::Relay => "relay",
        }
    }

    /// Type preference (RFC 8445 §5.1.2.2); TCP is for where UDP does not get through (RFC 6544 §4.2).
    fn preference(self, tcp: bool) -> u32 {
        match (self, tcp) {
            (Self::Host, false) => 126,
            (Self::Prflx, false) => 110,
            (Self::Srflx, false) => 100,
            (Self::Host, true) => 90,
            (Self::Prflx, true) => 85,
            (Self::Srflx, true) => 80,
            (Self::Relay, _) => 0,
        }
    }
}

impl std::str::FromStr for CandidateKind {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "host" => Ok(Self::Host),
            "srflx" => Ok(Self::Srflx),
            "prflx" => Ok(Self::Prflx),
            "relay" => Ok(Self::Relay),
            _ => Err(()),
        }
    }
}

/// Local preference of a passive TCP candidate: its direction (RFC 6544 §4.2), then the order among its kind.
fn passive_preference(other: u16) -> u32 {
    const PASSIVE: u32 = 4;
    PASSIVE << 13 | u32::from(other >> 3)
}

/// A candidate of component 1: UDP, or TCP that waits for the peer to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Kind.
    pub kind: CandidateKind,
    /// Transport address that the peer sends to, or connects to if it is [`crate::tcp_address`].
    pub addr: SocketAddr,
    /// For reflexive and relayed candidates, the address behind it (`rel-addr`, `rel-port`).
    pub related: Option<SocketAddr>,
    /// Priority (RFC 8445 §5.1.2).
    pub priority: u32,
    /// Foundation, 1 to 32 characters.
    pub foundation: String,
}

impl Candidate {
    /// A host candidate; `local_preference` orders candidates of one kind, higher is better.
    pub fn host(addr: SocketAddr, local_preference: u16) -> Self {
        Self::with_kind(CandidateKind::Host, addr, None, local_preference)
    }

    /// A server reflexive candidate: `addr` is what the peer sees, `base` the host address it maps to.
    pub fn srflx(addr: SocketAddr, base: SocketAddr, local_preference: u16) -> Self {
        Self::with_kind(CandidateKind::Srflx, addr, Some(base), local_preference)
    }

    /// A candidate with priority and foundation by RFC 8445 §5.1.
    pub fn with_kind(
        kind: CandidateKind,
        addr: SocketAddr,
        related: Option<SocketAddr>,
        local_preference: u16,
    ) -> Self {
        let tcp = is_tcp(&addr);
        let order = match tcp {
            true => passive_preference(local_preference),
            false => u32::from(local_preference),
        };
        // One component: 256 - 1.
        let priority = kind.preference(tcp) << 24 | order << 8 | 255;
        // The same for the same kind, base address and protocol (no servers).
        let base = related.unwrap_or(addr).ip();
        let hash = match base {
            std::net::IpAddr::V4(ip) => u32::from(ip),
            std::net::IpAddr::V6(ip) => ip
                .segments()
                .iter()
                .fold(17, |h: u32, s| h.rotate_left(5) ^ u32::from(*s)),
        };
        let foundation = (hash.wrapping_mul(0x9E37_79B1) ^ kind.preference(tcp)).to_string();
        Self {
            kind,
            addr,
            related,
            priority,
            foundation,
        }
    }
}

/// What the peer needs to know of a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalParameters {
    /// ICE username fragment.
    pub ufrag: String,
    /// ICE password.
    pub pwd: String,
    /// All candidates; there is no trickle.
    pub candidates: Vec<Candidate>,
    /// Certificate fingerprint (SHA-256).
    pub fingerprint: Fingerprint,
    /// DTLS role: `actpass` until the peer has said its own.
    pub setup: Setup,
    /// The pending restart that these credentials belong to, counted from 1; `None` for the established session.
    pub generation: Option<u32>,
    /// What would stand in our SCTP INIT, for a peer that takes it so (draft-hancke-tsvwg-snap).
    pub sctp_init: Option<SctpInit>,
}

/// What the peer told us. Empty or absent parts leave what is known unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteParameters {
    /// ICE username fragment and password.
    pub credentials: Option<(String, String)>,
    /// The restart that these credentials answer; `None` is the established session.
    pub generation: Option<u32>,
    /// Candidates, if it signals any. TCP and unresolvable ones are left out by the caller.
    pub candidates: Vec<Candidate>,
    /// Fingerprints of its certificate: one of the strongest hash named must match.
    pub fingerprints: Vec<Fingerprint>,
    /// Its DTLS role.
    pub setup: Option<Setup>,
    /// What would stand in its SCTP INIT; with it there is no handshake of SCTP.
    pub sctp_init: Option<SctpInit>,
}
