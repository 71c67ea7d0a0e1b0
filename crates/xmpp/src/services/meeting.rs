//! What services see of the meeting they serve, and how they speak to it.

use serde_json::Value;
use stanza::muc::Role;
use stanza::{BareJid, Element, ElementExt as _, element, ns};

use crate::core::Core;
use crate::ids::SessionId;
use crate::occupants::Occupants;

/// The meeting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meeting<'a> {
    pub(crate) jid: &'a BareJid,
    pub(crate) occupants: &'a Occupants,
}

impl Meeting<'_> {
    /// Sends a component's JSON to one occupant.
    pub(super) fn push(self, core: &mut Core, to: SessionId, from: &str, json: &Value) {
        core.send_element(to, json_message(from, None, json));
    }

    /// Sends a component's JSON to all occupants.
    pub(super) fn push_all(self, core: &mut Core, message: &Element) {
        let body = core.body(message);
        for occupant in self.occupants.iter() {
            core.send_body(occupant.session, &body);
        }
    }

    /// Tells all what the occupant `actor` did.
    pub(super) fn tell_of(self, core: &mut Core, actor: SessionId, json: &Value) {
        let Some(actor) = self.occupants.by_session(actor) else {
            return;
        };
        let mut message = json_message(&self.occupant_jid(&actor.nick), None, json);
        message.put("type", "groupchat");
        self.push_all(core, &message);
    }

    pub(super) fn occupant_jid(self, nick: &str) -> String {
        format!("{}/{nick}", self.jid)
    }

    /// People who moderate, and the focus.
    pub(super) fn moderators(self) -> Vec<SessionId> {
        let moderators = self
            .occupants
            .iter()
            .filter(|occupant| occupant.role == Role::Moderator);
        moderators.map(|occupant| occupant.session).collect()
    }
}

/// A JSON payload as a stanza of `from`, without address.
///
/// Clients decode percent sequences in the text before they parse it, so a percent sign must not appear as such.
pub(super) fn json_message(from: &str, room: Option<&BareJid>, json: &Value) -> Element {
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
