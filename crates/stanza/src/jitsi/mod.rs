//! Jitsi's extensions as typed payloads.
pub mod conference;
