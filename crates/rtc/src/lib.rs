//! One peer's transport: ICE, DTLS, SRTP and SCTP; the only crate that names a WebRTC library.
