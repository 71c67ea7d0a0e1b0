//! What the parts of a conference need of their shard.

use super::config::ShardConfig;
use super::event::{ChannelNotice, Event};
use super::ids::{ConferenceId, EndpointId};
use super::stats::Stats;
use super::store::Store;
use super::table::PeerId;
use super::timers::{Due, Scheduled, Timers};
use rand_chacha::ChaCha12Rng;
use std::collections::VecDeque;
use std::time::Instant;

/// See the module.
pub(crate) struct Context<'a> {
    /// The conference that is at work.
    pub(crate) conference: ConferenceId,
    /// Its index in the shard.
    pub(crate) place: usize,
    pub(crate) now: Instant,
    /// Microseconds of the shard's clock.
    pub(crate) us: u64,
    pub(crate) config: &'a ShardConfig,
    pub(crate) store: &'a mut Store,
    pub(crate) stats: &'a mut Stats,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) rng: &'a mut ChaCha12Rng,
    pub(crate) timers: &'a mut Timers,
}

impl Context<'_> {
    /// An endpoint has something to do at a time of the shard's clock.
    pub(crate) fn wake(&mut self, at: u64, peer: PeerId, scheduled: &mut Scheduled) {
        let due = Due::Peer(self.place, peer);
        self.timers.schedule(at, due, scheduled);
    }

    /// Tells a client something on its bridge channel.
    pub(crate) fn notice(&mut self, endpoint: &EndpointId, notice: ChannelNotice) {
        self.events.push_back(Event::Notice {
            conference: self.conference,
            endpoint: endpoint.clone(),
            notice,
        });
    }

    /// Tells all clients of the conference something.
    pub(crate) fn broadcast(&mut self, notice: ChannelNotice) {
        self.events.push_back(Event::Broadcast {
            conference: self.conference,
            notice,
        });
    }
}
