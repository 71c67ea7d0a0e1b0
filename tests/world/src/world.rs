//! Server, focus, bridges and bots on one clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bot::{Bot, BotConfig, Event};
use focus::{Focus, FocusConfig};
use rtc::Certificate;
use sim::{Datagram, LinkSpec, Net};
use stanza::jitsi::evidence::Probe;
use stanza::xml::{Limits, parse, to_string};
use stanza::{BareJid, Element, ns};
use xmpp::{ConnectionId, Server, WallClock};

use crate::faults::Cuts;
use crate::restart::Disk;
use crate::streams::{Letter, Party, Stream};
use crate::trace::{self, Trace};
use crate::{Bridge, Mail};

pub(crate) const DOMAIN: &str = "meet.example.com";
pub(crate) const SECRET: &[u8] = b"the world's secret";
/// Wall clock of the beginning: 2026-08-20T08:00:00Z.
const WALL: Duration = Duration::from_secs(1_787_212_800);
/// Keys of all bridges, and of all bots: keys of chance would differ in length, and cost time.
const BRIDGE_KEYS: [&[u8]; 2] = [
    include_bytes!("../keys/bridge.crt"),
    include_bytes!("../keys/bridge.key"),
];
const BOT_KEYS: [&[u8]; 2] = [
    include_bytes!("../keys/bot.crt"),
    include_bytes!("../keys/bot.key"),
];
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
    /// Bots that may have something to say.
    touched: BTreeSet<usize>,
    /// When each bot wants to be called.
    due: Vec<Option<Instant>>,
    /// What each bot has told, with the time since the start.
    pub events: Vec<Vec<(Duration, Event)>>,
    /// What the focus has told.
    pub decisions: Vec<(Duration, focus::Event)>,
    /// The network of the datagrams.
    pub net: Net,
    pub(crate) mail: Mail<Letter>,
    pub(crate) connected: BTreeMap<ConnectionId, Party>,
    pub(crate) connections: u64,
    pub(crate) focus_config: FocusConfig,
    pub(crate) streams: BTreeMap<Party, Stream>,
    /// What the meet node's host writes down, if it does.
    pub(crate) disk: Option<Disk>,
    /// There is no meet node at present.
    pub(crate) down: bool,
    /// The meet node does nothing at present.
    pub(crate) stopped: bool,
    /// What the clock on the wall showed at the beginning, as it is set now.
    pub(crate) wall: Duration,
    /// When somebody comes back to it.
    pub(crate) returns: Vec<(Instant, Party)>,
    pub(crate) cuts: Cuts,
    /// Bots whose machines do nothing at present.
    pub(crate) asleep: BTreeSet<usize>,
    /// Bots that are no more.
    pub(crate) gone: BTreeSet<usize>,
    /// Numbers of bots that were dismissed, which somebody else may have.
    pub(crate) free: VecDeque<usize>,
    /// Bots that ever joined.
    joined: u64,
    trace: Trace,
}

pub(crate) fn seed(world: u64, part: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&world.to_le_bytes());
    seed[8..16].copy_from_slice(&part.to_le_bytes());
    seed
}

/// The address of a bot.
fn address_of(bot: usize) -> SocketAddr {
    let [.., high, low] = (bot + 10).to_be_bytes();
    SocketAddr::from(([10, 0, high + 1, low], 40_000))
}

/// What a bot does that nothing else is said of.
fn settings(n: usize, room: &str) -> BotConfig {
    BotConfig {
        domain: DOMAIN.to_owned(),
        room: World::room(room),
        name: format!("bot {n}"),
        local: address_of(n),
        video: Some(bot::VideoSpec::default()),
        audio: true,
        max_height: 720,
        moves: true,
    }
}

/// The bot at an address, if it is one of a bot.
fn number_at(address: SocketAddr) -> Option<usize> {
    let IpAddr::V4(host) = address.ip() else {
        return None;
    };
    let [10, 0, high, low] = host.octets() else {
        return None;
    };
    let high = high.checked_sub(1)?;
    (usize::from(high) << 8 | usize::from(low)).checked_sub(10)
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

    /// A world whose focus gives each member of a meeting a bridge of its own, as far as there are any.
    #[must_use]
    pub fn split(config: &WorldConfig) -> Self {
        Self::with_focus(config, |focus| {
            focus.bridges.strategy = focus::Strategy::Split;
        })
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
        let [certificate, key] = BRIDGE_KEYS;
        let certificate = Certificate::from_der(certificate.to_vec(), key.to_vec());
        let certificate = Arc::new(certificate.expect("the certificate can be used"));
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
            touched: BTreeSet::new(),
            due: Vec::new(),
            events: Vec::new(),
            decisions: Vec::new(),
            net: Net::new(config.path, config.seed),
            mail: Mail::new(STREAM_DELAY),
            connected: BTreeMap::new(),
            connections: 0,
            focus_config: focus,
            streams: BTreeMap::new(),
            disk: None,
            down: false,
            stopped: false,
            wall: WALL,
            returns: Vec::new(),
            cuts: Cuts::default(),
            asleep: BTreeSet::new(),
            gone: BTreeSet::new(),
            free: VecDeque::new(),
            joined: 0,
            trace: Trace::default(),
        };
        world.log_focus_in();
        for n in 0..world.bridges.len() {
            world
                .login(Party::Bridge(n))
                .expect("there is room for all");
            world.bridges[n].attach(now);
        }
        world
    }

    /// What everybody's clock says.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Writes down everything that happens from now on.
    pub fn record(&mut self) {
        self.trace.begin();
    }

    /// What was written down: when what arrived, where and from whom, and what bots and the focus told.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        self.trace.lines()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.trace.is_on() {
            let elapsed = self.elapsed().as_micros();
            self.trace.note(format!("{elapsed} {}", what()));
        }
    }

    pub(crate) fn note_stanza(&mut self, party: Party, verb: &str, stanza: &Element) {
        self.note(|| format!("{party:?} {verb} {}", to_string(stanza)));
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The time from the beginning to a moment.
    #[must_use]
    pub fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
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
    ///
    /// # Panics
    /// If the server lets it not in.
    #[allow(
        clippy::expect_used,
        reason = "a world that cannot log in fails its test"
    )]
    pub fn join(&mut self, room: &str, change: impl FnOnce(&mut BotConfig)) -> usize {
        let n = self.free.pop_front().unwrap_or(self.bots.len());
        let mut config = settings(n, room);
        change(&mut config);
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(self.joined);
        self.joined += 1;
        let mut bot = Bot::new(config, self.start, seed);
        let [certificate, key] = BOT_KEYS;
        bot.set_certificate(certificate.to_vec(), key.to_vec());
        self.seat(n, bot);
        let jid = self.login(Party::Bot(n)).expect("there is room for all");
        self.bots[n].online(self.now, jid);
        self.touched.insert(n);
        self.flush();
        n
    }

    /// Gives a bot its number.
    fn seat(&mut self, n: usize, bot: Bot) {
        self.gone.remove(&n);
        if n == self.bots.len() {
            self.bots.push(bot);
            self.due.push(None);
            self.events.push(Vec::new());
        } else {
            self.bots[n] = bot;
            self.due[n] = None;
            self.events[n] = Vec::new();
        }
    }

    /// Takes a bot that has left out of the world, and ends its session if it has one: its number and its address are those of
    /// somebody who joins later.
    pub fn dismiss(&mut self, n: usize) {
        self.end_session(Party::Bot(n));
        self.flush();
        self.streams.remove(&Party::Bot(n));
        self.asleep.remove(&n);
        self.touched.remove(&n);
        let nobody = Bot::new(settings(n, "nowhere"), self.start, 0);
        self.seat(n, nobody);
        self.gone.insert(n);
        self.free.push_back(n);
    }

    /// Forgets what was told so far, and what was sent, as if it had all arrived, and what is on the meet node's disk: what a
    /// long time in a world takes of memory is what its cores keep. The meet node cannot be started again after it.
    pub fn forget(&mut self) {
        self.decisions = Vec::new();
        self.events.fill_with(Vec::new);
        self.bridges.iter_mut().for_each(|b| b.notes = Vec::new());
        self.streams.values_mut().for_each(Stream::forget);
        self.clear_disk();
    }

    #[allow(
        clippy::expect_used,
        reason = "a world that cannot log in fails its test"
    )]
    pub(crate) fn log_focus_in(&mut self) {
        let jid = self.login(Party::Focus).expect("there is room for all");
        self.focus.online(self.now, jid, false);
        self.flush();
    }

    /// Breaks the stream between the server and the focus; both see it at once.
    pub fn cut_focus(&mut self) {
        self.cut_stream(Party::Focus);
    }

    /// The focus takes its session up again.
    ///
    /// # Panics
    /// If the server has forgotten the session.
    pub fn resume_focus(&mut self) {
        assert!(self.resume(Party::Focus), "the session is there");
        self.flush();
    }

    /// The same; false if the server has forgotten the session, which it may after a while.
    pub fn try_resume_focus(&mut self) -> bool {
        let resumed = self.resume(Party::Focus);
        self.flush();
        resumed
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

    /// What the focus knows, for operators.
    #[must_use]
    pub fn focus_status(&self) -> focus::Status {
        self.focus.status()
    }

    /// What the focus counts.
    #[must_use]
    pub fn focus_stats(&self) -> focus::FocusStats {
        self.focus.stats()
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
        self.touched.insert(n);
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
        let cores = match self.down || self.stopped {
            true => [None, None],
            false => [self.server.poll_timeout(), self.focus.poll_timeout()],
        };
        let returns = self.returns.iter().map(|(at, _)| *at);
        let bridges = self.bridges.iter().filter(|b| b.is_awake());
        let bridges = bridges.map(Bridge::poll_timeout);
        let bots = self.due.iter().enumerate();
        let bots = bots.filter_map(|(n, due)| due.filter(|_| self.is_awake(n)));
        let paths = [self.net.next_arrival(), self.mail.next_arrival()];
        let far = self.now + Duration::from_secs(3_600);
        let some = cores.into_iter().chain(paths).flatten();
        some.chain(bridges)
            .chain(bots)
            .chain(returns.filter(|_| !self.down && !self.stopped))
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
        if !self.down && !self.stopped {
            self.let_in();
            if self.server.poll_timeout().is_some_and(|at| at <= now) {
                self.server.handle_timeout(now);
            }
            if self.focus.poll_timeout().is_some_and(|at| at <= now) {
                self.focus.handle_timeout(now);
            }
        }
        for bridge in self.bridges.iter_mut().filter(|b| b.is_awake()) {
            bridge.handle_timeout(now);
        }
        for n in 0..self.bots.len() {
            if self.due[n].is_some_and(|at| at <= now) && self.is_awake(n) {
                self.bots[n].handle_timeout(now);
                self.touched.insert(n);
            }
        }
        self.flush();
    }

    fn receive(&mut self, datagram: &mut Datagram) {
        let (from, to) = (datagram.from, datagram.to);
        if !self.passes(from.ip(), to.ip()) {
            return;
        }
        self.note(|| trace::datagram(datagram));
        let bridge = self.bridges.iter_mut().find(|b| b.is_at(to));
        if let Some(bridge) = bridge {
            if bridge.is_awake() {
                bridge
                    .controller
                    .handle_datagram(self.now, from, to, &mut datagram.bytes);
            }
        } else if let Some(n) = number_at(to).filter(|n| *n < self.bots.len())
            && self.is_awake(n)
        {
            self.bots[n].handle_datagram(self.now, from, &datagram.bytes);
            self.touched.insert(n);
        }
    }

    #[allow(
        clippy::expect_used,
        reason = "a server that writes bad XML fails its test"
    )]
    pub(crate) fn deliver_from_server(&mut self, party: Party, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("stanzas are text");
        self.note(|| format!("{party:?} hears {text}"));
        let stanza = parse(text, &Limits::FROM_SERVER).expect("stanzas are well-formed");
        if let Some(stream) = self.streams.get_mut(&party) {
            stream.received += 1;
        }
        match party {
            Party::Focus => self.focus.handle_stanza(self.now, &stanza),
            Party::Bot(n) => {
                self.bots[n].handle_stanza(self.now, &stanza);
                self.touched.insert(n);
            }
            Party::Bridge(n) => {
                if let Some(probe) = stanza.get_child("probe", ns::PROBE) {
                    return self.answer_probe(n, &stanza, &Probe::of_element(probe));
                }
                if let Some(reply) = self.bridges[n].handle_stanza(self.now, &stanza) {
                    self.say(party, reply);
                }
            }
        }
    }

    /// Puts everything the cores have to say on its way.
    pub(crate) fn flush(&mut self) {
        let now = self.now;
        while let Some(stanza) = self.focus.poll_transmit() {
            self.say(Party::Focus, stanza);
        }
        while let Some(event) = self.focus.poll_event() {
            self.note(|| format!("focus: {event:?}"));
            self.decisions.push((now - self.start, event));
        }
        for n in std::mem::take(&mut self.touched) {
            self.due[n] = self.bots[n].poll_timeout();
            while let Some(stanza) = self.bots[n].poll_stanza() {
                self.say(Party::Bot(n), stanza);
            }
            let bot = &mut self.bots[n];
            while let Some((to, bytes)) = bot.poll_datagram() {
                let from = bot.local();
                self.net.send(now, Datagram { from, to, bytes });
            }
            while let Some(event) = self.bots[n].poll_event() {
                self.note(|| format!("bot {n}: {event:?}"));
                self.events[n].push((now - self.start, event));
            }
        }
        for n in 0..self.bridges.len() {
            if !self.bridges[n].is_awake() {
                continue;
            }
            if let Some(presence) = self.bridges[n].presence(now) {
                self.say(Party::Bridge(n), presence);
            }
            let net = &mut self.net;
            self.bridges[n].transmit(now, |from, to, bytes| {
                let bytes = bytes.to_vec();
                net.send(now, Datagram { from, to, bytes });
            });
        }
        self.flush_server();
    }
}
