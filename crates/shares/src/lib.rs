//! Shares of what is scarce, by address or sender: slots, rates, budgets.
//!
//! Everything here is plain counting: time is an argument, and whoever holds something says so and gives it back. One rule
//! runs through it: whoever has most is asked first, so that a newcomer with nothing always finds room.

mod address;
mod bucket;
mod budget;
mod slots;

pub use address::AddressClass;
pub use bucket::{Bucket, Buckets, Rate};
pub use budget::Budget;
pub use slots::{Slot, Slots};
