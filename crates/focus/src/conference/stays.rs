//! The bridges of a conference: one, or several where meetings are spread.

use std::collections::BTreeSet;

use stanza::FullJid;

use super::{Conference, Stay};
use crate::context::Context;
use crate::event::Event;
use crate::selection::{Choice, Used};

impl Stay {
    /// One that begins on a bridge that was chosen.
    pub(super) fn new(cx: &mut Context<'_>, choice: Choice) -> Self {
        Self {
            id: cx.io.uuid(),
            relay: cx.bridges.relay_id(&choice.bridge).map(str::to_owned),
            why: choice.why(),
            bridge: choice.bridge,
            region: choice.region,
            created: false,
            endpoints: BTreeSet::new(),
            feedback: None,
            errors: 0,
        }
    }
}

impl Conference {
    /// Whether members may be given endpoints on a bridge.
    pub(crate) fn is_placed_on(&self, bridge: &FullJid) -> bool {
        self.current_stays().any(|stay| stay.bridge == *bridge)
    }

    /// The bridge on which a member has an endpoint.
    pub(crate) fn bridge_of(&self, nick: &str) -> Option<&FullJid> {
        let mut all = self.current_stays();
        let stay = all.find(|stay| stay.endpoints.contains(nick));
        stay.map(|stay| &stay.bridge)
    }

    /// Bridges where members are given endpoints.
    pub(crate) fn bridges(&self) -> impl Iterator<Item = &FullJid> {
        self.current_stays().map(|stay| &stay.bridge)
    }

    /// One of those, by its id.
    pub(super) fn current(&self, id: &str) -> Option<&Stay> {
        self.current_stays().find(|stay| stay.id == id)
    }

    /// The same, to be changed.
    pub(super) fn current_mut(&mut self, id: &str) -> Option<&mut Stay> {
        let mut stays = self.stay.iter_mut().chain(&mut self.further);
        stays.find(|stay| stay.id == id)
    }

    /// Those of its bridges that have not shown themselves on the present stream, or left it.
    pub(super) fn away<'a>(&'a self, cx: &'a Context<'_>) -> impl Iterator<Item = &'a FullJid> {
        self.bridges().filter(|bridge| cx.bridges.is_away(bridge))
    }

    /// Whether it is on bridges, and all of them are away.
    pub(super) fn are_bridges_away(&self, cx: &Context<'_>) -> bool {
        let mut bridges = self.bridges().peekable();
        bridges.peek().is_some() && bridges.all(|bridge| cx.bridges.is_away(bridge))
    }

    /// Operators read which bridge it gets, and why.
    pub(super) fn tell_choice(&self, cx: &mut Context<'_>, choice: &Choice) {
        cx.io.event(Event::BridgeSelected {
            room: self.room.clone(),
            bridge: choice.bridge.clone(),
            reason: choice.reason.clone(),
            stress: choice.stress,
            promised: choice.promised,
            candidates: choice.candidates,
            others: choice.others.clone(),
        });
    }

    /// Takes the stay on a bridge out. Another one becomes the first, if there is any.
    pub(super) fn end_stay(&mut self, bridge: &FullJid) -> Option<Stay> {
        if let Some(stay) = self.stay.take_if(|stay| stay.bridge == *bridge) {
            if !self.further.is_empty() {
                self.stay = Some(self.further.remove(0));
            }
            return Some(stay);
        }
        let at = self.further.iter().position(|s| s.bridge == *bridge)?;
        Some(self.further.remove(at))
    }

    /// Tells the room on how many bridges the conference is.
    pub(super) fn tell_bridge_count(&mut self, cx: &mut Context<'_>) {
        let count = self.current_stays().count();
        let told = (count > 0).then(|| count.to_string());
        self.set_property(cx, "bridge-count", told);
    }

    /// Where the conference is, as a choice wants to know it.
    pub(super) fn used(&self) -> Vec<Used> {
        let used = self.current_stays().map(|stay| Used {
            bridge: stay.bridge.clone(),
            people: stay.endpoints.len(),
            visitors: self.has_visitors(stay),
        });
        used.collect()
    }

    /// Whether visitors are placed there, and not participants.
    pub(super) fn has_visitors(&self, stay: &Stay) -> bool {
        let first = stay.endpoints.first();
        let first = first.and_then(|nick| self.members.get(nick));
        first.is_some_and(|member| member.is_visitor())
    }
}
