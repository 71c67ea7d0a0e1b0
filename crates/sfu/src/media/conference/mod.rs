//! A conference: brings together who publishes (`ingest`), who decides (`forward`) and who sends (`egress`), and routes
//! between them. What is decided is decided there.

mod budget;
mod census;
mod crossings;
mod decide;
mod demands;
mod due;
mod key_frames;
mod members;
mod notices;
mod relays;
mod rtcp;
mod rtp;
mod schedule;
mod series;
mod siblings;
mod sweep;
mod transmit;

use super::egress::PeerOut;
use super::exchange::Publisher;
use super::forward::{AudioPlan, Burst, Crossing, Plan, Receiver, Ssrcs};
use super::ids::{ConferenceId, EndpointId, SourceName};
use super::ingest::{Feed, Floor};
use super::packet::Outgoing;
use super::peer::{Client, Link, Relay, Siblings, Traffic};
use super::spec::{ConferenceSpec, FeedbackSources, VideoType};
use super::stats::{EndpointStats, LineStats, Loss};
use super::table::{FeedId, KeySet, PeerId, Table};
use super::timers::Scheduled;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use series::Series;
use std::collections::{HashMap, VecDeque};

/// Round trip assumed while none is measured, microseconds.
const DEFAULT_RTT: u64 = 100_000;
/// Everything about a conference and its endpoints, by their numbers.
#[derive(Debug)]
pub(crate) struct Conference {
    id: ConferenceId,
    feedback: FeedbackSources,
    by_id: HashMap<EndpointId, PeerId>,
    /// Links to clients and to other bridges.
    links: Table<PeerId, Link>,
    clients: Table<PeerId, Client>,
    /// Other bridges with people of it, and what goes to them.
    relays: Table<PeerId, Relay>,
    crossings: Table<PeerId, Crossing>,
    receivers: Table<PeerId, Receiver>,
    outs: Table<PeerId, PeerOut>,
    feeds: Table<FeedId, Feed>,
    /// Those of video: what is looked at again and again is not looked for among all that are silent.
    videos: Vec<FeedId>,
    /// Who publishes each feed.
    publishers: Table<FeedId, Publisher>,
    /// Other shards with parts of it.
    siblings: Siblings,
    ssrcs: Ssrcs,
    floor: Floor,
    plan: Plan,
    audio: AudioPlan,
    /// What arrived, and what of it is being sent.
    burst: Burst,
    sending: Burst,
    /// Who is visited by what is being sent, and from which number on it has not been.
    visits: KeySet,
    next_visit: usize,
    /// Who has something to send besides bursts.
    singles: VecDeque<PeerId>,
    has_singles: Table<PeerId, ()>,
    replays: VecDeque<(PeerId, Outgoing)>,
    wanted: Vec<FeedId>,
    demands: Vec<(FeedId, i32)>,
    restless: Vec<PeerId>,
    /// Receivers for whom something waits.
    waiting: Vec<PeerId>,
    early_types: HashMap<SourceName, VideoType>,
    /// Endpoints that were said to be silent when they went, latest first: who comes again under the same name is said
    /// to be back.
    left_silent: VecDeque<EndpointId>,
    created: u64,
    empty_since: Option<u64>,
    rates: Traffic,
    relay_rates: Traffic,
    window: census::Window,
    census: census::Census,
    visitors: usize,
    /// Of the last window, on the way here and from here.
    loss: (Loss, Loss),
    series: Table<PeerId, Series>,
    scheduled: Scheduled,
    next_look: u64,
    /// It is in the shard's list of those with something to send.
    pub(crate) listed: bool,
    /// It is in the shard's list of those with something to tell other shards.
    pub(crate) has_told: bool,
}

impl Conference {
    /// A conference, or the part of one, on the shard of a number.
    pub(crate) fn new(spec: &ConferenceSpec, shard: u8, now: u64, rng: &mut ChaCha12Rng) -> Self {
        let feedback = match &spec.part {
            Some(part) => part.feedback,
            None => FeedbackSources {
                audio: rng.random_range(1..u32::MAX),
                video: rng.random_range(1..u32::MAX),
            },
        };
        Self {
            id: spec.id,
            feedback,
            by_id: HashMap::new(),
            links: Table::default(),
            clients: Table::default(),
            relays: Table::default(),
            crossings: Table::default(),
            receivers: Table::default(),
            outs: Table::default(),
            feeds: Table::default(),
            videos: Vec::new(),
            publishers: Table::default(),
            siblings: Siblings::new(&spec.meeting_id, shard, spec.part.as_ref()),
            ssrcs: Ssrcs::new([feedback.audio, feedback.video]),
            floor: Floor::default(),
            plan: Plan::default(),
            audio: AudioPlan::default(),
            burst: Burst::default(),
            sending: Burst::default(),
            visits: KeySet::default(),
            next_visit: 0,
            singles: VecDeque::new(),
            has_singles: Table::default(),
            replays: VecDeque::new(),
            wanted: Vec::new(),
            demands: Vec::new(),
            restless: Vec::new(),
            waiting: Vec::new(),
            early_types: HashMap::new(),
            left_silent: VecDeque::new(),
            created: now,
            empty_since: Some(now),
            rates: Traffic::default(),
            relay_rates: Traffic::default(),
            window: census::Window::default(),
            census: census::Census::default(),
            visitors: 0,
            loss: (Loss::default(), Loss::default()),
            series: Table::default(),
            scheduled: Scheduled::default(),
            next_look: 0,
            listed: false,
            has_told: false,
        }
    }

    pub(crate) fn id(&self) -> ConferenceId {
        self.id
    }

    /// SSRCs the bridge uses in its own name.
    pub(crate) fn feedback(&self) -> FeedbackSources {
        self.feedback
    }

    /// When it was created.
    pub(crate) fn created(&self) -> u64 {
        self.created
    }

    /// Since when it has no endpoints on this bridge, if it has none and is not needed otherwise.
    pub(crate) fn empty_since(&self) -> Option<u64> {
        self.empty_since.filter(|_| !self.is_transit())
    }

    pub(crate) fn find(&self, id: &EndpointId) -> Option<PeerId> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn client(&self, peer: PeerId) -> Option<&Client> {
        self.clients.get(peer)
    }

    pub(crate) fn link_mut(&mut self, peer: PeerId) -> Option<&mut Link> {
        self.links.get_mut(peer)
    }

    /// All endpoints, in the order of their numbers.
    pub(crate) fn clients(&self) -> impl Iterator<Item = (PeerId, &Client, &Link)> {
        let clients = self.clients.iter();
        clients.filter_map(|(peer, client)| Some((peer, client, self.links.get(peer)?)))
    }

    pub(crate) fn receiver_mut(&mut self, peer: PeerId) -> Option<&mut Receiver> {
        self.receivers.get_mut(peer)
    }

    /// An endpoint has something to send besides bursts.
    fn has_single(&mut self, peer: PeerId) {
        if self.has_singles.get(peer).is_none() {
            self.has_singles.set(peer, ());
            self.singles.push_back(peer);
        }
    }

    /// RTCP for an endpoint.
    fn send_rtcp(&mut self, peer: PeerId, compound: &[u8]) {
        if let Some(out) = self.outs.get_mut(peer)
            && !compound.is_empty()
        {
            out.push_rtcp(compound);
            self.has_single(peer);
        }
    }

    /// Who should be sent the statistics of `sender`. Up to `small` endpoints everybody gets everybody's.
    pub(crate) fn stats_audience(&self, sender: &EndpointId, small: usize) -> Vec<EndpointId> {
        let of_all = self.people() <= small || self.floor.is_recent(sender);
        let feeds = self.feeds.values().filter(|f| f.owner() == sender);
        let names: Vec<_> = feeds.map(Feed::name).collect();
        let others = self.receivers.values().filter(|r| r.id() != sender);
        others
            .filter(|r| of_all || names.iter().any(|name| r.prefers(name)))
            .map(|r| r.id().clone())
            .collect()
    }

    /// Whether it passes on what one mesh of bridges has to another one.
    fn is_transit(&self) -> bool {
        let mut relays = self.relays.values();
        let first = relays.next();
        first.is_some_and(|first| relays.any(|other| first.is_apart(other)))
    }

    /// Number of endpoints, wherever they are.
    fn people(&self) -> usize {
        self.here() + self.relays.values().map(Relay::people).sum::<usize>()
    }

    /// Number of endpoints of this bridge, those of other parts included.
    fn here(&self) -> usize {
        self.by_id.len() + self.siblings.people()
    }

    /// The state of an endpoint now.
    pub(crate) fn endpoint_stats(&self, peer: PeerId, now: u64) -> Option<EndpointStats> {
        let (link, out) = (self.links.get(peer)?, self.outs.get(peer)?);
        let traffic = link.traffic(out.counters());
        Some(EndpointStats {
            packets_received: traffic.packets_received,
            bytes_received: traffic.bytes_received,
            packets_sent: traffic.packets_sent,
            bytes_sent: traffic.bytes_sent,
            rtt_us: link.round_trip(),
            loss: out.loss(),
            connected: out.is_connected(),
            active: link.is_active(),
            transport: link.transport_stats(),
            line: self.line_stats(peer, now),
        })
    }

    /// What is known of the line towards an endpoint.
    fn line_stats(&self, peer: PeerId, now: u64) -> LineStats {
        let (Some(receiver), Some(out)) = (self.receivers.get(peer), self.outs.get(peer)) else {
            return LineStats::default();
        };
        let (bandwidth, budget) = (out.bandwidth(), receiver.budget());
        let estimate = bandwidth.estimate();
        let (taken, ideal) = budget.rates();
        let (waiting, waiting_for) = out.waiting(now);
        LineStats {
            estimate: bandwidth.target(now),
            by_delay: estimate.map(|e| e.delay),
            by_loss: estimate.and_then(|e| e.loss),
            arrives: estimate.and_then(|e| e.acknowledged),
            for_video: budget.available(),
            taken,
            ideal,
            is_limited: budget.is_limited(),
            held: budget.held_until().saturating_sub(now),
            waiting,
            waiting_for,
            streams: receiver.streams(now, &self.feeds),
            series: self.series.get(peer).map_or_else(Vec::new, |s| s.get(now)),
        }
    }
}
