//! What follows from an input: conferences that leave a bridge, find one, enter their rooms again, or are over.

use std::time::Duration;

use stanza::BareJid;

use super::Focus;
use crate::bridges::Loss;
use crate::conference::Phase;
use crate::context::Context;
use crate::event::Event;
use crate::io::{Purpose, Timer};

/// People given new sessions within [`MOVE_INTERVAL`], so that they do not all come to the same bridge in one moment: of
/// bridges that work no more, and of bridges that they could stay on.
const URGENT_AT_ONCE: usize = 200;
const PLANNED_AT_ONCE: usize = 20;
/// Pause between two portions.
const MOVE_INTERVAL: Duration = Duration::from_millis(100);
/// Rooms entered again at one time; each that answers makes place for the next.
const ROOMS_AT_ONCE: usize = 32;

impl Focus {
    /// Draws the consequences of an input: conferences that leave a bridge, find one, or are over.
    pub(super) fn settle(&mut self) {
        // A move may fail at once and cause the next one; more than a few rounds are left to the next input.
        for _ in 0..8 {
            self.judge_bridges();
            self.tell_of_returned();
            self.attach_returned();
            let losses = self.bridges.take_losses();
            let improved = self.bridges.take_improved();
            if self.bridges.take_ask() {
                self.ask_witnesses();
            }
            if self.bridges.take_drains() {
                self.empty_bridges();
            }
            self.leave_deaf_bridges();
            self.renew_relays();
            if losses.is_empty() && !improved {
                break;
            }
            self.changed = true;
            for loss in losses {
                self.lose_bridge(loss);
            }
            if improved {
                let Some(io) = self.io.as_mut() else { return };
                let mut cx = Context {
                    config: &self.config,
                    io,
                    bridges: &mut self.bridges,
                    caps: &mut self.caps,
                };
                for conference in self.conferences.values_mut() {
                    conference.on_bridges_improved(&mut cx);
                    conference.delay_spares(&mut cx);
                }
            }
        }
        self.bury();
        self.enter_next_rooms();
    }

    /// The conferences of a bridge are to leave it.
    fn lose_bridge(&mut self, loss: Loss) {
        let on_it = self.conferences.values().filter(|c| c.is_on(&loss.bridge));
        let rooms: Vec<BareJid> = on_it.map(|c| c.room().clone()).collect();
        if let Some(io) = self.io.as_mut() {
            io.totals.bridges_lost += 1;
            io.event(Event::BridgeDown {
                bridge: loss.bridge.clone(),
                reason: loss.reason.clone(),
                conferences: rooms.len(),
            });
        }
        for room in rooms {
            if loss.planned {
                self.planned.insert(room, loss.clone());
            } else {
                self.urgent.push_back((room, loss.clone()));
            }
        }
        self.move_some();
    }

    /// The conferences of bridges that shall become empty are to leave them, as far as there is a better place.
    pub(super) fn empty_bridges(&mut self) {
        let Some(now) = self.io.as_ref().map(|io| io.now) else {
            return;
        };
        for loss in self.bridges.to_empty(now) {
            let on_it = self.conferences.values();
            let on_it =
                on_it.filter(|c| c.is_placed_on(&loss.bridge) || c.has_spares_on(&loss.bridge));
            for room in on_it.map(|c| c.room().clone()).collect::<Vec<_>>() {
                self.planned.entry(room).or_insert_with(|| loss.clone());
            }
        }
        self.move_some();
    }

    /// The next portion of those who wait to be moved.
    pub(super) fn on_move_timer(&mut self) {
        self.moved = (0, 0);
        self.is_moving = false;
        self.move_some();
    }

    /// Moves conferences, as many as may be moved now; the others follow in portions.
    pub(super) fn move_some(&mut self) {
        while self.moved.0 < URGENT_AT_ONCE
            && let Some((room, loss)) = self.urgent.pop_front()
        {
            self.moved.0 += self.move_conference(&room, &loss);
        }
        while self.moved.1 < PLANNED_AT_ONCE
            && let Some((room, loss)) = self.planned.pop_first()
        {
            self.moved.1 += self.move_conference(&room, &loss);
        }
        if self.moved != (0, 0)
            && !self.is_moving
            && let Some(io) = self.io.as_mut()
        {
            self.is_moving = true;
            io.after(MOVE_INTERVAL, Timer::Move);
        }
    }

    /// How many people need new sessions for it.
    fn move_conference(&mut self, room: &BareJid, loss: &Loss) -> usize {
        let mut people = 0;
        with_conference!(self, room, |conference, cx| {
            people = conference.without_spares();
            conference.on_bridge_lost(cx, loss);
        });
        people
    }

    /// Bridges of which people complain.
    fn judge_bridges(&mut self) {
        let Some(now) = self.io.as_ref().map(|io| io.now) else {
            return;
        };
        for bridge in self.bridges.take_reported() {
            let on_it = self.conferences.values().filter(|c| c.is_on(&bridge));
            let count = on_it.count();
            self.bridges
                .judge(now, &self.config.bridges, &bridge, count);
        }
    }

    /// Asks bridges about others that do not answer.
    pub(super) fn ask_witnesses(&mut self) {
        let Some(io) = self.io.as_mut() else { return };
        for (witness, suspect, probe) in self.bridges.questions(io.now) {
            let purpose = Purpose::Witness {
                witness: witness.clone(),
                suspect,
            };
            let patience = self.config.bridges.health_timeout;
            io.request("get", &witness, &probe, purpose, patience);
        }
    }

    /// Conferences that their bridge hears nobody of go elsewhere.
    fn leave_deaf_bridges(&mut self) {
        for (bridge, meeting, heard) in self.bridges.take_hearings() {
            let mut all = self.conferences.values();
            let room = all.find(|c| c.meeting_id() == meeting && c.is_placed_on(&bridge));
            let Some(room) = room.map(|c| c.room().clone()) else {
                continue;
            };
            with_conference!(self, &room, |conference, cx| match heard {
                true => conference.on_heard_again(cx, &bridge),
                false => conference.on_unheard(cx, &bridge),
            });
        }
    }

    /// Relays that bridges say to be broken are made anew.
    fn renew_relays(&mut self) {
        for (bridge, broken) in self.bridges.take_broken() {
            let mut all = self.conferences.values();
            let room = all.find(|c| c.meeting_id() == broken.meeting_id && c.is_on(&bridge));
            let Some(room) = room.map(|c| c.room().clone()) else {
                continue;
            };
            with_conference!(self, &room, |conference, cx| {
                conference.on_relay_broken(cx, &bridge, &broken.relay);
                conference.leave_unrelated(cx);
            });
        }
    }

    fn bury(&mut self) {
        let over: Vec<BareJid> = self
            .conferences
            .iter()
            .filter(|(_, conference)| matches!(conference.phase(), Phase::Over(_)))
            .map(|(room, _)| room.clone())
            .collect();
        for room in over {
            let (Some(conference), Some(io)) = (self.conferences.remove(&room), self.io.as_mut())
            else {
                continue;
            };
            let leave = conference.is_inside();
            let mut cx = Context {
                config: &self.config,
                io,
                bridges: &mut self.bridges,
                caps: &mut self.caps,
            };
            conference.stop(&mut cx, leave);
            self.changed = true;
            if leave {
                *self.leaving.entry(room).or_default() += 1;
            }
        }
    }

    /// Operators read which bridges are there again.
    fn tell_of_returned(&mut self) {
        for (bridge, media, after) in self.bridges.take_back() {
            let on_it = self.conferences.values().filter(|c| c.is_on(&bridge));
            let conferences = on_it.count();
            let Some(io) = self.io.as_mut() else { return };
            io.event(Event::BridgeBack {
                bridge,
                media,
                after,
                conferences,
            });
        }
    }

    /// Bridges that are back: their conferences go on with them. Bridges that are missed: their conferences say so.
    fn attach_returned(&mut self) {
        let returned = self.bridges.take_returned().into_iter();
        let missed = self.bridges.take_missed().into_iter();
        let news = returned.map(|bridge| (bridge, true));
        for (bridge, back) in news.chain(missed.map(|bridge| (bridge, false))) {
            let Some(io) = self.io.as_mut() else { return };
            for conference in self.conferences.values_mut() {
                let mut cx = Context {
                    config: &self.config,
                    io,
                    bridges: &mut self.bridges,
                    caps: &mut self.caps,
                };
                match back {
                    true => conference.on_bridge_back(&mut cx, &bridge),
                    false => conference.on_bridge_missed(&mut cx, &bridge),
                }
            }
        }
        for bridge in self.bridges.take_heard() {
            let on_it = self.conferences.values().filter(|c| c.is_on(&bridge));
            for room in on_it.map(|c| c.room().clone()).collect::<Vec<_>>() {
                with_conference!(self, &room, |conference, cx| conference
                    .on_bridge_heard(cx, &bridge));
            }
        }
    }

    /// Enters rooms again, some at a time.
    fn enter_next_rooms(&mut self) {
        let conferences = &self.conferences;
        self.returning.retain(|room| {
            conferences
                .get(room)
                .is_some_and(|c| c.phase() == Phase::Returning)
        });
        while self.online && self.returning.len() < ROOMS_AT_ONCE {
            let Some(room) = self.to_return.pop_front() else {
                return;
            };
            with_conference!(self, &room, |conference, cx| conference.join(cx));
            if self.conferences.contains_key(&room) {
                self.returning.insert(room);
            }
        }
    }
}
