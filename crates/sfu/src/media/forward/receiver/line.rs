//! What the state of its line means for a receiver's streams: what fills probes, what goes on after video was given up,
//! what is thinned while the line is behind.

use super::Receiver;
use crate::media::forward::budget::Room;
use crate::media::forward::slot::VideoSlot;
use crate::media::ingest::Feed;
use crate::media::packet::Filler;
use crate::media::store::Store;
use crate::media::table::{FeedId, Table};

/// Most packets of one part of a probe.
const MOST_FILLERS: usize = 64;
/// The newest packets of a stream, so many of them, take turns in filling probes.
const RECENT: u16 = 32;

impl Receiver {
    /// Sets what its line carries, bits per second, and what of it is free for video; whether to share that out anew.
    pub(crate) fn set_line(&mut self, now: u64, line: Option<u64>, video: Room) -> bool {
        self.resends.set_line(line);
        self.protection.set_line(now, line);
        self.budget.set(now, video)
    }

    /// Its line is behind with what it was sent, or not any more.
    pub(crate) fn set_behind(&mut self, behind: bool) {
        if self.behind != behind {
            self.behind = behind;
            self.video.iter_mut().for_each(|slot| slot.thinned = behind);
        }
    }

    /// Whether there is something to fill probes with.
    pub(crate) fn can_fill(&self) -> bool {
        self.video.iter().any(VideoSlot::can_fill)
    }

    /// Fills `bytes` of a probe, or what there is.
    pub(crate) fn fill(
        &mut self,
        now: u64,
        bytes: u64,
        (store, feeds): (&Store, &Table<FeedId, Feed>),
        mut each: impl FnMut(Filler),
    ) {
        // What is shown now, else any stream that the client knows.
        let shown = self
            .video
            .iter()
            .position(|s| s.can_fill() && s.target.is_some());
        let any = || self.video.iter().position(VideoSlot::can_fill);
        let Some(slot) = shown.or_else(any).and_then(|at| self.video.get_mut(at)) else {
            return;
        };
        let mut left = bytes;
        for _ in 0..MOST_FILLERS {
            if left == 0 {
                return;
            }
            self.next_filler = (self.next_filler + 1) % RECENT;
            let Some((filler, len)) = slot.filler(now, self.next_filler, (store, feeds)) else {
                return;
            };
            left = left.saturating_sub(len as u64);
            each(filler);
        }
    }

    /// All that was on its way was lost: every picture goes on at a key frame, which is waited for no longer than if it were
    /// the first.
    pub(crate) fn cut(&mut self) {
        let sent = self.video.iter_mut().filter(|s| s.encoding().is_some());
        sent.for_each(|slot| {
            slot.interrupt();
            slot.wished();
        });
    }

    /// Video of a stream was given up on its way: it goes on at a key frame.
    pub(crate) fn interrupted(&mut self, ssrc: u32) {
        if let Some(slot) = self.video.iter_mut().find(|s| s.ssrc == ssrc) {
            slot.interrupt();
        }
    }
}
