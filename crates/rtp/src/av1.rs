//! The dependency descriptor header extension (AV1 RTP specification, appendix A): reading it, and rewriting frame
//! number, template ids and the mask of active decode targets.

use smallvec::SmallVec;

use crate::{ParseError, WriteError};

/// Most templates of a structure; template ids have 6 bits.
const MAX_TEMPLATES: usize = 64;
/// Most references of one frame or template; more than any encoder makes.
const MAX_FDIFFS: usize = 32;
/// Where the template id offset starts in a descriptor with a structure, bits.
const OFFSET_AT: usize = 29;
/// Length of the fields that every descriptor has, bits.
const MANDATORY_BITS: usize = 24;
/// Flags of an extended descriptor, bits.
const FLAG_BITS: usize = 5;
/// Longest descriptor: of a header extension in the two-byte form.
const MAX_LEN: usize = 255;

/// The fields that every packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mandatory {
    /// First packet of a frame.
    pub start_of_frame: bool,
    /// Last packet of a frame.
    pub end_of_frame: bool,
    /// Template that the frame's dependencies come from, 0 to 63.
    pub template_id: u8,
    /// Frame number, wrapping.
    pub frame_number: u16,
}

impl Mandatory {
    /// Parses the start of the extension's data.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let b: &[u8; 3] = data.first_chunk()?;
        Some(Self {
            start_of_frame: b[0] & 0x80 != 0,
            end_of_frame: b[0] & 0x40 != 0,
            template_id: b[0] & 0x3F,
            frame_number: u16::from_be_bytes([b[1], b[2]]),
        })
    }
}

/// What a frame is for a decode target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indication {
    /// Not part of it.
    NotPresent,
    /// Nothing of the target depends on it.
    Discardable,
    /// All that follows of the target is decodable from here on.
    Switch,
    /// Other frames of the target may depend on it.
    Required,
}

/// Decode target indications, two bits for each target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indications(u64);

impl Indications {
    /// What the frame is for decode target `target`, 0 to 31.
    pub fn get(self, target: u8) -> Indication {
        match self.0.checked_shr(2 * u32::from(target)).unwrap_or(0) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    fn read(bits: &mut Bits<'_>, targets: u8) -> Result<Self, ParseError> {
        let mut all = 0;
        for target in 0..targets {
            all |= u64::from(bits.take(2)?) << (2 * target);
        }
        Ok(Self(all))
    }
}

/// A frame's place and dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Spatial layer.
    pub spatial_id: u8,
    /// Temporal layer.
    pub temporal_id: u8,
    /// What it is for each decode target.
    pub indications: Indications,
    /// Differences of frame numbers to the frames that it refers to, each at least 1.
    pub frame_diffs: SmallVec<[u16; 4]>,
    /// Difference to the previous frame of each chain; 0: none, or this is the first of it.
    pub chain_diffs: SmallVec<[u8; 4]>,
}

/// The structure that key frames carry and later frames refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Template id of the first template.
    pub template_id_offset: u8,
    /// Number of decode targets, 1 to 32.
    pub decode_targets: u8,
    /// The templates.
    pub templates: Vec<Dependencies>,
    /// For each decode target, the chain that protects it. Empty if there are no chains.
    pub protected_by: SmallVec<[u8; 8]>,
    /// Number of chains.
    pub chains: u8,
    /// Width and height of each spatial layer, where present.
    pub resolutions: SmallVec<[(u32, u32); 4]>,
}

impl Structure {
    /// The template with this id.
    pub fn template(&self, template_id: u8) -> Option<&Dependencies> {
        let index = (template_id + 64 - self.template_id_offset) % 64;
        self.templates.get(usize::from(index))
    }

    /// Highest spatial and temporal layer of a decode target.
    pub fn layers_of(&self, target: u8) -> (u8, u8) {
        let present = self
            .templates
            .iter()
            .filter(|t| t.indications.get(target) != Indication::NotPresent);
        present.fold((0, 0), |(s, t), d| {
            (s.max(d.spatial_id), t.max(d.temporal_id))
        })
    }

    /// Mask with all decode targets active.
    pub fn all_targets(&self) -> u32 {
        (u64::MAX >> (64 - u32::from(self.decode_targets.clamp(1, 32)))) as u32
    }

    fn parse(bits: &mut Bits<'_>) -> Result<Self, ParseError> {
        let template_id_offset = bits.take(6)? as u8;
        let decode_targets = bits.take(5)? as u8 + 1;
        let mut templates = read_layers(bits)?;
        for template in &mut templates {
            template.indications = Indications::read(bits, decode_targets)?;
        }
        for template in &mut templates {
            while bits.take(1)? == 1 {
                template.push_diff(bits.take(4)? as u16 + 1)?;
            }
        }
        let chains = bits.take_below(u32::from(decode_targets) + 1)? as u8;
        let mut protected_by = SmallVec::new();
        if chains > 0 {
            for _ in 0..decode_targets {
                protected_by.push(bits.take_below(u32::from(chains))? as u8);
            }
            for template in &mut templates {
                for _ in 0..chains {
                    template.chain_diffs.push(bits.take(4)? as u8);
                }
            }
        }
        let mut resolutions = SmallVec::new();
        if bits.take(1)? == 1 {
            let spatial = templates.iter().map(|t| t.spatial_id).max().unwrap_or(0);
            for _ in 0..=spatial {
                resolutions.push((bits.take(16)? + 1, bits.take(16)? + 1));
            }
        }
        Ok(Self {
            template_id_offset,
            decode_targets,
            templates,
            protected_by,
            chains,
            resolutions,
        })
    }
}

/// Layers of the templates, in their order.
fn read_layers(bits: &mut Bits<'_>) -> Result<Vec<Dependencies>, ParseError> {
    let mut templates = Vec::new();
    let (mut spatial_id, mut temporal_id) = (0u8, 0u8);
    loop {
        if templates.len() == MAX_TEMPLATES {
            return Err(ParseError::Invalid("number of templates"));
        }
        templates.push(Dependencies {
            spatial_id,
            temporal_id,
            ..Dependencies::default()
        });
        match bits.take(2)? {
            0 => {}
            1 => temporal_id += 1,
            2 => (spatial_id, temporal_id) = (spatial_id + 1, 0),
            _ => return Ok(templates),
        }
        if temporal_id > 7 || spatial_id > 3 {
            return Err(ParseError::Invalid("layer"));
        }
    }
}

impl Dependencies {
    fn push_diff(&mut self, diff: u16) -> Result<(), ParseError> {
        if self.frame_diffs.len() == MAX_FDIFFS {
            return Err(ParseError::Invalid("number of frame differences"));
        }
        self.frame_diffs.push(diff);
        Ok(())
    }
}

/// A parsed descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The fields that every packet has.
    pub mandatory: Mandatory,
    /// A new structure.
    pub structure: Option<Box<Structure>>,
    /// Active decode targets, where the packet says them (a new structure alone means all).
    pub active_targets: Option<u32>,
    /// Place and dependencies; `None` where the structure in force is not known.
    pub frame: Option<Dependencies>,
    /// Bit positions: end of flags and structure, end of the mask.
    structure_end: usize,
    mask_end: usize,
    /// End of what was understood.
    end: usize,
}

impl Descriptor {
    /// Parses the extension's data with the structure in force, which one in the packet replaces. Without either only
    /// the mandatory fields are known.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(data: &[u8], in_force: Option<&Structure>) -> Result<Self, ParseError> {
        let mandatory = Mandatory::parse(data).ok_or(ParseError::Truncated)?;
        let mut bits = Bits {
            data,
            at: MANDATORY_BITS,
        };
        let mut descriptor = Self {
            mandatory,
            structure: None,
            active_targets: None,
            frame: None,
            structure_end: MANDATORY_BITS,
            mask_end: MANDATORY_BITS,
            end: MANDATORY_BITS,
        };
        let mut flags = 0;
        if data.len() > 3 {
            flags = bits.take(FLAG_BITS as u32)?;
            if flags & 0x10 != 0 {
                descriptor.structure = Some(Box::new(Structure::parse(&mut bits)?));
            }
            descriptor.structure_end = bits.at;
        }
        let own = descriptor.structure.take();
        if let Some(structure) = own.as_deref().or(in_force) {
            if flags & 0x08 != 0 {
                descriptor.active_targets = Some(bits.take(u32::from(structure.decode_targets))?);
            }
            descriptor.mask_end = bits.at;
            descriptor.frame = read_frame(&mut bits, structure, mandatory.template_id, flags)?;
            descriptor.end = bits.at;
        }
        descriptor.structure = own;
        Ok(descriptor)
    }

    /// Writes a changed copy of `data`, which this was parsed from, and returns its length: another frame number,
    /// template ids shifted by `template_shift` (modulo 64), and the mask of active decode targets, where `mask` is
    /// given. Everything else stays, bit for bit. Needs to have been parsed with a structure.
    ///
    /// # Errors
    /// [`WriteError::NoRoom`]; [`WriteError::Unrepresentable`] without a structure, for a `decode_targets` outside 1
    /// to 32, or when the result is longer than an extension element can be.
    pub fn rewrite(
        &self,
        data: &[u8],
        frame_number: u16,
        template_shift: u8,
        mask: Option<(u32, u8)>,
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        if self.frame.is_none() || mask.is_some_and(|(_, targets)| !(1..=32).contains(&targets)) {
            return Err(WriteError::Unrepresentable("dependency descriptor"));
        }
        let shifted = |id: u8| u32::from(id.wrapping_add(template_shift) % 64);
        let source = Bits { data, at: 0 };
        let mut w = BitWriter {
            out: [0; MAX_LEN],
            at: 0,
        };
        w.put(u32::from(data.first().copied().unwrap_or(0) >> 6), 2);
        w.put(shifted(self.mandatory.template_id), 6);
        w.put(u32::from(frame_number), 16);
        let extended = data.len() > 3;
        if extended || mask.is_some() {
            let flags = if extended {
                source.peek(MANDATORY_BITS, FLAG_BITS)
            } else {
                0
            };
            let mask_flag = if mask.is_some() { 0x08 } else { flags & 0x08 };
            w.put(flags & !0x08 | mask_flag, FLAG_BITS as u32);
        }
        if let Some(structure) = &self.structure {
            w.put(shifted(structure.template_id_offset), 6);
            w.copy(&source, OFFSET_AT + 6..self.structure_end);
        }
        match mask {
            Some((mask, targets)) => w.put(mask, u32::from(targets)),
            None => w.copy(&source, self.structure_end..self.mask_end),
        }
        w.copy(&source, self.mask_end..self.end);
        let len = w.at.div_ceil(8);
        if len > MAX_LEN {
            return Err(WriteError::Unrepresentable("dependency descriptor"));
        }
        out.get_mut(..len)
            .ok_or(WriteError::NoRoom)?
            .copy_from_slice(&w.out[..len]);
        Ok(len)
    }
}

/// A frame's dependencies: its template's, with what the packet overrides.
fn read_frame(
    bits: &mut Bits<'_>,
    structure: &Structure,
    template_id: u8,
    flags: u32,
) -> Result<Option<Dependencies>, ParseError> {
    let Some(template) = structure.template(template_id) else {
        return Ok(None);
    };
    let mut frame = template.clone();
    if flags & 0x04 != 0 {
        frame.indications = Indications::read(bits, structure.decode_targets)?;
    }
    if flags & 0x02 != 0 {
        frame.frame_diffs.clear();
        loop {
            match bits.take(2)? {
                0 => break,
                size => frame.push_diff(bits.take(4 * size)? as u16 + 1)?,
            }
        }
    }
    if flags & 0x01 != 0 {
        frame.chain_diffs.clear();
        for _ in 0..structure.chains {
            frame.chain_diffs.push(bits.take(8)? as u8);
        }
    }
    Ok(Some(frame))
}

/// Reads bits, most significant first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` (at most 32) bits.
    fn take(&mut self, count: u32) -> Result<u32, ParseError> {
        let count = count as usize;
        if self.at + count > 8 * self.data.len() {
            return Err(ParseError::Truncated);
        }
        let value = self.peek(self.at, count);
        self.at += count;
        Ok(value)
    }

    /// `count` (at most 32) bits at a position; bits beyond the end are 0.
    fn peek(&self, at: usize, count: usize) -> u32 {
        (at..at + count).fold(0, |value, bit| {
            let byte = self.data.get(bit / 8).copied().unwrap_or(0);
            value << 1 | u32::from(byte >> (7 - bit % 8) & 1)
        })
    }

    /// A value below `limit` in the non-symmetric code `ns(limit)`.
    fn take_below(&mut self, limit: u32) -> Result<u32, ParseError> {
        let width = 32 - limit.leading_zeros();
        let short = (1u32 << width) - limit;
        let value = self.take(width.saturating_sub(1))?;
        if value < short {
            return Ok(value);
        }
        Ok((value << 1) - short + self.take(1)?)
    }
}

struct BitWriter {
    out: [u8; MAX_LEN],
    at: usize,
}

impl BitWriter {
    fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            self.put_bit(value >> bit & 1 != 0);
        }
    }

    fn put_bit(&mut self, bit: bool) {
        if let (true, Some(byte)) = (bit, self.out.get_mut(self.at / 8)) {
            *byte |= 0x80 >> (self.at % 8);
        }
        self.at += 1;
    }

    fn copy(&mut self, from: &Bits<'_>, range: std::ops::Range<usize>) {
        for at in range {
            self.put_bit(from.peek(at, 1) != 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts fields (value, bits) into bytes.
    fn pack(fields: &[(u32, u32)]) -> Vec<u8> {
        let mut w = BitWriter {
            out: [0; MAX_LEN],
            at: 0,
        };
        for (value, count) in fields {
            w.put(*value, *count);
        }
        w.out[..w.at.div_ceil(8)].to_vec()
    }

    /// L1T2 with two decode targets and one chain, 640 x 360.
    fn key_frame() -> Vec<u8> {
        pack(&[
            (0b11, 2),
            (5, 6),
            (100, 16),    // first and last packet, template 5, frame 100
            (0b10000, 5), // a structure
            (5, 6),
            (1, 5), // offset 5, two targets
            (0, 2),
            (1, 2),
            (3, 2), // T0, T0, T1
            (2, 2),
            (2, 2),
            (3, 2),
            (3, 2),
            (1, 2),
            (0, 2), // indications
            (0, 1),
            (1, 1),
            (1, 4),
            (0, 1),
            (1, 1),
            (0, 4),
            (0, 1), // none; 2; 1
            (1, 1),
            (0, 1), // one chain of up to two: ns(3)
            (0, 0),
            (0, 0), // protected by chain 0: ns(1) has no bits
            (0, 4),
            (2, 4),
            (1, 4), // chain differences
            (1, 1),
            (639, 16),
            (359, 16),
        ])
    }

    #[test]
    fn a_structure() {
        let data = key_frame();
        let d = Descriptor::parse(&data, None).unwrap();
        let s = d.structure.as_ref().unwrap();
        assert_eq!(
            (
                s.template_id_offset,
                s.decode_targets,
                s.chains,
                s.templates.len()
            ),
            (5, 2, 1, 3)
        );
        assert_eq!(
            s.templates
                .iter()
                .map(|t| t.temporal_id)
                .collect::<Vec<_>>(),
            [0, 0, 1]
        );
        assert_eq!(s.templates[1].frame_diffs[..], [2]);
        assert_eq!(s.templates[2].chain_diffs[..], [1]);
        assert_eq!(s.resolutions[..], [(640, 360)]);
        assert_eq!(s.protected_by[..], [0, 0]);
        assert_eq!(
            (s.layers_of(0), s.layers_of(1), s.all_targets()),
            ((0, 1), (0, 0), 3)
        );
        assert_eq!(s.templates[2].indications.get(0), Indication::Discardable);
        assert_eq!(s.templates[2].indications.get(1), Indication::NotPresent);
        let frame = d.frame.unwrap();
        assert_eq!(frame.indications.get(0), Indication::Switch);
        assert!(frame.frame_diffs.is_empty());
        for n in 0..data.len() {
            let _ = Descriptor::parse(&data[..n], None);
            assert!(
                n == 3 || Descriptor::parse(&data[..n], None).is_err(),
                "{n}"
            );
        }
    }

    #[test]
    fn frames_by_template_and_with_overrides() {
        let structure = Descriptor::parse(&key_frame(), None)
            .unwrap()
            .structure
            .unwrap();
        let short = Descriptor::parse(&[0xC0 | 7, 0, 101], Some(&structure)).unwrap();
        assert_eq!(short.frame.as_ref().unwrap().temporal_id, 1);
        assert_eq!(short.frame.as_ref().unwrap().frame_diffs[..], [1]);
        let custom = pack(&[
            (0b11, 2),
            (6, 6),
            (102, 16),
            (0b01111, 5),
            (0b10, 2), // only the second target active
            (3, 2),
            (0, 2),
            (1, 2),
            (0, 4),
            (2, 2),
            (0x41, 8),
            (0, 2),
            (77, 8),
        ]);
        let d = Descriptor::parse(&custom, Some(&structure)).unwrap();
        assert_eq!(d.active_targets, Some(0b10));
        let frame = d.frame.unwrap();
        assert_eq!(frame.frame_diffs[..], [1, 0x42]);
        assert_eq!(frame.chain_diffs[..], [77]);
        assert_eq!(frame.indications.get(1), Indication::NotPresent);
        let unknown = Descriptor::parse(&[0xC0 | 9, 0, 1], Some(&structure)).unwrap();
        assert_eq!(unknown.frame, None);
        assert_eq!(Descriptor::parse(&custom, None).unwrap().frame, None);
    }

    #[test]
    fn rewriting() {
        let data = key_frame();
        let d = Descriptor::parse(&data, None).unwrap();
        let mut out = [0; 64];
        let same = d.rewrite(&data, 100, 0, None, &mut out).unwrap();
        assert_eq!(out[..same], data, "bit for bit");

        let len = d.rewrite(&data, 7, 60, Some((0b10, 2)), &mut out).unwrap();
        let new = Descriptor::parse(&out[..len], None).unwrap();
        assert_eq!(
            (new.mandatory.frame_number, new.mandatory.template_id),
            (7, 1)
        );
        assert_eq!(new.active_targets, Some(0b10));
        let s = new.structure.clone().unwrap();
        assert_eq!(s.template_id_offset, 1);
        assert_eq!(s.templates, d.structure.as_ref().unwrap().templates);
        assert_eq!(new.frame, d.frame);

        // A short one grows by flags and mask, and an existing mask is replaced.
        let short = [0xC0 | 7, 0, 101];
        let d = Descriptor::parse(&short, d.structure.as_deref()).unwrap();
        let len = d.rewrite(&short, 8, 60, Some((0b10, 2)), &mut out).unwrap();
        assert_eq!(len, 4);
        let again = Descriptor::parse(&out[..len], Some(&s)).unwrap();
        assert_eq!(
            (again.active_targets, again.mandatory.template_id),
            (Some(0b10), 3)
        );
        assert_eq!(again.frame, d.frame);
        let masked = out[..len].to_vec();
        let len = again
            .rewrite(&masked, 9, 0, Some((0b11, 2)), &mut out)
            .unwrap();
        assert_eq!(
            Descriptor::parse(&out[..len], Some(&s))
                .unwrap()
                .active_targets,
            Some(0b11)
        );
        assert_eq!(
            again.rewrite(&masked, 9, 0, None, &mut out[..3]),
            Err(WriteError::NoRoom)
        );
    }
}
