//! Writing compound packets into a caller's buffer.

use super::feedback::FirEntry;
use super::report::{BLOCK_LEN, INFO_LEN, ReportBlock, SenderInfo};
use super::wire::{FMT_AFB, FMT_FIR, FMT_NACK, FMT_PLI, REMB_ID, packet_type};
use crate::{Ssrc, WriteError};

/// Appends packets to a compound. Each method writes one whole packet or, on error, nothing.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Starts an empty compound in `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Length of what was written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of room left.
    pub fn room(&self) -> usize {
        self.out.len() - self.len
    }

    /// The compound so far.
    pub fn written(&self) -> &[u8] {
        self.out.get(..self.len).unwrap_or_default()
    }

    /// Reserves a packet with its first word filled in, and returns the part after that word.
    fn packet(
        &mut self,
        count: u8,
        packet_type: u8,
        body_len: usize,
    ) -> Result<&mut [u8], WriteError> {
        let words = u16::try_from(body_len / 4)
            .map_err(|_| WriteError::Unrepresentable("packet length"))?;
        let start = self.len;
        let packet = self
            .out
            .get_mut(start..start + 4 + body_len)
            .ok_or(WriteError::NoRoom)?;
        self.len += 4 + body_len;
        packet[0] = 0x80 | count & 0x1F;
        packet[1] = packet_type;
        packet[2..4].copy_from_slice(&words.to_be_bytes());
        Ok(&mut packet[4..])
    }

    /// A sender report with up to 31 blocks.
    ///
    /// # Errors
    /// [`WriteError`]; too many blocks cannot be represented.
    pub fn sender_report(
        &mut self,
        ssrc: Ssrc,
        info: &SenderInfo,
        blocks: &[ReportBlock],
    ) -> Result<(), WriteError> {
        let count = block_count(blocks)?;
        let body = self.packet(
            count,
            packet_type::SR,
            4 + INFO_LEN + BLOCK_LEN * blocks.len(),
        )?;
        body[..4].copy_from_slice(&ssrc.0.to_be_bytes());
        body[4..12].copy_from_slice(&info.ntp.to_be_bytes());
        body[12..16].copy_from_slice(&info.rtp_timestamp.to_be_bytes());
        body[16..20].copy_from_slice(&info.packet_count.to_be_bytes());
        body[20..24].copy_from_slice(&info.octet_count.to_be_bytes());
        write_blocks(&mut body[24..], blocks);
        Ok(())
    }

    /// A receiver report with up to 31 blocks.
    ///
    /// # Errors
    /// [`WriteError`]; too many blocks cannot be represented.
    pub fn receiver_report(
        &mut self,
        ssrc: Ssrc,
        blocks: &[ReportBlock],
    ) -> Result<(), WriteError> {
        let count = block_count(blocks)?;
        let body = self.packet(count, packet_type::RR, 4 + BLOCK_LEN * blocks.len())?;
        body[..4].copy_from_slice(&ssrc.0.to_be_bytes());
        write_blocks(&mut body[4..], blocks);
        Ok(())
    }

    /// A source description with the canonical name of one source (RFC 3550 §6.5.1).
    ///
    /// # Errors
    /// [`WriteError`]; a name above 255 bytes cannot be represented.
    pub fn sdes_cname(&mut self, ssrc: Ssrc, cname: &str) -> Result<(), WriteError> {
        let len = u8::try_from(cname.len()).map_err(|_| WriteError::Unrepresentable("CNAME"))?;
        // Source, item head, text, at least one null byte, to a multiple of four.
        let body_len = (4 + 2 + cname.len() + 1).next_multiple_of(4);
        let body = self.packet(1, packet_type::SDES, body_len)?;
        body.fill(0);
        body[..4].copy_from_slice(&ssrc.0.to_be_bytes());
        body[4] = 1;
        body[5] = len;
        body[6..6 + cname.len()].copy_from_slice(cname.as_bytes());
        Ok(())
    }

    /// A goodbye of up to 31 sources.
    ///
    /// # Errors
    /// [`WriteError`]; too many sources cannot be represented.
    pub fn bye(&mut self, ssrcs: &[Ssrc]) -> Result<(), WriteError> {
        let count = u8::try_from(ssrcs.len()).ok().filter(|n| *n < 32);
        let body = self.packet(
            count.ok_or(WriteError::Unrepresentable("number of sources"))?,
            packet_type::BYE,
            4 * ssrcs.len(),
        )?;
        write_ssrcs(body, ssrcs);
        Ok(())
    }

    fn feedback(
        &mut self,
        ty: u8,
        fmt: u8,
        sender: Ssrc,
        media: Ssrc,
        len: usize,
    ) -> Result<&mut [u8], WriteError> {
        let body = self.packet(fmt, ty, 8 + len)?;
        body[..4].copy_from_slice(&sender.0.to_be_bytes());
        body[4..8].copy_from_slice(&media.0.to_be_bytes());
        Ok(&mut body[8..])
    }

    /// A NACK for these sequence numbers, which must ascend (on the circle). Writes what fits and returns how many
    /// of them were written; call again with the rest.
    ///
    /// # Errors
    /// [`WriteError::NoRoom`] where not even one fits.
    pub fn nack(&mut self, sender: Ssrc, media: Ssrc, lost: &[u16]) -> Result<usize, WriteError> {
        if lost.is_empty() {
            return Ok(0);
        }
        let room = self.room().saturating_sub(12) / 4;
        if room == 0 {
            return Err(WriteError::NoRoom);
        }
        let (items, covered) = nack_items(lost, room);
        let body = self.feedback(packet_type::RTPFB, FMT_NACK, sender, media, 4 * items)?;
        let mut rest = &lost[..covered];
        for slot in body.chunks_exact_mut(4) {
            let (pid, mask, used) = nack_item(rest);
            slot[..2].copy_from_slice(&pid.to_be_bytes());
            slot[2..].copy_from_slice(&mask.to_be_bytes());
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(covered)
    }

    /// A picture loss indication.
    ///
    /// # Errors
    /// [`WriteError::NoRoom`].
    pub fn pli(&mut self, sender: Ssrc, media: Ssrc) -> Result<(), WriteError> {
        self.feedback(packet_type::PSFB, FMT_PLI, sender, media, 0)
            .map(|_| ())
    }

    /// A full intra request. The media source field is zero (RFC 5104 §4.3.1.2).
    ///
    /// # Errors
    /// [`WriteError::NoRoom`].
    pub fn fir(&mut self, sender: Ssrc, entries: &[FirEntry]) -> Result<(), WriteError> {
        let body = self.feedback(
            packet_type::PSFB,
            FMT_FIR,
            sender,
            Ssrc(0),
            8 * entries.len(),
        )?;
        for (slot, entry) in body.chunks_exact_mut(8).zip(entries) {
            slot.fill(0);
            slot[..4].copy_from_slice(&entry.ssrc.0.to_be_bytes());
            slot[4] = entry.seq;
        }
        Ok(())
    }

    /// A bitrate estimate, rounded down to 18 significant bits.
    ///
    /// # Errors
    /// [`WriteError`]; more than 255 sources cannot be represented.
    pub fn remb(&mut self, sender: Ssrc, bitrate: u64, ssrcs: &[Ssrc]) -> Result<(), WriteError> {
        let count = u8::try_from(ssrcs.len())
            .map_err(|_| WriteError::Unrepresentable("number of sources"))?;
        let body = self.feedback(
            packet_type::PSFB,
            FMT_AFB,
            sender,
            Ssrc(0),
            8 + 4 * ssrcs.len(),
        )?;
        let exponent = (64 - bitrate.leading_zeros()).saturating_sub(18);
        let packed = exponent << 18 | (bitrate >> exponent) as u32;
        body[..4].copy_from_slice(REMB_ID);
        body[4..8].copy_from_slice(&packed.to_be_bytes());
        body[4] = count;
        write_ssrcs(&mut body[8..], ssrcs);
        Ok(())
    }

    /// Hands the rest of the buffer to `write`, which returns how much it used: a multiple of four.
    ///
    /// # Errors
    /// What `write` returns.
    pub fn append_with(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> Result<usize, WriteError>,
    ) -> Result<(), WriteError> {
        let rest = self.out.get_mut(self.len..).unwrap_or_default();
        let max = rest.len();
        self.len += write(rest)?.min(max);
        Ok(())
    }
}

fn block_count(blocks: &[ReportBlock]) -> Result<u8, WriteError> {
    u8::try_from(blocks.len())
        .ok()
        .filter(|n| *n < 32)
        .ok_or(WriteError::Unrepresentable("number of report blocks"))
}

fn write_blocks(body: &mut [u8], blocks: &[ReportBlock]) {
    for (slot, block) in body.as_chunks_mut::<BLOCK_LEN>().0.iter_mut().zip(blocks) {
        block.write(slot);
    }
}

fn write_ssrcs(body: &mut [u8], ssrcs: &[Ssrc]) {
    for (slot, ssrc) in body.chunks_exact_mut(4).zip(ssrcs) {
        slot.copy_from_slice(&ssrc.0.to_be_bytes());
    }
}

/// The next item for the front of `lost`: packet id, mask and how many numbers they cover.
fn nack_item(lost: &[u16]) -> (u16, u16, usize) {
    let Some((&pid, rest)) = lost.split_first() else {
        return (0, 0, 0);
    };
    let mut mask = 0;
    let mut used = 1;
    for seq in rest {
        match seq.wrapping_sub(pid) {
            0 => {}
            d @ 1..=16 => mask |= 1 << (d - 1),
            _ => break,
        }
        used += 1;
    }
    (pid, mask, used)
}

/// How many items up to `room` are needed, and how many numbers they cover.
fn nack_items(lost: &[u16], room: usize) -> (usize, usize) {
    let (mut items, mut covered) = (0, 0);
    while items < room && covered < lost.len() {
        covered += nack_item(&lost[covered..]).2;
        items += 1;
    }
    (items, covered)
}
