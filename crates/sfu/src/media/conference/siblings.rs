//! Parts of the conference on other shards: what they are told of this one, and what is done with what they tell.

use super::Conference;
use super::members::publish;
use crate::media::context::Context;
use crate::media::event::{ChannelNotice, Event, RelayNotice};
use crate::media::exchange::{Exchange, Publisher, Shared, Text, Told};
use crate::media::ids::EndpointId;
use crate::media::ingest::{ClockPoint, Feed};
use crate::media::peer::{Relay, Sibling};
use crate::media::spec::{Source, VideoType};
use crate::media::table::FeedId;
use std::sync::Arc;

impl Conference {
    /// By what its parts know each other.
    pub(crate) fn meeting(&self) -> &Arc<str> {
        self.siblings.meeting()
    }

    /// Whether it began with this part.
    pub(crate) fn is_first(&self) -> bool {
        self.siblings.is_first()
    }

    /// Whether no part of it has endpoints.
    pub(crate) fn is_deserted(&self) -> bool {
        self.here() == 0 && self.relays.len() == 0
    }

    /// If a burst is complete, what came with it goes to the other parts that want it; whether something does.
    pub(crate) fn tell_burst(&mut self, now: u64, window: u64) -> bool {
        if self.burst.is_ready(now, window) {
            self.siblings.burst_complete();
        }
        self.siblings.has_news()
    }

    /// Whether other parts are to be told something.
    pub(crate) fn has_news(&self) -> bool {
        self.siblings.has_news()
    }

    /// What another part is to be told.
    pub(crate) fn poll_exchange(&mut self, spare: &mut Vec<Exchange>) -> Option<Exchange> {
        self.siblings.poll(spare)
    }

    /// What other parts are told when this one ends.
    pub(crate) fn farewells(&self) -> impl Iterator<Item = Exchange> + '_ {
        self.siblings.farewells()
    }

    /// Tells the other parts and bridges a message of an endpoint here, if it is for endpoints of theirs; whether it is.
    pub(crate) fn tell_text(&mut self, cx: &mut Context<'_>, text: &Text) -> bool {
        let relayed = self.tell_relays_text(cx, None, text);
        let concerned = match &text.to {
            Some(to) => self.siblings.has(to),
            None => self.siblings.people() > 0,
        };
        if concerned {
            self.siblings.tell(|| Told::Text(text.clone()));
        }
        concerned || relayed
    }

    /// A packet of another part's publisher came.
    pub(crate) fn import(&mut self, cx: &mut Context<'_>, from: u8, shared: &Shared, bytes: &[u8]) {
        let sibling = self.siblings.get_mut(from);
        let number = sibling.and_then(|s| s.feeds().get(shared.incoming.feed).copied());
        let Some(feed) = number.and_then(|id| self.feeds.get_mut(id)) else {
            return;
        };
        let mut incoming = shared.incoming;
        if let Some(id) = number {
            incoming.feed = id;
        }
        // What is dropped was counted where it came in.
        if let Ok(taken) = feed.take(cx, &incoming, bytes, shared.muted) {
            self.arrived(cx, &incoming, taken, true);
        }
    }

    /// Another part tells something.
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>, from: u8, told: &Told) {
        match told {
            Told::Hello { first } => self.meet(cx, from, *first),
            Told::Gone => self.part(cx, from),
            Told::KeyFrames { feed, of } => self.key_frames_wanted(cx, *feed, *of),
            Told::Demand { feed, max_height } => {
                let sibling = self.siblings.get_mut(from);
                if let Some(before) = sibling.map(|s| s.set_demand(*feed, *max_height)) {
                    self.plan.demand_elsewhere(*feed, before, *max_height);
                }
            }
            Told::Speakers(recent) => {
                if self.floor.follow(recent.clone())
                    && let Some(speaker) = recent.first()
                {
                    self.speaker_changed(cx, speaker);
                }
            }
            Told::Text(text) => {
                self.tell_relays_text(cx, None, text);
                cx.events.push_back(Event::Text {
                    conference: cx.conference,
                    text: text.clone(),
                });
            }
            _ => self.hear_of_sources(cx, from, told),
        }
    }

    fn hear_of_sources(&mut self, cx: &mut Context<'_>, from: u8, told: &Told) {
        match told {
            Told::Joined { endpoint, visitor } => {
                self.joined_elsewhere(cx, from, endpoint, *visitor)
            }
            Told::Left { endpoint } => {
                if let Some(sibling) = self.siblings.get_mut(from)
                    && sibling.members().remove(endpoint).is_some()
                {
                    self.left(cx, endpoint);
                }
            }
            Told::Activity { endpoint, active } => {
                if let Some(sibling) = self.siblings.get_mut(from)
                    && let Some(known) = sibling.members().get_mut(endpoint)
                {
                    *known = *active;
                    self.tell_relays(cx, None, || RelayNotice::Connectivity {
                        endpoint: endpoint.clone(),
                        active: *active,
                    });
                    cx.broadcast(ChannelNotice::Connectivity {
                        endpoint: endpoint.clone(),
                        active: *active,
                    });
                }
            }
            Told::Publish {
                feed,
                owner,
                source,
                video_type,
            } => self.published_elsewhere(from, *feed, owner, source, *video_type),
            Told::Withdraw { feed } => {
                let sibling = self.siblings.get_mut(from);
                if let Some(id) = sibling.and_then(|s| s.feeds().remove(*feed)) {
                    self.withdraw(from, *feed, id);
                }
            }
            Told::Shows { feed, video_type } => {
                if let Some(feed) = self.of_sibling(from, *feed)
                    && feed.set_video_type(*video_type)
                {
                    let shown = RelayNotice::Shows {
                        source: feed.name().clone(),
                        owner: feed.owner().clone(),
                        video_type: *video_type,
                    };
                    self.plan.sources_changed(&self.receivers);
                    self.tell_relays(cx, None, || shown.clone());
                }
            }
            Told::Clock {
                feed,
                encoding,
                ntp,
                rtp,
                ..
            } => {
                let clock = ClockPoint {
                    ntp: *ntp,
                    rtp: *rtp,
                    arrival: cx.us,
                };
                let number = self.siblings.get_mut(from);
                let number = number.and_then(|s| s.feeds().get(*feed).copied());
                if let Some(number) = number {
                    self.clock_told(cx, number, *encoding, clock);
                }
            }
            _ => {}
        }
    }

    /// A feed of another part, by its number there.
    fn of_sibling(&mut self, from: u8, feed: FeedId) -> Option<&mut Feed> {
        let id = *self.siblings.get_mut(from)?.feeds().get(feed)?;
        self.feeds.get_mut(id)
    }

    /// Another part is there: it is told what is here. `first`: it knows nothing yet.
    fn meet(&mut self, cx: &mut Context<'_>, shard: u8, first: bool) {
        if first {
            self.part(cx, shard);
        }
        if !self.siblings.add(shard) {
            return;
        }
        let leads = self.siblings.leads();
        let Some(sibling) = self.siblings.get_mut(shard) else {
            return;
        };
        if first {
            sibling.tell(Told::Hello { first: false });
        }
        let clients = self.clients.iter().filter_map(|(peer, client)| {
            let link = self.links.get(peer)?;
            Some((client.id(), link.is_visitor(), link.is_active()))
        });
        let relayed = self.relays.values().flat_map(Relay::members);
        let relayed = relayed.map(|(id, active)| (id, false, active));
        for (endpoint, visitor, active) in clients.chain(relayed) {
            sibling.tell(Told::Joined {
                endpoint: endpoint.clone(),
                visitor,
            });
            if !active {
                sibling.tell(Told::Activity {
                    endpoint: endpoint.clone(),
                    active: false,
                });
            }
        }
        for (id, feed) in self.feeds.iter() {
            let publisher = self.publishers.get(id);
            if matches!(publisher, Some(Publisher::Client(_) | Publisher::Relay(_))) {
                sibling.tell(publish(id, feed));
            }
        }
        if leads {
            sibling.tell(Told::Speakers(self.floor.recent().to_vec()));
        }
    }

    /// Another part is gone.
    fn part(&mut self, cx: &mut Context<'_>, shard: u8) {
        let Some(mut sibling) = self.siblings.remove(shard) else {
            return;
        };
        let feeds: Vec<_> = sibling.feeds().iter().map(|(n, id)| (n, *id)).collect();
        for (number, id) in feeds {
            self.withdraw(shard, number, id);
        }
        for (feed, max_height) in sibling.demands() {
            self.plan.demand_elsewhere(feed, max_height, 0);
        }
        for endpoint in sibling.members().keys() {
            self.left(cx, endpoint);
        }
    }

    fn joined_elsewhere(
        &mut self,
        cx: &mut Context<'_>,
        from: u8,
        endpoint: &EndpointId,
        visitor: bool,
    ) {
        let Some(sibling) = self.siblings.get_mut(from) else {
            return;
        };
        if sibling.members().insert(endpoint.clone(), true).is_none() {
            if !visitor {
                self.floor.join(endpoint.clone());
            }
            self.empty_since = None;
            self.schedule_look(cx, cx.us);
        }
    }

    fn published_elsewhere(
        &mut self,
        from: u8,
        number: FeedId,
        owner: &EndpointId,
        source: &Source,
        video_type: VideoType,
    ) {
        let Some(sibling) = self.siblings.get_mut(from) else {
            return;
        };
        if let Some(former) = sibling.feeds().remove(number) {
            self.withdraw(from, number, former);
        }
        // What is missing its publisher's part asks for.
        let feed = Feed::new(source.clone(), owner.clone(), video_type, false);
        let publisher = Publisher::Shard(from, number);
        let id = self.add_feed(feed, publisher);
        self.ssrcs
            .publish(publisher, std::iter::empty(), ssrcs(source));
        if let Some(feeds) = self.siblings.get_mut(from).map(Sibling::feeds) {
            feeds.set(number, id);
        }
    }

    fn withdraw(&mut self, from: u8, number: FeedId, id: FeedId) {
        if let Some(feed) = self.feeds.get(id) {
            let publisher = Publisher::Shard(from, number);
            self.ssrcs
                .publish(publisher, ssrcs(feed.spec()), std::iter::empty());
        }
        self.drop_feed(id);
    }
}

/// All SSRCs of a source.
fn ssrcs(source: &Source) -> impl Iterator<Item = u32> + '_ {
    let encodings = source.encodings.iter();
    encodings.flat_map(|e| std::iter::once(e.ssrc).chain(e.rtx))
}
