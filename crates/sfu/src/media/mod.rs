//! The media plane of a bridge: everything from a received datagram to the runs that leave, sans I/O.

mod egress;
mod event;
mod ids;
mod peer_types;
mod shard;
mod spec;
mod stats;

pub use egress::{Egress, Run};
pub use event::{ChannelNotice, Event, SourceMapEntry};
pub use ids::{ConferenceId, EndpointId, SourceName};
pub use peer_types::{Certificate, LocalParameters, RemoteParameters};
pub use shard::{ControlError, Disposition, Shard, ShardConfig};
pub use spec::{
    ChannelPath, ConferenceSpec, Encoding, EndpointSpec, EndpointUpdate, FeedbackSources,
    HeaderExtension, MediaKind, PayloadType, ReceiverConstraints, Source, SourceConstraint,
    SsrcGroup, Subscription, VideoType,
};
pub use stats::{ConferenceStats, DropReason, EndpointStats, Stats};
