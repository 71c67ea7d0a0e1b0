//! Video slots of a receiver: which one a source gets.

use super::{Lane, MAX_SLOTS, Receiver, Ssrcs};
use crate::media::context::Context;
use crate::media::forward::allocation::Decision;
use crate::media::forward::slot::VideoSlot;
use crate::media::ingest::Feed;
use crate::media::table::FeedId;
use rand::RngExt;

/// A slot that was taken from another feed: which, and what was wanted of it.
pub(in crate::media::forward) type Former = Option<(FeedId, i32)>;

impl Receiver {
    /// A slot for a source: a new one while there may be more, else a free one, else the longest unused one.
    pub(in crate::media::forward) fn free_video_slot(
        &mut self,
        cx: &mut Context<'_>,
        ssrcs: &Ssrcs,
        feed: &Feed,
        needed: bool,
        decisions: &[Decision],
    ) -> Option<(usize, Former)> {
        let start: u64 = cx.rng.random();
        let count = self.video.len();
        if !self.is_rewriting() {
            return Some((self.slot_of_its_own(feed, start)?, None));
        }
        if count < MAX_SLOTS {
            let ssrc = self.new_ssrc(cx.rng, ssrcs);
            let rtx = self.new_ssrc(cx.rng, ssrcs);
            self.video.push(VideoSlot::new(ssrc, Some(rtx), start));
            return Some((count, None));
        }
        let slots = || self.video.iter().enumerate();
        let free = slots().filter(|(_, s)| s.feed.is_none());
        if let Some((free, _)) = free.min_by_key(|(_, s)| s.used_at) {
            return Some((free, None));
        }
        if !needed {
            return None;
        }
        let in_use = |s: &VideoSlot| {
            let mut wanted = decisions.iter().filter(|d| d.constraint != 0);
            wanted.any(|d| Some(d.feed) == s.feed)
        };
        let (oldest, _) = slots()
            .filter(|(_, s)| !in_use(s))
            .min_by_key(|(_, s)| s.used_at)?;
        let slot = self.video.get_mut(oldest)?;
        let former = slot.feed;
        self.forwarded_ended |= slot.target.is_some();
        let constraint = slot.release();
        if let Some(feed) = former {
            self.set_lane(feed, Lane::New);
        }
        Some((oldest, former.map(|feed| (feed, constraint))))
    }

    /// Without rewriting: a slot for the sender's own SSRCs.
    fn slot_of_its_own(&mut self, feed: &Feed, start: u64) -> Option<usize> {
        let encoding = *feed.spec().encodings.first()?;
        // What is free is given up first, so that the numbers of its SSRCs are known.
        for slot in self.video.iter().filter(|s| s.feed.is_none()) {
            slot.retire(&mut self.numbers);
        }
        let slot = VideoSlot::resume(encoding.ssrc, encoding.rtx, start, &self.numbers);
        let count = self.video.len();
        let free = self.video.iter().position(|s| s.feed.is_none());
        match free.and_then(|at| self.video.get_mut(at)) {
            Some(old) => *old = slot,
            None => self.video.push(slot),
        }
        Some(free.unwrap_or(count))
    }
}
