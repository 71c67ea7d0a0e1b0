//! The server as its host sees it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use stanza::error::{Condition, StanzaError};
use stanza::{BareJid, Element, ElementExt as _, FullJid, element, ns, xml};
use thiserror::Error;

use crate::accounts::{FOCUS, LOCAL_BRIDGE, SESSIONS_OF_JOIN, SESSIONS_PER_BRIDGE};
use crate::auth::{Credentials, derive_password};
use crate::clock::WallClock;
use crate::core::{Account, Core, Timer};
use crate::hosts::Host;
use crate::muc::Room;
use crate::pace::StanzaKind;
use crate::proxy::{Held, is_conference_request};
use crate::requests::{Open, RequestKey, failure};
use crate::session::{AckOutcome, Rights, Session};
use crate::{CloseReason, Config, Outgoing, Output, ids};

/// Sessions one guest account may have at once.
const SESSIONS_PER_GUEST: usize = 8;

/// How long a participant waits with its next stanza when it has its share of a service's queue.
const CROWDED_PAUSE: Duration = Duration::from_millis(250);

/// A connection of the host, named by the host. Never reused while the server knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A session: what a bound resource is called inside. It outlives its connection while it hibernates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

/// What the client said in the URL and headers of its WebSocket or BOSH request.
#[derive(Clone, Debug, Default)]
pub struct WebQuery {
    /// `room`: name of the room as in the page's path.
    pub room: Option<String>,
    /// `prefix`: tenant, added by the front.
    pub prefix: Option<String>,
    /// `previd`: stream management id of the session the client wants to resume.
    pub previd: Option<String>,
    /// Region of the user, from a proxy's header.
    pub region: Option<String>,
    /// Where the connection comes from, as the host found it: wrong passwords are counted by it.
    pub address: Option<shares::AddressClass>,
}

/// An authenticated client that wants a resource.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who authenticated.
    pub user: BareJid,
    /// Resource asked for; the server makes one when absent.
    pub resource: Option<String>,
    /// Connection the session is attached to.
    pub connection: ConnectionId,
    /// URL parameters of that connection.
    pub query: WebQuery,
}

/// Result of [`Server::bind`].
#[derive(Clone, Debug)]
pub struct Bound {
    /// The new session.
    pub session: SessionId,
    /// Its address, for the bind result.
    pub jid: FullJid,
    /// Tells a client what it would ask next. To be written before the bind result, or not at all.
    pub greeting: Option<Outgoing>,
}

/// Result of [`Server::enable_sm`], for `<enabled/>`.
#[derive(Clone, Debug)]
pub struct Enabled {
    /// Id to resume with (`[A-Za-z0-9_-]+`); `None` when the session cannot be resumed.
    pub id: Option<String>,
    /// How long the session survives its connection.
    pub max: Duration,
}

/// Result of [`Server::resume`], for `<resumed/>`. Write that first: the outputs that follow replay what was not
/// acknowledged.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The session, now attached to the new connection.
    pub session: SessionId,
    /// Its unchanged address.
    pub jid: FullJid,
    /// Stanzas of the peer handled so far, modulo 2³².
    pub h: u32,
}

/// When the host may hand in the next stanza of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Now,
    /// Not before this time: stop reading from the connection until then.
    NotBefore(Instant),
}

/// Why a login failed.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// The host is not one of ours, or has no anonymous login.
    #[error("no anonymous login on this host")]
    NotAllowed,
}

/// Why no resource was bound.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// The resource is not valid: stanza error `bad-request`.
    #[error("invalid resource")]
    BadResource,
    /// The server has as many sessions as it may: stanza error `resource-constraint`.
    #[error("too many sessions")]
    TooManySessions,
}

/// Why a session was not resumed.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumeError {
    /// No such session, or of another user: `<failed><item-not-found/></failed>`.
    #[error("no such session")]
    ItemNotFound,
    /// The peer claims to have received more than was sent: `<failed><unexpected-request/></failed>`. The session is gone.
    #[error("acknowledges more than was sent")]
    AckTooHigh,
}

/// The session has ended meanwhile; the host should close the connection if it still has it.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("no such session")]
pub struct UnknownSession;

/// Counters and sizes for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sessions, hibernating ones included.
    pub sessions: u64,
    /// Sessions without a connection.
    pub hibernating: u64,
    /// Rooms of meetings (not of services).
    pub rooms: u64,
    /// Occupants of those rooms, the focus not counted.
    pub occupants: u64,
    /// Stanzas received.
    pub received: u64,
    /// Stanzas sent, replays included.
    pub sent: u64,
    /// Trees serialised; less than `sent` because broadcasts share one.
    pub serialised: u64,
    /// Sessions resumed.
    pub resumed: u64,
    /// Stanzas answered with an error or dropped.
    pub refused: u64,
    /// Those refused because their sender, or all, had as much waiting as may be.
    pub refused_full: u64,
    /// Requests that got an error because nobody answered in time.
    pub unanswered: u64,
    /// Wrong passwords of rooms.
    pub guesses_wrong: u64,
    /// Passwords not looked at because too many wrong ones came before.
    pub guesses_refused: u64,
    /// Bytes kept for requests and joins that wait.
    pub kept_bytes: u64,
}

/// One signalling node's XMPP server.
#[derive(Debug)]
pub struct Server {
    pub(crate) core: Core,
    pub(crate) rooms: HashMap<BareJid, Room>,
    /// Account behind the address of the focus.
    pub(crate) focus_account: BareJid,
    /// Account of the bridge in this process.
    pub(crate) local_bridge: BareJid,
    pub(crate) held: Vec<Held>,
    next_session: u64,
}

/// A name in the configuration is no valid address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a valid XMPP address")]
pub struct BadName(pub String);

impl Server {
    /// A server with no sessions. `clock` is the calendar, `seed` feeds all random ids and must be secret and fresh.
    pub fn new(config: Config, clock: WallClock, seed: [u8; 32]) -> Result<Self, BadName> {
        let mut core = Core::new(config, clock.at(), clock, ChaCha20Rng::from_seed(seed));
        let name = |text: String| BareJid::new(&text).map_err(|_| BadName(text));
        name(core.hosts.main.clone())?;
        let focus_account = name(format!("{FOCUS}@{}", core.hosts.auth))?;
        let local_bridge = name(format!("{LOCAL_BRIDGE}@{}", core.hosts.auth))?;
        let admin = Rights {
            admin: true,
            service: true,
            ..Rights::default()
        };
        let bridge = Rights {
            service: true,
            bridge: true,
            ..Rights::default()
        };
        let secret = core.config.cluster_secret.clone();
        let mut accounts = vec![
            (
                focus_account.clone(),
                derive_password(&secret, FOCUS),
                admin,
            ),
            (
                local_bridge.clone(),
                derive_password(&secret, LOCAL_BRIDGE),
                bridge,
            ),
        ];
        for account in std::mem::take(&mut core.config.accounts) {
            let jid = name(account.jid)?;
            let service = account.admin || jid.domain().as_str() == core.hosts.auth;
            let rights = Rights {
                admin: account.admin,
                service,
                ..Rights::default()
            };
            accounts.push((jid, account.password, rights));
        }
        for (jid, password, rights) in accounts {
            let salt: [u8; 16] = core.rng.random();
            let credentials = Credentials::new(&password, &salt);
            core.accounts.insert(
                jid,
                Account {
                    credentials,
                    rights,
                },
            );
        }
        Ok(Self {
            core,
            rooms: HashMap::new(),
            focus_account,
            local_bridge,
            held: Vec::new(),
            next_session: 0,
        })
    }

    /// Its settings; passwords of accounts are not among them any more.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// Corrects the calendar, for example after the system clock was set.
    pub fn set_clock(&mut self, clock: WallClock) {
        self.core.clock = clock;
    }

    /// Whether clients may open a stream to `host`, and whether it offers ANONYMOUS (`Some(true)`) or passwords
    /// (`Some(false)`).
    #[must_use]
    pub fn login_host(&self, host: &str) -> Option<bool> {
        match self.core.hosts.classify(&host.to_lowercase())? {
            Host::Main => Some(self.core.config.anonymous),
            Host::Auth => Some(false),
            _ => None,
        }
    }

    /// Whether `user` is a service account (the focus, a bridge, ...), which may send larger stanzas.
    #[must_use]
    pub fn is_service(&self, user: &BareJid) -> bool {
        self.core
            .accounts
            .get(user)
            .is_some_and(|account| account.rights.service)
    }

    /// Name for a client that logs in with SASL ANONYMOUS on `host`: a fresh one, or that of the session it is about to
    /// resume, when it names one in `previd`.
    pub fn anonymous_user(&mut self, host: &str, query: &WebQuery) -> Result<BareJid, AuthError> {
        if self.login_host(host) != Some(true) {
            return Err(AuthError::NotAllowed);
        }
        let core = &mut self.core;
        let previous = query
            .previd
            .as_ref()
            .and_then(|id| core.by_resume_id.get(id));
        if let Some(session) = previous.and_then(|id| core.sessions.get(id))
            && !core.accounts.contains_key(&session.bare)
        {
            return Ok(session.bare.clone());
        }
        loop {
            let node = ids::uuid(&mut core.rng);
            if core.prefixes.contains(node.get(..8).unwrap_or_default()) {
                continue;
            }
            return BareJid::new(&format!("{node}@{}", core.hosts.main))
                .map_err(|_| AuthError::NotAllowed);
        }
    }

    /// Binds a resource (RFC 6120 §7). A session of the same account that holds the resource ends with `conflict`.
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

    /// Bytes came from the session's connection that are no stanza (white space, BOSH polls): it is alive.
    pub fn heard(&mut self, now: Instant, session: SessionId) {
        if let Some(session) = self.core.sessions.get_mut(&session) {
            session.last_heard = now;
            session.probed = None;
        }
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

    /// Address of a live session.
    #[must_use]
    pub fn jid(&self, session: SessionId) -> Option<&FullJid> {
        self.core.sessions.get(&session).map(|session| &session.jid)
    }

    /// What to do next, in order; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// When [`Server::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.timers.first_key_value().map(|((at, _), _)| *at)
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

    /// Ends the sessions that broke a rule or a limit during this call.
    pub(crate) fn end_doomed(&mut self) {
        while let Some((id, reason)) = self.core.doomed.pop() {
            let Some(session) = self.core.sessions.get(&id) else {
                continue;
            };
            if let Some(connection) = session.connection {
                self.core
                    .outputs
                    .push_back(Output::Close { connection, reason });
            }
            self.end(id);
        }
    }

    /// Ends a session: it leaves its rooms, and what it had to answer is refused in its name.
    fn end(&mut self, id: SessionId) {
        let Some(session) = self.core.forget(id) else {
            return;
        };
        self.held.retain(|held| held.session != id);
        self.leave_rooms(id, session.rooms);
        self.refuse_open(id);
    }

    /// Requests that a session did not answer are answered in its place, or asked again where another can answer.
    fn refuse_open(&mut self, id: SessionId) {
        for (key, open) in self.core.requests.take_all(id) {
            self.refuse_request(&key, open);
        }
    }

    /// The same for one.
    pub(crate) fn refuse_request(&mut self, key: &RequestKey, mut open: Open) {
        let again = open.again.take();
        match again.filter(|(request, _)| is_conference_request(request)) {
            Some((request, errand)) => {
                drop(open);
                self.ask_again(key.requester, request, errand);
            }
            None => {
                let error = failure(key, &open, Condition::ServiceUnavailable);
                self.core.send_element(key.requester, error);
            }
        }
    }

    /// Ends all sessions because the server stops.
    pub fn shutdown(&mut self, now: Instant) {
        self.core.now = now;
        let all: Vec<SessionId> = self.core.sessions.keys().copied().collect();
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

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let meetings = || {
            self.rooms
                .values()
                .filter(|room| room.kind == crate::muc::RoomKind::Meeting)
        };
        let people = |room: &Room| room.people(&self.core) as u64;
        Stats {
            sessions: self.core.sessions.len() as u64,
            hibernating: self
                .core
                .sessions
                .values()
                .filter(|session| session.connection.is_none())
                .count() as u64,
            rooms: meetings().count() as u64,
            occupants: meetings().map(people).sum(),
            kept_bytes: self.core.keeping.bytes() as u64,
            ..self.core.stats.clone()
        }
    }
}
