//! Telling participants about the sources of others: those that do not learn them from the bridge.
use std::collections::BTreeMap;

use stanza::jingle::{Action, Jingle};

use super::Conference;
use crate::context::Context;
use crate::features::Features;
use crate::sources::{self, SourceSet};

impl Conference {
    /// The sources of `owner` changed.
    pub(super) fn tell_sources(&mut self, cx: &mut Context<'_>, owner: &str) {
        let receivers = self
            .members
            .iter()
            .filter(|(nick, m)| *nick != owner && m.is_told_sources());
        let nicks: Vec<String> = receivers.map(|(nick, _)| nick.clone()).collect();
        for nick in nicks {
            self.sync_receiver(cx, &nick, Some(owner));
        }
    }

    /// Forgets the sources of a session that ended, and tells the others.
    pub(super) fn drop_sources(&mut self, cx: &mut Context<'_>, owner: &str) {
        if self.sources.remove_owner(owner).is_some() {
            self.members.touch(owner);
            self.tell_sources(cx, owner);
        }
    }

    /// Brings what `nick` was told up to date: about one owner, or about all.
    pub(super) fn sync_receiver(&mut self, cx: &mut Context<'_>, nick: &str, owner: Option<&str>) {
        let to = self.occupant(nick);
        let Some(member) = self.members.get_mut(nick).filter(|m| m.is_told_sources()) else {
            return;
        };
        let features = member.features.unwrap_or(Features::ASSUMED);
        // A client takes changes only once it has a description to change.
        let Some(session) = member.session.as_mut().filter(|s| s.active && !s.stale) else {
            return;
        };
        let filter = |set: &SourceSet| {
            set.filtered(features.audio, features.video, cx.config.strip_simulcast)
        };
        let wanted = |name: &String| name != nick && owner.is_none_or(|owner| owner == name);
        let mut now: BTreeMap<String, SourceSet> = self
            .sources
            .owners()
            .filter(|(name, _)| wanted(name))
            .map(|(name, set)| (name.clone(), filter(set)))
            .collect();
        now.retain(|_, set| !set.is_empty());
        let mut removed = BTreeMap::new();
        let mut added = BTreeMap::new();
        let nothing = SourceSet::default();
        for (name, told) in session.signalled.iter().filter(|(name, _)| wanted(name)) {
            let gone = told.minus(now.get(name).unwrap_or(&nothing));
            if !gone.is_empty() {
                removed.insert(name.clone(), gone);
            }
        }
        for (name, set) in &now {
            let fresh = set.minus(session.signalled.get(name).unwrap_or(&nothing));
            if !fresh.is_empty() {
                added.insert(name.clone(), fresh);
            }
        }
        session.signalled.retain(|name, _| !wanted(name));
        session.signalled.extend(now);
        let sid = session.sid.clone();
        for (action, owners) in [(Action::SourceRemove, removed), (Action::SourceAdd, added)] {
            if owners.is_empty() {
                continue;
            }
            let mut jingle = Jingle::new(action, &sid);
            if features.json_sources {
                jingle.sources = Some(sources::compact(&owners));
            } else {
                jingle.contents = sources::xml_contents(&owners);
            }
            cx.io.tell(&self.room, "set", &to, &jingle);
        }
    }
}
