//! A peer that knows the credentials and breaks every rule: nothing panics, nothing grows without limit.

use is::Sha1HmacProvider;
use is::stun::{StunMessage, TransId};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

const PEER_PWD: &str = "abcdefghijklmnopqrstuvwx";

struct Peer {
    rng: ChaCha8Rng,
    now: Instant,
    transport: Transport,
    /// Transactions of the transport's checks that were not answered.
    checks: Vec<[u8; 12]>,
}

impl Peer {
    fn new(seed: u64) -> Self {
        let now = world::origin();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let candidates = vec![
            Candidate::host(world::addr(1, 10_000), 1),
            Candidate::host(([0xFD; 16], 10_000).into(), 2),
        ];
        let mut config = TransportConfig::new(candidates, world::certificate());
        config.sctp = true;
        let mut transport = Transport::new(now, config, &mut rng);
        let fingerprint = world::certificate().fingerprint().clone();
        transport.set_remote(
            now,
            RemoteParameters {
                credentials: Some(("peer".into(), PEER_PWD.into())),
                fingerprints: vec![fingerprint],
                setup: Some(Setup::Active),
                ..RemoteParameters::default()
            },
        );
        Self {
            rng,
            now,
            transport,
            checks: Vec::new(),
        }
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.rng.next_u32() % limit
    }

    fn address(&mut self) -> SocketAddr {
        let port = [0, 1, 5000, 65_535][self.below(4) as usize] ^ (self.below(1 << 10) as u16);
        match self.below(4) {
            0 => ([0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], port).into(),
            1 => ([0, 0, 0, 0], port).into(),
            2 => ([255, 255, 255, 255], port).into(),
            _ => ([10, 0, 0, 2], port).into(),
        }
    }

    fn sealed(message: StunMessage<'_>, password: &str) -> Vec<u8> {
        let mut buf = vec![0; 1500];
        let hmac = |key: &[u8], parts: &[&[u8]]| ice::Hmac.sha1_hmac(key, parts);
        let len = message
            .to_bytes(Some(password.as_bytes()), &mut buf, hmac)
            .unwrap();
        buf.truncate(len);
        buf
    }

    fn request(&mut self) -> Vec<u8> {
        let ufrag = self.transport.local().ufrag;
        let username = format!(
            "{ufrag}:{}",
            if self.below(8) == 0 { "other" } else { "peer" }
        );
        let (priority, tie_breaker) = (self.rng.next_u32(), self.rng.next_u64());
        let (controlling, nominate) = (self.below(4) == 0, self.below(2) == 0);
        let message = StunMessage::binding_request(
            &username,
            TransId::new(),
            controlling,
            tie_breaker,
            priority,
            nominate,
        );
        Self::sealed(message, &self.transport.local().pwd)
    }

    /// An answer to one of the transport's checks, with any address or error in it.
    fn response(&mut self) -> Option<Vec<u8>> {
        let id = match self.checks.len() {
            0 => return None,
            n => self.checks[self.rng.next_u32() as usize % n],
        };
        let mapped = if self.below(2) == 0 {
            self.address()
        } else {
            world::addr(1, 10_000)
        };
        let message = match self.below(4) {
            0 => StunMessage::binding_role_conflict_reply(TransId::new()),
            _ => StunMessage::binding_reply(TransId::new(), mapped),
        };
        // The library makes transaction ids itself: put the right one in, and seal again.
        let mut bytes = Self::sealed(message, PEER_PWD);
        bytes[8..20].copy_from_slice(&id);
        let end = bytes.windows(4).position(|w| w == [0, 8, 0, 20])?;
        let mut covered = bytes[..end].to_vec();
        covered[2..4].copy_from_slice(&(end as u16 + 4).to_be_bytes());
        let code = ice::Hmac.sha1_hmac(PEER_PWD.as_bytes(), &[&covered]);
        bytes[end + 4..end + 24].copy_from_slice(&code);
        Some(bytes)
    }

    fn drain(&mut self) {
        let mut buf = [0; 1500];
        while let Some(t) = self.transport.poll_transmit(&mut buf) {
            if buf[..2] == [0, 1] && t.len >= 20 {
                self.checks.extend(buf[8..20].first_chunk());
                if self.checks.len() > 50 {
                    self.checks.remove(0);
                }
            }
        }
        while self.transport.poll_event().is_some() {}
    }

    fn step(&mut self) {
        let from = self.address();
        let to = if from.is_ipv4() {
            world::addr(1, 10_000)
        } else {
            ([0xFD; 16], 10_000).into()
        };
        let bytes = match self.below(8) {
            0..=2 => Some(self.request()),
            3..=5 => self.response(),
            6 => {
                let len = self.below(200) as usize;
                let mut bytes = vec![0; len + 1];
                self.rng.fill_bytes(&mut bytes);
                bytes[0] = [0, 1, 20, 22, 23, 64][self.below(6) as usize];
                Some(bytes)
            }
            _ => {
                self.transport.media_received(self.now, from, to);
                None
            }
        };
        if let Some(mut bytes) = bytes {
            if self.below(20) == 0 {
                let at = self.rng.next_u32() as usize % bytes.len();
                bytes[at] ^= 1 << self.below(8);
            }
            self.transport.handle_control(self.now, from, to, &bytes);
        }
        let pause = u64::from(self.below(20));
        self.now += Duration::from_millis(pause);
        if self.below(500) == 0 {
            self.now += Duration::from_secs(40);
        }
        if self.below(300) == 0 {
            let answer = self.transport.restart_ice(self.now, &mut self.rng);
            if let (Some(local), true) = (answer, self.below(2) == 0) {
                let credentials = Some(("peer".into(), PEER_PWD.into()));
                let remote = RemoteParameters {
                    credentials,
                    generation: local.generation,
                    ..RemoteParameters::default()
                };
                self.transport.set_remote(self.now, remote);
            }
        }
        if self
            .transport
            .poll_timeout()
            .is_some_and(|at| at <= self.now)
        {
            self.transport.handle_timeout(self.now);
        }
        self.drain();
    }
}

#[test]
fn an_authenticated_peer_that_breaks_the_rules() {
    let mut accepted = false;
    for seed in 0..20 {
        let mut peer = Peer::new(seed);
        for _ in 0..2000 {
            peer.step();
        }
        accepted |= peer.transport.path.is_some();
        assert!(peer.transport.held.len() <= MAX_HELD);
        assert!(peer.transport.stun_queue.is_empty());
        let t = &mut peer.transport;
        assert!(
            t.agents().all(|a| a.sizes() <= (64, 66)),
            "{:?}",
            t.agents().map(|a| a.sizes()).collect::<Vec<_>>()
        );
    }
    assert!(
        accepted,
        "some checks succeed, so that what comes after them is reached"
    );
}
