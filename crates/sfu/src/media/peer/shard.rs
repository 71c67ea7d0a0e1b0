//! Other shards that have parts of the same conference: what they are told, and what they have told.

use crate::media::exchange::{Exchange, Item, Shared, Told};
use crate::media::ids::EndpointId;
use crate::media::packet::Incoming;
use crate::media::spec::{MediaKind, Part};
use crate::media::table::{FeedId, Table};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// The part of a conference on another shard.
#[derive(Debug)]
pub(crate) struct Sibling {
    shard: u8,
    out: Exchange,
    /// What is in `out` has to go.
    news: bool,
    /// Its endpoints, and whether something is heard of them.
    members: BTreeMap<EndpointId, bool>,
    /// Our numbers of its feeds, by its own.
    feeds: Table<FeedId, FeedId>,
    /// What it wants of our feeds, where it wants something.
    demands: Table<FeedId, i32>,
}

impl Sibling {
    /// Tells it something.
    pub(crate) fn tell(&mut self, told: Told) {
        self.out.items.push(Item::Told(Box::new(told)));
        self.news = true;
    }

    fn export(&mut self, at: Instant, incoming: &Incoming, packet: &[u8], muted: bool) {
        let wanted = incoming.kind == MediaKind::Audio || self.demands.get(incoming.feed).is_some();
        if wanted {
            let start = self.out.bytes.len();
            self.out.bytes.extend_from_slice(packet);
            self.out.items.push(Item::Packet(Shared {
                at,
                incoming: *incoming,
                muted,
                start,
            }));
        }
    }

    /// Our numbers of its feeds, by its own.
    pub(crate) fn feeds(&mut self) -> &mut Table<FeedId, FeedId> {
        &mut self.feeds
    }

    /// Sets what it wants of a feed of ours; what it wanted before.
    pub(crate) fn set_demand(&mut self, feed: FeedId, max_height: i32) -> i32 {
        let before = self.demands.remove(feed).unwrap_or(0);
        if max_height != 0 {
            self.demands.set(feed, max_height);
        }
        before
    }

    /// What it wants of our feeds.
    pub(crate) fn demands(&self) -> impl Iterator<Item = (FeedId, i32)> + '_ {
        self.demands.iter().map(|(feed, height)| (feed, *height))
    }

    /// Its endpoints, and whether something is heard of them.
    pub(crate) fn members(&mut self) -> &mut BTreeMap<EndpointId, bool> {
        &mut self.members
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Siblings {
    meeting: Arc<str>,
    shard: u8,
    /// The conference began with this part.
    first: bool,
    /// Shards that have not been asked yet whether they have a part.
    unasked: Vec<u8>,
    all: Vec<Sibling>,
}

impl Siblings {
    /// Those of the part on `shard`; without a `part` there are none, ever.
    pub(crate) fn new(meeting: &str, shard: u8, part: Option<&Part>) -> Self {
        let others = part.map(|p| p.others.clone());
        Self {
            meeting: Arc::from(meeting),
            shard,
            first: part.is_none_or(|p| !p.exists),
            unasked: others.unwrap_or_default(),
            all: Vec::new(),
        }
    }

    /// By what the parts know each other.
    pub(crate) fn meeting(&self) -> &Arc<str> {
        &self.meeting
    }

    /// Whether the conference began with this part.
    pub(crate) fn is_first(&self) -> bool {
        self.first
    }

    /// Whether this part decides what one part must decide for all.
    pub(crate) fn leads(&self) -> bool {
        self.all.iter().all(|s| s.shard > self.shard)
    }

    /// Number of endpoints of all the others.
    pub(crate) fn people(&self) -> usize {
        self.all.iter().map(|s| s.members.len()).sum()
    }

    /// Endpoints of the others of which nothing is heard.
    pub(crate) fn silent(&self) -> impl Iterator<Item = &EndpointId> {
        let members = self.all.iter().flat_map(|s| &s.members);
        members.filter(|(_, active)| !**active).map(|(id, _)| id)
    }

    /// Whether an endpoint is another part's.
    pub(crate) fn has(&self, endpoint: &EndpointId) -> bool {
        self.all.iter().any(|s| s.members.contains_key(endpoint))
    }

    pub(crate) fn get_mut(&mut self, shard: u8) -> Option<&mut Sibling> {
        self.all.iter_mut().find(|s| s.shard == shard)
    }

    /// Another part is there; whether it was not known.
    pub(crate) fn add(&mut self, shard: u8) -> bool {
        let new = shard != self.shard && self.get_mut(shard).is_none();
        if new {
            self.all.push(Sibling {
                shard,
                out: Exchange::new(self.meeting.clone(), self.shard, shard),
                news: false,
                members: BTreeMap::new(),
                feeds: Table::default(),
                demands: Table::default(),
            });
        }
        new
    }

    /// Another part is gone.
    pub(crate) fn remove(&mut self, shard: u8) -> Option<Sibling> {
        let at = self.all.iter().position(|s| s.shard == shard)?;
        Some(self.all.swap_remove(at))
    }

    /// Tells all the same.
    pub(crate) fn tell(&mut self, told: impl Fn() -> Told) {
        self.all.iter_mut().for_each(|s| s.tell(told()));
    }

    /// A packet came that those get who want it. It goes with the burst it belongs to.
    #[inline]
    pub(crate) fn export(&mut self, at: Instant, incoming: &Incoming, packet: &[u8], muted: bool) {
        for sibling in &mut self.all {
            sibling.export(at, incoming, packet, muted);
        }
    }

    /// The packets that came have to go.
    pub(crate) fn burst_complete(&mut self) {
        for sibling in &mut self.all {
            sibling.news |= !sibling.out.is_empty();
        }
    }

    /// A feed of ours is gone.
    pub(crate) fn withdraw(&mut self, feed: FeedId) {
        for sibling in &mut self.all {
            sibling.demands.remove(feed);
            sibling.tell(Told::Withdraw { feed });
        }
    }

    /// Whether something has to go.
    pub(crate) fn has_news(&self) -> bool {
        !self.unasked.is_empty() || self.all.iter().any(|s| s.news)
    }

    /// What has to go next. `spare` are emptied ones to use again.
    pub(crate) fn poll(&mut self, spare: &mut Vec<Exchange>) -> Option<Exchange> {
        if let Some(shard) = self.unasked.pop() {
            let mut hello = Exchange::new(self.meeting.clone(), self.shard, shard);
            let first = Box::new(Told::Hello { first: true });
            hello.items.push(Item::Told(first));
            return Some(hello);
        }
        let sibling = self.all.iter_mut().find(|s| s.news)?;
        sibling.news = false;
        let (from, to) = (self.shard, sibling.shard);
        let next = match spare.pop() {
            Some(mut next) => {
                (next.meeting, next.from, next.to) = (self.meeting.clone(), from, to);
                next
            }
            None => Exchange::new(self.meeting.clone(), from, to),
        };
        Some(std::mem::replace(&mut sibling.out, next))
    }

    /// What the others are told when this part ends.
    pub(crate) fn farewells(&self) -> impl Iterator<Item = Exchange> + '_ {
        self.all.iter().map(|sibling| {
            let mut exchange = Exchange::lost(self.shard, sibling.shard);
            exchange.meeting = self.meeting.clone();
            exchange
        })
    }
}
