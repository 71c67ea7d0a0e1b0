//! Key frames asked of senders, for all who wait for one.

use super::Conference;
use crate::media::context::Context;
use crate::media::exchange::{Publisher, Told};
use crate::media::table::FeedId;
use rtp::rtcp::{FirEntry, Writer};

impl Conference {
    /// Somebody elsewhere waits for a key frame of a feed.
    pub(super) fn key_frame_wanted(&mut self, cx: &mut Context<'_>, id: FeedId) {
        if let Some(feed) = self.feeds.get_mut(id) {
            feed.want_key_frame();
            self.ask_for_key_frame(cx, id);
        }
    }

    /// Asks the sender of a feed for the key frame that somebody waits for, if its turn has come.
    pub(super) fn ask_for_key_frame(&mut self, cx: &mut Context<'_>, id: FeedId) {
        let peer = match self.publishers.get(id) {
            Some(Publisher::Client(peer) | Publisher::Relay(peer)) => *peer,
            Some(&Publisher::Shard(shard, number)) => {
                let due = self.feeds.get_mut(id);
                if due.is_some_and(|feed| feed.is_key_frame_due(cx.us))
                    && let Some(sibling) = self.siblings.get_mut(shard)
                {
                    sibling.tell(Told::KeyFrame { feed: number });
                }
                return;
            }
            None => return,
        };
        let (Some(feed), Some(link), Some(out)) = (
            self.feeds.get_mut(id),
            self.links.get_mut(peer),
            self.outs.get(peer),
        ) else {
            return;
        };
        if !out.is_connected() || !feed.is_key_frame_due(cx.us) {
            return;
        }
        // For the primary SSRC, on behalf of all encodings.
        let primary = feed.spec().encodings.first().map_or(0, |e| e.ssrc);
        let mut buf = [0; 64];
        let mut writer = Writer::new(&mut buf);
        let bridge = self.feedback.video.into();
        let written = if link.negotiated().pli {
            writer.pli(bridge, primary.into())
        } else {
            let entry = FirEntry {
                ssrc: primary.into(),
                seq: link.next_fir(),
            };
            writer.fir(bridge, &[entry])
        };
        if written.is_ok() {
            cx.stats.keyframe_requests += 1;
            self.send_rtcp(peer, writer.written());
        }
    }
}
