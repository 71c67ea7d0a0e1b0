//! What every part of the server works with: sessions, accounts, output, timers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use stanza::error::{Condition, ErrorType, StanzaError};
use stanza::{BareJid, Element, ElementExt as _, FullJid, xml};

use crate::api::Stats;
use crate::auth::Credentials;
use crate::clock::WallClock;
use crate::config::Config;
use crate::hosts::Hosts;
use crate::ids::SessionId;
use crate::journal::Log;
use crate::outgoing::{CloseReason, Outgoing, Output};
use crate::requests::{Errand, Keeping, RequestKey, Requests, is_conference_request};
use crate::session::{Rights, Sent, Session};

/// A password account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) credentials: Credentials,
    pub(crate) rights: Rights,
}

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Liveness or the end of hibernation of a session.
    Session(SessionId),
    /// Joins of a room that wait for the focus.
    Room(BareJid),
    /// Conference requests that wait for the focus, and requests that wait for their answer.
    Requests,
}

/// A serialised stanza without an address, shared by all its recipients.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    bytes: Arc<[u8]>,
    gap: usize,
    /// Its number in the journal.
    n: u64,
}

/// Entries that a table may have room for without need.
const SPARE: usize = 64;

/// Makes a table smaller after a crowd has gone; seldom, since that moves all its entries.
pub(crate) fn give_back<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    if table.capacity() > SPARE.max(8 * table.len()) {
        table.shrink_to(2 * table.len());
    }
}

/// State shared by all parts of the server.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) hosts: Hosts,
    pub(crate) clock: WallClock,
    /// Time of the current call.
    pub(crate) now: Instant,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) accounts: HashMap<BareJid, Account>,
    pub(crate) sessions: HashMap<SessionId, Session>,
    pub(crate) by_jid: HashMap<FullJid, SessionId>,
    /// Sessions of each account, oldest first.
    pub(crate) by_bare: HashMap<BareJid, BTreeSet<SessionId>>,
    pub(crate) by_resume_id: HashMap<String, SessionId>,
    /// First eight digits of the names of anonymous users: clients make endpoint ids of them.
    pub(crate) prefixes: HashSet<String>,
    pub(crate) outputs: VecDeque<Output>,
    /// Sessions that must end before the current call returns, with the reason for their connection.
    pub(crate) doomed: Vec<(SessionId, CloseReason)>,
    pub(crate) timers: BTreeMap<(Instant, u64), Timer>,
    pub(crate) stats: Stats,
    /// Requests that somebody has to answer.
    pub(crate) requests: Requests,
    /// When waiting requests are looked at.
    pub(crate) requests_wake: Option<Instant>,
    /// What they and others that wait take.
    pub(crate) keeping: Keeping,
    /// Participant whose stanza is being handled.
    pub(crate) sender: Option<SessionId>,
    /// Whether that participant has its share of a service's queue.
    pub(crate) crowding: bool,
    /// What the host keeps for a successor.
    pub(crate) log: Log,
    /// Sessions whose counts the journal does not know.
    pub(crate) counted: BTreeSet<SessionId>,
    /// Sessions that are over, which the journal has.
    pub(crate) ended: Vec<SessionId>,
    /// Numbers given to stanzas for several.
    pub(crate) bodies: u64,
    timer_serial: u64,
}

impl Body {
    /// Bytes without the address.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes as text, and where the address belongs.
    pub(crate) fn text(&self) -> (String, usize) {
        (String::from_utf8_lossy(&self.bytes).into_owned(), self.gap)
    }
}

impl Core {
    pub(crate) fn new(config: Config, now: Instant, clock: WallClock, rng: ChaCha20Rng) -> Self {
        Self {
            hosts: Hosts::new(&config),
            keeping: Keeping::new(
                config.limits.kept_bytes,
                config.limits.kept_bytes_per_session,
            ),
            config,
            clock,
            now,
            rng,
            accounts: HashMap::new(),
            sessions: HashMap::new(),
            by_jid: HashMap::new(),
            by_bare: HashMap::new(),
            by_resume_id: HashMap::new(),
            prefixes: HashSet::new(),
            outputs: VecDeque::new(),
            doomed: Vec::new(),
            timers: BTreeMap::new(),
            stats: Stats::default(),
            requests: Requests::default(),
            requests_wake: None,
            sender: None,
            crowding: false,
            log: Log::default(),
            counted: BTreeSet::new(),
            ended: Vec::new(),
            bodies: 0,
            timer_serial: 0,
        }
    }

    /// Asks to be woken at `at` for `timer`. Timers are not cancelled: whoever is woken checks what is due.
    pub(crate) fn wake(&mut self, at: Instant, timer: Timer) {
        self.timer_serial += 1;
        self.timers.insert((at, self.timer_serial), timer);
    }

    /// Asks to be woken for waiting requests at `at` or before.
    pub(crate) fn wake_requests(&mut self, at: Instant) {
        if self.requests_wake.is_none_or(|wake| at < wake) {
            self.requests_wake = Some(at);
            self.wake(at, Timer::Requests);
        }
    }

    /// The next timer that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.timers.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Serialises a stanza that has no `to`, for any number of recipients.
    pub(crate) fn body(&mut self, stanza: &Element) -> Body {
        self.stats.serialised += 1;
        let mut bytes = Vec::with_capacity(512);
        xml::write(stanza, &mut bytes);
        self.number(bytes.into(), 1 + stanza.name().len())
    }

    /// A stanza that was serialised before, by another process. `None` if the address has no place in it.
    pub(crate) fn body_again(&mut self, text: String, gap: usize) -> Option<Body> {
        let fits = text.is_char_boundary(gap);
        fits.then(|| self.number(text.into_bytes().into(), gap))
    }

    fn number(&mut self, bytes: Arc<[u8]>, gap: usize) -> Body {
        self.bodies += 1;
        let n = self.bodies;
        Body { bytes, gap, n }
    }

    /// Sends a copy of `body` to a session.
    pub(crate) fn send_body(&mut self, to: SessionId, body: &Body) {
        let Some(session) = self.sessions.get_mut(&to) else {
            return;
        };
        let stanza = Outgoing::addressed(body.bytes.clone(), body.gap, session.to.clone());
        self.stats.sent += 1;
        if session.waits_in_journal() {
            self.log.queue(body.n, &body.bytes, body.gap, to.0);
        }
        let sent = session.send(stanza, self.sender, &self.config.limits, &mut self.outputs);
        self.after_sending(to, sent);
    }

    /// Sends one stanza to a session; its `to` becomes the session's address.
    pub(crate) fn send_element(&mut self, to: SessionId, mut stanza: Element) {
        let Some(session) = self.sessions.get(&to) else {
            return;
        };
        stanza.put("to", session.jid.as_str());
        self.stats.serialised += 1;
        let mut bytes = Vec::with_capacity(512);
        xml::write(&stanza, &mut bytes);
        if session.waits_in_journal() {
            self.log.send(to.0, &bytes);
        }
        self.send(to, Outgoing::whole(bytes.into()));
    }

    fn send(&mut self, to: SessionId, stanza: Outgoing) {
        let Some(session) = self.sessions.get_mut(&to) else {
            return;
        };
        self.stats.sent += 1;
        let sent = session.send(stanza, self.sender, &self.config.limits, &mut self.outputs);
        self.after_sending(to, sent);
    }

    fn after_sending(&mut self, to: SessionId, sent: Sent) {
        match sent {
            Sent::Taken => {}
            Sent::Crowded => self.crowding = true,
            Sent::Overflow => self.doomed.push((to, CloseReason::ResourceConstraint)),
        }
    }

    /// Whether `from` may hand a stanza of `bytes` to `target`: the queue of a service has room, and `from` has not its
    /// share of it yet.
    pub(crate) fn has_room(&self, target: SessionId, from: SessionId, bytes: usize) -> bool {
        let sender = (!self.rights(from).service).then_some(from);
        self.sessions
            .get(&target)
            .is_none_or(|target| target.has_room(sender, bytes, &self.config.limits))
    }

    /// Refuses a stanza of `from`. Errors and results are never answered.
    pub(crate) fn refuse(
        &mut self,
        from: SessionId,
        stanza: &Element,
        error: impl Into<StanzaError>,
    ) {
        self.stats.refused += 1;
        if !matches!(stanza.attr("type"), Some("error" | "result")) {
            self.send_element(from, error.into().reply_to(stanza));
        }
    }

    /// Answers an IQ of `from`.
    pub(crate) fn reply(&mut self, from: SessionId, request: &Element, payload: Option<Element>) {
        self.send_element(from, stanza::iq::result_to(request, payload));
    }

    pub(crate) fn rights(&self, session: SessionId) -> Rights {
        self.sessions
            .get(&session)
            .map(|session| session.rights)
            .unwrap_or_default()
    }

    /// Whether `bare` is an account that owns every room.
    pub(crate) fn is_admin(&self, bare: &BareJid) -> bool {
        self.accounts
            .get(bare)
            .is_some_and(|account| account.rights.admin)
    }

    /// Whether this was a guest, whose session is over: nobody will have that name again.
    pub(crate) fn is_gone(&self, bare: &BareJid) -> bool {
        let guest = bare.domain().as_str() == self.hosts.main.as_str();
        guest && !self.accounts.contains_key(bare) && !self.by_bare.contains_key(bare)
    }

    /// How long a session survives its connection.
    pub(crate) fn hibernation(&self, session: SessionId) -> Duration {
        self.hibernation_of(self.rights(session))
    }

    /// The same of one with these rights.
    pub(crate) fn hibernation_of(&self, rights: Rights) -> Duration {
        let limits = &self.config.limits;
        match rights {
            Rights { bridge: true, .. } => Duration::ZERO,
            Rights { service: true, .. } => limits.hibernation_services,
            _ => limits.hibernation_clients,
        }
    }

    /// Notes that a session is in a room, or a waiting room; false when there is no such session.
    pub(crate) fn is_in(&mut self, session: SessionId, room: &BareJid) -> bool {
        let session = self.sessions.get_mut(&session);
        session
            .map(|session| session.rooms.insert(room.clone()))
            .is_some()
    }

    /// Takes a session out of all tables.
    pub(crate) fn forget(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        // Its address may belong to the session that took its place.
        if self.by_jid.get(&session.jid) == Some(&id) {
            self.by_jid.remove(&session.jid);
        }
        if let Some(resume_id) = session.resume_id() {
            self.by_resume_id.remove(resume_id);
        }
        if let Some(siblings) = self.by_bare.get_mut(&session.bare) {
            siblings.remove(&id);
            if siblings.is_empty() {
                self.by_bare.remove(&session.bare);
                if let Some(node) = session.bare.node() {
                    self.prefixes
                        .remove(node.as_str().get(..8).unwrap_or_default());
                }
            }
        }
        if session.journaled {
            self.counted.remove(&id);
            self.ended.push(id);
        }
        self.requests.forget(id);
        give_back(&mut self.sessions);
        give_back(&mut self.by_jid);
        give_back(&mut self.by_bare);
        give_back(&mut self.by_resume_id);
        if self.prefixes.capacity() > SPARE.max(8 * self.prefixes.len()) {
            self.prefixes.shrink_to(2 * self.prefixes.len());
        }
        Some(session)
    }

    /// Hands a request of `requester` to `target`, who sees it come from `from`. The answer reaches the requester as
    /// coming from `asked`, or an error in its place after a while. `errand` is that of a conference request that was
    /// asked before.
    pub(crate) fn relay_request(
        &mut self,
        requester: SessionId,
        target: SessionId,
        from: &str,
        asked: &str,
        request: Element,
        errand: Option<Errand>,
    ) {
        let Some(service) = self.sessions.get(&target).map(|s| s.rights.service) else {
            return self.refuse(requester, &request, Condition::ServiceUnavailable);
        };
        let most = if service { 65_536 } else { 1_024 };
        if self.requests.at(target) >= most {
            return self.refuse_full(requester, &request);
        }
        let bytes = xml::written_len(&request);
        if !self.has_room(target, requester, bytes) {
            return self.refuse_full(requester, &request);
        }
        let id: Arc<str> = request.attr("id").unwrap_or_default().into();
        // What the focus is asked may have to be asked again, should another take its place.
        let vital = is_conference_request(&request);
        let mut again = (vital || self.rights(target).admin).then_some(&request);
        let privileged = self.rights(requester).service;
        let mut cost = Requests::cost(&id, asked, again);
        let mut kept = self.keeping.keep(requester, cost, privileged);
        if kept.is_none() && !vital && again.take().is_some() {
            cost = Requests::cost(&id, asked, None);
            kept = self.keeping.keep(requester, cost, privileged);
        }
        let Some(kept) = kept else {
            return self.refuse_full(requester, &request);
        };
        let until = self.now + self.config.limits.answer_wait;
        let errand = errand.unwrap_or(Errand::new(until));
        let again = again.map(|request| (request.clone(), errand));
        let key = RequestKey {
            requester,
            target,
            id,
        };
        self.requests.add(key, asked.to_owned(), again, until, kept);
        self.wake_requests(until);
        let mut copy = request;
        copy.put("from", from);
        self.send_element(target, copy);
    }

    /// Refuses a stanza because its sender, or everybody, has as much waiting as may be. It may try again later.
    pub(crate) fn refuse_full(&mut self, from: SessionId, stanza: &Element) {
        self.stats.refused_full += 1;
        self.crowding = true;
        let error = StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait);
        self.refuse(from, stanza, error);
    }

    /// Brings the answer of `target` back to `requester`. Answers nobody asked for are dropped.
    pub(crate) fn relay_answer(
        &mut self,
        target: SessionId,
        requester: SessionId,
        answer: Element,
    ) {
        let key = RequestKey {
            requester,
            target,
            id: answer.attr("id").unwrap_or_default().into(),
        };
        let Some(open) = self.requests.remove(&key) else {
            self.stats.refused += 1;
            return;
        };
        let mut copy = answer;
        copy.put("from", open.asked);
        self.send_element(requester, copy);
    }
}
