//! Multi-user chat (XEP-0045) as meetings use it: rooms, occupants, administration, configuration, messages.

mod admin;
mod config;
mod guesses;
mod join;
mod message;
mod occupants;
mod room;

pub(crate) use config::OwnerOutcome;
pub(crate) use join::{FOCUS_NICK, valid_nick};
pub(crate) use occupants::{Marks, Occupant, Occupants};
pub(crate) use room::{Room, RoomKind};
