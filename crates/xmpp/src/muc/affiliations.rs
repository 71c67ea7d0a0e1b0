//! What accounts are in a room.

use std::collections::{BTreeMap, BTreeSet};

use stanza::BareJid;
use stanza::muc::Affiliation;

use crate::journal::{AffiliationRecord, Part};

/// So many are not looked through.
const FEW: usize = 16;

/// Accounts that are more, or less, than nothing in a room.
#[derive(Debug, Default)]
pub(super) struct Affiliations {
    all: BTreeMap<BareJid, Affiliation>,
    /// So many are looked through for accounts that are no more.
    look_at: usize,
    /// Accounts of which the journal does not know everything.
    changed: BTreeSet<BareJid>,
}

impl Affiliations {
    pub(super) fn get(&self, account: &BareJid) -> Option<Affiliation> {
        self.all.get(account).copied()
    }

    /// [`Affiliation::None`] takes it away.
    pub(super) fn set(&mut self, account: &BareJid, to: Affiliation) {
        self.changed.insert(account.clone());
        match to {
            Affiliation::None => self.all.remove(account),
            _ => self.all.insert(account.clone(), to),
        };
    }

    /// Forgets accounts that will never come back, once they may be half of all: guests have a name for one session, and in a
    /// room that goes on for long many of them become owners.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&BareJid) -> bool) {
        if self.all.len() < self.look_at.max(FEW) {
            return;
        }
        let all = self.all.keys();
        let gone: Vec<BareJid> = all.filter(|account| is_gone(account)).cloned().collect();
        for account in gone {
            self.set(&account, Affiliation::None);
        }
        self.look_at = 2 * self.all.len();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&BareJid, Affiliation)> {
        self.all.iter().map(|(account, have)| (account, *have))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// What the journal does not know yet.
    pub(super) fn take_changes(&mut self) -> Vec<Part> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let of = |account: BareJid| {
            let to = self.get(&account).unwrap_or(Affiliation::None);
            part(&account, to)
        };
        changed.map(of).collect()
    }

    /// Nobody keeps a journal.
    pub(super) fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// The same, where the journal knows nothing.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.iter().map(|(account, to)| part(account, to)).collect()
    }

    /// Puts back what the journal had. `None` when it is no affiliation.
    pub(super) fn put_back(&mut self, account: &str, to: &str) -> Option<()> {
        let account = BareJid::new(account).ok()?;
        self.all.insert(account, to.parse().ok()?);
        Some(())
    }
}

fn part(account: &BareJid, to: Affiliation) -> Part {
    Part::Affiliation(AffiliationRecord {
        account: account.to_string(),
        to: to.as_str().to_owned(),
    })
}
