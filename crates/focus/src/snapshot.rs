//! What a focus needs of another one to go on with its conferences, in a form that can be kept in a file.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::features::Features;
use crate::sources::SourceRecord;

/// Version of the form; others are not read.
const VERSION: u32 = 1;

/// Why a snapshot cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It is no JSON of the right form.
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// It was written by another version.
    #[error("its version is {0}, this focus reads {VERSION}")]
    Version(u32),
}

/// The conferences of a focus at one moment: rooms, bridges, sessions, sources, and what the focus knows of the room.
///
/// It holds addresses and names of people: a file with it is private.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    conferences: Vec<ConferenceRecord>,
}

impl Snapshot {
    pub(crate) fn new(conferences: Vec<ConferenceRecord>) -> Self {
        Self {
            version: VERSION,
            conferences,
        }
    }

    /// Whether there is nothing to go on with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.conferences.is_empty()
    }

    /// Number of conferences.
    #[must_use]
    pub fn len(&self) -> usize {
        self.conferences.len()
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Maps have texts as keys and there are no floats: it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads JSON, which is not trusted: [`crate::Focus::restore`] checks each conference as if clients had said it.
    ///
    /// # Errors
    /// If it is not what [`Snapshot::to_json`] of this version writes.
    pub fn from_json(json: &[u8]) -> Result<Self, SnapshotError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_slice(json)?;
        if head.version != VERSION {
            return Err(SnapshotError::Version(head.version));
        }
        Ok(serde_json::from_slice(json)?)
    }

    pub(crate) fn conferences(&self) -> &[ConferenceRecord] {
        &self.conferences
    }

    /// The highest number by which members are ordered.
    pub(crate) fn highest_order(&self) -> u64 {
        let members = self.conferences.iter().flat_map(|c| &c.members);
        let highest = members.map(|m| m.order).max().unwrap_or_default();
        // A damaged file must not use up the numbers.
        highest.min(u64::MAX / 2)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConferenceRecord {
    pub(crate) room: String,
    pub(crate) meeting_id: String,
    #[serde(default)]
    pub(crate) place: Option<String>,
    pub(crate) rtcstats: bool,
    pub(crate) start_audio_muted_after: Option<usize>,
    pub(crate) start_video_muted_after: Option<usize>,
    pub(crate) start_audio_muted: bool,
    pub(crate) start_video_muted: bool,
    pub(crate) is_breakout: bool,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) bridge_not_available: bool,
    pub(crate) moderated: Vec<String>,
    pub(crate) allowed: BTreeMap<String, BTreeSet<String>>,
    pub(crate) stay: Option<StayRecord>,
    #[serde(default)]
    pub(crate) further: Vec<StayRecord>,
    /// Ids of the stays between which there are relays.
    #[serde(default)]
    pub(crate) relays: Vec<(String, String)>,
    /// Those of the stays that have a relay to one other alone, and to which.
    #[serde(default)]
    pub(crate) leaves: Vec<(String, String)>,
    /// The bridge with the spare sessions.
    #[serde(default)]
    pub(crate) standby: Option<StayRecord>,
    pub(crate) members: Vec<MemberRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StayRecord {
    pub(crate) id: String,
    pub(crate) bridge: String,
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) relay: Option<String>,
    pub(crate) created: bool,
    pub(crate) endpoints: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberRecord {
    pub(crate) nick: String,
    pub(crate) jid: Option<String>,
    pub(crate) order: u64,
    pub(crate) features: Option<Features>,
    pub(crate) recorder: bool,
    pub(crate) gateway: bool,
    pub(crate) released: bool,
    pub(crate) invited_before: bool,
    pub(crate) mute_audio: bool,
    pub(crate) mute_video: bool,
    pub(crate) session: Option<SessionRecord>,
    pub(crate) sources: SourceRecord,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    pub(crate) sid: String,
    pub(crate) stay: String,
    pub(crate) active: bool,
    pub(crate) stale: bool,
    pub(crate) ice_generation: i32,
}
