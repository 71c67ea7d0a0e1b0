//! Leaving a room, and its end.

use std::collections::VecDeque;
use std::time::Instant;

use stanza::error::{Condition, StanzaError};
use stanza::muc::{Affiliation, Destroy, status};
use stanza::{Element, element, ns};

use super::{Room, Waiting};
use crate::core::Core;
use crate::ids::SessionId;
use crate::occupants::{Marks, Occupant};

/// Clients repeat their conference request when they read exactly this.
const CREATION_RESTRICTED: &str = "Room creation is restricted";

impl Room {
    /// Takes an occupant out and tells everybody, the occupant last. `last` is its last presence, if it sent one.
    pub(crate) fn depart(
        &mut self,
        core: &mut Core,
        session: SessionId,
        marks: Marks,
        last: Option<&Element>,
    ) -> Option<Occupant> {
        let occupant = self.occupants.remove(session)?;
        if let Some(session) = core.sessions.get_mut(&session) {
            session.rooms.remove(&self.jid);
        }
        let nothing = element("presence", ns::CLIENT).done();
        let last = last.unwrap_or(&nothing);
        let body = core.body(&occupant.render(&self.jid, marks.clone(), Some(last)));
        self.tell_others(core, session, &body);
        let mut status = marks.status.clone();
        status.push(status::SELF);
        core.send_element(
            session,
            occupant.render(&self.jid, Marks { status, ..marks }, Some(last)),
        );
        self.serve_departed(core, &occupant);
        Some(occupant)
    }

    /// Ends the room: everybody is told and out. Waiting joins are refused.
    pub(crate) fn destroy(&mut self, core: &mut Core, destroy: &Destroy) {
        self.services.close_lobby(core, &self.jid, destroy);
        while let Some(mut occupant) = self.occupants.pop_first() {
            let session = occupant.session;
            if let Some(session) = core.sessions.get_mut(&session) {
                session.rooms.remove(&self.jid);
            }
            // Each learns of its own end only: the room is gone for all of them at once.
            occupant.affiliation = Affiliation::None;
            let marks = Marks {
                status: vec![status::SELF],
                destroy: Some(destroy.clone()),
                ..Marks::default()
            };
            let gone = element("presence", ns::CLIENT).done();
            core.send_element(session, occupant.render(&self.jid, marks, Some(&gone)));
        }
        self.refuse_waiting(core, |_| true);
    }

    /// Refuses joins that waited for the focus until now.
    pub(crate) fn refuse_late(&mut self, core: &mut Core, now: Instant) {
        self.refuse_waiting(core, |waiting| waiting.until <= now);
    }

    fn refuse_waiting(&mut self, core: &mut Core, late: impl Fn(&Waiting) -> bool) {
        let (refused, waiting): (VecDeque<Waiting>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(late);
        self.waiting = waiting;
        for waiting in refused {
            core.refuse(waiting.session, &waiting.presence, creation_restricted());
        }
    }
}

/// What is told whoever comes to a room before the focus.
pub(crate) fn creation_restricted() -> StanzaError {
    StanzaError::new(Condition::NotAllowed).with_text(CREATION_RESTRICTED)
}
