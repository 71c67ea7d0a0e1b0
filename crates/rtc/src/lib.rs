//! One peer's transport: ICE, DTLS, SRTP and SCTP; the only crate that names a WebRTC library.
//!
//! [`Transport`] sees STUN and DTLS only. RTP and RTCP go through [`srtp::Inbound`] and [`srtp::Outbound`], which it
//! hands out once DTLS is done: no packet of media passes its state machine.

//!
//! The DTLS library's version 1.2 server has an SRTP profile order of its own, with AEAD_AES_256_GCM before
//! AEAD_AES_128_GCM, and no setting for it: a browser gets the 256-bit one, which costs about 8% more per packet. Version
//! 1.3 would take the client's order, AES-CM first with Chromium, and stays off.

mod certificate;
mod demux;
mod params;
pub mod srtp;
mod transport;

pub use certificate::{Certificate, CertificateError, Fingerprint};
pub use demux::{PacketKind, demux, stun_username};
pub use params::{Candidate, CandidateKind, LocalParameters, RemoteParameters, Setup};
pub use transport::{
    Event, FailReason, Path, SendError, Transmit, Transport, TransportConfig, TransportStats,
};
