//! One peer's transport: ICE, DTLS and the data channel, driven without sockets or clock.
//!
//! Driving: after each call drain [`Transport::poll_transmit`] and [`Transport::poll_event`], and call
//! [`Transport::handle_timeout`] at or after [`Transport::poll_timeout`].

mod api;
mod channel;
#[cfg(test)]
mod channel_tests;
mod dtls;
#[cfg(test)]
mod hostile_tests;
mod ice;
mod paths;
mod sped;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::srtp::{DtlsRole, Inbound, Outbound};
use crate::{
    Candidate, CandidateKind, Fingerprint, LocalParameters, PacketKind, RemoteParameters, SctpInit,
    Setup, demux, is_tcp, plain_address, stun_username,
};
pub use api::{Event, FailReason, Path, SendError, Transmit, TransportConfig, TransportStats};
use channel::{Channel, ChannelEvent, EarlyPackets, Opening};
use dtls::{Association, DtlsEvent};
use ice::{Agent, Credentials, Handled};
pub use sped::EmbeddedDtls;
use sped::Embedding;

/// How long a replaced ICE session still answers.
const TRANSITION: Duration = Duration::from_secs(3);
/// How long a restart may take.
const RESTART_TIMEOUT: Duration = Duration::from_secs(20);
/// DTLS datagrams held until a path is validated: a ClientHello, repeated, in several parts.
const MAX_HELD: usize = 16;
/// DTLS datagrams waiting for a path to be sent on.
const MAX_QUEUED: usize = 256;
/// Fingerprints and candidates taken from signalling.
const MAX_SIGNALLED: usize = 32;
/// Addresses of ours, the host's later ones included.
const MAX_LOCALS: usize = 32;
/// Longest prefix of a username fragment.
const MAX_UFRAG_PREFIX: usize = 32;

/// A restarted ICE session that has not taken over yet.
#[derive(Debug)]
struct Pending {
    agent: Agent,
    generation: u32,
    deadline: Instant,
}

/// One peer's transport.
#[derive(Debug)]
pub struct Transport {
    config: TransportConfig,
    /// Addresses at which packets arrive.
    locals: Vec<SocketAddr>,
    tie_breaker: u64,
    agent: Agent,
    pending: Option<Pending>,
    previous: Option<(Agent, Instant)>,
    generation: u32,
    fingerprints: Vec<Fingerprint>,
    role: Option<DtlsRole>,
    dtls: Option<Association>,
    /// Parts of the peer's handshake that came before ours began, and the paths they came on.
    held: VecDeque<(Path, Vec<u8>)>,
    embedding: Embedding,
    /// What would stand in our INIT, and in the peer's if it said so in signalling.
    init: Option<SctpInit>,
    peer_init: Option<SctpInit>,
    channel: Option<Channel>,
    early: EarlyPackets,
    inbound: Option<Inbound>,
    outbound: Option<Outbound>,
    connected: bool,
    /// Failed or closed.
    over: bool,
    /// Whether the peer consents to receive; `None` before it first did.
    consent: Option<bool>,
    path: Option<Path>,
    stun_queue: VecDeque<ice::IceTransmit>,
    dtls_queue: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    deadline: Option<Instant>,
    stats: TransportStats,
}

impl Transport {
    /// A new transport with fresh ICE credentials. Nothing is sent before [`Transport::set_remote`].
    pub fn new(now: Instant, config: TransportConfig, rng: &mut impl Rng) -> Self {
        let locals = local_addresses(&config.candidates);
        let credentials = random_credentials(&config.ufrag_prefix, rng);
        let tie_breaker = rng.next_u64();
        let agent = Agent::new(credentials, config.controlling, tie_breaker, &locals);
        // Who begins an association does it in the usual way.
        let init = (config.sctp && config.open_channel.is_none())
            .then(|| Channel::init(config.max_message_size, rng));
        let mut transport = Self {
            config,
            locals,
            tie_breaker,
            agent,
            pending: None,
            previous: None,
            generation: 0,
            fingerprints: Vec::new(),
            role: None,
            dtls: None,
            held: VecDeque::new(),
            embedding: Embedding::default(),
            init,
            peer_init: None,
            channel: None,
            early: EarlyPackets::default(),
            inbound: None,
            outbound: None,
            connected: false,
            over: false,
            consent: None,
            path: None,
            stun_queue: VecDeque::new(),
            dtls_queue: VecDeque::new(),
            events: VecDeque::new(),
            deadline: None,
            stats: TransportStats::default(),
        };
        transport.agent.run(now);
        transport
    }

    /// What to signal to the peer: of the pending restart if there is one, else of the established session.
    pub fn local(&self) -> LocalParameters {
        let (agent, generation) = match &self.pending {
            Some(pending) => (&pending.agent, Some(pending.generation)),
            None => (&self.agent, None),
        };
        LocalParameters {
            ufrag: agent.credentials.ufrag.clone(),
            pwd: agent.credentials.pwd.clone(),
            candidates: self.config.candidates.clone(),
            fingerprint: self.config.certificate.fingerprint().clone(),
            setup: match self.role {
                None => Setup::ActPass,
                Some(DtlsRole::Client) => Setup::Active,
                Some(DtlsRole::Server) => Setup::Passive,
            },
            generation,
            sctp_init: self.init,
        }
    }

    /// Username fragments that STUN for this transport can carry: established, pending, and the one just replaced.
    pub fn ufrags(&self) -> impl Iterator<Item = &str> {
        let pending = self.pending.as_ref().map(|p| &p.agent);
        let previous = self.previous.as_ref().map(|(agent, _)| agent);
        let all = [Some(&self.agent), pending, previous].into_iter().flatten();
        all.map(|agent| agent.credentials.ufrag.as_str())
    }

    /// Takes over what the peer signalled. Can be called again; see [`RemoteParameters`].
    pub fn set_remote(&mut self, now: Instant, remote: RemoteParameters) {
        if !remote.fingerprints.is_empty() {
            self.fingerprints = remote.fingerprints;
            self.fingerprints.truncate(MAX_SIGNALLED);
        }
        self.peer_init = remote.sctp_init.or(self.peer_init);
        if self.dtls.is_none() {
            self.role = match remote.setup {
                Some(Setup::Active) => Some(DtlsRole::Server),
                Some(Setup::Passive) => Some(DtlsRole::Client),
                // Both waiting for the other to choose is an error of signalling; it changes nothing.
                Some(Setup::ActPass) | None => self.role,
            };
        }
        let credentials = remote
            .credentials
            .map(|(ufrag, pwd)| Credentials { ufrag, pwd });
        let agent = match (remote.generation, &mut self.pending) {
            (None, _) => Some(&mut self.agent),
            (Some(generation), Some(p)) if p.generation == generation && credentials.is_some() => {
                Some(&mut p.agent)
            }
            // An answer to a restart that is no more.
            (Some(_), _) => None,
        };
        if let Some(agent) = agent {
            for candidate in remote.candidates.iter().take(MAX_SIGNALLED) {
                agent.add_remote_candidate(candidate);
            }
            if let Some(credentials) = &credentials {
                agent.set_remote_credentials(credentials);
            }
        }
        self.run(now);
    }

    /// Begins an ICE restart and returns what to signal. `None` while no path is established: signal
    /// [`Transport::local`] again, without a generation. A pending restart that was not answered yet is returned
    /// unchanged; one that was answered is replaced by a new one.
    pub fn restart_ice(&mut self, now: Instant, rng: &mut impl Rng) -> Option<LocalParameters> {
        if self.agent.paths.chosen().is_none() || self.over {
            return None;
        }
        if self.pending.as_ref().is_none_or(|p| p.agent.has_remote()) {
            self.generation += 1;
            let credentials = random_credentials(&self.config.ufrag_prefix, rng);
            let mut agent = Agent::new(
                credentials,
                self.agent.controlling(),
                self.tie_breaker,
                &self.locals,
            );
            agent.run(now);
            let deadline = now + RESTART_TIMEOUT;
            self.pending = Some(Pending {
                agent,
                generation: self.generation,
                deadline,
            });
            self.run(now);
        }
        Some(self.local())
    }

    /// Takes a STUN or DTLS datagram that came from `from` to our address `to`. Returns whether it was for us and
    /// authentic (for DTLS: from a known address), so that the caller may bind the address to this transport.
    pub fn handle_control(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let kind = demux(datagram);
        if kind == Some(PacketKind::Stun) {
            self.learn(to);
        }
        let path = self.path_of(from, to);
        let accepted = match kind {
            Some(PacketKind::Stun) => self.handle_stun(now, path, datagram),
            Some(PacketKind::Dtls) => self.handle_dtls(now, path, datagram),
            _ => false,
        };
        self.run(now);
        accepted
    }

    /// The host's addresses changed: what to signal from now on, in answers and after an ICE restart. What runs goes on,
    /// and may move to the new ones.
    pub fn set_candidates(&mut self, now: Instant, candidates: Vec<Candidate>) {
        for base in local_addresses(&candidates) {
            self.learn(base);
        }
        self.config.candidates = candidates;
        self.run(now);
    }

    /// A check that came to an address of the host is answered from there, whether or not the address was known (the host
    /// may have got it later): address translation in front of the peer lets nothing else pass.
    fn learn(&mut self, to: SocketAddr) {
        let usable = !to.ip().is_unspecified() && !to.ip().is_multicast();
        if usable && self.locals.len() < MAX_LOCALS && !self.locals.contains(&to) {
            self.locals.push(to);
            self.agents().for_each(|agent| agent.add_local(to));
        }
    }

    /// The path of a packet, with an address of ours that ICE knows, even if it came to one too many.
    fn path_of(&self, from: SocketAddr, to: SocketAddr) -> Path {
        let known = self.locals.contains(&to);
        let kind = |a: &SocketAddr| (is_tcp(a), plain_address(*a).is_ipv4());
        let same_family = || self.locals.iter().find(|l| kind(l) == kind(&to)).copied();
        Path {
            local: if known {
                to
            } else {
                same_family().unwrap_or(to)
            },
            remote: from,
        }
    }

    fn agents(&mut self) -> impl Iterator<Item = &mut Agent> {
        let pending = self.pending.as_mut().map(|p| &mut p.agent);
        let previous = self.previous.as_mut().map(|(agent, _)| agent);
        [Some(&mut self.agent), pending, previous]
            .into_iter()
            .flatten()
    }

    fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        let ufrag = stun_username(datagram);
        let agent = self.agents().find(|agent| match ufrag {
            Some(ufrag) => agent.credentials.ufrag == ufrag,
            None => agent.has_sent(datagram),
        });
        let accepted =
            agent.is_some_and(|agent| agent.handle(now, path, datagram) == Handled::Accepted);
        if accepted {
            self.handle_embedded(now, path, datagram);
        } else {
            self.stats.stun_dropped += 1;
        }
        accepted
    }

    /// What an authentic STUN message carries of DTLS. Its sender is the peer, whatever path it came on.
    fn handle_embedded(&mut self, now: Instant, path: Path, message: &[u8]) {
        let embedded = EmbeddedDtls::parse(message);
        self.embedding.heard(embedded, self.connected);
        self.dtls_queue
            .retain(|datagram| !embedded.acknowledges(datagram));
        let (Some(datagram), true, false) = (embedded.data, self.embedding.is_on(), self.over)
        else {
            return;
        };
        if demux(datagram) != Some(PacketKind::Dtls) {
            self.stats.dtls_dropped += 1;
            return;
        }
        self.stats.dtls_embedded += 1;
        match self.dtls {
            Some(_) => self.feed_dtls(now, datagram),
            None => self.hold(path, datagram),
        }
    }

    fn handle_dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        if self.over || !self.agents().any(|agent| agent.paths.is_known(path)) {
            self.stats.dtls_dropped += 1;
            return false;
        }
        if self.dtls.is_some() && self.agents().any(|agent| agent.paths.is_validated(path)) {
            self.feed_dtls(now, datagram);
        } else {
            // A browser's ClientHello comes when its own check was answered, often before ours is.
            self.hold(path, datagram);
        }
        true
    }

    fn hold(&mut self, path: Path, datagram: &[u8]) {
        if self.held.iter().any(|(_, held)| held == datagram) {
            return;
        }
        if self.held.len() < MAX_HELD {
            self.held.push_back((path, datagram.to_vec()));
        } else {
            self.stats.dtls_dropped += 1;
        }
    }

    fn feed_dtls(&mut self, now: Instant, datagram: &[u8]) {
        self.embedding.took(datagram);
        let failure = self
            .dtls
            .as_mut()
            .and_then(|dtls| dtls.handle(now, datagram));
        self.fail(failure);
        self.drive_dtls(now);
    }

    /// Notes that SRTP or SRTCP from this address was authentic. Once for each burst is enough. This is what lets the
    /// path follow the peer.
    pub fn media_received(&mut self, now: Instant, from: SocketAddr, to: SocketAddr) {
        let path = self.path_of(from, to);
        self.agent.paths.media(now, path);
        if self.agent.paths.chosen() != self.path {
            self.run(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.run(now);
    }

    /// When to call [`Transport::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// The next datagram to send, written to the start of `buf` (1,500 bytes suffice; one that does not fit is lost).
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        while let Some(stun) = self.stun_queue.pop_front() {
            let embedded = self.embedding.embed(&stun.bytes, &stun.key);
            let bytes = embedded.as_deref().unwrap_or(&stun.bytes);
            if let Some(transmit) = copy_out(buf, stun.path, bytes) {
                return Some(transmit);
            }
        }
        // RFC 7675 §5.1: nothing but checks goes to a peer that does not consent.
        let path = self.path()?;
        while let Some(datagram) = self.dtls_queue.pop_front() {
            if let Some(transmit) = copy_out(buf, path, &datagram) {
                return Some(transmit);
            }
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Where to send media; `None` before the first validated pair and while the peer does not consent to receive.
    pub fn path(&self) -> Option<Path> {
        self.path.filter(|_| self.consent == Some(true))
    }

    /// Whether ICE and DTLS are done and the transport is not over.
    pub fn is_connected(&self) -> bool {
        self.connected && !self.over
    }

    /// Whether the data channel is open.
    pub fn is_channel_open(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::is_open)
    }

    /// The context for what the peer sends, once connected.
    pub fn srtp_inbound(&mut self) -> Option<&mut Inbound> {
        self.inbound.as_mut()
    }

    /// The context for what we send, once connected.
    pub fn srtp_outbound(&mut self) -> Option<&mut Outbound> {
        self.outbound.as_mut()
    }

    /// Takes both contexts out, once, to live beside the packet path; [`Transport::srtp_inbound`] and
    /// [`Transport::srtp_outbound`] return `None` then.
    pub fn take_srtp(&mut self) -> Option<(Inbound, Outbound)> {
        Some((self.inbound.take()?, self.outbound.take()?))
    }

    /// Queues a text message on the data channel.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_channel(&mut self, now: Instant, text: &str) -> Result<(), SendError> {
        if self.over {
            return Err(SendError::NotOpen);
        }
        let result = self
            .channel
            .as_mut()
            .ok_or(SendError::NotOpen)?
            .send(now, text);
        self.run(now);
        result
    }

    /// Says goodbye: closes DTLS. Drain [`Transport::poll_transmit`] once more afterwards.
    pub fn close(&mut self, now: Instant) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close();
        }
        self.drive_dtls(now);
    }

    /// Last moment at which the peer proved to be there: a check of its own, an answer to ours, or media noted.
    pub fn last_activity(&self) -> Option<Instant> {
        let previous = self
            .previous
            .as_ref()
            .and_then(|(agent, _)| agent.paths.last_heard());
        self.agent.paths.last_heard().max(previous)
    }

    /// Counters.
    pub fn stats(&self) -> TransportStats {
        let channel_dropped = self.channel.as_ref().map_or(0, |c| c.dropped);
        TransportStats {
            rtt: self.agent.rtt,
            channel_dropped,
            ..self.stats
        }
    }

    /// Does everything that is due or possible now, and finds the next deadline.
    fn run(&mut self, now: Instant) {
        self.run_ice(now);
        self.begin_dtls(now);
        if let Some(dtls) = self
            .dtls
            .as_mut()
            .filter(|d| d.poll_timeout().is_some_and(|at| at <= now))
        {
            let failure = dtls.handle_timeout(now);
            self.fail(failure);
        }
        if let Some(channel) = self
            .channel
            .as_mut()
            .filter(|c| c.poll_timeout().is_some_and(|at| at <= now))
        {
            channel.handle_timeout(now);
        }
        self.drive_dtls(now);
        self.deadline = self.next_deadline();
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        let agents = self.agents().filter_map(Agent::poll_timeout).min();
        let rest = [
            self.pending.as_ref().map(|p| p.deadline),
            self.previous.as_ref().map(|(_, until)| *until),
            self.dtls.as_ref().and_then(Association::poll_timeout),
            self.channel.as_ref().and_then(Channel::poll_timeout),
        ];
        agents.into_iter().chain(rest.into_iter().flatten()).min()
    }

    fn run_ice(&mut self, now: Instant) {
        for agent in self.agents() {
            agent.run(now);
        }
        self.finish_restart(now);
        self.previous.take_if(|(_, until)| *until <= now);
        let mut queue = std::mem::take(&mut self.stun_queue);
        for agent in self.agents() {
            queue.extend(std::iter::from_fn(|| agent.poll_transmit(now)));
        }
        self.stun_queue = queue;
        self.follow_path(now);
    }

    /// Lets a restarted session take over once it has a validated pair, or gives it up.
    fn finish_restart(&mut self, now: Instant) {
        let Some(pending) = &self.pending else { return };
        let generation = pending.generation;
        if pending.agent.paths.chosen().is_some() {
            let Some(pending) = self.pending.take() else {
                return;
            };
            let old = std::mem::replace(&mut self.agent, pending.agent);
            self.previous = Some((old, now + TRANSITION));
            self.events.push_back(Event::IceRestarted { generation });
        } else if now >= pending.deadline {
            self.pending = None;
            self.events
                .push_back(Event::IceRestartFailed { generation });
        }
    }

    fn follow_path(&mut self, now: Instant) {
        let chosen = self.agent.paths.chosen();
        if let Some(path) = chosen.filter(|_| chosen != self.path) {
            self.stats.path_changes += u64::from(self.path.is_some());
            self.path = Some(path);
            self.events.push_back(Event::PathChanged(path));
        }
        let consent = self.agent.paths.has_consent(now);
        match (self.consent, consent) {
            (Some(true), false) => self.events.push_back(Event::ConsentLost),
            (Some(false), true) => self.events.push_back(Event::ConsentRestored),
            _ => {}
        }
        if consent || self.consent.is_some() {
            self.consent = Some(consent);
        }
    }

    /// Begins DTLS once the peer's role and fingerprints are known and there is a path, or the peer's checks carry it.
    fn begin_dtls(&mut self, now: Instant) {
        let (None, Some(role), false, false) = (
            &self.dtls,
            self.role,
            self.fingerprints.is_empty(),
            self.over || (self.path.is_none() && !self.embedding.is_on()),
        ) else {
            return self.release_held(now);
        };
        self.dtls = Some(Association::new(now, &self.config.certificate, role));
        self.release_held(now);
    }

    /// Feeds DTLS what came before its path was validated.
    fn release_held(&mut self, now: Instant) {
        if self.dtls.is_none() || self.held.is_empty() {
            return;
        }
        for (path, datagram) in std::mem::take(&mut self.held) {
            let validated = self.agents().any(|agent| agent.paths.is_validated(path));
            if validated || self.embedding.is_on() {
                self.feed_dtls(now, &datagram);
            } else {
                self.held.push_back((path, datagram));
            }
        }
    }

    /// Passes DTLS and SCTP output to and fro until both are quiet.
    fn drive_dtls(&mut self, now: Instant) {
        let Some(dtls) = &mut self.dtls else { return };
        let mut events = VecDeque::new();
        dtls.poll(&self.fingerprints, &mut events);
        let contexts = dtls.take_connected(&mut events);
        if let Some(contexts) = contexts {
            self.on_connected(now, *contexts);
        } else if self.dtls.as_ref().is_some_and(Association::is_connected) && !self.connected {
            self.fail(Some(FailReason::NoSrtpProfile));
        }
        self.embedding
            .offer(events.iter().filter_map(DtlsEvent::sent));
        while let Some(event) = events.pop_front() {
            match event {
                DtlsEvent::Send(datagram) if self.dtls_queue.len() < MAX_QUEUED => {
                    self.dtls_queue.push_back(datagram)
                }
                DtlsEvent::Send(_) => self.stats.dtls_dropped += 1,
                DtlsEvent::Data(packet) => match &mut self.channel {
                    Some(channel) => channel.handle(now, &packet),
                    None => self.early.push(packet),
                },
                DtlsEvent::Failed(reason) => self.fail(Some(reason)),
                DtlsEvent::Closed => self.end(Event::ClosedByPeer),
            }
        }
        if self.drive_channel() {
            // SCTP packets became records, which are waiting in DTLS now.
            self.drive_dtls(now);
        }
    }

    /// Passes on what the channel has; whether DTLS got something to send.
    fn drive_channel(&mut self) -> bool {
        let mut sent = false;
        while let Some(event) = self.channel.as_mut().and_then(Channel::poll_event) {
            match event {
                ChannelEvent::Send(packet) => {
                    let failure = self.dtls.as_mut().and_then(|dtls| dtls.send(&packet));
                    sent |= failure.is_none();
                    self.fail(failure);
                }
                ChannelEvent::Open { label, protocol } => self
                    .events
                    .push_back(Event::ChannelOpen { label, protocol }),
                ChannelEvent::Message(text) => self.events.push_back(Event::ChannelMessage(text)),
                ChannelEvent::Closed => self.events.push_back(Event::ChannelClosed),
            }
        }
        sent && !self.over
    }

    fn on_connected(&mut self, now: Instant, (inbound, outbound): (Inbound, Outbound)) {
        let profile = outbound.profile();
        (self.inbound, self.outbound) = (Some(inbound), Some(outbound));
        self.connected = true;
        self.events.push_back(Event::Connected { profile });
        if self.config.sctp {
            let opening = self
                .config
                .open_channel
                .clone()
                .map(|(label, protocol)| Opening {
                    // RFC 8832 §6: the DTLS client uses even streams, the server odd ones.
                    stream: u16::from(self.role == Some(DtlsRole::Server)),
                    label,
                    protocol,
                });
            let known = self.init.zip(self.peer_init);
            self.stats.sctp_signalled = known.is_some();
            let mut channel = Channel::new(now, self.config.max_message_size, opening, known);
            for packet in self.early.take() {
                channel.handle(now, &packet);
            }
            self.channel = Some(channel);
        }
    }

    fn fail(&mut self, reason: Option<FailReason>) {
        if let Some(reason) = reason {
            self.end(Event::Failed(reason));
        }
    }

    /// The transport is over, for the first reason only.
    fn end(&mut self, event: Event) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        if self.channel.take().is_some_and(|c| c.is_open()) {
            self.events.push_back(Event::ChannelClosed);
        }
        self.events.push_back(event);
    }
}

fn copy_out(buf: &mut [u8], path: Path, bytes: &[u8]) -> Option<Transmit> {
    buf.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(Transmit {
        from: path.local,
        to: path.remote,
        len: bytes.len(),
    })
}

/// The addresses at which packets for these candidates arrive.
fn local_addresses(candidates: &[Candidate]) -> Vec<SocketAddr> {
    let mut locals = Vec::new();
    for candidate in candidates {
        let base = match candidate.kind {
            CandidateKind::Host => Some(candidate.addr),
            _ => candidate.related,
        };
        locals.extend(base.filter(|b| !locals.contains(b)));
    }
    locals
}

/// Fresh credentials (RFC 8445 §5.3): 72 random bits of username fragment after the prefix, 144 bits of password.
fn random_credentials(prefix: &str, rng: &mut impl Rng) -> Credentials {
    let mut ice_chars = |count: usize| -> String {
        const CHARS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..count)
            .map(|_| char::from(CHARS[(rng.next_u32() >> 26) as usize]))
            .collect()
    };
    let is_ice_char = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let prefix: String = prefix
        .chars()
        .filter(is_ice_char)
        .take(MAX_UFRAG_PREFIX)
        .collect();
    Credentials {
        ufrag: prefix + &ice_chars(12),
        pwd: ice_chars(24),
    }
}
