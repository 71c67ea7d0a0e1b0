//! What the bridge answers to requests about endpoints that exist.
use stanza::Element;
use stanza::FullJid;
use stanza::colibri2::{ConferenceModified, ConferenceModify, ErrorAnswer, Reason};
use stanza::jingle::{Action, Content, Creator, Jingle};
use stanza::media::IceTransport;

use super::Conference;
use super::relays::is_bounce;
use crate::context::Context;
use crate::event::{Event, Reinvite};

/// Updates that may fail in a row before the bridge is given up.
const MAX_ERRORS: u32 = 3;

impl Conference {
    /// The bridge answered an update, or did not.
    pub(crate) fn on_updated(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        stay: &str,
        modify: ConferenceModify,
        again: bool,
        answer: Option<&Element>,
    ) {
        let Some(known) = self.stay_by_id(stay) else {
            return;
        };
        let bridge = known.bridge.clone();
        if !known.endpoints.contains(nick) && answer.is_none() {
            return;
        }
        let Some(answer) = answer else {
            if cx.bridges.may_have_missed(cx.io.now, &bridge) {
                self.keep_update(nick, &bridge, stay, modify, again);
            } else if !again {
                // Each update carries the whole state of what it changes, so it can be said twice.
                self.send_update(cx, nick, &bridge, stay, modify, true);
            }
            return;
        };
        match ErrorAnswer::of_iq(answer) {
            Some(error) if is_bounce(&error) && !again => {
                cx.bridges.on_bounce(&bridge);
                self.keep_update(nick, &bridge, stay, modify, true);
            }
            None => {
                if let Some(known) = self.current_mut(stay) {
                    known.errors = 0;
                }
            }
            Some(error) => self.on_update_error(cx, nick, stay, &bridge, &error),
        }
    }

    fn on_update_error(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        stay: &str,
        bridge: &FullJid,
        error: &ErrorAnswer,
    ) {
        let text = error.text.clone().unwrap_or_default();
        let reason = format!("update of {nick}: {} {text}", error.condition);
        cx.io.event(Event::BridgeError {
            bridge: bridge.clone(),
            room: self.room.clone(),
            reason,
        });
        let Some(current) = self.current_mut(stay) else {
            return;
        };
        match (error.condition.as_str(), error.reason) {
            ("item-not-found", Some(Reason::UnknownEndpoint)) => {
                let endpoint = error.endpoint.as_deref().unwrap_or(nick).to_owned();
                current.endpoints.remove(&endpoint);
                self.members.touch(&endpoint);
                self.reinvite(cx, &endpoint, Reinvite::BridgeForgot);
            }
            ("item-not-found", Some(Reason::ConferenceNotFound)) => {
                self.leave_bridge(cx, bridge, "it lost the conference")
            }
            (
                "item-not-found"
                | "recipient-unavailable"
                | "remote-server-not-found"
                | "remote-server-timeout",
                None,
            ) => {
                // The room says that nobody is there.
                cx.bridges.fail(
                    cx.io.now,
                    &cx.config.bridges,
                    bridge,
                    "its occupant cannot be reached",
                );
            }
            _ => {
                current.errors += 1;
                if current.errors >= MAX_ERRORS {
                    let reason = format!("it refuses updates with {}", error.condition);
                    cx.bridges
                        .fail(cx.io.now, &cx.config.bridges, bridge, reason);
                } else {
                    // Bring focus and bridge to the same state: a new endpoint instead of the old one.
                    self.reinvite(cx, nick, Reinvite::BridgeForgot);
                }
            }
        }
    }

    /// The bridge has new ICE credentials, or cannot make any.
    pub(crate) fn on_ice_restarted(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        sid: &str,
        answer: Option<&Element>,
    ) {
        let Some(member) = self.members.get_mut(nick) else {
            return;
        };
        let Some(session) = member.session.as_mut().filter(|session| session.sid == sid) else {
            return;
        };
        let modified = answer
            .filter(|answer| answer.attr("type") == Some("result"))
            .and_then(|answer| {
                answer
                    .children()
                    .find_map(|child| ConferenceModified::try_from(child).ok())
            });
        let endpoint = modified.and_then(|m| m.endpoints.into_iter().find(|e| e.id == nick));
        let totals = &mut cx.io.totals.ice_restarts;
        let Some(ice) = endpoint.and_then(|e| e.transport).and_then(|t| t.ice) else {
            totals.failed += 1;
            return self.reinvite(cx, nick, Reinvite::BridgeForgot);
        };
        // Without a generation the client's credentials still hold; an old one was overtaken.
        let Some(generation) = ice
            .ice_generation
            .filter(|generation| *generation > session.ice_generation)
        else {
            totals.not_needed += 1;
            return;
        };
        totals.relayed += 1;
        session.ice_generation = generation;
        let mut jingle = Jingle::new(Action::TransportInfo, sid);
        jingle.contents.push(Content {
            creator: Some(Creator::Initiator),
            name: "audio".to_owned(),
            transport: Some(IceTransport {
                rtcp_mux: true,
                ..ice
            }),
            ..Content::default()
        });
        cx.io.tell(&self.room, "set", self.occupant(nick), &jingle);
    }
}
