//! One of a crowd: a name for it, and what it gets.

use crate::pauses::Served;

/// A participant of a [`Crowd`](crate::Crowd).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(super) u32);

/// One of a crowd.
#[derive(Debug, Clone)]
pub struct MemberLook {
    /// Who.
    pub member: MemberId,
    /// Endpoint id; empty before the login.
    pub endpoint: String,
    /// In the room.
    pub joined: bool,
    /// The session with the bridge is up.
    pub connected: bool,
    /// Sessions with a bridge so far: more than one after a move.
    pub sessions: u64,
    /// What came since the last look.
    pub served: Served,
}
