//! What lines carry: from the way out, which estimates it, to those who decide who gets what.

use super::Conference;
use crate::media::context::Context;
use crate::media::event::ChannelNotice;
use crate::media::forward::Room;
use crate::media::table::PeerId;

/// Parts of probes, and what waits, may leave so much early, microseconds: timers are coarse.
const PROBE_AHEAD: u64 = 5_000;
/// A receiver is told what its line carries this often, microseconds.
const TELL_INTERVAL: u64 = 10_000_000;

impl Conference {
    /// What the line of a receiver carries may be something else now.
    pub(super) fn review_budget(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let (Some(receiver), Some(out)) = (self.receivers.get_mut(peer), self.outs.get_mut(peer))
        else {
            return;
        };
        let bandwidth = out.bandwidth_mut();
        let line = bandwidth.target(cx.us);
        let room = Room {
            available: bandwidth.for_video(cx.us),
            trusted: bandwidth.trusted(cx.us),
            sure: bandwidth.is_sure(cx.us),
        };
        out.set_pace(cx.us, receiver.budget().rates().0, room.trusted);
        let bandwidth = out.bandwidth_mut();
        if receiver.set_line(cx.us, line, room) {
            self.plan.budget_changed(peer);
        }
        let (taken, ideal) = receiver.budget().rates();
        bandwidth.demand(cx.us, ideal, taken > 0);
        if let Some(target) = bandwidth
            .target(cx.us)
            .filter(|_| receiver.is_tell_due(cx.us, TELL_INTERVAL))
        {
            let notice = ChannelNotice::ConnectionStats {
                estimated_downlink: target,
            };
            cx.notice(receiver.id(), notice);
        }
        if receiver.is_live() && receiver.can_fill() && out.begin_probe(cx.us) {
            self.has_single(peer);
        }
    }

    /// A probe of a receiver's line goes on: what there is to fill it with is given to the way out.
    pub(super) fn fill_probe(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let (Some(receiver), Some(out)) = (self.receivers.get_mut(peer), self.outs.get_mut(peer))
        else {
            return;
        };
        let missing = out.probe_missing(cx.us);
        if missing > 0 {
            let from = (&*cx.store, &self.feeds);
            receiver.fill(cx.us, missing, from, |filler| out.push_filler(filler));
        }
    }

    /// What was given up on the way goes on at a key frame, and what waits has its time.
    pub(super) fn after_flush(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        if let (Some(receiver), Some(out)) = (self.receivers.get_mut(peer), self.outs.get_mut(peer))
        {
            for ssrc in out.take_interrupted() {
                cx.stats.interrupted += 1;
                receiver.interrupted(ssrc);
            }
        }
        self.schedule(cx, peer);
    }

    /// Whether something waits for its time, which has come.
    pub(super) fn let_waiting_leave(&mut self, cx: &Context<'_>, peer: PeerId) {
        let due = self.outs.get(peer).and_then(|out| out.due(cx.us));
        if due.is_some_and(|at| at <= cx.us + PROBE_AHEAD) {
            self.has_single(peer);
        }
    }

    /// An endpoint was looked at: its estimator may have had something to do, and what its line carries is looked at.
    pub(super) fn tick_bandwidth(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        if let Some(out) = self.outs.get_mut(peer) {
            let bandwidth = out.bandwidth_mut();
            if bandwidth.poll_timeout().is_some_and(|at| at <= cx.us) {
                bandwidth.on_timer(cx.us);
            }
        }
        self.review_budget(cx, peer);
    }
}
