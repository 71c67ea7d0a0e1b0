//! Transport-wide congestion control feedback (`draft-holmer-rmcat-transport-wide-cc-extensions-01` §3.1): parsing, and
//! recording arrivals to write it.

use super::wire::{FMT_TWCC, packet_type, split_ssrc};
use crate::seq::Unwrapper;
use crate::{ParseError, Ssrc, WriteError};

/// Unit of receive deltas, microseconds.
const DELTA_UNIT: i64 = 250;
/// Unit of the reference time, microseconds.
const REFERENCE_UNIT: i64 = 64_000;
/// Most packets one feedback message describes here.
const MAX_STATUSES: usize = 1 << 12;

/// A parsed feedback message.
#[derive(Clone, Copy, Debug)]
pub struct Twcc<'a> {
    /// Who received.
    pub sender: Ssrc,
    /// A media source of the sender of the packets.
    pub media: Ssrc,
    /// Sequence number of the first packet described.
    pub base_seq: u16,
    /// How many packets are described.
    pub count: u16,
    /// Reference time in units of 64 ms, 24 bits signed.
    pub reference_time: i32,
    /// Counts feedback messages, wrapping.
    pub feedback_count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> Twcc<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let (sender, rest) = split_ssrc(body)?;
        let (media, rest) = split_ssrc(rest)?;
        let (head, rest) = rest.split_first_chunk::<8>().ok_or(ParseError::Truncated)?;
        let mut twcc = Self {
            sender,
            media,
            base_seq: u16::from_be_bytes([head[0], head[1]]),
            count: u16::from_be_bytes([head[2], head[3]]),
            reference_time: (u32::from_be_bytes([head[4], head[5], head[6], 0]) as i32) >> 8,
            feedback_count: head[7],
            chunks: rest,
            deltas: &[],
        };
        let (mut left, mut chunks_len, mut deltas_len) = (usize::from(twcc.count), 0, 0);
        while left > 0 {
            let chunk = rest
                .get(chunks_len..)
                .and_then(|b| b.first_chunk())
                .ok_or(ParseError::Truncated)?;
            let chunk = Chunk::read(u16::from_be_bytes(*chunk));
            chunks_len += 2;
            let take = chunk.len().min(left);
            for symbol in chunk.symbols().take(take) {
                deltas_len += delta_len(symbol)?;
            }
            left -= take;
        }
        twcc.chunks = rest.get(..chunks_len).ok_or(ParseError::Truncated)?;
        twcc.deltas = rest
            .get(chunks_len..chunks_len + deltas_len)
            .ok_or(ParseError::Truncated)?;
        Ok(twcc)
    }

    /// Each packet described, in order: its sequence number and, if it arrived, when, in microseconds of the
    /// receiver's clock (whose reference time wraps every 12.4 days).
    pub fn arrivals(&self) -> impl Iterator<Item = (u16, Option<i64>)> + use<'a> {
        let mut time = i64::from(self.reference_time) * REFERENCE_UNIT;
        let mut deltas = self.deltas;
        let base = self.base_seq;
        let chunks = self.chunks.as_chunks::<2>().0.iter();
        let symbols = chunks.flat_map(|c| Chunk::read(u16::from_be_bytes(*c)).symbols());
        symbols
            .take(usize::from(self.count))
            .enumerate()
            .map(move |(i, symbol)| {
                let delta = match symbol {
                    1 => deltas.split_first().map(|(b, rest)| (i64::from(*b), rest)),
                    2 => deltas
                        .split_first_chunk()
                        .map(|(b, rest)| (i64::from(i16::from_be_bytes(*b)), rest)),
                    _ => None,
                };
                let arrival = delta.map(|(units, rest)| {
                    deltas = rest;
                    time += units * DELTA_UNIT;
                    time
                });
                (base.wrapping_add(i as u16), arrival)
            })
    }
}

fn delta_len(symbol: u8) -> Result<usize, ParseError> {
    match symbol {
        0 => Ok(0),
        1 => Ok(1),
        2 => Ok(2),
        _ => Err(ParseError::Invalid("packet status")),
    }
}

/// A packet status chunk.
#[derive(Clone, Copy)]
enum Chunk {
    Run { symbol: u8, len: u16 },
    OneBit(u16),
    TwoBit(u16),
}

impl Chunk {
    fn read(bits: u16) -> Self {
        match bits >> 14 {
            0b10 => Self::OneBit(bits),
            0b11 => Self::TwoBit(bits),
            _ => Self::Run {
                symbol: (bits >> 13 & 3) as u8,
                len: bits & 0x1FFF,
            },
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Run { len, .. } => usize::from(len),
            Self::OneBit(_) => 14,
            Self::TwoBit(_) => 7,
        }
    }

    fn symbols(self) -> impl Iterator<Item = u8> {
        (0..self.len()).map(move |i| match self {
            Self::Run { symbol, .. } => symbol,
            Self::OneBit(bits) => (bits >> (13 - i) & 1) as u8,
            Self::TwoBit(bits) => (bits >> (12 - 2 * i) & 3) as u8,
        })
    }
}

/// Records when packets arrived and writes feedback about them.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    unwrapper: Unwrapper,
    /// Sequence number of the first arrival kept.
    start: u64,
    /// Arrivals in units of 250 µs plus one; 0 is "not received". The last one did arrive.
    arrivals: Vec<u64>,
    /// How many of them are history: reported already, and kept for packets that come late.
    reported: usize,
    feedback_count: u8,
}

impl Recorder {
    /// An empty recorder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes the arrival of a packet at a time in microseconds of any epoch. One that comes after its place was
    /// reported as a loss, but at most 500 numbers late, makes the next feedback begin there, so that reordering is
    /// not taken for loss.
    pub fn record(&mut self, seq: u16, micros: u64) {
        let seq = self.unwrapper.unwrap(seq);
        if self.arrivals.is_empty() {
            self.start = seq;
        }
        let Some(at) = seq
            .checked_sub(self.start)
            .and_then(|d| usize::try_from(d).ok())
        else {
            return; // too late
        };
        if at >= self.reported + MAX_STATUSES {
            // A jump: what was recorded before it is given up.
            self.arrivals.clear();
            (self.start, self.reported) = (seq, 0);
            return self.arrivals.push(to_units(micros));
        }
        if at >= self.arrivals.len() {
            self.arrivals.resize(at + 1, 0);
        }
        if self.arrivals[at] == 0 {
            self.arrivals[at] = to_units(micros);
            self.reported = self.reported.min(at);
        }
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.reported >= self.arrivals.len()
    }

    /// Writes a feedback message about the first packets not reported yet, as many as fit `out`. Returns its length,
    /// 0 when there is nothing; call until then.
    ///
    /// # Errors
    /// [`WriteError::NoRoom`] where not even one packet fits (28 bytes always suffice).
    pub fn write(
        &mut self,
        sender: Ssrc,
        media: Ssrc,
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let fresh = self.arrivals.get(self.reported..).unwrap_or_default();
        let Some(first) = fresh.iter().copied().find(|a| *a != 0) else {
            return Ok(0);
        };
        let units_per_reference = (REFERENCE_UNIT / DELTA_UNIT) as u64;
        let reference = (first - 1) / units_per_reference;
        let mut encoder = Encoder::new(out, reference * units_per_reference)?;
        let count = fresh
            .iter()
            .take_while(|arrival| encoder.push(**arrival))
            .count();
        if count == 0 {
            return Err(WriteError::NoRoom);
        }
        let len = encoder.finish(&Head {
            sender,
            media,
            base: (self.start + self.reported as u64) as u16,
            count: count as u16,
            reference: reference as u32,
            feedback_count: self.feedback_count,
        });
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.reported += count;
        self.trim();
        Ok(len)
    }

    /// Forgets old history, now and then.
    fn trim(&mut self) {
        const HISTORY: usize = 500;
        if self.reported > 2 * HISTORY {
            let excess = self.reported - HISTORY;
            self.arrivals.drain(..excess);
            self.start += excess as u64;
            self.reported = HISTORY;
        }
    }
}

fn to_units(micros: u64) -> u64 {
    micros / DELTA_UNIT as u64 + 1
}

struct Head {
    sender: Ssrc,
    media: Ssrc,
    base: u16,
    count: u16,
    reference: u32,
    feedback_count: u8,
}

/// Bytes before the first chunk: RTCP head, two sources, base, count, reference time, feedback count.
const HEAD_LEN: usize = 20;

/// Lays out chunks from the front and deltas from the back of the buffer, then joins them.
struct Encoder<'a> {
    out: &'a mut [u8],
    chunks_end: usize,
    /// Deltas are kept reversed at the end of the buffer.
    deltas_start: usize,
    time: u64,
    pending: [u8; 14],
    pending_len: usize,
    /// All pending symbols are equal: it can become a run.
    run: u16,
}

impl<'a> Encoder<'a> {
    fn new(out: &'a mut [u8], time: u64) -> Result<Self, WriteError> {
        let end = out.len().min(4 * usize::from(u16::MAX)) / 4 * 4;
        let out = out.get_mut(..end).ok_or(WriteError::NoRoom)?;
        if out.len() < HEAD_LEN + 4 {
            return Err(WriteError::NoRoom);
        }
        Ok(Self {
            chunks_end: HEAD_LEN,
            deltas_start: out.len(),
            out,
            time,
            pending: [0; 14],
            pending_len: 0,
            run: 0,
        })
    }

    /// Adds a packet; `false` where it does not fit (room or range of the delta).
    fn push(&mut self, arrival: u64) -> bool {
        let mut symbol = 0u8;
        let mut delta = 0i64;
        if arrival != 0 {
            delta = (arrival - 1) as i64 - self.time as i64;
            symbol = match delta {
                0..=0xFF => 1,
                -0x8000..=0x7FFF => 2,
                _ => return false,
            };
        }
        // Worst case after this packet: pending symbols as two-bit chunks, and alignment.
        let worst_chunks = 2 * ((self.pending_len + 1).div_ceil(7) + 1);
        if self.chunks_end + worst_chunks + usize::from(symbol) + 3 > self.deltas_start {
            return false;
        }
        self.push_symbol(symbol);
        if symbol != 0 {
            let bytes = (delta as i16).to_be_bytes();
            self.deltas_start -= usize::from(symbol);
            let at = self.deltas_start;
            if symbol == 1 {
                self.out[at] = bytes[1];
            } else {
                self.out[at] = bytes[1];
                self.out[at + 1] = bytes[0];
            }
            self.time = arrival - 1;
        }
        true
    }

    fn push_symbol(&mut self, symbol: u8) {
        // A run goes on beyond what the vectors can hold.
        if self.run > 0 {
            if symbol == self.pending[0] && self.run < 0x1FFF {
                self.run += 1;
                return;
            }
            self.flush_run();
        }
        if self.pending_len == 14 {
            self.flush_vector();
        }
        self.pending[self.pending_len] = symbol;
        self.pending_len += 1;
        let two_bit = self.pending[..self.pending_len].contains(&2);
        let all_equal = self.pending[..self.pending_len]
            .iter()
            .all(|s| *s == self.pending[0]);
        if all_equal && self.pending_len == if two_bit { 7 } else { 14 } {
            self.run = self.pending_len as u16;
        } else if two_bit && self.pending_len >= 7 {
            self.flush_vector();
        }
    }

    fn emit(&mut self, chunk: u16) {
        if let Some(slot) = self.out.get_mut(self.chunks_end..self.chunks_end + 2) {
            slot.copy_from_slice(&chunk.to_be_bytes());
            self.chunks_end += 2;
        }
    }

    fn flush_run(&mut self) {
        self.emit(u16::from(self.pending[0]) << 13 | self.run);
        self.run = 0;
        self.pending_len = 0;
    }

    /// Writes one vector chunk of the front of the pending symbols.
    fn flush_vector(&mut self) {
        let two_bit = self.pending[..self.pending_len].contains(&2);
        let take = self.pending_len.min(if two_bit { 7 } else { 14 });
        let mut chunk = if two_bit { 0xC000 } else { 0x8000 };
        for (i, symbol) in self.pending[..take].iter().enumerate() {
            chunk |= u16::from(*symbol) << if two_bit { 12 - 2 * i } else { 13 - i };
        }
        self.emit(chunk);
        self.pending.copy_within(take..self.pending_len, 0);
        self.pending_len -= take;
    }

    fn finish(mut self, head: &Head) -> usize {
        if self.run > 0 {
            self.flush_run();
        }
        while self.pending_len > 0 {
            self.flush_vector();
        }
        let deltas_len = self.out.len() - self.deltas_start;
        self.out[self.deltas_start..].reverse();
        self.out.copy_within(self.deltas_start.., self.chunks_end);
        let end = self.chunks_end + deltas_len;
        let padded = end.next_multiple_of(4);
        let padding = padded - end;
        self.out[end..padded].fill(0);
        let out = &mut self.out[..padded];
        if let (true, Some(last)) = (padding > 0, out.last_mut()) {
            *last = padding as u8;
        }
        out[0] = 0x80 | u8::from(padding > 0) << 5 | FMT_TWCC;
        out[1] = packet_type::RTPFB;
        out[2..4].copy_from_slice(&((padded / 4 - 1) as u16).to_be_bytes());
        out[4..8].copy_from_slice(&head.sender.0.to_be_bytes());
        out[8..12].copy_from_slice(&head.media.0.to_be_bytes());
        out[12..14].copy_from_slice(&head.base.to_be_bytes());
        out[14..16].copy_from_slice(&head.count.to_be_bytes());
        let packed = (head.reference << 8) | u32::from(head.feedback_count);
        out[16..20].copy_from_slice(&packed.to_be_bytes());
        padded
    }
}
