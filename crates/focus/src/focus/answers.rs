//! Answers to IQs of the focus.

use stanza::disco::Info;
use stanza::error::{Condition, StanzaError};
use stanza::jitsi::evidence::{People, Probe};
use stanza::{BareJid, Element, ElementExt, FullJid, ns};

use super::{Components, Focus};
use crate::context::Context;
use crate::io::{Io, Purpose};

impl Focus {
    /// An answer to an IQ of ours, or the certainty that none comes in time.
    pub(super) fn on_answer(&mut self, purpose: Purpose, answer: Option<&Element>) {
        match purpose {
            Purpose::Components => self.on_components(answer),
            Purpose::Health(bridge) => self.on_health(&bridge, answer),
            Purpose::Witness { witness, suspect } => {
                let reached = answer.and_then(Probe::read_answer);
                if let (Some(io), Some(reached)) = (self.io.as_mut(), reached) {
                    self.bridges.on_heard(io.now, &witness);
                    self.bridges.on_testimony(io, &witness, &suspect, reached);
                }
            }
            Purpose::RoomForm(room) => {
                with_conference!(self, &room, |conference, cx| conference
                    .on_room_form(cx, answer));
                self.refuse_duplicate_meeting(&room);
            }
            Purpose::RoomConfig(room) => {
                with_conference!(self, &room, |conference, cx| conference
                    .on_room_configured(cx, answer));
            }
            Purpose::Features { room, nick, key } => {
                with_conference!(self, &room, |c, cx| c.on_features(
                    cx,
                    &nick,
                    key.as_deref(),
                    answer
                ));
            }
            Purpose::Initiate { room, nick, sid } => {
                with_conference!(self, &room, |c, cx| c
                    .on_offer_answered(cx, &nick, &sid, answer));
            }
            Purpose::Allocate { room, nick, sid } => {
                self.heard_bridge(answer);
                with_conference!(self, &room, |c, cx| c.on_allocated(cx, &nick, &sid, answer));
            }
            Purpose::Spare { room, nick, sid } => {
                self.heard_bridge(answer);
                with_conference!(self, &room, |c, cx| c
                    .on_spare_answered(cx, &nick, &sid, answer));
            }
            Purpose::Update {
                room,
                nick,
                bridge_session,
                modify,
                again,
            } => {
                self.heard_bridge(answer);
                with_conference!(self, &room, |c, cx| c.on_updated(
                    cx,
                    &nick,
                    &bridge_session,
                    *modify,
                    again,
                    answer
                ));
            }
            Purpose::Relay { ref room, .. } => {
                self.heard_bridge(answer);
                let room = room.clone();
                with_conference!(self, &room, |c, cx| {
                    c.on_relay_answered(cx, purpose, answer);
                    c.watch_untold(cx);
                    c.leave_unrelated(cx);
                });
            }
            Purpose::IceRestart { room, nick, sid } => {
                self.heard_bridge(answer);
                with_conference!(self, &room, |c, cx| c
                    .on_ice_restarted(cx, &nick, &sid, answer));
            }
            Purpose::Probe {
                room,
                bridge_session,
                tries,
            } => {
                self.heard_bridge(answer);
                with_conference!(self, &room, |c, cx| c.on_probed(
                    cx,
                    &bridge_session,
                    tries,
                    answer
                ));
            }
            Purpose::Told { .. } => {}
        }
    }

    fn on_components(&mut self, answer: Option<&Element>) {
        let query = answer.and_then(|answer| answer.get_child("query", ns::DISCO_INFO));
        let Some(info) = query.and_then(|query| Info::try_from(query).ok()) else {
            return;
        };
        let component = |kind: &str| {
            let mut all = info
                .identities
                .iter()
                .filter(|i| i.category == "component" && i.kind == kind);
            all.find_map(|identity| identity.name.clone())
        };
        self.components = Components {
            av_moderation: component("av_moderation"),
            room_metadata: component("room_metadata"),
        };
    }

    /// The meeting id is the key on bridges: two conferences must not share it.
    fn refuse_duplicate_meeting(&mut self, room: &BareJid) {
        let Some(id) = self
            .conferences
            .get(room)
            .map(|conference| conference.meeting_id().to_owned())
        else {
            return;
        };
        let taken = self
            .conferences
            .values()
            .any(|other| other.room() != room && other.meeting_id() == id);
        if taken {
            let fresh = self.io.as_mut().map(Io::uuid);
            if let (Some(conference), Some(fresh)) = (self.conferences.get_mut(room), fresh) {
                conference.set_meeting_id(fresh);
            }
        }
    }

    /// Anything that a bridge itself says shows that it lives; errors may come from the room in its place.
    fn heard_bridge(&mut self, answer: Option<&Element>) {
        let Some(answer) = answer.filter(|answer| answer.attr("type") == Some("result")) else {
            return;
        };
        if let (Some(io), Some(from)) = (
            self.io.as_ref(),
            answer
                .jid("from")
                .and_then(|from| from.try_into_full().ok()),
        ) {
            self.bridges.on_heard(io.now, &from);
        }
    }

    fn on_health(&mut self, bridge: &FullJid, answer: Option<&Element>) {
        let (Some(io), Some(answer)) = (self.io.as_ref(), answer) else {
            return;
        };
        let now = io.now;
        match StanzaError::from_stanza(answer) {
            None => {
                self.bridges.on_heard(now, bridge);
                if let Some(people) = People::of_answer(answer) {
                    self.bridges.on_people(now, bridge, people);
                }
            }
            Some(error) => match error.condition {
                Condition::InternalServerError | Condition::ServiceUnavailable => {
                    let text = error.text.unwrap_or_default();
                    self.bridges.on_unwell(
                        now,
                        &self.config.bridges,
                        bridge,
                        &format!("its health check failed: {text}"),
                    );
                }
                Condition::ItemNotFound | Condition::RecipientUnavailable => {}
                _ => self.bridges.on_heard(now, bridge),
            },
        }
    }
}
