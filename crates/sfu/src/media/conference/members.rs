//! Endpoints come, change and go, with the sources they publish.

use super::Conference;
use crate::media::config::ControlError;
use crate::media::context::Context;
use crate::media::egress::PeerOut;
use crate::media::event::RelayNotice;
use crate::media::exchange::{Publisher, Told};
use crate::media::forward::Receiver;
use crate::media::ids::{EndpointId, SourceName};
use crate::media::ingest::Feed;
use crate::media::negotiated::Negotiated;
use crate::media::peer::{Client, Link, SentSsrc};
use crate::media::spec::{
    EndpointSpec, EndpointUpdate, MediaKind, Source, Subscription, VideoType,
};
use crate::media::table::{FeedId, PeerId, Table};

/// Video types remembered for sources that are not signalled yet.
const MAX_EARLY_TYPES: usize = 64;
/// Most sources of an endpoint.
const MAX_SOURCES: usize = 64;
/// Most endpoints remembered that were silent when they went.
const LEFT_SILENT: usize = 64;

impl Conference {
    /// Adds an endpoint whose transport was made; its number.
    pub(crate) fn add(
        &mut self,
        cx: &mut Context<'_>,
        spec: EndpointSpec,
        transport: rtc::Transport,
    ) -> Result<PeerId, ControlError> {
        if self.by_id.contains_key(&spec.id) || self.siblings.has(&spec.id) {
            return Err(ControlError::Exists);
        }
        if self.clients.len() >= cx.config.limits.1 {
            return Err(ControlError::Full);
        }
        // Whoever comes here is not behind a relay any more.
        self.displace(cx, &spec.id);
        let peer = self.next_peer();
        self.check_sources(Publisher::Client(peer), &spec.sources)?;
        let known_silent = self.left_silent.iter().any(|id| *id == spec.id);
        self.left_silent.retain(|id| *id != spec.id);
        let negotiated = Negotiated::new(&spec.payload_types, &spec.header_extensions);
        let mut receiver = Receiver::new(&spec, cx.us);
        receiver.negotiate(&negotiated);
        let limits = cx.config.bandwidth;
        self.outs
            .set(peer, PeerOut::new(&negotiated, limits, cx.us));
        let known = (spec.visitor, !known_silent);
        self.links
            .set(peer, Link::new(negotiated, transport, cx.us, known, limits));
        self.receivers.set(peer, receiver);
        self.clients.set(peer, Client::new(&spec));
        self.visitors += usize::from(spec.visitor);
        self.by_id.insert(spec.id.clone(), peer);
        self.siblings.tell(|| Told::Joined {
            endpoint: spec.id.clone(),
            visitor: spec.visitor,
        });
        if !spec.visitor {
            self.floor.join(spec.id);
        }
        self.empty_since = None;
        self.plan.receiver_changed(peer);
        // From the first decision on it has what its line is taken to carry.
        self.review_budget(cx, peer);
        self.set_sources(cx, peer, spec.sources);
        self.schedule_look(cx, cx.us);
        Ok(peer)
    }

    /// The number that the next endpoint or relay gets.
    pub(super) fn next_peer(&self) -> PeerId {
        self.links.next_key()
    }

    /// Removes an endpoint, or a relay, and everything of it from the others; its link.
    pub(crate) fn remove(&mut self, cx: &mut Context<'_>, peer: PeerId) -> Option<Link> {
        let link = self.links.remove(peer)?;
        self.outs.remove(peer);
        let publisher = match self.relays.get(peer) {
            Some(_) => Publisher::Relay(peer),
            None => Publisher::Client(peer),
        };
        self.visitors -= usize::from(link.is_visitor());
        self.ssrcs
            .publish(publisher, link.ssrcs(), std::iter::empty());
        for feed in link.feeds() {
            self.drop_feed(*feed);
        }
        match publisher {
            Publisher::Relay(_) => self.forget_relay(cx, peer),
            _ => self.forget_client(cx, peer, link.is_active()),
        }
        Some(link)
    }

    fn forget_client(&mut self, cx: &mut Context<'_>, peer: PeerId, active: bool) {
        let Some(client) = self.clients.remove(peer) else {
            return;
        };
        self.series.remove(peer);
        self.by_id.remove(client.id());
        if let Some(receiver) = self.receivers.remove(peer) {
            self.plan.receiver_removed(peer, &receiver);
        }
        if !active {
            self.left_silent.truncate(LEFT_SILENT.saturating_sub(1));
            self.left_silent.push_front(client.id().clone());
        }
        self.siblings.tell(|| Told::Left {
            endpoint: client.id().clone(),
        });
        self.left(cx, client.id());
    }

    /// An endpoint left, here or elsewhere.
    pub(super) fn left(&mut self, cx: &mut Context<'_>, id: &EndpointId) {
        if self.floor.leave(id) {
            self.tell_speakers(cx);
        }
        if self.here() == 0 && self.empty_since.is_none() {
            self.empty_since = Some(cx.us);
        }
    }

    /// A relay is gone with all behind it; its feeds were dropped.
    pub(super) fn forget_relay(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let Some(relay) = self.relays.remove(peer) else {
            return;
        };
        let wishes: Vec<_> = relay.wishes().map(|(n, h)| (n.clone(), h)).collect();
        for (source, height) in wishes {
            if let Some(feed) = self.crossing_feed(peer, &source) {
                self.plan.demand_elsewhere(feed, height, 0);
            }
        }
        self.crossings.remove(peer);
        for (endpoint, _) in relay.members() {
            self.left_behind(cx, endpoint);
        }
    }

    fn left_behind(&mut self, cx: &mut Context<'_>, endpoint: &EndpointId) {
        self.siblings.tell(|| Told::Left {
            endpoint: endpoint.clone(),
        });
        self.left(cx, endpoint);
    }

    /// An endpoint is behind a relay; with `sources`, these are all it has.
    pub(crate) fn set_relayed(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        endpoint: &EndpointId,
        sources: Option<Vec<Source>>,
    ) -> Result<(), ControlError> {
        let publisher = Publisher::Relay(peer);
        if let Some(sources) = &sources {
            self.check_sources(publisher, sources)?;
        }
        if self.by_id.contains_key(endpoint) || self.siblings.has(endpoint) {
            return Err(ControlError::Exists);
        }
        let elsewhere = self.relay_of(endpoint).filter(|other| *other != peer);
        if let Some(other) = elsewhere {
            self.expire_relayed(cx, other, endpoint);
        }
        let relay = self.relays.get_mut(peer).ok_or(ControlError::NoEndpoint)?;
        if !relay.has(endpoint) && relay.people() >= cx.config.limits.1 {
            return Err(ControlError::Full);
        }
        if relay.join(endpoint.clone()) {
            self.siblings.tell(|| Told::Joined {
                endpoint: endpoint.clone(),
                visitor: false,
            });
            self.floor.join(endpoint.clone());
            self.schedule_look(cx, cx.us);
        }
        if let Some(sources) = sources {
            let before = self
                .relays
                .get_mut(peer)
                .map_or_else(Vec::new, |r| r.take_feeds(endpoint));
            let feeds = self.replace_feeds(publisher, endpoint, before, sources);
            if let Some(relay) = self.relays.get_mut(peer) {
                relay.set_feeds(endpoint, feeds);
            }
            self.publish_relayed(peer);
        }
        Ok(())
    }

    /// An endpoint is not behind a relay any more.
    pub(crate) fn expire_relayed(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        endpoint: &EndpointId,
    ) {
        let relay = self.relays.get_mut(peer);
        let Some(feeds) = relay.and_then(|r| r.leave(endpoint)) else {
            return;
        };
        self.publish_relayed(peer);
        feeds.into_iter().for_each(|feed| self.drop_feed(feed));
        self.left_behind(cx, endpoint);
    }

    fn publish_relayed(&mut self, peer: PeerId) {
        let feeds = self.relays.get(peer).map(|r| r.feeds().collect());
        self.publish(peer, feeds.unwrap_or_default());
    }

    /// An endpoint comes here that may have been behind a relay.
    pub(super) fn displace(&mut self, cx: &mut Context<'_>, endpoint: &EndpointId) {
        if let Some(peer) = self.relay_of(endpoint) {
            self.expire_relayed(cx, peer, endpoint);
        }
    }

    /// Forgets a feed: slots that carried it become free.
    pub(super) fn drop_feed(&mut self, id: FeedId) {
        if let Some(feed) = self.feeds.remove(id) {
            let kind = feed.kind();
            let publisher = self.publishers.remove(id);
            if let Some(Publisher::Client(peer)) = publisher
                && let Some(receiver) = self.receivers.get_mut(peer)
            {
                receiver.forget(id, kind);
            }
            let is_known = match kind {
                MediaKind::Video => self.plan.forget(id),
                MediaKind::Audio => self.audio.forget(id),
            };
            // Most of a large hall never say a word.
            if is_known {
                let receivers = self.receivers.iter_mut();
                receivers.for_each(|(_, receiver)| receiver.forget(id, kind));
            }
            if kind == MediaKind::Video {
                self.videos.retain(|video| *video != id);
                self.plan.sources_changed(&self.receivers);
            }
            if let Some(Publisher::Client(_) | Publisher::Relay(_)) = publisher {
                self.siblings.withdraw(id);
            }
            for (_, crossing) in self.crossings.iter_mut() {
                crossing.close(id);
            }
            self.burst.forget(id);
            self.sending.forget(id);
        }
    }

    /// Whether these sources may be published.
    pub(super) fn check_sources(
        &self,
        publisher: Publisher,
        sources: &[Source],
    ) -> Result<(), ControlError> {
        if sources.len() > MAX_SOURCES {
            return Err(ControlError::Full);
        }
        let ssrcs = sources.iter().flat_map(|s| &s.encodings);
        let mut ssrcs = ssrcs.flat_map(|e| std::iter::once(e.ssrc).chain(e.rtx));
        match ssrcs.any(|ssrc| self.ssrcs.is_taken(ssrc, publisher)) {
            true => Err(ControlError::SsrcConflict),
            false => Ok(()),
        }
    }

    /// Replaces the sources of an endpoint. Unchanged ones stay as they are, with their state.
    fn set_sources(&mut self, cx: &mut Context<'_>, peer: PeerId, sources: Vec<Source>) {
        let (Some(link), Some(client)) = (self.links.get(peer), self.clients.get(peer)) else {
            return;
        };
        let (owner, feeds) = (client.id().clone(), link.feeds().to_vec());
        let now = self.replace_feeds(Publisher::Client(peer), &owner, feeds, sources);
        if let Some(receiver) = self.receivers.get_mut(peer) {
            now.iter().for_each(|id| receiver.own(*id));
        }
        self.publish(peer, now);
        self.tell_demands(cx, peer);
    }

    /// Sets all that comes on a link.
    pub(super) fn publish(&mut self, peer: PeerId, feeds: Vec<FeedId>) {
        let publisher = match self.relays.get(peer) {
            Some(_) => Publisher::Relay(peer),
            None => Publisher::Client(peer),
        };
        let ssrcs = ssrcs_of(&self.feeds, &feeds);
        if let Some(link) = self.links.get_mut(peer) {
            let sent = ssrcs.iter().map(|s| s.ssrc);
            self.ssrcs.publish(publisher, link.ssrcs(), sent);
            link.publish(feeds, ssrcs);
        }
    }

    /// Puts the feeds of an endpoint in place of those before. Unchanged ones stay as they are, with their state.
    pub(super) fn replace_feeds(
        &mut self,
        publisher: Publisher,
        owner: &EndpointId,
        before: Vec<FeedId>,
        sources: Vec<Source>,
    ) -> Vec<FeedId> {
        let repair = match publisher {
            Publisher::Client(peer) | Publisher::Relay(peer) => {
                let link = self.links.get(peer);
                link.is_some_and(|link| link.negotiated().nack)
            }
            Publisher::Shard(..) => false,
        };
        let mut kept: Vec<(SourceName, FeedId)> = Vec::new();
        for id in before {
            let same = self.feeds.get(id).filter(|feed| {
                let spec = feed.spec();
                let is_same = |new: &Source| {
                    new.name == spec.name
                        && new.kind == spec.kind
                        && new.encodings == spec.encodings
                };
                sources.iter().any(is_same)
            });
            match same {
                Some(feed) => kept.push((feed.name().clone(), id)),
                None => self.drop_feed(id),
            }
        }
        let mut now = Vec::with_capacity(sources.len());
        for spec in sources {
            if let Some((_, id)) = kept.iter().find(|(name, _)| *name == spec.name) {
                now.push(*id);
                continue;
            }
            let early = self.early_types.remove(&spec.name);
            let video_type = early.unwrap_or(spec.video_type);
            let feed = Feed::new(spec, owner.clone(), video_type, repair);
            let id = self.add_feed(feed, publisher);
            if let Some(feed) = self.feeds.get(id) {
                self.siblings.tell(|| publish(id, feed));
            }
            now.push(id);
        }
        now
    }

    /// Somebody publishes a source.
    pub(super) fn add_feed(&mut self, feed: Feed, publisher: Publisher) -> FeedId {
        let kind = feed.kind();
        let id = self.feeds.insert(feed);
        self.publishers.set(id, publisher);
        match kind {
            MediaKind::Audio => self.audio.feed_added(id),
            MediaKind::Video => {
                self.videos.push(id);
                self.plan.feed_added(id);
                self.plan.sources_changed(&self.receivers);
            }
        }
        self.cross(id, publisher);
        id
    }

    /// Everything of an update but the transport.
    pub(crate) fn update(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        update: &mut EndpointUpdate,
    ) -> Result<(), ControlError> {
        if let Some(sources) = &update.sources {
            self.check_sources(Publisher::Client(peer), sources)?;
        }
        let link = self.links.get_mut(peer).ok_or(ControlError::NoEndpoint)?;
        let negotiated = link.update(update);
        if let (Some(receiver), Some(out)) = (self.receivers.get_mut(peer), self.outs.get_mut(peer))
        {
            if negotiated {
                link.review_estimate(cx.config.bandwidth);
                receiver.negotiate(link.negotiated());
                receiver.reconsider_audio();
                out.negotiate(link.negotiated(), cx.config.bandwidth, cx.us);
                self.audio.changed(peer);
            }
            if let Some(last_n) = update.initial_last_n {
                receiver.set_initial_last_n(last_n);
                self.plan.receiver_changed(peer);
            }
        }
        if let Some(sources) = update.sources.take() {
            self.set_sources(cx, peer, sources);
        }
        Ok(())
    }

    /// A receiver wants something else of the others' video.
    pub(crate) fn receiver_changed(&mut self, peer: PeerId) {
        self.plan.receiver_changed(peer);
    }

    /// A receiver wants something else of the others' audio.
    pub(crate) fn subscribe(&mut self, peer: PeerId, subscription: Subscription) {
        if let Some(receiver) = self.receivers.get_mut(peer) {
            receiver.subscribe(subscription);
            self.audio.changed(peer);
        }
    }

    /// What an own source of an endpoint shows; remembered if the source comes later.
    pub(crate) fn set_video_type(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        name: SourceName,
        video_type: VideoType,
    ) {
        let Some(link) = self.links.get(peer) else {
            return;
        };
        for id in link.feeds() {
            let feed = self.feeds.get_mut(*id).filter(|f| *f.name() == name);
            if let Some(feed) = feed {
                if feed.set_video_type(video_type) {
                    let shown = RelayNotice::Shows {
                        source: name,
                        owner: feed.owner().clone(),
                        video_type,
                    };
                    self.plan.sources_changed(&self.receivers);
                    let feed = *id;
                    self.siblings.tell(|| Told::Shows { feed, video_type });
                    self.tell_relays(cx, Some(peer), || shown.clone());
                }
                return;
            }
        }
        if self.early_types.len() < MAX_EARLY_TYPES {
            self.early_types.insert(name, video_type);
        }
    }

    /// The transport of an endpoint is up.
    pub(crate) fn connected(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let (Some(link), Some(out)) = (self.links.get_mut(peer), self.outs.get_mut(peer)) else {
            return;
        };
        if let Some((inbound, outbound)) = link.transport.take_srtp() {
            link.set_keys(inbound);
            out.set_keys(outbound);
        }
        self.path_changed(cx, peer);
        self.see_to_missing_pictures(cx, peer, u64::MAX);
        self.schedule(cx, peer);
    }

    /// The path to an endpoint is another one, or there is none any more.
    pub(crate) fn path_changed(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let path = self.links.get(peer).and_then(|l| l.transport.path());
        if self.set_path(cx.us, peer, path.map(|p| (p.local, p.remote))) {
            // Sending all of it again would take longer than a picture from its beginning.
            if let Some(receiver) = self.receivers.get_mut(peer) {
                receiver.cut();
            }
            self.see_to_missing_pictures(cx, peer, u64::MAX);
            self.schedule(cx, peer);
        }
    }

    /// Nothing more is sent to an endpoint for now.
    pub(crate) fn path_lost(&mut self, now: u64, peer: PeerId) {
        self.set_path(now, peer, None);
    }

    fn set_path(
        &mut self,
        now: u64,
        peer: PeerId,
        path: Option<(std::net::SocketAddr, std::net::SocketAddr)>,
    ) -> bool {
        let Some(out) = self.outs.get_mut(peer) else {
            return false;
        };
        let was_cut = out.set_path(now, path);
        if let Some(receiver) = self.receivers.get_mut(peer) {
            receiver.set_live(out.is_connected());
            self.audio.changed(peer);
        }
        was_cut
    }

    /// All numbers of endpoints and relays.
    pub(crate) fn peers(&self) -> Vec<PeerId> {
        self.links.keys().collect()
    }
}

/// What other parts of the conference are told of a feed.
pub(super) fn publish(id: FeedId, feed: &Feed) -> Told {
    Told::Publish {
        feed: id,
        owner: feed.owner().clone(),
        source: feed.spec().clone(),
        video_type: feed.video_type().unwrap_or_default(),
    }
}

fn ssrcs_of(feeds: &Table<FeedId, Feed>, published: &[FeedId]) -> Vec<SentSsrc> {
    let mut ssrcs = Vec::new();
    for &feed in published {
        let encodings = feeds.get(feed).map(|f| f.spec().encodings.iter());
        for (encoding, e) in encodings.into_iter().flatten().enumerate() {
            let sent = |ssrc, rtx| SentSsrc {
                ssrc,
                feed,
                encoding: encoding as u8,
                rtx,
            };
            ssrcs.push(sent(e.ssrc, false));
            ssrcs.extend(e.rtx.map(|ssrc| sent(ssrc, true)));
        }
    }
    ssrcs
}
