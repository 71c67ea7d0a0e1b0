//! The people of one room, in the order they came.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use stanza::muc::{Affiliation, Item, Role, User};
use stanza::xml::{self, Limits};
use stanza::{BareJid, Element, ElementExt as _, FullJid, element, ns};

use crate::core::{Body, give_back};
use crate::ids::SessionId;
use crate::journal::{LeftRecord, OccupantRecord, Part};

/// One occupant.
#[derive(Debug)]
pub(crate) struct Occupant {
    pub(crate) nick: String,
    pub(crate) session: SessionId,
    pub(crate) jid: FullJid,
    pub(crate) bare: BareJid,
    pub(crate) role: Role,
    pub(crate) affiliation: Affiliation,
    /// Its last presence: attributes except addresses, children except what the room writes itself.
    pub(crate) presence: Element,
    /// That presence as others see it, ready to be sent.
    pub(crate) body: Option<Body>,
}

/// What the room adds to one presence besides the item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) status: Vec<u16>,
    pub(crate) actor: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) destroy: Option<stanza::muc::Destroy>,
}

impl Occupant {
    /// Its presence as the room sends it, without `to`. `gone` makes it an unavailable one with the children of `gone`.
    pub(crate) fn render(&self, room: &BareJid, marks: Marks, gone: Option<&Element>) -> Element {
        let mut out = match gone {
            None => self.presence.clone(),
            Some(last) => {
                let children = last.children().filter(|child| !is_room_payload(child));
                element("presence", ns::CLIENT)
                    .attr("type", "unavailable")
                    .children(children.cloned())
                    .done()
            }
        };
        out.put("from", format!("{room}/{}", self.nick));
        let user = User {
            status: marks.status,
            item: Some(Item {
                affiliation: Some(self.affiliation),
                role: Some(if gone.is_some() {
                    Role::None
                } else {
                    self.role
                }),
                jid: Some(self.jid.clone().into()),
                nick: None,
                actor: marks.actor,
                reason: marks.reason,
            }),
            destroy: marks.destroy,
            ..User::default()
        };
        out.append_child(Element::from(user));
        out
    }
}

/// Children of a client's presence that only a room may write, or that are spent at the join.
pub(crate) fn is_room_payload(child: &Element) -> bool {
    child.has_ns(ns::MUC)
        || child.has_ns(ns::MUC_USER)
        || child.is("permissions", ns::JITMEET)
        || child.is("identity", ns::CLIENT)
        || child.is("flip_device", ns::CLIENT)
        || child.is("occupant-id", ns::OCCUPANT_ID)
}

/// All occupants, found by nickname and by session.
#[derive(Debug, Default)]
pub(crate) struct Occupants {
    all: BTreeMap<u64, Occupant>,
    by_nick: HashMap<String, u64>,
    by_session: HashMap<SessionId, u64>,
    next: u64,
    /// Places of which the journal does not know everything.
    changed: BTreeSet<u64>,
}

impl Occupants {
    pub(crate) fn insert(&mut self, occupant: Occupant) {
        self.next += 1;
        self.by_nick.insert(occupant.nick.clone(), self.next);
        self.by_session.insert(occupant.session, self.next);
        self.all.insert(self.next, occupant);
        self.changed.insert(self.next);
    }

    /// Takes out whoever came first.
    pub(crate) fn pop_first(&mut self) -> Option<Occupant> {
        let session = self.all.values().next()?.session;
        self.remove(session)
    }

    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Occupant> {
        let key = self.by_session.remove(&session)?;
        let occupant = self.all.remove(&key)?;
        self.changed.insert(key);
        self.by_nick.remove(&occupant.nick);
        give_back(&mut self.by_nick);
        give_back(&mut self.by_session);
        Some(occupant)
    }

    /// Gives the place of `old` to `new`, another session of the same account.
    pub(crate) fn rebind(&mut self, old: SessionId, new: SessionId, jid: FullJid) {
        let Some(key) = self.by_session.remove(&old) else {
            return;
        };
        self.by_session.insert(new, key);
        self.changed.insert(key);
        if let Some(occupant) = self.all.get_mut(&key) {
            occupant.session = new;
            occupant.jid = jid;
        }
    }

    pub(crate) fn by_nick(&self, nick: &str) -> Option<&Occupant> {
        self.all.get(self.by_nick.get(nick)?)
    }

    pub(crate) fn by_session(&self, session: SessionId) -> Option<&Occupant> {
        self.all.get(self.by_session.get(&session)?)
    }

    pub(crate) fn by_session_mut(&mut self, session: SessionId) -> Option<&mut Occupant> {
        let key = *self.by_session.get(&session)?;
        self.changed.insert(key);
        self.all.get_mut(&key)
    }

    /// The number of a session's place, which nobody else in the room had or will have. It goes over with the place.
    pub(crate) fn place(&self, session: SessionId) -> Option<u64> {
        self.by_session.get(&session).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Occupant> {
        self.all.values()
    }

    /// Sessions of the account `bare`.
    pub(crate) fn of_account(&self, bare: &BareJid) -> Vec<SessionId> {
        let all = self.all.values();
        let own = all.filter(|occupant| occupant.bare == *bare);
        own.map(|occupant| occupant.session).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Occupants {
    /// The highest number that a place got.
    pub(crate) fn places(&self) -> u64 {
        self.next
    }

    /// What the journal does not know yet. `lobby`: these are the people of a waiting room.
    pub(crate) fn take_changes(&mut self, lobby: bool) -> Vec<Part> {
        let changed = std::mem::take(&mut self.changed);
        let part = |place: u64| match self.all.get(&place) {
            Some(occupant) => occupant.record(place, lobby),
            None => Part::Left(LeftRecord { place, lobby }),
        };
        changed.into_iter().map(part).collect()
    }

    /// Nobody keeps a journal.
    pub(crate) fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// The same, where the journal knows nothing.
    pub(crate) fn parts(&self, lobby: bool) -> Vec<Part> {
        let all = self.all.iter();
        all.map(|(place, occupant)| occupant.record(*place, lobby))
            .collect()
    }

    /// Puts somebody back whom the journal had. `None` when that does not fit together.
    pub(crate) fn put_back(&mut self, record: &OccupantRecord) -> Option<SessionId> {
        let jid = FullJid::new(&record.jid).ok()?;
        let session = SessionId(record.session);
        let presence = xml::parse(record.presence.as_bytes(), &Limits::FROM_SERVER).ok()?;
        let named = jid.to_bare().with_resource_str(&record.nick);
        let named = named.is_ok_and(|jid| jid.resource().as_str() == record.nick);
        let taken = self.by_nick.contains_key(&record.nick)
            || self.by_session.contains_key(&session)
            || self.all.contains_key(&record.place);
        if !named || taken || presence.name() != "presence" {
            return None;
        }
        let occupant = Occupant {
            nick: record.nick.clone(),
            session,
            bare: jid.to_bare(),
            jid,
            role: record.role.parse().ok()?,
            affiliation: record.affiliation.parse().ok()?,
            presence,
            body: None,
        };
        self.next = self.next.max(record.place);
        self.by_nick.insert(occupant.nick.clone(), record.place);
        self.by_session.insert(session, record.place);
        self.all.insert(record.place, occupant);
        Some(session)
    }

    /// Numbers up to this one are not given again.
    pub(crate) fn count_from(&mut self, places: u64) {
        // A damaged journal must not use them up.
        self.next = self.next.max(places.min(u64::MAX / 2));
    }
}

impl Occupant {
    fn record(&self, place: u64, lobby: bool) -> Part {
        Part::Occupant(OccupantRecord {
            place,
            lobby,
            session: self.session.0,
            nick: self.nick.clone(),
            jid: self.jid.to_string(),
            role: self.role.as_str().to_owned(),
            affiliation: self.affiliation.as_str().to_owned(),
            presence: xml::to_string(&self.presence),
        })
    }
}

/// The nickname of the focus, by which clients know it.
pub(crate) const FOCUS_NICK: &str = "focus";

/// Whether a nickname can be an endpoint id everywhere.
pub(crate) fn valid_nick(nick: &str) -> bool {
    nick.len() <= 64
        && nick.starts_with(|c: char| c.is_ascii_alphanumeric())
        && nick.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What an affiliation is worth on entering.
pub(crate) fn role_for(affiliation: Affiliation) -> Role {
    match affiliation {
        Affiliation::Owner | Affiliation::Admin => Role::Moderator,
        Affiliation::Member | Affiliation::None => Role::Participant,
        Affiliation::Outcast => Role::None,
    }
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
