//! All rooms, and which of them may have changed.

use std::collections::{BTreeSet, HashMap};

use stanza::BareJid;

use super::Room;
use crate::core::give_back;

/// The rooms of a server, by address.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    all: HashMap<BareJid, Room>,
    /// Rooms that were handed out to be changed.
    touched: BTreeSet<BareJid>,
    /// Rooms that are over.
    over: BTreeSet<BareJid>,
}

impl Rooms {
    pub(crate) fn get(&self, jid: &BareJid) -> Option<&Room> {
        self.all.get(jid)
    }

    pub(crate) fn get_mut(&mut self, jid: &BareJid) -> Option<&mut Room> {
        let room = self.all.get_mut(jid)?;
        if !self.touched.contains(jid) {
            self.touched.insert(jid.clone());
        }
        Some(room)
    }

    pub(crate) fn insert(&mut self, jid: BareJid, room: Room) {
        self.touched.insert(jid.clone());
        self.all.insert(jid, room);
    }

    pub(crate) fn remove(&mut self, jid: &BareJid) -> Option<Room> {
        let room = self.all.remove(jid)?;
        self.over.insert(jid.clone());
        give_back(&mut self.all);
        Some(room)
    }

    pub(crate) fn clear(&mut self) {
        self.over.extend(self.all.drain().map(|(jid, _)| jid));
    }

    pub(crate) fn contains(&self, jid: &BareJid) -> bool {
        self.all.contains_key(jid)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Room> {
        self.all.values()
    }

    /// Rooms that are over since the last call; there may be others of that name again.
    pub(crate) fn take_over(&mut self) -> BTreeSet<BareJid> {
        std::mem::take(&mut self.over)
    }

    /// Rooms that may have changed since the last call.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<BareJid> {
        std::mem::take(&mut self.touched)
    }

    /// The same room, where looking at it does not count as a change.
    pub(crate) fn peek_mut(&mut self, jid: &BareJid) -> Option<&mut Room> {
        self.all.get_mut(jid)
    }
}
