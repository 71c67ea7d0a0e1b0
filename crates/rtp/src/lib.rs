//! RTP, RTCP, header extensions and codec descriptors: views and builders over byte slices.
//!
//! Nothing here allocates per packet. A [`RtpHeader`] is a small `Copy` description of a parsed packet (offsets and
//! fields), so that it can be stored beside the bytes; [`RtpView`] joins it with the bytes it was parsed from.

pub mod audio;
pub mod av1;
mod error;
pub mod ext;
pub mod h264;
pub mod obu;
mod packet;
mod picture;
pub mod red;
pub mod rewrite;
pub mod rtcp;
pub mod rtx;
pub mod seq;
#[cfg(test)]
mod tests;
pub mod vp8;
pub mod vp9;

pub use error::{ParseError, WriteError};
pub use packet::{RtpHeader, RtpView, Ssrc};
pub use rewrite::{Rewrite, write_packet};
