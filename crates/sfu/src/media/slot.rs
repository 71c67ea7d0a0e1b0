//! A video slot: one outgoing video stream of one receiver, whatever source and encoding feed it.

use super::feedback::BLIND_INTERVAL;
use super::numbers::{Numbers, Standing};
use super::offsets::Offsets;
use super::pictures::Pictures;
use super::receive::ClockPoint;
use super::store::{Codec, PacketId, Record, Store};
use rtp::rtcp::SenderInfo;
use std::mem::{Discriminant, discriminant};

/// Packets remembered for retransmission, per slot; a power of two.
const HISTORY: usize = 1024;
/// How often a packet is sent again.
const MAX_RESENDS: u8 = 3;
/// Oldest packet that is sent again, microseconds since it was first sent.
const MAX_RESEND_AGE: u64 = 3_000_000;
/// A key frame is asked for this long after a packet that does not go with what was forwarded, unless one comes.
const STRANGE_INTERVAL: u64 = 200_000;
/// Spacing of replayed frames in RTP units: 1 ms, so that a receiver shows them as fast as it can decode.
const REPLAY_STEP: u32 = 90;
/// Video clock.
const CLOCK: u64 = 90_000;

/// A stored packet of an encoding, with its place in the encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    /// Unwrapped sequence number.
    pub(crate) seq: u64,
    /// Timestamp as received.
    pub(crate) timestamp: u32,
    /// In the store.
    pub(crate) id: PacketId,
}

/// How a packet leaves on a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) id: PacketId,
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    pub(crate) picture_id: u16,
    pub(crate) tl0: u8,
}

/// What a slot should carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) encoding: u8,
    /// Highest temporal layer.
    pub(crate) temporal: u8,
}

/// The encoding being forwarded and how its numbers map.
#[derive(Debug)]
struct Current {
    encoding: u8,
    temporal: u8,
    codec: Discriminant<Codec>,
    seq: Offsets,
    /// `None` where pictures have no ids.
    pictures: Option<Pictures>,
    timestamp_offset: u32,
    tl0_offset: u8,
}

/// Where the outgoing stream stands, whatever feeds it.
#[derive(Debug, Clone, Copy)]
struct Out {
    next_seq: u64,
    timestamp: u32,
    sent_at: u64,
    next_picture: u64,
    tl0: u8,
    /// The newest packet did not end its frame.
    open: bool,
    started: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    forward: Forward,
    /// When it was sent first, and last.
    first: u64,
    at: u64,
    resends: u8,
}

/// Why a packet is not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was not sent, or is forgotten.
    Unknown,
    /// It was sent a moment ago: the request may have crossed it.
    Crossed,
    /// It was sent again often enough, or is too old to be of use.
    Spent,
}

/// What is known of the receiver's picture.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Picture {
    /// When the newest key frame was sent, and the number of its first packet.
    pub(crate) key_sent: Option<(u64, u16)>,
    /// The receiver's reports show that it has it.
    pub(crate) confirmed: bool,
    /// It had one on this source before.
    pub(crate) shown: bool,
    /// When to see to it again.
    pub(crate) next_try: u64,
    /// How often that was done since the receiver last had a picture.
    pub(crate) tries: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct VideoSlot {
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: Option<u32>,
    /// Index of the source in the conference.
    pub(crate) source: Option<usize>,
    pub(crate) target: Option<Target>,
    pub(crate) picture: Picture,
    /// Last use, for choosing the slot to give to another source.
    pub(crate) used_at: u64,
    pub(crate) rtx_seq: u16,
    pub(crate) next_report: u64,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    current: Option<Current>,
    out: Out,
    history: Vec<Option<Sent>>,
}

impl VideoSlot {
    /// `start` is random: first sequence number (below 2^15, RFC 3711 §3.3.1 advice), timestamp and picture id.
    pub(crate) fn new(ssrc: u32, rtx_ssrc: Option<u32>, start: u64) -> Self {
        Self {
            ssrc,
            rtx_ssrc,
            source: None,
            target: None,
            picture: Picture::default(),
            used_at: 0,
            rtx_seq: (start >> 16) as u16 & 0x7FFF,
            next_report: 0,
            packets: 0,
            octets: 0,
            current: None,
            out: Out {
                next_seq: start & 0x3FFF,
                timestamp: (start >> 32) as u32,
                sent_at: 0,
                next_picture: (start >> 20) & 0x3FFF,
                tl0: (start >> 24) as u8,
                open: false,
                started: false,
            },
            history: Vec::new(),
        }
    }

    /// A slot for SSRCs that the receiver may have been sent before; their numbers go on. `start` as for [`Self::new`].
    pub(crate) fn resume(ssrc: u32, rtx_ssrc: Option<u32>, start: u64, numbers: &Numbers) -> Self {
        let mut slot = Self::new(ssrc, rtx_ssrc, start);
        if let Some(standing) = numbers.get(ssrc) {
            slot.out = Out {
                next_seq: u64::from(standing.seq) + 1,
                timestamp: standing.timestamp,
                sent_at: standing.sent_at,
                next_picture: standing.next_picture,
                tl0: standing.tl0,
                open: standing.open,
                started: true,
            };
            (slot.packets, slot.octets) = (standing.packets, standing.octets);
        }
        if let Some(standing) = rtx_ssrc.and_then(|ssrc| numbers.get(ssrc)) {
            slot.rtx_seq = standing.seq;
        }
        slot
    }

    /// Notes where the numbers stand, before the slot is given up.
    pub(crate) fn retire(&self, numbers: &mut Numbers) {
        if !self.out.started {
            return;
        }
        let standing = Standing {
            seq: self.out.next_seq.wrapping_sub(1) as u16,
            timestamp: self.out.timestamp,
            sent_at: self.out.sent_at,
            next_picture: self.out.next_picture,
            tl0: self.out.tl0,
            open: self.out.open,
            packets: self.packets,
            octets: self.octets,
        };
        numbers.remember(self.ssrc, standing);
        if let Some(ssrc) = self.rtx_ssrc {
            let standing = Standing {
                seq: self.rtx_seq,
                ..Standing::default()
            };
            numbers.remember(ssrc, standing);
        }
    }

    /// The encoding being forwarded.
    pub(crate) fn encoding(&self) -> Option<u8> {
        self.current.as_ref().map(|c| c.encoding)
    }

    /// Binds the slot to a source; its outgoing numbers go on.
    pub(crate) fn bind(&mut self, source: usize, now: u64) {
        self.source = Some(source);
        self.used_at = now;
        self.stop();
    }

    /// Stops forwarding; a key frame is needed to go on.
    pub(crate) fn stop(&mut self) {
        self.current = None;
        self.picture = Picture::default();
    }

    /// Sets what to carry. `true` if that needs a key frame.
    pub(crate) fn set_target(&mut self, target: Option<Target>) -> bool {
        if target.is_none() {
            self.stop();
        }
        self.target = target;
        self.wants_keyframe()
    }

    /// Whether the current encoding is not the wanted one.
    pub(crate) fn wants_keyframe(&self) -> bool {
        self.target
            .is_some_and(|t| self.encoding() != Some(t.encoding))
    }

    /// Whether a key frame of `encoding` should be switched to.
    pub(crate) fn accepts_keyframe(&self, encoding: u8) -> bool {
        let Some(target) = self.target else {
            return false;
        };
        match self.encoding() {
            None => encoding <= target.encoding,
            Some(c) if c == target.encoding => false,
            Some(c) if c < target.encoding => c < encoding && encoding <= target.encoding,
            Some(c) => target.encoding <= encoding && encoding < c,
        }
    }

    /// Whether a key frame of the encoding being forwarded goes on with its codec and its numbers. Where it does not (the
    /// sender changed its codec or began anew), forwarding begins anew with it.
    pub(crate) fn continues(&self, encoding: u8, record: &Record) -> bool {
        let Some(current) = self.current.as_ref().filter(|c| c.encoding == encoding) else {
            return true;
        };
        current.codec == discriminant(&record.codec)
            && match (&current.pictures, record.codec.picture_id()) {
                (Some(pictures), Some(id)) => pictures.is_near(id),
                (None, None) => true,
                _ => false,
            }
    }

    /// Begins an encoding at a key frame: `list` holds the key frame's first packet and all that followed. Everything
    /// in it is sent at once. `compress`: with timestamps close together, so that a receiver does not spread over time
    /// what is past; the list must be without gaps then.
    pub(crate) fn start(
        &mut self,
        now: u64,
        encoding: u8,
        list: &[Published],
        compress: bool,
        store: &Store,
        mut emit: impl FnMut(Forward),
    ) -> bool {
        let Some((first, last)) = list.first().zip(list.last()) else {
            return false;
        };
        let (Some((_, first_record)), Some((_, last_record))) =
            (store.get(first.id), store.get(last.id))
        else {
            return false;
        };
        let Some(target) = self.target else {
            return false;
        };
        if compress && !same_numbering(&first_record.codec, &last_record.codec) {
            return false;
        }
        let (first_in, last_in) = (first_record.header.timestamp, last_record.header.timestamp);
        let span = match compress {
            true => frames(list, store).saturating_sub(1) * REPLAY_STEP,
            false => last_in.wrapping_sub(first_in).min(CLOCK as u32),
        };
        let end = self.next_timestamp(now, span);
        let next_seq = self.out.next_seq + u64::from(self.out.open);
        let tl0_in = first_record.codec.tl0();
        let pictures = first_record.codec.picture_id();
        self.current = Some(Current {
            encoding,
            temporal: target.temporal,
            codec: discriminant(&first_record.codec),
            seq: Offsets::starting(first.seq, next_seq),
            pictures: pictures.map(|id| Pictures::starting(id, self.out.next_picture)),
            timestamp_offset: last_in.wrapping_sub(end),
            tl0_offset: self.out.tl0.wrapping_add(1).wrapping_sub(tl0_in),
        });
        self.picture.key_sent = Some((now, next_seq as u16));
        self.picture.confirmed = false;
        self.picture.next_try = now + BLIND_INTERVAL;
        let mut timestamp = end.wrapping_sub(span);
        let mut frame = first_in;
        for packet in list {
            let Some((_, record)) = store.get(packet.id) else {
                continue;
            };
            if record.header.timestamp != frame {
                frame = record.header.timestamp;
                timestamp = timestamp.wrapping_add(REPLAY_STEP);
            }
            if let Some(forward) = self.project(now, packet, record, compress.then_some(timestamp))
            {
                emit(forward);
            }
        }
        true
    }

    /// The timestamp of the last frame of a new encoding: real time since the last packet, but room for `span`.
    fn next_timestamp(&self, now: u64, span: u32) -> u32 {
        if !self.out.started {
            return self.out.timestamp.wrapping_add(span);
        }
        let elapsed = now.saturating_sub(self.out.sent_at).min(3_600_000_000) * CLOCK / 1_000_000;
        self.out
            .timestamp
            .wrapping_add((elapsed as u32).max(span + REPLAY_STEP))
    }

    /// Takes the next packet of an encoding; how it leaves, if it does.
    /// `key`: it starts a key frame.
    pub(crate) fn offer(
        &mut self,
        now: u64,
        encoding: u8,
        packet: &Published,
        record: &Record,
        key: bool,
    ) -> Option<Forward> {
        if self.encoding() != Some(encoding) {
            return None;
        }
        let forward = self.project(now, packet, record, None)?;
        if key && !self.picture.confirmed {
            self.picture.key_sent = Some((now, forward.seq));
            self.picture.next_try = now + BLIND_INTERVAL;
        }
        Some(forward)
    }

    /// A number of the current encoding that carries nothing (padding): closes the gap.
    pub(crate) fn skip(&mut self, encoding: u8, seq: u64) {
        if let Some(current) = self.current.as_mut().filter(|c| c.encoding == encoding) {
            current.seq.leave_out(seq);
        }
    }

    fn project(
        &mut self,
        now: u64,
        packet: &Published,
        record: &Record,
        timestamp: Option<u32>,
    ) -> Option<Forward> {
        let target = self.target?;
        let current = self.current.as_mut()?;
        let id = record.codec.picture_id();
        let far = |pictures: &Pictures| id.is_some_and(|id| !pictures.is_near(id));
        if current.codec != discriminant(&record.codec)
            || current.pictures.as_ref().is_some_and(far)
        {
            // It goes on at a key frame of that codec and numbering. If none comes with it, one is asked for.
            if current.seq.map(packet.seq).is_some() {
                self.picture.confirmed = false;
                self.picture.next_try = self.picture.next_try.min(now + STRANGE_INTERVAL);
            }
            return None;
        }
        let (mut picture, mut newer) = (None, false);
        if let Some(id) = id {
            let next = self.out.next_picture;
            let pictures = current
                .pictures
                .get_or_insert_with(|| Pictures::starting(id, next));
            let number = pictures.unwrap(id);
            newer = number > pictures.newest;
            pictures.newest = pictures.newest.max(number);
            picture = Some((number, pictures));
        }
        if let Codec::Vp8(vp8) = &record.codec {
            let layer = vp8.temporal_id.unwrap_or(0);
            if newer {
                // Down at once, up only where the frame needs nothing that was left out.
                let wanted = if target.encoding < current.encoding {
                    0
                } else {
                    target.temporal
                };
                if vp8.key_frame || wanted <= current.temporal {
                    current.temporal = wanted;
                } else if vp8.layer_sync && layer > current.temporal && layer <= wanted {
                    current.temporal = layer;
                }
            }
            if layer > current.temporal {
                current.seq.leave_out(packet.seq);
                if let Some((number, pictures)) = picture {
                    pictures.offsets.leave_out(number);
                }
                return None;
            }
        }
        let seq = current.seq.accept(packet.seq)?;
        let picture = match picture {
            Some((number, pictures)) => Some(pictures.offsets.accept(number)?),
            None => None,
        };
        let timestamp = timestamp.unwrap_or(
            record
                .header
                .timestamp
                .wrapping_sub(current.timestamp_offset),
        );
        let tl0 = record.codec.tl0().wrapping_add(current.tl0_offset);
        if seq >= self.out.next_seq {
            self.out = Out {
                next_seq: seq + 1,
                timestamp,
                sent_at: now,
                next_picture: self.out.next_picture.max(picture.map_or(0, |p| p + 1)),
                tl0,
                open: !record.header.marker,
                started: true,
            };
        }
        let forward = Forward {
            id: packet.id,
            seq: seq as u16,
            timestamp,
            picture_id: (picture.unwrap_or(0) & 0x7FFF) as u16,
            tl0,
        };
        self.used_at = now;
        self.remember(forward, now);
        Some(forward)
    }

    fn remember(&mut self, forward: Forward, at: u64) {
        if self.history.is_empty() {
            self.history.resize(HISTORY, None);
        }
        if let Some(slot) = self.history.get_mut(usize::from(forward.seq) % HISTORY) {
            *slot = Some(Sent {
                forward,
                first: at,
                at,
                resends: 0,
            });
        }
    }

    /// A packet that the receiver misses, unless it was sent less than `quiet` microseconds ago.
    pub(crate) fn missed(&self, now: u64, seq: u16, quiet: u64) -> Result<Forward, Refusal> {
        let slot = self.history.get(usize::from(seq) % HISTORY);
        let sent = slot
            .and_then(|s| s.as_ref())
            .filter(|s| s.forward.seq == seq)
            .ok_or(Refusal::Unknown)?;
        if sent.resends >= MAX_RESENDS || now.saturating_sub(sent.first) > MAX_RESEND_AGE {
            return Err(Refusal::Spent);
        }
        if now.saturating_sub(sent.at) < quiet {
            return Err(Refusal::Crossed);
        }
        Ok(sent.forward)
    }

    /// It was sent again: the number of that packet on the RTX stream.
    pub(crate) fn resent(&mut self, now: u64, seq: u16) -> u16 {
        if let Some(Some(sent)) = self.history.get_mut(usize::from(seq) % HISTORY) {
            sent.at = now;
            sent.resends = sent.resends.saturating_add(1);
        }
        self.rtx_seq = self.rtx_seq.wrapping_add(1);
        self.rtx_seq
    }

    /// A receiver report names `highest` as the newest number it has.
    pub(crate) fn reported(&mut self, highest: u16) {
        if let Some((_, first)) = self.picture.key_sent
            && rtp::seq::diff(highest, first) >= 0
        {
            self.picture.confirmed = true;
            self.picture.shown = true;
            self.picture.tries = 0;
        }
    }

    /// Sender information for a report at `now`, from what the source's sender last said.
    pub(crate) fn sender_info(&self, now: u64, clock: &ClockPoint) -> Option<SenderInfo> {
        let current = self.current.as_ref()?;
        let elapsed = now.saturating_sub(clock.arrival);
        let ntp = clock
            .ntp
            .wrapping_add((u128::from(elapsed) * (1 << 32) / 1_000_000) as u64);
        let rtp = clock.rtp.wrapping_add((elapsed * CLOCK / 1_000_000) as u32);
        Some(SenderInfo {
            ntp,
            rtp_timestamp: rtp.wrapping_sub(current.timestamp_offset),
            packet_count: self.packets,
            octet_count: self.octets,
        })
    }
}

/// Whether two packets of a short list are of one codec and one numbering of pictures.
fn same_numbering(first: &Codec, last: &Codec) -> bool {
    let near = match (first.picture_id(), last.picture_id()) {
        (Some(first), Some(last)) => Pictures::starting(first, 0).is_near(last),
        _ => true,
    };
    near && discriminant(first) == discriminant(last)
}

/// Frames in a list, by their timestamps.
fn frames(list: &[Published], store: &Store) -> u32 {
    let mut count = 0u32;
    let mut last = None;
    for packet in list {
        if let Some((_, record)) = store.get(packet.id)
            && last != Some(record.header.timestamp)
        {
            last = Some(record.header.timestamp);
            count += 1;
        }
    }
    count
}
