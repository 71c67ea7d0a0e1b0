//! Virtual clock and network for deterministic simulation.
//!
//! [`Link`] is one direction of a path: delay, jitter, loss in bursts, reordering, rate and queue, all of which a [`Course`]
//! may change over time. [`Net`] joins addresses
//! by links and delivers datagrams in the order of a virtual clock. Both are without IO and seeded: the same seed gives
//! the same run.

mod link;
mod net;

pub use link::{Course, Link, LinkSpec, LinkStats, Loss, Queue};
pub use net::{Datagram, Net, NetStats};
