//! Entering a room, presence within it, leaving it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time;
use stanza::error::{Condition, ErrorType, StanzaError};
use stanza::muc::{Affiliation, Join, status};
use stanza::xml::written_len;
use stanza::{BareJid, Element, ElementExt as _, Jid, element, ns};

use super::guesses::{Guesses, Origin};
use super::occupants::{Marks, Occupant, is_room_payload};
use super::room::{Room, RoomKind, Waiting};
use crate::core::{Core, Timer};
use crate::hosts::Host;
use crate::server::Server;
use crate::{SessionId, ids};

/// Clients repeat their conference request when they read exactly this.
const CREATION_RESTRICTED: &str = "Room creation is restricted";
/// The nickname of the focus, by which clients know it.
pub(crate) const FOCUS_NICK: &str = "focus";
/// Rooms in which a focus tests itself begin so.
const HEALTH_CHECK: &str = "__jicofo-health-check";

fn creation_restricted() -> StanzaError {
    StanzaError::new(Condition::NotAllowed).with_text(CREATION_RESTRICTED)
}

/// Whether a nickname can be an endpoint id everywhere.
pub(crate) fn valid_nick(nick: &str) -> bool {
    nick.len() <= 64
        && nick.starts_with(|c: char| c.is_ascii_alphanumeric())
        && nick.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Server {
    /// Presence to a room of `host`.
    pub(crate) fn muc_presence(
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
            && room.occupants.by_session(from).is_some()
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
        if self.rooms.contains_key(jid) {
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
        room.waiting.retain(|waiting| waiting.session != from);
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
    pub(crate) fn leave_all_rooms(
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

    pub(crate) fn drop_room_if_over(&mut self, jid: &BareJid) {
        if self.rooms.get(jid).is_some_and(Room::is_over)
            && let Some(mut room) = self.rooms.remove(jid)
        {
            room.destroy(&mut self.core, &stanza::muc::Destroy::default());
        }
    }

    /// Joins of a room that waited too long for the focus are refused.
    pub(crate) fn muc_timeout(&mut self, now: Instant, jid: &BareJid) {
        if let Some(room) = self.rooms.get_mut(jid) {
            room.refuse_waiting(&mut self.core, |waiting| waiting.until <= now);
            self.drop_room_if_over(jid);
        }
    }
}

impl Room {
    /// A presence of somebody who is in the room.
    fn update(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        nick: &str,
        stanza: Element,
    ) {
        let Some(occupant) = self.occupants.by_session_mut(session) else {
            return;
        };
        if occupant.nick != nick {
            let error =
                StanzaError::new(Condition::NotAllowed).with_text("Nick changes are not allowed");
            return core.refuse(session, &stanza, error);
        }
        let again = stanza.has_child("x", ns::MUC);
        occupant.presence = kept(core, session, &stanza);
        occupant.body = None;
        if again {
            // The client lost track of the room: tell it everything once more.
            self.tell_occupants(core, session);
        }
        self.services_presence(core, session, &stanza);
        self.announce(core, session, None, None);
        if again {
            self.tell_past(core, now, session, &stanza);
        }
    }

    /// Lets somebody in, or says why not. Whoever comes before the focus waits and is let in or refused later.
    fn admit(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        nick: &str,
        stanza: &Element,
        created: bool,
    ) -> Result<(), StanzaError> {
        let by = self.jid.to_string();
        let refuse = |condition: Condition| StanzaError::new(condition).with_by(by.clone());
        let rights = core.rights(session);
        let strange = !rights.service && !valid_nick(nick);
        if strange || (nick == FOCUS_NICK && !rights.admin) {
            return Err(refuse(Condition::NotAllowed).with_text("Invalid resource"));
        }
        if self.kind == RoomKind::Meeting && !rights.admin && self.focus(core).is_none() {
            return self.wait(core, now, session, stanza);
        }
        let bare = core
            .sessions
            .get(&session)
            .map(|session| session.bare.clone());
        let Some(bare) = bare else { return Ok(()) };
        let held = self
            .occupants
            .by_nick(nick)
            .map(|occupant| (occupant.bare == bare, occupant.session));
        match held {
            Some((false, _)) => return Err(refuse(Condition::Conflict)),
            Some((true, old)) => self.replace(core, old, session),
            None => self.check_room_for(core, session)?,
        }
        let old = held.map(|(_, old)| old);
        let join = stanza
            .get_child("x", ns::MUC)
            .and_then(|x| Join::try_from(x).ok())
            .unwrap_or_default();
        if !rights.service {
            self.check_access(core, now, session, join.password.as_deref(), stanza)?;
        }
        let affiliation = self.affiliation(core, &bare);
        self.enter(core, now, session, nick, stanza, affiliation, created);
        if let Some(old) = old {
            self.pass_requests(core, old, session);
        }
        if rights.admin {
            self.admit_waiting(core, now);
        }
        Ok(())
    }

    fn wait(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        self.waiting.retain(|waiting| waiting.session != session);
        let kept = (self.waiting.len() < core.config.limits.joins_waiting)
            .then(|| core.keeping.keep(session, written_len(stanza), false));
        let Some(Some(kept)) = kept else {
            core.stats.refused_full += 1;
            return Err(StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait));
        };
        let until = now + core.config.limits.join_wait;
        self.waiting.push_back(Waiting {
            session,
            presence: stanza.clone(),
            until,
            _kept: kept,
        });
        core.wake(until, Timer::Room(self.jid.clone()));
        Ok(())
    }

    /// The focus is here: everybody who waited comes in, in order.
    fn admit_waiting(&mut self, core: &mut Core, now: Instant) {
        for waiting in std::mem::take(&mut self.waiting) {
            if !core.sessions.contains_key(&waiting.session) {
                continue;
            }
            let Some(to) = waiting.presence.jid("to") else {
                continue;
            };
            let nick = to
                .resource()
                .map(|nick| nick.as_str().to_owned())
                .unwrap_or_default();
            if let Err(error) =
                self.admit(core, now, waiting.session, &nick, &waiting.presence, false)
            {
                core.refuse(waiting.session, &waiting.presence, error);
            }
        }
    }

    pub(crate) fn refuse_waiting(&mut self, core: &mut Core, late: impl Fn(&Waiting) -> bool) {
        let (refused, waiting): (VecDeque<Waiting>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(late);
        self.waiting = waiting;
        for waiting in refused {
            core.refuse(waiting.session, &waiting.presence, creation_restricted());
        }
    }

    /// The account comes back with another session under the same nickname: the old one is out.
    fn replace(&mut self, core: &mut Core, old: SessionId, new: SessionId) {
        let Some(jid) = core.sessions.get(&new).map(|session| session.jid.clone()) else {
            return;
        };
        if let Some(occupant) = self.occupants.by_session(old) {
            let marks = Marks {
                status: vec![status::SELF],
                ..Marks::default()
            };
            let gone = element("presence", ns::CLIENT).done();
            core.send_element(old, occupant.render(&self.jid, marks, Some(&gone)));
        }
        if let Some(session) = core.sessions.get_mut(&old) {
            session.rooms.remove(&self.jid);
        }
        self.occupants.rebind(old, new, jid);
    }

    fn check_room_for(&self, core: &Core, session: SessionId) -> Result<(), StanzaError> {
        let limits = &core.config.limits;
        let full = || StanzaError::new(Condition::ServiceUnavailable).with_by(self.jid.as_str());
        if self.occupants.len() >= limits.occupants {
            return Err(full());
        }
        let Some(joining) = core.sessions.get(&session) else {
            return Ok(());
        };
        if joining.rights.service {
            return Ok(());
        }
        if joining.rooms.len() >= limits.rooms_per_session {
            return Err(StanzaError::new(Condition::ResourceConstraint).with_by(self.jid.as_str()));
        }
        match core.config.max_occupants {
            Some(most) if self.people(core) >= most => Err(full()),
            _ => Ok(()),
        }
    }

    /// Occupants that are not service accounts.
    pub(crate) fn people(&self, core: &Core) -> usize {
        self.occupants
            .iter()
            .filter(|occupant| !core.rights(occupant.session).service)
            .count()
    }

    fn check_access(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        password: Option<&str>,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let by = self.jid.to_string();
        let refuse = |condition: Condition| StanzaError::new(condition).with_by(by.as_str());
        let Some(joining) = core.sessions.get(&session) else {
            return Ok(());
        };
        let affiliation = self.affiliation(core, &joining.bare);
        if affiliation == Affiliation::Outcast {
            return Err(refuse(Condition::Forbidden));
        }
        if self.members_only {
            // Whoever was let in by a moderator, or knows the password, need not wait. Whoever guessed too often may
            // still knock.
            if affiliation >= Affiliation::Member
                || self.knows_password(core, now, session, password) == Ok(true)
            {
                return Ok(());
            }
            return Err(self.lobby_error(core, stanza));
        }
        if self.password.is_none() {
            return Ok(());
        }
        match self.knows_password(core, now, session, password) {
            Ok(true) => Ok(()),
            Ok(false) => Err(refuse(Condition::NotAuthorized).with_type(ErrorType::Auth)),
            Err(wait) => {
                let text = format!(
                    "Too many wrong passwords; try again in {} seconds",
                    wait.as_secs() + 1
                );
                Err(refuse(Condition::ResourceConstraint)
                    .with_type(ErrorType::Wait)
                    .with_text(text))
            }
        }
    }

    /// Whether a password is the room's. Not looked at while too many wrong ones came from the same address: then, how long
    /// that will be.
    fn knows_password(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        password: Option<&str>,
    ) -> Result<bool, Duration> {
        let (Some(secret), Some(tried)) = (&self.password, password) else {
            return Ok(false);
        };
        let address = core
            .sessions
            .get(&session)
            .and_then(|session| session.query.address);
        let origin = address.map_or(Origin::Session(session), Origin::Address);
        let guesses = self.guesses.get_or_insert_with(|| Guesses::new(now));
        if let Some(wait) = guesses.wait(now, origin) {
            core.stats.guesses_refused += 1;
            return Err(wait);
        }
        let right =
            constant_time::verify_slices_are_equal(tried.as_bytes(), secret.as_bytes()).is_ok();
        if right {
            guesses.right(now, origin);
        } else {
            core.stats.guesses_wrong += 1;
            guesses.wrong(now, origin);
        }
        Ok(right)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the facts of one join, each checked before"
    )]
    fn enter(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        nick: &str,
        stanza: &Element,
        affiliation: Affiliation,
        created: bool,
    ) {
        let Some(joining) = core.sessions.get_mut(&session) else {
            return;
        };
        joining.rooms.insert(self.jid.clone());
        let (jid, bare) = (joining.jid.clone(), joining.bare.clone());
        let presence = kept(core, session, stanza);
        let role = Self::role_for(affiliation);
        match self.occupants.by_session_mut(session) {
            Some(occupant) => {
                occupant.presence = presence;
                occupant.body = None;
                occupant.role = role;
                occupant.affiliation = affiliation;
            }
            None => self.occupants.insert(Occupant {
                nick: nick.to_owned(),
                session,
                jid,
                bare,
                role,
                affiliation,
                presence,
                body: None,
            }),
        }
        if self.created_ms.is_none() && self.occupants.len() >= 2 {
            self.created_ms = Some(u128::from(core.clock.unix(now).as_secs()) * 1_000);
        }
        self.tell_occupants(core, session);
        if let Some(body) = self.present(core, session) {
            self.tell_others(core, session, &body);
        }
        self.services_greet(core, now, session);
        let mut status = vec![status::NON_ANONYMOUS, status::SELF];
        // A bridge has nothing to configure in the brewery.
        if created && !core.rights(session).bridge {
            status.insert(0, status::CREATED);
        }
        self.tell_self(
            core,
            session,
            Marks {
                status,
                ..Marks::default()
            },
        );
        self.services_joined(core, now, session);
        self.tell_past(core, now, session, stanza);
    }

    /// Sends the presence of everybody else to `session`.
    fn tell_occupants(&mut self, core: &mut Core, session: SessionId) {
        let others: Vec<SessionId> = self
            .occupants
            .iter()
            .map(|occupant| occupant.session)
            .filter(|&other| other != session && self.sees(core, session, other))
            .collect();
        for other in others {
            if let Some(body) = self.present(core, other) {
                core.send_body(session, &body);
            }
        }
    }
}

/// What a room keeps of a client's presence: everything but addresses and what only rooms write.
fn kept(core: &Core, session: SessionId, stanza: &Element) -> Element {
    let mut out = element("presence", ns::CLIENT)
        .attr_opt("id", stanza.attr("id"))
        .done();
    let mut region = false;
    for child in stanza.children().filter(|child| !is_room_payload(child)) {
        region |= child.name() == "jitsi_participant_region";
        out.append_child(child.clone());
    }
    let known = core
        .sessions
        .get(&session)
        .and_then(|session| session.query.region.clone());
    if let (false, Some(known)) = (region, known) {
        out.append_child(
            element("jitsi_participant_region", ns::CLIENT)
                .text(known)
                .done(),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames_are_endpoint_ids() {
        for (nick, good) in [
            ("a1b2c3d4", true),
            ("A_1", true),
            ("_a", false),
            ("", false),
            ("a b", false),
            ("ä", false),
            ("a-b", false),
        ] {
            assert_eq!(valid_nick(nick), good, "{nick}");
        }
        assert!(!valid_nick(&"a".repeat(65)));
    }
}
