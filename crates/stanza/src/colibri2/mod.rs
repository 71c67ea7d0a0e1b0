//! Colibri2, the protocol between the focus and a media bridge, in both directions.
//!
//! Reading ignores attributes, elements and capabilities it does not know. What a request may contain besides being
//! well formed (which combinations, in which state) is the bridge's decision and not checked here.

mod conference;
mod error;
mod parts;

pub use conference::{ConferenceModified, ConferenceModify};
pub use error::{ErrorAnswer, Reason};
pub use parts::{Endpoint, ForceMute, Media, MediaSource, Relay, Sctp, SctpRole, Transport};

pub use crate::media::Malformed;

/// `jitsi:colibri2`
pub const NS_COLIBRI2: &str = "jitsi:colibri2";

/// Names of capabilities of an endpoint.
pub mod capability {
    /// The endpoint identifies streams by source name. Required.
    pub const SOURCE_NAMES: &str = "source-names";
    /// The endpoint sees a limited set of SSRCs, with the mapping told on the bridge channel.
    pub const SSRC_REWRITING: &str = "ssrc-rewriting";
    /// Forwarded media carry the `mid` extension.
    pub const RTP_MID_DEMUX: &str = "rtp-mid-demux";
    /// Private host candidates are useful to the endpoint.
    pub const PRIVATE_ADDRESSES: &str = "private-address-connectivity";
    /// Ours: whose sound it is that may come is told before it comes, so that it is heard at once.
    pub const SOUND_AHEAD: &str = "sound-ahead";
}

#[cfg(test)]
mod tests;
