//! One peer's transport: ICE, DTLS, SRTP and SCTP; the only crate that names a WebRTC library.
//!
//! [`Transport`] sees STUN and DTLS only. RTP and RTCP go through [`srtp::Inbound`] and [`srtp::Outbound`], which it
//! hands out once DTLS is done: no packet of media passes its state machine.

pub mod ahead;
mod certificate;
mod demux;
pub mod echo;
mod params;
mod sctp_init;
pub mod srtp;
mod stream;
mod transport;

pub use certificate::{Certificate, CertificateError, Fingerprint};
pub use demux::{PacketKind, demux, stun_username};
pub use params::{Candidate, CandidateKind, LocalParameters, RemoteParameters, Setup};
pub use sctp_init::SctpInit;
pub use stream::{
    BadFrame, MAX_FRAME, begins_with_frame, frames, is_tcp, plain_address, tcp_address,
    whole_frames, write_frame,
};
pub use transport::{
    EmbeddedDtls, Event, FailReason, Path, SendError, Transmit, Transport, TransportConfig,
    TransportStats,
};
