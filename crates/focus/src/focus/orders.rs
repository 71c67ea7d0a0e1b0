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

    fn bridge_named(&self, name: &str) -> Result<FullJid, OrderError> {
        let found = self.bridges.find(name).cloned();
        found.ok_or_else(|| OrderError::NoBridge(name.to_owned()))
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
        let no_meeting = || OrderError::NoMeeting(room.to_owned());
        let address = BareJid::new(room).map_err(|_| no_meeting())?;
        let to = to.map(|name| self.bridge_named(name)).transpose()?;
        let conference = self.conferences.get(&address).ok_or_else(no_meeting)?;
        let from = conference.bridge().cloned();
        let from = from.ok_or_else(|| OrderError::NotPlaced(room.to_owned()))?;
        let can = match &to {
            Some(to) => *to != from && self.bridges.could_take(now, to),
            None => self.bridges.has_alternative(now, &from),
        };
        if !can {
            return Err(OrderError::Nowhere);
        }
        let loss = Loss {
            bridge: from,
            reason: "an operator said so".to_owned(),
            planned: true,
        };
        if let Some(conference) = self.conferences.get_mut(&address) {
            conference.prefer(to);
        }
        self.planned.insert(address, loss);
        self.move_some();
        self.settle();
        Ok(())
    }
}
