//! Messages to rooms and to the services of meetings.

use std::time::Instant;

use stanza::error::Condition;
use stanza::{BareJid, Element, Jid};

use super::Server;
use crate::hosts::Host;
use crate::ids::SessionId;
use crate::muc::RoomKind;
use crate::services::Verdict;

impl Server {
    /// A message to a room or to one of its occupants.
    pub(super) fn muc_message(&mut self, now: Instant, from: SessionId, stanza: Element, to: &Jid) {
        let jid = self.core.hosts.canonical_room(&to.to_bare());
        let Some(room) = self.rooms.get_mut(&jid) else {
            return self.core.refuse(from, &stanza, Condition::ItemNotFound);
        };
        if stanza.attr("type") == Some("error") {
            self.core.stats.refused += 1;
            return;
        }
        if room.occupants().by_session(from).is_none() {
            return self.core.refuse(from, &stanza, Condition::NotAcceptable);
        }
        let result = match (to.resource(), stanza.attr("type")) {
            (Some(nick), _) => room.private_message(&mut self.core, from, nick.as_str(), &stanza),
            (None, Some("groupchat")) => room.group_message(&mut self.core, now, from, &stanza),
            (None, _) => room.other_message(&mut self.core, from, &stanza),
        };
        if let Err(error) = result {
            self.core.refuse(from, &stanza, error.with_by(jid.as_str()));
        }
    }

    /// A message to a component.
    pub(super) fn component_message(
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
        match self.serve(now, from, &stanza, host) {
            Some((_, Verdict::Done)) => {}
            Some((jid, Verdict::End(destroy))) => self.end_room(&jid, &destroy),
            Some((_, Verdict::Refused)) | None => {
                self.core
                    .refuse(from, &stanza, Condition::ServiceUnavailable);
            }
        }
    }

    /// What the component of the meeting that is meant says to the message; `None` when there is no such meeting.
    fn serve(
        &mut self,
        now: Instant,
        from: SessionId,
        stanza: &Element,
        host: Host,
    ) -> Option<(BareJid, Verdict)> {
        let payload = stanza.children().next()?;
        // Some messages name their room; others mean the meeting the sender is in.
        let jid = match payload.attr("room") {
            Some(room) => self.core.hosts.canonical_room(&BareJid::new(room).ok()?),
            None => self.meeting_of(from)?,
        };
        let room = self.rooms.get_mut(&jid)?;
        let verdict = room.serve(&mut self.core, now, from, payload, host)?;
        Some((jid, verdict))
    }

    /// The meeting a session is in.
    fn meeting_of(&self, session: SessionId) -> Option<BareJid> {
        let rooms = &self.core.sessions.get(&session)?.rooms;
        rooms
            .iter()
            .find(|jid| {
                self.rooms
                    .get(jid)
                    .is_some_and(|room| room.kind() == RoomKind::Meeting)
            })
            .cloned()
    }
}
