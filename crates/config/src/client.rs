//! What clients are told.

use std::path::PathBuf;

use telemetry::Redacted;

use crate::turn_server::TurnServer;

/// Section `client`.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Direct media between two.
    pub p2p: bool,
    /// STUN URLs.
    pub stun_servers: Vec<String>,
    /// TURN servers, and what credentials for them are made with.
    pub turn: Option<(Vec<TurnServer>, Redacted<String>)>,
    /// Codec order towards the bridge.
    pub codecs: Vec<String>,
    /// Codec order of direct media.
    pub p2p_codecs: Vec<String>,
    /// Whether there is a page before the room.
    pub prejoin: bool,
    /// Camera height in pixels.
    pub resolution: i64,
    /// Most videos; -1 is no limit.
    pub last_n: i64,
    /// Participant from which microphones start off.
    pub start_audio_muted: i64,
    /// Participant from which cameras start off.
    pub start_video_muted: i64,
    /// JavaScript to append.
    pub extra: Option<PathBuf>,
}
