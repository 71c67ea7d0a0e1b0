//! ICE (RFC 8445): one agent per generation of credentials, and the restart that replaces one by another.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use is::{
    IceAgent, IceAgentEvent, IceConnectionState, IceCreds, Protocol, Sha1HmacProvider,
    stun::StunMessage, stun::StunPacket,
};

use super::Path;
use super::paths::Paths;
use crate::{Candidate, CandidateKind, is_tcp, plain_address, tcp_address};

/// Pace of checks (Ta, RFC 8445 §14.2).
const CHECK_PACE: Duration = Duration::from_millis(10);
/// First retransmission of a check.
const CHECK_RTO: Duration = Duration::from_millis(200);
/// Longest time between checks of a pair, in use or not: consent checks too (RFC 7675 §5.1 has 4 to 6 s; shorter notices a
/// silent path earlier).
const CHECK_INTERVAL: Duration = Duration::from_millis(2500);
/// How often a session that has lost all its pairs tries them again.
const REVIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Remote addresses, signalled and learnt, that one agent deals with.
const MAX_REMOTE: usize = 64;
/// Local addresses as peers see them, beyond ours.
const MAX_LOCAL: usize = 64;
/// Pairs that are checked.
const MAX_PAIRS: usize = 100;
/// Checks whose answers are waited for.
const MAX_OUTSTANDING: usize = 128;

/// Steps of the agent in one run.
const MAX_STEPS: usize = 32;

/// A STUN transaction identifier.
type TransactionId = [u8; 12];

/// HMAC-SHA1 by the one crypto provider.
#[derive(Debug)]
pub(super) struct Hmac;

impl Sha1HmacProvider for Hmac {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let mut context =
            hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key));
        for payload in payloads {
            context.update(payload);
        }
        context
            .sign()
            .as_ref()
            .first_chunk()
            .copied()
            .unwrap_or_default()
    }
}

fn provider() -> &'static dyn Sha1HmacProvider {
    static PROVIDER: OnceLock<Hmac> = OnceLock::new();
    PROVIDER.get_or_init(|| Hmac)
}

/// ICE credentials of one side.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) ufrag: String,
    pub(super) pwd: String,
}

/// A datagram of ICE to send.
#[derive(Debug)]
pub(super) struct IceTransmit {
    pub(super) path: Path,
    pub(super) bytes: Box<[u8]>,
    /// What it was signed with.
    pub(super) key: Arc<str>,
}

/// What became of a STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// Authentic and used.
    Accepted,
    /// Malformed, not authentic, or over a limit.
    Dropped,
}

/// One ICE session with its credentials.
pub(super) struct Agent {
    agent: IceAgent,
    pub(super) credentials: Credentials,
    /// Keys of answers and of checks (RFC 8445 §7.2.2): our password, and the peer's once it is known.
    own_key: Arc<str>,
    remote_key: Option<Arc<str>>,
    outstanding: VecDeque<(TransactionId, Path, Instant)>,
    /// When the session was found without pairs, and next tries them again.
    revive_at: Option<Instant>,
    pub(super) paths: Paths,
    /// Last round trip time of a check.
    pub(super) rtt: Option<Duration>,
}

impl Agent {
    pub(super) fn new(
        credentials: Credentials,
        controlling: bool,
        tie_breaker: u64,
        locals: &[SocketAddr],
    ) -> Self {
        let creds = IceCreds {
            ufrag: credentials.ufrag.clone(),
            pass: credentials.pwd.clone(),
        };
        let mut agent = IceAgent::with_hmac(creds, provider());
        agent.set_controlling(controlling);
        agent.set_control_tie_breaker(tie_breaker);
        agent.set_timing_advance(CHECK_PACE);
        agent.set_initial_stun_rto(CHECK_RTO);
        agent.set_max_stun_rto(CHECK_INTERVAL);
        agent.set_max_candidate_pairs(MAX_PAIRS);
        let mut agent = Self {
            agent,
            own_key: credentials.pwd.as_str().into(),
            credentials,
            remote_key: None,
            outstanding: VecDeque::new(),
            revive_at: None,
            paths: Paths::default(),
            rtt: None,
        };
        locals.iter().for_each(|addr| agent.add_local(*addr));
        agent
    }

    /// An address of ours, known from the start or later.
    pub(super) fn add_local(&mut self, addr: SocketAddr) {
        if let Ok(candidate) = is::Candidate::host(plain_address(addr), protocol_of(&addr)) {
            self.agent.add_local_candidate(candidate);
        }
    }

    /// How many remote and local candidates there are.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (
            self.agent.remote_candidates().count(),
            self.agent.local_candidates().count(),
        )
    }

    pub(super) fn controlling(&self) -> bool {
        self.agent.controlling()
    }

    pub(super) fn has_remote(&self) -> bool {
        self.remote_key.is_some()
    }

    /// Sets the peer's credentials, once: they are fixed for a session.
    pub(super) fn set_remote_credentials(&mut self, remote: &Credentials) {
        if self.remote_key.is_none() {
            self.remote_key = Some(remote.pwd.as_str().into());
            self.agent.set_remote_credentials(IceCreds {
                ufrag: remote.ufrag.clone(),
                pass: remote.pwd.clone(),
            });
        }
    }

    pub(super) fn add_remote_candidate(&mut self, candidate: &Candidate) {
        let ip = candidate.addr.ip();
        let usable = !ip.is_unspecified() && !ip.is_multicast() && candidate.addr.port() != 0;
        if !usable || self.agent.remote_candidates().count() >= MAX_REMOTE {
            return;
        }
        let kind = match candidate.kind {
            CandidateKind::Host => is::CandidateKind::Host,
            CandidateKind::Srflx => is::CandidateKind::ServerReflexive,
            CandidateKind::Prflx => is::CandidateKind::PeerReflexive,
            CandidateKind::Relay => is::CandidateKind::Relayed,
        };
        self.agent.add_remote_candidate(is::Candidate::from_parts(
            candidate.foundation.clone(),
            1,
            protocol_of(&candidate.addr),
            candidate.priority,
            plain_address(candidate.addr),
            kind,
            candidate.related.map(plain_address),
            None,
            None,
        ));
    }

    /// Whether a response belongs to a check of ours.
    pub(super) fn has_sent(&self, datagram: &[u8]) -> bool {
        transaction_id(datagram).is_some_and(|id| self.outstanding.iter().any(|(i, ..)| *i == id))
    }

    pub(super) fn handle(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Handled {
        let Ok(message) = StunMessage::parse(datagram) else {
            return Handled::Dropped;
        };
        let is_request = message.is_binding_request();
        let is_success = message.is_successful_binding_response();
        if !is_request && !is_success && !message.is_failed_binding_response() {
            return Handled::Dropped;
        }
        if (is_request && !self.has_room_for(path)) || (is_success && !self.knows_mapped(&message))
        {
            return Handled::Dropped;
        }
        let packet = StunPacket {
            proto: protocol_of(&path.remote),
            source: plain_address(path.remote),
            destination: plain_address(path.local),
            message,
        };
        if !self.agent.handle_packet(now, packet) {
            return Handled::Dropped;
        }
        if is_request {
            self.paths.requested(now, path);
        } else if let Some((sent_path, sent)) = self.take_outstanding(datagram) {
            // RFC 8445 §7.2.5.2.1: a response from elsewhere proves nothing about the path.
            if is_success && sent_path == path {
                self.rtt = Some(now.saturating_duration_since(sent));
                self.paths.validated(now, path);
            }
        }
        self.run(now);
        Handled::Accepted
    }

    fn has_room_for(&self, path: Path) -> bool {
        let (addr, proto) = (plain_address(path.remote), protocol_of(&path.remote));
        self.agent
            .remote_candidates()
            .any(|c| c.addr() == addr && c.proto() == proto)
            || self.agent.remote_candidates().count() < MAX_REMOTE
    }

    fn knows_mapped(&self, message: &StunMessage<'_>) -> bool {
        message
            .mapped_address()
            .is_some_and(|mapped| self.agent.local_candidates().any(|c| c.addr() == mapped))
            || self.agent.local_candidates().count() < MAX_LOCAL
    }

    fn take_outstanding(&mut self, datagram: &[u8]) -> Option<(Path, Instant)> {
        let id = transaction_id(datagram)?;
        let at = self.outstanding.iter().position(|(i, ..)| *i == id)?;
        self.outstanding
            .remove(at)
            .map(|(_, path, sent)| (path, sent))
    }

    /// Does what is due and follows the agent's nominations.
    pub(super) fn run(&mut self, now: Instant) {
        // Requests that came before the peer's credentials are handled one a call; none should wait for the next wake-up.
        for _ in 0..MAX_STEPS {
            self.agent.handle_timeout(now);
            if self.agent.poll_timeout().is_none_or(|at| at > now) {
                break;
            }
        }
        self.revive(now);
        while let Some(event) = self.agent.poll_event() {
            if let IceAgentEvent::NominatedSend {
                proto,
                source,
                destination,
            } = event
            {
                self.paths
                    .nominated(now, path_of(proto, source, destination));
            }
        }
        self.paths.follow(now);
    }

    /// Checks all pairs again from time to time after all have failed: the network may come back, and the peer may
    /// be waiting for us.
    fn revive(&mut self, now: Instant) {
        if self.agent.state() != IceConnectionState::Disconnected {
            self.revive_at = None;
        } else if now >= *self.revive_at.get_or_insert(now + REVIVE_INTERVAL) {
            self.revive_at = None;
            self.agent.recreate_candidate_pairs();
            self.agent.handle_timeout(now);
        }
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<IceTransmit> {
        let transmit = self.agent.poll_transmit()?;
        let path = path_of(transmit.proto, transmit.source, transmit.destination);
        let bytes: Box<[u8]> = Box::from(&transmit.contents[..]);
        let is_request = bytes.starts_with(&[0, 1]);
        let key = match (is_request, &self.remote_key) {
            (true, Some(key)) => key.clone(),
            _ => self.own_key.clone(),
        };
        if let (true, Some(id)) = (is_request, transaction_id(&bytes)) {
            if self.outstanding.len() >= MAX_OUTSTANDING {
                self.outstanding.pop_front();
            }
            self.outstanding.push_back((id, path, now));
        }
        Some(IceTransmit { path, bytes, key })
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let agent = if self.has_remote() {
            self.agent.poll_timeout()
        } else {
            None
        };
        [agent, self.paths.poll_timeout(), self.revive_at]
            .into_iter()
            .flatten()
            .min()
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("ufrag", &self.credentials.ufrag)
            .field("paths", &self.paths)
            .finish()
    }
}

/// What carries packets to and from this address.
fn protocol_of(address: &SocketAddr) -> Protocol {
    match is_tcp(address) {
        true => Protocol::Tcp,
        false => Protocol::Udp,
    }
}

/// A path as the agent names it.
fn path_of(proto: Protocol, local: SocketAddr, remote: SocketAddr) -> Path {
    match proto {
        Protocol::Udp => Path { local, remote },
        _ => Path {
            local: tcp_address(local),
            remote: tcp_address(remote),
        },
    }
}

fn transaction_id(datagram: &[u8]) -> Option<TransactionId> {
    datagram.get(8..)?.first_chunk().copied()
}
