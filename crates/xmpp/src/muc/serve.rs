//! What a meeting tells its services, and what is asked of them.

use std::time::Instant;

use stanza::error::StanzaError;
use stanza::muc::{Affiliation, Role};
use stanza::{BareJid, Element, Jid, ns};

use super::{Room, RoomKind};
use crate::core::Core;
use crate::hosts::Host;
use crate::ids::SessionId;
use crate::occupants::Occupant;
use crate::services::{Meeting, Services, Verdict};

impl Room {
    /// The services, and what they see of the room.
    fn services(&mut self) -> (&mut Services, Meeting<'_>) {
        let meeting = Meeting {
            jid: &self.jid,
            occupants: &self.occupants,
        };
        (&mut self.services, meeting)
    }

    /// A message of an occupant to a service; `None` if the sender is none.
    pub(crate) fn serve(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SessionId,
        payload: &Element,
        host: Host,
    ) -> Option<Verdict> {
        let sender = self.occupants.by_session(from)?;
        let moderator = sender.role == Role::Moderator;
        let (services, meeting) = self.services();
        Some(services.message(core, meeting, now, from, moderator, payload, host))
    }

    /// Before a joiner sees its own presence.
    pub(super) fn serve_greeting(&mut self, core: &mut Core, now: Instant, session: SessionId) {
        if self.kind == RoomKind::Meeting {
            let (services, meeting) = self.services();
            services.greet(core, meeting, now, session);
        }
    }

    /// After a joiner has seen its own presence.
    pub(super) fn serve_joined(&mut self, core: &mut Core, now: Instant, session: SessionId) {
        if self.kind == RoomKind::Meeting {
            let (services, meeting) = self.services();
            services.joined(core, meeting, now, session);
        }
    }

    /// A client sent a presence.
    pub(super) fn serve_presence(&mut self, core: &mut Core, session: SessionId, stanza: &Element) {
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
            let (services, meeting) = self.services();
            services.start_muted(core, meeting, policy);
        }
    }

    /// Somebody's role has changed.
    pub(super) fn serve_role_changed(&mut self, core: &mut Core, session: SessionId) {
        if self.kind == RoomKind::Meeting {
            let (services, meeting) = self.services();
            services.role_changed(core, meeting, session);
        }
    }

    /// Somebody is gone.
    pub(super) fn serve_departed(&mut self, core: &mut Core, occupant: &Occupant) {
        if self.kind == RoomKind::Meeting {
            let (services, meeting) = self.services();
            services.departed(core, meeting, occupant);
        }
    }

    /// The meeting was opened or closed to non-members by `actor`.
    pub(super) fn serve_members_only(&mut self, core: &mut Core, actor: SessionId) {
        let on = self.members_only;
        let (services, meeting) = self.services();
        services.members_only(core, meeting, actor, on);
    }

    /// A moderator invited somebody.
    pub(super) fn serve_invited(&mut self, core: &mut Core, by: SessionId, invitee: SessionId) {
        let (services, meeting) = self.services();
        services.invited(core, meeting, by, invitee);
    }

    /// Whether the meeting has a waiting room.
    pub(crate) fn has_lobby(&self) -> bool {
        self.services.has_lobby()
    }

    /// A stanza to the waiting room, which exists, or to somebody in it.
    pub(crate) fn lobby_stanza(
        &mut self,
        core: &mut Core,
        from: SessionId,
        stanza: &Element,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        let session = core.sessions.get(&from);
        let affiliation = session.map_or(Affiliation::None, |session| {
            self.affiliation(core, &session.bare)
        });
        let (services, meeting) = self.services();
        services.lobby_stanza(core, meeting, from, affiliation, stanza, to)
    }

    /// A session is gone from the waiting room `jid`.
    pub(crate) fn lobby_leave(&mut self, core: &mut Core, jid: &BareJid, session: SessionId) {
        self.services.lobby_leave(core, jid, session);
    }
}
