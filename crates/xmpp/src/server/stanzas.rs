//! Stanzas of sessions, as the host hands them in.

use std::time::{Duration, Instant};

use stanza::error::{Condition, StanzaError};
use stanza::{Element, ElementExt as _};

use super::Server;
use crate::api::{Pace, UnknownSession};
use crate::ids::SessionId;
use crate::pace::StanzaKind;

/// How long a participant waits with its next stanza when it has its share of a service's queue.
const CROWDED_PAUSE: Duration = Duration::from_millis(250);

impl Server {
    /// Handles one stanza of a session, in the namespace `jabber:client`. Every IQ get or set is answered sooner or later.
    pub fn handle_stanza(
        &mut self,
        now: Instant,
        session: SessionId,
        mut stanza: Element,
    ) -> Result<Pace, UnknownSession> {
        self.core.now = now;
        self.heard(now, session);
        let kind = match stanza.name() {
            "iq" => StanzaKind::Iq,
            "message" => StanzaKind::Message,
            "presence" => StanzaKind::Presence,
            _ => return Ok(Pace::Now),
        };
        let sender = self.core.sessions.get_mut(&session).ok_or(UnknownSession)?;
        sender.count_handled();
        self.core.counted.insert(session);
        let pace = match sender.rights.service {
            true => Pace::Now,
            false => sender.pacer.count(now, kind, &self.core.config.limits.rate),
        };
        // Whatever the client wrote, it is who it is.
        stanza.put("from", sender.jid.as_str());
        let first = !std::mem::replace(&mut sender.spoke, true);
        let is_focus = first && sender.bare == self.focus_account;
        self.core.stats.received += 1;
        self.core.sender = (!sender.rights.service).then_some(session);
        self.core.crowding = false;
        self.route(now, session, stanza);
        self.core.sender = None;
        if is_focus {
            self.focus_arrived();
        }
        self.end_doomed();
        Ok(match pace {
            Pace::Now if self.core.crowding => Pace::NotBefore(now + CROWDED_PAUSE),
            pace => pace,
        })
    }

    /// A stanza of a session was passed over by its reader, being over a limit: `stanza` is its start tag. It counts as
    /// handled; whoever waits for an answer, the sender or somebody else, gets an error.
    pub fn handle_skipped(
        &mut self,
        now: Instant,
        session: SessionId,
        mut stanza: Element,
    ) -> Result<(), UnknownSession> {
        self.core.now = now;
        self.heard(now, session);
        let sender = self.core.sessions.get_mut(&session).ok_or(UnknownSession)?;
        sender.count_handled();
        self.core.counted.insert(session);
        stanza.put("from", sender.jid.as_str());
        self.core.stats.received += 1;
        let error = StanzaError::new(Condition::PolicyViolation).with_text("stanza too large");
        match (stanza.name(), stanza.attr("type")) {
            ("iq", Some("result")) => {
                stanza.put("type", "error");
                stanza.append_child(error.into());
                self.core.stats.refused += 1;
                self.route(now, session, stanza);
            }
            ("iq", Some("get" | "set")) => self.core.refuse(session, &stanza, error),
            _ => self.core.stats.refused += 1,
        }
        self.end_doomed();
        Ok(())
    }
}
