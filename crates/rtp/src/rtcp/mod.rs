//! RTCP: compound packets, their parts, and a writer (RFC 3550 §6, RFC 4585, RFC 5104, transport-wide feedback, REMB).

mod feedback;
mod report;
#[cfg(test)]
mod tests;
pub mod twcc;
mod wire;
mod write;

pub use feedback::{Fir, FirEntry, Nack, Remb};
pub use report::{
    Blocks, ReportBlock, SenderInfo, SenderReport, compact_ntp, ntp_from_unix_micros,
};
pub use twcc::Twcc;
pub use wire::packet_type;
pub use write::Writer;

use crate::{ParseError, Ssrc};
use wire::{FMT_AFB, FMT_FIR, FMT_NACK, FMT_PLI, FMT_TWCC, REMB_ID, split_ssrc};

/// One packet of a compound.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Rtcp<'a> {
    /// Sender report.
    SenderReport(SenderReport<'a>),
    /// Receiver report.
    ReceiverReport {
        /// Who reports.
        ssrc: Ssrc,
        /// Its report blocks.
        blocks: Blocks<'a>,
    },
    /// Source description; the whole packet, whose items are not looked at.
    Sdes(&'a [u8]),
    /// Goodbye of these sources.
    Bye(Ssrcs<'a>),
    /// Generic negative acknowledgement (RFC 4585 §6.2.1).
    Nack(Nack<'a>),
    /// Transport-wide congestion control feedback.
    Twcc(Twcc<'a>),
    /// Picture loss indication (RFC 4585 §6.3.1).
    Pli {
        /// Who asks.
        sender: Ssrc,
        /// The stream whose picture is lost.
        media: Ssrc,
    },
    /// Full intra request (RFC 5104 §4.3.1).
    Fir(Fir<'a>),
    /// Receiver estimated maximum bitrate (`draft-alvestrand-rmcat-remb-03`).
    Remb(Remb<'a>),
    /// Anything else, whole.
    Other {
        /// Packet type.
        packet_type: u8,
        /// Count or format field.
        count: u8,
        /// The whole packet.
        packet: &'a [u8],
    },
}

/// A list of sources in a packet.
#[derive(Clone, Copy, Debug)]
pub struct Ssrcs<'a>(&'a [u8]);

impl<'a> Ssrcs<'a> {
    /// Iterates over the sources.
    pub fn iter(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        self.0
            .as_chunks()
            .0
            .iter()
            .map(|b| Ssrc(u32::from_be_bytes(*b)))
    }
}

/// Iterates over the packets of a compound (plaintext, without SRTCP trailer). After an error nothing more comes.
pub fn packets(compound: &[u8]) -> Packets<'_> {
    Packets { rest: compound }
}

/// See [`packets`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Rtcp<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            self.rest = &[];
        }
        Some(taken.and_then(|one| parse_one(&one)))
    }
}

impl<'a> Packets<'a> {
    /// Splits off one packet.
    fn take(&mut self) -> Result<One<'a>, ParseError> {
        let head: [u8; 4] = *self.rest.first_chunk().ok_or(ParseError::Truncated)?;
        if head[0] >> 6 != 2 {
            return Err(ParseError::Version);
        }
        let len = 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (packet, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(ParseError::Truncated)?;
        self.rest = rest;
        let mut body = &packet[4..];
        if head[0] & 0x20 != 0 {
            let count = usize::from(packet.last().copied().unwrap_or(0));
            // RFC 3550 §6.4.1: padding counts itself and is a multiple of four.
            let kept = body
                .len()
                .checked_sub(count)
                .filter(|_| count > 0)
                .ok_or(ParseError::Padding)?;
            body = &body[..kept];
        }
        Ok(One { head, packet, body })
    }
}

/// One packet of a compound: first word, all of it, and the part after the first word without padding.
struct One<'a> {
    head: [u8; 4],
    packet: &'a [u8],
    body: &'a [u8],
}

fn parse_one<'a>(one: &One<'a>) -> Result<Rtcp<'a>, ParseError> {
    let One { head, packet, body } = *one;
    let (count, packet_type) = (head[0] & 0x1F, head[1]);
    match packet_type {
        packet_type::SR => SenderReport::parse(count, body).map(Rtcp::SenderReport),
        packet_type::RR => {
            let (ssrc, rest) = split_ssrc(body)?;
            Ok(Rtcp::ReceiverReport {
                ssrc,
                blocks: report::blocks(count, rest)?,
            })
        }
        packet_type::SDES => Ok(Rtcp::Sdes(packet)),
        packet_type::BYE => {
            let list = body
                .get(..4 * usize::from(count))
                .ok_or(ParseError::Truncated)?;
            Ok(Rtcp::Bye(Ssrcs(list)))
        }
        packet_type::RTPFB if count == FMT_NACK => Nack::parse(body).map(Rtcp::Nack),
        packet_type::RTPFB if count == FMT_TWCC => Twcc::parse(body).map(Rtcp::Twcc),
        packet_type::PSFB if count == FMT_PLI => {
            let (sender, rest) = split_ssrc(body)?;
            let (media, _) = split_ssrc(rest)?;
            Ok(Rtcp::Pli { sender, media })
        }
        packet_type::PSFB if count == FMT_FIR => Fir::parse(body).map(Rtcp::Fir),
        packet_type::PSFB if count == FMT_AFB && body.get(8..12) == Some(REMB_ID) => {
            Remb::parse(body).map(Rtcp::Remb)
        }
        _ => Ok(Rtcp::Other {
            packet_type,
            count,
            packet,
        }),
    }
}
