//! Entering and leaving rooms; their end.

use std::time::Instant;

use stanza::error::{Condition, StanzaError};
use stanza::muc::Destroy;
use stanza::xml::written_len;
use stanza::{BareJid, Element, Jid, ns};

use super::Server;
use crate::hosts::Host;
use crate::ids::{self, SessionId};
use crate::muc::{Room, RoomKind, creation_restricted};
use crate::occupants::Marks;

/// Rooms in which a focus tests itself begin so.
const HEALTH_CHECK: &str = "__jicofo-health-check";

impl Server {
    /// Presence to a room of `host`.
    pub(super) fn muc_presence(
        &mut self,
        now: Instant,
        from: SessionId,
        stanza: Element,
        to: &Jid,
        host: Host,
    ) {
        let (Some(_), Some(nick)) = (to.node(), to.resource()) else {
            return self.core.refuse(from, &stanza, Condition::JidMalformed);
        };
        let room = self.core.hosts.canonical_room(&to.to_bare());
        match stanza.attr("type") {
            None => self.muc_available(now, from, stanza, &room, nick.as_str(), host),
            Some("unavailable") => self.muc_leave(from, &stanza, &room),
            // Errors are never answered; the rest does not exist in rooms.
            Some(_) => self.core.stats.refused += 1,
        }
    }

    fn muc_available(
        &mut self,
        now: Instant,
        from: SessionId,
        stanza: Element,
        jid: &BareJid,
        nick: &str,
        host: Host,
    ) {
        let rights = self.core.rights(from);
        if !rights.service && written_len(&stanza) > self.core.config.limits.presence_bytes {
            let error =
                StanzaError::new(Condition::PolicyViolation).with_text("presence too large");
            return self.core.refuse(from, &stanza, error);
        }
        if let Some(room) = self.rooms.get_mut(jid)
            && room.occupants().by_session(from).is_some()
        {
            return room.update(&mut self.core, now, from, nick, stanza);
        }
        if !stanza.has_child("x", ns::MUC) {
            let error = StanzaError::new(Condition::ItemNotFound)
                .with_text("You are not currently connected to this chat");
            return self.core.refuse(from, &stanza, error.with_by(jid.as_str()));
        }
        match self.room_to_enter(from, jid, host) {
            Ok(created) => {
                let Some(room) = self.rooms.get_mut(jid) else {
                    return;
                };
                if let Err(error) = room.admit(&mut self.core, now, from, nick, &stanza, created) {
                    self.core.refuse(from, &stanza, error);
                }
                self.drop_room_if_over(jid);
            }
            Err(error) => self.core.refuse(from, &stanza, error),
        }
    }

    /// Makes sure that the room exists; `true` when it is new.
    fn room_to_enter(
        &mut self,
        from: SessionId,
        jid: &BareJid,
        host: Host,
    ) -> Result<bool, StanzaError> {
        let rights = self.core.rights(from);
        let internal = host == Host::InternalMuc;
        if internal && !rights.service {
            return Err(Condition::Forbidden.into());
        }
        if self.rooms.contains(jid) {
            return Ok(false);
        }
        if !(internal || rights.admin) {
            return Err(creation_restricted());
        }
        if self.rooms.len() >= self.core.config.limits.rooms {
            return Err(Condition::ResourceConstraint.into());
        }
        let health = jid
            .node()
            .is_some_and(|node| node.as_str().starts_with(HEALTH_CHECK));
        let kind = match (internal, health) {
            (true, _) => RoomKind::Internal,
            (false, true) => RoomKind::HealthCheck,
            (false, false) => RoomKind::Meeting,
        };
        let room = Room::new(jid.clone(), kind, ids::uuid(&mut self.core.rng));
        self.rooms.insert(jid.clone(), room);
        Ok(true)
    }

    fn muc_leave(&mut self, from: SessionId, stanza: &Element, jid: &BareJid) {
        let Some(room) = self.rooms.get_mut(jid) else {
            return self.core.refuse(from, stanza, Condition::ItemNotFound);
        };
        room.withdraw(from);
        // Farewells have the limit of other presences: what is too large is left out.
        let fits = self.core.rights(from).service
            || written_len(stanza) <= self.core.config.limits.presence_bytes;
        if room
            .depart(
                &mut self.core,
                from,
                Marks::default(),
                fits.then_some(stanza),
            )
            .is_none()
        {
            self.core.refuse(from, stanza, Condition::ItemNotFound);
        }
        self.drop_room_if_over(jid);
    }

    /// The session is gone, or says that it is nowhere any more.
    pub(super) fn leave_all_rooms(
        &mut self,
        session: SessionId,
        rooms: impl IntoIterator<Item = BareJid>,
    ) {
        for jid in rooms {
            if let Some(room) = self.rooms.get_mut(&jid) {
                room.depart(&mut self.core, session, Marks::default(), None);
                self.drop_room_if_over(&jid);
            }
        }
    }

    pub(super) fn drop_room_if_over(&mut self, jid: &BareJid) {
        if self.rooms.get(jid).is_some_and(Room::is_over)
            && let Some(mut room) = self.rooms.remove(jid)
        {
            room.destroy(&mut self.core, &stanza::muc::Destroy::default());
        }
    }

    /// Joins of a room that waited too long for the focus are refused.
    pub(super) fn muc_timeout(&mut self, now: Instant, jid: &BareJid) {
        if let Some(room) = self.rooms.get_mut(jid) {
            room.refuse_late(&mut self.core, now);
            self.drop_room_if_over(jid);
        }
    }

    /// Ends a room.
    pub(super) fn end_room(&mut self, jid: &BareJid, destroy: &Destroy) {
        if let Some(mut room) = self.rooms.remove(jid) {
            room.destroy(&mut self.core, destroy);
        }
    }

    /// Takes a session out of every room.
    pub(super) fn leave_everything(&mut self, session: SessionId) {
        let Some(rooms) = self
            .core
            .sessions
            .get_mut(&session)
            .map(|session| std::mem::take(&mut session.rooms))
        else {
            return;
        };
        self.leave_rooms(session, rooms);
    }

    pub(super) fn leave_rooms(
        &mut self,
        session: SessionId,
        rooms: impl IntoIterator<Item = stanza::BareJid>,
    ) {
        for jid in rooms {
            if self.core.hosts.classify(jid.domain().as_str()) == Some(Host::Lobby) {
                self.lobby_leave(session, &jid);
            } else {
                self.leave_all_rooms(session, [jid]);
            }
        }
    }
}
