//! What is due at some time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stanza::jitsi::evidence::People;
use stanza::{FullJid, element, ns};

use super::Focus;
use crate::conference::Conference;
use crate::context::Context;
use crate::io::{Io, Purpose, Timer};

/// All bridges together are asked how they are about once in this time at most,
const EACH: Duration = Duration::from_millis(10);
/// but each after this time at least.
const SELDOM: Duration = Duration::from_millis(500);

impl Focus {
    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.at(now);
        if !self.online {
            // While nothing can be heard, nothing is overdue. Only who waits for an answer is not kept for ever.
            self.dismiss_waiters(now);
            return;
        }
        while let Some(timer) = self.io.as_mut().and_then(Io::take_due) {
            self.on_timer(timer);
            self.settle();
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Reply(id) => {
                let purpose = self.io.as_mut().and_then(|io| io.take_overdue(&id));
                if let Some(purpose) = purpose {
                    self.on_answer(purpose, None);
                }
            }
            Timer::Join(room) => {
                with_conference!(self, &room, |conference, cx| conference.on_join_timer(cx));
                // A room that never confirmed a leave does not stand in the way for ever.
                self.leaving.remove(&room);
            }
            Timer::Initial(room) => {
                if let Some(conference) = self.conferences.get_mut(&room) {
                    conference.on_initial_timer();
                }
            }
            Timer::Single(room) => {
                with_conference!(self, &room, |conference, cx| conference.on_single_timer(cx))
            }
            Timer::Retry(room) => {
                with_conference!(self, &room, |conference, cx| conference.on_retry_timer(cx))
            }
            Timer::Moved(room) => {
                with_conference!(self, &room, |conference, cx| conference.on_move_timer(cx))
            }
            Timer::Spares(room) => {
                with_conference!(self, &room, |conference, _cx| conference.on_spare_timer())
            }
            Timer::Doubtful(room) => {
                with_conference!(self, &room, |conference, cx| conference
                    .on_doubtful_timer(cx))
            }
            Timer::Missing(room) => {
                with_conference!(self, &room, |conference, cx| conference
                    .on_missing_timer(cx))
            }
            Timer::Move => self.on_move_timer(),
            Timer::Doubt => {
                self.doubt_timer = None;
                self.watch_silence();
            }
            Timer::Health => {
                self.check_bridges();
                self.empty_bridges();
            }
        }
    }

    /// Counts the people on each bridge anew, so that no mistake about one of them lasts.
    fn count_people(&mut self) {
        let mut people: BTreeMap<FullJid, (usize, usize)> = BTreeMap::new();
        for (bridge, count) in self.conferences.values().flat_map(Conference::people_on) {
            people.entry(bridge.clone()).or_default().0 += count;
        }
        for (bridge, count) in self.conferences.values().filter_map(Conference::spares_on) {
            people.entry(bridge.clone()).or_default().1 += count;
        }
        self.bridges.set_people(&people);
    }

    fn check_bridges(&mut self) {
        self.count_people();
        let Some(io) = self.io.as_mut() else { return };
        let config = &self.config.bridges;
        for bridge in self.bridges.check(io.now, config) {
            let people = self.bridges.has_evidence(&bridge).then(People::question);
            let payload = element("healthcheck", ns::HEALTH).children(people);
            io.request(
                "get",
                &bridge,
                payload,
                Purpose::Health(bridge.clone()),
                config.health_timeout,
            );
        }
        let all = EACH * u32::try_from(self.bridges.len()).unwrap_or(u32::MAX);
        let interval = config.health_interval.max(all.min(SELDOM));
        io.after(interval, Timer::Health);
        self.watch_silence();
    }

    /// Judges bridges whose answers are overdue, and sets a time for the next judgement.
    pub(super) fn watch_silence(&mut self) {
        self.ask_witnesses();
        let Some(io) = self.io.as_mut() else { return };
        self.bridges.lose_dead(io.now);
        if let Some(timer) = self.doubt_timer.take() {
            io.cancel(timer);
        }
        let next = self.bridges.next_judgement(io.now);
        let wait = next.map(|at| at.saturating_duration_since(io.now));
        self.doubt_timer = wait.map(|wait| io.after(wait, Timer::Doubt));
    }

    /// While the focus is offline: whoever waited long enough is told to ask again.
    fn dismiss_waiters(&mut self, now: Instant) {
        let patience = self.config.reply_timeout;
        let over = |since: Instant| now.saturating_duration_since(since) >= patience;
        if !self.offline_since.is_some_and(over) {
            return;
        }
        self.offline_since = None;
        let Some(io) = self.io.as_mut() else { return };
        for conference in self.conferences.values_mut() {
            let mut cx = Context {
                config: &self.config,
                io,
                bridges: &mut self.bridges,
                caps: &mut self.caps,
            };
            conference.dismiss_waiters(&mut cx);
        }
    }
}
