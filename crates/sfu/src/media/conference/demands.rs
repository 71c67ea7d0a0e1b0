//! What is wanted of sources, told to those who publish them.

use super::Conference;
use crate::media::context::Context;
use crate::media::event::{ChannelNotice, RelayNotice};
use crate::media::exchange::{Publisher, Told};
use crate::media::table::{FeedId, PeerId};

impl Conference {
    /// Tells whoever publishes a feed the greatest height that anybody wants of it.
    pub(super) fn tell_demand(&mut self, cx: &mut Context<'_>, id: FeedId, max_height: i32) {
        let Some(feed) = self.feeds.get(id) else {
            return;
        };
        match self.publishers.get(id) {
            Some(Publisher::Client(_)) => {
                let source = feed.name().clone();
                let notice = ChannelNotice::SenderSourceConstraints { source, max_height };
                cx.notice(feed.owner(), notice);
            }
            Some(&Publisher::Shard(shard, feed)) => {
                if let Some(sibling) = self.siblings.get_mut(shard) {
                    sibling.tell(Told::Demand { feed, max_height });
                }
            }
            Some(&Publisher::Relay(peer)) => {
                let source = feed.name().clone();
                self.tell_relay(cx, peer, RelayNotice::Demand { source, max_height });
            }
            None => {}
        }
    }

    /// What an endpoint was told of the demand for its sources is told again.
    pub(super) fn tell_demands(&self, cx: &mut Context<'_>, peer: PeerId) {
        let (Some(link), Some(client)) = (self.links.get(peer), self.clients.get(peer)) else {
            return;
        };
        for id in link.feeds() {
            if let (Some(feed), Some(max_height)) = (self.feeds.get(*id), self.plan.told(*id)) {
                let source = feed.name().clone();
                let notice = ChannelNotice::SenderSourceConstraints { source, max_height };
                cx.notice(client.id(), notice);
            }
        }
    }
}
