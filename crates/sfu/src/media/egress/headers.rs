//! RTP headers towards one receiver (RFC 3550 §5.1, RFC 8285): the usual ones from a template, the rest field by field.

use crate::media::negotiated::{Negotiated, Payload};
use crate::media::packet::{Codec, Outgoing, Record};
use rtp::ext::Extension;
use smallvec::SmallVec;

/// Fixed header.
const FIXED: usize = 12;
/// Fixed header and a block of one short extension, or two: most of what is sent.
const SHORT: usize = FIXED + 8;
const SHORT_PAIR: usize = FIXED + 12;
/// Largest id of the one-byte form.
const ONE_BYTE: u8 = 14;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Headers {
    audio_level: Option<u8>,
    transport_cc: Option<u8>,
    abs_send_time: Option<u8>,
    orientation: Option<u8>,
    descriptor: Option<u8>,
    /// Payload type of retransmissions of each payload type.
    rtx: SmallVec<[(u8, u8); 8]>,
    /// Payload type of redundant audio.
    red: Option<u8>,
    /// Audio carries transport-wide numbers.
    audio_cc: Option<u8>,
    /// First bytes of short extensions: transport-wide number, audio level; `None` for another form.
    short_cc: Option<u8>,
    short_level: Option<u8>,
}

/// All extensions that a packet has, where they are short: their first bytes.
#[derive(Debug, Clone, Copy)]
enum Short {
    Number(u8),
    Level(u8),
    Both(u8, u8),
}

impl Short {
    fn len(self) -> usize {
        match self {
            Self::Number(_) | Self::Level(_) => SHORT,
            Self::Both(..) => SHORT_PAIR,
        }
    }
}

impl Headers {
    pub(super) fn new(negotiated: &Negotiated) -> Self {
        let short = |id: Option<u8>, len: u8| {
            id.filter(|id| *id <= ONE_BYTE)
                .map(|id| id << 4 | (len - 1))
        };
        let rtx = |payload_type: u8| match negotiated.payload_type(payload_type) {
            Some(Payload::Media { rtx: Some(rtx), .. }) => Some((payload_type, rtx)),
            _ => None,
        };
        Self {
            audio_level: negotiated.audio_level,
            transport_cc: negotiated.transport_cc,
            abs_send_time: negotiated.abs_send_time,
            orientation: negotiated.orientation,
            descriptor: negotiated.descriptor,
            rtx: (0..128).filter_map(rtx).collect(),
            red: negotiated.red,
            audio_cc: negotiated
                .transport_cc
                .filter(|_| negotiated.audio_transport_cc),
            short_cc: short(negotiated.transport_cc, 2),
            short_level: short(negotiated.audio_level, 1),
        }
    }

    /// Whether a packet of a kind carries a transport-wide number.
    #[inline]
    pub(super) fn is_numbered(&self, video: bool) -> bool {
        if video {
            self.transport_cc.is_some()
        } else {
            self.audio_cc.is_some()
        }
    }

    /// The short extensions of a packet, if that is all it has.
    #[inline]
    fn short(&self, out: &Outgoing, record: &Record) -> Option<Short> {
        if out.video {
            let plain = record.orientation.is_none() && record.descriptor.1 == 0;
            return self.short_cc.filter(|_| plain).map(Short::Number);
        }
        match (record.audio_level, self.audio_cc) {
            (Some(_), Some(_)) => Some(Short::Both(self.short_level?, self.short_cc?)),
            (Some(_), None) => self.short_level.map(Short::Level),
            (None, Some(_)) => self.short_cc.map(Short::Number),
            (None, None) => None,
        }
    }

    /// Length of the header of a packet.
    #[inline]
    pub(super) fn len(&self, out: &Outgoing, record: &Record, bytes: &[u8]) -> usize {
        if let Some(short) = self.short(out, record) {
            return short.len();
        }
        let mut values = Encoded::default();
        values.descriptor.take(out, record, bytes);
        FIXED + block_len(&self.extensions(out, record, &values))
    }

    /// Writes the header of a packet and returns its length; `None` where it cannot be written.
    #[inline]
    pub(super) fn write(
        &self,
        out: &Outgoing,
        record: &Record,
        bytes: &[u8],
        values: Values,
        room: &mut [u8],
    ) -> Option<usize> {
        let payload_type = match out.osn {
            None if values.redundant => self.red?,
            None => record.header.payload_type,
            Some(_) => self.rtx_of(record.header.payload_type)?,
        };
        let second = u8::from(record.header.marker || out.ends) << 7 | payload_type & 0x7F;
        if let Some(short) = self.short(out, record) {
            let number = values.transport_seq.to_be_bytes();
            let level = record.audio_level.unwrap_or(0);
            let head = room.first_chunk_mut::<SHORT_PAIR>()?;
            head[..4].copy_from_slice(&fixed(0x90, second, out.seq));
            head[4..8].copy_from_slice(&out.timestamp.to_be_bytes());
            head[8..12].copy_from_slice(&out.ssrc.to_be_bytes());
            head[12..16].copy_from_slice(&[0xBE, 0xDE, 0, 1]);
            match short {
                Short::Number(cc) => head[16..20].copy_from_slice(&[cc, number[0], number[1], 0]),
                Short::Level(first) => head[16..20].copy_from_slice(&[first, level, 0, 0]),
                Short::Both(first, cc) => {
                    head[15] = 2;
                    let words = [first, level, cc, number[0], number[1], 0, 0, 0];
                    head[16..].copy_from_slice(&words);
                }
            }
            return Some(short.len());
        }
        let mut encoded = values.encode(record);
        encoded.descriptor.take(out, record, bytes);
        let extensions = self.extensions(out, record, &encoded);
        let (head, rest) = room.split_first_chunk_mut::<FIXED>()?;
        let len = rtp::ext::write_block(extensions.iter().copied(), rest).ok()?;
        let first = 0x80 | u8::from(len > 0) << 4;
        head[..4].copy_from_slice(&fixed(first, second, out.seq));
        head[4..8].copy_from_slice(&out.timestamp.to_be_bytes());
        head[8..12].copy_from_slice(&out.ssrc.to_be_bytes());
        Some(FIXED + len)
    }

    /// Writes the header of a packet of an RTX stream that is nothing but padding, and returns its length. What carried no
    /// media yet has any payload type of RTX.
    pub(super) fn write_padding(
        &self,
        (ssrc, seq, timestamp): (u32, u16, u32),
        media: u8,
        values: Values,
        room: &mut [u8],
    ) -> Option<usize> {
        let any = || self.rtx.first().map(|(_, rtx)| *rtx);
        let payload_type = self.rtx_of(media).or_else(any)?;
        let first = self.short_cc?;
        let number = values.transport_seq.to_be_bytes();
        let head = room.first_chunk_mut::<SHORT>()?;
        head[..4].copy_from_slice(&fixed(0x90, payload_type & 0x7F, seq));
        head[4..8].copy_from_slice(&timestamp.to_be_bytes());
        head[8..12].copy_from_slice(&ssrc.to_be_bytes());
        head[12..16].copy_from_slice(&[0xBE, 0xDE, 0, 1]);
        head[16..20].copy_from_slice(&[first, number[0], number[1], 0]);
        Some(SHORT)
    }

    fn rtx_of(&self, payload_type: u8) -> Option<u8> {
        let mut pairs = self.rtx.iter();
        pairs.find(|(p, _)| *p == payload_type).map(|(_, rtx)| *rtx)
    }

    fn extensions<'a>(
        &self,
        out: &Outgoing,
        record: &Record,
        values: &'a Encoded,
    ) -> SmallVec<[Extension<'a>; 4]> {
        let mut list = SmallVec::new();
        let mut push = |id: Option<u8>, data: &'a [u8]| {
            if let Some(id) = id {
                list.push(Extension { id, data });
            }
        };
        if !out.video {
            if record.audio_level.is_some() {
                push(self.audio_level, &values.byte);
            }
            push(self.audio_cc, &values.transport_seq);
            return list;
        }
        match self.transport_cc {
            Some(_) => push(self.transport_cc, &values.transport_seq),
            None => push(self.abs_send_time, &values.send_time),
        }
        if record.orientation.is_some() {
            push(self.orientation, &values.byte);
        }
        if let Some(data) = values.descriptor.written() {
            push(self.descriptor, data);
        }
        list
    }
}

#[inline]
fn fixed(first: u8, second: u8, seq: u16) -> [u8; 4] {
    let seq = seq.to_be_bytes();
    [first, second, seq[0], seq[1]]
}

/// Values of extensions that are made for each copy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values {
    pub(super) transport_seq: u16,
    /// Microseconds of the shard's clock.
    pub(super) now: u64,
    /// Packets before it go along.
    pub(super) redundant: bool,
}

impl Values {
    fn encode(self, record: &Record) -> Encoded {
        Encoded {
            transport_seq: self.transport_seq.to_be_bytes(),
            send_time: rtp::ext::abs_send_time_from_micros(self.now),
            byte: [record.orientation.or(record.audio_level).unwrap_or(0)],
            descriptor: Descriptor::default(),
        }
    }
}

#[derive(Default)]
struct Encoded {
    transport_seq: [u8; 2],
    send_time: [u8; 3],
    byte: [u8; 1],
    descriptor: Descriptor,
}

/// The AV1 dependency descriptor as one receiver gets it.
struct Descriptor {
    bytes: [u8; 256],
    len: usize,
}

impl Default for Descriptor {
    fn default() -> Self {
        Self {
            bytes: [0; 256],
            len: 0,
        }
    }
}

impl Descriptor {
    fn take(&mut self, out: &Outgoing, record: &Record, bytes: &[u8]) {
        let (at, len) = record.descriptor;
        let (at, len) = (usize::from(at), usize::from(len));
        let data = bytes.get(at..at + len).filter(|d| !d.is_empty());
        if let (Some(data), Codec::Av1(Some(frame))) = (data, &record.codec) {
            let active = (out.active != 0).then_some(out.active);
            let (number, templates) = (out.picture_id, out.templates);
            let room = &mut self.bytes;
            let written = frame.layout.rewrite(data, number, templates, active, room);
            self.len = written.unwrap_or(0);
        }
    }

    fn written(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|d| !d.is_empty())
    }
}

/// Length of an extension block as written (RFC 8285).
fn block_len(extensions: &[Extension<'_>]) -> usize {
    if extensions.is_empty() {
        return 0;
    }
    let two_byte = |e: &Extension<'_>| e.id > ONE_BYTE || e.data.len() > 16 || e.data.is_empty();
    let head = match extensions.iter().any(two_byte) {
        true => 2,
        false => 1,
    };
    let data: usize = extensions.iter().map(|e| e.data.len() + head).sum();
    4 + data.next_multiple_of(4)
}
