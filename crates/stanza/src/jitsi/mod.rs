//! Jitsi's extensions as typed payloads.
pub mod bridge_stats;
pub mod conference;
