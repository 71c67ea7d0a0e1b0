//! Audio of a feed: silence is left out, and redundancy (RFC 2198) is taken apart: what is stored and goes on is one packet
//! for each encoding. Each receiver is made redundancy anew, by what it takes and what its link loses.

use super::loudness::Loudness;
use super::receive::ReceiveStream;
use super::taken::Taken;
use crate::media::context::Context;
use crate::media::negotiated::PayloadCodec;
use crate::media::offsets::Offsets;
use crate::media::packet::{Arrival, Arrived, Incoming, PacketId, Published, Record};
use crate::media::stats::DropReason;
use rtp::ext::AudioLevel;
use rtp::red::Block;
use rtp::{RtpHeader, RtpView};
use smallvec::SmallVec;

/// Level of silence, -dBov (RFC 6464).
const SILENCE: u8 = 127;
/// Silent packets that pass before the rest of the silence is dropped.
const SILENCE_PASSED: u8 = 4;
/// Blocks of a packet that are looked at: what lies further back comes too late to be heard.
const MAX_BLOCKS: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Audio {
    stream: ReceiveStream,
    /// Closes the gaps that dropped silence leaves.
    offsets: Option<Offsets>,
    /// Silent packets passed in a row.
    silent: u8,
    loudness: Loudness,
    /// The newest packets that went on: published number, and timestamp.
    recent: [Option<Published>; MAX_BLOCKS],
}

/// One encoding: where its packet's place is, and what else is said of it.
struct Voiced<'a> {
    seq: u64,
    record: Record,
    bytes: &'a [u8],
}

impl Audio {
    pub(super) fn new(ssrc: u32) -> Self {
        Self {
            stream: ReceiveStream::new(ssrc, 48_000, false),
            offsets: None,
            silent: 0,
            loudness: Loudness::default(),
            recent: [None; MAX_BLOCKS],
        }
    }

    pub(super) fn stream(&self) -> &ReceiveStream {
        &self.stream
    }

    pub(super) fn stream_mut(&mut self) -> &mut ReceiveStream {
        &mut self.stream
    }

    /// How loud it is now.
    pub(super) fn loudness(&self, now: u64) -> u32 {
        self.loudness.get(now)
    }

    /// Whether it is silence that is not forwarded.
    pub(super) fn is_silent(&self) -> bool {
        self.silent >= SILENCE_PASSED
    }

    /// Takes a packet and stores it. `muted`: it is received, and goes no further.
    pub(super) fn take(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &Incoming,
        packet: &[u8],
        muted: bool,
    ) -> Result<Taken, DropReason> {
        let header = incoming.record.header;
        let seq = self.stream.receive(
            cx.us,
            header.sequence_number,
            header.timestamp,
            packet.len(),
            false,
        )?;
        let mut record = incoming.record;
        let mut missed = SmallVec::new();
        if incoming.codec == PayloadCodec::Red {
            let payload = RtpView::new(packet, header);
            let blocks = blocks(payload.payload())?;
            record.header = primary(&header, &blocks).ok_or(DropReason::BadPayload)?;
            if !muted && !self.is_silent() {
                missed = self.missed(seq, &record, &blocks);
            }
        }
        // What the packets before it need is decided before its own number is.
        let mut restored = SmallVec::new();
        for voiced in missed {
            restored.extend(self.pass(cx, incoming, &voiced).ok());
        }
        cx.stats.audio_restored += restored.len() as u64;
        self.admit(seq, incoming.level, muted)?;
        self.loudness.heard(cx.us, loudness_of(incoming.level));
        let voiced = Voiced {
            seq,
            record,
            bytes: packet,
        };
        Ok(Taken {
            restored,
            ..Taken::one(self.pass(cx, incoming, &voiced)?)
        })
    }

    /// What of the redundancy of a packet had not come.
    fn missed<'a>(
        &mut self,
        seq: u64,
        record: &Record,
        blocks: &[Block<'a>],
    ) -> SmallVec<[Voiced<'a>; 2]> {
        let mut missed = SmallVec::new();
        let count = blocks.len();
        let redundant = blocks.iter().enumerate().take(count.saturating_sub(1));
        for (at, block) in redundant {
            // Each is of the packet before the next one: senders put in what they sent.
            let number = seq - (count - 1 - at) as u64;
            let timestamp = record
                .header
                .timestamp
                .wrapping_sub(block.timestamp_offset.into());
            let known = self
                .recent
                .iter()
                .flatten()
                .any(|p| p.timestamp == timestamp);
            let usable = block.payload_type == record.header.payload_type && !block.data.is_empty();
            if known || !usable || !self.stream.restore(number) {
                continue;
            }
            let header = RtpHeader {
                sequence_number: number as u16,
                timestamp,
                marker: false,
                header_len: 0,
                payload_len: block.data.len() as u16,
                ..record.header
            };
            missed.push(Voiced {
                seq: number,
                record: Record { header, ..*record },
                bytes: block.data,
            });
        }
        missed
    }

    /// Decides whether a packet goes on.
    fn admit(
        &mut self,
        seq: u64,
        level: Option<AudioLevel>,
        muted: bool,
    ) -> Result<(), DropReason> {
        let offsets = self
            .offsets
            .get_or_insert_with(|| Offsets::starting(seq, seq));
        let silent = level.is_some_and(|l| l.level >= SILENCE);
        self.silent = if silent {
            self.silent.saturating_add(1)
        } else {
            0
        };
        if !muted && self.silent <= SILENCE_PASSED {
            return Ok(());
        }
        offsets.leave_out(seq);
        Err(if muted {
            DropReason::ForceMuted
        } else {
            DropReason::Silence
        })
    }

    /// A packet goes on, under its number without the gaps of dropped ones.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &Incoming,
        voiced: &Voiced<'_>,
    ) -> Result<Arrived, DropReason> {
        let seq = voiced.seq;
        let offsets = self
            .offsets
            .get_or_insert_with(|| Offsets::starting(seq, seq));
        let published = offsets.accept(seq).ok_or(DropReason::TooOld)?;
        let mut record = voiced.record;
        record.header.sequence_number = published as u16;
        record.before = self.find(published - 1);
        let id = cx
            .store
            .insert(voiced.bytes, record)
            .ok_or(DropReason::Oversized)?;
        let packet = Published {
            seq: published,
            timestamp: record.header.timestamp,
            id,
        };
        self.remember(packet);
        Ok(Arrived {
            feed: incoming.feed,
            encoding: 0,
            what: Arrival::Audio,
            packet,
            marker: true,
            nth: 0,
        })
    }

    fn find(&self, published: u64) -> Option<PacketId> {
        let mut recent = self.recent.iter().flatten();
        recent.find(|p| p.seq == published).map(|p| p.id)
    }

    fn remember(&mut self, packet: Published) {
        let at = packet.seq as usize % MAX_BLOCKS;
        if let Some(place) = self.recent.get_mut(at)
            && place.is_none_or(|old| old.seq < packet.seq)
        {
            *place = Some(packet);
        }
    }
}

/// The blocks of a redundant payload, the primary last; of many the newest.
fn blocks(payload: &[u8]) -> Result<SmallVec<[Block<'_>; MAX_BLOCKS]>, DropReason> {
    let all = || rtp::red::blocks(payload).map_err(|_| DropReason::BadPayload);
    let skipped = all()?.count().saturating_sub(MAX_BLOCKS);
    Ok(all()?.skip(skipped).collect())
}

/// The header of a packet of which only the primary block is the payload.
fn primary(header: &RtpHeader, blocks: &[Block<'_>]) -> Option<RtpHeader> {
    let block = blocks.last()?;
    let len = u16::try_from(block.data.len()).ok()?;
    Some(RtpHeader {
        payload_type: block.payload_type,
        header_len: header.header_len + header.payload_len.checked_sub(len)?,
        payload_len: len,
        ..*header
    })
}

/// A level as speech detection takes it: 0 (silent) to 127 (loud).
pub(super) fn loudness_of(level: Option<AudioLevel>) -> Option<u8> {
    level.map(|l| SILENCE - l.level.min(SILENCE))
}
