//! The media plane of a bridge: everything from a received datagram to the runs that leave, sans I/O.
//!
//! A packet's way: [`Shard`] finds the endpoint by address; `ingress` decrypts, classifies and stores it once; each
//! taker's `slot` decides how it leaves and puts a small description into the taker's `send` queue; a flush writes,
//! encrypts and groups into runs. `feedback` is RTCP, `allocation` says who gets what.

mod allocation;
mod audio_slots;
mod conference;
mod congestion;
mod distribution;
mod drive;
mod egress;
mod endpoint;
mod event;
mod feedback;
mod ids;
mod ingress;
mod key_frames;
mod loudness;
mod numbers;
mod offsets;
mod pictures;
mod receive;
mod resend;
mod send;
mod shard;
mod slot;
#[cfg(test)]
mod slot_tests;
mod source;
mod speaker;
mod spec;
mod stats;
mod store;

pub use egress::{Egress, Run};
pub use event::{ChannelNotice, Event, SourceMapEntry};
pub use ids::{ConferenceId, EndpointId, SourceName};
pub use rtc::{Certificate, LocalParameters, RemoteParameters};
pub use shard::{ControlError, Disposition, Shard, ShardConfig};
pub use spec::{
    ChannelPath, ConferenceSpec, Encoding, EndpointSpec, EndpointUpdate, FeedbackSources,
    HeaderExtension, MediaKind, PayloadType, ReceiverConstraints, Source, SourceConstraint,
    SsrcGroup, Subscription, VideoType,
};
pub use stats::{ConferenceStats, DropReason, EndpointStats, Stats};
