//! Audio slots of a receiver: bound where one is free, given to the loudest where none is.

use super::{Lane, MAX_SLOTS, Receiver};
use crate::media::forward::audio_slot::{AudioSlot, Voice};
use crate::media::ingest::{Feed, Loudness};
use crate::media::table::{FeedId, Table};

/// Slots of a receiver that change hands at once.
const MAX_CHANGES: usize = 8;
/// How much louder who has no slot must be than who has one.
const MARGIN: u32 = 6 * Loudness::DB;
/// How long a slot is kept at least, however quiet its source, as long as it sends, microseconds.
const MIN_HOLD: u64 = 1_000_000;

impl Receiver {
    /// Gives a feed's audio a slot: the one it had, a new one while there may be more, else a free one. The slot, if it is
    /// to be told.
    pub(in crate::media::forward) fn bind_audio(
        &mut self,
        now: u64,
        feed: FeedId,
        ssrc: u32,
    ) -> Option<usize> {
        if let Some(at) = self.audio.iter().position(|s| s.feed == Some(feed)) {
            self.set_lane(feed, Lane::Slot(at as u16));
            return None;
        }
        let count = self.audio.len();
        let free = self.audio.iter().position(|s| s.feed.is_none());
        let at = match count < MAX_SLOTS || !self.is_rewriting() {
            true => Some(count),
            false => free,
        };
        let Some(at) = at else {
            self.set_lane(feed, Lane::Crowded);
            return None;
        };
        if at == count {
            self.audio.push(AudioSlot::resume(ssrc, &self.numbers));
        }
        self.audio.get_mut(at)?.bind(feed, now);
        self.set_lane(feed, Lane::Slot(at as u16));
        Some(at)
    }

    /// Slots that changed hands.
    pub(in crate::media::forward) fn give_to_the_loudest(
        &mut self,
        now: u64,
        feeds: &Table<FeedId, Feed>,
        voices: &[Voice],
    ) -> Vec<usize> {
        let mut changed = Vec::new();
        for voice in voices {
            if changed.len() == MAX_CHANGES {
                break;
            }
            let undecided = matches!(self.lane(voice.feed), Lane::New | Lane::Crowded);
            let wanted = feeds.get(voice.feed).is_some_and(|f| self.hears(f.name()));
            if !undecided || !wanted {
                continue;
            }
            let loudness = |slot: &AudioSlot| {
                let bound = voices.iter().find(|v| Some(v.feed) == slot.feed);
                bound.map_or((0, false), |v| (v.loudness, true))
            };
            let slots = self.audio.iter().enumerate();
            let quietest = slots
                .map(|(at, slot)| (loudness(slot), at, slot.bound_at))
                .filter(|((_, sends), _, bound)| !sends || now >= bound + MIN_HOLD)
                .min();
            let Some(((quiet, sends), at, _)) = quietest else {
                break;
            };
            // The voices that follow are quieter still.
            if sends && voice.loudness < quiet + MARGIN {
                break;
            }
            if let Some(slot) = self.audio.get_mut(at) {
                let former = slot.feed;
                slot.bind(voice.feed, now);
                if let Some(former) = former.filter(|f| matches!(self.lane(*f), Lane::Slot(_))) {
                    self.set_lane(former, Lane::Crowded);
                }
                self.set_lane(voice.feed, Lane::Slot(at as u16));
                changed.push(at);
            }
        }
        changed
    }
}
