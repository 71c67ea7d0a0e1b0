//! Which audio sources have the slots of a receiver: all, as long as there are slots; where there are more sources than
//! slots the loudest, looked at from time to time, so that packets do not steal slots from each other.

use super::audio_slot::Voice;
use super::receiver::{Lane, MAX_SLOTS};
use super::stage::Stage;
use crate::media::context::Context;
use crate::media::event::ChannelNotice;
use crate::media::table::{FeedId, Key, PeerId};

/// Time between two looks, which is also the least time between two messages about it to a receiver, microseconds.
const REVIEW_INTERVAL: u64 = 200_000;

/// Changes remembered; after more of them all are asked again.
const REMEMBERED: usize = 1_024;

/// What is known of a source.
#[derive(Debug, Default, Clone, Copy)]
struct Source {
    /// Up to which change receivers were asked whether they want it; `None`: nobody was.
    asked: Option<usize>,
    /// Some of them may have a slot for it, or have decided against it.
    is_known: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AudioPlan {
    /// Receivers that came, or want something else: who is to be asked about sources that others were asked about.
    changes: Vec<PeerId>,
    /// All sources of audio, and what is known of each, by its number.
    feeds: Vec<FeedId>,
    sources: Vec<Source>,
    /// Those who want to know ahead were told of the sources there are.
    told_ahead: bool,
    next_review: u64,
}

impl AudioPlan {
    /// A receiver came, or wants something else.
    pub(crate) fn changed(&mut self, peer: PeerId) {
        self.told_ahead = false;
        if self.changes.len() == REMEMBERED {
            self.changes.clear();
            self.sources.iter_mut().for_each(|s| s.asked = None);
        }
        self.changes.push(peer);
    }

    /// Somebody has another source.
    pub(crate) fn feed_added(&mut self, feed: FeedId) {
        self.told_ahead = false;
        self.feeds.push(feed);
        *self.source(feed) = Source::default();
    }

    /// A source is gone; whether receivers may have slots for it.
    pub(crate) fn forget(&mut self, feed: FeedId) -> bool {
        self.told_ahead = false;
        self.feeds.retain(|other| *other != feed);
        std::mem::take(self.source(feed)).is_known
    }

    fn source(&mut self, feed: FeedId) -> &mut Source {
        let at = feed.index();
        if at >= self.sources.len() {
            self.sources.resize(at + 1, Source::default());
        }
        // The place was just made.
        &mut self.sources[at]
    }

    /// Before packets of a feed are offered: sees to it that all who want it have decided how they get it.
    #[inline]
    pub(crate) fn prepare(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>, feed: FeedId) {
        let changes = self.changes.len();
        let source = self.source(feed);
        if source.asked == Some(changes) {
            return;
        }
        source.is_known = true;
        match source.asked.replace(changes) {
            Some(asked) => {
                let new = self.changes.get(asked..).unwrap_or_default();
                ask_all(cx, stage, feed, new.iter().copied());
            }
            None => {
                let all: Vec<PeerId> = stage.receivers.keys().collect();
                ask_all(cx, stage, feed, all.into_iter());
            }
        }
    }

    /// Tells who wants to know ahead of sources that may be heard. Gives slots of receivers that have none left to louder ones.
    pub(crate) fn review(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>) {
        if cx.us < self.next_review {
            return;
        }
        self.next_review = cx.us + REVIEW_INTERVAL;
        if self.feeds.len() <= MAX_SLOTS {
            return self.tell_ahead(cx, stage);
        }
        let known = self.feeds.iter().copied();
        let known = known.filter(|f| self.sources.get(f.index()).is_some_and(|s| s.is_known));
        let known: Vec<FeedId> = known.collect();
        // Each has a slot of everybody who wants it.
        if known.len() <= MAX_SLOTS {
            return;
        }
        let voices = voices(stage, &known, cx.us);
        let receivers: Vec<PeerId> = stage.receivers.keys().collect();
        for peer in receivers {
            let Some(receiver) = stage.receivers.get_mut(peer) else {
                continue;
            };
            let full =
                receiver.is_rewriting() && receiver.is_live() && receiver.audio.len() >= MAX_SLOTS;
            if full {
                let changed = receiver.give_to_the_loudest(cx.us, stage.feeds, &voices);
                tell_map(cx, stage, peer, &changed);
            }
        }
    }

    /// There is a slot for everybody: who wants to know ahead is told of all, whether or not anything has come of them.
    fn tell_ahead(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>) {
        if std::mem::replace(&mut self.told_ahead, true) {
            return;
        }
        let receivers = stage.receivers.iter();
        let ahead = receivers.filter(|(_, receiver)| receiver.wants_sound_ahead());
        let ahead: Vec<PeerId> = ahead.map(|(peer, _)| peer).collect();
        if !ahead.is_empty() {
            self.sources.iter_mut().for_each(|s| s.is_known = true);
        }
        for peer in ahead {
            let feeds = self.feeds.iter();
            let slots = feeds.filter_map(|feed| ask(cx, stage, peer, *feed));
            let slots: Vec<usize> = slots.collect();
            tell_map(cx, stage, peer, &slots);
        }
    }
}

/// Receivers that have not decided about a feed decide.
#[cold]
fn ask_all(
    cx: &mut Context<'_>,
    stage: &mut Stage<'_>,
    feed: FeedId,
    receivers: impl Iterator<Item = PeerId>,
) {
    for peer in receivers {
        if let Some(at) = ask(cx, stage, peer, feed) {
            tell_map(cx, stage, peer, &[at]);
        }
    }
}

/// A receiver that has not decided about a feed decides. The slot that it is to be told of, if any.
fn ask(cx: &mut Context<'_>, stage: &mut Stage<'_>, peer: PeerId, feed: FeedId) -> Option<usize> {
    let (receiver, source) = (stage.receivers.get_mut(peer)?, stage.feeds.get(feed)?);
    if receiver.lane(feed) != Lane::New || !receiver.is_live() {
        return None;
    }
    if !receiver.hears(source.name()) {
        receiver.set_lane(feed, Lane::Closed);
        return None;
    }
    let rewriting = receiver.is_rewriting();
    let ssrc = match rewriting {
        true => receiver.new_ssrc(cx.rng, stage.ssrcs),
        false => source.spec().encodings.first().map_or(0, |e| e.ssrc),
    };
    let bound = receiver.bind_audio(cx.us, feed, ssrc);
    bound.filter(|_| rewriting)
}

fn tell_map(cx: &mut Context<'_>, stage: &Stage<'_>, peer: PeerId, slots: &[usize]) {
    let Some(receiver) = stage.receivers.get(peer) else {
        return;
    };
    let entries = receiver.audio_map(stage.feeds, slots.iter().copied());
    if !entries.is_empty() {
        cx.notice(receiver.id(), ChannelNotice::AudioSourcesMap(entries));
    }
}

/// Which of these sources send, the loudest first.
fn voices(stage: &Stage<'_>, feeds: &[FeedId], now: u64) -> Vec<Voice> {
    let speaking = feeds.iter().filter_map(|feed| {
        let source = stage.feeds.get(*feed).filter(|f| f.is_active(now))?;
        let loudness = source.loudness(now);
        Some(Voice {
            feed: *feed,
            loudness,
        })
    });
    let mut voices: Vec<Voice> = speaking.collect();
    voices.sort_by_key(|v| std::cmp::Reverse(v.loudness));
    voices
}
