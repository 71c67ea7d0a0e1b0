//! Writing a forwarded copy of a packet: new header fields, own header extensions, rewritten descriptor.

use crate::ext::{self, Extension};
use crate::packet::FIXED_LEN;
use crate::vp8::Vp8;
use crate::{RtpView, Ssrc, WriteError};

/// Most padding a packet can get, bytes.
pub const MAX_PADDING: u8 = 255;

/// What differs between a received packet and the copy for one receiver.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite<'a> {
    /// Sequence number of the copy.
    pub sequence_number: u16,
    /// Timestamp of the copy.
    pub timestamp: u32,
    /// SSRC of the copy.
    pub ssrc: Ssrc,
    /// Payload type of the copy.
    pub payload_type: u8,
    /// Marker bit of the copy.
    pub marker: bool,
    /// All header extension elements of the copy: nothing is taken over from the original by itself.
    pub extensions: &'a [Extension<'a>],
    /// Original sequence number to put before the payload: makes the copy an RTX packet (RFC 4588).
    pub rtx_osn: Option<u16>,
    /// The packet's VP8 descriptor with the picture id and TL0PICIDX to write in it.
    pub vp8: Option<(Vp8, u16, u8)>,
    /// Bytes of RTP padding to add, 0 for none.
    pub padding: u8,
}

/// Writes the copy (plaintext: header, extensions, payload, padding) into `out` and returns its length. CSRCs and the
/// original's padding are not copied.
///
/// # Errors
/// [`WriteError::NoRoom`]; [`WriteError::Unrepresentable`] for a bad extension element.
pub fn write_packet(
    packet: &RtpView<'_>,
    rewrite: &Rewrite<'_>,
    out: &mut [u8],
) -> Result<usize, WriteError> {
    let mut at = write_header(rewrite, out)?;
    if let Some(osn) = rewrite.rtx_osn {
        out.get_mut(at..at + 2)
            .ok_or(WriteError::NoRoom)?
            .copy_from_slice(&osn.to_be_bytes());
        at += 2;
    }
    let payload = packet.payload();
    let body = out
        .get_mut(at..at + payload.len())
        .ok_or(WriteError::NoRoom)?;
    body.copy_from_slice(payload);
    if let Some((vp8, picture_id, tl0_pic_idx)) = &rewrite.vp8 {
        vp8.rewrite(body, *picture_id, *tl0_pic_idx);
    }
    at += payload.len();
    write_padding(out, at, rewrite.padding)
}

/// Writes a packet that has no payload but padding (a bandwidth probe) and returns its length. At least one byte of
/// padding is written.
///
/// # Errors
/// As [`write_packet`].
pub fn write_padding_packet(rewrite: &Rewrite<'_>, out: &mut [u8]) -> Result<usize, WriteError> {
    let at = write_header(rewrite, out)?;
    if let Some(first) = out.first_mut() {
        *first |= 0x20;
    }
    write_padding(out, at, rewrite.padding.max(1))
}

/// Fixed header and extension block; the length of both.
fn write_header(rewrite: &Rewrite<'_>, out: &mut [u8]) -> Result<usize, WriteError> {
    let (fixed, rest) = out
        .split_first_chunk_mut::<FIXED_LEN>()
        .ok_or(WriteError::NoRoom)?;
    let extension_len = ext::write_block(rewrite.extensions.iter().copied(), rest)?;
    fixed[0] = 0x80 | u8::from(rewrite.padding > 0) << 5 | u8::from(extension_len > 0) << 4;
    fixed[1] = u8::from(rewrite.marker) << 7 | rewrite.payload_type & 0x7F;
    fixed[2..4].copy_from_slice(&rewrite.sequence_number.to_be_bytes());
    fixed[4..8].copy_from_slice(&rewrite.timestamp.to_be_bytes());
    fixed[8..12].copy_from_slice(&rewrite.ssrc.0.to_be_bytes());
    Ok(FIXED_LEN + extension_len)
}

fn write_padding(out: &mut [u8], at: usize, padding: u8) -> Result<usize, WriteError> {
    let end = at + usize::from(padding);
    let slot = out.get_mut(at..end).ok_or(WriteError::NoRoom)?;
    if let Some((last, zeros)) = slot.split_last_mut() {
        zeros.fill(0);
        *last = padding;
    }
    Ok(end)
}
