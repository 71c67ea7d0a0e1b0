//! The server of one process goes on in another one: what is written for it, and how it begins.
//!
//! Sessions that can be resumed wait for their peers as after a broken connection. Everybody else is gone, and is seen to
//! leave. What the focus and others were asked is still open, or answered with an error in the name of who is gone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use stanza::xml::{self, Limits};
use stanza::{BareJid, Element};

use super::{Held, Server};
use crate::api::{BadName, Restored};
use crate::clock::WallClock;
use crate::config::Config;
use crate::core::Timer;
use crate::hosts::Host;
use crate::ids::SessionId;
use crate::journal::{
    Begin, HeldRecord, KeptRoom, KeptSession, Log, Part, Record, RequestRecord, RoomRecord, State,
    VERSION,
};
use crate::muc::Room;
use crate::occupants::Marks;
use crate::requests::{Errand, RequestKey, Requests};
use crate::session::Session;

impl Server {
    /// A server that goes on with what another one has written: [`Server::journal`] and what [`Server::take_news`] gave
    /// after it. The journal is not trusted: what is wrong in it is left out. The new server keeps one, too.
    ///
    /// Sessions wait for their peers as long as after a broken connection, from `clock`'s moment on.
    ///
    /// # Errors
    /// When a name in the configuration is no address. When the journal cannot be read at all, the server begins anew,
    /// and [`Restored::error`] says why.
    pub fn restore(
        config: Config,
        clock: WallClock,
        seed: [u8; 32],
        journal: &[u8],
    ) -> Result<(Self, Restored), BadName> {
        let mut server = Self::new(config, clock, seed)?;
        server.core.log = Log::new();
        let restored = match State::read(journal) {
            Ok(state) => server.take_up(state),
            Err(error) => Restored {
                error: Some(error),
                ..Restored::default()
            },
        };
        Ok((server, restored))
    }

    /// Keeps a journal from now on. Its host then takes [`Server::take_news`] before it carries out what
    /// [`Server::poll_output`] gives.
    pub fn keep_journal(&mut self) {
        if !self.core.log.is_on() {
            self.core.log = Log::new();
        }
    }

    /// What has changed since the last call of this or of [`Server::journal`], to be appended to the journal.
    pub fn take_news(&mut self) -> Vec<u8> {
        self.note_changes();
        self.core.log.take()
    }

    /// All there is: the beginning of a journal.
    pub fn journal(&mut self) -> Vec<u8> {
        self.note_changes();
        let _known_then = self.core.log.take();
        if !self.core.log.is_on() {
            return Vec::new();
        }
        let now = self.core.now;
        let begin = Record::Begin(Begin {
            version: VERSION,
            unix: self.core.clock.unix(now).as_secs(),
            sessions: self.next_session,
        });
        self.core.log.put(&begin);
        self.write_sessions();
        for room in self.rooms.values() {
            write_parts(&mut self.core.log, room.jid(), room.parts(now));
        }
        for record in self.core.requests.records() {
            self.core.log.put(&record);
        }
        if !self.held.is_empty() {
            self.core.log.put(&Record::Held(held_records(&self.held)));
        }
        self.core.log.take()
    }

    fn write_sessions(&mut self) {
        let mut bodies: HashMap<*const u8, u64> = HashMap::new();
        let core = &mut self.core;
        let ids: BTreeSet<SessionId> = core.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = core.sessions.get(&id).filter(|session| session.journaled) else {
                continue;
            };
            let Some(record) = session.record() else {
                continue;
            };
            core.log.put(&Record::Session(record));
            for stanza in session.queue() {
                let Some(gap) = stanza.gap() else {
                    core.log.send(id.0, stanza.shared_body());
                    continue;
                };
                // Queues keep the bodies alive, so no two have one address.
                let at = stanza.shared_body().as_ptr();
                let next = core.bodies + 1;
                let n = *bodies.entry(at).or_insert(next);
                core.bodies = core.bodies.max(n);
                core.log.queue(n, stanza.shared_body(), gap, id.0);
            }
        }
    }

    /// Writes what the log does not know yet.
    pub(super) fn note_changes(&mut self) {
        if !self.core.log.is_on() {
            return self.forget_changes();
        }
        let now = self.core.now;
        let core = &mut self.core;
        let counted = std::mem::take(&mut core.counted);
        for session in counted.iter().filter_map(|id| core.sessions.get(id)) {
            if let Some(count) = session.counts().filter(|_| session.journaled) {
                core.log.put(&Record::Count(count));
            }
        }
        for over in self.rooms.take_over() {
            core.log.put(&Record::Over(over.to_string()));
        }
        for jid in self.rooms.take_touched() {
            if let Some(room) = self.rooms.peek_mut(&jid) {
                let parts = room.take_changes(now);
                write_parts(&mut core.log, &jid, parts);
            }
        }
        for record in core.requests.take_changes() {
            core.log.put(&record);
        }
        let names = self.held.iter().map(|held| (held.session, held.serial));
        if !names.clone().eq(self.held_known.iter().copied()) {
            self.held_known = names.collect();
            core.log.put(&Record::Held(held_records(&self.held)));
        }
        for id in std::mem::take(&mut core.ended) {
            core.log.put(&Record::Ended(id.0));
        }
    }

    /// Nobody keeps a journal.
    fn forget_changes(&mut self) {
        self.core.counted.clear();
        self.core.ended.clear();
        self.core.requests.forget_changes();
        self.rooms.take_over();
        for jid in self.rooms.take_touched() {
            if let Some(room) = self.rooms.peek_mut(&jid) {
                room.forget_changes();
            }
        }
    }
}

fn write_parts(log: &mut Log, room: &BareJid, parts: Vec<Part>) {
    for part in parts {
        let room = room.to_string();
        log.put(&Record::Room(RoomRecord { room, part }));
    }
}

fn held_records(held: &[Held]) -> Vec<HeldRecord> {
    let record = |held: &Held| HeldRecord {
        session: held.session.0,
        stanza: xml::to_string(&held.stanza),
    };
    held.iter().map(record).collect()
}

fn parsed(text: &str) -> Option<Element> {
    xml::parse(text.as_bytes(), &Limits::FROM_SERVER).ok()
}

impl Server {
    /// Goes on with what a journal came to.
    fn take_up(&mut self, state: State) -> Restored {
        // A damaged journal must not use up the numbers.
        self.next_session = state.sessions_made.min(u64::MAX / 2);
        let mut restored = Restored {
            damaged: state.damaged,
            ..Restored::default()
        };
        for (_, kept) in state.sessions {
            match self.put_session_back(kept) {
                true => restored.sessions += 1,
                false => restored.left_out += 1,
            }
        }
        for (name, kept) in state.rooms {
            if self.put_room_back(&name, kept).is_none() {
                restored.left_out += 1;
            }
        }
        restored.rooms = self.rooms.len();
        for request in state.requests.into_values() {
            self.put_request_back(request);
        }
        for held in state.held {
            let session = SessionId(held.session);
            if let (Some(stanza), true) = (
                parsed(&held.stanza),
                self.core.sessions.contains_key(&session),
            ) {
                let until = self.core.now + self.core.config.limits.join_wait;
                self.hold(session, stanza, Errand::new(until));
            }
        }
        self.end_doomed();
        restored
    }

    fn put_session_back(&mut self, kept: KeptSession) -> bool {
        let core = &mut self.core;
        let account = stanza::FullJid::new(&kept.record.jid).map(|jid| jid.to_bare());
        let Ok(account) = account else { return false };
        let known = core.accounts.get(&account).map(|account| account.rights);
        let guest = core.config.anonymous && account.domain().as_str() == core.hosts.main;
        let Some(rights) = known.or(guest.then(Default::default)) else {
            return false;
        };
        let full = core.sessions.len() >= core.config.limits.sessions && !rights.service;
        let known = core.by_resume_id.contains_key(&kept.record.resume);
        let resume = kept.record.resume.clone();
        let session = Session::put_back(core.now, kept, rights, &core.config.limits);
        let Some(mut session) = session.filter(|_| !full && !known) else {
            return false;
        };
        let id = session.id;
        let max = core.hibernation_of(rights);
        if max.is_zero() {
            return false;
        }
        session.expires = Some(core.now + max);
        core.wake(core.now + max, Timer::Session(id));
        core.by_jid.insert(session.jid.clone(), id);
        core.by_bare
            .entry(session.bare.clone())
            .or_default()
            .insert(id);
        core.by_resume_id.insert(resume, id);
        if let (true, Some(node)) = (guest, session.bare.node()) {
            core.prefixes
                .insert(node.as_str().chars().take(8).collect());
        }
        core.sessions.insert(id, session);
        true
    }

    fn put_room_back(&mut self, name: &str, kept: KeptRoom) -> Option<()> {
        let jid = BareJid::new(name).ok()?;
        let host = self.core.hosts.classify(jid.domain().as_str())?;
        let served = matches!(host, Host::Muc | Host::InternalMuc);
        if !served || self.rooms.len() >= self.core.config.limits.rooms {
            return None;
        }
        let (room, inside, waiting) = Room::put_back(&mut self.core, &jid, kept)?;
        self.rooms.insert(jid.clone(), room);
        let lobby = self.core.hosts.lobby_of(&jid);
        let gone: Vec<SessionId> = inside
            .into_iter()
            .filter(|session| !self.core.is_in(*session, &jid))
            .collect();
        let left: Vec<SessionId> = waiting
            .into_iter()
            .filter(|session| !lobby.as_ref().is_some_and(|l| self.core.is_in(*session, l)))
            .collect();
        let room = self.rooms.get_mut(&jid)?;
        for session in left {
            if let Some(lobby) = &lobby {
                room.lobby_leave(&mut self.core, lobby, session);
            }
        }
        for session in gone {
            room.depart(&mut self.core, session, Marks::default(), None);
        }
        self.drop_room_if_over(&jid);
        Some(())
    }

    fn put_request_back(&mut self, request: RequestRecord) {
        let requester = SessionId(request.name.requester);
        let target = SessionId(request.name.target);
        let core = &mut self.core;
        let Some(asking) = core.sessions.get(&requester) else {
            return;
        };
        let again = request.again.as_deref().and_then(parsed);
        let cost = Requests::cost(&request.name.id, &request.asked, again.as_ref());
        let service = asking.rights.service;
        let Some(kept) = core.keeping.keep(requester, cost, service) else {
            return;
        };
        let until = core.now + core.config.limits.answer_wait;
        let again = again.map(|again| (again, Errand::new(until)));
        let key = RequestKey {
            requester,
            target,
            id: Arc::from(request.name.id),
        };
        core.requests
            .add(key.clone(), request.asked, again, until, kept);
        core.wake_requests(until);
        if !core.sessions.contains_key(&target)
            && let Some(open) = core.requests.remove(&key)
        {
            self.refuse_request(&key, open);
        }
    }
}
