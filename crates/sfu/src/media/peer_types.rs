//! Transport parameters, until the `rtc` crate brings them.

use std::net::SocketAddr;

/// Our side, for signalling.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalParameters {
    /// ICE user fragment.
    pub ufrag: String,
    /// ICE password.
    pub pwd: String,
}

/// The peer's side, from signalling.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteParameters {
    /// ICE user fragment.
    pub ufrag: String,
    /// ICE password.
    pub pwd: String,
    /// Candidates.
    pub candidates: Vec<SocketAddr>,
}

/// A DTLS certificate.
#[derive(Debug)]
pub struct Certificate;
