//! Other bridges with people of the conference: relays to them, and what they tell.

use super::Conference;
use crate::media::config::ControlError;
use crate::media::context::Context;
use crate::media::egress::PeerOut;
use crate::media::event::{ChannelNotice, Event, RelayNotice};
use crate::media::exchange::{Text, Told};
use crate::media::forward::Crossing;
use crate::media::ids::{EndpointId, RelayId, SourceName};
use crate::media::negotiated::Negotiated;
use crate::media::peer::{Link, Relay};
use crate::media::spec::{MediaKind, RelaySpec, VideoType};
use crate::media::table::{FeedId, PeerId};
use std::time::Instant;

/// A relay through which nothing came for so long is broken, microseconds: bridges send something at least every 2.5 s.
const BROKEN: u64 = 5_000_000;
/// Most relays of a conference.
const MAX_RELAYS: usize = 64;

impl Conference {
    /// Adds a relay whose transport was made; its number.
    pub(crate) fn add_relay(
        &mut self,
        cx: &mut Context<'_>,
        spec: &RelaySpec,
        transport: rtc::Transport,
    ) -> Result<PeerId, ControlError> {
        if self.find_relay(&spec.id).is_some() {
            return Err(ControlError::Exists);
        }
        if self.relays.len() >= MAX_RELAYS {
            return Err(ControlError::Full);
        }
        let peer = self.next_peer();
        // Nothing is estimated on a link between bridges: no numbers and no times for that purpose.
        let mut negotiated = Negotiated::new(&spec.payload_types, &spec.header_extensions);
        (negotiated.transport_cc, negotiated.abs_send_time) = (None, None);
        let limits = cx.config.bandwidth;
        self.outs
            .set(peer, PeerOut::new(&negotiated, limits, cx.us));
        self.links.set(
            peer,
            Link::new(negotiated, transport, cx.us, (false, true), limits),
        );
        self.crossings.set(peer, Crossing::default());
        self.relays
            .set(peer, Relay::new(spec.id.clone(), spec.mesh.clone()));
        let feeds: Vec<_> = self.publishers.iter().map(|(id, p)| (id, *p)).collect();
        for (id, publisher) in feeds {
            self.cross_to(peer, id, publisher);
        }
        cx.stats.relays_created += 1;
        Ok(peer)
    }

    /// Relays through which nothing comes, or that do not connect.
    pub(crate) fn broken_relays(&self, now: Instant, us: u64) -> impl Iterator<Item = &RelayId> {
        let broken = move |peer: PeerId| {
            let Some(link) = self.links.get(peer) else {
                return false;
            };
            let connected = self.outs.get(peer).is_some_and(PeerOut::is_connected);
            link.silence(now, us) > BROKEN || !connected && link.age(us) > BROKEN
        };
        let relays = self.relays.iter().filter(move |(peer, _)| broken(*peer));
        relays.map(|(_, relay)| relay.id())
    }

    /// Another bridge wants another height of a source than before; 0 for nothing.
    pub(crate) fn relay_wishes(&mut self, peer: PeerId, source: SourceName, max_height: i32) {
        let found = self.feeds.iter().find(|(_, f)| *f.name() == source);
        let id = found.map(|(id, _)| id);
        let crossed = self.crossing_feed(peer, &source);
        let relay = self.relays.get_mut(peer);
        let Some(before) = relay.and_then(|r| r.set_wish(source, max_height)) else {
            return;
        };
        let is_audio = |id| {
            self.feeds
                .get(id)
                .is_some_and(|f| f.kind() == MediaKind::Audio)
        };
        let Some(id) = id.filter(|id| !is_audio(*id)) else {
            return;
        };
        match (crossed, self.publishers.get(id).copied()) {
            (Some(id), _) => {
                self.plan.demand_elsewhere(id, before, max_height);
                if max_height == 0
                    && let Some(crossing) = self.crossings.get_mut(peer)
                {
                    crossing.close(id);
                }
            }
            (None, Some(publisher)) => self.cross_to(peer, id, publisher),
            (None, None) => {}
        }
    }

    /// A bridge says that something is heard of an endpoint behind it, or no more.
    pub(crate) fn relay_heard(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        endpoint: &EndpointId,
        active: bool,
    ) {
        let relay = self.relays.get_mut(peer);
        if !relay.is_some_and(|r| r.set_active(endpoint, active)) {
            return;
        }
        self.siblings.tell(|| Told::Activity {
            endpoint: endpoint.clone(),
            active,
        });
        self.tell_relays(cx, Some(peer), || RelayNotice::Connectivity {
            endpoint: endpoint.clone(),
            active,
        });
        cx.broadcast(ChannelNotice::Connectivity {
            endpoint: endpoint.clone(),
            active,
        });
    }

    /// A message of an endpoint behind a relay, for endpoints here and in other parts and meshes. What names a sender that
    /// is not behind it goes nowhere; whether it went on.
    pub(crate) fn relay_text(&mut self, cx: &mut Context<'_>, peer: PeerId, text: &Text) -> bool {
        if !self.relays.get(peer).is_some_and(|r| r.has(&text.from)) {
            return false;
        }
        let concerned = match &text.to {
            Some(to) => self.siblings.has(to),
            None => self.siblings.people() > 0,
        };
        if concerned {
            self.siblings.tell(|| Told::Text(text.clone()));
        }
        self.tell_relays_text(cx, Some(peer), text);
        cx.events.push_back(Event::Text {
            conference: cx.conference,
            text: text.clone(),
        });
        true
    }

    /// The channel to a bridge is open: what it must know of this one.
    pub(crate) fn relay_opened(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        self.settle(cx);
        let Some(relay) = self.relays.get(peer) else {
            return;
        };
        let behind: Vec<FeedId> = relay.feeds().collect();
        for id in behind {
            if let (Some(feed), Some(max_height)) = (self.feeds.get(id), self.plan.told(id)) {
                let source = feed.name().clone();
                self.tell_relay(cx, peer, RelayNotice::Demand { source, max_height });
            }
        }
        for (id, feed) in self.feeds.iter() {
            let shows = feed.video_type().filter(|t| *t != VideoType::Camera);
            if let Some(video_type) = shows.filter(|_| self.may_cross(peer, id)) {
                let shown = RelayNotice::Shows {
                    source: feed.name().clone(),
                    owner: feed.owner().clone(),
                    video_type,
                };
                self.tell_relay(cx, peer, shown);
            }
        }
    }
}
