//! The waiting room of a members-only meeting. People in it see only moderators' decisions, never each other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use stanza::error::{Condition, ErrorType, StanzaError};
use stanza::iq::{IqType, iq_type};
use stanza::muc::{Admin, Affiliation, Destroy, Role, status};
use stanza::xml::written_len;
use stanza::{BareJid, Element, ElementExt as _, Jid, element, ns};

use super::meeting::Meeting;
use crate::core::Core;
use crate::ids::SessionId;
use crate::journal::{OccupantRecord, Part};
use crate::occupants::{FOCUS_NICK, Marks, Occupant, Occupants, role_for, valid_nick};

/// Most people waiting.
const MOST: usize = 500;

/// What moderators are told of somebody who waits, each with one text: a name, and what pictures are found by.
const KNOWN: [(&str, &str); 4] = [
    ("nick", ns::NICK),
    ("email", ns::CLIENT),
    ("avatar-url", ns::CLIENT),
    ("stats-id", ns::CLIENT),
];
/// Largest presence made of that.
const MOST_BYTES: usize = 4 * 1024;

/// The people waiting, and the moderators who watch.
#[derive(Debug, Default)]
pub(super) struct Lobby {
    occupants: Occupants,
}

impl Lobby {
    /// Moderators see who waits; nobody else sees anybody.
    fn watchers(&self, subject: SessionId) -> Vec<SessionId> {
        let hidden = self
            .occupants
            .by_session(subject)
            .is_none_or(|occupant| occupant.role == Role::Moderator);
        let watching = self.occupants.iter().filter(|occupant| {
            !hidden && occupant.session != subject && occupant.role == Role::Moderator
        });
        watching.map(|occupant| occupant.session).collect()
    }

    fn announce(&self, core: &mut Core, jid: &BareJid, session: SessionId, statuses: Vec<u16>) {
        let Some(occupant) = self.occupants.by_session(session) else {
            return;
        };
        let body = core.body(&occupant.render(jid, Marks::default(), None));
        for watcher in self.watchers(session) {
            core.send_body(watcher, &body);
        }
        let marks = Marks {
            status: statuses,
            ..Marks::default()
        };
        let own = occupant.render(jid, marks, None);
        core.send_element(session, own);
    }

    fn depart(
        &mut self,
        core: &mut Core,
        jid: &BareJid,
        session: SessionId,
        marks: Marks,
    ) -> Option<Occupant> {
        let watchers = self.watchers(session);
        let occupant = self.occupants.remove(session)?;
        if let Some(session) = core.sessions.get_mut(&session) {
            session.rooms.remove(jid);
        }
        // What people say in going is not passed on.
        let gone = element("presence", ns::CLIENT).done();
        let body = core.body(&occupant.render(jid, marks.clone(), Some(&gone)));
        for watcher in watchers {
            core.send_body(watcher, &body);
        }
        let mut status = marks.status.clone();
        status.push(status::SELF);
        let own = occupant.render(jid, Marks { status, ..marks }, Some(&gone));
        core.send_element(session, own);
        Some(occupant)
    }
}

/// What of a presence is passed on: the first of each known child, as text.
fn known(stanza: &Element) -> Result<Element, StanzaError> {
    let mut out = element("presence", ns::CLIENT)
        .attr_opt("id", stanza.attr("id"))
        .done();
    for (name, ns) in KNOWN {
        if let Some(child) = stanza.get_child(name, ns) {
            out.append_child(element(name, ns).text(child.text()).done());
        }
    }
    if written_len(&out) > MOST_BYTES {
        return Err(StanzaError::new(Condition::PolicyViolation).with_text("presence too large"));
    }
    Ok(out)
}

fn display_name(presence: &Element) -> Option<String> {
    presence
        .child_text("nick", ns::NICK)
        .filter(|name| !name.trim().is_empty())
}

fn name_required(by: &BareJid) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable)
        .with_type(ErrorType::Modify)
        .with_by(by.as_str())
        .with_application(
            element("displayname-required", ns::JITMEET)
                .attr("lobby", "true")
                .done(),
        )
}

/// The error that sends a joiner of `room` to its waiting room.
pub(super) fn send_to(lobby: &BareJid, room: &BareJid, stanza: &Element) -> StanzaError {
    if display_name(stanza).is_none() {
        return name_required(room);
    }
    StanzaError::new(Condition::RegistrationRequired)
        .with_type(ErrorType::Auth)
        .with_application(
            element("lobbyroom", ns::JITMEET)
                .text(lobby.as_str())
                .done(),
        )
}

impl Lobby {
    /// A stanza to the waiting room or somebody in it. `affiliation` is the sender's in the meeting.
    pub(super) fn handle(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        from: SessionId,
        affiliation: Affiliation,
        stanza: &Element,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        let jid = &to.to_bare();
        let nick = to.resource().map(|nick| nick.as_str());
        match (stanza.name(), nick) {
            ("presence", Some(nick)) => self.presence(core, from, affiliation, jid, stanza, nick),
            ("message", nick) => self.message(core, from, jid, stanza, nick),
            ("iq", None) => self.iq(core, meeting, from, jid, stanza),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// A session is gone.
    pub(super) fn leave(&mut self, core: &mut Core, jid: &BareJid, session: SessionId) {
        self.depart(core, jid, session, Marks::default());
    }

    /// Ends it: everybody is told and out.
    pub(super) fn close(mut self, core: &mut Core, jid: &BareJid, destroy: &Destroy) {
        while let Some(occupant) = self.occupants.pop_first() {
            let session = occupant.session;
            if let Some(session) = core.sessions.get_mut(&session) {
                session.rooms.remove(jid);
            }
            let marks = Marks {
                status: vec![status::SELF],
                destroy: Some(destroy.clone()),
                ..Marks::default()
            };
            let gone = element("presence", ns::CLIENT).done();
            core.send_element(session, occupant.render(jid, marks, Some(&gone)));
        }
    }

    /// A moderator invited somebody; if that person waits, it was let in.
    pub(super) fn invited(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        jid: &BareJid,
        by: SessionId,
        invitee: SessionId,
    ) {
        if let Some(waiting) = self.occupants.by_session_mut(invitee) {
            waiting.affiliation = Affiliation::Member;
            decided(core, meeting, by, jid, waiting, "LOBBY-ACCESS-GRANTED");
        }
    }

    /// A participant who watches the waiting room became or ceased to be a moderator.
    pub(super) fn role_changed(&mut self, occupant: &Occupant) {
        if let Some(watcher) = self.occupants.by_session_mut(occupant.session) {
            watcher.role = occupant.role;
            watcher.affiliation = occupant.affiliation;
        }
    }

    /// A moderator who left the meeting no longer watches its waiting room.
    pub(super) fn moderator_left(&mut self, core: &mut Core, jid: &BareJid, session: SessionId) {
        if self
            .occupants
            .by_session(session)
            .is_some_and(|occupant| occupant.role == Role::Moderator)
        {
            self.depart(core, jid, session, Marks::default());
        }
    }

    fn presence(
        &mut self,
        core: &mut Core,
        from: SessionId,
        affiliation: Affiliation,
        jid: &BareJid,
        stanza: &Element,
        nick: &str,
    ) -> Result<(), StanzaError> {
        let Some(bare) = core.sessions.get(&from).map(|session| session.bare.clone()) else {
            return Ok(());
        };
        match stanza.attr("type") {
            None => {}
            Some("unavailable") => {
                let left = self.depart(core, jid, from, Marks::default());
                return left.map(|_| ()).ok_or(Condition::ItemNotFound.into());
            }
            Some(_) => return Ok(()),
        }
        let presence = known(stanza)?;
        if let Some(occupant) = self.occupants.by_session_mut(from) {
            if occupant.nick != nick {
                return Err(Condition::NotAllowed.into());
            }
            occupant.presence = presence;
            self.announce(core, jid, from, vec![status::SELF]);
            return Ok(());
        }
        if !stanza.has_child("x", ns::MUC) {
            return Err(Condition::ItemNotFound.into());
        }
        if !core.rights(from).service && (nick == FOCUS_NICK || !valid_nick(nick)) {
            return Err(StanzaError::new(Condition::NotAllowed).with_text("Invalid resource"));
        }
        let role = role_for(affiliation);
        if affiliation == Affiliation::Outcast {
            return Err(Condition::Forbidden.into());
        }
        if role != Role::Moderator && display_name(stanza).is_none() {
            return Err(name_required(jid));
        }
        if self.occupants.by_nick(nick).is_some() {
            return Err(Condition::Conflict.into());
        }
        if self.occupants.len() >= MOST {
            return Err(Condition::ServiceUnavailable.into());
        }
        let Some(session) = core.sessions.get_mut(&from) else {
            return Ok(());
        };
        session.rooms.insert(jid.clone());
        let full = session.jid.clone();
        let nick = nick.to_owned();
        self.occupants.insert(Occupant {
            nick,
            session: from,
            jid: full,
            bare,
            role,
            affiliation,
            presence,
            body: None,
        });
        if role == Role::Moderator {
            for waiting in self
                .occupants
                .iter()
                .filter(|other| other.role != Role::Moderator)
            {
                let body = core.body(&waiting.render(jid, Marks::default(), None));
                core.send_body(from, &body);
            }
        }
        self.announce(core, jid, from, vec![status::NON_ANONYMOUS, status::SELF]);
        Ok(())
    }

    /// Chat between moderators and people who wait.
    fn message(
        &self,
        core: &mut Core,
        from: SessionId,
        jid: &BareJid,
        stanza: &Element,
        nick: Option<&str>,
    ) -> Result<(), StanzaError> {
        if stanza.attr("type") == Some("error") {
            return Ok(());
        }
        let sender = self
            .occupants
            .by_session(from)
            .ok_or(StanzaError::new(Condition::NotAcceptable))?;
        let mut message = stanza.clone();
        message.take_attr("to");
        message.put("from", format!("{jid}/{}", sender.nick));
        let may =
            |other: &Occupant| sender.role == Role::Moderator || other.role == Role::Moderator;
        match nick {
            Some(nick) => {
                let receiver = self.occupants.by_nick(nick).filter(|other| may(other));
                let receiver = receiver.ok_or(StanzaError::new(Condition::ItemNotFound))?;
                core.send_element(receiver.session, message);
            }
            None if stanza.attr("type") == Some("groupchat") => {
                let body = core.body(&message);
                for other in self
                    .occupants
                    .iter()
                    .filter(|other| other.session == from || may(other))
                {
                    core.send_body(other.session, &body);
                }
            }
            None => return Err(Condition::BadRequest.into()),
        }
        Ok(())
    }

    /// A moderator turns somebody away; everything else does not exist here.
    fn iq(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        from: SessionId,
        jid: &BareJid,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let requester = self
            .occupants
            .by_session(from)
            .ok_or(StanzaError::new(Condition::Forbidden))?;
        if requester.role != Role::Moderator {
            return Err(Condition::Forbidden.into());
        }
        let actor = requester.nick.clone();
        let query = stanza
            .payload()
            .ok_or(StanzaError::new(Condition::BadRequest))?;
        if !query.is("query", ns::MUC_ADMIN) || iq_type(stanza) != Some(IqType::Set) {
            return Err(Condition::ServiceUnavailable.into());
        }
        let admin = Admin::try_from(query).map_err(|_| StanzaError::new(Condition::BadRequest))?;
        for item in admin.items {
            let (Some(Role::None), Some(nick)) = (item.role, &item.nick) else {
                return Err(Condition::BadRequest.into());
            };
            let target = self
                .occupants
                .by_nick(nick)
                .ok_or(StanzaError::new(Condition::ItemNotFound))?;
            if target.role == Role::Moderator {
                return Err(Condition::NotAllowed.into());
            }
            let session = target.session;
            let marks = Marks {
                status: vec![status::KICKED],
                actor: Some(actor.clone()),
                reason: item.reason,
                destroy: None,
            };
            if let Some(gone) = self.depart(core, jid, session, marks) {
                decided(core, meeting, from, jid, &gone, "LOBBY-ACCESS-DENIED");
            }
        }
        core.reply(from, stanza, None);
        Ok(())
    }
}

/// Tells the meeting what a moderator decided about somebody who waits.
fn decided(
    core: &mut Core,
    meeting: Meeting<'_>,
    by: SessionId,
    jid: &BareJid,
    waiting: &Occupant,
    event: &str,
) {
    let json = json!({
        "type": "lobby-notify",
        "event": event,
        "value": format!("{jid}/{}", waiting.nick),
        "name": display_name(&waiting.presence).unwrap_or_default(),
    });
    meeting.tell_of(core, by, &json);
}

impl Lobby {
    /// What the journal does not know yet.
    pub(super) fn take_changes(&mut self) -> Vec<Part> {
        self.occupants.take_changes(true)
    }

    /// Nobody keeps a journal.
    pub(super) fn forget_changes(&mut self) {
        self.occupants.forget_changes();
    }

    /// The same, where the journal knows nothing.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.occupants.parts(true)
    }

    /// Puts the people of the journal back; returns their sessions.
    pub(super) fn put_back(
        &mut self,
        people: &BTreeMap<u64, OccupantRecord>,
    ) -> BTreeSet<SessionId> {
        let people = people.values().take(MOST);
        people.filter_map(|o| self.occupants.put_back(o)).collect()
    }
}
