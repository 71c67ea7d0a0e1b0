//! Who feeds come from and go to. A [`Client`] is reached over its own transport (ICE, DTLS, SRTP); what it publishes goes
//! to feeds, and what it receives is written by its `egress::PeerOut`. [`Siblings`] are other shards with parts of the same
//! conference: they get the packets as they came, and publish theirs here; feedback goes to and fro as plain values.

mod client;
mod shard;

pub(crate) use client::{Client, SentSsrc, Traffic};
pub(crate) use shard::{Sibling, Siblings};
