//! What a receiver wants of video, and how it shares out what it may be sent.

use super::{Lane, REPLAY_AGE_SWITCH, Receiver};
use crate::media::forward::allocation::{Decision, Wanted};
use crate::media::forward::fit::{Contender, Held, fit, is_screen, outlook};
use crate::media::forward::slot::{Target, VideoSlot};
use crate::media::ids::SourceName;
use crate::media::ingest::Feed;
use crate::media::spec::{Encodings, Source};
use crate::media::stats::StreamStats;
use crate::media::table::{FeedId, Table};
use smallvec::SmallVec;

/// A key frame so old is still worth beginning a stream with, microseconds: what followed it is little.
const FRESH: u64 = 500_000;

impl Receiver {
    /// Takes down what is wanted, most wanted first: what is on stage, shared screens, then the rest in its order. What is
    /// wanted no more gets nothing.
    pub(in crate::media::forward) fn want(
        &mut self,
        decisions: &[Decision],
        feeds: &Table<FeedId, Feed>,
    ) {
        self.wanted.clear();
        let mut dropped: SmallVec<[FeedId; 8]> = SmallVec::new();
        let mut ranked: SmallVec<[(u8, Wanted); 16]> = SmallVec::new();
        for decision in decisions {
            let (feed, Some(source)) = (decision.feed, feeds.get(decision.feed)) else {
                continue;
            };
            if decision.constraint == 0 {
                dropped.push(feed);
                continue;
            }
            let on_stage = self.settings.is_on_stage(source.name());
            let rank = match on_stage {
                true => 0,
                false if source.video_type().is_some_and(is_screen) => 1,
                false => 2,
            };
            ranked.push((rank, Wanted { feed, on_stage }));
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        self.wanted
            .extend(ranked.into_iter().map(|(_, wanted)| wanted));
        self.unwanted = dropped.into_vec();
    }

    /// Decides about layers: of everything wanted by what there is, and nothing of what is not wanted any more.
    pub(in crate::media::forward) fn share_out(
        &mut self,
        now: u64,
        feeds: &Table<FeedId, Feed>,
    ) -> SmallVec<[(FeedId, Option<Target>); 16]> {
        let unwanted = std::mem::take(&mut self.unwanted);
        let mut targets: SmallVec<[(FeedId, Option<Target>); 16]> =
            unwanted.into_iter().map(|feed| (feed, None)).collect();
        for (feed, _) in &targets {
            if let Some(slot) = self.video_of(*feed) {
                slot.starved = false;
            }
        }
        let wanted = std::mem::take(&mut self.wanted);
        let contenders: SmallVec<[(FeedId, Contender); 8]> = wanted
            .iter()
            .filter_map(|w| Some((w.feed, self.contender(now, *w, feeds)?)))
            .collect();
        self.wanted = wanted;
        let (names, contenders): (SmallVec<[FeedId; 16]>, Vec<Contender>) =
            contenders.into_iter().unzip();
        let assumed = self.settings.assumed_bandwidth();
        let (budget, trusted) = match assumed {
            Some(_) => (assumed, 0),
            None => (self.budget.to_share(now), self.budget.trusted()),
        };
        let fit = fit(&contenders, budget, trusted, self.budget.may_climb(now));
        self.budget.fitted(now, &fit);
        for (at, (feed, target)) in names.into_iter().zip(fit.targets).enumerate() {
            if let Some(slot) = self.video_of(feed) {
                slot.leads = fit.leader == Some(at);
                slot.starved = target.is_none();
            }
            targets.push((feed, target));
        }
        targets
    }

    fn contender(
        &self,
        now: u64,
        wanted: Wanted,
        feeds: &Table<FeedId, Feed>,
    ) -> Option<Contender> {
        let feed = feeds.get(wanted.feed)?;
        let slot = self.carrier(wanted.feed)?;
        Some(Contender {
            layers: feed.layers(now),
            constraint: slot.constraint,
            video_type: feed.video_type()?,
            on_stage: wanted.on_stage,
            switchable: self.switchable(now, slot, feed),
            held: match slot.target {
                None if !slot.starved => Held::New,
                held => Held::At(held),
            },
        })
    }

    /// The encodings that a stream may take something of that begins at a key frame: what was asked for, or may be.
    fn switchable(&self, now: u64, slot: &VideoSlot, feed: &Feed) -> Encodings {
        let all = Encodings::first(Source::MAX_ENCODINGS);
        let fresh = match slot.target {
            None => FRESH,
            Some(_) => REPLAY_AGE_SWITCH,
        };
        if slot.wants_keyframe() || slot.is_wish() {
            return all;
        }
        if slot.feed.is_none_or(|id| self.is_crowded(now, id)) {
            return Encodings::default();
        }
        let slot_due = slot.line_due(now, self.room(), feed);
        let due = all
            .iter()
            .filter(|e| now >= slot_due.max(feed.line_due(now, *e)));
        feed.with_key_frame(now, fresh).or(due.collect())
    }

    /// Whether it is sent less than all of a source, since its line carries no more.
    pub(in crate::media::forward) fn would_take_key_frame(&self, feed: FeedId) -> bool {
        self.budget.is_limited() && self.carrier(feed).is_some_and(|slot| slot.constraint != 0)
    }

    /// What is wanted and sent, most wanted first.
    pub(in crate::media::forward) fn taken(
        &mut self,
        feeds: &Table<FeedId, Feed>,
    ) -> Vec<SourceName> {
        let wanted = std::mem::take(&mut self.wanted);
        let taken = wanted.iter().filter_map(|w| {
            let slot = self.video_of(w.feed)?;
            slot.target?;
            Some(feeds.get(w.feed)?.name().clone())
        });
        let taken = taken.collect();
        self.wanted = wanted;
        taken
    }

    fn carrier(&self, feed: FeedId) -> Option<&VideoSlot> {
        match self.lane(feed) {
            Lane::Slot(at) => self.video.get(usize::from(at)),
            _ => None,
        }
    }

    /// Whether it is sent nothing of a source that it wants, since its line carries no more.
    pub(crate) fn has_suspended(&self) -> bool {
        let nothing = |wanted: &Wanted| {
            let slot = self.carrier(wanted.feed);
            slot.is_some_and(|slot| slot.target.is_none())
        };
        self.budget.is_limited() && self.wanted.iter().any(nothing)
    }

    /// What is sent of each source that is wanted, most wanted first, and why not more.
    pub(crate) fn streams(&self, now: u64, feeds: &Table<FeedId, Feed>) -> Vec<StreamStats> {
        let stream = |wanted: &Wanted| {
            let contender = self.contender(now, *wanted, feeds)?;
            let slot = self.carrier(wanted.feed)?;
            let outlook = outlook(&contender);
            let target = slot.target.zip(outlook.now);
            Some(StreamStats {
                source: feeds.get(wanted.feed)?.name().clone(),
                wanted: contender.constraint,
                on_stage: wanted.on_stage,
                target: target.map(|(t, (height, rate))| (height, t.temporal, rate)),
                arrived: slot.target.is_none() || !slot.wants_keyframe(),
                best: outlook.best,
                missing: outlook.missing,
                steps: outlook.steps,
            })
        };
        self.wanted.iter().filter_map(stream).collect()
    }
}
