//! Jitsi's extensions as typed payloads.
pub mod bridge_stats;
pub mod compact;
pub mod conference;
pub mod evidence;
pub mod moderation;
pub mod mute;
pub mod presence;
pub mod room;
