//! The waiting room of a members-only meeting. People in it see only moderators' decisions, never each other.

use serde_json::{Value, json};
use stanza::error::{Condition, ErrorType, StanzaError};
use stanza::iq::{IqType, iq_type};
use stanza::muc::{Admin, Affiliation, Destroy, Role, status};
use stanza::xml::written_len;
use stanza::{BareJid, Element, ElementExt as _, Jid, element, ns};

use crate::SessionId;
use crate::core::Core;
use crate::muc::{FOCUS_NICK, Marks, Occupant, Occupants, Room, valid_nick};
use crate::server::Server;

/// Reason shown when a moderator opens the meeting: people waiting go in by themselves.
const CLOSED: &str = "Lobby room closed.";
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

impl Server {
    /// A stanza to a waiting room or somebody in it.
    pub(crate) fn lobby_stanza(&mut self, from: SessionId, stanza: Element, to: &Jid) {
        let jid = to.to_bare();
        let room = self
            .core
            .hosts
            .meeting_of_lobby(to)
            .and_then(|meeting| self.rooms.get_mut(&meeting));
        let result = match room {
            Some(room) if room.services.lobby.is_some() => {
                room.lobby_handle(&mut self.core, from, &jid, &stanza, to)
            }
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
    pub(crate) fn lobby_leave(&mut self, session: SessionId, jid: &BareJid) {
        let meeting = self.core.hosts.meeting_of_lobby(&jid.clone().into());
        let room = meeting.and_then(|meeting| self.rooms.get_mut(&meeting));
        if let Some(lobby) = room.and_then(|room| room.services.lobby.as_mut()) {
            lobby.depart(&mut self.core, jid, session, Marks::default());
        }
    }

    /// Whether the meeting a client is about to join has a waiting room.
    pub(crate) fn lobby_is_on_for(&self, session: SessionId) -> bool {
        let Some(session) = self.core.sessions.get(&session) else {
            return false;
        };
        let Some(room) = &session.query.room else {
            return false;
        };
        let tenant = session.query.prefix.as_deref().unwrap_or_default();
        let jid = self.core.hosts.room_of_query(room, tenant);
        jid.and_then(|jid| self.rooms.get(&jid))
            .is_some_and(|room| room.services.lobby.is_some())
    }
}

impl Room {
    /// Address of the waiting room, while there is one.
    pub(crate) fn lobby_jid(&self, core: &Core) -> Option<BareJid> {
        self.services.lobby.as_ref()?;
        core.hosts.lobby_of(&self.jid)
    }

    /// The error that sends a joiner to the waiting room.
    pub(crate) fn lobby_error(&self, core: &Core, stanza: &Element) -> StanzaError {
        let Some(lobby) = self.lobby_jid(core) else {
            return StanzaError::new(Condition::RegistrationRequired).with_by(self.jid.as_str());
        };
        if display_name(stanza).is_none() {
            return name_required(&self.jid);
        }
        StanzaError::new(Condition::RegistrationRequired)
            .with_type(ErrorType::Auth)
            .with_application(
                element("lobbyroom", ns::JITMEET)
                    .text(lobby.as_str())
                    .done(),
            )
    }

    /// The meeting was opened or closed to non-members by `actor`.
    pub(crate) fn services_members_only(&mut self, core: &mut Core, actor: SessionId) {
        let on = self.members_only;
        if on {
            self.services.lobby = Some(Lobby::default());
        } else {
            let destroy = Destroy {
                jid: Some(self.jid.clone()),
                reason: Some(CLOSED.to_owned()),
            };
            self.close_lobby(core, &destroy);
        }
        self.lobby_notify(
            core,
            actor,
            json!({ "type": "lobby-notify", "event": "LOBBY-ENABLED", "value": on }),
        );
        self.put_server_metadata(core, "lobbyEnabled", Value::Bool(on));
    }

    /// Tells the meeting what a moderator did in the waiting room.
    fn lobby_notify(&self, core: &mut Core, actor: SessionId, json: Value) {
        let Some(actor) = self.occupants.by_session(actor) else {
            return;
        };
        let mut message = super::json_message(&format!("{}/{}", self.jid, actor.nick), None, &json);
        message.put("type", "groupchat");
        self.push_all(core, &message);
    }

    /// Ends the waiting room.
    pub(crate) fn close_lobby(&mut self, core: &mut Core, destroy: &Destroy) {
        let Some(jid) = core.hosts.lobby_of(&self.jid) else {
            return;
        };
        let Some(mut lobby) = self.services.lobby.take() else {
            return;
        };
        while let Some(occupant) = lobby.occupants.pop_first() {
            let session = occupant.session;
            if let Some(session) = core.sessions.get_mut(&session) {
                session.rooms.remove(&jid);
            }
            let marks = Marks {
                status: vec![status::SELF],
                destroy: Some(destroy.clone()),
                ..Marks::default()
            };
            let gone = element("presence", ns::CLIENT).done();
            core.send_element(session, occupant.render(&jid, marks, Some(&gone)));
        }
    }

    fn lobby_handle(
        &mut self,
        core: &mut Core,
        from: SessionId,
        jid: &BareJid,
        stanza: &Element,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        let nick = to.resource().map(|nick| nick.as_str());
        match (stanza.name(), nick) {
            ("presence", Some(nick)) => self.lobby_presence(core, from, jid, stanza, nick),
            ("message", nick) => self.lobby_message(core, from, jid, stanza, nick),
            ("iq", None) => self.lobby_iq(core, from, jid, stanza),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    fn lobby_presence(
        &mut self,
        core: &mut Core,
        from: SessionId,
        jid: &BareJid,
        stanza: &Element,
        nick: &str,
    ) -> Result<(), StanzaError> {
        let Some(bare) = core.sessions.get(&from).map(|session| session.bare.clone()) else {
            return Ok(());
        };
        let affiliation = self.affiliation(core, &bare);
        let Some(lobby) = &mut self.services.lobby else {
            return Ok(());
        };
        match stanza.attr("type") {
            None => {}
            Some("unavailable") => {
                let left = lobby.depart(core, jid, from, Marks::default());
                return left.map(|_| ()).ok_or(Condition::ItemNotFound.into());
            }
            Some(_) => return Ok(()),
        }
        let presence = known(stanza)?;
        if let Some(occupant) = lobby.occupants.by_session_mut(from) {
            if occupant.nick != nick {
                return Err(Condition::NotAllowed.into());
            }
            occupant.presence = presence;
            lobby.announce(core, jid, from, vec![status::SELF]);
            return Ok(());
        }
        if !stanza.has_child("x", ns::MUC) {
            return Err(Condition::ItemNotFound.into());
        }
        if !core.rights(from).service && (nick == FOCUS_NICK || !valid_nick(nick)) {
            return Err(StanzaError::new(Condition::NotAllowed).with_text("Invalid resource"));
        }
        let role = Self::role_for(affiliation);
        if affiliation == Affiliation::Outcast {
            return Err(Condition::Forbidden.into());
        }
        if role != Role::Moderator && display_name(stanza).is_none() {
            return Err(name_required(jid));
        }
        if lobby.occupants.by_nick(nick).is_some() {
            return Err(Condition::Conflict.into());
        }
        if lobby.occupants.len() >= MOST {
            return Err(Condition::ServiceUnavailable.into());
        }
        let Some(session) = core.sessions.get_mut(&from) else {
            return Ok(());
        };
        session.rooms.insert(jid.clone());
        let full = session.jid.clone();
        let nick = nick.to_owned();
        lobby.occupants.insert(Occupant {
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
            for waiting in lobby
                .occupants
                .iter()
                .filter(|other| other.role != Role::Moderator)
            {
                let body = core.body(&waiting.render(jid, Marks::default(), None));
                core.send_body(from, &body);
            }
        }
        lobby.announce(core, jid, from, vec![status::NON_ANONYMOUS, status::SELF]);
        Ok(())
    }

    /// Chat between moderators and people who wait.
    fn lobby_message(
        &mut self,
        core: &mut Core,
        from: SessionId,
        jid: &BareJid,
        stanza: &Element,
        nick: Option<&str>,
    ) -> Result<(), StanzaError> {
        let Some(lobby) = &self.services.lobby else {
            return Ok(());
        };
        if stanza.attr("type") == Some("error") {
            return Ok(());
        }
        let sender = lobby
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
                let receiver = lobby.occupants.by_nick(nick).filter(|other| may(other));
                let receiver = receiver.ok_or(StanzaError::new(Condition::ItemNotFound))?;
                core.send_element(receiver.session, message);
            }
            None if stanza.attr("type") == Some("groupchat") => {
                let body = core.body(&message);
                for other in lobby
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
    fn lobby_iq(
        &mut self,
        core: &mut Core,
        from: SessionId,
        jid: &BareJid,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let Some(lobby) = &mut self.services.lobby else {
            return Ok(());
        };
        let requester = lobby
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
            let Some(lobby) = &mut self.services.lobby else {
                break;
            };
            let target = lobby
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
            if let Some(gone) = lobby.depart(core, jid, session, marks) {
                self.lobby_decided(core, from, jid, &gone, "LOBBY-ACCESS-DENIED");
            }
        }
        core.reply(from, stanza, None);
        Ok(())
    }

    fn lobby_decided(
        &self,
        core: &mut Core,
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
        self.lobby_notify(core, by, json);
    }

    /// A moderator invited somebody; if that person waits, it was let in.
    pub(crate) fn services_invited(&mut self, core: &mut Core, by: SessionId, invitee: SessionId) {
        let Some(jid) = self.lobby_jid(core) else {
            return;
        };
        let Some(lobby) = &mut self.services.lobby else {
            return;
        };
        let Some(waiting) = lobby.occupants.by_session_mut(invitee) else {
            return;
        };
        waiting.affiliation = Affiliation::Member;
        if let Some(waiting) = self
            .services
            .lobby
            .as_ref()
            .and_then(|lobby| lobby.occupants.by_session(invitee))
        {
            self.lobby_decided(core, by, &jid, waiting, "LOBBY-ACCESS-GRANTED");
        }
    }

    /// A participant who watches the waiting room became or ceased to be a moderator.
    pub(super) fn lobby_role_changed(&mut self, session: SessionId) {
        let Some(occupant) = self.occupants.by_session(session) else {
            return;
        };
        let (role, affiliation) = (occupant.role, occupant.affiliation);
        if let Some(watcher) = self
            .services
            .lobby
            .as_mut()
            .and_then(|lobby| lobby.occupants.by_session_mut(session))
        {
            watcher.role = role;
            watcher.affiliation = affiliation;
        }
    }

    /// A moderator who left the meeting no longer watches its waiting room.
    pub(super) fn lobby_moderator_left(&mut self, core: &mut Core, session: SessionId) {
        let Some(jid) = self.lobby_jid(core) else {
            return;
        };
        let Some(lobby) = &mut self.services.lobby else {
            return;
        };
        if lobby
            .occupants
            .by_session(session)
            .is_some_and(|occupant| occupant.role == Role::Moderator)
        {
            lobby.depart(core, &jid, session, Marks::default());
        }
    }
}
