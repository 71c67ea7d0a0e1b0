//! What is said to the bridge of a conference: now, or when it is back.

use stanza::colibri2::ConferenceModify;
use stanza::{Element, FullJid};

use super::{Conference, Phase};
use crate::context::Context;
use crate::io::{Purpose, Undone};

/// Requests kept for a bridge that is away.
const MAX_UNDONE: usize = 10_000;

impl Conference {
    /// Keeps what waited for an answer on the former stream.
    pub(crate) fn keep_undone(&mut self, undone: Undone) {
        if self.phase == Phase::Returning && self.undone.len() < MAX_UNDONE {
            self.undone.push(undone);
        }
    }

    /// Whether a bridge that is away is yet to be told of somebody who came to another one.
    pub(super) fn has_newcomers_for(&self, bridge: &FullJid) -> bool {
        let to = bridge.to_string();
        let mut undone = self.undone.iter().filter(|undone| undone.to == to);
        undone.any(|undone| match &undone.purpose {
            Purpose::Relay { modify, .. } => {
                let mut people = modify.relays.iter().flat_map(|relay| &relay.endpoints);
                people.any(|endpoint| endpoint.create)
            }
            _ => false,
        })
    }

    /// Tells a bridge something, now or when it is back.
    pub(super) fn tell_bridge(
        &mut self,
        cx: &mut Context<'_>,
        bridge: &FullJid,
        modify: &ConferenceModify,
    ) {
        if self.phase == Phase::Returning || cx.bridges.is_away(bridge) {
            self.keep_for_bridge(bridge, modify.into());
        } else {
            cx.io.tell(&self.room, "get", bridge, modify);
        }
    }

    /// Asks a bridge for something, now or when it is back.
    pub(super) fn ask_bridge(
        &mut self,
        cx: &mut Context<'_>,
        bridge: &FullJid,
        payload: impl Into<Element>,
        purpose: Purpose,
    ) {
        if self.phase == Phase::Returning || cx.bridges.is_away(bridge) {
            return self.keep_for(bridge, purpose);
        }
        let timeout = cx.config.bridges.reply_timeout;
        cx.io.request("get", bridge, payload, purpose, timeout);
    }

    pub(super) fn keep_for_bridge(&mut self, bridge: &FullJid, payload: Element) {
        let purpose = Purpose::Told {
            room: self.room.clone(),
            kind: "get",
            payload: Box::new(payload),
        };
        self.keep_for(bridge, purpose);
    }

    pub(super) fn keep_for(&mut self, bridge: &FullJid, purpose: Purpose) {
        if self.undone.len() < MAX_UNDONE {
            let to = bridge.to_string();
            self.undone.push(Undone { to, purpose });
        }
    }
}
