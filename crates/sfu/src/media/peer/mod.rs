//! Who feeds come from and go to. A [`Client`] is reached over a [`Link`] of its own (ICE, DTLS, SRTP); what it publishes goes
//! to feeds, and what it receives is written by its `egress::PeerOut`. A [`Relay`] is another bridge with people of the same
//! conference, reached over a link too. [`Siblings`] are other shards with parts of it: they get the packets as they came,
//! and publish theirs here; feedback goes to and fro as plain values.

mod client;
mod link;
mod relay;
mod remb;
mod shard;

pub(crate) use client::Client;
pub(crate) use link::{Link, SentSsrc, Traffic};
pub(crate) use relay::Relay;
pub(crate) use shard::{Sibling, Siblings};
