//! What can go wrong in a world: machines that die, stop and come back, and paths that let nothing through.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use stanza::jitsi::evidence::Probe;
use stanza::{Element, iq};

use crate::streams::{Content, Party};
use crate::world::{World, seed};

/// A bridge says after this time that another one does not answer.
const UNANSWERED: Duration = Duration::from_millis(195);
/// A program that was started again logs in after this time.
const START: Duration = Duration::from_secs(1);

/// Ways that datagrams do not get through.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    paths: BTreeSet<(IpAddr, IpAddr)>,
    shut: BTreeSet<IpAddr>,
}

impl Cuts {
    fn key(a: IpAddr, b: IpAddr) -> (IpAddr, IpAddr) {
        (a.min(b), a.max(b))
    }

    fn between(&self, a: IpAddr, b: IpAddr) -> bool {
        self.paths.contains(&Self::key(a, b))
    }
}

impl World {
    /// Whether datagrams get from one host to the other.
    pub(crate) fn passes(&self, from: IpAddr, to: IpAddr) -> bool {
        let is_bridge = |host| self.bridges.iter().any(|b| b.address.ip() == host);
        let shut = |bridge, other| self.cuts.shut.contains(&bridge) && !is_bridge(other);
        !self.cuts.between(from, to) && !shut(from, to) && !shut(to, from)
    }

    /// Datagrams between two hosts are lost, or not any more.
    pub fn cut_path(&mut self, a: IpAddr, b: IpAddr, cut: bool) {
        let key = Cuts::key(a, b);
        match cut {
            true => self.cuts.paths.insert(key),
            false => self.cuts.paths.remove(&key),
        };
    }

    /// A firewall lets nothing of people through to a bridge and back, or does again.
    pub fn shut_port(&mut self, bridge: usize, shut: bool) {
        let host = self.bridges[bridge].address.ip();
        match shut {
            true => self.cuts.shut.insert(host),
            false => self.cuts.shut.remove(&host),
        };
    }

    /// Ends a bridge as a power cut does. With `stream` only its program: its host, which goes on, closes its connection to the
    /// server and says to whoever asks that nobody is at its ports.
    pub fn kill_bridge(&mut self, n: usize, stream: bool) {
        let bridge = &mut self.bridges[n];
        if std::mem::replace(&mut bridge.dead, true) {
            return;
        }
        bridge.is_refused = stream;
        let address = bridge.address.ip();
        self.net.cut(address);
        match stream {
            true => self.end_session(Party::Bridge(n)),
            false => self.hold(Party::Bridge(n)),
        }
        self.flush();
    }

    /// Starts a bridge that was killed: another one of the same name, at the same address, that knows nothing.
    pub fn restart_bridge(&mut self, n: usize) {
        let party = Party::Bridge(n);
        // Its host resets the connection it knows nothing of.
        self.end_session(party);
        self.streams.remove(&party);
        let old = &self.bridges[n];
        self.net.join(old.address.ip());
        self.connections += 1;
        let seed = seed(self.seed, 10_000 + self.connections);
        self.bridges[n] = old.anew(self.now, seed);
        if !self.down {
            match self.login(party) {
                Ok(_) => self.bridges[n].attach(self.now),
                Err(_) => self.returns.push((self.now + START, party)),
            }
        }
        self.flush();
    }

    /// A bridge does nothing for a while: what is sent to it is lost, its stream waits.
    pub fn stop_bridge(&mut self, n: usize) {
        if !self.bridges[n].dead && !std::mem::replace(&mut self.bridges[n].stopped, true) {
            self.hold(Party::Bridge(n));
        }
    }

    /// A bridge that was stopped goes on.
    pub fn continue_bridge(&mut self, n: usize) {
        if std::mem::replace(&mut self.bridges[n].stopped, false) && !self.bridges[n].dead {
            self.release(Party::Bridge(n));
        }
    }

    /// A bridge asks to become empty, or not any more.
    pub fn drain_bridge(&mut self, n: usize, drain: bool) {
        let now = self.now;
        self.bridges[n].set_drain(now, drain);
        self.flush();
    }

    /// A person's machine sleeps: what is sent to it is lost, its stream waits.
    pub fn stop_bot(&mut self, n: usize) {
        if self.asleep.insert(n) {
            self.hold(Party::Bot(n));
        }
    }

    /// It wakes up.
    pub fn continue_bot(&mut self, n: usize) {
        if self.asleep.remove(&n) {
            self.release(Party::Bot(n));
        }
    }

    /// A person is gone without a word, for ever. With `stream`, its connection to the server is seen to close at once.
    pub fn vanish(&mut self, n: usize, stream: bool) {
        self.gone.insert(n);
        if stream {
            self.cut_stream(Party::Bot(n));
        }
        self.hold(Party::Bot(n));
    }

    /// Whether a bot is there and does something.
    #[must_use]
    pub fn is_awake(&self, bot: usize) -> bool {
        !self.gone.contains(&bot) && !self.asleep.contains(&bot)
    }

    /// The meet node does nothing for a while; streams wait.
    pub fn stop_meet(&mut self) {
        self.stopped = true;
    }

    /// The meet node goes on.
    pub fn continue_meet(&mut self) {
        self.stopped = false;
        let all: Vec<Party> = self.streams.keys().copied().collect();
        for party in all {
            self.release_held(party);
        }
    }

    /// No path between two hosts is cut any more.
    pub fn join_all_paths(&mut self) {
        self.cuts.paths.clear();
    }

    /// A bridge is asked whether another one answers.
    pub(crate) fn answer_probe(&mut self, n: usize, request: &Element, probe: &Probe) {
        let from = self.bridges[n].address.ip();
        let answers = |to: &std::net::SocketAddr| {
            let mut there = self.bridges.iter().filter(|b| b.is_awake());
            there.any(|b| b.is_at(*to)) && self.passes(from, to.ip())
        };
        let answered = probe.addresses.iter().any(answers);
        let refused = |to: &std::net::SocketAddr| {
            let mut there = self.bridges.iter().filter(|b| b.dead && b.is_refused);
            there.any(|b| b.is_at(*to)) && self.passes(from, to.ip())
        };
        let known = answered || probe.addresses.iter().all(refused);
        let wait = if known { Duration::ZERO } else { UNANSWERED };
        let answer = iq::result_to(request, Some(Probe::answer(answered)));
        self.post_after(wait, Party::Bridge(n), Content::Up(answer));
    }
}
