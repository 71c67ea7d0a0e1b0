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
    /// Spatial and temporal layer of the first decode targets, four bits each.
    layers: u64,
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
        let mut structure = Self {
            template_id_offset,
            decode_targets,
            templates,
            protected_by,
            chains,
            resolutions,
            layers: 0,
        };
        for target in 0..decode_targets.min(FRAME_TARGETS as u8) {
            let (spatial, temporal) = structure.layers_of(target);
            let layer = u64::from(spatial.min(3) << 2 | temporal.min(3));
            structure.layers |= layer << (4 * u32::from(target));
        }
        Ok(structure)
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

/// Where the parts of a descriptor lie, bits: what rewriting needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// A structure comes behind the flags.
    has_structure: bool,
    /// Number of decode targets; 0 without a structure in force.
    targets: u8,
    structure_end: u16,
    mask_end: u16,
    /// End of what was understood.
    end: u16,
}

impl Layout {
    /// Of a descriptor of which nothing but the mandatory fields was understood.
    const MANDATORY: Self = Self {
        has_structure: false,
        targets: 0,
        structure_end: MANDATORY_BITS as u16,
        mask_end: MANDATORY_BITS as u16,
        end: MANDATORY_BITS as u16,
    };

    /// Writes a changed copy of `data`, which this was read from, and returns its length: another frame number, template
    /// ids shifted by `template_shift` (modulo 64), and the mask of active decode targets, where `mask` is given and the
    /// targets are known. Everything else stays, bit for bit.
    ///
    /// # Errors
    /// [`WriteError::NoRoom`]; [`WriteError::Unrepresentable`] when the result is longer than an extension element can be.
    pub fn rewrite(
        &self,
        data: &[u8],
        frame_number: u16,
        template_shift: u8,
        mask: Option<u32>,
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let shifted = |id: u8| id.wrapping_add(template_shift) % 64;
        let mask = mask.filter(|_| self.targets > 0);
        let first = data.first().copied().unwrap_or(0);
        let [high, low] = frame_number.to_be_bytes();
        let head = [first & 0xC0 | shifted(first & 0x3F), high, low];
        // What has no bits that move is copied as it is.
        if mask.is_none() && !self.has_structure {
            let out = out.get_mut(..data.len()).ok_or(WriteError::NoRoom)?;
            out.copy_from_slice(data);
            if let Some(place) = out.first_chunk_mut() {
                *place = head;
            }
            return Ok(data.len());
        }
        let source = Bits { data, at: 0 };
        let mut w = BitWriter {
            out: [0; MAX_LEN],
            at: 0,
        };
        head.iter().for_each(|byte| w.put(u32::from(*byte), 8));
        let flags = match data.len() > 3 {
            true => source.peek(MANDATORY_BITS, FLAG_BITS),
            false => 0,
        };
        let mask_flag = if mask.is_some() { 0x08 } else { flags & 0x08 };
        w.put(flags & !0x08 | mask_flag, FLAG_BITS as u32);
        if self.has_structure {
            let offset = source.peek(OFFSET_AT, 6) as u8;
            w.put(u32::from(shifted(offset)), 6);
            w.copy(&source, OFFSET_AT + 6..self.structure_end.into());
        }
        match mask {
            Some(mask) => w.put(mask, u32::from(self.targets)),
            None => w.copy(&source, self.structure_end.into()..self.mask_end.into()),
        }
        w.copy(&source, self.mask_end.into()..self.end.into());
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

/// Most decode targets and references that a [`Frame`] can hold.
const FRAME_TARGETS: usize = 16;
const FRAME_DIFFS: usize = 4;

/// What layer choice and rewriting need of a packet's frame; `Copy`, to be stored beside the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// First packet of the frame.
    pub start: bool,
    /// Last packet of the frame.
    pub end: bool,
    /// Frame number, wrapping.
    pub number: u16,
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// A new structure: template id of its first template, and number of templates.
    pub structure: Option<(u8, u8)>,
    /// Number of decode targets; 0 where nothing is known of them, or they are more than this can hold.
    pub targets: u8,
    /// Where the parts of the descriptor lie.
    pub layout: Layout,
    /// Spatial and temporal layer of each decode target, four bits each.
    layers: u64,
    indications: u32,
    diffs: [u16; FRAME_DIFFS],
    /// Number of differences; `None` if there are more than fit.
    references: Option<u8>,
}

impl Frame {
    /// Reads a descriptor with the structure in force, which one in the packet replaces.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(data: &[u8], in_force: &mut Option<Box<Structure>>) -> Result<Self, ParseError> {
        let mut descriptor = Descriptor::parse(data, in_force.as_deref())?;
        let mut frame = Self {
            start: descriptor.mandatory.start_of_frame,
            end: descriptor.mandatory.end_of_frame,
            number: descriptor.mandatory.frame_number,
            spatial: 0,
            temporal: 0,
            structure: None,
            targets: 0,
            layout: descriptor.layout,
            layers: 0,
            indications: 0,
            diffs: [0; FRAME_DIFFS],
            references: None,
        };
        if let Some(structure) = descriptor.structure.take() {
            let count = structure.templates.len() as u8;
            frame.structure = Some((structure.template_id_offset, count));
            *in_force = Some(structure);
        }
        let (Some(structure), Some(of_frame)) = (in_force.as_deref(), &descriptor.frame) else {
            return Ok(frame);
        };
        frame.spatial = of_frame.spatial_id;
        frame.temporal = of_frame.temporal_id;
        if usize::from(structure.decode_targets) <= FRAME_TARGETS {
            frame.targets = structure.decode_targets;
            frame.layers = structure.layers;
            frame.indications = of_frame.indications.0 as u32;
        }
        let diffs = of_frame.frame_diffs.as_slice();
        if let Some(place) = frame.diffs.get_mut(..diffs.len()) {
            place.copy_from_slice(diffs);
            frame.references = Some(diffs.len() as u8);
        }
        Ok(frame)
    }

    /// Spatial and temporal layer of a decode target.
    pub fn layers_of(&self, target: u8) -> (u8, u8) {
        let bits = self.layers >> (4 * u32::from(target)) & 15;
        ((bits >> 2) as u8, (bits & 3) as u8)
    }

    /// What the frame is for a decode target.
    pub fn indication(&self, target: u8) -> Indication {
        Indications(self.indications.into()).get(target)
    }

    /// The best decode target within a spatial and a temporal layer, the spatial one counting more; the lowest one if
    /// there is none. `None` where nothing is known of targets.
    pub fn best_target(&self, spatial: u8, temporal: u8) -> Option<u8> {
        let all = || (0..self.targets).map(|target| (self.layers_of(target), target));
        let within = all().filter(|((s, t), _)| *s <= spatial && *t <= temporal);
        let best = within.max().or_else(|| all().min());
        best.map(|(_, target)| target)
    }

    /// Mask of the decode targets within the layers of one of them.
    pub fn mask_within(&self, target: u8) -> u32 {
        let (spatial, temporal) = self.layers_of(target);
        let within = |t: &u8| {
            let (s, t) = self.layers_of(*t);
            s <= spatial && t <= temporal
        };
        (0..self.targets)
            .filter(within)
            .fold(0, |mask, t| mask | 1 << t)
    }

    /// Differences of frame numbers to the frames that it refers to; `None` where they are not known.
    pub fn references(&self) -> Option<&[u16]> {
        self.diffs.get(..usize::from(self.references?))
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
    /// Where its parts lie.
    pub layout: Layout,
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
            layout: Layout::MANDATORY,
        };
        let mut flags = 0;
        if data.len() > 3 {
            flags = bits.take(FLAG_BITS as u32)?;
            if flags & 0x10 != 0 {
                descriptor.structure = Some(Box::new(Structure::parse(&mut bits)?));
            }
            descriptor.layout.structure_end = bits.at as u16;
        }
        let own = descriptor.structure.take();
        descriptor.layout.has_structure = own.is_some();
        if let Some(structure) = own.as_deref().or(in_force) {
            if flags & 0x08 != 0 {
                descriptor.active_targets = Some(bits.take(u32::from(structure.decode_targets))?);
            }
            descriptor.layout.mask_end = bits.at as u16;
            descriptor.layout.targets = structure.decode_targets;
            descriptor.frame = read_frame(&mut bits, structure, mandatory.template_id, flags)?;
            descriptor.layout.end = bits.at as u16;
        }
        descriptor.structure = own;
        Ok(descriptor)
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
        let same = d.layout.rewrite(&data, 100, 0, None, &mut out).unwrap();
        assert_eq!(out[..same], data, "bit for bit");

        let len = d
            .layout
            .rewrite(&data, 7, 60, Some(0b10), &mut out)
            .unwrap();
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
        let len = d
            .layout
            .rewrite(&short, 8, 60, Some(0b10), &mut out)
            .unwrap();
        assert_eq!(len, 4);
        let again = Descriptor::parse(&out[..len], Some(&s)).unwrap();
        assert_eq!(
            (again.active_targets, again.mandatory.template_id),
            (Some(0b10), 3)
        );
        assert_eq!(again.frame, d.frame);
        let masked = out[..len].to_vec();
        let len = again
            .layout
            .rewrite(&masked, 9, 0, Some(0b11), &mut out)
            .unwrap();
        assert_eq!(
            Descriptor::parse(&out[..len], Some(&s))
                .unwrap()
                .active_targets,
            Some(0b11)
        );
        assert_eq!(
            again.layout.rewrite(&masked, 9, 0, None, &mut out[..3]),
            Err(WriteError::NoRoom)
        );
    }
}
