//! What can be seen of a participant from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use super::Bot;
use crate::call::Call;
use crate::media::Camera;
use crate::pauses::Served;
use crate::receive::{SourceStats, Tally};

impl Bot {
    /// Address the bot's datagrams come from.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.config.local
    }

    /// Endpoint id: the bot's nickname in the room.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Endpoint ids of the others in the room.
    #[must_use]
    pub fn others(&self) -> &BTreeSet<String> {
        &self.occupants
    }

    /// Video received, by source name.
    #[must_use]
    pub fn video(&self) -> &BTreeMap<String, SourceStats> {
        &self.seen.video
    }

    /// Audio packets received, by source name.
    #[must_use]
    pub fn audio(&self) -> &BTreeMap<String, u64> {
        &self.seen.audio
    }

    /// Frames the bot's camera has captured in this session.
    #[must_use]
    pub fn frames_captured(&self) -> u32 {
        self.camera.as_ref().map_or(0, Camera::frames)
    }

    /// Takes the delays, in microseconds from camera to decoder, of the frames decoded since the last call.
    pub fn take_latencies(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.seen.latencies)
    }

    /// Takes the delays, in microseconds, of the audio packets received since the last call.
    pub fn take_voice_latencies(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.seen.voice_latencies)
    }

    /// What it got since the last call.
    pub fn take_served(&mut self, now: Instant) -> Served {
        let occupants = &self.occupants;
        self.seen
            .pauses
            .take(now, |owner| occupants.contains(owner))
    }

    /// Cameras received now.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.call.as_ref().map_or(0, Call::pictures)
    }

    /// What was sent and received, over all sources.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.seen.tally
    }
}
