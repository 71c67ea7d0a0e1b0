//! A room as the journal keeps it, and back.

use std::collections::BTreeSet;
use std::time::Instant;

use stanza::BareJid;
use stanza::xml::{self, Limits};

use super::past::{Past, Subject};
use super::{Room, RoomKind, Waiting};
use crate::core::{Core, Timer};
use crate::ids::SessionId;
use crate::journal::{
    HeadRecord, KeptRoom, KindRecord, Part, SaidRecord, SubjectRecord, WaitingRecord,
};

/// Longest name or password that is believed.
const MOST_TEXT: usize = 1_024;

impl Room {
    /// What the journal does not know yet.
    pub(crate) fn take_changes(&mut self, now: Instant) -> Vec<Part> {
        let mut parts = Vec::new();
        let head = self.head();
        if self.journaled.as_ref() != Some(&head) {
            parts.push(Part::Head(head.clone()));
            self.journaled = Some(head);
        }
        parts.extend(self.affiliations.take_changes());
        parts.extend(self.occupants.take_changes(false));
        let news = std::mem::take(&mut self.past_news).min(self.past.len());
        parts.extend(self.past.iter().skip(self.past.len() - news).map(said));
        let waiting = self.waiting.iter().map(|waiting| waiting.session);
        if !waiting.clone().eq(self.journaled_waiting.iter().copied()) {
            self.journaled_waiting = waiting.collect();
            parts.push(self.waiting_part());
        }
        parts.extend(self.services.take_changes(now));
        parts
    }

    /// Nobody keeps a journal.
    pub(crate) fn forget_changes(&mut self) {
        self.affiliations.forget_changes();
        self.occupants.forget_changes();
        self.services.forget_changes();
    }

    /// The same, where the journal knows nothing.
    pub(crate) fn parts(&self, now: Instant) -> Vec<Part> {
        let mut parts = vec![Part::Head(self.head())];
        parts.extend(self.affiliations.parts());
        parts.extend(self.occupants.parts(false));
        parts.extend(self.past.iter().map(said));
        if !self.waiting.is_empty() {
            parts.push(self.waiting_part());
        }
        parts.extend(self.services.parts(now));
        parts
    }

    fn head(&self) -> HeadRecord {
        HeadRecord {
            kind: match self.kind {
                RoomKind::Meeting => KindRecord::Meeting,
                RoomKind::HealthCheck => KindRecord::HealthCheck,
                RoomKind::Internal => KindRecord::Internal,
            },
            meeting_id: self.meeting_id.clone(),
            places: self.occupants.places(),
            members_only: self.members_only,
            lobby: self.services.has_lobby(),
            password: self.password.clone(),
            created: self.created_ms.and_then(|ms| u64::try_from(ms).ok()),
            subject: self.subject.as_ref().map(|subject| SubjectRecord {
                text: subject.text.clone(),
                from: subject.from.clone(),
                unix: subject.unix,
            }),
        }
    }

    fn waiting_part(&self) -> Part {
        let record = |waiting: &Waiting| WaitingRecord {
            session: waiting.session.0,
            presence: xml::to_string(&waiting.presence),
        };
        Part::Waiting(self.waiting.iter().map(record).collect())
    }

    /// A room of the journal, with the sessions that are in it and in its waiting room. `None` when it is none.
    pub(crate) fn put_back(
        core: &mut Core,
        jid: &BareJid,
        kept: KeptRoom,
    ) -> Option<(Self, BTreeSet<SessionId>, BTreeSet<SessionId>)> {
        let head = kept.head?;
        let texts = [Some(&head.meeting_id), head.password.as_ref()];
        if texts.into_iter().flatten().any(|t| t.len() > MOST_TEXT) {
            return None;
        }
        let kind = match head.kind {
            KindRecord::Meeting => RoomKind::Meeting,
            KindRecord::HealthCheck => RoomKind::HealthCheck,
            KindRecord::Internal => RoomKind::Internal,
        };
        let mut room = Self::new(jid.clone(), kind, head.meeting_id);
        room.members_only = head.members_only;
        room.password = head.password;
        room.created_ms = head.created.map(u128::from);
        room.subject = head.subject.map(|subject| Subject {
            text: subject.text,
            from: subject.from,
            unix: subject.unix,
        });
        let most = core.config.limits.occupants;
        for (account, to) in kept.affiliations.iter().take(most) {
            room.affiliations.put_back(account, to);
        }
        let occupants = kept.occupants.values().take(most);
        let inside = occupants
            .filter_map(|o| room.occupants.put_back(o))
            .collect();
        room.occupants.count_from(head.places);
        // All that was ever said is in a journal that has become long.
        let more = kept.said.len().saturating_sub(core.config.limits.history);
        for past in kept.said.into_iter().skip(more) {
            room.put_past_back(core, past);
        }
        for waiting in kept.waiting {
            room.put_waiting_back(core, &waiting);
        }
        let waiting = room.services.put_back(
            core.now,
            head.lobby.then_some(&kept.lobby),
            (kept.metadata, kept.moderation, kept.polls, kept.speakers),
        );
        Some((room, inside, waiting))
    }

    fn put_past_back(&mut self, core: &mut Core, past: SaidRecord) {
        let Some(body) = core.body_again(past.text, past.gap) else {
            return;
        };
        self.past_bytes += body.len();
        let unix = past.unix;
        self.past.push_back(Past { unix, body });
        self.forget_past(core);
    }

    fn put_waiting_back(&mut self, core: &mut Core, record: &WaitingRecord) {
        let session = SessionId(record.session);
        let presence = xml::parse(record.presence.as_bytes(), &Limits::FROM_SERVER);
        let (Ok(presence), true) = (presence, core.sessions.contains_key(&session)) else {
            return;
        };
        let Some(kept) = core.keeping.keep(session, record.presence.len(), false) else {
            return;
        };
        let until = core.now + core.config.limits.join_wait;
        core.wake(until, Timer::Room(self.jid.clone()));
        self.waiting.push_back(Waiting {
            session,
            presence,
            until,
            _kept: kept,
        });
    }
}

fn said(past: &Past) -> Part {
    let (text, gap) = past.body.text();
    Part::Said(SaidRecord {
        unix: past.unix,
        gap,
        text,
    })
}
