//! Conferences of a media bridge: forwarding, layer choice, retransmission, speakers; colibri2 control.
//!
//! `media` moves packets and knows neither stanzas nor JSON; `control` (colibri2, channel messages) drives it through
//! [`Shard`]'s plain types and turns its [`Event`]s into messages.

pub mod control;
pub mod media;

pub use media::{
    Certificate, ChannelNotice, ChannelPath, ConferenceId, ConferenceSpec, ConferenceStats,
    ControlError, Disposition, DropReason, Egress, Encoding, EndpointId, EndpointSpec,
    EndpointStats, EndpointUpdate, Event, Exchange, Failures, FeedbackSources, HeaderExtension,
    Hearing, IceRestarts, LineSample, LineStats, LocalParameters, Loss, MediaKind, Part,
    PayloadType, ReceiverConstraints, RelayChannel, RelayId, RelayNotice, RelaySpec, RelayTraffic,
    RemoteParameters, Run, Shard, ShardConfig, Source, SourceConstraint, SourceMapEntry,
    SourceName, SsrcGroup, Stats, StreamStats, Subscription, Text, VideoType,
};
