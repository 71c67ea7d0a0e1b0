//! Both ends of an XMPP stream: framing, features, SASL, bind, stream management.
//!
//! [`Server`] and [`Client`] are pure: they take the time, a seed and bytes, and return bytes, events and their next
//! deadline. After each call take what [`Server::poll_transmit`] and [`Server::poll_event`] have until both are empty,
//! then sleep until [`Server::poll_timeout`]; the client works the same way. [`bosh::Session`] puts a server stream
//! behind the requests of XEP-0124.

pub mod bosh;
pub mod client;
mod condition;
mod frame;
pub mod sasl;
mod scram;
pub mod server;
mod unacked;

pub use client::Client;
pub use condition::{SaslCondition, SaslFailure, StreamCondition};
pub use frame::Framing;
pub use server::Server;
