//! The VP8 payload descriptor (RFC 7741 §4.2): reading it, and rewriting picture id and TL0PICIDX in place.

use crate::{ParseError, picture};

/// What the payload descriptor and the start of the payload header say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8 {
    /// Length of the descriptor, bytes.
    pub len: u8,
    /// The frame may be dropped without hurting others (N bit).
    pub non_reference: bool,
    /// First packet of a partition (S bit).
    pub start_of_partition: bool,
    /// Partition index, 0 to 7.
    pub partition: u8,
    /// Picture id and whether it has 15 bits (else 7).
    pub picture_id: Option<(u16, bool)>,
    /// TL0PICIDX: counts base layer frames.
    pub tl0_pic_idx: Option<u8>,
    /// Temporal layer, 0 to 3.
    pub temporal_id: Option<u8>,
    /// Layer sync (Y bit).
    pub layer_sync: bool,
    /// KEYIDX, 0 to 31.
    pub key_idx: Option<u8>,
    /// The packet starts a key frame.
    pub key_frame: bool,
    /// Width and height in pixels, from the start of a key frame.
    pub size: Option<(u16, u16)>,
    picture_id_at: u8,
    tl0_at: u8,
}

impl Vp8 {
    /// Parses the start of a VP8 RTP payload.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let mut at = 0usize;
        let mut take = || {
            let byte = payload.get(at).copied().ok_or(ParseError::Truncated)?;
            at += 1;
            Ok::<_, ParseError>((byte, at - 1))
        };
        let (first, _) = take()?;
        let mut vp8 = Self {
            len: 0,
            non_reference: first & 0x20 != 0,
            start_of_partition: first & 0x10 != 0,
            partition: first & 0x07,
            picture_id: None,
            tl0_pic_idx: None,
            temporal_id: None,
            layer_sync: false,
            key_idx: None,
            key_frame: false,
            size: None,
            picture_id_at: 0,
            tl0_at: 0,
        };
        if first & 0x80 != 0 {
            let (bits, _) = take()?;
            if bits & 0x80 != 0 {
                let (high, start) = take()?;
                vp8.picture_id_at = start as u8;
                vp8.picture_id = if high & 0x80 != 0 {
                    let (low, _) = take()?;
                    Some((u16::from_be_bytes([high & 0x7F, low]), true))
                } else {
                    Some((u16::from(high), false))
                };
            }
            if bits & 0x40 != 0 {
                let (value, start) = take()?;
                vp8.tl0_at = start as u8;
                vp8.tl0_pic_idx = Some(value);
            }
            if bits & 0x30 != 0 {
                let (value, _) = take()?;
                if bits & 0x20 != 0 {
                    vp8.temporal_id = Some(value >> 6);
                    vp8.layer_sync = value & 0x20 != 0;
                }
                vp8.key_idx = (bits & 0x10 != 0).then_some(value & 0x1F);
            }
        }
        vp8.len = at as u8;
        vp8.read_payload_header(payload.get(at..).unwrap_or_default());
        Ok(vp8)
    }

    /// RFC 7741 §4.3: bit 0 of the first byte is inverse key frame; the frame size follows the start code.
    fn read_payload_header(&mut self, data: &[u8]) {
        if !self.start_of_frame() {
            return;
        }
        self.key_frame = data.first().is_some_and(|b| b & 1 == 0);
        if let (true, Some([0x9D, 0x01, 0x2A, w0, w1, h0, h1])) = (self.key_frame, data.get(3..10))
        {
            let pixels = |low, high| u16::from_le_bytes([low, high]) & 0x3FFF;
            self.size = Some((pixels(*w0, *w1), pixels(*h0, *h1)));
        }
    }

    /// Whether this is the first packet of a frame.
    pub fn start_of_frame(&self) -> bool {
        self.start_of_partition && self.partition == 0
    }

    /// Writes picture id and TL0PICIDX into a payload that this descriptor was parsed from (or a copy of it), in the
    /// width that the descriptor already has; what it lacks is not written.
    pub fn rewrite(&self, payload: &mut [u8], picture_id: u16, tl0_pic_idx: u8) {
        if let Some((_, long)) = self.picture_id {
            picture::write_id(payload, self.picture_id_at.into(), long, picture_id);
        }
        if self.tl0_pic_idx.is_some() {
            picture::write_byte(payload, self.tl0_at.into(), tl0_pic_idx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frame_with_everything() {
        let mut payload = vec![0x90, 0xE0, 0x92, 0x34, 0x07, 0x60];
        payload.extend_from_slice(&[0x10, 0x02, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01]);
        let vp8 = Vp8::parse(&payload).unwrap();
        assert_eq!(vp8.len, 6);
        assert_eq!(vp8.picture_id, Some((0x1234, true)));
        assert_eq!(
            (vp8.tl0_pic_idx, vp8.temporal_id, vp8.layer_sync),
            (Some(7), Some(1), true)
        );
        assert!(vp8.key_frame && vp8.start_of_frame());
        assert_eq!(vp8.size, Some((640, 360)));
        vp8.rewrite(&mut payload, 0x7FFF, 9);
        let again = Vp8::parse(&payload).unwrap();
        assert_eq!(
            (again.picture_id, again.tl0_pic_idx),
            (Some((0x7FFF, true)), Some(9))
        );
        assert_eq!(again.temporal_id, Some(1));
    }

    #[test]
    fn short_picture_id_keeps_its_width() {
        let mut payload = [0x80, 0x80, 0x11, 0xAA];
        let vp8 = Vp8::parse(&payload).unwrap();
        assert_eq!(
            (vp8.len, vp8.picture_id, vp8.tl0_pic_idx),
            (3, Some((0x11, false)), None)
        );
        vp8.rewrite(&mut payload, 0x1FF, 3);
        assert_eq!(payload, [0x80, 0x80, 0x7F, 0xAA]);
    }

    #[test]
    fn bare_descriptor_and_truncation() {
        let vp8 = Vp8::parse(&[0x10, 0x01]).unwrap();
        assert_eq!((vp8.len, vp8.key_frame), (1, false));
        let full = [0x90, 0xF0, 0x92, 0x34, 0x07, 0x60];
        for n in 0..full.len() {
            assert_eq!(Vp8::parse(&full[..n]), Err(ParseError::Truncated), "{n}");
        }
    }
}
