//! The address of the focus: requests to it reach the account `focus`, wherever its session is, without a roster.

use std::time::Instant;

use stanza::error::Condition;
use stanza::iq::is_request;
use stanza::{Element, ElementExt as _, FullJid, Jid, ns};

use crate::SessionId;
use crate::core::Timer;
use crate::server::Server;

/// Conference requests kept while there is no focus.
const MOST_HELD: usize = 1_000;

/// A conference request that waits for a focus to come.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) session: SessionId,
    pub(crate) stanza: Element,
    pub(crate) until: Instant,
}

/// Whether a lost answer to this request would leave a client waiting for ever.
pub(crate) fn is_conference_request(stanza: &Element) -> bool {
    stanza.name() == "iq"
        && is_request(stanza)
        && stanza
            .payload()
            .is_some_and(|p| p.is("conference", ns::FOCUS))
}

impl Server {
    /// A stanza to `focus.<domain>`, with or without the resource by which the proxy marks clients.
    pub(crate) fn route_to_focus(
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
            Some(focus) => self.ask_focus(from, focus, stanza),
            None if is_conference_request(&stanza) && self.held.len() < MOST_HELD => {
                let until = now + self.core.config.limits.join_wait;
                self.held.push(Held {
                    session: from,
                    stanza,
                    until,
                });
                self.core.wake(until, Timer::Requests);
            }
            None => self
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

    fn ask_focus(&mut self, from: SessionId, focus: SessionId, stanza: Element) {
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
            .relay_request(from, focus, &sender, &asked, stanza);
    }

    /// A focus is here: what waited for one goes out.
    pub(crate) fn focus_arrived(&mut self) {
        let Some(focus) = self.focus_session() else {
            return;
        };
        for held in std::mem::take(&mut self.held) {
            if self.core.sessions.contains_key(&held.session) {
                self.ask_focus(held.session, focus, held.stanza);
            }
        }
    }

    /// No focus came in time.
    pub(crate) fn requests_timeout(&mut self, now: Instant) {
        let (late, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| held.until <= now);
        self.held = held;
        let late: Vec<Held> = late;
        for held in late {
            self.core
                .refuse(held.session, &held.stanza, Condition::ServiceUnavailable);
        }
    }
}
