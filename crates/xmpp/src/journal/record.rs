//! The records of the log, as JSON: fields may be added in later versions, unknown ones are passed over.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Version of the form; others are not read.
pub(crate) const VERSION: u32 = 1;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// What comes after this is all there is.
    Begin(Begin),
    /// A session that can be resumed.
    Session(SessionRecord),
    /// What a session has handled, and what its peer has acknowledged.
    Count(CountRecord),
    /// A session is over.
    Ended(u64),
    /// A stanza for several, without its address.
    Body(BodyRecord),
    /// That stanza waits for these sessions.
    Queued(QueuedRecord),
    /// A stanza for one waits for it.
    Sent(SentRecord),
    /// A part of a room.
    Room(RoomRecord),
    /// A room is over.
    Over(String),
    /// A request that somebody has to answer.
    Asked(RequestRecord),
    /// It is answered.
    Answered(RequestName),
    /// All conference requests that wait for a focus.
    Held(Vec<HeldRecord>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begin {
    pub(crate) version: u32,
    /// Seconds since 1970.
    pub(crate) unix: u64,
    /// The highest number that a session got.
    pub(crate) sessions: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    pub(crate) id: u64,
    pub(crate) jid: String,
    /// Name to resume it with.
    pub(crate) resume: String,
    pub(crate) handled: u32,
    pub(crate) acked: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CountRecord {
    pub(crate) id: u64,
    pub(crate) handled: u32,
    pub(crate) acked: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BodyRecord {
    pub(crate) n: u64,
    /// Where the address belongs.
    pub(crate) gap: usize,
    pub(crate) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueuedRecord {
    pub(crate) n: u64,
    pub(crate) to: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SentRecord {
    pub(crate) to: u64,
    pub(crate) text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoomRecord {
    pub(crate) room: String,
    pub(crate) part: Part,
}

/// A part of a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Head(HeadRecord),
    Affiliation(AffiliationRecord),
    Occupant(OccupantRecord),
    Left(LeftRecord),
    /// Nobody is in the waiting room any more.
    LobbyOver,
    /// One more message of the past.
    Said(SaidRecord),
    /// All joins that wait for the focus.
    Waiting(Vec<WaitingRecord>),
    Metadata(Map<String, Value>),
    Moderation(BTreeMap<String, ModeratedRecord>),
    Polls(Vec<PollRecord>),
    Speakers(SpeakersRecord),
}

/// What a room is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KindRecord {
    Meeting,
    HealthCheck,
    Internal,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeadRecord {
    pub(crate) kind: KindRecord,
    pub(crate) meeting_id: String,
    /// The highest number that a place in it got.
    pub(crate) places: u64,
    pub(crate) members_only: bool,
    /// Whether it has a waiting room.
    pub(crate) lobby: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<SubjectRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubjectRecord {
    pub(crate) text: String,
    pub(crate) from: String,
    pub(crate) unix: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AffiliationRecord {
    pub(crate) account: String,
    /// `none` takes it away.
    pub(crate) to: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OccupantRecord {
    pub(crate) place: u64,
    /// Whether the place is in the waiting room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) lobby: bool,
    pub(crate) session: u64,
    pub(crate) nick: String,
    pub(crate) jid: String,
    pub(crate) role: String,
    pub(crate) affiliation: String,
    pub(crate) presence: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftRecord {
    pub(crate) place: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) lobby: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SaidRecord {
    pub(crate) unix: u64,
    pub(crate) gap: usize,
    pub(crate) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingRecord {
    pub(crate) session: u64,
    pub(crate) presence: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModeratedRecord {
    pub(crate) actor: String,
    pub(crate) allowed: BTreeSet<String>,
    pub(crate) start_muted: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PollRecord {
    pub(crate) id: String,
    pub(crate) sender: String,
    pub(crate) sender_name: Option<String>,
    pub(crate) question: String,
    pub(crate) options: Vec<String>,
    pub(crate) votes: BTreeMap<String, VoteRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteRecord {
    pub(crate) name: Option<String>,
    pub(crate) chosen: Vec<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpeakersRecord {
    /// Who speaks.
    pub(crate) dominant: Option<String>,
    pub(crate) speakers: BTreeMap<String, SpeakerRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpeakerRecord {
    pub(crate) millis: u64,
    pub(crate) running: bool,
    pub(crate) name: Option<String>,
    pub(crate) left: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RequestName {
    pub(crate) requester: u64,
    pub(crate) target: u64,
    pub(crate) id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    pub(crate) name: RequestName,
    pub(crate) asked: String,
    /// The request, where another session can answer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) again: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldRecord {
    pub(crate) session: u64,
    pub(crate) stanza: String,
}
