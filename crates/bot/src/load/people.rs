//! What each person of a load gets, once a second, for whoever watches them from outside.

use std::time::Duration;

use serde::Serialize;

use crate::crowd::MemberLook;

/// Everybody, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct People {
    /// Milliseconds since 1970.
    pub at: u64,
    /// People the plan wants.
    pub planned: usize,
    /// Those who came and have not left.
    pub people: Vec<Person>,
}

/// Somebody. Pauses are the longest that went on since the last look, or still go on.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Person {
    /// Display name.
    pub name: String,
    /// Name of the room.
    pub room: String,
    /// Endpoint id; empty before the login.
    pub endpoint: String,
    /// In the room.
    pub joined: bool,
    /// The session with the bridge is up.
    pub connected: bool,
    /// Sessions with a bridge so far.
    pub sessions: u64,
    /// Whether anybody's sound arrives.
    pub hears: bool,
    /// Cameras whose pictures move.
    pub sees: usize,
    /// Milliseconds without a packet of sound; absent before the first one.
    pub audio_ms: Option<u64>,
    /// Milliseconds for which the picture of some camera in the room stood still; absent before the first one.
    pub video_ms: Option<u64>,
}

impl Person {
    pub(super) fn of(name: String, room: &str, look: &MemberLook) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            name,
            room: room.to_owned(),
            endpoint: look.endpoint.clone(),
            joined: look.joined,
            connected: look.connected,
            sessions: look.sessions,
            hears: look.served.hears,
            sees: look.served.sees,
            audio_ms: look.served.audio.map(ms),
            video_ms: look.served.video.map(ms),
        }
    }
}
