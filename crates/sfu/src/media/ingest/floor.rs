//! Who has the floor: the dominant speaker, who spoke before, and everybody in the order of speech.

use super::audio::loudness_of;
use super::speakers::{SpeakerChange, Speakers};
use crate::media::event::ChannelNotice;
use crate::media::ids::EndpointId;
use rtp::ext::AudioLevel;

/// Former speakers told to clients, besides the dominant one.
const RECENT_SPEAKERS: usize = 10;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    speakers: Speakers,
    /// Latest dominant speaker first.
    order: Vec<EndpointId>,
    recent: Vec<EndpointId>,
}

impl Floor {
    /// Somebody came who may speak.
    pub(crate) fn join(&mut self, id: EndpointId) {
        self.order.push(id);
    }

    /// Somebody left; whether the list of speakers changed by that.
    pub(crate) fn leave(&mut self, id: &EndpointId) -> bool {
        self.order.retain(|other| other != id);
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
        let at = self.order.iter().position(|other| *other == id)?;
        let speaker = self.order.remove(at);
        self.order.insert(0, speaker);
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
            if let Some(at) = self.order.iter().position(|other| other == id) {
                let speaker = self.order.remove(at);
                self.order.insert(0, speaker);
            }
        }
        self.recent = recent;
        self.recent.truncate(RECENT_SPEAKERS + 1);
        true
    }

    /// Who speaks, and who spoke before, latest first.
    pub(crate) fn recent(&self) -> &[EndpointId] {
        &self.recent
    }

    /// Everybody who may speak, who spoke last first.
    pub(crate) fn order(&self) -> &[EndpointId] {
        &self.order
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
