//! What an occupant was asked goes over to the session that takes its place.

use stanza::error::Condition;

use super::Room;
use crate::core::Core;
use crate::ids::SessionId;
use crate::requests::failure;

impl Room {
    /// What the occupant was asked while `old` had its place is asked of `new`, which has it now.
    pub(super) fn pass_requests(&self, core: &mut Core, old: SessionId, new: SessionId) {
        for key in core.requests.keys_at(old) {
            let asked = core.requests.get(&key).map(|open| open.asked.clone());
            let Some(asked) = asked.filter(|a| core.hosts.room_of(a).as_ref() == Some(&self.jid))
            else {
                continue;
            };
            let Some(mut open) = core.requests.remove(&key) else {
                continue;
            };
            let again = open.again.take();
            let again =
                again.and_then(|(request, errand)| Some((request, errand.again(core.now)?)));
            let asker = self.occupants.by_session(key.requester);
            let (Some((request, errand)), Some(asker)) = (again, asker) else {
                let error = failure(&key, &open, Condition::ServiceUnavailable);
                core.send_element(key.requester, error);
                continue;
            };
            drop(open);
            let from = format!("{}/{}", self.jid, asker.nick);
            core.relay_request(key.requester, new, &from, &asked, request, Some(errand));
        }
    }
}
