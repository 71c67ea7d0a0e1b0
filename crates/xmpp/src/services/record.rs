//! The services of a meeting as the journal keeps them, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Map, Value};

use super::Services;
use super::lobby::Lobby;
use crate::ids::SessionId;
use crate::journal::{ModeratedRecord, OccupantRecord, Part, PollRecord, SpeakersRecord};

/// What the journal had of metadata, moderation, polls and speaking times.
pub(crate) type Kept = (
    Map<String, Value>,
    BTreeMap<String, ModeratedRecord>,
    Vec<PollRecord>,
    SpeakersRecord,
);

impl Services {
    /// What the journal does not know yet.
    pub(crate) fn take_changes(&mut self, now: Instant) -> Vec<Part> {
        let mut parts = Vec::new();
        if self.metadata.take_changed() {
            parts.push(self.metadata.part());
        }
        if self.moderation.take_changed() {
            parts.push(self.moderation.part());
        }
        if self.polls.take_changed() {
            parts.push(self.polls.part());
        }
        if self.speakers.take_changed() {
            parts.push(self.speakers.part(now));
        }
        if std::mem::take(&mut self.lobby_over) {
            parts.push(Part::LobbyOver);
        }
        if let Some(lobby) = &mut self.lobby {
            parts.extend(lobby.take_changes());
        }
        parts
    }

    /// Nobody keeps a journal.
    pub(crate) fn forget_changes(&mut self) {
        if let Some(lobby) = &mut self.lobby {
            lobby.forget_changes();
        }
    }

    /// The same, where the journal knows nothing.
    pub(crate) fn parts(&self, now: Instant) -> Vec<Part> {
        let mut parts = vec![
            self.metadata.part(),
            self.moderation.part(),
            self.polls.part(),
            self.speakers.part(now),
        ];
        parts.extend(self.lobby.iter().flat_map(Lobby::parts));
        parts
    }

    /// Puts back what the journal had; `lobby` are the people of the waiting room, where there is one. Returns their
    /// sessions.
    pub(crate) fn put_back(
        &mut self,
        now: Instant,
        lobby: Option<&BTreeMap<u64, OccupantRecord>>,
        (metadata, moderation, polls, speakers): Kept,
    ) -> BTreeSet<SessionId> {
        self.metadata.put_back(metadata);
        self.moderation.put_back(moderation);
        self.polls.put_back(polls);
        self.speakers.put_back(now, speakers);
        let mut waiting = BTreeSet::new();
        if let Some(people) = lobby {
            let lobby = self.lobby.insert(Lobby::default());
            waiting = lobby.put_back(people);
        }
        waiting
    }
}
