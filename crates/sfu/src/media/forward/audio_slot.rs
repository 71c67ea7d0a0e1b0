//! An audio slot: one outgoing audio stream of one receiver, whatever feed it carries.

use super::numbers::{Numbers, Standing};
use crate::media::ingest::ClockPoint;
use crate::media::packet::{Outgoing, PacketId, Record};
use crate::media::table::FeedId;
use rtp::rtcp::SenderInfo;

/// One outgoing audio stream of a receiver.
#[derive(Debug)]
pub(crate) struct AudioSlot {
    pub(super) ssrc: u32,
    /// What it carries.
    pub(super) feed: Option<FeedId>,
    /// Subtracted from the source's numbers and timestamps; `None` until the first packet.
    offsets: Option<(u16, u32)>,
    /// When it was given to its source.
    pub(super) bound_at: u64,
    /// Newest number and timestamp sent.
    last: Option<(u16, u32)>,
    pub(super) used_at: u64,
    pub(super) next_report: u64,
    packets: u32,
    octets: u32,
}

impl AudioSlot {
    /// A slot for an SSRC; where the receiver was sent it before, its numbers go on.
    pub(super) fn resume(ssrc: u32, numbers: &Numbers) -> Self {
        let standing = numbers.get(ssrc);
        Self {
            ssrc,
            feed: None,
            offsets: None,
            bound_at: 0,
            last: standing.map(|s| (s.seq, s.timestamp)),
            used_at: 0,
            next_report: 0,
            packets: standing.map_or(0, |s| s.packets),
            octets: standing.map_or(0, |s| s.octets),
        }
    }

    /// Notes where the numbers stand, before the slot is given up.
    pub(super) fn retire(&self, numbers: &mut Numbers) {
        if let Some((seq, timestamp)) = self.last {
            let standing = Standing {
                seq,
                timestamp,
                sent_at: self.used_at,
                packets: self.packets,
                octets: self.octets,
                ..Standing::default()
            };
            numbers.remember(self.ssrc, standing);
        }
    }

    pub(super) fn bind(&mut self, feed: FeedId, now: u64) {
        self.feed = Some(feed);
        self.offsets = None;
        self.bound_at = now;
    }

    /// It carries nothing any more.
    pub(super) fn release(&mut self) {
        self.feed = None;
        self.offsets = None;
    }

    /// How a packet of its source leaves. `redundancy`: how many of those before it go along.
    #[inline]
    pub(super) fn forward(
        &mut self,
        now: u64,
        (rewriting, redundancy): (bool, u8),
        id: PacketId,
        record: &Record,
    ) -> Outgoing {
        let (seq_in, ts_in) = (record.header.sequence_number, record.header.timestamp);
        let last = self.last;
        let (seq_offset, ts_offset) = *self.offsets.get_or_insert_with(|| match last {
            // The slot goes on where its former source ended.
            Some((seq, ts)) => (
                seq_in.wrapping_sub(seq.wrapping_add(1)),
                ts_in.wrapping_sub(ts.wrapping_add(960)),
            ),
            None if rewriting => (seq_in.wrapping_sub(seq_in & 0x3FFF), 0),
            None => (0, 0),
        });
        let seq = seq_in.wrapping_sub(seq_offset);
        let timestamp = ts_in.wrapping_sub(ts_offset);
        if last.is_none_or(|(last, _)| rtp::seq::newer(seq, last)) {
            self.last = Some((seq, timestamp));
        }
        self.used_at = now;
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::from(record.header.payload_len);
        self.octets = self.octets.wrapping_add(octets);
        Outgoing {
            id,
            ssrc: self.ssrc,
            seq,
            timestamp,
            picture_id: 0,
            tl0: 0,
            video: false,
            osn: None,
            redundancy,
            ends: false,
            templates: 0,
            active: 0,
        }
    }

    /// Sender information for a report at `now`, from what the source's sender last said.
    pub(super) fn sender_info(&self, now: u64, clock: &ClockPoint) -> Option<SenderInfo> {
        let (_, offset) = self.offsets?;
        let elapsed = now.saturating_sub(clock.arrival);
        let ntp = (u128::from(elapsed) * (1 << 32) / 1_000_000) as u64;
        let rtp = (elapsed * 48 / 1000) as u32;
        Some(SenderInfo {
            ntp: clock.ntp.wrapping_add(ntp),
            rtp_timestamp: clock.rtp.wrapping_add(rtp).wrapping_sub(offset),
            packet_count: self.packets,
            octet_count: self.octets,
        })
    }
}

/// An audio source that sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice {
    pub(super) feed: FeedId,
    pub(super) loudness: u32,
}
