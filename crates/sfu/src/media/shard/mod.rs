//! A shard: whole conferences, driven by one thread. Here is what control asks of it; `drive` has its packets and time.

mod drive;

use super::conference::Conference;
use super::config::{ControlError, ShardConfig};
use super::context::Context;
use super::event::Event;
use super::ids::{ConferenceId, EndpointId, SourceName};
use super::spec::{
    ConferenceSpec, EndpointSpec, EndpointUpdate, FeedbackSources, ReceiverConstraints,
    Subscription, VideoType,
};
use super::stats::{ConferenceStats, EndpointStats, Stats};
use super::store::Store;
use super::table::PeerId;
use super::timers::{Due, Scheduled, Timers};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rtc::{Candidate, LocalParameters, Transport, TransportConfig};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Taken (or dropped and counted).
    Taken,
    /// Not for an endpoint of this shard: another shard may know the address or ufrag.
    Foreign,
}

/// Activity, expiry and rates are looked at this often, microseconds.
const SWEEP: u64 = 500_000;
/// What the shard's clock shows at its first moment, so that differences never go below zero: one hour, microseconds.
const START: u64 = 3_600_000_000;
/// Longest datagram a transport makes.
const MAX_DATAGRAM: usize = 1500;
/// Up to this many endpoints everybody gets the statistics of everybody.
const SMALL: usize = 20;
/// Longest text on a data channel from a client, bytes.
const MAX_MESSAGE: usize = 64 * 1024;

/// Where an endpoint is: index of the conference, number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    conference: usize,
    peer: PeerId,
}

/// Whole conferences on one thread.
///
/// Driving contract: after each batch of input (`handle_datagram`, control calls, `handle_timeout` when the deadline is
/// reached) drain `poll_event` to `None`, then send what `poll_transmit` wrote, until it returns `false`, and sleep
/// until `poll_timeout`.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    rng: ChaCha12Rng,
    epoch: Option<Instant>,
    /// The latest moment seen, microseconds.
    clock: u64,
    store: Store,
    stats: Stats,
    events: VecDeque<Event>,
    timers: Timers,
    conferences: Vec<Option<Box<Conference>>>,
    by_id: HashMap<ConferenceId, usize>,
    addresses: HashMap<SocketAddr, Place>,
    ufrags: HashMap<String, Place>,
    /// Conferences with something to send.
    listed: VecDeque<usize>,
    /// Endpoints whose transport was touched and is to be drained.
    touched: Vec<Place>,
    /// Last words of endpoints that are gone: from, to, datagram.
    farewells: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    next_sweep: Scheduled,
    rates_since: u64,
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
            timers: Timers::default(),
            conferences: Vec::new(),
            by_id: HashMap::new(),
            addresses: HashMap::new(),
            ufrags: HashMap::new(),
            listed: VecDeque::new(),
            touched: Vec::new(),
            farewells: VecDeque::new(),
            next_sweep: Scheduled::default(),
            rates_since: 0,
        }
    }

    /// Microseconds of the shard's clock.
    fn micros(&mut self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_insert(now);
        let us = START + now.saturating_duration_since(epoch).as_micros() as u64;
        self.clock = self.clock.max(us);
        us
    }

    /// Runs `f` on a conference, and takes note of whether it has something to send afterwards.
    fn with<R>(
        &mut self,
        now: Instant,
        place: usize,
        f: impl FnOnce(&mut Conference, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let us = self.micros(now);
        let conference = self.conferences.get_mut(place)?.as_deref_mut()?;
        let mut cx = Context {
            conference: conference.id(),
            place,
            now,
            us,
            config: &self.config,
            store: &mut self.store,
            stats: &mut self.stats,
            events: &mut self.events,
            rng: &mut self.rng,
            timers: &mut self.timers,
        };
        let result = f(conference, &mut cx);
        if !conference.listed && conference.has_output() {
            conference.listed = true;
            self.listed.push_back(place);
        }
        Some(result)
    }

    /// Runs `f` on an endpoint's conference and settles who gets what.
    fn on_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        f: impl FnOnce(&mut Conference, &mut Context<'_>, PeerId),
    ) {
        if let Ok(place) = self.place(conference, endpoint) {
            self.with(now, place.conference, |c, cx| {
                f(c, cx, place.peer);
                c.settle(cx);
            });
        }
    }

    fn conference(&self, id: ConferenceId) -> Option<&Conference> {
        self.conferences.get(*self.by_id.get(&id)?)?.as_deref()
    }

    fn place(&self, id: ConferenceId, endpoint: &EndpointId) -> Result<Place, ControlError> {
        let conference = *self.by_id.get(&id).ok_or(ControlError::NoConference)?;
        let state = self.conference(id).ok_or(ControlError::NoConference)?;
        let peer = state.find(endpoint).ok_or(ControlError::NoEndpoint)?;
        Ok(Place { conference, peer })
    }

    fn transport(&mut self, place: Place) -> Option<&mut Transport> {
        let conference = self.conferences.get_mut(place.conference)?;
        let client = conference.as_deref_mut()?.client_mut(place.peer)?;
        Some(&mut client.transport)
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
        let feedback = conference.feedback();
        match self.conferences.get_mut(index) {
            Some(slot) => *slot = Some(conference),
            None => self.conferences.push(Some(conference)),
        }
        self.by_id.insert(spec.id, index);
        self.stats.conferences_created += 1;
        self.timers
            .schedule(us + SWEEP, Due::Sweep, &mut self.next_sweep);
        Ok(feedback)
    }

    /// The SSRCs the bridge uses in a conference.
    pub fn feedback_sources(&self, conference: ConferenceId) -> Option<FeedbackSources> {
        self.conference(conference).map(Conference::feedback)
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
        let added = self.with(now, at, |c, cx| {
            let peer = c.add(cx, spec, transport)?;
            c.settle(cx);
            Ok(peer)
        });
        let peer = added.ok_or(ControlError::NoConference)??;
        match visitor {
            true => self.stats.visitors_created += 1,
            false => self.stats.endpoints_created += 1,
        }
        let place = Place {
            conference: at,
            peer,
        };
        self.bind_ufrags(place);
        self.touched.push(place);
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
            let state = self.conferences.get(conference).and_then(|c| c.as_deref());
            for peer in state.map(Conference::peers).unwrap_or_default() {
                let place = Place { conference, peer };
                let client = self.conferences.get_mut(conference);
                let client = client.and_then(|c| c.as_deref_mut()?.client_mut(peer));
                let Some(private) = client.map(|c| c.takes_private_addresses()) else {
                    continue;
                };
                let candidates = self.candidates(private);
                if let Some(transport) = self.transport(place) {
                    transport.set_candidates(now, candidates);
                    self.touched.push(place);
                    self.drain_transport_events(now, place);
                }
            }
        }
    }

    /// Makes STUN for an endpoint's user fragments find it.
    fn bind_ufrags(&mut self, place: Place) {
        let conference = self.conferences.get_mut(place.conference);
        let Some(client) = conference.and_then(|c| c.as_deref_mut()?.client_mut(place.peer)) else {
            return;
        };
        for ufrag in client.ufrags.drain(..) {
            self.ufrags.remove(&ufrag);
        }
        client.ufrags = client.transport.ufrags().map(str::to_owned).collect();
        let found = client.ufrags.iter().map(|u| (u.clone(), place));
        self.ufrags.extend(found);
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
        let restart = update.ice_restart;
        let remote = update.remote.take();
        let conferences = &mut self.conferences;
        let conference = conferences.get_mut(place.conference);
        if let Some(client) = conference.and_then(|c| c.as_deref_mut()?.client_mut(place.peer)) {
            if let Some(remote) = remote {
                client.transport.set_remote(now, remote);
            }
            if restart {
                let _ = client.transport.restart_ice(now, &mut self.rng);
            }
        }
        self.touched.push(place);
        self.bind_ufrags(place);
        let updated = self.with(now, place.conference, |c, cx| {
            let result = c.update(cx, place.peer, &mut update);
            c.settle(cx);
            result
        });
        self.drain_transport_events(now, place);
        updated.ok_or(ControlError::NoConference)??;
        self.transport(place)
            .map(|t| t.local())
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

    fn remove(&mut self, now: Instant, place: Place) {
        let removed = self.with(now, place.conference, |c, cx| {
            let removed = c.remove(cx, place.peer);
            c.settle(cx);
            removed
        });
        let Some(mut client) = removed.flatten() else {
            return;
        };
        for ufrag in &client.ufrags {
            self.ufrags.remove(ufrag);
        }
        for address in client.addresses() {
            if self.addresses.get(address) == Some(&place) {
                self.addresses.remove(address);
            }
        }
        self.touched.retain(|p| *p != place);
        client.transport.close(now);
        let mut buf = [0; MAX_DATAGRAM];
        while let Some(transmit) = client.transport.poll_transmit(&mut buf) {
            let bytes = buf.get(..transmit.len).unwrap_or_default().to_vec();
            self.farewells
                .push_back((transmit.from, transmit.to, bytes));
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
        let state = self.conferences.get(at).and_then(|c| c.as_deref());
        for peer in state.map(Conference::peers).unwrap_or_default() {
            let place = Place {
                conference: at,
                peer,
            };
            self.remove(now, place);
        }
        self.by_id.remove(&conference);
        let us = self.micros(now);
        if let Some(state) = self.conferences.get_mut(at).and_then(Option::take) {
            self.stats.conferences_completed += 1;
            self.stats.conference_seconds += us.saturating_sub(state.created()) / 1_000_000;
        }
        while self.conferences.last().is_some_and(Option::is_none) {
            self.conferences.pop();
        }
        Ok(())
    }

    /// Ids of a conference's endpoints, with whether each is a visitor.
    pub fn endpoints(&self, conference: ConferenceId) -> Vec<(EndpointId, bool)> {
        let clients = self.conference(conference).map(Conference::clients);
        let clients = clients.into_iter().flatten();
        clients
            .map(|(_, c)| (c.id().clone(), c.is_visitor()))
            .collect()
    }

    /// A bridge channel opened: everything its client must know is told again by [`Event::Notice`]s.
    pub fn channel_opened(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) {
        self.on_endpoint(now, conference, endpoint, |c, cx, peer| {
            c.channel_opened(cx, peer)
        });
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
        let Some(transport) = self.transport(place) else {
            return false;
        };
        let sent = transport.send_channel(now, text).is_ok();
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
        self.on_endpoint(now, conference, endpoint, |c, _, peer| {
            if let Some(receiver) = c.receiver_mut(peer) {
                receiver.constrain(constraints);
            }
            c.receiver_changed(peer);
        });
    }

    /// Which audio a receiver wants (`ReceiverAudioSubscription`).
    pub fn set_audio_subscription(
        &mut self,
        conference: ConferenceId,
        endpoint: &EndpointId,
        subscription: Subscription,
    ) {
        if let Ok(place) = self.place(conference, endpoint)
            && let Some(Some(state)) = self.conferences.get_mut(place.conference)
        {
            state.subscribe(place.peer, subscription);
        }
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
        self.on_endpoint(now, conference, endpoint, |c, _, peer| {
            c.set_video_type(peer, source, video_type)
        });
    }

    /// Whether `receiver` should be sent the `EndpointStats` of `sender`.
    pub fn wants_stats_of(
        &self,
        conference: ConferenceId,
        receiver: &EndpointId,
        sender: &EndpointId,
    ) -> bool {
        self.conference(conference)
            .is_some_and(|c| c.wants_stats_of(receiver, sender, SMALL))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`] (and [`Self::poll_transmit`]) at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let epoch = self.epoch?;
        let window = self.config.burst_window.as_micros() as u64;
        let waiting = self.listed.iter().filter_map(|at| {
            let conference = self.conferences.get(*at)?.as_deref()?;
            conference.output_due(self.clock, window)
        });
        let at = waiting.chain(self.timers.next()).min()?;
        Some(epoch + Duration::from_micros(at.saturating_sub(START)))
    }

    /// Counters since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// All conferences.
    pub fn conferences(&self) -> Vec<ConferenceId> {
        self.conferences.iter().flatten().map(|c| c.id()).collect()
    }

    /// The state of a conference.
    pub fn conference_stats(&self, conference: ConferenceId) -> Option<ConferenceStats> {
        Some(self.conference(conference)?.stats(self.clock))
    }

    /// The state of an endpoint.
    pub fn endpoint_stats(
        &self,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) -> Option<EndpointStats> {
        let conference = self.conference(conference)?;
        conference.endpoint_stats(conference.find(endpoint)?)
    }
}

fn is_private(address: &SocketAddr) -> bool {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.is_private(),
        std::net::IpAddr::V6(ip) => ip.is_unique_local(),
    }
}
