//! The whole system of cores in one thread, on a virtual clock and network.
//!
//! A [`World`] holds the XMPP server, the focus, bridges and bots. Stanzas travel as the bytes the server writes, on
//! reliable paths; datagrams travel through `sim`'s lossy network. No socket is opened and no clock is read: an hour passes
//! as fast as the cores can work. Everything that is ours follows from the seed; what libraries draw from the system does so
//! in [`alone`].

mod bridge;
mod chance;
mod faults;
mod mail;
mod restart;
mod scenes;
mod streams;
mod trace;
mod visits;
mod world;

pub use bridge::Bridge;
pub use chance::alone;
pub use mail::Mail;
pub use streams::Party;
pub use visits::Visits;
pub use world::{World, WorldConfig};
