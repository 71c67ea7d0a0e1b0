//! JSON messages between client and bridge on the bridge channel, and between bridges.
//!
//! One JSON object is one text message, on the SCTP data channel or on the colibri WebSocket; its `colibriClass`
//! names the type. Reading is tolerant (unknown fields are ignored, unknown classes are reported as such), writing is
//! strict: exactly the fields and types that clients in the field check. Objects with a duplicate key, too deep or too
//! large messages are refused, so that two readers can never see two different messages in the same bytes.

mod bridge;
mod client;
mod json;
mod relay;
mod types;

pub use bridge::{
    AudioMapping, AudioSourcesMap, BridgeMessage, ConnectionStats, ConnectivityStatus,
    DominantSpeaker, ForwardedSources, SenderSourceConstraints, ServerHello,
    SyntheticSourceSending, VideoMapping, VideoSourcesMap,
};
pub use client::{
    AudioSubscription, ClientMessage, LastN, ReceiverVideoConstraints, SourceVideoType,
    VideoConstraints,
};
pub use json::{MAX_DEPTH, MAX_MESSAGE_BYTES, MAX_NODES, ParseError};
pub use relay::{AddReceiver, RelayMessage, RelayedVideoType};
pub use types::{EndpointMessage, EndpointStats, VideoType};
