//! Who feeds come from and go to. A [`Client`] is reached over its own transport (ICE, DTLS, SRTP); what it publishes goes
//! to feeds, and what it receives is written by its `egress::PeerOut`.

mod client;

pub(crate) use client::{Client, SentSsrc, Traffic};
