//! Two transports on a network in virtual time, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::Certificate;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

/// What the network does with a datagram.
pub(super) type Fate = Box<dyn FnMut(Side, &Transmit, &[u8]) -> Vec<Duration>>;

/// Who gets it, from, to, bytes.
pub(super) type Datagram = (Side, SocketAddr, SocketAddr, Vec<u8>);

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) rng: ChaCha8Rng,
    pub(super) a: Transport,
    pub(super) b: Transport,
    /// Datagrams on their way by arrival and order.
    pub(super) wire: BTreeMap<(Instant, u64), Datagram>,
    pub(super) order: u64,
    pub(super) fate: Fate,
    pub(super) events: Vec<(Duration, Side, Event)>,
    pub(super) sent: u64,
    /// How often A's timer was due.
    pub(super) wakes: u64,
}

#[allow(
    clippy::disallowed_methods,
    reason = "an arbitrary moment to count from"
)]
pub(super) fn origin() -> Instant {
    Instant::now()
}

pub(super) fn certificate() -> Arc<Certificate> {
    seeded(1, 1200)
}

/// One certificate for all tests, with a DTLS library that does the same each time.
pub(super) fn seeded(seed: u64, mtu: usize) -> Arc<Certificate> {
    use std::sync::OnceLock;
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Arc::new(
        CERTIFICATE
            .get_or_init(|| Certificate::generate(now).unwrap())
            .with_settings(seed, mtu),
    )
}

pub(super) fn addr(host: u8, port: u16) -> SocketAddr {
    ([10, 0, 0, host], port).into()
}

/// Delivers everything after 10 ms.
pub(super) fn perfect() -> Fate {
    Box::new(|_, _, _| vec![Duration::from_millis(10)])
}

/// Loses, repeats and reorders by a seed; `loss` in percent.
pub(super) fn lossy(seed: u64, loss: u32) -> Fate {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Box::new(move |_, _, _| {
        let mut copies = Vec::new();
        if rng.next_u32() % 100 >= loss {
            copies.push(Duration::from_millis(5 + u64::from(rng.next_u32() % 40)));
        }
        if rng.next_u32() % 100 < 5 {
            copies.push(Duration::from_millis(5 + u64::from(rng.next_u32() % 80)));
        }
        copies
    })
}

pub(super) struct Setting {
    pub(super) seed: u64,
    pub(super) a: TransportConfig,
    pub(super) b: TransportConfig,
    pub(super) fate: Fate,
}

impl Setting {
    /// A is a bridge, B a client behind one address that opens the channel.
    pub(super) fn new(fate: Fate) -> Self {
        let mut a = TransportConfig::new(
            vec![Candidate::host(addr(1, 10_000), 65_535)],
            certificate(),
        );
        a.sctp = true;
        let mut b =
            TransportConfig::new(vec![Candidate::host(addr(2, 5000), 65_535)], certificate());
        b.sctp = true;
        b.controlling = false;
        b.open_channel = Some((
            "JVB data channel".into(),
            "http://jitsi.org/protocols/colibri".into(),
        ));
        Self {
            seed: 1,
            a,
            b,
            fate,
        }
    }
}

impl World {
    pub(super) fn new(setting: Setting) -> Self {
        let now = origin();
        let mut rng = ChaCha8Rng::seed_from_u64(setting.seed);
        let a = Transport::new(now, setting.a, &mut rng);
        let b = Transport::new(now, setting.b, &mut rng);
        Self {
            now,
            start: now,
            rng,
            a,
            b,
            wire: BTreeMap::new(),
            order: 0,
            fate: setting.fate,
            events: Vec::new(),
            sent: 0,
            wakes: 0,
        }
    }

    /// Signals like Jitsi: B answers active and says none of its candidates.
    pub(super) fn signal(&mut self) {
        let mut to_a = remote(&self.b.local(), Setup::Active);
        to_a.candidates.clear();
        let to_b = remote(&self.a.local(), Setup::Passive);
        self.b.set_remote(self.now, to_b);
        self.a.set_remote(self.now, to_a);
    }

    pub(super) fn side(&mut self, side: Side) -> &mut Transport {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    /// Takes everything that both want to send or say.
    pub(super) fn collect(&mut self) {
        let mut buf = [0u8; 1500];
        for side in [Side::A, Side::B] {
            let to = if side == Side::A { Side::B } else { Side::A };
            while let Some(t) = self.side(side).poll_transmit(&mut buf) {
                self.sent += 1;
                let bytes = &buf[..t.len];
                for delay in (self.fate)(side, &t, bytes) {
                    self.order += 1;
                    self.wire.insert(
                        (self.now + delay, self.order),
                        (to, t.from, t.to, bytes.to_vec()),
                    );
                }
            }
            while let Some(event) = self.side(side).poll_event() {
                self.events.push((self.now - self.start, side, event));
            }
        }
    }

    /// Runs until `done` or for `limit`; whether it was done.
    pub(super) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> bool {
        let end = self.now + limit;
        for _ in 0..2_000_000 {
            self.collect();
            if done(self) {
                return true;
            }
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let timer = self
                .a
                .poll_timeout()
                .into_iter()
                .chain(self.b.poll_timeout())
                .min();
            let Some(next) = arrival
                .into_iter()
                .chain(timer)
                .min()
                .filter(|at| *at <= end)
            else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now) {
                if let Some((_, (to, from, local, bytes))) = self.wire.pop_first() {
                    let now = self.now;
                    self.side(to).handle_control(now, from, local, &bytes);
                }
                continue;
            }
            for side in [Side::A, Side::B] {
                let now = self.now;
                if self.side(side).poll_timeout().is_some_and(|at| at <= now) {
                    self.side(side).handle_timeout(now);
                    self.wakes += u64::from(side == Side::A);
                }
            }
        }
        panic!("livelock");
    }

    pub(super) fn both_connected(&self) -> bool {
        self.a.is_connected() && self.b.is_connected()
    }

    pub(super) fn channels_open(&self) -> bool {
        self.a.is_channel_open() && self.b.is_channel_open()
    }

    pub(super) fn messages(&self, side: Side) -> Vec<&str> {
        let of_side = self.events.iter().filter(|(_, s, _)| *s == side);
        of_side
            .filter_map(|(_, _, e)| match e {
                Event::ChannelMessage(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn has(&self, side: Side, event: &Event) -> bool {
        self.events.iter().any(|(_, s, e)| *s == side && e == event)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

pub(super) fn remote(local: &LocalParameters, setup: Setup) -> RemoteParameters {
    RemoteParameters {
        credentials: Some((local.ufrag.clone(), local.pwd.clone())),
        generation: None,
        candidates: local.candidates.clone(),
        fingerprints: vec![local.fingerprint.clone()],
        setup: Some(setup),
        sctp_init: local.sctp_init,
    }
}

pub(super) fn connect(world: &mut World) {
    world.signal();
    assert!(
        world.run_until(Duration::from_secs(30), World::channels_open),
        "{:?}",
        world.events
    );
}
