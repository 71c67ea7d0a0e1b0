//! What the tests of several crates, and the fuzz targets, share.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each uses its own part of the kit"
)]

pub mod door;
pub mod hostile;
