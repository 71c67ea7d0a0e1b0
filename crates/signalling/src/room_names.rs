//! How rooms are called in logs: by a word that stays the same while the process runs, and tells nothing.
//!
//! The name of a room is all that one needs to enter most meetings, and often says who meets. At `debug` the log says
//! once for each conference which word stands for which name.

use std::hash::{BuildHasher as _, RandomState};

use focus::Event;
use stanza::BareJid;

/// Makes the words; they differ between processes.
#[derive(Default)]
pub(crate) struct RoomNames(RandomState);

impl RoomNames {
    fn word(&self, room: &BareJid) -> String {
        let hash = self.0.hash_one(room.as_str());
        format!("room-{:08x}", hash >> 32)
    }

    /// The event in words, without the name of its room.
    pub(crate) fn hide(&self, event: &Event) -> String {
        let text = event.to_string();
        let Some(room) = event.room() else {
            return text;
        };
        let word = self.word(room);
        if let Event::ConferenceStarted { .. } | Event::ConferenceAdopted { .. } = event {
            tracing::debug!(target: "focus", "{word} is {room}");
        }
        text.replace(room.as_str(), &word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rooms_are_hidden_wherever_they_stand() {
        let names = RoomNames::default();
        let room = BareJid::new("board-meeting@conference.meet.example.com").unwrap();
        let refused = Event::Refused {
            room: room.clone(),
            endpoint: "1a2b3c4d".to_owned(),
            reason: format!("{room}/1a2b3c4d said nonsense"),
        };
        let text = names.hide(&refused);
        assert!(!text.contains("board-meeting"), "{text}");
        assert_eq!(text.matches(&names.word(&room)).count(), 2, "{text}");
        let warning = Event::Warning {
            text: "no bridges are known".to_owned(),
        };
        assert_eq!(names.hide(&warning), "no bridges are known");
    }
}
