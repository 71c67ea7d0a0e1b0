//! Room metadata: one JSON document that all participants share.

use std::time::Instant;

use serde_json::{Map, Value, json};
use stanza::{Element, ns};

use super::external::services;
use super::meeting::{Meeting, json_message};
use crate::core::Core;
use crate::ids::SessionId;
use crate::journal::Part;

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
    document: Map<String, Value>,
    /// The journal does not know it.
    changed: bool,
}

impl Metadata {
    /// Sends the document to a joiner, with the TURN servers it may use.
    pub(super) fn push(
        &self,
        core: &mut Core,
        meeting: Meeting<'_>,
        now: Instant,
        session: SessionId,
    ) {
        let mut document = self.document.clone();
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
        let message = Self::message(core, meeting, document);
        core.send_element(session, message);
    }

    fn message(core: &Core, meeting: Meeting<'_>, document: Map<String, Value>) -> Element {
        let json = json!({ "type": "room_metadata", "metadata": document });
        json_message(&core.hosts.metadata, Some(meeting.jid), &json)
    }

    /// Sends the document to everybody.
    fn broadcast(&self, core: &mut Core, meeting: Meeting<'_>) {
        let message = Self::message(core, meeting, self.document.clone());
        meeting.push_all(core, &message);
    }

    /// A client wants to set one key.
    pub(super) fn set(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
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
        self.put(core, meeting, key, data)
    }

    /// Sets a key and tells everybody, if that changes anything.
    fn put(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        key: String,
        data: Value,
    ) -> Option<()> {
        let document = &mut self.document;
        if document.get(&key) == Some(&data) {
            return Some(());
        }
        let old = document.insert(key.clone(), data);
        self.changed = true;
        if Value::Object(document.clone()).to_string().len() > MAX_BYTES {
            match old {
                Some(old) => document.insert(key, old),
                None => document.remove(&key),
            };
            return None;
        }
        self.broadcast(core, meeting);
        Some(())
    }

    /// Sets a key for the server.
    pub(super) fn put_of_server(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        key: &str,
        data: Value,
    ) {
        let _ = self.put(core, meeting, key.to_owned(), data);
    }

    /// The policy "joiners start muted", as older clients write it.
    pub(super) fn set_start_muted(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        policy: &Element,
    ) {
        let flag = |name: &str| policy.attr(name) == Some("true");
        let mut value = match self.document.get("startMuted") {
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
        self.put_of_server(core, meeting, "startMuted", Value::Object(value));
    }

    /// Changes what joiners start with, without telling those who are there; returns what it was.
    pub(super) fn start_muted_quietly(&mut self, media: &str, on: Option<bool>) -> Option<bool> {
        self.changed = true;
        let document = &mut self.document;
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

impl Metadata {
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// As the journal keeps it.
    pub(super) fn part(&self) -> Part {
        Part::Metadata(self.document.clone())
    }

    pub(super) fn put_back(&mut self, document: Map<String, Value>) {
        if Value::Object(document.clone()).to_string().len() <= MAX_BYTES {
            self.document = document;
        }
    }
}
