//! Sender and receiver reports (RFC 3550 §6.4) and the NTP times in them.

use super::wire::split_ssrc;
use crate::{ParseError, Ssrc};

/// Length of one report block.
pub(super) const BLOCK_LEN: usize = 24;
/// Length of the sender information.
pub(super) const INFO_LEN: usize = 20;

/// What a sender says about its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// Wall clock in NTP format: seconds since 1900 in 32.32 fixed point.
    pub ntp: u64,
    /// The same moment in RTP timestamp units.
    pub rtp_timestamp: u32,
    /// Packets sent since the start.
    pub packet_count: u32,
    /// Payload bytes sent since the start.
    pub octet_count: u32,
}

/// Report blocks of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a>(&'a [u8]);

impl<'a> Blocks<'a> {
    /// Iterates over the blocks.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        self.0.as_chunks().0.iter().map(ReportBlock::read)
    }
}

/// What a receiver says about one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: Ssrc,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start, 24 bits signed.
    pub cumulative_lost: i32,
    /// Extended highest sequence number received.
    pub highest_seq: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 if none.
    pub last_sr: u32,
    /// Delay since that report, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// A sender report.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport<'a> {
    /// The sender's stream.
    pub ssrc: Ssrc,
    /// About the stream.
    pub info: SenderInfo,
    /// Report blocks about other streams.
    pub blocks: Blocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, ParseError> {
        let (ssrc, rest) = split_ssrc(body)?;
        let (info, rest) = rest
            .split_first_chunk::<INFO_LEN>()
            .ok_or(ParseError::Truncated)?;
        let word =
            |at: usize| u32::from_be_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        let info = SenderInfo {
            ntp: u64::from(word(0)) << 32 | u64::from(word(4)),
            rtp_timestamp: word(8),
            packet_count: word(12),
            octet_count: word(16),
        };
        Ok(Self {
            ssrc,
            info,
            blocks: blocks(count, rest)?,
        })
    }
}

pub(super) fn blocks(count: u8, rest: &[u8]) -> Result<Blocks<'_>, ParseError> {
    rest.get(..BLOCK_LEN * usize::from(count))
        .map(Blocks)
        .ok_or(ParseError::Truncated)
}

impl ReportBlock {
    pub(super) fn read(b: &[u8; BLOCK_LEN]) -> Self {
        let word = |at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        Self {
            ssrc: Ssrc(word(0)),
            fraction_lost: b[4],
            // Sign extension of 24 bits.
            cumulative_lost: (word(4) << 8) as i32 >> 8,
            highest_seq: word(8),
            jitter: word(12),
            last_sr: word(16),
            delay_since_last_sr: word(20),
        }
    }

    pub(super) fn write(&self, out: &mut [u8; BLOCK_LEN]) {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF;
        let words = [
            self.ssrc.0,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_seq,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ];
        for (slot, word) in out.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_be_bytes());
        }
    }
}

/// The middle 32 bits of an NTP time, as `last_sr` has them: 16.16 fixed point seconds.
pub fn compact_ntp(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// NTP time of a moment in microseconds since 1970.
pub fn ntp_from_unix_micros(micros: u64) -> u64 {
    const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
    let seconds = (micros / 1_000_000).wrapping_add(SECONDS_1900_TO_1970);
    let fraction = ((micros % 1_000_000) << 32) / 1_000_000;
    seconds << 32 | fraction
}
