//! Moderation of microphones, cameras and screens: who may unmute. The focus enforces it; clients show it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stanza::muc::Role;
use stanza::{Element, Jid};

use super::meeting::{Meeting, json_message};
use super::metadata::Metadata;
use crate::core::Core;
use crate::ids::SessionId;
use crate::journal::{ModeratedRecord, Part};

/// Kinds of media that can be moderated.
const MEDIA: [&str; 3] = ["audio", "video", "desktop"];

/// One kind of media under moderation.
#[derive(Debug)]
struct Moderated {
    /// Occupant who turned it on.
    actor: String,
    /// Nicknames of those who may unmute.
    allowed: BTreeSet<String>,
    /// Whether joiners started muted before.
    start_muted: Option<bool>,
}

/// What is moderated in one meeting.
#[derive(Debug, Default)]
pub(super) struct Moderation {
    media: BTreeMap<&'static str, Moderated>,
    /// The journal does not know it.
    changed: bool,
}

impl Moderation {
    /// A moderator's request.
    pub(super) fn request(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        metadata: &mut Metadata,
        from: SessionId,
        payload: &Element,
    ) -> Option<()> {
        if payload.name() != "av_moderation" {
            return None;
        }
        let media = *MEDIA
            .iter()
            .find(|&&media| Some(media) == payload.attr("mediaType"))?;
        let actor = meeting.occupant_jid(&meeting.occupants.by_session(from)?.nick);
        if let Some(enable) = payload.attr("enable") {
            self.set_moderation(core, meeting, metadata, media, enable == "true", actor);
            return Some(());
        }
        let (person, allow) = match (
            payload.attr("jidToWhitelist"),
            payload.attr("jidToBlacklist"),
        ) {
            (Some(person), None) => (person, true),
            (None, Some(person)) => (person, false),
            _ => return None,
        };
        let person = Jid::new(person).ok()?;
        if core.hosts.canonical_room(&person.to_bare()) != *meeting.jid {
            return None;
        }
        let nick = person.resource()?.as_str().to_owned();
        self.set_allowed(core, meeting, media, &nick, allow, &actor)
    }

    fn set_moderation(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        metadata: &mut Metadata,
        media: &'static str,
        on: bool,
        actor: String,
    ) {
        if self.media.contains_key(media) == on {
            return;
        }
        self.changed = true;
        if on {
            let allowed = meeting.occupants.iter().filter(|occupant| {
                occupant.role == Role::Moderator && !core.rights(occupant.session).admin
            });
            let allowed = allowed.map(|occupant| occupant.nick.clone()).collect();
            let start_muted = metadata.start_muted_quietly(media, Some(true));
            let moderated = Moderated {
                actor: actor.clone(),
                allowed,
                start_muted,
            };
            self.media.insert(media, moderated);
        } else if let Some(moderated) = self.media.remove(media) {
            metadata.start_muted_quietly(media, moderated.start_muted);
        }
        let json = Self::enabled_json(meeting, media, on, &actor);
        let message = json_message(&core.hosts.av_moderation, None, &json);
        meeting.push_all(core, &message);
        if on {
            self.tell_lists(core, meeting, media, false);
        }
    }

    fn enabled_json(meeting: Meeting<'_>, media: &str, on: bool, actor: &str) -> Value {
        json!({ "type": "av_moderation", "room": meeting.jid.as_str(), "enabled": on, "mediaType": media, "actor": actor })
    }

    fn set_allowed(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        media: &'static str,
        nick: &str,
        allow: bool,
        actor: &str,
    ) -> Option<()> {
        let person = meeting.occupants.by_nick(nick)?.session;
        let mut json =
            json!({ "type": "av_moderation", "room": meeting.jid.as_str(), "mediaType": media });
        self.changed = true;
        match self.media.get_mut(media) {
            Some(moderated) => {
                if allow {
                    moderated.allowed.insert(nick.to_owned());
                } else {
                    moderated.allowed.remove(nick);
                }
                self.tell_lists(core, meeting, media, !allow);
            }
            // "Please unmute", while nothing forbids it.
            None if allow => put(&mut json, "from", json!(actor)),
            None => return Some(()),
        }
        put(
            &mut json,
            if allow { "approved" } else { "removed" },
            json!(true),
        );
        let from = core.hosts.av_moderation.clone();
        meeting.push(core, person, &from, &json);
        Some(())
    }

    /// Tells the moderators who may unmute.
    fn tell_lists(&self, core: &mut Core, meeting: Meeting<'_>, media: &str, removed: bool) {
        let lists: serde_json::Map<String, Value> = self
            .media
            .iter()
            .filter(|(_, moderated)| !moderated.allowed.is_empty())
            .map(|(media, moderated)| {
                let people = moderated
                    .allowed
                    .iter()
                    .map(|nick| json!(meeting.occupant_jid(nick)));
                ((*media).to_owned(), Value::Array(people.collect()))
            })
            .collect();
        let mut json = json!({
            "type": "av_moderation", "room": meeting.jid.as_str(), "mediaType": media, "whitelists": lists,
        });
        if removed {
            put(&mut json, "removed", json!(true));
        }
        let body = core.body(&json_message(&core.hosts.av_moderation, None, &json));
        for moderator in meeting.moderators() {
            core.send_body(moderator, &body);
        }
    }

    /// Tells a joiner what is moderated.
    pub(super) fn tell(&mut self, core: &mut Core, meeting: Meeting<'_>, session: SessionId) {
        let active: Vec<(&str, String)> = self
            .media
            .iter()
            .map(|(media, moderated)| (*media, moderated.actor.clone()))
            .collect();
        let from = core.hosts.av_moderation.clone();
        for (media, actor) in active {
            let json = Self::enabled_json(meeting, media, true, &actor);
            meeting.push(core, session, &from, &json);
        }
        self.role_changed(core, meeting, session);
    }

    /// A moderator may always unmute and sees the lists.
    pub(super) fn role_changed(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        session: SessionId,
    ) {
        let Some(occupant) = meeting.occupants.by_session(session) else {
            return;
        };
        if occupant.role != Role::Moderator {
            return;
        }
        let nick = (!core.rights(session).admin).then(|| occupant.nick.clone());
        let mut active = Vec::new();
        self.changed = true;
        for (media, moderated) in &mut self.media {
            moderated.allowed.extend(nick.clone());
            active.push(*media);
        }
        for media in active {
            self.tell_lists(core, meeting, media, false);
        }
    }

    pub(super) fn left(&mut self, nick: &str) {
        for moderated in self.media.values_mut() {
            self.changed |= moderated.allowed.remove(nick);
        }
    }
}

impl Moderation {
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// As the journal keeps it.
    pub(super) fn part(&self) -> Part {
        let record = |(media, moderated): (&&str, &Moderated)| {
            let record = ModeratedRecord {
                actor: moderated.actor.clone(),
                allowed: moderated.allowed.clone(),
                start_muted: moderated.start_muted,
            };
            ((*media).to_owned(), record)
        };
        Part::Moderation(self.media.iter().map(record).collect())
    }

    pub(super) fn put_back(&mut self, media: BTreeMap<String, ModeratedRecord>) {
        for (name, record) in media {
            let Some(media) = MEDIA.iter().find(|media| **media == name) else {
                continue;
            };
            let moderated = Moderated {
                actor: record.actor,
                allowed: record.allowed,
                start_muted: record.start_muted,
            };
            self.media.insert(*media, moderated);
        }
    }
}

fn put(json: &mut Value, key: &str, value: Value) {
    if let Value::Object(object) = json {
        object.insert(key.to_owned(), value);
    }
}
