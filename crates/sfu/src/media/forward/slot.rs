//! A video slot: one outgoing video stream of one receiver, whatever source and encoding feed it.

use super::asks::Asks;
use super::history::{History, Refusal};
use super::layering::{Layering, Wanted};
use super::numbers::{Numbers, Standing};
use super::pictures::Pictures;
use crate::media::ingest::{ClockPoint, Feed};
use crate::media::offsets::Offsets;
use crate::media::packet::{Codec, Filler, Outgoing, PacketId, Published, Record};
use crate::media::store::Store;
use crate::media::table::{FeedId, Table};
use rtp::rtcp::SenderInfo;
use std::mem::{Discriminant, discriminant};

/// A key frame is asked for this long after a packet that does not go with what was forwarded, unless one comes.
const STRANGE_INTERVAL: u64 = 200_000;
/// A key frame was sent and nothing is heard of it: longer than between receiver reports, since whoever gets packets
/// but no picture says so.
const BLIND_INTERVAL: u64 = 1_600_000;
/// A picture-loss indication this soon after a key frame may have crossed it.
const CROSSING: u64 = 30_000;
/// Spacing of replayed frames in RTP units: 1 ms, so that a receiver shows them as fast as it can decode.
const REPLAY_STEP: u32 = 90;
/// What a key frame may wait on its way where the line is behind.
const ON_ITS_WAY: u64 = 1_500_000;
/// Whoever waits for longer than this to ask for one was told to.
const LONG_WAIT: u64 = 2_500_000;
/// What was missing of an encoding may come for this long after another one began: its sender is asked for it.
const LATE: u64 = 1_000_000;
/// About what a packet of padding takes, bytes.
const PADDING: usize = 270;
/// Video clock.
const CLOCK: u64 = 90_000;

/// What a slot should carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) encoding: u8,
    /// Highest spatial layer of it.
    pub(crate) spatial: u8,
    /// Highest temporal layer.
    pub(crate) temporal: u8,
}

impl Target {
    fn layers(self) -> Wanted {
        Wanted {
            spatial: self.spatial,
            temporal: self.temporal,
        }
    }
}

/// The encoding being forwarded and how its numbers map.
#[derive(Debug)]
struct Current {
    encoding: u8,
    layers: Layering,
    codec: Discriminant<Codec>,
    seq: Offsets,
    /// `None` where pictures have no ids.
    pictures: Option<Pictures>,
    timestamp_offset: u32,
    tl0_offset: u8,
    /// AV1: added to template ids.
    templates: u8,
    /// Newest packet that was sent when it began: what came up to then is not offered again.
    begun: PacketId,
}

/// The encoding that was forwarded before: what of it was missing when another one began may still come.
#[derive(Debug)]
struct Former {
    current: Current,
    /// Its numbers end here. This one itself was kept for the end of its last picture, and nothing else goes there: a part
    /// from the middle would make the picture look whole.
    end: u64,
    /// Its last picture had no end.
    open: bool,
    until: u64,
}

/// Where the outgoing stream stands, whatever feeds it.
#[derive(Debug, Clone, Copy)]
struct Out {
    next_seq: u64,
    timestamp: u32,
    sent_at: u64,
    next_picture: u64,
    tl0: u8,
    /// AV1: template id of the next structure.
    next_template: u8,
    /// The newest packet did not end its frame.
    open: bool,
    started: bool,
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
    /// What it carries.
    pub(crate) feed: Option<FeedId>,
    /// Greatest height its receiver wants of it; 0 for nothing, -1 for no limit.
    pub(crate) constraint: i32,
    pub(crate) target: Option<Target>,
    /// It carries nothing for want of bandwidth.
    pub(crate) starved: bool,
    /// Of all that its receiver has it is given up last.
    pub(super) leads: bool,
    pub(crate) picture: Picture,
    /// Last use, for choosing the slot to give to another source.
    pub(crate) used_at: u64,
    pub(crate) rtx_seq: u16,
    pub(crate) next_report: u64,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    /// Of the newest packet.
    payload_type: u8,
    /// Key frames that its sender may be asked for on its behalf.
    asks: Asks,
    /// Its line is behind: only what the rest depends on is forwarded.
    pub(super) thinned: bool,
    current: Option<Current>,
    former: Option<Box<Former>>,
    out: Out,
    history: History,
}

impl VideoSlot {
    /// `start` is random: first sequence number (below 2^15, RFC 3711 §3.3.1 advice), timestamp and picture id.
    pub(crate) fn new(ssrc: u32, rtx_ssrc: Option<u32>, start: u64) -> Self {
        Self {
            ssrc,
            rtx_ssrc,
            feed: None,
            constraint: 0,
            target: None,
            starved: false,
            leads: false,
            picture: Picture::default(),
            used_at: 0,
            rtx_seq: (start >> 16) as u16 & 0x7FFF,
            next_report: 0,
            packets: 0,
            octets: 0,
            payload_type: 0,
            asks: Asks::default(),
            thinned: false,
            current: None,
            former: None,
            out: Out {
                next_seq: start & 0x3FFF,
                timestamp: (start >> 32) as u32,
                sent_at: 0,
                next_picture: (start >> 20) & 0x3FFF,
                tl0: (start >> 24) as u8,
                next_template: 0,
                open: false,
                started: false,
            },
            history: History::default(),
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
                next_template: 0,
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

    /// Has fetched what the next packet needs beside the slot.
    #[inline]
    pub(super) fn fetch(&self) {
        self.history.fetch(self.out.next_seq as u16);
    }

    /// The encoding being forwarded.
    pub(crate) fn encoding(&self) -> Option<u8> {
        self.current.as_ref().map(|c| c.encoding)
    }

    /// Whether packets of an encoding may be for it, without a key frame.
    pub(crate) fn takes(&self, encoding: u8) -> bool {
        let former = self.former.as_ref().map(|f| f.current.encoding);
        self.encoding() == Some(encoding) || former == Some(encoding)
    }

    /// Binds the slot to a source; its outgoing numbers go on.
    pub(crate) fn bind(&mut self, feed: FeedId, now: u64) {
        self.feed = Some(feed);
        self.constraint = 0;
        self.target = None;
        self.starved = false;
        self.used_at = now;
        self.asks.wished();
        self.stop();
    }

    /// It carries nothing any more; what was wanted of what it carried.
    pub(super) fn release(&mut self) -> i32 {
        self.feed = None;
        self.starved = false;
        self.set_target(None);
        std::mem::take(&mut self.constraint)
    }

    /// Stops forwarding; a key frame is needed to go on.
    pub(crate) fn stop(&mut self) {
        (self.current, self.former) = (None, None);
        self.picture = Picture::default();
    }

    /// Sets what to carry.
    pub(crate) fn set_target(&mut self, target: Option<Target>) {
        if target.is_none() {
            self.stop();
        }
        self.target = target;
    }

    /// Whether what is forwarded is not what is wanted, and only a key frame can change that.
    pub(crate) fn wants_keyframe(&self) -> bool {
        let Some(target) = self.target else {
            return false;
        };
        match self
            .current
            .as_ref()
            .filter(|c| c.encoding == target.encoding)
        {
            Some(current) => current.layers.needs_key_frame(target.layers()),
            None => true,
        }
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
        mut emit: impl FnMut(Outgoing, u16),
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
        let structure = match &first_record.codec {
            Codec::Av1(Some(frame)) => frame.structure,
            _ => None,
        };
        let templates =
            structure.map_or(0, |(first, _)| self.out.next_template.wrapping_sub(first));
        let newest = |a: PacketId, b: &Published| if b.id.is_after(a) { b.id } else { a };
        let current = self.current.take().filter(|c| c.encoding != encoding);
        self.former = current.map(|current| {
            Box::new(Former {
                current,
                end: self.out.next_seq,
                open: self.out.open,
                until: now + LATE,
            })
        });
        self.current = Some(Current {
            begun: list.iter().fold(first.id, newest),
            encoding,
            layers: Layering::new(target.layers()),
            codec: discriminant(&first_record.codec),
            seq: Offsets::starting(first.seq, next_seq),
            pictures: pictures.map(|id| Pictures::starting(id, self.out.next_picture)),
            timestamp_offset: last_in.wrapping_sub(end),
            tl0_offset: self.out.tl0.wrapping_add(1).wrapping_sub(tl0_in),
            templates,
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
                emit(forward, record.header.payload_len);
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
    ) -> Option<Outgoing> {
        let current = self.current.as_ref()?;
        if current.encoding != encoding {
            return self.offer_late(now, encoding, packet, record);
        }
        if !packet.id.is_after(current.begun) {
            return None;
        }
        let forward = self.project(now, packet, record, None)?;
        if key && !self.picture.confirmed {
            self.picture.key_sent = Some((now, forward.seq));
            self.picture.next_try = now + BLIND_INTERVAL;
        }
        Some(forward)
    }

    /// Takes a packet of the encoding that was forwarded before, if its place was kept.
    fn offer_late(
        &mut self,
        now: u64,
        encoding: u8,
        packet: &Published,
        record: &Record,
    ) -> Option<Outgoing> {
        let is_awaited = |former: &Former| {
            let Former {
                current,
                end,
                open,
                until,
            } = former;
            let is_end = *open && record.header.marker;
            let has_place = |seq| seq < *end || is_end && seq == *end;
            current.encoding == encoding
                && now < *until
                && current.codec == discriminant(&record.codec)
                && current.seq.map(packet.seq).is_some_and(has_place)
        };
        self.former.as_deref().filter(|former| is_awaited(former))?;
        let mut former = self.former.take()?;
        let current = self.current.replace(former.current);
        let forward = self.project(now, packet, record, None);
        if let Some(former_current) = std::mem::replace(&mut self.current, current) {
            former.current = former_current;
            self.former = Some(former);
        }
        forward
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
    ) -> Option<Outgoing> {
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
        let mut wanted = target.layers();
        if target.encoding != current.encoding {
            wanted.spatial = current.layers.spatial();
        }
        if target.encoding < current.encoding || self.thinned {
            wanted.temporal = 0;
        }
        let number = picture.as_ref().map(|(number, _)| *number);
        let Some(passed) = current.layers.admit(&record.codec, number, newer, wanted) else {
            current.seq.leave_out(packet.seq);
            // Others refer to pictures by the difference of their ids, which have gaps then.
            if let (Some((number, pictures)), Codec::Vp8(_)) = (picture, &record.codec) {
                pictures.offsets.leave_out(number);
            }
            return None;
        };
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
        let ends = passed.ends || record.header.marker;
        let templates = current.templates;
        let mut next_template = self.out.next_template;
        if let Codec::Av1(Some(frame)) = &record.codec
            && let Some((first, count)) = frame.structure
        {
            next_template = first.wrapping_add(templates).wrapping_add(count) % 64;
        }
        if seq >= self.out.next_seq {
            self.out = Out {
                next_seq: seq + 1,
                timestamp,
                sent_at: now,
                next_picture: self.out.next_picture.max(picture.map_or(0, |p| p + 1)),
                tl0,
                next_template,
                open: !ends,
                started: true,
            };
        }
        let forward = Outgoing {
            id: packet.id,
            ssrc: self.ssrc,
            seq: seq as u16,
            timestamp,
            picture_id: picture.unwrap_or(0) as u16,
            tl0,
            video: true,
            osn: None,
            redundancy: 0,
            ends,
            templates,
            active: passed.active,
        };
        self.used_at = now;
        self.payload_type = record.header.payload_type;
        self.history.remember(&forward, now);
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::from(record.header.payload_len);
        self.octets = self.octets.wrapping_add(octets);
        Some(forward)
    }

    /// A packet that the receiver misses, unless it was sent less than `quiet` microseconds ago.
    pub(super) fn missed(&mut self, now: u64, seq: u16, quiet: u64) -> Result<Outgoing, Refusal> {
        self.history.missed(now, seq, quiet)
    }

    /// A packet is sent again on the RTX stream; how it leaves. `None` without such a stream.
    pub(super) fn resend(&mut self, now: u64, missed: Outgoing) -> Option<Outgoing> {
        let ssrc = self.rtx_ssrc?;
        self.history.resent(now, missed.seq);
        self.rtx_seq = self.rtx_seq.wrapping_add(1);
        Some(Outgoing {
            ssrc,
            seq: self.rtx_seq,
            osn: Some(missed.seq),
            ..missed
        })
    }

    /// The receiver says that it has no picture. Whether to see to it now: a key frame that was just sent may have
    /// crossed the message.
    pub(super) fn picture_lost(&mut self, now: u64, rtt: u64) -> bool {
        self.picture.confirmed = false;
        let Some((sent, _)) = self.picture.key_sent else {
            return true;
        };
        let behind = if self.thinned { ON_ITS_WAY } else { 0 };
        if now >= sent + rtt + CROSSING + behind {
            return true;
        }
        // A stream that never had a picture should not wait for the next indication.
        let patience = match self.picture.shown {
            true => BLIND_INTERVAL + behind,
            false => rtt + 3 * CROSSING + behind,
        };
        self.picture.next_try = sent + patience;
        false
    }

    /// Something to fill a probe with, of about `bytes`: a packet sent lately, the `back`-th before the newest, else padding.
    /// `None` without an RTX stream that the receiver knows.
    pub(super) fn filler(
        &mut self,
        now: u64,
        back: u16,
        (store, feeds): (&Store, &Table<FeedId, Feed>),
    ) -> Option<(Filler, usize)> {
        let ssrc = self.rtx_ssrc.filter(|_| self.can_fill())?;
        let seq = (self.out.next_seq as u16).wrapping_sub(1 + back);
        let sent = self.history.recent(now, seq);
        let sent = sent.and_then(|out| Some((out, store.get(out.id)?.0.len())));
        self.rtx_seq = self.rtx_seq.wrapping_add(1);
        Some(match sent {
            Some((out, len)) => {
                let out = Outgoing {
                    ssrc,
                    seq: self.rtx_seq,
                    osn: Some(out.seq),
                    ..out
                };
                (Filler::Again(out), len)
            }
            None => {
                let feed = self.feed.filter(|_| !self.out.started);
                let coming = feed.and_then(|id| feeds.get(id)).map(Feed::payload_type);
                let filler = Filler::Padding {
                    ssrc,
                    seq: self.rtx_seq,
                    timestamp: self.out.timestamp,
                    payload_type: coming.unwrap_or(self.payload_type),
                };
                (filler, PADDING)
            }
        })
    }

    /// The encoding of which a key frame is to be asked for: the best that comes in, unless it has that.
    pub(super) fn to_ask_for(&self, now: u64, target: Target, feed: &Feed) -> u8 {
        let best = feed.serving(target.encoding, now);
        let has = self.encoding() == Some(best) && self.wants_keyframe();
        if has { target.encoding } else { best }
    }

    /// Its receiver wants it, or wants it in another height than before.
    pub(super) fn wished(&mut self) {
        self.asks.wished();
    }

    /// Whether its sender may be asked for a key frame on its behalf; if so it counts as asked. If not, it is seen to again
    /// when it may.
    pub(super) fn may_ask(&mut self, now: u64) -> bool {
        let taken = self.asks.take(now);
        if let Err(due) = taken {
            self.picture.next_try = self.picture.next_try.max(due);
        }
        taken.is_ok()
    }

    /// Whether a key frame would be asked for since its line carries something else than before, or lost something, and for
    /// nothing else. `short`: the line carries less than is wanted.
    pub(super) fn asks_for_its_line(&self, short: bool) -> bool {
        !self.asks.is_wish() && (short || self.wants_keyframe())
    }

    /// Whether its receiver has not had yet what it wants: that is asked for at once.
    pub(super) fn is_wish(&self) -> bool {
        self.asks.is_wish()
    }

    /// When a key frame may be asked for the sake of its line, which has so much room.
    pub(super) fn line_due(&self, now: u64, room: u64, feed: &Feed) -> u64 {
        let each = feed.has_each_key_frame();
        self.asks.line_due(now, room, self.leads, each)
    }

    /// Whether it waits to ask for a key frame although its line has room for it meanwhile.
    pub(super) fn may_ask_sooner(&self, now: u64, room: u64, feed: &Feed) -> bool {
        self.picture.next_try > now + LONG_WAIT && self.line_due(now, room, feed) <= now
    }

    /// A key frame is asked for the sake of its line.
    pub(super) fn asked_for_its_line(&mut self, now: u64, room: u64) {
        self.asks.take_for_line(now, room);
    }

    /// Whether it begins, for the sake of its line, with a key frame that its receiver has not shown to have.
    pub(super) fn begins(&self, now: u64) -> bool {
        self.picture_due().is_some() && self.asks.is_under_way(now)
    }

    /// Until when a key frame that was sent may still be on its way, as the line is behind.
    pub(super) fn on_its_way(&self, now: u64) -> Option<u64> {
        let (sent, _) = self.picture.key_sent.filter(|_| self.thinned)?;
        let until = sent + BLIND_INTERVAL + ON_ITS_WAY;
        (!self.picture.confirmed && !self.wants_keyframe() && now < until).then_some(until)
    }

    /// Whether [`Self::filler`] has something: also before anything was sent, or what takes more than the first guess of a
    /// line would never be tried.
    pub(super) fn can_fill(&self) -> bool {
        self.rtx_ssrc.is_some() && (self.out.started || self.feed.is_some())
    }

    /// Stops what takes more than what is wanted now, and has to wait for.
    pub(super) fn stop_above(&mut self, target: Target) {
        if self.encoding() > Some(target.encoding) {
            self.interrupt();
        }
    }

    /// Video that was on its way is given up: its picture goes on at a key frame.
    pub(super) fn interrupt(&mut self) {
        let shown = self.picture.shown;
        self.stop();
        self.picture.shown = shown;
        self.history = History::default();
    }

    /// When to see to its picture again, if the receiver has not shown that it has the wanted one.
    pub(super) fn picture_due(&self) -> Option<u64> {
        let waits = self.target.is_some() && (!self.picture.confirmed || self.wants_keyframe());
        waits.then_some(self.picture.next_try)
    }

    /// A receiver report names `highest` as the newest number it has.
    pub(crate) fn reported(&mut self, highest: u16) {
        if let Some((_, first)) = self.picture.key_sent
            && rtp::seq::diff(highest, first) >= 0
        {
            self.picture.confirmed = true;
            self.picture.shown = true;
            self.picture.tries = 0;
            if self.target.is_some() && !self.wants_keyframe() {
                self.asks.granted();
            }
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
