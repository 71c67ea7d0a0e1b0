//! What a focus knows at one moment, for operators: bridges, meetings, and why each meeting is where it is.

use serde::Serialize;

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Status {
    /// The bridges, by name.
    pub bridges: Vec<BridgeStatus>,
    /// The meetings, by room.
    pub meetings: Vec<MeetingStatus>,
}

/// What is counted at one moment, without the names of meetings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// The bridges, by name.
    pub bridges: Vec<BridgeStatus>,
    /// People in each meeting.
    pub sizes: Vec<usize>,
    /// Meetings whose people were told that no bridge can be had.
    pub waiting: usize,
}

impl Figures {
    /// Whether meetings can be held.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub fn health(&self) -> Result<(), String> {
        if self.bridges.iter().any(|bridge| bridge.usable) {
            return Ok(());
        }
        let states: Vec<String> = self
            .bridges
            .iter()
            .map(|bridge| format!("{} {}", bridge.name, bridge.state))
            .collect();
        Err(match states.is_empty() {
            true => "no bridge is there".to_owned(),
            false => format!("no bridge can be used for a meeting: {}", states.join(", ")),
        })
    }

    /// People who still find room on all bridges together.
    #[must_use]
    pub fn room_for(&self) -> usize {
        self.bridges.iter().map(|bridge| bridge.room_for).sum()
    }

    /// Mean load of the bridges that take meetings; 0 if there is none.
    #[must_use]
    pub fn mean_load(&self) -> f64 {
        let takes = self.bridges.iter().filter(|b| b.usable && !b.drain);
        let (sum, count) = takes.fold((0.0, 0.0), |(sum, n), b| (sum + b.load, n + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    }
}

/// A bridge.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BridgeStatus {
    /// Its name among the others.
    pub name: String,
    /// Where its media come in, as far as it says so.
    pub addresses: Vec<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Its name towards other bridges, if it has relays.
    pub relay_id: Option<String>,
    /// How it stands: `ready`, `draining` and so on.
    pub state: &'static str,
    /// Whether it may be chosen.
    pub usable: bool,
    /// Whether it says that it is well.
    pub healthy: bool,
    /// Whether it asks to become empty.
    pub drain: bool,
    /// Load, reported and promised; 1 is all it can carry.
    pub load: f64,
    /// Load it reports.
    pub stress: f64,
    /// Load of people that its report does not show yet.
    pub promised: f64,
    /// People who still find room on it, until it is avoided for its load; none if it may not be chosen or is drained.
    pub room_for: usize,
    /// It answers and does not serve its people, as far as is known.
    pub suspect: bool,
    /// It is about to end.
    pub ending: bool,
    /// Meetings of this focus on it.
    pub meetings: usize,
    /// People of this focus on it.
    pub people: usize,
    /// Spare connections of people of this focus on it, which carry nothing.
    pub spares: usize,
    /// People from whom it hears nothing, by its own word.
    pub unheard: usize,
    /// Milliseconds since it said anything.
    pub heard_ms: u64,
}

/// A meeting.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MeetingStatus {
    /// Address of its room.
    pub room: String,
    /// Its key on bridges.
    pub meeting_id: String,
    /// People in the room.
    pub people: usize,
    /// People with a session.
    pub sessions: usize,
    /// Whether people were told that no bridge can be had.
    pub waits: bool,
    /// Where it is.
    pub bridges: Vec<PlaceStatus>,
    /// Where its people have spare connections.
    pub spares: Option<PlaceStatus>,
}

/// A meeting's place on a bridge.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PlaceStatus {
    /// The bridge.
    pub bridge: String,
    /// People of the meeting on it.
    pub people: usize,
    /// Why it was chosen.
    pub why: String,
    /// The bridge to which it has its only relay, where bridges do not all have relays to each other.
    pub behind: Option<String>,
}
