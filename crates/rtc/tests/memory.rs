//! What a connected transport keeps: the heap of many at once, counted by the allocator.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::alloc::System;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rtc::{Candidate, Certificate, RemoteParameters, Setup, Transport, TransportConfig};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes allocated now. What the cryptographic library allocates by itself is not among them.
fn live() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

const MANY: usize = 64;

fn address(host: u8, port: u16) -> SocketAddr {
    ([10, 0, 0, host], port).into()
}

#[allow(
    clippy::disallowed_methods,
    reason = "an arbitrary moment to count from"
)]
fn origin() -> Instant {
    Instant::now()
}

/// A bridge's transport and a client that is connected to it, with the data channel open where there is one.
struct Pair {
    bridge: Transport,
    client: Transport,
}

fn remote(of: &Transport, setup: Setup) -> RemoteParameters {
    let local = of.local();
    RemoteParameters {
        credentials: Some((local.ufrag.clone(), local.pwd.clone())),
        generation: None,
        candidates: local.candidates.clone(),
        fingerprints: vec![local.fingerprint.clone()],
        setup: Some(setup),
        sctp_init: None,
    }
}

impl Pair {
    fn new(now: Instant, certificate: &Arc<Certificate>, sctp: bool, rng: &mut ChaCha8Rng) -> Self {
        let host = |address| vec![Candidate::host(address, 65_535)];
        let mut config = TransportConfig::new(host(address(1, 10_000)), Arc::clone(certificate));
        config.sctp = sctp;
        let bridge = Transport::new(now, config.clone(), rng);
        config.candidates = host(address(2, 5_000));
        config.controlling = false;
        config.open_channel = sctp.then(|| ("JVB data channel".into(), "colibri".into()));
        let client = Transport::new(now, config, rng);
        Self { bridge, client }
    }

    /// Carries everything at once until both have what they want and ten seconds more, in which buffers of the handshake may
    /// be given back.
    fn connect(&mut self, mut now: Instant, sctp: bool) {
        let to_client = remote(&self.bridge, Setup::Passive);
        let to_bridge = remote(&self.client, Setup::Active);
        self.client.set_remote(now, to_client);
        self.bridge.set_remote(now, to_bridge);
        let end = now + Duration::from_secs(10);
        while now < end {
            while self.exchange(now) {}
            let timers = [self.bridge.poll_timeout(), self.client.poll_timeout()];
            let next = timers.into_iter().flatten().min().unwrap_or(end);
            now = next.max(now + Duration::from_millis(1));
            self.bridge.handle_timeout(now);
            self.client.handle_timeout(now);
        }
        assert!(self.bridge.is_connected() && self.client.is_connected());
        assert_eq!(self.bridge.is_channel_open(), sctp);
    }

    fn exchange(&mut self, now: Instant) -> bool {
        let mut buf = [0; 1500];
        let mut any = false;
        while let Some(t) = self.bridge.poll_transmit(&mut buf) {
            self.client.handle_control(now, t.from, t.to, &buf[..t.len]);
            any = true;
        }
        while let Some(t) = self.client.poll_transmit(&mut buf) {
            self.bridge.handle_control(now, t.from, t.to, &buf[..t.len]);
            any = true;
        }
        while self.bridge.poll_event().is_some() || self.client.poll_event().is_some() {}
        any
    }
}

/// Bytes of the bridge's end of each of [`MANY`] connections, clients not counted.
fn each(sctp: bool) -> usize {
    let now = origin();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let certificate = Arc::new(Certificate::generate(wall).unwrap());
    // What is made once for all is made by the first.
    Pair::new(now, &certificate, sctp, &mut rng).connect(now, sctp);
    let mut bridges = Vec::with_capacity(MANY);
    let before = live();
    for _ in 0..MANY {
        let mut pair = Pair::new(now, &certificate, sctp, &mut rng);
        pair.connect(now, sctp);
        bridges.push(pair.bridge);
    }
    (live() - before) / MANY + size_of::<Transport>()
}

/// A participant shall take 150 KiB of a bridge at most, whose largest part is what was sent and may have to be sent again.
#[test]
fn a_connected_transport_takes_a_few_kilobytes() {
    for (sctp, most) in [(false, 28), (true, 32)] {
        let each = each(sctp);
        assert!(each <= most * 1024, "{each} bytes, SCTP: {sctp}");
    }
}
