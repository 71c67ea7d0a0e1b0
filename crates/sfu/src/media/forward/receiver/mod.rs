//! What one receiver gets: its wishes, its outgoing streams, and which feed each carries.

mod audio;
mod line;
mod share;
mod video;

use crate::media::event::SourceMapEntry;
use crate::media::exchange::Publisher;
use crate::media::forward::allocation::{Settings, Wanted};
use crate::media::forward::audio_slot::AudioSlot;
use crate::media::forward::budget::Budget;
use crate::media::forward::burst::{Loaded, Pass, Segment};
use crate::media::forward::history::Refusal;
use crate::media::forward::numbers::Numbers;
use crate::media::forward::protection::Protection;
use crate::media::forward::resend::ResendBudget;
use crate::media::forward::slot::VideoSlot;
use crate::media::ids::{EndpointId, SourceName};
use crate::media::ingest::Feed;
use crate::media::negotiated::Negotiated;
use crate::media::packet::{Arrival, Outgoing, Published, Ready};
use crate::media::spec::{EndpointSpec, MediaKind, ReceiverConstraints, Subscription};
use crate::media::stats::Stats;
use crate::media::store::Store;
use crate::media::table::{FeedId, Key, Table};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use rtc::ahead;
use rtp::rtcp::{ReportBlock, SenderInfo};
use smallvec::SmallVec;
use std::collections::HashMap;

/// Most distinct video (and audio) SSRCs a receiver with rewriting sees.
pub(in crate::media::forward) const MAX_SLOTS: usize = 50;
/// A sender that was asked for a key frame is asked again this often, microseconds; later, if nothing helps, more seldom.
const PICTURE_INTERVAL: u64 = 300_000;
const PATIENT_INTERVAL: u64 = 2_000_000;
const EAGER_TRIES: u32 = 40;
/// Oldest key frame worth replaying to a receiver without a picture, and to one that has one.
const REPLAY_AGE: u64 = 2_500_000;
const REPLAY_AGE_SWITCH: u64 = 300_000;
/// Longest replays on a line of limited rate, of all streams that begin: what it carries in half a second, as a share of its
/// bits per second, and this in any case, bytes.
const REPLAY_SHARE: u64 = 16;
const LEAST_REPLAY: u64 = 10_000;
/// Where there is less room than this, streams begin one after the other, bits per second: a key frame takes half a second.
const NARROW: u64 = 400_000;
/// Between two sender reports about a stream.
const REPORT_INTERVAL: u64 = 1_000_000;

/// SSRCs that are in use in a conference.
#[derive(Debug)]
pub(crate) struct Ssrcs {
    published: HashMap<u32, Publisher>,
    bridge: [u32; 2],
}

impl Ssrcs {
    /// `bridge`: those the bridge uses in its own name.
    pub(crate) fn new(bridge: [u32; 2]) -> Self {
        Self {
            published: HashMap::new(),
            bridge,
        }
    }

    /// Whether somebody else than `publisher` sends it.
    pub(crate) fn is_taken(&self, ssrc: u32, publisher: Publisher) -> bool {
        self.published.get(&ssrc).is_some_and(|p| *p != publisher)
    }

    /// Sets what a publisher sends, in place of what it sent before.
    pub(crate) fn publish(
        &mut self,
        publisher: Publisher,
        before: impl Iterator<Item = u32>,
        now: impl Iterator<Item = u32>,
    ) {
        for ssrc in before {
            self.published.remove(&ssrc);
        }
        self.published.extend(now.map(|ssrc| (ssrc, publisher)));
    }

    /// One that nobody sends and `own` does not know.
    fn fresh(&self, rng: &mut ChaCha12Rng, own: impl Fn(u32) -> bool) -> u32 {
        loop {
            let ssrc = rng.random_range(1..u32::MAX);
            if !self.published.contains_key(&ssrc) && !self.bridge.contains(&ssrc) && !own(ssrc) {
                return ssrc;
            }
        }
    }
}

/// What a feed is to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::media::forward) enum Lane {
    /// Nothing was decided yet.
    #[default]
    New,
    /// Its own.
    Own,
    /// Not wanted.
    Closed,
    /// Wanted, but louder ones have all slots.
    Crowded,
    /// Carried by the slot of this index.
    Slot(u16),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Receiver {
    id: EndpointId,
    rewriting: bool,
    sound_ahead: bool,
    takes_audio: bool,
    takes_video: bool,
    /// Packets can be sent to it.
    live: bool,
    pub(in crate::media::forward) settings: Settings,
    subscription: Subscription,
    lanes: Vec<Lane>,
    pub(in crate::media::forward) video: Vec<VideoSlot>,
    pub(in crate::media::forward) audio: Vec<AudioSlot>,
    /// Where the numbers stand of sources' own SSRCs that have no slot any more; without rewriting only.
    pub(in crate::media::forward) numbers: Numbers,
    resends: ResendBudget,
    protection: Protection,
    /// What it may be sent of video.
    pub(in crate::media::forward) budget: Budget,
    /// What it wants of video, most wanted first, and what it does not want any more.
    wanted: Vec<Wanted>,
    unwanted: Vec<FeedId>,
    /// When the client was last told what its line carries.
    told_at: u64,
    /// Its line is behind with what it was sent.
    behind: bool,
    next_filler: u16,
    /// What the client was last told to be forwarded.
    pub(in crate::media::forward) forwarded: Vec<SourceName>,
    /// Something of that has ended since.
    forwarded_ended: bool,
}

/// What one visit of a burst did besides filling the list.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Visit {
    /// A picture is to be looked at again soon.
    pub(crate) restless: bool,
    /// Audio packets left out because louder ones have all slots.
    pub(crate) crowded: u64,
}

impl Receiver {
    /// A receiver that nothing can be sent to yet.
    pub(crate) fn new(spec: &EndpointSpec, now: u64) -> Self {
        Self {
            id: spec.id.clone(),
            rewriting: spec.ssrc_rewriting,
            sound_ahead: spec.sound_ahead,
            takes_audio: false,
            takes_video: false,
            live: false,
            settings: Settings::new(spec.initial_last_n),
            subscription: Subscription::default(),
            lanes: Vec::new(),
            video: Vec::new(),
            audio: Vec::new(),
            numbers: Numbers::default(),
            resends: ResendBudget::new(now),
            protection: Protection::default(),
            budget: Budget::default(),
            wanted: Vec::new(),
            unwanted: Vec::new(),
            told_at: now,
            behind: false,
            next_filler: 0,
            forwarded: Vec::new(),
            forwarded_ended: false,
        }
    }

    pub(crate) fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Whether its SSRCs are the bridge's own, told by maps.
    pub(crate) fn is_rewriting(&self) -> bool {
        self.rewriting
    }

    /// Whether it is to be told of sources before anything of them can be heard.
    pub(in crate::media::forward) fn wants_sound_ahead(&self) -> bool {
        self.sound_ahead && self.rewriting && self.live
    }

    /// Whether packets can be sent to it.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    pub(crate) fn set_live(&mut self, live: bool) {
        self.live = live;
    }

    /// Sets what was negotiated.
    pub(crate) fn negotiate(&mut self, negotiated: &Negotiated) {
        self.takes_audio = negotiated.takes(MediaKind::Audio);
        self.takes_video = negotiated.takes(MediaKind::Video);
        self.protection.set_taken(negotiated.red.is_some());
    }

    /// Transport-wide feedback says what of all that it is sent is lost: 0 to 1, smoothed.
    pub(crate) fn set_loss(&mut self, loss: f64) {
        self.protection.measured(loss);
    }

    /// What the client was told to be forwarded.
    pub(crate) fn forwarded(&self) -> &[SourceName] {
        &self.forwarded
    }

    /// Takes the client's wishes about video.
    pub(crate) fn constrain(&mut self, constraints: ReceiverConstraints) {
        self.settings.apply(constraints);
        self.budget.wishes_changed();
    }

    /// Whether the client is to be told again what its line carries; if so it counts as told.
    pub(crate) fn is_tell_due(&mut self, now: u64, interval: u64) -> bool {
        let due = now >= self.told_at + interval;
        if due {
            self.told_at = now;
        }
        due
    }

    /// What it may be sent of video, bits per second.
    pub(in crate::media::forward) fn room(&self) -> u64 {
        self.budget.available().unwrap_or(u64::MAX)
    }

    /// Whether its line is so narrow that a key frame which another stream begins with takes all of it.
    fn is_crowded(&self, now: u64, feed: FeedId) -> bool {
        let mut others = self.video.iter().filter(|s| s.feed != Some(feed));
        self.room() < NARROW && others.any(|slot| slot.begins(now))
    }

    /// What it may be sent of video, and what became of it.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Sets last-N from signalling, until the client names its own.
    pub(crate) fn set_initial_last_n(&mut self, last_n: i32) {
        self.settings.set_initial_last_n(last_n);
    }

    /// Whether it shows somebody on stage.
    pub(crate) fn is_stage_view(&self) -> bool {
        self.settings.is_stage_view()
    }

    /// Whether that may not be true any more; asked once for each change.
    pub(in crate::media::forward) fn is_forwarded_stale(&mut self, changed: bool) -> bool {
        std::mem::take(&mut self.forwarded_ended) || changed
    }

    /// Whether it is interested in a source more than in others.
    pub(crate) fn prefers(&self, name: &SourceName) -> bool {
        self.settings.prefers(name) || self.forwarded.contains(name)
    }

    /// Takes the client's wishes about audio.
    pub(crate) fn subscribe(&mut self, subscription: Subscription) {
        self.subscription = subscription;
        self.reconsider_audio();
    }

    /// What it wants of audio may be something else now. Slots stay with their sources: who is wanted again is heard under
    /// the same SSRC.
    pub(crate) fn reconsider_audio(&mut self) {
        for lane in &mut self.lanes {
            if matches!(lane, Lane::Closed | Lane::Crowded) {
                *lane = Lane::New;
            }
        }
        let bound: SmallVec<[FeedId; 16]> = self.audio.iter().filter_map(|s| s.feed).collect();
        for feed in bound {
            self.set_lane(feed, Lane::New);
        }
    }

    /// Whether audio of a source is wanted.
    pub(in crate::media::forward) fn hears(&self, name: &SourceName) -> bool {
        let s = &self.subscription;
        self.takes_audio && !s.exclude.contains(name) && (s.all || s.include.contains(name))
    }

    #[inline]
    pub(in crate::media::forward) fn lane(&self, feed: FeedId) -> Lane {
        self.lanes.get(feed.index()).copied().unwrap_or_default()
    }

    pub(in crate::media::forward) fn set_lane(&mut self, feed: FeedId, lane: Lane) {
        let at = feed.index();
        if at >= self.lanes.len() {
            self.lanes.resize(at + 1, Lane::New);
        }
        if let Some(place) = self.lanes.get_mut(at) {
            *place = lane;
        }
    }

    /// It sends a feed itself, and is not sent it.
    pub(crate) fn own(&mut self, feed: FeedId) {
        self.set_lane(feed, Lane::Own);
    }

    /// Whether it sends a feed itself.
    pub(in crate::media::forward) fn is_own(&self, feed: FeedId) -> bool {
        self.lane(feed) == Lane::Own
    }

    /// The slot that carries a feed's video.
    pub(in crate::media::forward) fn video_of(&mut self, feed: FeedId) -> Option<&mut VideoSlot> {
        match self.lane(feed) {
            Lane::Slot(at) => self.video.get_mut(usize::from(at)),
            _ => None,
        }
    }

    /// A feed is gone: the slot that carried it becomes free.
    pub(crate) fn forget(&mut self, feed: FeedId, kind: MediaKind) {
        // Whoever never had anything to do with it needs no place for it now.
        if self.lane(feed) == Lane::New && self.lanes.len() <= feed.index() {
            return;
        }
        match kind {
            MediaKind::Video => {
                if let Some(slot) = self.video_of(feed) {
                    let carried = slot.target.is_some();
                    slot.release();
                    self.forwarded_ended |= carried;
                }
            }
            MediaKind::Audio => {
                let mut slots = self.audio.iter();
                if let Some(at) = slots.position(|s| s.feed == Some(feed)) {
                    self.release_audio(at);
                }
            }
        }
        self.set_lane(feed, Lane::New);
    }

    fn release_audio(&mut self, at: usize) {
        if let Some(slot) = self.audio.get_mut(at) {
            slot.release();
        }
        if self.rewriting || at >= self.audio.len() {
            return;
        }
        // SSRCs are the sender's own: nothing to use again but the numbers, should they come back.
        self.audio.swap_remove(at).retire(&mut self.numbers);
        if let Some(feed) = self.audio.get(at).and_then(|moved| moved.feed)
            && matches!(self.lane(feed), Lane::Slot(_))
        {
            self.set_lane(feed, Lane::Slot(at as u16));
        }
    }

    /// An SSRC that nobody uses towards or from it.
    pub(in crate::media::forward) fn new_ssrc(&self, rng: &mut ChaCha12Rng, ssrcs: &Ssrcs) -> u32 {
        ssrcs.fresh(rng, |ssrc| {
            let mut video = self.video.iter();
            video.any(|s| s.ssrc == ssrc || s.rtx_ssrc == Some(ssrc))
                || self.audio.iter().any(|s| s.ssrc == ssrc)
        })
    }

    /// Has fetched where its slots for a burst are.
    #[inline]
    pub(crate) fn fetch_lanes(&self, pass: &Pass<'_>) {
        for segment in pass.segments() {
            if let Some(lane) = self.lanes.get(segment.feed.index()) {
                ahead::fetch(lane);
            }
        }
    }

    /// Has those slots fetched.
    #[inline]
    pub(crate) fn fetch_slots(&self, pass: &Pass<'_>) {
        for segment in pass.segments() {
            let Lane::Slot(at) = self.lane(segment.feed) else {
                continue;
            };
            match segment.audio {
                true => self.audio.get(usize::from(at)).map(ahead::fetch),
                false => self.video.get(usize::from(at)).map(ahead::fetch),
            };
        }
    }

    /// Has fetched what those slots point at.
    #[inline]
    pub(crate) fn fetch_histories(&self, pass: &Pass<'_>) {
        for segment in pass.segments().iter().filter(|s| !s.audio) {
            if let Lane::Slot(at) = self.lane(segment.feed)
                && let Some(slot) = self.video.get(usize::from(at))
            {
                slot.fetch();
            }
        }
    }

    /// How a burst leaves towards it: video, then audio, which may be the short end of what is sent together.
    pub(crate) fn project<'a>(
        &mut self,
        pass: &Pass<'a>,
        ready: &mut SmallVec<[Ready<'a>; 64]>,
    ) -> Visit {
        let mut visit = Visit::default();
        let mut octets = 0;
        for segment in pass.segments().iter().filter(|s| !s.audio) {
            if let Lane::Slot(at) = self.lane(segment.feed)
                && let Some(slot) = self.video.get_mut(usize::from(at))
                && (segment.key || slot.takes(segment.encoding))
            {
                visit.restless |= project_video(slot, pass, segment, ready);
            }
        }
        for packet in ready.iter() {
            octets += u64::from(packet.record.header.payload_len);
        }
        self.resends.earn(octets);
        for segment in pass.segments().iter().filter(|s| s.audio) {
            match self.lane(segment.feed) {
                Lane::Slot(at) => {
                    if let Some(slot) = self.audio.get_mut(usize::from(at)) {
                        let how = (self.rewriting, self.protection.distance());
                        project_audio(slot, how, pass, segment, ready);
                    }
                }
                Lane::Crowded => visit.crowded += pass.packets(segment).len() as u64,
                _ => {}
            }
        }
        visit
    }

    /// A packet that the receiver asks for again: how it leaves, if it does.
    pub(crate) fn resend(
        &mut self,
        now: u64,
        (ssrc, seq): (u32, u16),
        quiet: u64,
        (store, stats): (&Store, &mut Stats),
    ) -> Option<Outgoing> {
        let slot = self.video.iter_mut().find(|s| s.ssrc == ssrc)?;
        slot.rtx_ssrc?;
        let missed = slot.missed(now, seq, quiet).and_then(|missed| {
            let (bytes, _) = store.get(missed.id).ok_or(Refusal::Unknown)?;
            let spent = self.resends.spend(now, bytes.len() as u64);
            spent.then_some(missed).ok_or(Refusal::Spent)
        });
        match missed {
            Ok(missed) => {
                stats.retransmitted += 1;
                slot.resend(now, missed)
            }
            Err(refusal) => {
                stats.retransmit_missed += u64::from(refusal == Refusal::Unknown);
                stats.retransmit_refused += u64::from(refusal == Refusal::Spent);
                None
            }
        }
    }

    /// A report of the client about one of its streams.
    pub(crate) fn reported(&mut self, block: &ReportBlock) {
        if let Some(slot) = self.video.iter_mut().find(|s| s.ssrc == block.ssrc.0) {
            slot.reported(block.highest_seq as u16);
        } else if self.audio.iter().any(|s| s.ssrc == block.ssrc.0) {
            self.protection.reported(block.fraction_lost);
        }
    }

    /// The client says that it has no picture of a stream; the feed to see to now, if any.
    pub(crate) fn picture_lost(&mut self, now: u64, ssrc: u32, rtt: u64) -> Option<FeedId> {
        let slot = self.video.iter_mut().find(|s| s.ssrc == ssrc)?;
        let feed = slot.feed?;
        slot.picture_lost(now, rtt).then_some(feed)
    }

    /// Feeds of which it has not shown yet that it has the wanted picture, and which are to be seen to now.
    pub(crate) fn missing_pictures(&self, now: u64) -> SmallVec<[FeedId; 8]> {
        let due = |s: &&VideoSlot| s.picture_due().is_some_and(|due| now >= due);
        let slots = self.video.iter().filter(due);
        slots.filter_map(|s| s.feed).collect()
    }

    /// When [`Self::missing_pictures`] has something to say next.
    pub(crate) fn pictures_due(&self) -> Option<u64> {
        self.video.iter().filter_map(VideoSlot::picture_due).min()
    }

    /// Gets the stream of a feed a key frame: from the store if there is a recent one, else from the sender.
    pub(crate) fn see_to_picture(
        &mut self,
        now: u64,
        id: FeedId,
        feed: &mut Feed,
        (store, stats): (&Store, &mut Stats),
        emit: &mut impl FnMut(Outgoing),
    ) {
        let live = self.live;
        let begin = self.video.iter().filter(|s| s.picture_due().is_some());
        let begin = begin.count().max(1) as u64;
        let most = self.budget.available().map_or(u64::MAX, |available| {
            let room = available + self.budget.trusted();
            (room / REPLAY_SHARE / begin).max(LEAST_REPLAY)
        });
        let room = self.room();
        let crowded = self.is_crowded(now, id);
        let slow = self.budget.is_short();
        let resends = &mut self.resends;
        let Lane::Slot(at) = self.lanes.get(id.index()).copied().unwrap_or_default() else {
            return;
        };
        let Some(slot) = self.video.get_mut(usize::from(at)) else {
            return;
        };
        let Some(target) = slot.target else {
            return;
        };
        if let Some(until) = slot.on_its_way(now) {
            slot.picture.next_try = until;
            return;
        }
        let eager = slot.picture.tries < EAGER_TRIES;
        slot.picture.tries = slot.picture.tries.saturating_add(1);
        let has_picture = slot.encoding().is_some() && slot.picture.confirmed;
        let (lowest, max_age) = match has_picture {
            true => (target.encoding, REPLAY_AGE_SWITCH),
            false => (0, REPLAY_AGE),
        };
        if live {
            for encoding in (lowest..=target.encoding).rev() {
                let list = feed.replay(encoding, now, max_age);
                let Some(list) = list.filter(|list| bytes_of(list, store) <= most) else {
                    continue;
                };
                let started = slot.start(now, encoding, list, true, store, |out, octets| {
                    resends.earn(octets.into());
                    emit(out);
                });
                if started {
                    stats.keyframe_replays += 1;
                    if encoding == target.encoding {
                        return;
                    }
                    break;
                }
            }
        }
        slot.picture.next_try = now
            + match eager {
                // On a line that is known to carry less than is wanted, patience: each key frame makes it worse for all.
                true if slow => PICTURE_INTERVAL << slot.picture.tries.min(4).saturating_sub(1),
                true => PICTURE_INTERVAL,
                false => PATIENT_INTERVAL,
            };
        // What its sender does not send any more is no matter of lines.
        let stranded = slot.encoding().is_some_and(|e| !feed.comes_in(e, now));
        let wanted = slot.to_ask_for(now, target, feed);
        if stranded || !slot.asks_for_its_line(slow) {
            if slot.may_ask(now) {
                feed.want_key_frame(wanted);
            }
        } else if feed.is_key_frame_under_way(now, wanted) {
            // Nobody knows whether it is lost: asking again costs nothing.
            feed.want_key_frame(wanted);
        } else {
            let mut due = slot
                .line_due(now, room, feed)
                .max(feed.line_due(now, wanted));
            if crowded && !slot.leads {
                due = due.max(now + PICTURE_INTERVAL);
                slot.stop_above(target);
            }
            if due > now {
                slot.picture.next_try = slot.picture.next_try.max(due);
                stats.keyframe_requests_deferred += 1;
                return;
            }
            slot.asked_for_its_line(now, room);
            feed.asked_for_a_line(now, wanted);
            feed.want_key_frame(wanted);
        }
    }

    /// Sender reports that are due, each with the name of who sends the stream.
    pub(crate) fn reports_due<'a>(
        &mut self,
        now: u64,
        feeds: &'a Table<FeedId, Feed>,
    ) -> SmallVec<[(u32, SenderInfo, &'a EndpointId); 8]> {
        let mut due = SmallVec::new();
        for slot in self.video.iter_mut().filter(|s| now >= s.next_report) {
            let (Some(feed), Some(encoding)) =
                (slot.feed.and_then(|f| feeds.get(f)), slot.encoding())
            else {
                continue;
            };
            let clock = feed.clock(encoding).filter(|_| slot.packets > 0);
            if let Some(info) = clock.and_then(|c| slot.sender_info(now, &c)) {
                slot.next_report = now + REPORT_INTERVAL;
                due.push((slot.ssrc, info, feed.owner()));
            }
        }
        for slot in self.audio.iter_mut().filter(|s| now >= s.next_report) {
            let Some(feed) = slot.feed.and_then(|f| feeds.get(f)) else {
                continue;
            };
            let recent = now.saturating_sub(slot.used_at) < 2 * REPORT_INTERVAL;
            let clock = feed.clock(0).filter(|_| recent);
            if let Some(info) = clock.and_then(|c| slot.sender_info(now, &c)) {
                slot.next_report = now + REPORT_INTERVAL;
                due.push((slot.ssrc, info, feed.owner()));
            }
        }
        due
    }

    /// Lines of the video map for slots, by index.
    pub(crate) fn video_map(
        &self,
        feeds: &Table<FeedId, Feed>,
        slots: impl Iterator<Item = usize>,
    ) -> Vec<SourceMapEntry> {
        let entry = |at: usize| {
            let slot = self.video.get(at)?;
            let feed = feeds.get(slot.feed?)?;
            Some(SourceMapEntry {
                source: feed.name().clone(),
                owner: feed.owner().clone(),
                ssrc: slot.ssrc,
                rtx: slot.rtx_ssrc,
                video_type: feed.video_type(),
            })
        };
        slots.filter_map(entry).collect()
    }

    /// Lines of the audio map for slots, by index.
    pub(crate) fn audio_map(
        &self,
        feeds: &Table<FeedId, Feed>,
        slots: impl Iterator<Item = usize>,
    ) -> Vec<SourceMapEntry> {
        let entry = |at: usize| {
            let slot = self.audio.get(at)?;
            let feed = feeds.get(slot.feed?)?;
            Some(SourceMapEntry {
                source: feed.name().clone(),
                owner: feed.owner().clone(),
                ssrc: slot.ssrc,
                rtx: None,
                video_type: None,
            })
        };
        slots.filter_map(entry).collect()
    }

    /// The whole of both maps: video, audio.
    pub(crate) fn maps(
        &self,
        feeds: &Table<FeedId, Feed>,
    ) -> (Vec<SourceMapEntry>, Vec<SourceMapEntry>) {
        (
            self.video_map(feeds, 0..self.video.len()),
            self.audio_map(feeds, 0..self.audio.len()),
        )
    }
}

/// Size of what is to be replayed, bytes.
fn bytes_of(list: &[Published], store: &Store) -> u64 {
    let packets = list.iter().filter_map(|p| store.get(p.id));
    packets.map(|(bytes, _)| bytes.len() as u64).sum()
}

/// Puts packets of an encoding through a slot; whether a picture is to be looked at again soon.
fn project_video<'a>(
    slot: &mut VideoSlot,
    pass: &Pass<'a>,
    segment: &Segment,
    ready: &mut SmallVec<[Ready<'a>; 64]>,
) -> bool {
    let tries = slot.picture.next_try;
    for loaded in pass.packets(segment) {
        let Some(record) = loaded.record else {
            slot.skip(segment.encoding, loaded.arrived.packet.seq);
            continue;
        };
        let key = loaded.arrived.what == Arrival::Video { key: true };
        if key
            && (slot.accepts_keyframe(segment.encoding)
                || !slot.continues(segment.encoding, record))
        {
            begin(slot, pass, segment, ready);
        } else if let Some(out) = slot.offer(
            pass.now,
            segment.encoding,
            &loaded.arrived.packet,
            record,
            key,
        ) {
            ready.push(Ready {
                out,
                bytes: loaded.bytes,
                record,
            });
        }
    }
    slot.picture.next_try < tries
}

/// A slot begins an encoding at its newest key frame.
#[cold]
fn begin<'a>(
    slot: &mut VideoSlot,
    pass: &Pass<'a>,
    segment: &Segment,
    ready: &mut SmallVec<[Ready<'a>; 64]>,
) {
    let Some(feed) = pass.feeds.get(segment.feed) else {
        return;
    };
    let list = feed.since_key(segment.encoding);
    slot.start(
        pass.now,
        segment.encoding,
        list,
        false,
        pass.store,
        |out, _| {
            if let Some((bytes, record)) = pass.store.get(out.id) {
                ready.push(Ready { out, bytes, record });
            }
        },
    );
}

fn project_audio<'a>(
    slot: &mut AudioSlot,
    (rewriting, redundancy): (bool, u8),
    pass: &Pass<'a>,
    segment: &Segment,
    ready: &mut SmallVec<[Ready<'a>; 64]>,
) {
    for loaded in pass.packets(segment) {
        if let Loaded {
            arrived,
            bytes,
            record: Some(record),
        } = *loaded
        {
            let how = (rewriting, redundancy);
            let out = slot.forward(pass.now, how, arrived.packet.id, record);
            ready.push(Ready { out, bytes, record });
        }
    }
}
