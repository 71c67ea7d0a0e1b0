//! What deciding needs of a conference, and what comes of it, as plain values.

use super::receiver::{Receiver, Ssrcs};
use crate::media::context::Context;
use crate::media::ingest::Feed;
use crate::media::packet::Outgoing;
use crate::media::table::{FeedId, PeerId, Table};
use std::collections::VecDeque;

/// See the module.
pub(crate) struct Stage<'a> {
    pub(crate) feeds: &'a mut Table<FeedId, Feed>,
    /// Those of video.
    pub(crate) videos: &'a [FeedId],
    pub(crate) receivers: &'a mut Table<PeerId, Receiver>,
    pub(crate) ssrcs: &'a Ssrcs,
    /// Packets to send besides the burst: replayed key frames.
    pub(crate) replays: &'a mut VecDeque<(PeerId, Outgoing)>,
    /// Feeds whose sender is to be asked for a key frame.
    pub(crate) wanted: &'a mut Vec<FeedId>,
    /// The greatest heights that anybody wants of feeds, for their senders; -1 for no limit.
    pub(crate) demands: &'a mut Vec<(FeedId, i32)>,
    /// Receivers whose pictures are to be looked at again.
    pub(crate) restless: &'a mut Vec<PeerId>,
}

impl Stage<'_> {
    /// Gets a receiver's stream of a feed a key frame.
    pub(crate) fn see_to_picture(&mut self, cx: &mut Context<'_>, peer: PeerId, id: FeedId) {
        let (Some(receiver), Some(feed)) = (self.receivers.get_mut(peer), self.feeds.get_mut(id))
        else {
            return;
        };
        let replays = &mut *self.replays;
        receiver.see_to_picture(cx.us, id, feed, (cx.store, cx.stats), &mut |out| {
            replays.push_back((peer, out));
        });
        if feed.is_key_frame_wanted() {
            self.wanted.push(id);
        }
        self.restless.push(peer);
    }
}
