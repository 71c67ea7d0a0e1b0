//! Who gets which video, brought into line with what everybody wants: incrementally, so that one change touches what it
//! concerns, and in slices, so that packets never wait for it.

use super::allocation::{Candidates, Decision, allocate};
use super::receiver::{Lane, MAX_SLOTS, Receiver};
use super::stage::Stage;
use crate::media::context::Context;
use crate::media::event::ChannelNotice;
use crate::media::ingest::{Feed, Floor};
use crate::media::spec::VideoType;
use crate::media::table::{FeedId, Key, KeySet, PeerId, Table};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Receivers looked at in one slice.
const SLICE: usize = 8;
/// Receivers that share out their bandwidth anew in one slice: each takes less.
const SHARE_SLICE: usize = 12;

/// How often each height is wanted of a feed, and what its sender was told.
#[derive(Debug, Default)]
struct Demand {
    heights: SmallVec<[(i32, u32); 4]>,
    told: Option<i32>,
}

impl Demand {
    fn change(&mut self, from: i32, to: i32) {
        if let Some(entry) = self.heights.iter_mut().find(|(h, _)| *h == from) {
            entry.1 = entry.1.saturating_sub(1);
        }
        match self.heights.iter_mut().find(|(h, _)| *h == to) {
            Some(entry) => entry.1 += 1,
            None => self.heights.push((to, 1)),
        }
        self.heights.retain(|(h, count)| *count > 0 && *h != 0);
    }

    /// The greatest height anybody wants; -1 is no limit and beats all heights, 0 is nothing.
    fn greatest(&self) -> i32 {
        let heights = || self.heights.iter().map(|(h, _)| *h);
        match heights().any(|h| h < 0) {
            true => -1,
            false => heights().max().unwrap_or(0),
        }
    }
}

/// What is known of a feed's receivers.
#[derive(Debug, Default)]
struct Audience {
    takers: Vec<PeerId>,
    demand: Demand,
    in_use: bool,
    /// It was given a slot of somebody.
    is_known: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    candidates: Candidates,
    /// The candidates are to be listed anew.
    stale: bool,
    audiences: Vec<Audience>,
    /// Receivers to decide for.
    queue: VecDeque<PeerId>,
    queued: Table<PeerId, ()>,
    /// Receivers that are to choose among the layers of what they want anew.
    shares: VecDeque<PeerId>,
    shared: Table<PeerId, ()>,
    /// Feeds whose demand may have changed.
    changed_demands: Vec<FeedId>,
}

impl Plan {
    /// A receiver came, or wants something else.
    pub(crate) fn receiver_changed(&mut self, peer: PeerId) {
        if self.queued.get(peer).is_none() {
            self.queued.set(peer, ());
            self.queue.push_back(peer);
        }
    }

    /// Sources came, went, or were switched on or off: everybody may get something else.
    pub(crate) fn sources_changed(&mut self, receivers: &Table<PeerId, Receiver>) {
        self.stale = true;
        receivers
            .keys()
            .for_each(|peer| self.receiver_changed(peer));
    }

    /// Sources stand in another order: of interest to those who want a limited number.
    pub(crate) fn order_changed(&mut self, receivers: &Table<PeerId, Receiver>) {
        self.stale = true;
        let crowded = self.candidates.len() > MAX_SLOTS;
        let concerned = receivers.iter();
        let concerned = concerned.filter(|(_, r)| crowded || r.settings.is_limited());
        concerned.for_each(|(peer, _)| self.receiver_changed(peer));
    }

    /// Layers of a feed came, went, or turned out to be of another height.
    pub(crate) fn layers_changed(&mut self, feed: FeedId) {
        let audience = self.audiences.get(feed.index());
        let takers: SmallVec<[PeerId; 32]> =
            audience.map_or_else(SmallVec::new, |a| a.takers.iter().copied().collect());
        takers
            .into_iter()
            .for_each(|taker| self.budget_changed(taker));
    }

    /// A key frame of a feed came: who has less of it than wanted may go on with it.
    pub(crate) fn key_frame_came(&mut self, feed: FeedId, receivers: &Table<PeerId, Receiver>) {
        let waiting = receivers.iter();
        let waiting = waiting.filter(|(_, r)| r.would_take_key_frame(feed));
        waiting.for_each(|(peer, _)| self.budget_changed(peer));
    }

    /// A receiver may be sent more or less than before, or other layers.
    pub(crate) fn budget_changed(&mut self, peer: PeerId) {
        if self.shared.get(peer).is_none() {
            self.shared.set(peer, ());
            self.shares.push_back(peer);
        }
    }

    /// Whether a receiver waits to share out its bandwidth.
    pub(crate) fn has_shares(&self) -> bool {
        !self.shares.is_empty()
    }

    /// A feed begins.
    pub(crate) fn feed_added(&mut self, feed: FeedId) {
        let audience = self.audience(feed);
        *audience = Audience {
            in_use: true,
            ..Audience::default()
        };
        self.changed_demands.push(feed);
    }

    /// A feed is gone; whether receivers have slots that carried it.
    pub(crate) fn forget(&mut self, feed: FeedId) -> bool {
        self.stale = true;
        std::mem::take(self.audience(feed)).is_known
    }

    /// A receiver is gone.
    pub(crate) fn receiver_removed(&mut self, peer: PeerId, receiver: &Receiver) {
        for slot in &receiver.video {
            if let Some(feed) = slot.feed {
                self.leave(peer, feed, slot.constraint);
            }
        }
    }

    fn audience(&mut self, feed: FeedId) -> &mut Audience {
        let at = feed.index();
        if at >= self.audiences.len() {
            self.audiences.resize_with(at + 1, Audience::default);
        }
        // The place was just made.
        &mut self.audiences[at]
    }

    fn leave(&mut self, peer: PeerId, feed: FeedId, constraint: i32) {
        let audience = self.audience(feed);
        audience.takers.retain(|taker| *taker != peer);
        audience.demand.change(constraint, 0);
        self.changed_demands.push(feed);
    }

    /// Adds those who take a feed's video to a set.
    pub(crate) fn add_takers(&self, feed: FeedId, set: &mut KeySet) {
        let audience = self.audiences.get(feed.index());
        let takers = audience.into_iter().flat_map(|a| &a.takers);
        takers.for_each(|taker| set.insert(*taker));
    }

    /// What a sender was told of the demand for one of its feeds.
    pub(crate) fn told(&self, feed: FeedId) -> Option<i32> {
        self.audiences.get(feed.index())?.demand.told
    }

    /// Whether there is something to decide.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.queue.is_empty() || !self.shares.is_empty() || !self.changed_demands.is_empty()
    }

    /// Decides for some of those who wait and brings everything into line with it. `floor`: who spoke last comes
    /// first. Call again while unsettled.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>, floor: &Floor) {
        if !self.is_unsettled() {
            return;
        }
        if std::mem::take(&mut self.stale) {
            self.candidates = candidates(stage, floor);
        }
        for _ in 0..SHARE_SLICE {
            let Some(peer) = self.shares.pop_front() else {
                break;
            };
            self.shared.remove(peer);
            self.share_out(cx, stage, peer, &[]);
        }
        for _ in 0..SLICE {
            let Some(peer) = self.queue.pop_front() else {
                break;
            };
            self.queued.remove(peer);
            self.decide(cx, stage, peer);
        }
        // Until all have decided, a demand may be half of what it becomes.
        if self.queue.is_empty() {
            self.tell_senders(stage);
        }
    }

    fn decide(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>, peer: PeerId) {
        let Some(receiver) = stage.receivers.get_mut(peer) else {
            return;
        };
        let decisions = allocate(
            &receiver.settings,
            &self.candidates,
            |feed| receiver.is_own(feed),
            MAX_SLOTS,
        );
        let bound = self.bind(cx, stage, peer, &decisions);
        if let Some(receiver) = stage.receivers.get_mut(peer) {
            for decision in &decisions {
                if let Some(slot) = receiver.video_of(decision.feed) {
                    let before = std::mem::replace(&mut slot.constraint, decision.constraint);
                    if before != decision.constraint {
                        slot.wished();
                    }
                    self.demanded(decision, before);
                }
            }
            receiver.want(&decisions, stage.feeds);
        }
        self.share_out(cx, stage, peer, &bound);
    }

    /// A receiver's wish for a feed is another one.
    fn demanded(&mut self, decision: &Decision, before: i32) {
        if before != decision.constraint {
            let demand = &mut self.audience(decision.feed).demand;
            demand.change(before, decision.constraint);
            self.changed_demands.push(decision.feed);
        }
    }

    /// A receiver shares out what it may be sent among what it wants. `bound`: slots to announce.
    fn share_out(
        &mut self,
        cx: &mut Context<'_>,
        stage: &mut Stage<'_>,
        peer: PeerId,
        bound: &[usize],
    ) {
        let Some(receiver) = stage.receivers.get_mut(peer) else {
            return;
        };
        let mut changed = false;
        let mut wanting: SmallVec<[FeedId; 8]> = SmallVec::new();
        let room = receiver.room();
        for (feed, target) in receiver.share_out(cx.us, stage.feeds) {
            let Some(slot) = receiver.video_of(feed) else {
                continue;
            };
            let took = slot.target.is_some();
            let is_news = slot.target != target;
            if is_news {
                slot.set_target(target);
            }
            let sooner = |source| slot.may_ask_sooner(cx.us, room, source);
            if slot.wants_keyframe() && (is_news || stage.feeds.get(feed).is_some_and(sooner)) {
                wanting.push(feed);
            }
            changed |= self.takes(peer, feed, took, target.is_some());
        }
        if let Some(receiver) = stage.receivers.get(peer) {
            let (raised, lowered) = receiver.budget().changes();
            cx.stats.layers_raised += u64::from(raised);
            cx.stats.layers_lowered += u64::from(lowered);
        }
        self.tell_receiver(cx, stage, peer, changed, bound);
        for feed in wanting {
            stage.see_to_picture(cx, peer, feed);
        }
    }

    /// Notes whether a receiver takes a feed; whether that changed.
    fn takes(&mut self, peer: PeerId, feed: FeedId, took: bool, takes: bool) -> bool {
        let takers = &mut self.audience(feed).takers;
        match (took, takes) {
            (false, true) => takers.push(peer),
            (true, false) => takers.retain(|taker| *taker != peer),
            _ => {}
        }
        took != takes
    }

    /// Tells a receiver which sources it gets, and by which SSRCs.
    fn tell_receiver(
        &self,
        cx: &mut Context<'_>,
        stage: &mut Stage<'_>,
        peer: PeerId,
        changed: bool,
        bound: &[usize],
    ) {
        let Some(receiver) = stage.receivers.get_mut(peer) else {
            return;
        };
        if receiver.is_forwarded_stale(changed) {
            let taken = receiver.taken(stage.feeds);
            let known = &mut receiver.forwarded;
            if known.len() != taken.len() || !taken.iter().all(|name| known.contains(name)) {
                known.clone_from(&taken);
                cx.notice(receiver.id(), ChannelNotice::ForwardedSources(taken));
            }
        }
        let map = receiver.video_map(stage.feeds, bound.iter().copied());
        if !map.is_empty() {
            cx.notice(receiver.id(), ChannelNotice::VideoSourcesMap(map));
        }
    }

    /// Gives slots to sources that need one; those that were bound and are to be announced.
    fn bind(
        &mut self,
        cx: &mut Context<'_>,
        stage: &mut Stage<'_>,
        peer: PeerId,
        decisions: &[Decision],
    ) -> Vec<usize> {
        let mut bound = Vec::new();
        let available = || decisions.iter().filter(|d| d.available);
        let wanted = available().filter(|d| d.constraint != 0);
        let idle = available().filter(|d| d.constraint == 0);
        for (decision, needed) in wanted.map(|d| (d, true)).chain(idle.map(|d| (d, false))) {
            let Some(receiver) = stage.receivers.get_mut(peer) else {
                break;
            };
            if matches!(receiver.lane(decision.feed), Lane::Slot(_)) {
                continue;
            }
            // Nothing is announced to who has not asked for anything yet.
            let may_announce = receiver.is_rewriting() && receiver.settings.was_heard();
            if !needed && !may_announce {
                continue;
            }
            let Some(feed) = stage.feeds.get(decision.feed) else {
                continue;
            };
            let at = receiver.free_video_slot(cx, stage.ssrcs, feed, needed, decisions);
            let Some((at, former)) = at else { continue };
            if let Some(slot) = receiver.video.get_mut(at) {
                slot.bind(decision.feed, cx.us);
            }
            self.audience(decision.feed).is_known = true;
            receiver.set_lane(decision.feed, Lane::Slot(at as u16));
            if receiver.is_rewriting() {
                bound.push(at);
            }
            if let Some((feed, constraint)) = former {
                self.leave(peer, feed, constraint);
            }
        }
        bound
    }

    /// Another part of the conference wants another height of a feed than before.
    pub(crate) fn demand_elsewhere(&mut self, feed: FeedId, from: i32, to: i32) {
        if from != to {
            self.audience(feed).demand.change(from, to);
            self.changed_demands.push(feed);
        }
    }

    fn tell_senders(&mut self, stage: &mut Stage<'_>) {
        let mut changed = std::mem::take(&mut self.changed_demands);
        changed.sort_unstable();
        changed.dedup();
        for feed in changed {
            let Some(source) = stage.feeds.get(feed) else {
                continue;
            };
            let audience = self.audience(feed);
            let demand = &mut audience.demand;
            let height = demand.greatest();
            if !audience.in_use || source.video_type().is_none() || demand.told == Some(height) {
                continue;
            }
            demand.told = Some(height);
            stage.demands.push((feed, height));
        }
    }
}

/// Video sources: of endpoints that have video on first, each group in the order of speech.
fn candidates(stage: &Stage<'_>, floor: &Floor) -> Candidates {
    let ranked = |id: &FeedId| {
        let feed = stage.feeds.get(*id)?;
        Some((floor.rank(feed.owner())?, *id, feed))
    };
    let mut videos: Vec<(i64, FeedId, &Feed)> = stage.videos.iter().filter_map(ranked).collect();
    videos.sort_unstable_by_key(|(rank, id, _)| (*rank, *id));
    let enabled = |feed: &Feed| feed.video_type() != Some(VideoType::Disabled);
    let owners = videos.chunk_by(|a, b| a.0 == b.0);
    let (with, without): (Vec<_>, Vec<_>) =
        owners.partition(|sources| sources.iter().any(|(_, _, f)| enabled(f)));
    let sources = with.into_iter().chain(without).flatten();
    Candidates::new(sources.map(|(_, id, feed)| (*id, feed.name().clone(), enabled(feed))))
}
