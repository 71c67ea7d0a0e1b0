//! The media node: a thread and a socket for each shard, the XMPP link, colibri-ws.
//!
//! [`Bridge::start`] binds the UDP ports, starts one thread for each shard of the media plane and attaches to every
//! signalling node. The packet path lives in those threads alone; requests reach them through bounded queues.

mod addresses;
mod attachment;
mod attachments;
mod config;
mod gather;
mod handover;
mod health;
mod insight;
mod intake;
mod jitsi;
mod joining;
mod latency;
mod load;
mod metrics;
mod orphans;
mod placing;
mod ports;
mod post;
mod presence;
mod probe;
mod process;
mod reflexive;
mod requests;
mod rest;
mod shared;
mod sinks;
mod standing;
mod start;
mod streams;
mod totals;
mod web_socket;
mod worker;

pub use config::{BridgeConfig, Keeper, Mapping, NodeConfig, NodeTarget, OwnAddresses, StunServer};
pub use standing::Standing;
pub use start::{Bridge, StartError};
pub use streams::StreamDoor;

#[cfg(test)]
mod tests;
