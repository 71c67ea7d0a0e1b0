//! The server as its host sees it.

mod accounts;
mod domain;
mod ends;
mod focus;
mod handover;
mod journal;
mod lobby;
mod messages;
mod output;
mod rooms;
mod router;
mod sessions;
mod stanzas;

use std::time::Instant;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use stanza::{BareJid, Element, FullJid};

use crate::accounts::{FOCUS, LOCAL_BRIDGE};
use crate::api::{AuthError, BadName, Stats, WebQuery};
use crate::auth::{Credentials, derive_password};
use crate::clock::WallClock;
use crate::config::Config;
use crate::core::{Account, Core};
use crate::hosts::Host;
use crate::ids::{self, SessionId};
use crate::muc::{Room, Rooms};
use crate::requests::{Errand, Kept};
use crate::session::Rights;

/// A conference request that waits for a focus to come.
#[derive(Debug)]
struct Held {
    session: SessionId,
    stanza: Element,
    errand: Errand,
    /// Its number.
    serial: u64,
    _kept: Kept,
}

/// One signalling node's XMPP server.
#[derive(Debug)]
pub struct Server {
    core: Core,
    rooms: Rooms,
    /// Account behind the address of the focus.
    focus_account: BareJid,
    /// Account of the bridge in this process.
    local_bridge: BareJid,
    held: Vec<Held>,
    held_serial: u64,
    /// What the journal knows of them.
    held_known: Vec<(SessionId, u64)>,
    next_session: u64,
}

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
            rooms: Rooms::default(),
            focus_account,
            local_bridge,
            held: Vec::new(),
            held_serial: 0,
            held_known: Vec::new(),
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

    /// Bytes came from the session's connection that are no stanza (white space, BOSH polls): it is alive.
    pub fn heard(&mut self, now: Instant, session: SessionId) {
        if let Some(session) = self.core.sessions.get_mut(&session) {
            session.last_heard = now;
            session.probed = None;
        }
    }

    /// Address of a live session.
    #[must_use]
    pub fn jid(&self, session: SessionId) -> Option<&FullJid> {
        self.core.sessions.get(&session).map(|session| &session.jid)
    }

    /// When [`Server::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// A session by its address.
    fn session_of(&self, jid: &FullJid) -> Option<SessionId> {
        self.core.by_jid.get(jid).copied()
    }

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let meetings = || {
            self.rooms
                .values()
                .filter(|room| room.kind() == crate::muc::RoomKind::Meeting)
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
