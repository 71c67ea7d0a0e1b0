//! The VP9 payload descriptor (RFC 9628 §4.2).

use crate::{ParseError, picture};

/// What the payload descriptor says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp9 {
    /// Length of the descriptor, bytes.
    pub len: u16,
    /// Picture id and whether it has 15 bits (else 7).
    pub picture_id: Option<(u16, bool)>,
    /// The frame is predicted from an earlier picture (P bit).
    pub inter_picture_predicted: bool,
    /// Flexible mode (F bit).
    pub flexible: bool,
    /// First packet of a layer frame (B bit).
    pub start_of_frame: bool,
    /// Last packet of a layer frame (E bit).
    pub end_of_frame: bool,
    /// Not a reference for upper spatial layers (Z bit).
    pub not_upper_reference: bool,
    /// Layer indices are present (L bit).
    pub has_layers: bool,
    /// Temporal layer.
    pub temporal_id: u8,
    /// A point where a receiver can switch up to this temporal layer (U bit).
    pub switching_up: bool,
    /// Spatial layer.
    pub spatial_id: u8,
    /// Predicted from the next lower spatial layer of the same picture (D bit).
    pub inter_layer: bool,
    /// TL0PICIDX, in non-flexible mode with layer indices.
    pub tl0_pic_idx: Option<u8>,
    /// The scalability structure, where the packet carries it.
    pub structure: Option<Structure>,
    picture_id_at: u16,
    tl0_at: u16,
}

/// A scalability structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// Number of spatial layers, 1 to 8.
    pub spatial_layers: u8,
    /// Width and height of each spatial layer, where present.
    pub sizes: Option<[(u16, u16); 8]>,
    /// Number of temporal layers in the picture group (highest index + 1), if there is a group.
    pub temporal_layers: Option<u8>,
    /// Pictures in the group.
    pub group_len: u8,
    /// Pictures of the group by temporal layer, 0 to 7.
    pub group_by_temporal: [u8; 8],
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, ParseError> {
        let byte = self
            .bytes
            .get(self.at)
            .copied()
            .ok_or(ParseError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn be16(&mut self) -> Result<u16, ParseError> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }
}

impl Vp9 {
    /// Parses the start of a VP9 RTP payload.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]; [`ParseError::Invalid`] for more than three reference differences.
    pub fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader {
            bytes: payload,
            at: 0,
        };
        let first = r.byte()?;
        let mut vp9 = Self {
            inter_picture_predicted: first & 0x40 != 0,
            has_layers: first & 0x20 != 0,
            flexible: first & 0x10 != 0,
            start_of_frame: first & 0x08 != 0,
            end_of_frame: first & 0x04 != 0,
            not_upper_reference: first & 0x01 != 0,
            ..Self::default()
        };
        if first & 0x80 != 0 {
            vp9.picture_id_at = r.at as u16;
            let high = r.byte()?;
            vp9.picture_id = Some(if high & 0x80 != 0 {
                (u16::from_be_bytes([high & 0x7F, r.byte()?]), true)
            } else {
                (u16::from(high), false)
            });
        }
        if vp9.has_layers {
            vp9.read_layers(&mut r)?;
        }
        if vp9.flexible && vp9.inter_picture_predicted {
            let mut count = 0;
            while r.byte()? & 1 != 0 {
                count += 1;
                if count == 3 {
                    return Err(ParseError::Invalid("reference differences"));
                }
            }
        }
        if first & 0x02 != 0 {
            vp9.structure = Some(Structure::parse(&mut r)?);
        }
        vp9.len = u16::try_from(r.at).map_err(|_| ParseError::Invalid("descriptor length"))?;
        Ok(vp9)
    }

    fn read_layers(&mut self, r: &mut Reader<'_>) -> Result<(), ParseError> {
        let layers = r.byte()?;
        self.temporal_id = layers >> 5;
        self.switching_up = layers & 0x10 != 0;
        self.spatial_id = layers >> 1 & 0x07;
        self.inter_layer = layers & 0x01 != 0;
        if !self.flexible {
            self.tl0_at = r.at as u16;
            self.tl0_pic_idx = Some(r.byte()?);
        }
        Ok(())
    }

    /// Whether the frame can be decoded without any earlier picture, at its lowest spatial layer.
    pub fn key_frame(&self) -> bool {
        !self.inter_picture_predicted
            && (!self.has_layers || self.spatial_id == 0 || !self.inter_layer)
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

impl Structure {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let head = r.byte()?;
        let mut structure = Self {
            spatial_layers: (head >> 5) + 1,
            ..Self::default()
        };
        if head & 0x10 != 0 {
            let mut sizes = [(0, 0); 8];
            for size in sizes.iter_mut().take(usize::from(structure.spatial_layers)) {
                *size = (r.be16()?, r.be16()?);
            }
            structure.sizes = Some(sizes);
        }
        if head & 0x08 != 0 {
            structure.group_len = r.byte()?;
            let mut highest = 0;
            for _ in 0..structure.group_len {
                let picture = r.byte()?;
                let temporal = picture >> 5;
                highest = highest.max(temporal);
                let count = &mut structure.group_by_temporal[usize::from(temporal)];
                *count = count.saturating_add(1);
                for _ in 0..(picture >> 2 & 0x03) {
                    r.byte()?;
                }
            }
            structure.temporal_layers = Some(highest + 1);
        }
        Ok(structure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frame_with_structure() {
        let mut payload = vec![0xAA, 0x92, 0x34, 0x00, 0x07]; // I, L, B, V; picture id; layers; TL0
        payload.push(2 << 5 | 0x10 | 0x08); // three spatial layers with sizes, group
        for (w, h) in [(320u16, 180u16), (640, 360), (1280, 720)] {
            payload.extend_from_slice(&w.to_be_bytes());
            payload.extend_from_slice(&h.to_be_bytes());
        }
        payload.extend_from_slice(&[2, 0x04, 0x01, 2 << 5 | 0x04, 0x01]);
        let vp9 = Vp9::parse(&payload).unwrap();
        assert_eq!(usize::from(vp9.len), payload.len());
        assert_eq!(
            (vp9.picture_id, vp9.tl0_pic_idx),
            (Some((0x1234, true)), Some(7))
        );
        assert!(vp9.key_frame() && vp9.start_of_frame && !vp9.end_of_frame);
        let structure = vp9.structure.unwrap();
        assert_eq!(
            (structure.spatial_layers, structure.temporal_layers),
            (3, Some(3))
        );
        assert_eq!(structure.sizes.unwrap()[2], (1280, 720));
        for n in 0..payload.len() {
            assert!(Vp9::parse(&payload[..n]).is_err(), "{n}");
        }
        vp9.rewrite(&mut payload, 5, 8);
        let again = Vp9::parse(&payload).unwrap();
        assert_eq!(
            (again.picture_id, again.tl0_pic_idx),
            (Some((5, true)), Some(8))
        );
    }

    #[test]
    fn inter_frame_of_an_upper_layer() {
        // I, P, L, E; picture id; T1 S2 D; TL0.
        let vp9 = Vp9::parse(&[0xE4, 0x80, 0x01, 1 << 5 | 2 << 1 | 1, 9]).unwrap();
        assert!(!vp9.key_frame() && vp9.inter_layer && vp9.end_of_frame);
        assert_eq!((vp9.temporal_id, vp9.spatial_id), (1, 2));
    }

    #[test]
    fn flexible_mode() {
        let vp9 = Vp9::parse(&[0xD0, 0x05, 0x03, 0x02]).unwrap();
        assert_eq!(
            (vp9.len, vp9.picture_id, vp9.tl0_pic_idx),
            (4, Some((5, false)), None)
        );
        assert!(Vp9::parse(&[0xD0, 0x05, 0x03, 0x03, 0x03, 0x02]).is_err());
    }
}
