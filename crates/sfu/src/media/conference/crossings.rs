//! What crosses to other bridges, and what they are told.

use super::Conference;
use crate::media::context::Context;
use crate::media::event::{Event, RelayNotice};
use crate::media::exchange::{Publisher, Text};
use crate::media::forward::Crossing;
use crate::media::ids::{EndpointId, RelayId, SourceName};
use crate::media::ingest::ClockPoint;
use crate::media::peer::Relay;
use crate::media::spec::MediaKind;
use crate::media::table::{FeedId, PeerId};
use rtp::rtcp::{SenderInfo, Writer, compact_ntp};
use smallvec::SmallVec;

/// Longest sender report made here.
const MAX_REPORT: usize = 64;

impl Conference {
    /// The number of the relay to a bridge.
    pub(crate) fn find_relay(&self, id: &RelayId) -> Option<PeerId> {
        let mut relays = self.relays.iter();
        relays.find(|(_, r)| r.id() == id).map(|(peer, _)| peer)
    }

    /// The bridge that a relay leads to.
    pub(crate) fn relay_id(&self, peer: PeerId) -> Option<&RelayId> {
        self.relays.get(peer).map(Relay::id)
    }

    /// All bridges that relays lead to.
    pub(crate) fn relay_ids(&self) -> impl Iterator<Item = &RelayId> {
        self.relays.values().map(Relay::id)
    }

    pub(super) fn relay_of(&self, endpoint: &EndpointId) -> Option<PeerId> {
        let mut relays = self.relays.iter();
        relays.find(|(_, r)| r.has(endpoint)).map(|(peer, _)| peer)
    }

    /// A feed begins: it crosses to those bridges that may have it and want it.
    pub(super) fn cross(&mut self, id: FeedId, publisher: Publisher) {
        let peers: SmallVec<[PeerId; 4]> = self.relays.keys().collect();
        for peer in peers {
            self.cross_to(peer, id, publisher);
        }
    }

    pub(super) fn cross_to(&mut self, peer: PeerId, id: FeedId, publisher: Publisher) {
        let (Some(feed), Some(relay), Some(crossing)) = (
            self.feeds.get(id),
            self.relays.get(peer),
            self.crossings.get_mut(peer),
        ) else {
            return;
        };
        if let Publisher::Relay(from) = publisher
            && self.relays.get(from).is_none_or(|r| !relay.is_apart(r))
        {
            return;
        }
        let wish = relay.wish(feed.name());
        if feed.kind() == MediaKind::Audio {
            crossing.open(id, feed.spec());
        } else if wish != 0 {
            crossing.open(id, feed.spec());
            self.plan.demand_elsewhere(id, 0, wish);
        }
    }

    /// A feed that crosses to a bridge, or could.
    pub(super) fn crossing_feed(&self, peer: PeerId, source: &SourceName) -> Option<FeedId> {
        let mut feeds = self.feeds.iter();
        let (id, _) = feeds.find(|(_, f)| f.name() == source)?;
        let crosses = |c: &Crossing| c.takes(id);
        self.crossings.get(peer).is_some_and(crosses).then_some(id)
    }

    pub(super) fn may_cross(&self, peer: PeerId, id: FeedId) -> bool {
        let Some(relay) = self.relays.get(peer) else {
            return false;
        };
        match self.publishers.get(id) {
            Some(Publisher::Relay(from)) => {
                self.relays.get(*from).is_some_and(|r| relay.is_apart(r))
            }
            Some(_) => true,
            None => false,
        }
    }

    /// Tells a bridge something on the channel to it.
    pub(super) fn tell_relay(&self, cx: &mut Context<'_>, peer: PeerId, notice: RelayNotice) {
        if let Some(relay) = self.relays.get(peer) {
            cx.events.push_back(Event::RelayNotice {
                conference: cx.conference,
                relay: relay.id().clone(),
                notice,
            });
        }
    }

    /// Tells all bridges something that came `from` a client or a relay, or from elsewhere.
    pub(super) fn tell_relays(
        &self,
        cx: &mut Context<'_>,
        from: Option<PeerId>,
        notice: impl Fn() -> RelayNotice,
    ) {
        let from = from.and_then(|peer| self.relays.get(peer));
        for (peer, relay) in self.relays.iter() {
            if from.is_none_or(|from| relay.is_apart(from)) {
                self.tell_relay(cx, peer, notice());
            }
        }
    }

    /// Tells the bridges a message of an endpoint, as far as it is for people of theirs; whether it is.
    pub(super) fn tell_relays_text(
        &self,
        cx: &mut Context<'_>,
        from: Option<PeerId>,
        text: &Text,
    ) -> bool {
        let from = from.and_then(|peer| self.relays.get(peer));
        let mut told = false;
        for (peer, relay) in self.relays.iter() {
            let concerned = text.to.as_ref().is_none_or(|to| relay.has(to));
            if concerned && from.is_none_or(|from| relay.is_apart(from)) {
                self.tell_relay(cx, peer, RelayNotice::Text(text.clone()));
                told = true;
            }
        }
        told
    }

    /// Tells other bridges what the sender of a feed said of its clock.
    pub(super) fn pass_clock_on(
        &mut self,
        cx: &Context<'_>,
        id: FeedId,
        encoding: u8,
        clock: &ClockPoint,
    ) {
        let peers: SmallVec<[PeerId; 4]> = self.relays.keys().collect();
        for peer in peers {
            let crossing = self.crossings.get(peer);
            let Some((ssrc, packets, octets)) = crossing.and_then(|c| c.sent(id, encoding)) else {
                continue;
            };
            let info = SenderInfo {
                ntp: clock.ntp,
                rtp_timestamp: clock.rtp,
                packet_count: packets,
                octet_count: octets,
            };
            let mut buf = [0; MAX_REPORT];
            let mut writer = Writer::new(&mut buf);
            if writer.sender_report(ssrc.into(), &info, &[]).is_ok() {
                if let Some(link) = self.links.get_mut(peer) {
                    link.note_report(ssrc, compact_ntp(clock.ntp), cx.us);
                }
                self.send_rtcp(peer, writer.written());
            }
        }
    }
}
