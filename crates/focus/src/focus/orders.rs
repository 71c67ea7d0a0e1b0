//! What operators ask of a focus: its status, moves, drains.

use std::collections::HashMap;
use std::time::Instant;

use stanza::{BareJid, FullJid, element, ns};

use super::Focus;
use crate::bridges::Loss;
use crate::conference::Conference;
use crate::status::{BridgeStatus, Figures, MeetingStatus, Status};

/// Why an operator's order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// There is no such bridge.
    #[error("no bridge is called {0:?}")]
    NoBridge(String),
    /// There is no such meeting.
    #[error("there is no meeting in {0:?}")]
    NoMeeting(String),
    /// It is on no bridge.
    #[error("the meeting in {0:?} is on no bridge")]
    NotPlaced(String),
    /// No other bridge can take it.
    #[error("no other bridge can take it")]
    Nowhere,
}

/// Who shall leave a bridge that takes part further on. A meeting's people on one bridge leave it together: whoever asks for
/// fewer gets what comes nearest.
#[derive(Debug, Clone, PartialEq)]
pub enum Leave {
    /// This person of a meeting; if a bridge is named, only if the person is on it.
    Person {
        /// The meeting's room.
        room: String,
        /// The person's endpoint.
        endpoint: String,
        /// The bridge.
        bridge: Option<String>,
    },
    /// So many people of a bridge, of this meeting or of any.
    Number {
        /// The bridge.
        bridge: String,
        /// The meeting's room.
        room: Option<String>,
        /// How many.
        people: usize,
    },
    /// This part of a bridge's people, 0 to 1.
    Fraction {
        /// The bridge.
        bridge: String,
        /// The part.
        fraction: f64,
    },
}

/// Who was told to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// People.
    pub people: usize,
    /// Meetings they are in.
    pub meetings: usize,
}

/// What a bridge that was emptied does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It waits for other orders.
    Stay,
    /// It ends.
    End,
    /// It ends, and whoever runs it starts it again.
    Restart,
}

impl Focus {
    /// What the focus knows now.
    #[must_use]
    pub fn status(&self) -> Status {
        let Some(now) = self.io.as_ref().map(|io| io.now) else {
            return Status::default();
        };
        let meetings: Vec<MeetingStatus> =
            self.conferences.values().map(Conference::status).collect();
        Status {
            bridges: self.bridge_status(now),
            meetings,
        }
    }

    /// What is counted now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let Some(now) = self.io.as_ref().map(|io| io.now) else {
            return Figures::default();
        };
        let all = self.conferences.values();
        Figures {
            bridges: self.bridge_status(now),
            sizes: all.clone().map(Conference::member_count).collect(),
            waiting: all.filter(|c| c.waits()).count(),
        }
    }

    /// The bridges, with what the conferences know of them.
    fn bridge_status(&self, now: Instant) -> Vec<BridgeStatus> {
        let mut on_them: HashMap<&str, (usize, usize)> = HashMap::new();
        let places = self.conferences.values().flat_map(Conference::people_on);
        for (bridge, people) in places {
            let on_it = on_them.entry(bridge.resource().as_str()).or_default();
            *on_it = (on_it.0 + 1, on_it.1 + people);
        }
        let mut spares: HashMap<&str, usize> = HashMap::new();
        for (bridge, count) in self.conferences.values().filter_map(Conference::spares_on) {
            *spares.entry(bridge.resource().as_str()).or_default() += count;
        }
        let mut bridges = self.bridges.status(now, &self.config.bridges);
        for bridge in &mut bridges {
            let on_it = on_them.get(bridge.name.as_str()).copied();
            (bridge.meetings, bridge.people) = on_it.unwrap_or_default();
            let spares = spares.get(bridge.name.as_str()).copied();
            bridge.spares = spares.unwrap_or_default();
        }
        bridges
    }

    /// The bridge of this name, or of this address in the brewery.
    fn bridge_named(&self, name: &str) -> Result<FullJid, OrderError> {
        let brewery = self.config.brewery.as_str();
        let in_brewery = name.strip_prefix(brewery).and_then(|n| n.strip_prefix('/'));
        let found = self.bridges.find(in_brewery.unwrap_or(name)).cloned();
        found.ok_or_else(|| OrderError::NoBridge(name.to_owned()))
    }

    fn meeting_in(&self, room: &str) -> Result<&Conference, OrderError> {
        let address = BareJid::new(room).ok();
        let found = address.and_then(|address| self.conferences.get(&address));
        found.ok_or_else(|| OrderError::NoMeeting(room.to_owned()))
    }

    /// A bridge shall become empty, or need not any more. `then`: what it does when it is, if it understands that.
    ///
    /// # Errors
    /// [`OrderError::NoBridge`].
    pub fn order_drain(
        &mut self,
        now: Instant,
        name: &str,
        drain: bool,
        then: Then,
    ) -> Result<(), OrderError> {
        self.at(now);
        let bridge = self.bridge_named(name)?;
        let speaks = self.bridges.has_evidence(&bridge);
        if let Some(io) = self.io.as_mut() {
            self.bridges.order_drain(io, &bridge, drain);
            if speaks {
                let order = element("drain", ns::DRAIN)
                    .attr("on", drain)
                    .flag("end", then != Then::Stay)
                    .flag("restart", then == Then::Restart);
                io.send_order(&bridge, order.done());
            }
        }
        self.settle();
        Ok(())
    }

    /// A meeting shall go to another bridge: `to`, or the one that would be chosen.
    ///
    /// # Errors
    /// If there is no such meeting or bridge, or no other one.
    pub fn order_move(
        &mut self,
        now: Instant,
        room: &str,
        to: Option<&str>,
    ) -> Result<(), OrderError> {
        self.at(now);
        let to = to.map(|name| self.bridge_named(name)).transpose()?;
        let conference = self.meeting_in(room)?;
        let address = conference.room().clone();
        let from = conference.bridge().cloned();
        let from = from.ok_or_else(|| OrderError::NotPlaced(room.to_owned()))?;
        let can = match &to {
            Some(to) => *to != from && self.bridges.could_take(now, to),
            None => self.bridges.has_alternative(now, &from),
        };
        if !can {
            return Err(OrderError::Nowhere);
        }
        let loss = ordered(from);
        if let Some(conference) = self.conferences.get_mut(&address) {
            conference.prefer(to);
        }
        self.planned.insert(address, loss);
        self.move_some();
        self.settle();
        Ok(())
    }

    /// Some people shall leave a bridge, for the one that would be chosen. Where there is no better one nobody does.
    ///
    /// # Errors
    /// If there is no such bridge or meeting.
    pub fn order_leave(&mut self, now: Instant, who: &Leave) -> Result<Left, OrderError> {
        self.at(now);
        let (bridge, rooms) = match who {
            Leave::Person {
                room,
                endpoint,
                bridge,
            } => {
                let named = bridge.as_deref().map(|name| self.bridge_named(name));
                let named = named.transpose()?;
                let conference = self.meeting_in(room)?;
                let on = conference.bridge_of(endpoint).cloned();
                let on = on.filter(|on| named.as_ref().is_none_or(|named| named == on));
                let Some(on) = on else {
                    return Ok(Left::default());
                };
                (on, vec![conference.room().clone()])
            }
            Leave::Number {
                bridge,
                room,
                people,
            } => {
                let bridge = self.bridge_named(bridge)?;
                let room = room.as_deref().map(|room| self.meeting_in(room));
                let room = room.transpose()?.map(|c| c.room().clone());
                let parts = self.parts_on(&bridge, room.as_ref());
                (bridge, nearest(parts, *people))
            }
            Leave::Fraction { bridge, fraction } => {
                let bridge = self.bridge_named(bridge)?;
                let parts = self.parts_on(&bridge, None);
                let all: usize = parts.iter().map(|(people, _)| people).sum();
                // Counts are far below 2^52.
                let people = (all as f64 * fraction.clamp(0.0, 1.0)).round() as usize;
                (bridge, nearest(parts, people))
            }
        };
        let mut left = Left::default();
        if !self.bridges.has_alternative(now, &bridge) {
            return Ok(left);
        }
        for room in rooms {
            let parts = self.parts_on(&bridge, Some(&room));
            left.people += parts.iter().map(|(people, _)| people).sum::<usize>();
            left.meetings += parts.len();
            self.planned.insert(room, ordered(bridge.clone()));
        }
        self.move_some();
        self.settle();
        Ok(left)
    }

    /// How many people of each meeting, or of one, are on a bridge.
    fn parts_on(&self, bridge: &FullJid, room: Option<&BareJid>) -> Vec<(usize, BareJid)> {
        let all = self.conferences.values();
        let meant = all.filter(|c| room.is_none_or(|room| room == c.room()));
        let parts = meant.filter(|c| c.is_placed_on(bridge)).map(|c| {
            let there = c.people_on().filter(|(on, _)| *on == bridge);
            (there.map(|(_, people)| people).sum(), c.room().clone())
        });
        parts.filter(|(people, _)| *people > 0).collect()
    }
}

fn ordered(bridge: FullJid) -> Loss {
    Loss {
        bridge,
        reason: "an operator said so".to_owned(),
        planned: true,
    }
}

/// Of these meetings those that have `wanted` people together, the largest first; and, where that leaves some, one more than
/// is wanted rather than less.
fn nearest(mut parts: Vec<(usize, BareJid)>, wanted: usize) -> Vec<BareJid> {
    parts.sort_by(|a, b| b.cmp(a));
    let mut missing = wanted;
    let mut chosen = Vec::new();
    let mut larger = None;
    for (people, room) in parts {
        if people <= missing {
            missing -= people;
            chosen.push(room);
        } else {
            larger = Some(room);
        }
    }
    chosen.extend(larger.filter(|_| missing > 0));
    chosen
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn those_leave_who_come_nearest_to_what_is_wanted() {
        let room = |name: &str| BareJid::new(&format!("{name}@conference.meet.test")).unwrap();
        let sizes = [(1, "a"), (4, "b"), (3, "c"), (9, "d")];
        let parts: Vec<_> = sizes.map(|(people, name)| (people, room(name))).into();
        for (wanted, expected) in [
            (0, vec![]),
            (1, vec!["a"]),
            (2, vec!["a", "c"]),
            (4, vec!["b"]),
            (7, vec!["b", "c"]),
            (13, vec!["d", "b"]),
            (100, vec!["d", "b", "c", "a"]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(room).collect();
            assert_eq!(nearest(parts.clone(), wanted), expected, "{wanted}");
        }
    }
}
