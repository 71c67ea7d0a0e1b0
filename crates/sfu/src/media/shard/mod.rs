//! A shard: conferences, or parts of large ones, driven by one thread. `control` is what is asked of it, `relays` the same
//! about relays, `drive` its packets and time, `sweep` what is looked at from time to time, `siblings` what it and the shards with other parts tell each other.

mod control;
mod drive;
mod relays;
mod siblings;
mod sweep;
mod transports;

use super::conference::Conference;
use super::config::{ControlError, ShardConfig};
use super::context::Context;
use super::event::Event;
use super::exchange::Exchange;
use super::ids::{ConferenceId, EndpointId, RelayId};
use super::stats::{ConferenceStats, EndpointStats, Hearing, Stats};
use super::store::Store;
use super::table::PeerId;
use super::timers::{Due, Scheduled, Timers};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rtc::Transport;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Taken (or dropped and counted).
    Taken,
    /// Not for an endpoint of this shard: another shard may know the address or ufrag.
    Foreign,
}

/// Everybody is looked at this often, microseconds.
const SWEEP: u64 = 500_000;
/// What the shard's clock shows at its first moment, so that differences never go below zero: one hour, microseconds.
const START: u64 = 3_600_000_000;
/// Longest datagram a transport makes.
const MAX_DATAGRAM: usize = 1500;

/// How far a sweep has come.
#[derive(Debug, Default)]
struct Sweep {
    scheduled: Scheduled,
    /// When it began, on the shard's clock.
    began: u64,
    /// The next conference, and the first number of its endpoints that is not done.
    next: (usize, usize),
    /// The window of rates that ends with it, microseconds.
    window: Option<u64>,
    /// When the last window ended.
    window_since: u64,
}

/// Where an endpoint is: index of the conference, number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    conference: usize,
    peer: PeerId,
}

/// Conferences, or parts of them, on one thread.
///
/// Driving contract: after each batch of input (`handle_datagram`, control calls, `handle_timeout` when the deadline is
/// reached) drain `poll_event` to `None`, then send what `poll_transmit` wrote, until it returns `false`, and sleep
/// until `poll_timeout`. Before sending give what `poll_exchange` has to the other shards.
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
    /// Whose feedback is expected.
    expected: Option<Place>,
    ufrags: HashMap<String, Place>,
    /// Relays by the addresses that are theirs alone.
    own_addresses: HashMap<SocketAddr, Place>,
    /// Conferences with something to send.
    listed: VecDeque<usize>,
    /// Conferences with something to tell other shards.
    told: VecDeque<usize>,
    by_meeting: BTreeMap<Arc<str>, usize>,
    /// What other shards are told of conferences that are gone.
    last_words: VecDeque<Exchange>,
    spare: Vec<Exchange>,
    /// Endpoints whose transport was touched and is to be drained.
    touched: Vec<Place>,
    /// Last words of endpoints that are gone: from, to, datagram.
    farewells: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    sweep: Sweep,
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
            expected: None,
            ufrags: HashMap::new(),
            own_addresses: HashMap::new(),
            listed: VecDeque::new(),
            told: VecDeque::new(),
            by_meeting: BTreeMap::new(),
            last_words: VecDeque::new(),
            spare: Vec::new(),
            touched: Vec::new(),
            farewells: VecDeque::new(),
            sweep: Sweep::default(),
        }
    }

    /// Goes on, or begins, to look at everybody at a time of the shard's clock.
    fn sweep_at(&mut self, us: u64) {
        self.timers
            .schedule(us, Due::Sweep, &mut self.sweep.scheduled);
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
        if !conference.has_told && conference.has_news() {
            conference.has_told = true;
            self.told.push_back(place);
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
        let link = conference.as_deref_mut()?.link_mut(place.peer)?;
        Some(&mut link.transport)
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
        Some(self.conference(conference)?.stats())
    }

    /// Whom of a conference the shard hears; `now` is not before what it was told last.
    pub fn hearing(&self, now: Instant, conference: ConferenceId) -> Option<Hearing> {
        Some(self.conference(conference)?.hearing(now, self.clock))
    }

    /// Relays of a conference through which nothing has come for 5 s, or that did not connect within them; `now` as in
    /// [`Shard::hearing`].
    pub fn broken_relays(&self, now: Instant, conference: ConferenceId) -> Vec<RelayId> {
        let conference = self.conference(conference);
        let broken = conference.map(|c| c.broken_relays(now, self.clock).cloned());
        broken.into_iter().flatten().collect()
    }

    /// The state of an endpoint.
    pub fn endpoint_stats(
        &self,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) -> Option<EndpointStats> {
        let conference = self.conference(conference)?;
        conference.endpoint_stats(conference.find(endpoint)?, self.clock)
    }
}
