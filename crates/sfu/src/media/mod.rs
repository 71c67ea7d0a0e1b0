//! The media plane of a bridge: everything from a received datagram to the runs that leave, sans I/O.
//!
//! A packet's way: [`Shard`] finds the client by address; `peer` decrypts and classifies; its feed (`ingest`) notes and
//! stores it once; the conference collects a burst; `forward` projects the burst onto each receiver's own numbers, and
//! `egress` writes, encrypts and groups what leaves into runs. Feedback goes the other way as plain values.
//!
//! Used by all and using nobody: `spec`, `ids`, `table`, `config`, `negotiated`, `packet`, `store`, `redundancy`,
//! `offsets`, `event`, `exchange`, `stats`, `timers`, `context`.

mod conference;
mod config;
mod context;
mod egress;
mod event;
mod exchange;
mod forward;
mod ids;
mod ingest;
mod negotiated;
mod offsets;
mod packet;
mod peer;
mod redundancy;
mod shard;
mod spec;
mod stats;
mod store;
mod table;
mod timers;

pub use config::{ControlError, ShardConfig};
pub use egress::{Egress, Run};
pub use event::{ChannelNotice, Event, RelayNotice, SourceMapEntry};
pub use exchange::{Exchange, Text};
pub use ids::{ConferenceId, EndpointId, RelayId, SourceName};
pub use rtc::{Certificate, LocalParameters, RemoteParameters};
pub use shard::{Disposition, Shard};
pub use spec::{
    ChannelPath, ConferenceSpec, Encoding, EndpointSpec, EndpointUpdate, FeedbackSources,
    HeaderExtension, MediaKind, Part, PayloadType, ReceiverConstraints, RelayChannel, RelaySpec,
    Source, SourceConstraint, SsrcGroup, Subscription, VideoType,
};
pub use stats::{
    ConferenceStats, DropReason, EndpointStats, Failures, Hearing, IceRestarts, LineSample,
    LineStats, Loss, RelayTraffic, Stats, StreamStats,
};
