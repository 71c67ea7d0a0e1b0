//! Server, focus, bridges and bots on one clock.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bot::{Bot, BotConfig, Event};
use focus::{Focus, FocusConfig};
use rtc::Certificate;
use sim::{Datagram, LinkSpec, Net};
use stanza::xml::{Limits, parse};
use stanza::{BareJid, Element, FullJid};
use xmpp::{ConnectionId, Login, Output, Server, SessionId, WallClock, WebQuery};

use crate::restart::Disk;
use crate::stream::Stream;
use crate::{Bridge, Mail};

pub(crate) const DOMAIN: &str = "meet.example.com";
pub(crate) const SECRET: &[u8] = b"the world's secret";
/// Wall clock of the beginning: 2026-08-20T08:00:00Z.
pub(crate) const WALL: Duration = Duration::from_secs(1_787_212_800);
const STREAM_DELAY: Duration = Duration::from_millis(2);

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// Everything of ours that is random follows from it.
    pub seed: u64,
    /// Number of bridges.
    pub bridges: u8,
    /// What every path does to datagrams.
    pub path: LinkSpec,
}

/// Who is behind a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Focus,
    Bridge(usize),
    Bot(usize),
}

pub(crate) enum Letter {
    ToServer(Party, Element),
    FromServer(Party, Vec<u8>),
}

/// The whole system.
pub struct World {
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) seed: u64,
    pub(crate) server: Server,
    pub(crate) focus: Focus,
    /// The bridges, by number.
    pub bridges: Vec<Bridge>,
    /// The bots, by number.
    pub bots: Vec<Bot>,
    /// What each bot has told, with the time since the start.
    pub events: Vec<Vec<(Duration, Event)>>,
    /// What the focus has told.
    pub decisions: Vec<(Duration, focus::Event)>,
    /// The network of the datagrams.
    pub net: Net,
    pub(crate) mail: Mail<Letter>,
    pub(crate) sessions: HashMap<ConnectionId, Party>,
    pub(crate) parties: Vec<(Party, SessionId, ConnectionId)>,
    pub(crate) connections: u64,
    pub(crate) focus_config: FocusConfig,
    /// Of the focus and of bots.
    pub(crate) streams: HashMap<Party, Stream>,
    /// What the meet node's host writes down, if it does.
    pub(crate) disk: Option<Disk>,
    /// There is no meet node at present.
    pub(crate) down: bool,
    /// When somebody comes back to it.
    pub(crate) returns: Vec<(Instant, Party)>,
}

pub(crate) fn seed(world: u64, part: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&world.to_le_bytes());
    seed[8..16].copy_from_slice(&part.to_le_bytes());
    seed
}

impl World {
    /// A world at its beginning: the focus and the bridges have logged in.
    ///
    /// # Panics
    /// If the cores refuse their own configuration.
    #[must_use]
    pub fn new(config: &WorldConfig) -> Self {
        Self::with_focus(config, |_| {})
    }

    /// The same, with a focus of other settings.
    ///
    /// # Panics
    /// If the cores refuse their own configuration.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "any instant will do as the beginning"
    )]
    #[allow(
        clippy::expect_used,
        reason = "a world that cannot begin fails its test"
    )]
    pub fn with_focus(config: &WorldConfig, change: impl FnOnce(&mut FocusConfig)) -> Self {
        let now = Instant::now();
        let clock = WallClock::new(now, WALL);
        let server = Server::new(
            xmpp::Config::new(DOMAIN, SECRET),
            clock,
            seed(config.seed, 1),
        );
        let mut focus = FocusConfig::for_domain(DOMAIN).expect("the domain is valid");
        change(&mut focus);
        let certificate = Arc::new(
            Certificate::generate(SystemTime::UNIX_EPOCH + WALL)
                .expect("a certificate can be made"),
        );
        let bridge = |n: u8| {
            let address = SocketAddr::from(([10, 0, 0, n + 1], 10_000));
            let seed = seed(config.seed, 100 + u64::from(n));
            Bridge::new(
                now,
                &format!("bridge{n}"),
                DOMAIN,
                address,
                certificate.clone(),
                seed,
            )
        };
        let mut world = Self {
            now,
            start: now,
            seed: config.seed,
            server: server.expect("the domain is valid"),
            focus: Focus::new(focus.clone(), seed(config.seed, 2)),
            bridges: (0..config.bridges).map(bridge).collect(),
            bots: Vec::new(),
            events: Vec::new(),
            decisions: Vec::new(),
            net: Net::new(config.path, config.seed),
            mail: Mail::new(STREAM_DELAY),
            sessions: HashMap::new(),
            parties: Vec::new(),
            connections: 0,
            focus_config: focus,
            streams: HashMap::new(),
            disk: None,
            down: false,
            returns: Vec::new(),
        };
        world.log_focus_in();
        for n in 0..world.bridges.len() {
            world.login(Party::Bridge(n), Some("jvb"));
        }
        world
    }

    /// What everybody's clock says.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The address of a room.
    ///
    /// # Panics
    /// If `name` is no local part of an address.
    #[must_use]
    #[allow(clippy::expect_used, reason = "rooms of tests have plain names")]
    pub fn room(name: &str) -> BareJid {
        BareJid::new(&format!("{name}@conference.{DOMAIN}")).expect("a plain name")
    }

    /// Lets a bot log in, which then joins `room`; returns its number. `change` sets what it sends and wants.
    pub fn join(&mut self, room: &str, change: impl FnOnce(&mut BotConfig)) -> usize {
        let n = self.bots.len();
        let host = 10 + n as u16;
        let address = IpAddr::from([10, 0, (host >> 8) as u8 + 1, host as u8]);
        let mut config = BotConfig {
            domain: DOMAIN.to_owned(),
            room: Self::room(room),
            name: format!("bot {n}"),
            local: SocketAddr::new(address, 40_000),
            video: Some(bot::VideoSpec::default()),
            audio: true,
            max_height: 720,
            moves: true,
        };
        change(&mut config);
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(n as u64);
        self.bots.push(Bot::new(config, self.start, seed));
        self.events.push(Vec::new());
        let jid = self.login(Party::Bot(n), None);
        self.manage(Party::Bot(n));
        self.bots[n].online(self.now, jid);
        self.flush();
        n
    }

    #[allow(
        clippy::expect_used,
        reason = "a world that cannot log in fails its test"
    )]
    pub(crate) fn login(&mut self, party: Party, account: Option<&str>) -> FullJid {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let query = WebQuery::default();
        let resource = match party {
            Party::Focus => Some("focus".to_owned()),
            Party::Bridge(n) => Some(self.bridges[n].name().to_owned()),
            Party::Bot(_) => None,
        };
        let user = match account {
            Some(name) => BareJid::new(&format!("{name}@auth.{DOMAIN}")).expect("a plain name"),
            None => self
                .server
                .anonymous_user(DOMAIN, &query)
                .expect("guests are welcome"),
        };
        let login = Login {
            user,
            resource,
            connection,
            query,
        };
        let bound = self
            .server
            .bind(self.now, login)
            .expect("there is room for all");
        self.sessions.insert(connection, party);
        self.parties.push((party, bound.session, connection));
        bound.jid
    }

    fn session(&self, party: Party) -> Option<(SessionId, ConnectionId)> {
        let mut all = self.parties.iter();
        all.find(|(p, ..)| *p == party).map(|(_, s, c)| (*s, *c))
    }

    /// Turns stream management on.
    fn manage(&mut self, party: Party) {
        if let Some((session, _)) = self.session(party) {
            let enabled = self.server.enable_sm(self.now, session, true);
            let id = enabled.ok().and_then(|enabled| enabled.id);
            self.streams.insert(party, Stream::new(id));
        }
    }

    /// A stanza of somebody who has a stream: kept until the server has it, sent if there is a connection.
    pub(crate) fn say_to_server(&mut self, party: Party, stanza: Element) {
        if !self.down {
            self.mail.send(self.now, Letter::ToServer(party, stanza));
        }
    }

    fn say(&mut self, party: Party, stanza: Element) {
        let stream = self.streams.entry(party).or_default();
        stream.sent(stanza.clone());
        if !stream.cut {
            self.say_to_server(party, stanza);
        }
    }

    fn is_cut(&self, party: Party) -> bool {
        self.streams.get(&party).is_some_and(|stream| stream.cut)
    }

    pub(crate) fn log_focus_in(&mut self) {
        self.parties.retain(|(party, ..)| *party != Party::Focus);
        let jid = self.login(Party::Focus, Some("focus"));
        self.manage(Party::Focus);
        self.focus.online(self.now, jid, false);
        self.flush();
    }

    /// Breaks the stream between the server and the focus; both see it at once.
    pub fn cut_focus(&mut self) {
        self.streams.entry(Party::Focus).or_default().cut = true;
        if let Some((session, connection)) = self.session(Party::Focus) {
            self.sessions.remove(&connection);
            self.server.detach(self.now, session, connection);
        }
        self.focus.offline(self.now);
        self.flush();
    }

    /// The focus takes its session up again.
    ///
    /// # Panics
    /// If the server has forgotten the session.
    #[allow(clippy::expect_used, reason = "as it is documented")]
    pub fn resume_focus(&mut self) {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let stream = &self.streams[&Party::Focus];
        let (id, received) = (stream.id.clone(), stream.received);
        let id = id.expect("it can be resumed");
        let user = BareJid::new(&format!("focus@auth.{DOMAIN}")).expect("a plain name");
        let resumed = self
            .server
            .resume(self.now, &user, connection, &id, received)
            .expect("the session is there");
        self.parties.retain(|(party, ..)| *party != Party::Focus);
        self.parties
            .push((Party::Focus, resumed.session, connection));
        self.sessions.insert(connection, Party::Focus);
        self.streams.entry(Party::Focus).or_default().cut = false;
        self.focus.online(self.now, resumed.jid, true);
        self.flush();
    }

    /// The focus logs in anew and goes on with what it remembers.
    pub fn reattach_focus(&mut self) {
        self.log_focus_in();
    }

    /// The focus dies; another one with its snapshot takes its place.
    ///
    /// # Panics
    /// If the snapshot cannot be read.
    #[allow(clippy::expect_used, reason = "as it is documented")]
    pub fn replace_focus(&mut self) {
        let json = self.focus.snapshot().to_json();
        let snapshot = focus::Snapshot::from_json(&json).expect("it was just written");
        let config = self.focus_config.clone();
        let seed = seed(self.seed, 1_000 + self.connections);
        self.focus = Focus::restore(self.now, config, seed, &snapshot);
        self.log_focus_in();
    }

    /// What the focus counts.
    #[must_use]
    pub fn focus_stats(&self) -> focus::FocusStats {
        self.focus.stats()
    }

    /// Ends a bridge as a power cut does. With `stream`, its connection to the server is seen to close at once.
    pub fn kill_bridge(&mut self, n: usize, stream: bool) {
        self.bridges[n].dead = true;
        self.net.cut(self.bridges[n].address.ip());
        if let (true, Some((session, connection))) = (stream, self.session(Party::Bridge(n))) {
            self.server.close(self.now, session, connection);
        }
        self.flush();
    }

    /// An operator wants a bridge to become empty.
    ///
    /// # Panics
    /// If the focus does not know the bridge.
    #[allow(clippy::expect_used, reason = "as it is documented")]
    pub fn drain(&mut self, n: usize) {
        let name = self.bridges[n].name().to_owned();
        let drained = self
            .focus
            .order_drain(self.now, &name, true, focus::Then::Stay);
        drained.expect("the bridge is known");
        self.flush();
    }

    /// Does something with a bot and sends what follows from it.
    pub fn with_bot<T>(&mut self, n: usize, f: impl FnOnce(&mut Bot) -> T) -> T {
        let result = f(&mut self.bots[n]);
        self.flush();
        result
    }

    /// Runs until `done`, for at most `limit`; says whether it came to be.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            let next = self.next_moment();
            if next > end {
                self.now = end;
                return false;
            }
            self.now = self.now.max(next);
            self.step();
        }
    }

    /// Runs for a time.
    pub fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn next_moment(&self) -> Instant {
        let cores = match self.down {
            true => [None, None],
            false => [self.server.poll_timeout(), self.focus.poll_timeout()],
        };
        let returns = self.returns.iter().map(|(at, _)| *at);
        let bridges = self
            .bridges
            .iter()
            .filter(|b| !b.dead)
            .map(Bridge::poll_timeout);
        let bots = self.bots.iter().filter_map(Bot::poll_timeout);
        let paths = [self.net.next_arrival(), self.mail.next_arrival()];
        let far = self.now + Duration::from_secs(3_600);
        let some = cores.into_iter().chain(paths).flatten();
        some.chain(bridges)
            .chain(bots)
            .chain(returns)
            .min()
            .unwrap_or(far)
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(letter) = self.mail.receive(now) {
            self.deliver(letter);
        }
        while let Some(mut datagram) = self.net.receive(now) {
            self.receive(&mut datagram);
        }
        if !self.down {
            self.let_in();
            if self.server.poll_timeout().is_some_and(|at| at <= now) {
                self.server.handle_timeout(now);
            }
            if self.focus.poll_timeout().is_some_and(|at| at <= now) {
                self.focus.handle_timeout(now);
            }
        }
        for bridge in self.bridges.iter_mut().filter(|b| !b.dead) {
            bridge.handle_timeout(now);
        }
        for bot in &mut self.bots {
            if bot.poll_timeout().is_some_and(|at| at <= now) {
                bot.handle_timeout(now);
            }
        }
        self.flush();
    }

    fn receive(&mut self, datagram: &mut Datagram) {
        let (from, to) = (datagram.from, datagram.to);
        if let Some(bridge) = self.bridges.iter_mut().find(|b| b.is_at(to) && !b.dead) {
            bridge
                .controller
                .handle_datagram(self.now, from, to, &mut datagram.bytes);
        } else if let Some(bot) = self.bots.iter_mut().find(|b| b.local() == to) {
            bot.handle_datagram(self.now, from, &datagram.bytes);
        }
    }

    fn deliver(&mut self, letter: Letter) {
        match letter {
            Letter::ToServer(party, stanza) => {
                if let Some((session, _)) = self.session(party) {
                    // A session that has ended takes no stanzas.
                    let _ = self.server.handle_stanza(self.now, session, stanza);
                }
            }
            Letter::FromServer(party, bytes) => self.deliver_from_server(party, &bytes),
        }
    }

    #[allow(
        clippy::expect_used,
        reason = "a server that writes bad XML fails its test"
    )]
    fn deliver_from_server(&mut self, party: Party, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("stanzas are text");
        let stanza = parse(text, &Limits::FROM_SERVER).expect("stanzas are well-formed");
        match party {
            Party::Focus | Party::Bot(_) if self.is_cut(party) => {}
            Party::Focus | Party::Bot(_) => {
                self.streams.entry(party).or_default().received += 1;
                match party {
                    Party::Bot(n) => self.bots[n].handle_stanza(self.now, &stanza),
                    _ => self.focus.handle_stanza(self.now, &stanza),
                }
            }
            Party::Bridge(n) if self.bridges[n].dead => {}
            Party::Bridge(n) => {
                if let Some(reply) = self.bridges[n].handle_stanza(self.now, &stanza) {
                    self.mail.send(self.now, Letter::ToServer(party, reply));
                }
            }
        }
    }

    /// Puts everything the cores have to say on its way.
    fn flush(&mut self) {
        let now = self.now;
        while let Some(stanza) = self.focus.poll_transmit().filter(|_| !self.down) {
            self.say_to_server(Party::Focus, stanza);
        }
        while let Some(event) = self.focus.poll_event() {
            self.decisions.push((now - self.start, event));
        }
        for n in 0..self.bots.len() {
            while let Some(stanza) = self.bots[n].poll_stanza() {
                self.say(Party::Bot(n), stanza);
            }
            let bot = &mut self.bots[n];
            while let Some((to, bytes)) = bot.poll_datagram() {
                let from = bot.local();
                self.net.send(now, Datagram { from, to, bytes });
            }
            while let Some(event) = bot.poll_event() {
                self.events[n].push((now - self.start, event));
            }
        }
        for (n, bridge) in self.bridges.iter_mut().enumerate().filter(|(_, b)| !b.dead) {
            if let Some(presence) = bridge.presence(now).filter(|_| !self.down) {
                self.mail
                    .send(now, Letter::ToServer(Party::Bridge(n), presence));
            }
            let net = &mut self.net;
            bridge.transmit(now, |from, to, bytes| {
                let bytes = bytes.to_vec();
                net.send(now, Datagram { from, to, bytes });
            });
        }
        self.flush_server();
    }

    fn flush_server(&mut self) {
        if self.down {
            return;
        }
        self.write_down();
        while let Some(output) = self.server.poll_output() {
            if let Output::RequestAck { connection } = output {
                self.acknowledge(connection);
                continue;
            }
            let Output::Send {
                connection, stanza, ..
            } = output
            else {
                continue;
            };
            if let Some(party) = self.sessions.get(&connection) {
                let letter = Letter::FromServer(*party, stanza.to_vec());
                self.mail.send(self.now, letter);
            }
        }
    }

    fn acknowledge(&mut self, connection: ConnectionId) {
        let Some(party) = self.sessions.get(&connection).copied() else {
            return;
        };
        if let (Some(stream), Some((session, _))) = (self.streams.get(&party), self.session(party))
        {
            // A session that has ended needs no acknowledgement.
            let _ = self.server.ack(self.now, session, stream.received);
        }
    }
}
