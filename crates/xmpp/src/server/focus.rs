//! The address of the focus: requests to it reach the account `focus`, wherever its session is, without a roster.

use std::time::Instant;

use stanza::error::Condition;
use stanza::iq::is_request;
use stanza::{Element, FullJid, Jid, xml};

use super::{Held, Server};
use crate::ids::SessionId;
use crate::requests::{Errand, failure, is_conference_request};

/// Conference requests kept while there is no focus.
const MOST_HELD: usize = 1_000;

impl Server {
    /// A stanza to `focus.<domain>`, with or without the resource by which the proxy marks clients.
    pub(super) fn route_to_focus(
        &mut self,
        now: Instant,
        from: SessionId,
        stanza: Element,
        to: &Jid,
    ) {
        match stanza.name() {
            "iq" => {}
            "message" => {
                return self
                    .core
                    .refuse(from, &stanza, Condition::FeatureNotImplemented);
            }
            _ if stanza.attr("type") != Some("error") => {
                return self.core.refuse(from, &stanza, Condition::BadRequest);
            }
            _ => return,
        }
        if !is_request(&stanza) {
            let client = to
                .resource()
                .and_then(|resource| FullJid::new(resource.as_str()).ok());
            if let Some(client) = client.and_then(|jid| self.session_of(&jid)) {
                self.core.relay_answer(from, client, stanza);
            }
            return;
        }
        match self.focus_session() {
            Some(focus) => self.ask_focus(from, focus, stanza, None),
            None if is_conference_request(&stanza) => {
                let until = now + self.core.config.limits.join_wait;
                self.hold(from, stanza, Errand::new(until));
            }
            None => self
                .core
                .refuse(from, &stanza, Condition::ServiceUnavailable),
        }
    }

    /// Keeps a conference request until there is a focus.
    pub(super) fn hold(&mut self, session: SessionId, stanza: Element, errand: Errand) {
        let service = self.core.rights(session).service;
        let kept = (self.held.len() < MOST_HELD).then(|| {
            self.core
                .keeping
                .keep(session, xml::written_len(&stanza), service)
        });
        let Some(Some(kept)) = kept else {
            return self.core.refuse_full(session, &stanza);
        };
        self.core.wake_requests(errand.until);
        self.held_serial += 1;
        self.held.push(Held {
            session,
            stanza,
            errand,
            serial: self.held_serial,
            _kept: kept,
        });
    }

    /// The focus that was asked ended without an answer: another one, or this one when it is back, is asked, but not for
    /// ever.
    pub(super) fn ask_again(&mut self, from: SessionId, stanza: Element, errand: Errand) {
        match (errand.again(self.core.now), self.focus_session()) {
            (Some(errand), Some(focus)) => self.ask_focus(from, focus, stanza, Some(errand)),
            (Some(errand), None) => self.hold(from, stanza, errand),
            (None, _) => self
                .core
                .refuse(from, &stanza, Condition::ServiceUnavailable),
        }
    }

    /// The focus session to ask: an attached one if possible, the newest of those.
    fn focus_session(&self) -> Option<SessionId> {
        let sessions = self.core.by_bare.get(&self.focus_account)?;
        let ready = |id: &&SessionId| {
            self.core
                .sessions
                .get(id)
                .is_some_and(|session| session.spoke)
        };
        let attached = |id: &&SessionId| {
            self.core
                .sessions
                .get(id)
                .is_some_and(|session| session.connection.is_some())
        };
        let newest = sessions.iter().rev().filter(ready).find(attached);
        newest
            .or_else(|| sessions.iter().rev().find(ready))
            .copied()
    }

    fn ask_focus(
        &mut self,
        from: SessionId,
        focus: SessionId,
        stanza: Element,
        errand: Option<Errand>,
    ) {
        let Some(client) = self
            .core
            .sessions
            .get(&from)
            .map(|session| session.jid.clone())
        else {
            return;
        };
        let sender = format!("{}/{client}", self.core.hosts.focus);
        let asked = stanza.attr("to").unwrap_or_default().to_owned();
        self.core
            .relay_request(from, focus, &sender, &asked, stanza, errand);
    }

    /// A focus is here: what waited for one goes out.
    pub(super) fn focus_arrived(&mut self) {
        let Some(focus) = self.focus_session() else {
            return;
        };
        for held in std::mem::take(&mut self.held) {
            if self.core.sessions.contains_key(&held.session) {
                self.ask_focus(held.session, focus, held.stanza, Some(held.errand));
            }
        }
    }

    /// No focus came in time, or no answer.
    pub(super) fn requests_timeout(&mut self, now: Instant) {
        let (late, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| held.errand.until <= now);
        self.held = held;
        let late: Vec<Held> = late;
        for held in late {
            self.core
                .refuse(held.session, &held.stanza, Condition::ServiceUnavailable);
        }
        while let Some((key, open)) = self.core.requests.late(now) {
            self.core.stats.unanswered += 1;
            let error = failure(&key, &open, Condition::RemoteServerTimeout);
            self.core.send_element(key.requester, error);
        }
        self.core.requests_wake = None;
        let held = self.held.iter().map(|held| held.errand.until);
        if let Some(next) = held.chain(self.core.requests.next_due()).min() {
            self.core.wake_requests(next);
        }
    }
}
