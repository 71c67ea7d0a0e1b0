//! What of the server outlives its process: a log of plain records, one a line, each with a checksum.
//!
//! A file begins with everything ([`Log::begin`]) and goes on with what changed. A record says what something is now, not
//! what was done to it, so the last one of a kind counts and one that is lost costs what it told. Only what waits for a
//! session is told step by step: a stanza was put into its queue, so many were acknowledged.

mod log;
mod read;
mod record;

pub(crate) use log::Log;
pub use read::JournalError;
pub(crate) use read::{KeptRoom, KeptSession, State};
pub(crate) use record::*;
