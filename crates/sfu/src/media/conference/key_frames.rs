//! Key frames asked of senders, for all who wait for one.

use super::Conference;
use crate::media::context::Context;
use crate::media::exchange::{Publisher, Told};
use crate::media::spec::Encodings;
use crate::media::table::FeedId;
use rtp::rtcp::{FirEntry, Writer};

impl Conference {
    /// Somebody elsewhere waits for key frames of encodings of a feed.
    pub(super) fn key_frames_wanted(&mut self, cx: &mut Context<'_>, id: FeedId, of: Encodings) {
        if let Some(feed) = self.feeds.get_mut(id) {
            feed.want_key_frames(of);
            self.ask_for_key_frames(cx, id);
        }
    }

    /// Asks the sender of a feed for the key frames that somebody waits for, if their turn has come.
    pub(super) fn ask_for_key_frames(&mut self, cx: &mut Context<'_>, id: FeedId) {
        let (peer, relayed) = match self.publishers.get(id) {
            Some(Publisher::Client(peer)) => (*peer, false),
            Some(Publisher::Relay(peer)) => (*peer, true),
            Some(&Publisher::Shard(shard, number)) => {
                let feed = self.feeds.get_mut(id);
                let of = feed.map_or_else(Encodings::default, |f| f.take_key_frames_due(cx.us));
                if !of.is_empty()
                    && let Some(sibling) = self.siblings.get_mut(shard)
                {
                    sibling.tell(Told::KeyFrames { feed: number, of });
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
        if !out.is_connected() {
            return;
        }
        let due = feed.take_key_frames_due(cx.us);
        let mut buf = [0; 128];
        let mut writer = Writer::new(&mut buf);
        let bridge = self.feedback.video.into();
        for (at, encoding) in feed.spec().encodings.iter().enumerate() {
            if !due.has(at as u8) {
                continue;
            }
            // Bridges ask each other by a PLI of the first encoding for all of them, and by FIR for that one.
            let precise = !relayed || at > 0;
            let written = if link.negotiated().pli && precise {
                writer.pli(bridge, encoding.ssrc.into())
            } else {
                let entry = FirEntry {
                    ssrc: encoding.ssrc.into(),
                    seq: link.next_fir(),
                };
                writer.fir(bridge, &[entry])
            };
            cx.stats.keyframe_requests += u64::from(written.is_ok());
        }
        self.send_rtcp(peer, writer.written());
    }
}
