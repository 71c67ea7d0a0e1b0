//! Room metadata: one JSON document that all participants share.

use std::time::Instant;

use serde_json::{Map, Value, json};
use stanza::{Element, ns};

use super::external::services;
use super::json_message;
use crate::SessionId;
use crate::core::Core;
use crate::muc::Room;

/// Keys that no client may write.
const BLOCKED: [&str; 13] = [
    "allownersEnabled",
    "asyncTranscription",
    "audioTranslationRequests",
    "conferencePresetsServiceEnabled",
    "dialinEnabled",
    "lobbyEnabled",
    "moderators",
    "participants",
    "participantsSoftLimit",
    "services",
    "transcriberType",
    "transcription",
    "visitorsEnabled",
];
/// Largest document, in bytes of JSON.
const MAX_BYTES: usize = 64 << 10;

/// The document.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) document: Map<String, Value>,
}

impl Room {
    /// Sends the document to a joiner, with the TURN servers it may use.
    pub(super) fn push_metadata(&self, core: &mut Core, now: Instant, session: SessionId) {
        let mut document = self.services.metadata.document.clone();
        if core.rights(session).admin {
            document.insert("moderators".to_owned(), json!([]));
        }
        let offered = services(core, now);
        if !offered.is_empty() && !core.rights(session).service {
            let list = offered.into_iter().map(|service| {
                let mut entry = Map::new();
                entry.insert("type".to_owned(), json!(service.kind));
                entry.insert("host".to_owned(), json!(service.host));
                entry.insert("port".to_owned(), json!(service.port));
                let optional = [
                    ("transport", service.transport.map(str::to_owned)),
                    (
                        "restricted",
                        service.password.as_ref().map(|_| "1".to_owned()),
                    ),
                    ("username", service.username),
                    ("password", service.password),
                    ("expires", service.expires),
                ];
                for (key, value) in optional {
                    entry.extend(value.map(|value| (key.to_owned(), json!(value))));
                }
                Value::Object(entry)
            });
            document.insert("services".to_owned(), Value::Array(list.collect()));
        }
        let message = self.metadata_message(core, document);
        core.send_element(session, message);
    }

    fn metadata_message(&self, core: &Core, document: Map<String, Value>) -> Element {
        let json = json!({ "type": "room_metadata", "metadata": document });
        json_message(&core.hosts.metadata, Some(&self.jid), &json)
    }

    /// Sends the document to everybody.
    pub(super) fn broadcast_metadata(&self, core: &mut Core) {
        let message = self.metadata_message(core, self.services.metadata.document.clone());
        self.push_all(core, &message);
    }

    /// A client wants to set one key.
    pub(super) fn set_metadata(
        &mut self,
        core: &mut Core,
        moderator: bool,
        payload: &Element,
    ) -> Option<()> {
        if !moderator || !payload.is("room_metadata", ns::JITMEET) {
            return None;
        }
        let Value::Object(mut change) = serde_json::from_str(&payload.text()).ok()? else {
            return None;
        };
        let Some(Value::String(key)) = change.remove("key") else {
            return None;
        };
        let data = change.remove("data")?;
        if BLOCKED.contains(&key.as_str()) {
            return None;
        }
        self.put_metadata(core, key, data)
    }

    /// Sets a key and tells everybody, if that changes anything.
    fn put_metadata(&mut self, core: &mut Core, key: String, data: Value) -> Option<()> {
        let document = &mut self.services.metadata.document;
        if document.get(&key) == Some(&data) {
            return Some(());
        }
        let old = document.insert(key.clone(), data);
        if Value::Object(document.clone()).to_string().len() > MAX_BYTES {
            match old {
                Some(old) => document.insert(key, old),
                None => document.remove(&key),
            };
            return None;
        }
        self.broadcast_metadata(core);
        Some(())
    }

    /// Sets a key for the server.
    pub(super) fn put_server_metadata(&mut self, core: &mut Core, key: &str, data: Value) {
        let _ = self.put_metadata(core, key.to_owned(), data);
    }

    /// The policy "joiners start muted", as older clients write it.
    pub(super) fn set_start_muted(&mut self, core: &mut Core, policy: &Element) {
        let flag = |name: &str| policy.attr(name) == Some("true");
        let mut value = match self.services.metadata.document.get("startMuted") {
            Some(Value::Object(have)) => have.clone(),
            _ => Map::new(),
        };
        let wanted = [("audio", flag("audio")), ("video", flag("video"))];
        let have = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
        if wanted.iter().all(|&(name, on)| have(name) == on) {
            return;
        }
        for (name, on) in wanted {
            value.insert(name.to_owned(), Value::Bool(on));
        }
        self.put_server_metadata(core, "startMuted", Value::Object(value));
    }

    /// Changes what joiners start with, without telling those who are there; returns what it was.
    pub(super) fn start_muted_quietly(&mut self, media: &str, on: Option<bool>) -> Option<bool> {
        let document = &mut self.services.metadata.document;
        let entry = document.entry("startMuted").or_insert_with(|| json!({}));
        let Value::Object(policy) = entry else {
            return None;
        };
        let old = match on {
            Some(on) => policy.insert(media.to_owned(), Value::Bool(on)),
            None => policy.remove(media),
        };
        old.and_then(|old| old.as_bool())
    }
}
