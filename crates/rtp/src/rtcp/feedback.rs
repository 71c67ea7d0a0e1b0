//! Feedback messages: NACK, FIR, REMB.

use super::wire::split_ssrc;
use crate::{ParseError, Ssrc};

/// A generic negative acknowledgement.
#[derive(Clone, Copy, Debug)]
pub struct Nack<'a> {
    /// Who asks.
    pub sender: Ssrc,
    /// The stream with the missing packets.
    pub media: Ssrc,
    items: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let (sender, rest) = split_ssrc(body)?;
        let (media, items) = split_ssrc(rest)?;
        Ok(Self {
            sender,
            media,
            items,
        })
    }

    /// The sequence numbers asked for, in the order of the message. A message of 1,500 bytes can name 6,300.
    pub fn sequence_numbers(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.items.as_chunks::<4>().0.iter().flat_map(|item| {
            let pid = u16::from_be_bytes([item[0], item[1]]);
            let mask = u16::from_be_bytes([item[2], item[3]]);
            let rest = (0..16)
                .filter(move |bit| mask >> bit & 1 != 0)
                .map(move |bit| pid.wrapping_add(bit + 1));
            std::iter::once(pid).chain(rest)
        })
    }
}

/// A full intra request.
#[derive(Clone, Copy, Debug)]
pub struct Fir<'a> {
    /// Who asks.
    pub sender: Ssrc,
    entries: &'a [u8],
}

/// One stream of a full intra request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirEntry {
    /// The stream that shall send a key frame.
    pub ssrc: Ssrc,
    /// Command sequence number: a repetition has the same.
    pub seq: u8,
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let (sender, rest) = split_ssrc(body)?;
        let (_, entries) = split_ssrc(rest)?;
        Ok(Self { sender, entries })
    }

    /// The streams asked for.
    pub fn entries(&self) -> impl Iterator<Item = FirEntry> + use<'a> {
        self.entries.as_chunks::<8>().0.iter().map(|e| FirEntry {
            ssrc: Ssrc(u32::from_be_bytes([e[0], e[1], e[2], e[3]])),
            seq: e[4],
        })
    }
}

/// A receiver's estimate of the available bitrate.
#[derive(Clone, Copy, Debug)]
pub struct Remb<'a> {
    /// Who estimates.
    pub sender: Ssrc,
    /// Bits per second.
    pub bitrate: u64,
    ssrcs: &'a [u8],
}

impl<'a> Remb<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let (sender, _) = split_ssrc(body)?;
        let head: &[u8; 4] = body
            .get(12..)
            .and_then(|b| b.first_chunk())
            .ok_or(ParseError::Truncated)?;
        let exponent = u32::from(head[1] >> 2);
        let mantissa = u64::from(u32::from_be_bytes([0, head[1] & 0x03, head[2], head[3]]));
        let ssrcs = body
            .get(16..16 + 4 * usize::from(head[0]))
            .ok_or(ParseError::Truncated)?;
        // Beyond 64 bits it means "no limit".
        let bitrate = if mantissa.leading_zeros() < exponent {
            u64::MAX
        } else {
            mantissa << exponent
        };
        Ok(Self {
            sender,
            bitrate,
            ssrcs,
        })
    }

    /// The streams that the estimate is for.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        self.ssrcs
            .as_chunks()
            .0
            .iter()
            .map(|b| Ssrc(u32::from_be_bytes(*b)))
    }
}
