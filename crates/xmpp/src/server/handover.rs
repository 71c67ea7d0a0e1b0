//! A session that takes the place of another of the same account and resource.

use std::time::Instant;

use super::Server;
use crate::core::Timer;
use crate::ids::SessionId;
use crate::outgoing::{CloseReason, Output};
use crate::requests::RequestKey;

impl Server {
    /// Another session takes the address of `old`, which ends with `conflict`.
    ///
    /// The focus is not seen to leave its rooms by that, since clients end a meeting without a focus: its places are kept
    /// for a while, and each goes over to the new session when that enters the room, with what it was asked there.
    pub(super) fn supersede(&mut self, now: Instant, old: SessionId) {
        let core = &mut self.core;
        let expires = now + core.hibernation(old);
        let rights = core.rights(old);
        let Some(session) = core
            .sessions
            .get_mut(&old)
            .filter(|session| rights.admin && !session.rooms.is_empty())
        else {
            core.doomed.push((old, CloseReason::Conflict));
            return self.end_doomed();
        };
        let (resume_id, jid) = (session.resume_id().map(str::to_owned), session.jid.clone());
        let connection = session.become_placeholder(expires);
        if let Some(id) = resume_id {
            core.by_resume_id.remove(&id);
        }
        core.by_jid.remove(&jid);
        core.requests.forget(old);
        core.wake(expires, Timer::Session(old));
        if let Some(connection) = connection {
            core.outputs.push_back(Output::Close {
                connection,
                reason: CloseReason::Conflict,
            });
        }
        for key in self.core.requests.keys_at(old) {
            if self.waits_in_room(old, &key) {
                continue;
            }
            if let Some(open) = self.core.requests.remove(&key) {
                self.refuse_request(&key, open);
            }
        }
    }

    /// Whether a request was made to an occupant and can be made again to whoever takes that place.
    fn waits_in_room(&self, old: SessionId, key: &RequestKey) -> bool {
        let core = &self.core;
        let open = core.requests.get(key).filter(|open| open.again.is_some());
        let room = open.and_then(|open| core.hosts.room_of(&open.asked));
        let session = core.sessions.get(&old);
        room.is_some_and(|room| session.is_some_and(|session| session.rooms.contains(&room)))
    }
}
