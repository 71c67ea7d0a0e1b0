//! Services around a meeting: metadata, moderation of microphones and cameras, polls, speaking times, the waiting room.
//!
//! Each is a part of the room it serves; its address is only a name for the messages to it.

mod av_moderation;
mod external;
mod lobby;
mod metadata;
mod polls;
mod speaker_stats;

use std::time::Instant;

use serde_json::Value;
use stanza::error::Condition;
use stanza::muc::{Destroy, Role};
use stanza::{BareJid, Element, element, ns};

use crate::SessionId;
use crate::core::Core;
use crate::hosts::Host;
use crate::muc::{Occupant, Room, RoomKind};
use crate::server::Server;

pub(crate) use external::services;

/// Reason clients show when a moderator ended the meeting.
const TERMINATED: &str = "The meeting has been terminated";

/// State of the services of one room.
#[derive(Debug, Default)]
pub(crate) struct Services {
    metadata: metadata::Metadata,
    moderation: av_moderation::Moderation,
    polls: polls::Polls,
    speakers: speaker_stats::SpeakerStats,
    lobby: Option<lobby::Lobby>,
}

/// A JSON payload as a stanza of `from`, without address.
///
/// Clients decode percent sequences in the text before they parse it, so a percent sign must not appear as such.
fn json_message(from: &str, room: Option<&BareJid>, json: &Value) -> Element {
    let text = json.to_string().replace('%', "\\u0025");
    let payload = element("json-message", ns::JITMEET)
        .attr_opt("room", room.map(|room| room.as_str()))
        .text(text)
        .done();
    element("message", ns::CLIENT)
        .attr("from", from)
        .child(payload)
        .done()
}

impl Server {
    /// A message to a component.
    pub(crate) fn component_message(
        &mut self,
        now: Instant,
        from: SessionId,
        stanza: Element,
        host: Host,
    ) {
        if stanza.attr("type") == Some("error") {
            self.core.stats.refused += 1;
            return;
        }
        if self.serve(now, from, &stanza, host).is_none() {
            self.core
                .refuse(from, &stanza, Condition::ServiceUnavailable);
        }
    }

    /// `None` when the component refuses the message.
    fn serve(&mut self, now: Instant, from: SessionId, stanza: &Element, host: Host) -> Option<()> {
        let payload = stanza.children().next()?;
        // Some messages name their room; others mean the meeting the sender is in.
        let jid = match payload.attr("room") {
            Some(room) => self.core.hosts.canonical_room(&BareJid::new(room).ok()?),
            None => self.meeting_of(from)?,
        };
        let room = self.rooms.get_mut(&jid)?;
        let sender = room.occupants.by_session(from)?;
        let moderator = sender.role == Role::Moderator;
        match host {
            Host::Metadata => room.set_metadata(&mut self.core, moderator, payload),
            Host::Polls => room.poll_event(&mut self.core, from, payload),
            Host::SpeakerStats => room.speaker_event(now, from, payload),
            Host::AvModeration if moderator => room.moderate(&mut self.core, from, payload),
            Host::EndConference if moderator && payload.name() == "end_conference" => {
                self.end_room(
                    &jid,
                    &Destroy {
                        jid: None,
                        reason: Some(TERMINATED.to_owned()),
                    },
                );
                Some(())
            }
            _ => None,
        }
    }

    /// The meeting a session is in.
    pub(crate) fn meeting_of(&self, session: SessionId) -> Option<BareJid> {
        let rooms = &self.core.sessions.get(&session)?.rooms;
        rooms
            .iter()
            .find(|jid| {
                self.rooms
                    .get(*jid)
                    .is_some_and(|room| room.kind == RoomKind::Meeting)
            })
            .cloned()
    }

    /// Ends a room.
    pub(crate) fn end_room(&mut self, jid: &BareJid, destroy: &Destroy) {
        if let Some(mut room) = self.rooms.remove(jid) {
            room.destroy(&mut self.core, destroy);
        }
    }
}

impl Room {
    /// Before a joiner sees its own presence.
    pub(crate) fn services_greet(&mut self, core: &mut Core, now: Instant, session: SessionId) {
        if self.kind == RoomKind::Meeting {
            self.push_metadata(core, now, session);
        }
    }

    /// After a joiner has seen its own presence.
    pub(crate) fn services_joined(&mut self, core: &mut Core, now: Instant, session: SessionId) {
        if self.kind == RoomKind::Meeting {
            self.tell_speaker_stats(core, now, session);
            self.tell_moderation(core, session);
            self.tell_polls(core, session);
        }
    }

    /// A client sent a presence.
    pub(crate) fn services_presence(
        &mut self,
        core: &mut Core,
        session: SessionId,
        stanza: &Element,
    ) {
        let Some(occupant) = self.occupants.by_session(session) else {
            return;
        };
        if self.kind != RoomKind::Meeting
            || occupant.role != Role::Moderator
            || core.rights(session).admin
        {
            return;
        }
        if let Some(policy) = stanza.get_child("startmuted", ns::JITMEET_START_MUTED) {
            self.set_start_muted(core, policy);
        }
    }

    /// Somebody's role has changed.
    pub(crate) fn services_role_changed(&mut self, core: &mut Core, session: SessionId) {
        if self.kind == RoomKind::Meeting {
            self.moderation_role_changed(core, session);
            self.lobby_role_changed(session);
        }
    }

    /// Somebody is gone.
    pub(crate) fn services_departed(&mut self, core: &mut Core, occupant: &Occupant) {
        if self.kind == RoomKind::Meeting {
            self.speaker_left(core.now, occupant);
            self.moderation_left(&occupant.nick);
            self.lobby_moderator_left(core, occupant.session);
        }
    }

    /// Sends a component's JSON to one occupant.
    fn push(&self, core: &mut Core, to: SessionId, from: &str, json: &Value) {
        core.send_element(to, json_message(from, None, json));
    }

    /// Sends a component's JSON to all occupants.
    fn push_all(&self, core: &mut Core, message: &Element) {
        let body = core.body(message);
        for occupant in self.occupants.iter() {
            core.send_body(occupant.session, &body);
        }
    }
}
