//! Who has the floor: the dominant speaker, who spoke before, and everybody in the order of speech.

use super::audio::loudness_of;
use super::speakers::{SpeakerChange, Speakers};
use crate::media::event::ChannelNotice;
use crate::media::ids::EndpointId;
use rtp::ext::AudioLevel;
use std::collections::HashMap;

/// Former speakers told to clients, besides the dominant one.
const RECENT_SPEAKERS: usize = 10;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    speakers: Speakers,
    /// Everybody who may speak, and how many stand before: the latest dominant speaker has the least.
    ranks: HashMap<EndpointId, i64>,
    /// The next who has not spoken, and the next who has, from above.
    next: (i64, i64),
    recent: Vec<EndpointId>,
}

impl Floor {
    /// Somebody came who may speak.
    pub(crate) fn join(&mut self, id: EndpointId) {
        self.next.0 += 1;
        self.ranks.insert(id, self.next.0);
    }

    /// Somebody left; whether the list of speakers changed by that.
    pub(crate) fn leave(&mut self, id: &EndpointId) -> bool {
        self.ranks.remove(id);
        self.speakers.remove(id);
        let before = self.recent.len();
        self.recent.retain(|other| other != id);
        self.recent.len() != before
    }

    /// A packet of somebody's audio came.
    pub(crate) fn heard(&mut self, now: u64, id: &EndpointId, level: Option<AudioLevel>) {
        if let Some(level) = loudness_of(level) {
            self.speakers.level(now, id, level);
        }
    }

    /// Whether [`Self::tick`] has anything to do at present.
    pub(crate) fn is_awake(&self, now: u64) -> bool {
        self.speakers.is_awake(now)
    }

    /// Call every 20 ms or so while awake. A new dominant speaker, if there is one.
    pub(crate) fn tick(&mut self, now: u64) -> Option<EndpointId> {
        // Silence is not told to clients: the reference does not by default, and clients then keep the last speaker.
        let SpeakerChange::Speaker(id) = self.speakers.tick(now)? else {
            return None;
        };
        if self.recent.first() == Some(&id) {
            return None;
        }
        if !self.steps_forward(&id) {
            return None;
        }
        self.recent.retain(|other| *other != id);
        self.recent.insert(0, id.clone());
        self.recent.truncate(RECENT_SPEAKERS + 1);
        Some(id)
    }

    /// Somebody else decided who speaks, and who spoke before, latest first; whether that is news.
    pub(crate) fn follow(&mut self, recent: Vec<EndpointId>) -> bool {
        if recent == self.recent {
            return false;
        }
        for id in recent.iter().rev() {
            self.steps_forward(id);
        }
        self.recent = recent;
        self.recent.truncate(RECENT_SPEAKERS + 1);
        true
    }

    /// Who speaks, and who spoke before, latest first.
    pub(crate) fn recent(&self) -> &[EndpointId] {
        &self.recent
    }

    /// Stands before all others from now on; whether it is there at all.
    fn steps_forward(&mut self, id: &EndpointId) -> bool {
        let Some(rank) = self.ranks.get_mut(id) else {
            return false;
        };
        self.next.1 -= 1;
        *rank = self.next.1;
        true
    }

    /// Where somebody who may speak stands: who spoke last has the least number, then come those who have not spoken, as
    /// they came.
    pub(crate) fn rank(&self, id: &EndpointId) -> Option<i64> {
        self.ranks.get(id).copied()
    }

    /// Whether somebody is among those last heard.
    pub(crate) fn is_recent(&self, id: &EndpointId) -> bool {
        self.recent.contains(id)
    }

    /// What clients are told, once somebody has spoken.
    pub(crate) fn notice(&self) -> Option<ChannelNotice> {
        let (speaker, previous) = self.recent.split_first()?;
        Some(ChannelNotice::DominantSpeaker {
            speaker: speaker.clone(),
            previous: previous.to_vec(),
            silence: false,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn who_spoke_last_stands_first_and_the_silent_as_they_came() {
        let id = |name: &str| EndpointId::new(name).unwrap();
        let mut floor = Floor::default();
        for name in ["a", "b", "c", "d"] {
            floor.join(id(name));
        }
        floor.follow(vec![id("c"), id("b"), id("gone")]);
        floor.follow(vec![id("b"), id("c")]);
        let mut order = ["a", "b", "c", "d"];
        order.sort_by_key(|name| floor.rank(&id(name)).unwrap());
        assert_eq!(order, ["b", "c", "a", "d"]);
        assert!(floor.leave(&id("b")) && floor.rank(&id("b")).is_none());
        assert_eq!(floor.rank(&id("gone")), None);
    }
}
