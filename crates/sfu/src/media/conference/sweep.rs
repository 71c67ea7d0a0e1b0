//! What is looked at from time to time of everybody, some at a time: who fell silent, and what is counted (`census`).

use super::Conference;
use crate::media::context::Context;
use crate::media::event::{ChannelNotice, RelayNotice};
use crate::media::exchange::Told;
use crate::media::ids::EndpointId;
use crate::media::table::PeerId;

impl Conference {
    /// Looks at endpoints and relays from a number on, at no more than `left`: who fell silent or came back, and, where a
    /// window `ends`, what they had in it. Adds those to `silent` of whom nothing was heard for longer than its limit,
    /// microseconds. The number to go on from, unless that were all.
    pub(crate) fn sweep(
        &mut self,
        cx: &mut Context<'_>,
        (mut from, left): (usize, &mut usize),
        ends: bool,
        (limit, silent): (u64, &mut Vec<(PeerId, EndpointId)>),
    ) -> Option<usize> {
        while let Some(peer) = self.links.next(from) {
            if *left == 0 {
                return Some(from);
            }
            *left -= 1;
            from = self.links.after(peer);
            self.review_activity(cx, peer);
            self.count(cx.us, peer);
            if ends {
                self.end_window_of(cx.us, peer);
            }
            // Relays stay until they are told to go.
            if let (Some(link), Some(client)) = (self.links.get(peer), self.clients.get(peer))
                && link.silence(cx.now, cx.us) > limit
            {
                silent.push((peer, client.id().clone()));
            }
        }
        self.census.end();
        None
    }

    /// Whether an endpoint fell silent or came back. Of a relay's peer nobody is told: its people fall silent one by one.
    fn review_activity(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let (Some(link), Some(client)) = (self.links.get_mut(peer), self.clients.get(peer)) else {
            return;
        };
        let Some(active) = link.review_activity(cx.now, cx.us) else {
            return;
        };
        let endpoint = client.id().clone();
        match active {
            true => cx.stats.endpoints_reconnected += 1,
            false => cx.stats.endpoints_disconnected += 1,
        }
        self.siblings.tell(|| Told::Activity {
            endpoint: endpoint.clone(),
            active,
        });
        self.tell_relays(cx, None, || RelayNotice::Connectivity {
            endpoint: endpoint.clone(),
            active,
        });
        cx.broadcast(ChannelNotice::Connectivity { endpoint, active });
    }
}
