//! The conference focus: conference requests, Jingle, colibri2 client, bridge selection.
//!
//! [`Focus`] is a plain XMPP client without input and output: the host logs it in, hands it the stanzas that
//! arrive and sends those it yields. Time is an argument and randomness grows from one seed, so that a run can be
//! repeated exactly.

mod bridge;
mod bridges;
mod conference;
pub mod config;
mod context;
mod event;
mod features;
mod focus;
mod io;
mod jingle_counts;
pub mod offer;
mod request;
mod selection;
mod snapshot;
mod sources;
mod status;

pub use config::{BridgeConfig, FocusConfig, Plain, Strategy};
pub use event::{Event, FocusStats, IceRestarts, Reinvite};
pub use focus::{Focus, Leave, Left, OrderError, Then};
pub use jingle_counts::JingleCounts;
pub use request::{RequestError, RequestId};
pub use snapshot::{Snapshot, SnapshotError};
pub use stanza::jitsi::conference::{
    ConferenceRequest, ConferenceRequestError, ConferenceResponse,
};
pub use status::{BridgeStatus, Figures, MeetingStatus, PlaceStatus, Status};
