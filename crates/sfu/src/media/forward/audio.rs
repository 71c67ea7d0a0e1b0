//! Which audio sources have the slots of a receiver: all, as long as there are slots; where there are more sources than
//! slots the loudest, looked at from time to time, so that packets do not steal slots from each other.

use super::numbers::{Numbers, Standing};
use super::plan::Stage;
use super::receiver::{Lane, MAX_SLOTS, Receiver};
use crate::media::context::Context;
use crate::media::event::ChannelNotice;
use crate::media::ingest::{ClockPoint, Feed, Loudness};
use crate::media::packet::{Outgoing, PacketId, Record};
use crate::media::spec::MediaKind;
use crate::media::table::{FeedId, Key, PeerId, Table};
use rtp::rtcp::SenderInfo;

/// Time between two looks, which is also the least time between two messages about it to a receiver, microseconds.
const REVIEW_INTERVAL: u64 = 200_000;
/// Slots of a receiver that change hands at once.
const MAX_CHANGES: usize = 8;
/// How much louder who has no slot must be than who has one.
const MARGIN: u32 = 6 * Loudness::DB;
/// How long a slot is kept at least, however quiet its source, as long as it sends.
const MIN_HOLD: u64 = 1_000_000;

/// One outgoing audio stream of a receiver.
#[derive(Debug)]
pub(crate) struct AudioSlot {
    pub(super) ssrc: u32,
    /// What it carries.
    pub(super) feed: Option<FeedId>,
    /// Subtracted from the source's numbers and timestamps; `None` until the first packet.
    offsets: Option<(u16, u32)>,
    /// When it was given to its source.
    bound_at: u64,
    /// Newest number and timestamp sent.
    last: Option<(u16, u32)>,
    pub(super) used_at: u64,
    pub(super) next_report: u64,
    packets: u32,
    octets: u32,
}

impl AudioSlot {
    /// A slot for an SSRC; where the receiver was sent it before, its numbers go on.
    fn resume(ssrc: u32, numbers: &Numbers) -> Self {
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

    fn bind(&mut self, feed: FeedId, now: u64) {
        self.feed = Some(feed);
        self.offsets = None;
        self.bound_at = now;
    }

    /// It carries nothing any more.
    pub(super) fn release(&mut self) {
        self.feed = None;
        self.offsets = None;
    }

    /// How a packet of its source leaves.
    #[inline]
    pub(super) fn forward(
        &mut self,
        now: u64,
        rewriting: bool,
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
struct Voice {
    feed: FeedId,
    loudness: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AudioPlan {
    /// Counts changes after which receivers may want other sources.
    change: u64,
    /// By feed: the change up to which all receivers were asked whether they want it.
    asked: Vec<u64>,
    next_review: u64,
}

impl AudioPlan {
    /// Receivers came, or want something else, or have free slots.
    pub(crate) fn changed(&mut self) {
        self.change += 1;
    }

    /// A number is given to another feed.
    pub(crate) fn forget(&mut self, feed: FeedId) {
        if let Some(asked) = self.asked.get_mut(feed.index()) {
            *asked = 0;
        }
        self.changed();
    }

    /// Before packets of a feed are offered: sees to it that all who want it have decided how they get it.
    #[inline]
    pub(crate) fn prepare(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>, feed: FeedId) {
        let at = feed.index();
        if at >= self.asked.len() {
            self.asked.resize(at + 1, 0);
        }
        let change = self.change + 1;
        if let Some(asked) = self.asked.get_mut(at).filter(|asked| **asked != change) {
            *asked = change;
            ask_all(cx, stage, feed);
        }
    }

    /// Gives slots of receivers that have none left to louder sources.
    pub(crate) fn review(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>) {
        if cx.us < self.next_review {
            return;
        }
        self.next_review = cx.us + REVIEW_INTERVAL;
        let voices = voices(stage, cx.us);
        if voices.len() <= MAX_SLOTS {
            return;
        }
        let receivers: Vec<PeerId> = stage.receivers.keys().collect();
        for peer in receivers {
            let Some(receiver) = stage.receivers.get_mut(peer) else {
                continue;
            };
            let full =
                receiver.is_rewriting() && receiver.is_live() && receiver.audio.len() >= MAX_SLOTS;
            if full {
                let changed = receiver.give_to_the_loudest(cx.us, stage.feeds, &voices);
                tell_map(cx, stage, peer, &changed);
            }
        }
    }
}

/// Receivers that have not decided about a feed decide.
#[cold]
fn ask_all(cx: &mut Context<'_>, stage: &mut Stage<'_>, feed: FeedId) {
    let receivers: Vec<PeerId> = stage.receivers.keys().collect();
    for peer in receivers {
        let (Some(receiver), Some(source)) = (stage.receivers.get_mut(peer), stage.feeds.get(feed))
        else {
            continue;
        };
        if receiver.lane(feed) != Lane::New || !receiver.is_live() {
            continue;
        }
        if !receiver.hears(source.name()) {
            receiver.set_lane(feed, Lane::Closed);
            continue;
        }
        let rewriting = receiver.is_rewriting();
        let ssrc = match rewriting {
            true => receiver.new_ssrc(cx.rng, stage.ssrcs),
            false => source.spec().encodings.first().map_or(0, |e| e.ssrc),
        };
        let bound = receiver.bind_audio(cx.us, feed, ssrc);
        if let Some(at) = bound.filter(|_| rewriting) {
            tell_map(cx, stage, peer, &[at]);
        }
    }
}

fn tell_map(cx: &mut Context<'_>, stage: &Stage<'_>, peer: PeerId, slots: &[usize]) {
    let Some(receiver) = stage.receivers.get(peer) else {
        return;
    };
    let entries = receiver.audio_map(stage.feeds, slots.iter().copied());
    if !entries.is_empty() {
        cx.notice(receiver.id(), ChannelNotice::AudioSourcesMap(entries));
    }
}

/// Sources that send, the loudest first.
fn voices(stage: &Stage<'_>, now: u64) -> Vec<Voice> {
    let feeds = stage.feeds.iter();
    let speaking = feeds.filter(|(_, f)| f.kind() == MediaKind::Audio && f.is_active(now));
    let mut voices: Vec<_> = speaking
        .map(|(feed, f)| Voice {
            feed,
            loudness: f.loudness(now),
        })
        .collect();
    voices.sort_by_key(|v| std::cmp::Reverse(v.loudness));
    voices
}

impl Receiver {
    /// Gives a feed's audio a slot: the one it had, a new one while there may be more, else a free one. The slot, if it is
    /// to be told.
    fn bind_audio(&mut self, now: u64, feed: FeedId, ssrc: u32) -> Option<usize> {
        if let Some(at) = self.audio.iter().position(|s| s.feed == Some(feed)) {
            self.set_lane(feed, Lane::Slot(at as u16));
            return None;
        }
        let count = self.audio.len();
        let free = self.audio.iter().position(|s| s.feed.is_none());
        let at = match count < MAX_SLOTS || !self.is_rewriting() {
            true => Some(count),
            false => free,
        };
        let Some(at) = at else {
            self.set_lane(feed, Lane::Crowded);
            return None;
        };
        if at == count {
            self.audio.push(AudioSlot::resume(ssrc, &self.numbers));
        }
        self.audio.get_mut(at)?.bind(feed, now);
        self.set_lane(feed, Lane::Slot(at as u16));
        Some(at)
    }

    /// Slots that changed hands.
    fn give_to_the_loudest(
        &mut self,
        now: u64,
        feeds: &Table<FeedId, Feed>,
        voices: &[Voice],
    ) -> Vec<usize> {
        let mut changed = Vec::new();
        for voice in voices {
            if changed.len() == MAX_CHANGES {
                break;
            }
            let undecided = matches!(self.lane(voice.feed), Lane::New | Lane::Crowded);
            let wanted = feeds.get(voice.feed).is_some_and(|f| self.hears(f.name()));
            if !undecided || !wanted {
                continue;
            }
            let loudness = |slot: &AudioSlot| {
                let bound = voices.iter().find(|v| Some(v.feed) == slot.feed);
                bound.map_or((0, false), |v| (v.loudness, true))
            };
            let slots = self.audio.iter().enumerate();
            let quietest = slots
                .map(|(at, slot)| (loudness(slot), at, slot.bound_at))
                .filter(|((_, sends), _, bound)| !sends || now >= bound + MIN_HOLD)
                .min();
            let Some(((quiet, sends), at, _)) = quietest else {
                break;
            };
            // The voices that follow are quieter still.
            if sends && voice.loudness < quiet + MARGIN {
                break;
            }
            if let Some(slot) = self.audio.get_mut(at) {
                let former = slot.feed;
                slot.bind(voice.feed, now);
                if let Some(former) = former.filter(|f| matches!(self.lane(*f), Lane::Slot(_))) {
                    self.set_lane(former, Lane::Crowded);
                }
                self.set_lane(voice.feed, Lane::Slot(at as u16));
                changed.push(at);
            }
        }
        changed
    }
}
