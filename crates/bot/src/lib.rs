//! Synthetic participants on an independent WebRTC stack (str0m).
//!
//! [`Bot`] is a participant without IO: stanzas and datagrams in and out, on any clock. It joins a room as every Jitsi
//! client does, sends synthetic simulcast video and audio, and counts the frames of others that a decoder could have
//! shown. [`run`] drives one over real sockets, [`Crowd`] drives thousands in one thread. The WebRTC stack is str0m's, never the
//! bridge's own: an independent judge. Who only counts ([`Bot::count`]) has joined by it too.

mod bot;
mod call;
mod counting;
mod crowd;
mod driver;
mod event;
mod keys;
mod layout;
pub mod load;
mod media;
mod pauses;
mod peer;
mod receive;
mod session;

pub use bot::{Bot, BotConfig};
pub use crowd::{Crowd, CrowdConfig, Local, Look, MemberId, MemberLook};
pub use driver::{Handle, Snapshot, run};
pub use event::Event;
pub use layout::Layout;
pub use media::{Layer, VideoSpec};
pub use pauses::Served;
pub use receive::{SourceStats, Tally};
