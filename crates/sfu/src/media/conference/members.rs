//! Endpoints come, change and go, with the sources they publish.

use super::Conference;
use crate::media::config::ControlError;
use crate::media::context::Context;
use crate::media::egress::PeerOut;
use crate::media::exchange::{Publisher, Told};
use crate::media::forward::Receiver;
use crate::media::ids::{EndpointId, SourceName};
use crate::media::ingest::Feed;
use crate::media::peer::{Client, SentSsrc};
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
        let peer: PeerId = self.clients.next_key();
        self.check_sources(peer, &spec.sources)?;
        let known_silent = self.left_silent.iter().any(|id| *id == spec.id);
        self.left_silent.retain(|id| *id != spec.id);
        let client = Client::new(&spec, transport, cx.us, !known_silent);
        let mut receiver = Receiver::new(&spec, cx.us);
        receiver.negotiate(client.negotiated());
        let limits = cx.config.bandwidth;
        self.outs
            .set(peer, PeerOut::new(client.negotiated(), limits, cx.us));
        self.receivers.set(peer, receiver);
        self.clients.set(peer, client);
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

    /// Removes an endpoint and everything of it from the others.
    pub(crate) fn remove(&mut self, cx: &mut Context<'_>, peer: PeerId) -> Option<Client> {
        let client = self.clients.remove(peer)?;
        self.outs.remove(peer);
        self.series.remove(peer);
        self.by_id.remove(client.id());
        if let Some(receiver) = self.receivers.remove(peer) {
            self.plan.receiver_removed(peer, &receiver);
        }
        if !client.is_active() {
            self.left_silent.truncate(LEFT_SILENT.saturating_sub(1));
            self.left_silent.push_front(client.id().clone());
        }
        let publisher = Publisher::Client(peer);
        self.ssrcs
            .publish(publisher, client.ssrcs(), std::iter::empty());
        for feed in client.feeds() {
            self.drop_feed(*feed);
        }
        self.siblings.tell(|| Told::Left {
            endpoint: client.id().clone(),
        });
        self.left(cx, client.id());
        Some(client)
    }

    /// An endpoint left, here or elsewhere.
    pub(super) fn left(&mut self, cx: &mut Context<'_>, id: &EndpointId) {
        if self.floor.leave(id) {
            self.tell_speakers(cx);
        }
        if self.people() == 0 {
            self.empty_since = Some(cx.us);
        }
    }

    /// Forgets a feed: slots that carried it become free.
    pub(super) fn drop_feed(&mut self, id: FeedId) {
        if let Some(feed) = self.feeds.remove(id) {
            let kind = feed.kind();
            self.plan.feed_removed(id, kind, &mut self.receivers);
            if kind == MediaKind::Video {
                self.plan.sources_changed(&self.receivers);
            }
            self.audio.forget(id);
            if let Some(Publisher::Client(_)) = self.publishers.remove(id) {
                self.siblings.withdraw(id);
            }
            self.burst.forget(id);
            self.sending.forget(id);
        }
    }

    /// Whether an endpoint may publish these sources.
    fn check_sources(&self, peer: PeerId, sources: &[Source]) -> Result<(), ControlError> {
        if sources.len() > MAX_SOURCES {
            return Err(ControlError::Full);
        }
        let ssrcs = sources.iter().flat_map(|s| &s.encodings);
        let mut ssrcs = ssrcs.flat_map(|e| std::iter::once(e.ssrc).chain(e.rtx));
        match ssrcs.any(|ssrc| self.ssrcs.is_taken(ssrc, Publisher::Client(peer))) {
            true => Err(ControlError::SsrcConflict),
            false => Ok(()),
        }
    }

    /// Replaces the sources of an endpoint. Unchanged ones stay as they are, with their state.
    fn set_sources(&mut self, cx: &mut Context<'_>, peer: PeerId, sources: Vec<Source>) {
        let Some(client) = self.clients.get(peer) else {
            return;
        };
        let (owner, repair) = (client.id().clone(), client.negotiated().nack);
        let mut kept: Vec<(SourceName, FeedId)> = Vec::new();
        for id in client.feeds().to_vec() {
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
            let id = self.add_feed(feed, Publisher::Client(peer));
            if let Some(feed) = self.feeds.get(id) {
                self.siblings.tell(|| publish(id, feed));
            }
            if let Some(receiver) = self.receivers.get_mut(peer) {
                receiver.own(id);
            }
            now.push(id);
        }
        let ssrcs = ssrcs_of(&self.feeds, &now);
        if let Some(client) = self.clients.get_mut(peer) {
            let sent = ssrcs.iter().map(|s| s.ssrc);
            self.ssrcs
                .publish(Publisher::Client(peer), client.ssrcs(), sent);
            client.publish(now, ssrcs);
        }
        self.tell_demands(cx, peer);
    }

    /// Somebody publishes a source.
    pub(super) fn add_feed(&mut self, feed: Feed, publisher: Publisher) -> FeedId {
        let is_video = feed.kind() == MediaKind::Video;
        let id = self.feeds.insert(feed);
        self.publishers.set(id, publisher);
        self.plan.feed_added(id);
        if is_video {
            self.plan.sources_changed(&self.receivers);
        }
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
            self.check_sources(peer, sources)?;
        }
        let client = self.clients.get_mut(peer).ok_or(ControlError::NoEndpoint)?;
        let negotiated = client.update(update);
        if let (Some(receiver), Some(out)) = (self.receivers.get_mut(peer), self.outs.get_mut(peer))
        {
            if negotiated {
                receiver.negotiate(client.negotiated());
                receiver.reconsider_audio();
                out.negotiate(client.negotiated(), cx.config.bandwidth, cx.us);
                self.audio.changed();
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
            self.audio.changed();
        }
    }

    /// What an own source of an endpoint shows; remembered if the source comes later.
    pub(crate) fn set_video_type(&mut self, peer: PeerId, name: SourceName, video_type: VideoType) {
        let Some(client) = self.clients.get(peer) else {
            return;
        };
        for id in client.feeds() {
            let feed = self.feeds.get_mut(*id).filter(|f| *f.name() == name);
            if let Some(feed) = feed {
                if feed.set_video_type(video_type) {
                    self.plan.sources_changed(&self.receivers);
                    let feed = *id;
                    self.siblings.tell(|| Told::Shows { feed, video_type });
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
        let (Some(client), Some(out)) = (self.clients.get_mut(peer), self.outs.get_mut(peer))
        else {
            return;
        };
        if let Some((inbound, outbound)) = client.transport.take_srtp() {
            client.set_keys(inbound);
            out.set_keys(outbound);
        }
        self.path_changed(cx.us, peer);
        self.see_to_missing_pictures(cx, peer, u64::MAX);
        self.schedule(cx, peer);
    }

    /// The path to an endpoint is another one, or there is none any more.
    pub(crate) fn path_changed(&mut self, now: u64, peer: PeerId) {
        let path = self.clients.get(peer).and_then(|c| c.transport.path());
        self.set_path(now, peer, path.map(|p| (p.local, p.remote)));
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
    ) {
        if let (Some(receiver), Some(out)) = (self.receivers.get_mut(peer), self.outs.get_mut(peer))
        {
            out.set_path(now, path);
            receiver.set_live(out.is_connected());
            self.audio.changed();
        }
    }

    /// All numbers of endpoints.
    pub(crate) fn peers(&self) -> Vec<PeerId> {
        self.clients.keys().collect()
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
