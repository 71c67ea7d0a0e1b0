//! What is looked at from time to time: who fell silent, rates, and what is over. Some at a time, so that packets never wait
//! for all.

use super::{Place, SWEEP, Shard};
use crate::media::event::Event;
use std::time::Instant;

/// Windows of rates are at least so long, microseconds.
const WINDOW: u64 = 1_000_000;
/// Endpoints looked at in one go; where there are very many, this part of them.
const SLICE: usize = 32;
const PART: usize = 64;

impl Shard {
    /// A sweep was scheduled for `at`, which has come.
    pub(super) fn sweep(&mut self, now: Instant, at: u64) {
        if !self.sweep.scheduled.take(at) {
            return;
        }
        let us = self.micros(now);
        if self.sweep.next == (0, 0) {
            self.begin_sweep(us);
        }
        self.go_on_sweeping(now);
        if self.sweep.next != (0, 0) {
            self.sweep_at(us + 1);
        } else if !self.by_id.is_empty() {
            self.sweep_at((self.sweep.began + SWEEP).max(us + 1));
        }
    }

    fn begin_sweep(&mut self, us: u64) {
        let span = us.saturating_sub(self.sweep.window_since);
        self.sweep.began = us;
        self.sweep.window = (span >= WINDOW).then_some(span);
        if self.sweep.window.is_some() {
            self.sweep.window_since = us;
        }
    }

    fn go_on_sweeping(&mut self, now: Instant) {
        let (mut place, mut from) = std::mem::take(&mut self.sweep.next);
        let mut left = SLICE.max(self.ufrags.len() / PART);
        while place < self.conferences.len() {
            if left == 0 {
                self.sweep.next = (place, from);
                return;
            }
            left -= 1;
            match self.sweep_conference(now, place, from, &mut left) {
                Some(next) => from = next,
                None => (place, from) = (place + 1, 0),
            }
        }
    }

    /// Looks at endpoints of a conference from a number on, at no more than `left`; the number to go on from.
    fn sweep_conference(
        &mut self,
        now: Instant,
        at: usize,
        from: usize,
        left: &mut usize,
    ) -> Option<usize> {
        let limit = self.config.endpoint_timeout.as_micros() as u64;
        let window = self.sweep.window;
        let mut silent = Vec::new();
        let next = self.with(now, at, |c, cx| {
            let next = c.sweep(cx, (from, left), window.is_some(), (limit, &mut silent));
            if let (None, Some(span)) = (next, window) {
                c.end_window(span, cx.stats);
            }
            next
        })?;
        let id = self.conferences.get(at)?.as_deref()?.id();
        for (peer, endpoint) in silent {
            let place = Place {
                conference: at,
                peer,
            };
            self.remove(now, place);
            self.events.push_back(Event::EndpointExpired {
                conference: id,
                endpoint,
            });
        }
        if next.is_none() {
            self.expire_if_over(now, at);
        }
        next
    }

    fn expire_if_over(&mut self, now: Instant, at: usize) {
        let us = self.micros(now);
        let limit = self.config.conference_timeout.as_micros() as u64;
        let state = self.conferences.get(at).and_then(|c| c.as_deref());
        let is_over = |since: u64| us.saturating_sub(since) > limit;
        if let Some(state) = state.filter(|c| c.empty_since().is_some_and(is_over)) {
            let conference = state.id();
            let _ = self.expire_conference(now, conference);
            self.events
                .push_back(Event::ConferenceExpired { conference });
        }
    }
}
