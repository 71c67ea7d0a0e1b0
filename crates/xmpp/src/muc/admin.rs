//! Administration: roles, affiliations, kicks (XEP-0045 §§8-10).

use stanza::error::{Condition, StanzaError};
use stanza::iq::{IqType, iq_type};
use stanza::muc::{Admin, Affiliation, Item, MucError, Role, status};
use stanza::{BareJid, Element};

use super::Room;
use crate::core::Core;
use crate::ids::SessionId;
use crate::occupants::{Marks, role_for};

/// A checked change.
enum Change {
    Affiliation {
        bare: BareJid,
        to: Affiliation,
        reason: Option<String>,
    },
    Role {
        session: SessionId,
        to: Role,
        reason: Option<String>,
    },
    Kick {
        session: SessionId,
        reason: Option<String>,
    },
}

/// Who asks: its nickname and standing.
struct Requester {
    nick: Option<String>,
    role: Role,
    affiliation: Affiliation,
}

impl Room {
    /// Handles an IQ with a `muc#admin` query; returns the payload of the result.
    pub(crate) fn admin(
        &mut self,
        core: &mut Core,
        from: SessionId,
        stanza: &Element,
        query: &Element,
    ) -> Result<Option<Element>, StanzaError> {
        let requester = self.requester(core, from)?;
        let admin = Admin::try_from(query).map_err(|error| match error {
            MucError::BadJid => StanzaError::new(Condition::JidMalformed),
            _ => StanzaError::new(Condition::BadRequest),
        })?;
        if admin.items.is_empty() {
            return Err(Condition::BadRequest.into());
        }
        if iq_type(stanza) == Some(IqType::Get) {
            return Ok(Some(self.list(&admin).into()));
        }
        self.affiliations.forget(|account| core.is_gone(account));
        let changes = admin
            .items
            .into_iter()
            .map(|item| self.check(core, &requester, item))
            .collect::<Result<Vec<_>, _>>()?;
        for change in changes {
            self.apply(core, &requester, change);
        }
        Ok(None)
    }

    fn requester(&self, core: &Core, from: SessionId) -> Result<Requester, StanzaError> {
        let requester = match self.occupants.by_session(from) {
            Some(occupant) => Requester {
                nick: Some(occupant.nick.clone()),
                role: occupant.role,
                affiliation: occupant.affiliation,
            },
            None if core.rights(from).admin => Requester {
                nick: None,
                role: Role::Moderator,
                affiliation: Affiliation::Owner,
            },
            None => return Err(Condition::Forbidden.into()),
        };
        if requester.role != Role::Moderator {
            return Err(Condition::Forbidden.into());
        }
        Ok(requester)
    }

    fn list(&self, wanted: &Admin) -> Admin {
        let mut items = Vec::new();
        for wish in &wanted.items {
            if let Some(affiliation) = wish.affiliation {
                items.extend(
                    self.affiliations
                        .iter()
                        .filter(|(_, have)| *have == affiliation)
                        .map(|(bare, have)| Item {
                            affiliation: Some(have),
                            jid: Some(bare.clone().into()),
                            ..Item::default()
                        }),
                );
            }
            if let Some(role) = wish.role {
                items.extend(
                    self.occupants
                        .iter()
                        .filter(|occupant| occupant.role == role)
                        .map(|occupant| Item {
                            affiliation: Some(occupant.affiliation),
                            role: Some(role),
                            jid: Some(occupant.jid.clone().into()),
                            nick: Some(occupant.nick.clone()),
                            ..Item::default()
                        }),
                );
            }
        }
        Admin { items }
    }

    fn check(&self, core: &Core, requester: &Requester, item: Item) -> Result<Change, StanzaError> {
        let reason = item.reason.clone();
        match (item.affiliation, item.role) {
            (Some(to), None) => {
                let bare = self.account_of(&item)?;
                self.check_affiliation(core, requester, &bare, to)?;
                Ok(Change::Affiliation { bare, to, reason })
            }
            (None, Some(to)) => {
                let nick = item.nick.ok_or(StanzaError::new(Condition::BadRequest))?;
                let target = self
                    .occupants
                    .by_nick(&nick)
                    .ok_or(StanzaError::new(Condition::ItemNotFound))?;
                // Clients take the loss of the focus for the end of the meeting.
                if core.is_admin(&target.bare) {
                    return Err(Condition::NotAllowed.into());
                }
                let session = target.session;
                Ok(match to {
                    Role::None => Change::Kick { session, reason },
                    to => Change::Role {
                        session,
                        to,
                        reason,
                    },
                })
            }
            _ => Err(Condition::BadRequest.into()),
        }
    }

    /// The account an affiliation item is about: a bare address, or the account behind a nickname.
    fn account_of(&self, item: &Item) -> Result<BareJid, StanzaError> {
        match (&item.jid, &item.nick) {
            (Some(jid), _) => match jid.try_as_full() {
                Ok(_) => Err(Condition::JidMalformed.into()),
                Err(bare) => Ok(bare.clone()),
            },
            (None, Some(nick)) => match self.occupants.by_nick(nick) {
                Some(occupant) => Ok(occupant.bare.clone()),
                None => Err(Condition::ItemNotFound.into()),
            },
            (None, None) => Err(Condition::BadRequest.into()),
        }
    }

    fn check_affiliation(
        &self,
        core: &Core,
        requester: &Requester,
        bare: &BareJid,
        to: Affiliation,
    ) -> Result<(), StanzaError> {
        if core.is_admin(bare) {
            return Err(Condition::NotAllowed.into());
        }
        let from = self.affiliation(core, bare);
        let needed = match from.max(to) {
            Affiliation::Owner | Affiliation::Admin => Affiliation::Owner,
            _ => Affiliation::Admin,
        };
        if requester.affiliation < needed {
            return Err(Condition::Forbidden.into());
        }
        if self.affiliations.len() >= core.config.limits.occupants
            && self.affiliations.get(bare).is_none()
        {
            return Err(Condition::ResourceConstraint.into());
        }
        Ok(())
    }

    fn apply(&mut self, core: &mut Core, requester: &Requester, change: Change) {
        match change {
            Change::Affiliation { bare, to, reason } => {
                self.set_affiliation(core, &bare, to, requester.nick.clone(), reason);
            }
            Change::Role {
                session,
                to,
                reason,
            } => {
                if let Some(occupant) = self.occupants.by_session_mut(session) {
                    occupant.role = to;
                }
                self.announce(core, session, requester.nick.clone(), reason);
                self.serve_role_changed(core, session);
            }
            Change::Kick { session, reason } => {
                self.kick(core, session, requester.nick.clone(), reason)
            }
        }
    }

    fn kick(
        &mut self,
        core: &mut Core,
        session: SessionId,
        actor: Option<String>,
        reason: Option<String>,
    ) {
        if let Some(occupant) = self.occupants.by_session_mut(session) {
            // A kicked moderator must not come back as one.
            self.affiliations.set(&occupant.bare, Affiliation::None);
            occupant.affiliation = Affiliation::None;
        }
        let marks = Marks {
            status: vec![status::KICKED],
            actor,
            reason,
            destroy: None,
        };
        self.depart(core, session, marks, None);
    }

    /// Changes what an account is in this room, and the roles of its occupants with it.
    pub(crate) fn set_affiliation(
        &mut self,
        core: &mut Core,
        bare: &BareJid,
        to: Affiliation,
        actor: Option<String>,
        reason: Option<String>,
    ) {
        self.affiliations.set(bare, to);
        let changed = self.occupants.of_account(bare);
        for session in &changed {
            if let Some(occupant) = self.occupants.by_session_mut(*session) {
                occupant.affiliation = to;
                occupant.role = role_for(to);
                occupant.body = None;
            }
        }
        for session in changed {
            if to == Affiliation::Outcast {
                let status = vec![status::BANNED, status::KICKED];
                let marks = Marks {
                    status,
                    actor: actor.clone(),
                    reason: reason.clone(),
                    destroy: None,
                };
                self.depart(core, session, marks, None);
            } else {
                self.announce(core, session, actor.clone(), reason.clone());
                self.serve_role_changed(core, session);
            }
        }
    }
}
