//! Waiting rooms, by the meetings they belong to.

use stanza::error::{Condition, StanzaError};
use stanza::{BareJid, Element, Jid};

use super::Server;
use crate::ids::SessionId;
use crate::muc::Room;

impl Server {
    /// A stanza to a waiting room or somebody in it.
    pub(super) fn lobby_stanza(&mut self, from: SessionId, stanza: Element, to: &Jid) {
        let room = self
            .core
            .hosts
            .meeting_of_lobby(to)
            .and_then(|meeting| self.rooms.get_mut(&meeting));
        let result = match room {
            Some(room) if room.has_lobby() => room.lobby_stanza(&mut self.core, from, &stanza, to),
            _ if stanza.name() == "presence" && stanza.attr("type").is_none() => {
                // Clients then try the meeting itself once more.
                Err(StanzaError::new(Condition::NotAllowed)
                    .with_text("Room creation is restricted"))
            }
            _ => Err(Condition::ItemNotFound.into()),
        };
        if let Err(error) = result {
            self.core.refuse(from, &stanza, error);
        }
    }

    /// A session is gone from a waiting room.
    pub(super) fn lobby_leave(&mut self, session: SessionId, jid: &BareJid) {
        let meeting = self.core.hosts.meeting_of_lobby(&jid.clone().into());
        if let Some(room) = meeting.and_then(|meeting| self.rooms.get_mut(&meeting)) {
            room.lobby_leave(&mut self.core, jid, session);
        }
    }

    /// Whether the meeting a client is about to join has a waiting room.
    pub(super) fn lobby_is_on_for(&self, session: SessionId) -> bool {
        let Some(session) = self.core.sessions.get(&session) else {
            return false;
        };
        let Some(room) = &session.query.room else {
            return false;
        };
        let tenant = session.query.prefix.as_deref().unwrap_or_default();
        let jid = self.core.hosts.room_of_query(room, tenant);
        jid.and_then(|jid| self.rooms.get(&jid))
            .is_some_and(Room::has_lobby)
    }
}
