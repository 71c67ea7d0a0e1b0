//! Sessions: bound, resumed, acknowledged, lost, ended.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use stanza::{BareJid, FullJid, element, ns, xml};

use super::Server;
use crate::accounts::{SESSIONS_OF_JOIN, SESSIONS_PER_BRIDGE};
use crate::api::{BindError, Bound, Enabled, Login, ResumeError, Resumed, UnknownSession};
use crate::core::Timer;
use crate::ids::{self, ConnectionId, SessionId};
use crate::journal::Record;
use crate::outgoing::{CloseReason, Outgoing, Output};
use crate::session::{AckOutcome, Rights, Session};

/// Sessions one guest account may have at once.
const SESSIONS_PER_GUEST: usize = 8;
/// Silence after which a bridge's place may be taken by another session of its account.
const BRIDGE_SILENCE: Duration = Duration::from_secs(12);

impl Server {
    /// Binds a resource (RFC 6120 §7). A session of the same account that holds the resource ends with `conflict`; but a
    /// bridge that is well keeps it, and the newcomer is refused: it is a machine copied from the other one, and they would
    /// take the place from each other for ever, with all meetings on them.
    pub fn bind(&mut self, now: Instant, login: Login) -> Result<Bound, BindError> {
        self.core.now = now;
        let rights = self
            .core
            .accounts
            .get(&login.user)
            .map(|account| account.rights)
            .unwrap_or_default();
        let others = self
            .core
            .by_bare
            .get(&login.user)
            .map_or(0, |sessions| sessions.len());
        let full = self.core.sessions.len() >= self.core.config.limits.sessions;
        let most = match rights {
            Rights { joins: true, .. } => SESSIONS_OF_JOIN,
            Rights { bridge: true, .. } => SESSIONS_PER_BRIDGE,
            Rights { service: true, .. } => usize::MAX,
            _ => SESSIONS_PER_GUEST,
        };
        if (full && !rights.service) || others >= most {
            return Err(BindError::TooManySessions);
        }
        let jid = self.free_address(&login)?;
        if let Some(&old) = self.core.by_jid.get(&jid) {
            if rights.bridge && self.is_well(now, old) {
                return Err(BindError::InUse);
            }
            self.supersede(now, old);
        }
        self.next_session += 1;
        let id = SessionId(self.next_session);
        let session = Session::new(now, id, jid.clone(), rights, login.query, login.connection);
        let core = &mut self.core;
        core.by_jid.insert(jid.clone(), id);
        core.by_bare
            .entry(login.user.clone())
            .or_default()
            .insert(id);
        if let (false, Some(node)) = (core.accounts.contains_key(&login.user), login.user.node()) {
            core.prefixes
                .insert(node.as_str().chars().take(8).collect());
        }
        core.sessions.insert(id, session);
        core.wake(now + core.config.limits.probe_after, Timer::Session(id));
        Ok(Bound {
            session: id,
            jid,
            greeting: self.greeting_for(now, id, rights),
        })
    }

    /// Whether a bridge was heard of lately, on a connection that stands: bridges say how they are every few seconds.
    fn is_well(&self, now: Instant, session: SessionId) -> bool {
        self.core.sessions.get(&session).is_some_and(|session| {
            session.connection.is_some() && now < session.last_heard + BRIDGE_SILENCE
        })
    }

    fn greeting_for(
        &mut self,
        now: Instant,
        session: SessionId,
        rights: Rights,
    ) -> Option<Outgoing> {
        if rights.service || !self.core.config.connection_push {
            return None;
        }
        let mut bytes = Vec::new();
        xml::write(&self.greeting(now, session)?, &mut bytes);
        Some(Outgoing::whole(bytes.into()))
    }

    fn free_address(&mut self, login: &Login) -> Result<FullJid, BindError> {
        if let Some(resource) = &login.resource {
            let jid = login
                .user
                .with_resource_str(resource)
                .map_err(|_| BindError::BadResource)?;
            if self.fits_behind_focus(&jid) {
                return Ok(jid);
            }
        }
        loop {
            let resource = ids::resource(&mut self.core.rng);
            let jid = login
                .user
                .with_resource_str(&resource)
                .map_err(|_| BindError::BadResource)?;
            if !self.core.by_jid.contains_key(&jid) {
                return Ok(jid);
            }
        }
    }

    /// Whether the focus can answer `jid`, which it sees as the resource of an address of its own. A server may choose
    /// another resource than the one asked for (RFC 6120 section 7.7).
    fn fits_behind_focus(&self, jid: &FullJid) -> bool {
        FullJid::new(&format!("{}/{jid}", self.core.hosts.focus))
            .is_ok_and(|proxied| proxied.resource().as_str() == jid.as_str())
    }

    /// Turns stream management on (XEP-0198 §3); counting starts now.
    pub fn enable_sm(
        &mut self,
        now: Instant,
        session: SessionId,
        resume: bool,
    ) -> Result<Enabled, UnknownSession> {
        self.core.now = now;
        self.heard(now, session);
        let core = &mut self.core;
        let max = core.hibernation(session);
        let enabling = core.sessions.get_mut(&session).ok_or(UnknownSession)?;
        if let Some(old) = enabling.resume_id() {
            core.by_resume_id.remove(old);
        }
        let id = (resume && !max.is_zero()).then(|| ids::secret(&mut core.rng));
        enabling.enable(id.clone(), &core.config.limits);
        enabling.journaled |= id.is_some();
        if let Some(record) = enabling.record() {
            core.log.put(&Record::Session(record));
        }
        if let Some(id) = &id {
            core.by_resume_id.insert(id.clone(), session);
        }
        Ok(Enabled { id, max })
    }

    /// Attaches the session named by `previd` to another connection (XEP-0198 §5). `user` is who authenticated there,
    /// `h` what the peer received. The old connection, if it is still there, is closed with `conflict`.
    pub fn resume(
        &mut self,
        now: Instant,
        user: &BareJid,
        connection: ConnectionId,
        previd: &str,
        h: u32,
    ) -> Result<Resumed, ResumeError> {
        self.core.now = now;
        let core = &mut self.core;
        let id = core
            .by_resume_id
            .get(previd)
            .copied()
            .ok_or(ResumeError::ItemNotFound)?;
        let session = core
            .sessions
            .get_mut(&id)
            .ok_or(ResumeError::ItemNotFound)?;
        if session.bare != *user {
            return Err(ResumeError::ItemNotFound);
        }
        if let Some(old) = session.connection.take()
            && old != connection
        {
            core.outputs.push_back(Output::Close {
                connection: old,
                reason: CloseReason::Conflict,
            });
        }
        if session.acknowledge(h) == AckOutcome::TooHigh {
            core.doomed.push((id, CloseReason::AckTooHigh));
            self.end_doomed();
            return Err(ResumeError::AckTooHigh);
        }
        core.stats.resumed += 1;
        core.counted.insert(id);
        core.stats.sent += session.replay(now, connection, &mut core.outputs);
        let resumed = Resumed {
            session: id,
            jid: session.jid.clone(),
            h: session.handled().unwrap_or_default(),
        };
        core.wake(now + core.config.limits.probe_after, Timer::Session(id));
        Ok(resumed)
    }

    /// The peer received `h` stanzas (`<a/>`). Too high a value ends the session with [`Output::Close`].
    pub fn ack(&mut self, now: Instant, session: SessionId, h: u32) -> Result<(), UnknownSession> {
        self.core.now = now;
        self.heard(now, session);
        let acking = self.core.sessions.get_mut(&session).ok_or(UnknownSession)?;
        self.core.counted.insert(session);
        if acking.acknowledge(h) == AckOutcome::TooHigh {
            self.core.doomed.push((session, CloseReason::AckTooHigh));
            self.end_doomed();
        }
        Ok(())
    }

    /// The peer asks what was handled (`<r/>`): answered with [`Output::Ack`], in order with the stanzas.
    pub fn ack_requested(
        &mut self,
        now: Instant,
        session: SessionId,
    ) -> Result<(), UnknownSession> {
        self.core.now = now;
        self.heard(now, session);
        let asking = self.core.sessions.get(&session).ok_or(UnknownSession)?;
        if let (Some(connection), Some(h)) = (asking.connection, asking.handled()) {
            self.core.outputs.push_back(Output::Ack { connection, h });
        }
        Ok(())
    }

    /// The connection is lost. The session hibernates if it may, else ends. Does nothing when the session has moved to
    /// another connection meanwhile.
    pub fn detach(&mut self, now: Instant, session: SessionId, connection: ConnectionId) {
        self.core.now = now;
        let core = &mut self.core;
        let max = core.hibernation(session);
        let Some(lost) = core
            .sessions
            .get_mut(&session)
            .filter(|lost| lost.connection == Some(connection))
        else {
            return;
        };
        lost.connection = None;
        lost.probed = None;
        if lost.resume_id().is_some() && !max.is_zero() {
            lost.expires = Some(now + max);
            core.wake(now + max, Timer::Session(session));
        } else {
            self.end(session);
            self.end_doomed();
        }
    }

    /// The peer ended its stream in order: the session ends at once. Does nothing when the session has moved to another
    /// connection meanwhile.
    pub fn close(&mut self, now: Instant, session: SessionId, connection: ConnectionId) {
        self.core.now = now;
        if self
            .core
            .sessions
            .get(&session)
            .is_some_and(|closing| closing.connection == Some(connection))
        {
            self.end(session);
            self.end_doomed();
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.now = now;
        while let Some(timer) = self.core.due(now) {
            match timer {
                Timer::Session(session) => self.session_timeout(now, session),
                Timer::Room(jid) => self.muc_timeout(now, &jid),
                Timer::Requests => self.requests_timeout(now),
            }
            self.end_doomed();
        }
    }

    fn session_timeout(&mut self, now: Instant, id: SessionId) {
        let core = &mut self.core;
        let limits = &core.config.limits;
        let (after, patience) = (limits.probe_after, limits.probe_timeout);
        let Some(session) = core.sessions.get_mut(&id) else {
            return;
        };
        let Some(connection) = session.connection else {
            if session.expires.is_some_and(|expires| expires <= now) {
                self.end(id);
            }
            return;
        };
        match session.probed {
            Some(probed) if probed + patience <= now => {
                core.outputs.push_back(Output::Close {
                    connection,
                    reason: CloseReason::ConnectionTimeout,
                });
                self.detach(now, id, connection)
            }
            Some(probed) => core.wake(probed + patience, Timer::Session(id)),
            None if session.last_heard + after <= now => {
                session.probed = Some(now);
                if !session.request_ack(&mut core.outputs) {
                    session.pings += 1;
                    let ping = element("iq", ns::CLIENT)
                        .attr("type", "get")
                        .attr("from", core.hosts.main.as_str())
                        .attr("id", format!("ping-{}", session.pings))
                        .child(element("ping", ns::PING))
                        .done();
                    core.send_element(id, ping);
                }
                core.wake(now + patience, Timer::Session(id));
            }
            None => {
                let at = session.last_heard + after;
                core.wake(at, Timer::Session(id));
            }
        }
    }

    /// Ends all sessions because the server stops.
    pub fn shutdown(&mut self, now: Instant) {
        self.core.now = now;
        let all: BTreeSet<SessionId> = self.core.sessions.keys().copied().collect();
        // No farewells: every peer learns it from its own stream.
        for id in all {
            if let Some(connection) = self.core.forget(id).and_then(|session| session.connection) {
                self.core.outputs.push_back(Output::Close {
                    connection,
                    reason: CloseReason::SystemShutdown,
                });
            }
        }
        self.rooms.clear();
        self.held.clear();
    }
}
