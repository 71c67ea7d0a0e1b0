//! Conferences of which other shards have parts too: what goes to and fro.

use super::Shard;
use crate::media::event::Event;
use crate::media::exchange::{Exchange, Item, Text, Told};
use crate::media::ids::ConferenceId;
use std::time::Instant;

/// Emptied exchanges kept to be used again.
const SPARE: usize = 64;

impl Shard {
    /// What another shard is to be told next.
    pub fn poll_exchange(&mut self, now: Instant) -> Option<Exchange> {
        self.tell_bursts(now);
        if let Some(exchange) = self.last_words.pop_front() {
            return Some(exchange);
        }
        while let Some(&place) = self.told.front() {
            let conference = self.conferences.get_mut(place);
            if let Some(conference) = conference.and_then(|c| c.as_deref_mut()) {
                if let Some(exchange) = conference.poll_exchange(&mut self.spare) {
                    return Some(exchange);
                }
                conference.has_told = false;
            }
            self.told.pop_front();
        }
        None
    }

    /// Bursts that are complete are told before this shard begins to send them, so that all send at the same time.
    fn tell_bursts(&mut self, now: Instant) {
        if self.by_meeting.is_empty() {
            return;
        }
        let us = self.micros(now);
        let window = self.config.burst_window.as_micros() as u64;
        for &place in &self.listed {
            let conference = self.conferences.get_mut(place);
            if let Some(conference) = conference.and_then(|c| c.as_deref_mut())
                && conference.tell_burst(us, window)
                && !conference.has_told
            {
                conference.has_told = true;
                self.told.push_back(place);
            }
        }
    }

    /// Another shard tells something. What it brought is taken out; give it back to that shard's
    /// [`Shard::reuse_exchange`].
    pub fn handle_exchange(&mut self, now: Instant, exchange: &mut Exchange) {
        let from = exchange.from;
        let place = self.by_meeting.get(&exchange.meeting).copied();
        for item in &exchange.items {
            match item {
                Item::Packet(shared) => {
                    let end = shared.start + shared.incoming.len;
                    let bytes = exchange.bytes.get(shared.start..end);
                    if let (Some(place), Some(bytes)) = (place, bytes) {
                        self.with(shared.at, place, |c, cx| {
                            c.import(cx, from, shared, bytes);
                        });
                    }
                }
                Item::Told(told) if exchange.meeting.is_empty() => {
                    self.hear_everywhere(now, from, told)
                }
                Item::Told(told) => self.hear(now, place, from, told),
            }
        }
        if let Some(place) = place {
            self.with(now, place, |c, cx| c.settle(cx));
        }
        exchange.clear();
    }

    /// An emptied exchange is used again.
    pub fn reuse_exchange(&mut self, exchange: Exchange) {
        if exchange.is_empty() && self.spare.len() < SPARE {
            self.spare.push(exchange);
        }
    }

    fn hear_everywhere(&mut self, now: Instant, from: u8, told: &Told) {
        let places: Vec<usize> = self.by_meeting.values().copied().collect();
        for place in places {
            self.hear(now, Some(place), from, told);
            self.with(now, place, |c, cx| c.settle(cx));
        }
    }

    fn hear(&mut self, now: Instant, place: Option<usize>, from: u8, told: &Told) {
        let Some(place) = place else {
            return;
        };
        let at = match told {
            Told::Clock { at, .. } => *at,
            _ => now,
        };
        let deserted = self.with(at, place, |c, cx| {
            c.hear(cx, from, told);
            c.is_deserted().then(|| c.id())
        });
        // The last part with people ended because it was told to.
        if let (Told::Gone, Some(Some(conference))) = (told, deserted) {
            let _ = self.expire_conference(now, conference);
            self.events
                .push_back(Event::ConferenceExpired { conference });
        }
    }

    /// Whether all parts of a conference are without endpoints, and this one without relays.
    pub fn is_deserted(&self, conference: ConferenceId) -> bool {
        self.conference(conference).is_none_or(|c| c.is_deserted())
    }

    /// Tells the other parts of a conference, and other bridges, a message of an endpoint, if it is for endpoints of theirs;
    /// whether it is.
    pub fn tell_text(&mut self, now: Instant, conference: ConferenceId, text: &Text) -> bool {
        let place = self.by_id.get(&conference).copied();
        let told = place.and_then(|place| self.with(now, place, |c, cx| c.tell_text(cx, text)));
        told == Some(true)
    }
}
