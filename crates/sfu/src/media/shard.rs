//! A shard: whole conferences, driven by one thread.

use super::conference::{Conference, Context};
use super::drive::MAX_DATAGRAM;
use super::endpoint::Endpoint;
use super::event::Event;
use super::ids::{ConferenceId, EndpointId, SourceName};
use super::spec::{
    ConferenceSpec, EndpointSpec, EndpointUpdate, FeedbackSources, ReceiverConstraints,
    Subscription, VideoType,
};
use super::stats::{ConferenceStats, EndpointStats, Stats};
use super::store::Store;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rtc::{Candidate, Certificate, LocalParameters, Transport, TransportConfig};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a shard needs to know from the start.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Host candidates: the addresses of the shard's socket.
    pub host_candidates: Vec<SocketAddr>,
    /// Server-reflexive candidates: the address outside and the host candidate behind it.
    pub mapped_candidates: Vec<(SocketAddr, SocketAddr)>,
    /// The certificate of all endpoints.
    pub certificate: Arc<Certificate>,
    /// Put in front of ICE user fragments, so that a host with several shards can tell whose STUN it is.
    pub ufrag_prefix: String,
    /// Even out packet sizes within a burst by up to two bytes of RTP padding.
    pub pad_bursts: bool,
    /// Longest time a packet waits for the rest of its burst.
    pub burst_window: Duration,
    /// Room of the store of published packets: number of packets and bytes (both are rounded up to a power of two). It
    /// should hold one to three seconds of what comes in.
    pub store: (usize, usize),
    /// An endpoint without any sign of life for this long is expired.
    pub endpoint_timeout: Duration,
    /// A conference without endpoints for this long is expired.
    pub conference_timeout: Duration,
    /// Most conferences and most endpoints of a conference.
    pub limits: (usize, usize),
}

impl ShardConfig {
    /// The defaults with one certificate and the addresses of one socket.
    pub fn new(certificate: Arc<Certificate>, host_candidates: Vec<SocketAddr>) -> Self {
        Self {
            host_candidates,
            mapped_candidates: Vec::new(),
            certificate,
            ufrag_prefix: String::new(),
            pad_bursts: true,
            burst_window: Duration::from_micros(200),
            store: (32 * 1024, 16 << 20),
            endpoint_timeout: Duration::from_secs(60),
            conference_timeout: Duration::from_secs(20),
            limits: (10_000, 5_000),
        }
    }
}

/// Why a control request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No such conference.
    #[error("no such conference")]
    NoConference,
    /// No such endpoint.
    #[error("no such endpoint")]
    NoEndpoint,
    /// The id is taken.
    #[error("the id is taken")]
    Exists,
    /// The shard is full.
    #[error("the shard is full")]
    Full,
    /// An SSRC belongs to another endpoint already.
    #[error("an SSRC belongs to another endpoint")]
    SsrcConflict,
    /// The peer's transport parameters make no sense.
    #[error("bad transport parameters")]
    BadTransport,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Taken (or dropped and counted).
    Taken,
    /// Not for an endpoint of this shard: another shard may know the address or ufrag.
    Foreign,
}

/// Timers of conferences are looked at this often.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Activity, expiry and rates.
pub(crate) const SLOW_TICK: u64 = 500_000;
/// Longest text on a data channel from a client, bytes.
const MAX_MESSAGE: usize = 64 * 1024;

/// Where an endpoint is: conference and endpoint index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) conference: usize,
    pub(crate) endpoint: usize,
}

/// Whole conferences on one thread.
///
/// Driving contract: after each batch of input (`handle_datagram`, control calls, `handle_timeout` when the deadline is
/// reached) drain `poll_event` to `None`, then send what `poll_transmit` wrote, until it returns `false`, and sleep
/// until `poll_timeout`.
#[derive(Debug)]
pub struct Shard {
    pub(crate) config: ShardConfig,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) epoch: Option<Instant>,
    /// The latest moment seen, microseconds.
    pub(crate) clock: u64,
    pub(crate) store: Store,
    pub(crate) stats: Stats,
    pub(crate) events: VecDeque<Event>,
    pub(crate) conferences: Vec<Option<Box<Conference>>>,
    pub(crate) by_id: HashMap<ConferenceId, usize>,
    pub(crate) addresses: HashMap<SocketAddr, Place>,
    pub(crate) ufrags: HashMap<String, Place>,
    /// Endpoints with something to send.
    pub(crate) dirty: Vec<Place>,
    pub(crate) scratch: Vec<usize>,
    /// Endpoints whose transport was touched and is to be drained.
    pub(crate) touched: Vec<Place>,
    /// Last words of endpoints that are gone: from, to, datagram.
    pub(crate) farewells: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    pub(crate) next_tick: Option<Instant>,
    pub(crate) next_slow: u64,
    pub(crate) rates_since: u64,
}

impl Shard {
    /// An empty shard. `seed` feeds ICE credentials, SSRCs and the like.
    pub fn new(config: ShardConfig, seed: [u8; 32]) -> Self {
        Self {
            store: Store::new(config.store.0, config.store.1),
            config,
            rng: ChaCha12Rng::from_seed(seed),
            epoch: None,
            clock: 0,
            stats: Stats::default(),
            events: VecDeque::new(),
            conferences: Vec::new(),
            by_id: HashMap::new(),
            addresses: HashMap::new(),
            ufrags: HashMap::new(),
            dirty: Vec::new(),
            scratch: Vec::new(),
            touched: Vec::new(),
            farewells: VecDeque::new(),
            next_tick: None,
            next_slow: 0,
            rates_since: 0,
        }
    }

    /// Microseconds of the shard's clock, which starts at one hour so that differences never go below zero.
    pub(crate) fn micros(&mut self, now: Instant) -> u64 {
        const START: u64 = 3_600_000_000;
        let epoch = *self.epoch.get_or_insert(now);
        self.clock = START + now.saturating_duration_since(epoch).as_micros() as u64;
        self.clock
    }

    /// Runs `f` on a conference, and takes note of who has something to send afterwards.
    pub(crate) fn with<R>(
        &mut self,
        now: Instant,
        conference: usize,
        f: impl FnOnce(&mut Conference, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let us = self.micros(now);
        let state = self.conferences.get_mut(conference)?.as_deref_mut()?;
        let mut ctx = Context {
            now,
            us,
            config: &self.config,
            store: &mut self.store,
            stats: &mut self.stats,
            events: &mut self.events,
            rng: &mut self.rng,
            dirty: &mut self.scratch,
        };
        let result = f(state, &mut ctx);
        self.dirty
            .extend(self.scratch.drain(..).map(|endpoint| Place {
                conference,
                endpoint,
            }));
        Some(result)
    }

    /// Runs `f` on an endpoint's conference and settles who gets what.
    fn on_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        f: impl FnOnce(&mut Conference, &mut Context<'_>, usize),
    ) {
        let Some(&at) = self.by_id.get(&conference) else {
            return;
        };
        self.with(now, at, |c, ctx| {
            if let Some(index) = c.index_of(endpoint) {
                f(c, ctx, index);
                c.settle(ctx);
            }
        });
    }

    /// Runs `f` on an endpoint alone.
    fn change(
        &mut self,
        conference: ConferenceId,
        endpoint: &EndpointId,
        f: impl FnOnce(&mut Endpoint),
    ) {
        let place = self.place(conference, endpoint);
        if let Some(endpoint) = place
            .ok()
            .and_then(|place| endpoint_at_mut(&mut self.conferences, place))
        {
            f(endpoint);
        }
    }

    fn conference(&self, id: ConferenceId) -> Option<&Conference> {
        self.conferences.get(*self.by_id.get(&id)?)?.as_deref()
    }

    fn place(
        &self,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) -> Result<Place, ControlError> {
        let at = *self
            .by_id
            .get(&conference)
            .ok_or(ControlError::NoConference)?;
        let state = self
            .conferences
            .get(at)
            .and_then(|c| c.as_deref())
            .ok_or(ControlError::NoConference)?;
        let index = state.index_of(endpoint).ok_or(ControlError::NoEndpoint)?;
        Ok(Place {
            conference: at,
            endpoint: index,
        })
    }

    /// Creates a conference; the answer names the SSRCs the bridge uses in it.
    pub fn create_conference(
        &mut self,
        now: Instant,
        spec: ConferenceSpec,
    ) -> Result<FeedbackSources, ControlError> {
        if self.by_id.contains_key(&spec.id) {
            return Err(ControlError::Exists);
        }
        let index = self
            .conferences
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.conferences.len());
        if index >= self.config.limits.0 {
            return Err(ControlError::Full);
        }
        let us = self.micros(now);
        let conference = Box::new(Conference::new(spec.id, us, &mut self.rng));
        let feedback = conference.feedback;
        match self.conferences.get_mut(index) {
            Some(slot) => *slot = Some(conference),
            None => self.conferences.push(Some(conference)),
        }
        self.by_id.insert(spec.id, index);
        self.stats.conferences_created += 1;
        self.next_tick.get_or_insert(now + TICK);
        Ok(feedback)
    }

    /// The SSRCs the bridge uses in a conference.
    pub fn feedback_sources(&self, conference: ConferenceId) -> Option<FeedbackSources> {
        self.conference(conference).map(|c| c.feedback)
    }

    /// Creates an endpoint; the answer is the bridge's side of its transport.
    pub fn create_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        spec: EndpointSpec,
    ) -> Result<LocalParameters, ControlError> {
        let at = *self
            .by_id
            .get(&conference)
            .ok_or(ControlError::NoConference)?;
        let mut config = TransportConfig::new(
            self.candidates(spec.private_addresses),
            self.config.certificate.clone(),
        );
        config.controlling = spec.ice_controlling;
        config.sctp = spec.sctp;
        config.ufrag_prefix.clone_from(&self.config.ufrag_prefix);
        config.max_message_size = MAX_MESSAGE;
        let transport = Transport::new(now, config, &mut self.rng);
        let local = transport.local();
        let visitor = spec.visitor;
        let added = self.with(now, at, |c, ctx| {
            let index = c.add(ctx, spec, transport)?;
            c.settle(ctx);
            Ok(index)
        });
        let index = added.ok_or(ControlError::NoConference)??;
        match visitor {
            true => self.stats.visitors_created += 1,
            false => self.stats.endpoints_created += 1,
        }
        self.bind_ufrags(Place {
            conference: at,
            endpoint: index,
        });
        Ok(local)
    }

    fn candidates(&self, private: bool) -> Vec<Candidate> {
        let hosts = self.config.host_candidates.iter().enumerate();
        let preference = |i: usize| u16::try_from(i).map_or(0, |i| u16::MAX - i);
        let hidden =
            |a: &SocketAddr| !private && is_private(a) && !self.config.mapped_candidates.is_empty();
        let hosts = hosts
            .filter(|(_, a)| !hidden(a))
            .map(|(i, a)| Candidate::host(*a, preference(i)));
        let mapped = self.config.mapped_candidates.iter().enumerate();
        let mapped =
            mapped.map(|(i, (public, base))| Candidate::srflx(*public, *base, preference(i)));
        hosts.chain(mapped).collect()
    }

    /// The host's addresses changed: what new endpoints are offered, and those that run after an ICE restart.
    pub fn set_addresses(
        &mut self,
        now: Instant,
        hosts: Vec<SocketAddr>,
        mapped: Vec<(SocketAddr, SocketAddr)>,
    ) {
        self.config.host_candidates = hosts;
        self.config.mapped_candidates = mapped;
        for conference in 0..self.conferences.len() {
            let endpoints = self.conferences.get(conference).and_then(|c| c.as_deref());
            for endpoint in 0..endpoints.map_or(0, |c| c.endpoints.len()) {
                let place = Place {
                    conference,
                    endpoint,
                };
                let Some(private) =
                    endpoint_at(&self.conferences, place).map(|e| e.private_addresses)
                else {
                    continue;
                };
                let candidates = self.candidates(private);
                if let Some(target) = endpoint_at_mut(&mut self.conferences, place) {
                    target.transport.set_candidates(now, candidates);
                    self.touched.push(place);
                    self.drain_transport_events(now, place);
                }
            }
        }
    }

    /// Makes STUN for an endpoint's user fragments find it.
    pub(crate) fn bind_ufrags(&mut self, place: Place) {
        let Some(endpoint) = endpoint_at(&self.conferences, place) else {
            return;
        };
        self.ufrags.retain(|_, p| *p != place);
        for ufrag in endpoint.transport.ufrags() {
            self.ufrags.insert(ufrag.to_owned(), place);
        }
    }

    /// Changes an endpoint; the answer is the bridge's side of its transport (new after an ICE restart).
    pub fn update_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        mut update: EndpointUpdate,
    ) -> Result<LocalParameters, ControlError> {
        let place = self.place(conference, endpoint)?;
        if let Some(target) = endpoint_at_mut(&mut self.conferences, place) {
            if let Some(remote) = update.remote.take() {
                target.transport.set_remote(now, remote);
            }
            if update.ice_restart {
                let _ = target.transport.restart_ice(now, &mut self.rng);
            }
        }
        self.touched.push(place);
        self.bind_ufrags(place);
        let updated = self.with(now, place.conference, |c, ctx| {
            let result = c.update(ctx, place.endpoint, &mut update);
            c.settle(ctx);
            result
        });
        self.drain_transport_events(now, place);
        updated.ok_or(ControlError::NoConference)??;
        endpoint_at(&self.conferences, place)
            .map(|e| e.transport.local())
            .ok_or(ControlError::NoEndpoint)
    }

    /// Removes an endpoint. No event follows.
    pub fn expire_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) -> Result<(), ControlError> {
        let place = self.place(conference, endpoint)?;
        self.remove(now, place);
        Ok(())
    }

    pub(crate) fn remove(&mut self, now: Instant, place: Place) {
        let removed = self.with(now, place.conference, |c, ctx| {
            let removed = c.remove(ctx, place.endpoint);
            c.settle(ctx);
            removed
        });
        self.addresses.retain(|_, p| *p != place);
        self.ufrags.retain(|_, p| *p != place);
        self.dirty.retain(|p| *p != place);
        self.touched.retain(|p| *p != place);
        if let Some(mut endpoint) = removed.flatten() {
            endpoint.transport.close(now);
            let mut buf = [0; MAX_DATAGRAM];
            while let Some(transmit) = endpoint.transport.poll_transmit(&mut buf) {
                let bytes = buf.get(..transmit.len).unwrap_or_default().to_vec();
                self.farewells
                    .push_back((transmit.from, transmit.to, bytes));
            }
        }
    }

    /// Removes a conference with its endpoints. No event follows.
    pub fn expire_conference(
        &mut self,
        now: Instant,
        conference: ConferenceId,
    ) -> Result<(), ControlError> {
        let at = *self
            .by_id
            .get(&conference)
            .ok_or(ControlError::NoConference)?;
        let count = self
            .conferences
            .get(at)
            .and_then(|c| c.as_deref())
            .map_or(0, |c| c.endpoints.len());
        for endpoint in 0..count {
            self.remove(
                now,
                Place {
                    conference: at,
                    endpoint,
                },
            );
        }
        self.by_id.remove(&conference);
        let us = self.micros(now);
        if let Some(state) = self.conferences.get_mut(at).and_then(Option::take) {
            self.stats.conferences_completed += 1;
            self.stats.conference_seconds += us.saturating_sub(state.created) / 1_000_000;
        }
        if self.by_id.is_empty() {
            self.next_tick = None;
        }
        Ok(())
    }

    /// Ids of a conference's endpoints, with whether each is a visitor, in the order they came.
    pub fn endpoints(&self, conference: ConferenceId) -> Vec<(EndpointId, bool)> {
        let Some(state) = self.conference(conference) else {
            return Vec::new();
        };
        state
            .endpoints
            .iter()
            .flatten()
            .map(|e| (e.id.clone(), e.visitor))
            .collect()
    }

    /// A bridge channel opened: everything its client must know is told again by [`Event::Notice`]s.
    pub fn channel_opened(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) {
        self.on_endpoint(now, conference, endpoint, |c, ctx, index| {
            c.channel_opened(ctx, index)
        });
    }

    /// A bridge channel closed.
    pub fn channel_closed(&mut self, conference: ConferenceId, endpoint: &EndpointId) {
        self.change(conference, endpoint, |e| e.channel_open = false);
    }

    /// Sends text on the data channel of an endpoint; `false` if it has none open, or if it is not taking any more.
    pub fn send_channel(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        text: &str,
    ) -> bool {
        let Ok(place) = self.place(conference, endpoint) else {
            return false;
        };
        let Some(target) = endpoint_at_mut(&mut self.conferences, place) else {
            return false;
        };
        let sent = target.transport.send_channel(now, text).is_ok();
        if sent {
            self.stats.channel_messages_sent += 1;
            self.touched.push(place);
        }
        sent
    }

    /// What a receiver wants (`ReceiverVideoConstraints`, `LastNChangedEvent`).
    pub fn set_receiver_constraints(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        constraints: ReceiverConstraints,
    ) {
        self.on_endpoint(now, conference, endpoint, |c, _, index| {
            if let Some(e) = c.endpoint_mut(index) {
                e.settings.apply(constraints);
            }
            c.unsettled = true;
        });
    }

    /// Which audio a receiver wants (`ReceiverAudioSubscription`).
    pub fn set_audio_subscription(
        &mut self,
        conference: ConferenceId,
        endpoint: &EndpointId,
        subscription: Subscription,
    ) {
        self.change(conference, endpoint, |e| e.subscription = subscription);
    }

    /// What an own source of an endpoint shows (`SourceVideoTypeMessage`); remembered if the source comes later.
    pub fn set_video_type(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        source: SourceName,
        video_type: VideoType,
    ) {
        self.on_endpoint(now, conference, endpoint, |c, _, index| {
            c.set_video_type(index, source, video_type)
        });
    }

    /// Whether `receiver` should be sent the `EndpointStats` of `sender`.
    pub fn wants_stats_of(
        &self,
        conference: ConferenceId,
        receiver: &EndpointId,
        sender: &EndpointId,
    ) -> bool {
        /// Up to this many endpoints everybody gets everybody's.
        const SMALL: usize = 20;
        let Some(c) = self.conference(conference) else {
            return false;
        };
        let (Some(receiver), Some(from)) = (c.index_of(receiver), c.index_of(sender)) else {
            return false;
        };
        if receiver == from {
            return false;
        }
        let (Some(receiver), Some(from)) = (c.endpoint(receiver), c.endpoint(from)) else {
            return false;
        };
        let names = || {
            from.sources
                .iter()
                .filter_map(|s| c.sources.get(*s)?.as_ref())
                .map(|s| &s.name)
        };
        c.by_id.len() <= SMALL
            || c.recent_speakers.contains(sender)
            || names().any(|n| receiver.settings.prefers(n) || receiver.forwarded.contains(n))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`] (and [`Self::poll_transmit`]) at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let epoch = self.epoch?;
        let window = self.config.burst_window.as_micros() as u64;
        let waiting = self
            .dirty
            .iter()
            .filter_map(|p| endpoint_at(&self.conferences, *p)?.queue.deadline(window))
            .min();
        let waiting =
            waiting.map(|us| epoch + Duration::from_micros(us.saturating_sub(3_600_000_000)));
        [self.next_tick, waiting].into_iter().flatten().min()
    }

    /// Counters since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// All conferences.
    pub fn conferences(&self) -> Vec<ConferenceId> {
        self.conferences.iter().flatten().map(|c| c.id).collect()
    }

    /// The state of a conference.
    pub fn conference_stats(&self, conference: ConferenceId) -> Option<ConferenceStats> {
        let c = self.conference(conference)?;
        let us = self.clock;
        let mut stats = ConferenceStats {
            bitrate_received: c.rates.bytes_received * 8,
            bitrate_sent: c.rates.bytes_sent * 8,
            packet_rate_received: c.rates.packets_received,
            packet_rate_sent: c.rates.packets_sent,
            ..ConferenceStats::default()
        };
        for endpoint in c.endpoints.iter().flatten() {
            let (audio, video) = c.is_sending(endpoint, us);
            stats.endpoints += 1;
            stats.visitors += usize::from(endpoint.visitor);
            stats.sending_audio += usize::from(audio);
            stats.sending_video += usize::from(video);
            stats.inactive += usize::from(!endpoint.active);
        }
        Some(stats)
    }

    /// The state of an endpoint.
    pub fn endpoint_stats(
        &self,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) -> Option<EndpointStats> {
        let c = self.conference(conference)?;
        let e = c.endpoint(c.index_of(endpoint)?)?;
        Some(EndpointStats {
            packets_received: e.total.packets_received + e.window.packets_received,
            bytes_received: e.total.bytes_received + e.window.bytes_received,
            packets_sent: e.total.packets_sent + e.window.packets_sent,
            bytes_sent: e.total.bytes_sent + e.window.bytes_sent,
            rtt_us: e.round_trip(),
            loss: e.queue.sent.loss,
            connected: e.is_connected(),
            active: e.active,
        })
    }
}

pub(crate) fn endpoint_at(
    conferences: &[Option<Box<Conference>>],
    place: Place,
) -> Option<&Endpoint> {
    conferences
        .get(place.conference)?
        .as_deref()?
        .endpoint(place.endpoint)
}

pub(crate) fn endpoint_at_mut(
    conferences: &mut [Option<Box<Conference>>],
    place: Place,
) -> Option<&mut Endpoint> {
    conferences
        .get_mut(place.conference)?
        .as_deref_mut()?
        .endpoint_mut(place.endpoint)
}

fn is_private(address: &SocketAddr) -> bool {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.is_private(),
        std::net::IpAddr::V6(ip) => ip.is_unique_local(),
    }
}
