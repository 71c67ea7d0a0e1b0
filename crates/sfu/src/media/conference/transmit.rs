//! The way out: a burst is offered to each receiver once, and what else waits leaves with it.

use super::Conference;
use crate::media::context::Context;
use crate::media::egress::{Egress, Outlet};
use crate::media::forward::Pass;
use crate::media::packet::{Arrival, Ready};
use crate::media::table::{Key, PeerId, Walk};
use smallvec::SmallVec;
use std::time::Duration;

/// Visits of receivers, with the next four in sight.
type Ahead = Walk<PeerId, 4>;

impl Conference {
    /// Whether something is to be sent, now or when a burst is complete.
    pub(crate) fn has_output(&self) -> bool {
        !self.burst.is_empty()
            || !self.sending.is_empty()
            || !self.singles.is_empty()
            || self.plan.has_shares()
    }

    /// When something is to be sent at the latest.
    pub(crate) fn output_due(&self, now: u64, window: u64) -> Option<u64> {
        let idle = self.sending.is_empty() && self.singles.is_empty();
        match idle && !self.plan.has_shares() {
            true => self.burst.deadline(window),
            false => Some(now),
        }
    }

    /// Writes what is due; `true` if the arena filled up and there is more.
    pub(crate) fn transmit(&mut self, cx: &mut Context<'_>, egress: &mut Egress) -> bool {
        self.settle(cx);
        if !self.send_burst(cx, egress) {
            return true;
        }
        let window = cx.config.burst_window.as_micros() as u64;
        if self.burst.is_ready(cx.us, window) {
            self.begin(cx);
            if !self.send_burst(cx, egress) {
                return true;
            }
        }
        while let Some(peer) = self.singles.pop_front() {
            self.has_singles.remove(peer);
            self.fill_probe(cx, peer);
            let waits = self
                .outs
                .get_mut(peer)
                .is_some_and(|out| out.flush(&mut outlet(cx), &[], egress));
            if waits {
                self.after_flush(cx, peer);
            }
            if egress.is_full() {
                return true;
            }
        }
        false
    }

    /// The burst is complete: sees to it that all who want it know how they get it, and lists them.
    fn begin(&mut self, cx: &mut Context<'_>) {
        self.sending.clear();
        std::mem::swap(&mut self.burst, &mut self.sending);
        self.sending.sort();
        self.siblings.burst_complete();
        self.visits.clear();
        self.next_visit = 0;
        let feeds: SmallVec<[_; 16]> = self.sending.feeds().collect();
        let mut all = false;
        for (feed, what) in feeds {
            if what == Arrival::Audio {
                all = true;
                self.decide(cx, |cx, _, audio, stage, _| audio.prepare(cx, stage, feed));
            } else {
                self.plan.add_takers(feed, &mut self.visits);
            }
        }
        if all {
            self.receivers.keys().for_each(|k| self.visits.insert(k));
        }
        for (peer, crossing) in self.crossings.iter() {
            if self.sending.feeds().any(|(feed, _)| crossing.takes(feed)) {
                self.visits.insert(peer);
            }
        }
    }

    /// Has fetched what the next visits need, step by step: each finds its way by what the one before has brought.
    #[inline]
    fn fetch_ahead(&self, walk: &Ahead, pass: &Pass<'_>) {
        if let Some(peer) = walk.coming(3) {
            self.receivers.fetch(peer);
            self.outs.fetch(peer);
        }
        if let Some(peer) = walk.coming(2) {
            self.receivers.get(peer).inspect(|r| r.fetch_lanes(pass));
            self.outs.get(peer).inspect(|out| out.fetch());
        }
        if let Some(receiver) = walk.coming(1).and_then(|p| self.receivers.get(p)) {
            receiver.fetch_slots(pass);
        }
        if let Some(receiver) = walk.coming(0).and_then(|p| self.receivers.get(p)) {
            receiver.fetch_histories(pass);
        }
    }

    /// Visits receivers with what is being sent; `false` if the arena filled up before all were.
    fn send_burst(&mut self, cx: &mut Context<'_>, egress: &mut Egress) -> bool {
        if self.sending.is_empty() {
            return true;
        }
        let waited = cx.us.saturating_sub(self.sending.since());
        let mut crowded = 0;
        let mut done = true;
        {
            let pass = Pass::new(cx.us, &self.sending, &self.feeds, cx.store);
            let mut outlet = Outlet {
                now: cx.us,
                store: cx.store,
                stats: cx.stats,
                pad: cx.config.pad_bursts,
                waited: Some(Duration::from_micros(waited)),
            };
            let mut ready: SmallVec<[Ready<'_>; 64]> = SmallVec::new();
            let mut walk = Ahead::new(&self.visits, self.next_visit);
            while let Some(peer) = walk.step(&self.visits) {
                self.fetch_ahead(&walk, &pass);
                if egress.is_full() {
                    done = false;
                    break;
                }
                self.next_visit = peer.index() + 1;
                let Some(out) = self.outs.get_mut(peer) else {
                    continue;
                };
                let Some(receiver) = self.receivers.get_mut(peer) else {
                    if let Some(crossing) = self.crossings.get_mut(peer)
                        && out.is_connected()
                    {
                        ready.clear();
                        crossing.project(&pass, &mut ready);
                        out.flush(&mut outlet, &ready, egress);
                    }
                    continue;
                };
                if !receiver.is_live() {
                    continue;
                }
                receiver.set_behind(out.is_behind(pass.now()));
                ready.clear();
                let visit = receiver.project(&pass, &mut ready);
                crowded += visit.crowded;
                let waits = !ready.is_empty() && out.flush(&mut outlet, &ready, egress);
                if visit.restless {
                    self.restless.push(peer);
                }
                if waits {
                    self.waiting.push(peer);
                }
            }
        }
        cx.stats.audio_not_loudest += crowded;
        if done {
            self.sending.clear();
        }
        self.carry_out(cx);
        done
    }
}

/// For what the bridge itself made.
fn outlet<'a>(cx: &'a mut Context<'_>) -> Outlet<'a> {
    Outlet {
        now: cx.us,
        store: cx.store,
        stats: cx.stats,
        pad: cx.config.pad_bursts,
        waited: None,
    }
}
