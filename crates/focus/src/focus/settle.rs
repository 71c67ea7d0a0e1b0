//! What follows from an input: conferences that leave a bridge, find one, enter their rooms again, or are over.

use stanza::BareJid;

use super::Focus;
use crate::conference::Phase;
use crate::context::Context;
use crate::event::Event;

/// Rooms entered again at one time; each that answers makes place for the next.
const ROOMS_AT_ONCE: usize = 32;

impl Focus {
    /// Draws the consequences of an input: conferences that leave a bridge, find one, or are over.
    pub(super) fn settle(&mut self) {
        // A move may fail at once and cause the next one; more than a few rounds are left to the next input.
        for _ in 0..8 {
            self.judge_bridges();
            self.attach_returned();
            let losses = self.bridges.take_losses();
            let improved = self.bridges.take_improved();
            if losses.is_empty() && !improved {
                break;
            }
            self.changed = true;
            let Some(io) = self.io.as_mut() else { return };
            let mut cx = Context {
                config: &self.config,
                io,
                bridges: &mut self.bridges,
                caps: &mut self.caps,
            };
            for loss in losses {
                let conferences = self
                    .conferences
                    .values()
                    .filter(|c| c.is_on(&loss.bridge))
                    .count();
                cx.io.totals.bridges_lost += 1;
                let (bridge, reason) = (loss.bridge.clone(), loss.reason.clone());
                cx.io.event(Event::BridgeDown {
                    bridge,
                    reason,
                    conferences,
                });
                for conference in self.conferences.values_mut() {
                    conference.on_bridge_lost(&mut cx, &loss);
                }
            }
            if improved {
                self.conferences
                    .values_mut()
                    .for_each(|conference| conference.on_bridges_improved(&mut cx));
            }
        }
        self.bury();
        self.enter_next_rooms();
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
