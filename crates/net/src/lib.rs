//! UDP sockets that receive and send in bursts (recvmmsg, GRO, sendmmsg, GSO).
//!
//! Linux only. All `unsafe` of sockets, and of what else is asked of the system, lives here, each block with its argument.
#![allow(
    unsafe_code,
    reason = "recvmmsg, sendmmsg, epoll and eventfd have no safe wrapper that keeps bursts"
)]

mod arena;
mod heap;
mod host;
mod message;
mod plain;
mod poller;
mod signal;
mod slab;
mod socket;
mod steer;

pub use arena::{Run, SendArena};
pub use heap::{heap_in_use, trim_heap};
pub use host::{local_addresses, pin_current_thread, precise_timers, rest};
pub use poller::{Poller, Ready, Waker};
pub use slab::{ReceiveSlab, Received, SLOT_LEN};
pub use socket::{UdpBatch, UdpConfig, UdpStats};
pub use steer::Lane;
