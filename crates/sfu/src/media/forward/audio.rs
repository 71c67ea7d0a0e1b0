//! Which audio sources have the slots of a receiver: all, as long as there are slots; where there are more sources than
//! slots the loudest, looked at from time to time, so that packets do not steal slots from each other.

use smallvec::SmallVec;

use super::audio_slot::Voice;
use super::receiver::{Lane, MAX_SLOTS};
use super::stage::Stage;
use crate::media::context::Context;
use crate::media::event::ChannelNotice;
use crate::media::spec::MediaKind;
use crate::media::table::{FeedId, Key, PeerId};

/// Time between two looks, which is also the least time between two messages about it to a receiver, microseconds.
const REVIEW_INTERVAL: u64 = 200_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AudioPlan {
    /// Counts changes after which receivers may want other sources.
    change: u64,
    /// By feed: the change up to which all receivers were asked whether they want it.
    asked: Vec<u64>,
    /// The change, and the number of sources, for which those who want to know ahead were told.
    told_ahead: (u64, usize),
    next_review: u64,
}

impl AudioPlan {
    /// Receivers came, or want something else, or have free slots.
    pub(crate) fn changed(&mut self) {
        self.change += 1;
    }

    /// A number is given to another feed.
    pub(crate) fn forget(&mut self, feed: FeedId) {
        if let Some(asked) = self.asked.get_mut(feed.index()) {
            *asked = 0;
        }
        self.changed();
    }

    /// Before packets of a feed are offered: sees to it that all who want it have decided how they get it.
    #[inline]
    pub(crate) fn prepare(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>, feed: FeedId) {
        let at = feed.index();
        if at >= self.asked.len() {
            self.asked.resize(at + 1, 0);
        }
        let change = self.change + 1;
        if let Some(asked) = self.asked.get_mut(at).filter(|asked| **asked != change) {
            *asked = change;
            ask_all(cx, stage, feed);
        }
    }

    /// Tells who wants to know ahead of sources that may be heard. Gives slots of receivers that have none left to louder ones.
    pub(crate) fn review(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>) {
        if cx.us < self.next_review {
            return;
        }
        self.next_review = cx.us + REVIEW_INTERVAL;
        let sources = stage.feeds.iter();
        let sources = sources.filter(|(_, f)| f.kind() == MediaKind::Audio);
        let sources: SmallVec<[FeedId; 16]> = sources.map(|(feed, _)| feed).collect();
        if sources.len() <= MAX_SLOTS {
            return self.tell_ahead(cx, stage, &sources);
        }
        let voices = voices(stage, cx.us);
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
    fn tell_ahead(&mut self, cx: &mut Context<'_>, stage: &mut Stage<'_>, sources: &[FeedId]) {
        let known = (self.change, sources.len());
        if std::mem::replace(&mut self.told_ahead, known) == known {
            return;
        }
        let receivers = stage.receivers.iter();
        let ahead = receivers.filter(|(_, receiver)| receiver.wants_sound_ahead());
        let ahead: Vec<PeerId> = ahead.map(|(peer, _)| peer).collect();
        for peer in ahead {
            let slots = sources
                .iter()
                .filter_map(|feed| ask(cx, stage, peer, *feed));
            let slots: Vec<usize> = slots.collect();
            tell_map(cx, stage, peer, &slots);
        }
    }
}

/// Receivers that have not decided about a feed decide.
#[cold]
fn ask_all(cx: &mut Context<'_>, stage: &mut Stage<'_>, feed: FeedId) {
    let receivers: Vec<PeerId> = stage.receivers.keys().collect();
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

/// Sources that send, the loudest first.
fn voices(stage: &Stage<'_>, now: u64) -> Vec<Voice> {
    let feeds = stage.feeds.iter();
    let speaking = feeds.filter(|(_, f)| f.kind() == MediaKind::Audio && f.is_active(now));
    let mut voices: Vec<_> = speaking
        .map(|(feed, f)| Voice {
            feed,
            loudness: f.loudness(now),
        })
        .collect();
    voices.sort_by_key(|v| std::cmp::Reverse(v.loudness));
    voices
}
