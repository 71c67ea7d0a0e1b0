//! What the moderation and metadata components tell the focus: `json-message` payloads.

use std::collections::BTreeMap;

use jid::{BareJid, Jid};
use minidom::Element;
use serde_json::Value;

use super::mute::MuteMedia;
use crate::ns;

/// Entries of one list that are read; the rest is dropped.
const MAX_LIST: usize = 10_000;

/// A message of type `av_moderation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvModeration {
    /// The room it is about.
    pub room: BareJid,
    /// The medium that `enabled` is about.
    pub media: Option<MuteMedia>,
    /// Whether participants need permission to unmute.
    pub enabled: Option<bool>,
    /// Who switched it, as occupant address.
    pub actor: Option<Jid>,
    /// Complete new lists of the occupants that have permission.
    pub whitelists: BTreeMap<MuteMedia, Vec<Jid>>,
}

/// A message of type `room_metadata`, as far as the focus uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMetadata {
    /// The room it is about.
    pub room: BareJid,
    /// Newcomers begin with the microphone muted.
    pub start_audio_muted: bool,
    /// Newcomers begin with the camera muted.
    pub start_video_muted: bool,
}

/// A message of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentMessage {
    /// Of the moderation component.
    AvModeration(AvModeration),
    /// Of the metadata component.
    RoomMetadata(RoomMetadata),
}

impl ComponentMessage {
    /// Reads the `json-message` of `message`; `None` if it has none of these types or names no room.
    #[must_use]
    pub fn of_message(message: &Element) -> Option<Self> {
        let payload = message.get_child("json-message", ns::JITMEET)?;
        let json: Value = serde_json::from_str(&payload.text()).ok()?;
        let room = json
            .get("room")
            .and_then(Value::as_str)
            .or_else(|| payload.attr("room"));
        let room = BareJid::new(room?).ok()?;
        match json.get("type").and_then(Value::as_str)? {
            "av_moderation" => Some(Self::AvModeration(read_moderation(room, &json))),
            "room_metadata" => Some(Self::RoomMetadata(read_metadata(
                room,
                json.get("metadata")?,
            ))),
            _ => None,
        }
    }
}

fn read_moderation(room: BareJid, json: &Value) -> AvModeration {
    let lists = json.get("whitelists").and_then(Value::as_object);
    let list = |value: &Value| -> Vec<Jid> {
        let entries = value.as_array().into_iter().flatten().take(MAX_LIST);
        entries
            .filter_map(Value::as_str)
            .filter_map(|jid| Jid::new(jid).ok())
            .collect()
    };
    AvModeration {
        room,
        media: json
            .get("mediaType")
            .and_then(Value::as_str)
            .and_then(MuteMedia::from_name),
        enabled: json.get("enabled").and_then(Value::as_bool),
        actor: json
            .get("actor")
            .and_then(Value::as_str)
            .and_then(|jid| Jid::new(jid).ok()),
        whitelists: lists
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((MuteMedia::from_name(name)?, list(value))))
            .collect(),
    }
}

fn read_metadata(room: BareJid, metadata: &Value) -> RoomMetadata {
    let muted = |key: &str| {
        metadata
            .pointer(key)
            .and_then(Value::as_bool)
            .unwrap_or(false)
    };
    RoomMetadata {
        room,
        start_audio_muted: muted("/startMuted/audio"),
        start_video_muted: muted("/startMuted/video"),
    }
}

/// A message that carries `json` to `to`.
#[must_use]
pub fn json_message(to: &Jid, json: &Value) -> Element {
    let payload = crate::element("json-message", ns::JITMEET)
        .text(json.to_string())
        .done();
    crate::element("message", ns::CLIENT)
        .attr("to", to)
        .child(payload)
        .done()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &Value) -> Option<ComponentMessage> {
        ComponentMessage::of_message(&json_message(
            &Jid::new("focus@auth.test/focus").unwrap(),
            json,
        ))
    }

    #[test]
    fn switching_on_and_lists() {
        let on = json!({"enabled": true, "mediaType": "audio", "actor": "r@c.test/a", "type": "av_moderation", "room": "r@c.test"});
        let Some(ComponentMessage::AvModeration(on)) = read(&on) else {
            panic!()
        };
        assert_eq!((on.enabled, on.media), (Some(true), Some(MuteMedia::Audio)));
        assert_eq!(on.actor, Jid::new("r@c.test/a").ok());
        let lists = json!({"mediaType": "audio", "whitelists": {"audio": ["r@c.test/a", 7, "@@"], "odd": []}, "type": "av_moderation", "room": "r@c.test"});
        let Some(ComponentMessage::AvModeration(lists)) = read(&lists) else {
            panic!()
        };
        assert_eq!(lists.enabled, None);
        assert_eq!(
            lists.whitelists,
            [(MuteMedia::Audio, vec![Jid::new("r@c.test/a").unwrap()])].into()
        );
    }

    #[test]
    fn metadata_names_the_room_outside_the_json() {
        let message: Element = "<message xmlns='jabber:client'><json-message xmlns='http://jitsi.org/jitmeet' room='r@c.test'>{\"type\":\"room_metadata\",\"metadata\":{\"startMuted\":{\"video\":true}}}</json-message></message>".parse().unwrap();
        let Some(ComponentMessage::RoomMetadata(metadata)) = ComponentMessage::of_message(&message)
        else {
            panic!()
        };
        assert!(!metadata.start_audio_muted && metadata.start_video_muted);
    }

    #[test]
    fn other_messages() {
        assert_eq!(read(&json!({"type": "av_moderation"})), None);
        assert_eq!(read(&json!({"type": "chat", "room": "r@c.test"})), None);
        assert_eq!(read(&json!([1])), None);
    }
}
