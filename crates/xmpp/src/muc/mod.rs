//! Multi-user chat (XEP-0045) as meetings use it: rooms, occupants, administration, configuration, messages.

mod admin;
mod config;
mod join;
mod message;
mod occupants;
mod room;

pub(crate) use config::OwnerOutcome;
pub(crate) use occupants::{Marks, Occupant, Occupants, is_room_payload};
pub(crate) use room::{Room, RoomKind};
