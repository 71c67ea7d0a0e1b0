//! Entering a room, and presence within it.

use std::time::{Duration, Instant};

use aws_lc_rs::constant_time;
use stanza::error::{Condition, ErrorType, StanzaError};
use stanza::muc::{Affiliation, Join, status};
use stanza::xml::written_len;
use stanza::{Element, ElementExt as _, element, ns};

use super::guesses::{Guesses, Origin};
use super::{Room, RoomKind, Waiting};
use crate::core::{Core, Timer};
use crate::ids::SessionId;
use crate::occupants::{FOCUS_NICK, Marks, Occupant, is_room_payload, role_for, valid_nick};

impl Room {
    /// A presence of somebody who is in the room.
    pub(crate) fn update(
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
        self.serve_presence(core, session, &stanza);
        self.announce(core, session, None, None);
        if again {
            self.tell_past(core, now, session, &stanza);
        }
    }

    /// Lets somebody in, or says why not. Whoever comes before the focus waits and is let in or refused later.
    pub(crate) fn admit(
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
            return Err(self.services.lobby_error(core, &self.jid, stanza));
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
        let role = role_for(affiliation);
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
        self.serve_greeting(core, now, session);
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
        self.serve_joined(core, now, session);
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
