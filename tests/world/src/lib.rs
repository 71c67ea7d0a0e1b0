//! The whole system of cores in one thread, on a virtual clock and network.
//!
//! A [`World`] holds the XMPP server, the focus, bridges and bots. Stanzas travel as the bytes the server writes, on
//! reliable paths; datagrams travel through `sim`'s lossy network. No socket is opened and no clock is read: an hour passes
//! as fast as the cores can work. Everything that is ours follows from the seed; only str0m, the bots' WebRTC stack,
//! makes keys of its own for DTLS and tags for SCTP.

mod bridge;
mod mail;
mod restart;
mod scenes;
mod stream;
mod world;

pub use bridge::Bridge;
pub use mail::Mail;
pub use world::{World, WorldConfig};
