//! What the focus reports to its host: decisions worth a log line, and counts.
use stanza::{BareJid, FullJid};

/// A decision or an observation worth a log line.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The focus joined a room and serves it.
    ConferenceStarted {
        /// The room.
        room: BareJid,
        /// Key of the conference on bridges.
        meeting_id: String,
    },
    /// A conference is over.
    ConferenceEnded {
        /// The room.
        room: BareJid,
        /// Why.
        reason: &'static str,
    },
    /// A bridge joined the brewery or came back.
    BridgeUp {
        /// Its occupant address.
        bridge: FullJid,
        /// Software version it reports.
        version: Option<String>,
        /// Region it reports.
        region: Option<String>,
    },
    /// A bridge is not used any more.
    BridgeDown {
        /// Its occupant address.
        bridge: FullJid,
        /// Which sign said so.
        reason: String,
        /// Conferences that are moved away.
        conferences: usize,
    },
    /// A conference was placed.
    BridgeSelected {
        /// The room.
        room: BareJid,
        /// The chosen bridge.
        bridge: FullJid,
        /// Why this one.
        reason: String,
        /// Reported stress.
        stress: f64,
        /// Stress of promised participants that the report cannot contain yet.
        promised: f64,
        /// Bridges among which it was chosen.
        candidates: usize,
    },
    /// No bridge could be given to a conference.
    NoBridge {
        /// The room.
        room: BareJid,
        /// What was wrong with the known bridges.
        reason: String,
    },
    /// Participants leave one bridge for another.
    ConferenceMoved {
        /// The room.
        room: BareJid,
        /// The bridge left behind.
        from: FullJid,
        /// Why.
        reason: String,
        /// Participants with a session that is replaced.
        participants: usize,
    },
    /// A session became usable.
    SessionActive {
        /// The room.
        room: BareJid,
        /// The endpoint.
        endpoint: String,
    },
    /// A request of a client was refused.
    Refused {
        /// The room.
        room: BareJid,
        /// The endpoint.
        endpoint: String,
        /// What was asked and what was wrong with it.
        reason: String,
    },
    /// A bridge answered with an error.
    BridgeError {
        /// The bridge.
        bridge: FullJid,
        /// The room.
        room: BareJid,
        /// Condition and text.
        reason: String,
    },
    /// Something unexpected that needs no reaction.
    Warning {
        /// What.
        text: String,
    },
}

/// Counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FocusStats {
    /// Conferences now.
    pub conferences: usize,
    /// Members of all rooms now, the focus not counted.
    pub participants: usize,
    /// Jingle sessions now.
    pub sessions: usize,
    /// Bridges in the brewery now.
    pub bridges: usize,
    /// Bridges that may be chosen now.
    pub bridges_usable: usize,
    /// Conferences since the start.
    pub conferences_total: u64,
    /// Participants since the start.
    pub participants_total: u64,
    /// Sessions that replaced another because of a bridge, since the start.
    pub moves_total: u64,
    /// Requests of clients that were refused, since the start.
    pub refused_total: u64,
    /// Bridges lost, since the start.
    pub bridges_lost_total: u64,
}
