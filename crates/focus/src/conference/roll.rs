//! The members of a conference by their names, and whom something happened to since the relays were seen to: in a large meeting
//! all that happens concerns few.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::Member;

/// Whom something happened to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// Anybody.
    All,
    /// Only these, of whom some may have gone.
    Some(BTreeSet<String>),
}

/// See the module. Whoever asks for a member to change it has touched it.
#[derive(Debug)]
pub(super) struct Roll {
    members: BTreeMap<String, Member>,
    touched: Touched,
}

impl Default for Roll {
    fn default() -> Self {
        Self {
            members: BTreeMap::new(),
            touched: Touched::All,
        }
    }
}

impl Deref for Roll {
    type Target = BTreeMap<String, Member>;

    fn deref(&self) -> &Self::Target {
        &self.members
    }
}

impl Roll {
    /// Something of `nick` changed that is kept elsewhere: sources, or on which bridges it is.
    pub(super) fn touch(&mut self, nick: &str) {
        if let Touched::Some(nicks) = &mut self.touched
            && !nicks.contains(nick)
        {
            nicks.insert(nick.to_owned());
        }
    }

    /// Something changed that concerns all.
    pub(super) fn touch_all(&mut self) {
        self.touched = Touched::All;
    }

    /// Whom something happened to since this was asked last.
    pub(super) fn take_touched(&mut self) -> Touched {
        std::mem::replace(&mut self.touched, Touched::Some(BTreeSet::new()))
    }

    /// They are looked at once more.
    pub(super) fn touch_again(&mut self, touched: Touched) {
        match touched {
            Touched::All => self.touch_all(),
            Touched::Some(nicks) => nicks.iter().for_each(|nick| self.touch(nick)),
        }
    }

    pub(super) fn insert(&mut self, nick: String, member: Member) {
        self.touch(&nick);
        self.members.insert(nick, member);
    }

    pub(super) fn remove(&mut self, nick: &str) -> Option<Member> {
        self.touch(nick);
        self.members.remove(nick)
    }

    pub(super) fn get_mut(&mut self, nick: &str) -> Option<&mut Member> {
        self.touch(nick);
        self.members.get_mut(nick)
    }

    /// All, to change what no relay depends on: not their sessions, nor what they are.
    pub(super) fn details_mut(&mut self) -> impl Iterator<Item = (&String, &mut Member)> {
        self.members.iter_mut()
    }

    /// All, to change anything.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Member)> {
        self.touch_all();
        self.members.iter_mut()
    }
}
