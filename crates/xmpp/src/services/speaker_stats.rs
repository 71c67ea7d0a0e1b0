//! Speaking times: each client says when it becomes the dominant speaker; joiners get the totals.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use stanza::{Element, ElementExt as _, ns};

use super::meeting::{Meeting, json_message};
use crate::core::Core;
use crate::ids::SessionId;
use crate::journal::{Part, SpeakerRecord, SpeakersRecord};
use crate::occupants::Occupant;

/// People remembered after they left.
const MOST: usize = 1_000;

#[derive(Debug, Default)]
struct Speaker {
    total: Duration,
    since: Option<Instant>,
    /// Set when the person has left: the others can no longer look the name up.
    name: Option<String>,
    left: bool,
}

/// Speaking times of one meeting, by endpoint id.
#[derive(Debug, Default)]
pub(super) struct SpeakerStats {
    speakers: BTreeMap<String, Speaker>,
    dominant: Option<String>,
    /// The journal does not know them.
    changed: bool,
}

impl SpeakerStats {
    fn pause(&mut self, now: Instant) {
        let Some(speaker) = self
            .dominant
            .as_ref()
            .and_then(|nick| self.speakers.get_mut(nick))
        else {
            return;
        };
        if let Some(since) = speaker.since.take() {
            speaker.total += now.saturating_duration_since(since);
        }
    }

    fn dominant(&mut self, now: Instant, nick: &str, silence: bool) {
        self.changed = true;
        self.pause(now);
        if self.speakers.len() >= MOST && !self.speakers.contains_key(nick) {
            self.speakers.retain(|_, speaker| !speaker.left);
            if self.speakers.len() >= MOST {
                return;
            }
        }
        self.dominant = Some(nick.to_owned());
        let speaker = self.speakers.entry(nick.to_owned()).or_default();
        speaker.left = false;
        speaker.since = (!silence).then_some(now);
    }

    fn totals(&self, now: Instant) -> Map<String, Value> {
        let entry = |(nick, speaker): (&String, &Speaker)| {
            let millis = u64::try_from(speaker.until(now).as_millis()).unwrap_or(u64::MAX);
            let mut value = json!({ "totalDominantSpeakerTime": millis, "faceLandmarks": [] });
            if let (Some(name), Value::Object(object)) = (&speaker.name, &mut value) {
                object.insert("displayName".to_owned(), json!(name));
            }
            (nick.clone(), value)
        };
        self.speakers.iter().map(entry).collect()
    }
}

impl SpeakerStats {
    /// A client reports about itself.
    pub(super) fn event(
        &mut self,
        meeting: Meeting<'_>,
        now: Instant,
        from: SessionId,
        payload: &Element,
    ) -> Option<()> {
        if payload.is("faceLandmarks", ns::JITMEET) {
            return Some(());
        }
        if !payload.is("speakerstats", ns::JITMEET) {
            return None;
        }
        let nick = meeting.occupants.by_session(from)?.nick.clone();
        self.dominant(now, &nick, payload.attr("silence") == Some("true"));
        Some(())
    }

    /// Tells a joiner the totals, if there are any.
    pub(super) fn tell(&self, core: &mut Core, now: Instant, session: SessionId) {
        let users = self.totals(now);
        if users.is_empty() || core.rights(session).service {
            return;
        }
        let json = json!({ "type": "speakerstats", "users": users });
        let message = json_message(&core.hosts.speaker_stats, None, &json);
        core.send_element(session, message);
    }

    pub(super) fn left(&mut self, now: Instant, occupant: &Occupant) {
        if self.dominant.as_deref() == Some(occupant.nick.as_str()) {
            self.pause(now);
            self.dominant = None;
        }
        if let Some(speaker) = self.speakers.get_mut(&occupant.nick) {
            self.changed = true;
            speaker.left = true;
            speaker.since = None;
            speaker.name = occupant.presence.child_text("nick", ns::NICK);
        }
    }
}

impl Speaker {
    fn until(&self, now: Instant) -> Duration {
        let running = self.since.map(|since| now.saturating_duration_since(since));
        self.total + running.unwrap_or_default()
    }
}

impl SpeakerStats {
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// As the journal keeps them.
    pub(super) fn part(&self, now: Instant) -> Part {
        let speaker = |(nick, speaker): (&String, &Speaker)| {
            let record = SpeakerRecord {
                millis: u64::try_from(speaker.until(now).as_millis()).unwrap_or(u64::MAX),
                running: speaker.since.is_some(),
                name: speaker.name.clone(),
                left: speaker.left,
            };
            (nick.clone(), record)
        };
        Part::Speakers(SpeakersRecord {
            dominant: self.dominant.clone(),
            speakers: self.speakers.iter().map(speaker).collect(),
        })
    }

    /// Who spoke goes on speaking; the time in between does not count.
    pub(super) fn put_back(&mut self, now: Instant, record: SpeakersRecord) {
        for (nick, record) in record.speakers.into_iter().take(MOST) {
            let speaker = Speaker {
                // A damaged journal makes nobody speak for longer than a year.
                total: Duration::from_millis(record.millis).min(Duration::from_secs(31_536_000)),
                since: record.running.then_some(now),
                name: record.name,
                left: record.left,
            };
            self.speakers.insert(nick, speaker);
        }
        self.dominant = record
            .dominant
            .filter(|nick| self.speakers.contains_key(nick));
    }
}
