//! Numbers of RTCP, and what its packets have in common.

use crate::{ParseError, Ssrc};

/// Packet types.
pub mod packet_type {
    /// Sender report.
    pub const SR: u8 = 200;
    /// Receiver report.
    pub const RR: u8 = 201;
    /// Source description.
    pub const SDES: u8 = 202;
    /// Goodbye.
    pub const BYE: u8 = 203;
    /// Application-defined.
    pub const APP: u8 = 204;
    /// Transport layer feedback (RFC 4585).
    pub const RTPFB: u8 = 205;
    /// Payload-specific feedback (RFC 4585).
    pub const PSFB: u8 = 206;
    /// Extended report (RFC 3611).
    pub const XR: u8 = 207;
}

pub(crate) const FMT_NACK: u8 = 1;
pub(crate) const FMT_TWCC: u8 = 15;
pub(crate) const FMT_PLI: u8 = 1;
pub(crate) const FMT_FIR: u8 = 4;
pub(crate) const FMT_AFB: u8 = 15;
pub(crate) const REMB_ID: &[u8; 4] = b"REMB";

/// The source at the beginning, and the rest.
pub(crate) fn split_ssrc(body: &[u8]) -> Result<(Ssrc, &[u8]), ParseError> {
    let (ssrc, rest) = body.split_first_chunk().ok_or(ParseError::Truncated)?;
    Ok((Ssrc(u32::from_be_bytes(*ssrc)), rest))
}
