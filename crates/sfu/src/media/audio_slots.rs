//! Which audio sources have the slots of a receiver with rewriting, where there are more sources than slots: the loudest,
//! looked at from time to time, so that packets do not steal slots from each other.

use super::conference::{Conference, Context};
use super::endpoint::{AudioSlot, MAX_SLOTS, audio_entry};
use super::event::ChannelNotice;
use super::loudness::Loudness;
use super::source::Media;

/// Time between two looks, which is also the least time between two messages about it to a receiver, microseconds.
const REVIEW_INTERVAL: u64 = 200_000;
/// Slots of a receiver that change hands at once.
const MAX_CHANGES: usize = 8;
/// How much louder who has no slot must be than who has one.
const MARGIN: u32 = 6 * Loudness::DB;
/// How long a slot is kept at least, however quiet its source, as long as it sends.
const MIN_HOLD: u64 = 1_000_000;

/// An audio source that sends.
#[derive(Debug, Clone, Copy)]
struct Voice {
    source: usize,
    owner: usize,
    loudness: u32,
}

impl Conference {
    /// The audio slot that carries a source towards a receiver; binds one if there is none yet and one is free. `None`
    /// where all are taken: the next review decides who is heard.
    pub(crate) fn audio_slot(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        source: usize,
    ) -> Option<usize> {
        let endpoint = self.endpoint(index)?;
        if let Some(at) = endpoint.audio.iter().position(|s| s.source == Some(source)) {
            return Some(at);
        }
        let rewriting = endpoint.rewriting;
        let at = match endpoint.audio.len() {
            n if n < MAX_SLOTS || !rewriting => n,
            _ => {
                let free = endpoint.audio.iter().position(|s| s.source.is_none());
                ctx.stats.audio_not_loudest += u64::from(free.is_none());
                free?
            }
        };
        if at == endpoint.audio.len() {
            let ssrc = match rewriting {
                true => self.new_ssrc(ctx, index),
                false => {
                    let spec = &self.sources.get(source)?.as_ref()?.spec;
                    spec.encodings.first()?.ssrc
                }
            };
            let endpoint = self.endpoint_mut(index)?;
            let slot = AudioSlot::resume(ssrc, &endpoint.numbers);
            endpoint.audio.push(slot);
        }
        self.bind_audio(ctx, index, at, source)?;
        if rewriting {
            self.tell_audio_map(ctx, index, &[at]);
        }
        Some(at)
    }

    fn bind_audio(
        &mut self,
        ctx: &Context<'_>,
        index: usize,
        at: usize,
        source: usize,
    ) -> Option<()> {
        let slot = self.endpoint_mut(index)?.audio.get_mut(at)?;
        slot.source = Some(source);
        slot.offsets = None;
        slot.bound_at = ctx.us;
        Some(())
    }

    fn tell_audio_map(&self, ctx: &mut Context<'_>, index: usize, slots: &[usize]) {
        let Some(endpoint) = self.endpoint(index) else {
            return;
        };
        let entry = |at: &usize| {
            let slot = endpoint.audio.get(*at)?;
            Some(audio_entry(slot, self.sources.get(slot.source?)?.as_ref()?))
        };
        let entries: Vec<_> = slots.iter().filter_map(entry).collect();
        if !entries.is_empty() {
            self.notice(ctx, &endpoint.id, ChannelNotice::AudioSourcesMap(entries));
        }
    }

    /// Gives slots of receivers that have none left to louder sources.
    pub(crate) fn review_audio(&mut self, ctx: &mut Context<'_>) {
        if ctx.us < self.next_audio_review {
            return;
        }
        self.next_audio_review = ctx.us + REVIEW_INTERVAL;
        let voices = self.voices(ctx.us);
        if voices.len() <= MAX_SLOTS {
            return;
        }
        for index in 0..self.endpoints.len() {
            let full = |e: &super::endpoint::Endpoint| {
                e.rewriting && e.is_connected() && e.audio.len() >= MAX_SLOTS
            };
            if self.endpoint(index).is_some_and(full) {
                let changed = self.give_to_the_loudest(ctx, index, &voices);
                self.tell_audio_map(ctx, index, &changed);
            }
        }
    }

    /// Sources that send, the loudest first.
    fn voices(&self, now: u64) -> Vec<Voice> {
        let mut voices: Vec<Voice> = Vec::new();
        for (source, state) in self.sources.iter().enumerate() {
            let Some(state) = state else { continue };
            if let Media::Audio(audio) = &state.media
                && audio.stream.is_active(now)
            {
                voices.push(Voice {
                    source,
                    owner: state.owner,
                    loudness: audio.loudness.get(now),
                });
            }
        }
        voices.sort_by_key(|v| std::cmp::Reverse(v.loudness));
        voices
    }

    /// Slots of a receiver that changed hands.
    fn give_to_the_loudest(
        &mut self,
        ctx: &Context<'_>,
        index: usize,
        voices: &[Voice],
    ) -> Vec<usize> {
        let mut changed = Vec::new();
        for voice in voices.iter().filter(|v| v.owner != index) {
            if changed.len() == MAX_CHANGES {
                break;
            }
            let Some(endpoint) = self.endpoint(index) else {
                break;
            };
            let name = self.sources.get(voice.source).and_then(|s| s.as_ref());
            let wanted = name.is_some_and(|s| endpoint.hears(&s.name));
            let has_one = endpoint
                .audio
                .iter()
                .any(|s| s.source == Some(voice.source));
            if !wanted || has_one {
                continue;
            }
            let loudness = |slot: &AudioSlot| {
                let bound = voices.iter().find(|v| Some(v.source) == slot.source);
                bound.map_or((0, false), |v| (v.loudness, true))
            };
            let quietest = endpoint
                .audio
                .iter()
                .enumerate()
                .map(|(at, slot)| (loudness(slot), at, slot.bound_at))
                .filter(|((_, sends), _, bound)| !sends || ctx.us >= bound + MIN_HOLD)
                .min();
            let Some(((quiet, sends), at, _)) = quietest else {
                break;
            };
            // The voices that follow are quieter still.
            if sends && voice.loudness < quiet + MARGIN {
                break;
            }
            if self.bind_audio(ctx, index, at, voice.source).is_some() {
                changed.push(at);
            }
        }
        changed
    }
}
