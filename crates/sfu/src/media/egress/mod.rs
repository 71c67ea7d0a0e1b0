//! How packets leave: each receiver's [`PeerOut`] writes, encrypts and groups what it is given into runs of equal size in
//! the send arena. Nothing here decides who gets what.

mod arena;
mod bandwidth;
mod headers;
mod out;
mod pacer;
mod probing;
mod run;
mod sent;

pub use arena::{Egress, Run};
pub(crate) use out::{Outlet, PeerOut};
