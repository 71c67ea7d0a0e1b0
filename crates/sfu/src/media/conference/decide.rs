//! Decisions: what decides is run on what it needs, and what comes of it is carried out.

use super::Conference;
use crate::media::context::Context;
use crate::media::forward::{AudioPlan, Plan, Stage};
use crate::media::ingest::Floor;
use crate::media::table::PeerId;

impl Conference {
    /// Runs `f` on what decides, and carries out what comes of it.
    pub(super) fn decide(
        &mut self,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut Context<'_>, &mut Plan, &mut AudioPlan, &mut Stage<'_>, &Floor),
    ) {
        let mut stage = Stage {
            feeds: &mut self.feeds,
            videos: &self.videos,
            receivers: &mut self.receivers,
            ssrcs: &self.ssrcs,
            replays: &mut self.replays,
            wanted: &mut self.wanted,
            demands: &mut self.demands,
            restless: &mut self.restless,
        };
        f(cx, &mut self.plan, &mut self.audio, &mut stage, &self.floor);
        self.carry_out(cx);
    }

    pub(super) fn carry_out(&mut self, cx: &mut Context<'_>) {
        while let Some((peer, out)) = self.replays.pop_front() {
            if let Some(way_out) = self.outs.get_mut(peer) {
                way_out.push(cx.us, out, cx.stats);
                self.has_single(peer);
            }
        }
        while let Some(feed) = self.wanted.pop() {
            self.ask_for_key_frames(cx, feed);
        }
        for (feed, max_height) in std::mem::take(&mut self.demands) {
            self.tell_demand(cx, feed, max_height);
        }
        while let Some(peer) = self.restless.pop() {
            self.schedule(cx, peer);
        }
        while let Some(peer) = self.waiting.pop() {
            self.after_flush(cx, peer);
        }
    }

    /// Decides who gets what, as far as something changed.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>) {
        if self.plan.is_unsettled() {
            self.decide(cx, |cx, plan, _, stage, floor| {
                plan.settle(cx, stage, floor);
            });
            if self.plan.is_unsettled() {
                self.schedule_look(cx, cx.us);
            }
        }
    }

    /// A receiver that has not shown yet that it has a picture is seen to again, as far as that is due at `due`.
    pub(super) fn see_to_missing_pictures(&mut self, cx: &mut Context<'_>, peer: PeerId, due: u64) {
        let Some(receiver) = self.receivers.get(peer) else {
            return;
        };
        let feeds = receiver.missing_pictures(due);
        if feeds.is_empty() {
            return;
        }
        self.decide(cx, |cx, _, _, stage, _| {
            for feed in feeds {
                stage.see_to_picture(cx, peer, feed);
            }
        });
    }
}
