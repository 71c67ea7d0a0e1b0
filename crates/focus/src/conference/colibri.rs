//! Requests to the bridge about endpoints that exist, and what their answers mean.
use stanza::Element;
use stanza::FullJid;
use stanza::colibri2::{
    ConferenceModified, ConferenceModify, Endpoint, ErrorAnswer, Reason, Transport,
};
use stanza::jingle::{Action, Content, Creator, Jingle};
use stanza::media::IceTransport;

use super::{Conference, Cx};
use crate::event::{Event, Reinvite};
use crate::io::Purpose;

/// Updates that may fail in a row before the bridge is given up.
const MAX_ERRORS: u32 = 3;

impl Conference {
    pub(super) fn modify(&self) -> ConferenceModify {
        ConferenceModify {
            meeting_id: self.meeting_id.clone(),
            rtcstats_enabled: self.rtcstats,
            ..ConferenceModify::default()
        }
    }

    /// Tells the bridge something new about the endpoint of `nick`'s session.
    pub(super) fn update_endpoint(&mut self, cx: &mut Cx<'_>, nick: &str, mut endpoint: Endpoint) {
        let Some(member) = self.members.get(nick) else {
            return;
        };
        let Some(session) = member.session.as_ref() else {
            return;
        };
        let Some(stay) = self
            .stay_by_id(&session.stay)
            .filter(|stay| stay.endpoints.contains(nick))
        else {
            return;
        };
        endpoint.id = nick.to_owned();
        endpoint.stats_id = member.info.stats_id.clone();
        let modify = ConferenceModify {
            endpoints: vec![endpoint],
            ..self.modify()
        };
        let (bridge, stay) = (stay.bridge.clone(), stay.id.clone());
        self.send_update(cx, nick, &bridge, &stay, modify, false);
    }

    pub(super) fn send_update(
        &mut self,
        cx: &mut Cx<'_>,
        nick: &str,
        bridge: &FullJid,
        stay: &str,
        modify: ConferenceModify,
        again: bool,
    ) {
        let payload = Element::from(&modify);
        let purpose = Purpose::Update {
            room: self.room.clone(),
            nick: nick.to_owned(),
            bridge_session: stay.to_owned(),
            modify: Box::new(modify),
            again,
        };
        self.ask_bridge(cx, bridge, payload, purpose);
    }

    /// The bridge answered an update, or did not.
    pub(crate) fn on_updated(
        &mut self,
        cx: &mut Cx<'_>,
        nick: &str,
        stay: &str,
        modify: ConferenceModify,
        again: bool,
        answer: Option<&Element>,
    ) {
        let Some(known) = self.stay_by_id(stay) else {
            return;
        };
        let bridge = known.bridge.clone();
        let Some(answer) = answer else {
            // Each update carries the whole state of what it changes, so it can be said twice.
            if !again && known.endpoints.contains(nick) {
                self.send_update(cx, nick, &bridge, stay, modify, true);
            }
            return;
        };
        match ErrorAnswer::of_iq(answer) {
            None => {
                if let Some(known) = self.stay.as_mut().filter(|known| known.id == stay) {
                    known.errors = 0;
                }
            }
            Some(error) => self.on_update_error(cx, nick, stay, &bridge, &error),
        }
    }

    fn on_update_error(
        &mut self,
        cx: &mut Cx<'_>,
        nick: &str,
        stay: &str,
        bridge: &FullJid,
        error: &ErrorAnswer,
    ) {
        let text = error.text.clone().unwrap_or_default();
        let reason = format!("update of {nick}: {} {text}", error.condition);
        cx.io.event(Event::BridgeError {
            bridge: bridge.clone(),
            room: self.room.clone(),
            reason,
        });
        let Some(current) = self.stay.as_mut().filter(|current| current.id == stay) else {
            return;
        };
        match (error.condition.as_str(), error.reason) {
            ("item-not-found", Some(Reason::UnknownEndpoint)) => {
                let endpoint = error.endpoint.as_deref().unwrap_or(nick).to_owned();
                current.endpoints.remove(&endpoint);
                self.reinvite(cx, &endpoint, Reinvite::BridgeForgot);
            }
            ("item-not-found", Some(Reason::ConferenceNotFound)) => {
                self.leave_stay(cx, "it lost the conference")
            }
            (
                "item-not-found"
                | "recipient-unavailable"
                | "remote-server-not-found"
                | "remote-server-timeout",
                None,
            ) => {
                // The room says that nobody is there.
                cx.bridges.fail(
                    cx.io.now,
                    &cx.config.bridges,
                    bridge,
                    "its occupant cannot be reached",
                );
            }
            _ => {
                current.errors += 1;
                if current.errors >= MAX_ERRORS {
                    let reason = format!("it refuses updates with {}", error.condition);
                    cx.bridges
                        .fail(cx.io.now, &cx.config.bridges, bridge, reason);
                } else {
                    // Bring focus and bridge to the same state: a new endpoint instead of the old one.
                    self.reinvite(cx, nick, Reinvite::BridgeForgot);
                }
            }
        }
    }

    /// Asks for new ICE credentials inside the session of `nick`.
    pub(super) fn restart_ice(&mut self, cx: &mut Cx<'_>, nick: &str, sid: &str) {
        let Some(stay) = self.stay.as_ref() else {
            return;
        };
        let endpoint = Endpoint {
            id: nick.to_owned(),
            stats_id: self.members.get(nick).and_then(|m| m.info.stats_id.clone()),
            transport: Some(Transport {
                ice_restart: true,
                ..Transport::default()
            }),
            ..Endpoint::default()
        };
        let modify = ConferenceModify {
            endpoints: vec![endpoint],
            ..self.modify()
        };
        let purpose = Purpose::IceRestart {
            room: self.room.clone(),
            nick: nick.to_owned(),
            sid: sid.to_owned(),
        };
        let bridge = stay.bridge.clone();
        self.ask_bridge(cx, &bridge, &modify, purpose);
    }

    /// The bridge has new ICE credentials, or cannot make any.
    pub(crate) fn on_ice_restarted(
        &mut self,
        cx: &mut Cx<'_>,
        nick: &str,
        sid: &str,
        answer: Option<&Element>,
    ) {
        let Some(member) = self.members.get_mut(nick) else {
            return;
        };
        let Some(session) = member.session.as_mut().filter(|session| session.sid == sid) else {
            return;
        };
        let modified = answer
            .filter(|answer| answer.attr("type") == Some("result"))
            .and_then(|answer| {
                answer
                    .children()
                    .find_map(|child| ConferenceModified::try_from(child).ok())
            });
        let endpoint = modified.and_then(|m| m.endpoints.into_iter().find(|e| e.id == nick));
        let Some(ice) = endpoint.and_then(|e| e.transport).and_then(|t| t.ice) else {
            return self.reinvite(cx, nick, Reinvite::BridgeForgot);
        };
        // Without a generation the client's credentials still hold; an old one was overtaken.
        let Some(generation) = ice
            .ice_generation
            .filter(|generation| *generation > session.ice_generation)
        else {
            return;
        };
        session.ice_generation = generation;
        let mut jingle = Jingle::new(Action::TransportInfo, sid);
        jingle.contents.push(Content {
            creator: Some(Creator::Initiator),
            name: "audio".to_owned(),
            transport: Some(IceTransport {
                rtcp_mux: true,
                ..ice
            }),
            ..Content::default()
        });
        cx.io.tell(&self.room, "set", self.occupant(nick), &jingle);
    }

    /// Removes the endpoint of `nick`, and with the last one the conference, from the current bridge.
    pub(super) fn expire_endpoint(&mut self, cx: &mut Cx<'_>, nick: &str) {
        self.leave_retiring(cx, nick);
        let Some(stay) = self.stay.as_mut() else {
            return;
        };
        if !stay.endpoints.remove(nick) {
            return;
        }
        if stay.endpoints.is_empty() {
            if let Some(stay) = self.stay.take() {
                self.expire_conference(cx, &stay.bridge);
                self.set_property(cx, "bridge-count", None);
            }
            return;
        }
        let bridge = stay.bridge.clone();
        self.expire_one(cx, &bridge, nick);
    }

    pub(super) fn expire_one(&mut self, cx: &mut Cx<'_>, bridge: &FullJid, nick: &str) {
        let endpoint = Endpoint {
            id: nick.to_owned(),
            expire: true,
            ..Endpoint::default()
        };
        let modify = ConferenceModify {
            endpoints: vec![endpoint],
            ..self.modify()
        };
        self.tell_bridge(cx, bridge, &modify);
    }

    /// `nick` needs nothing any more of the bridges that the conference is leaving.
    pub(super) fn leave_retiring(&mut self, cx: &mut Cx<'_>, nick: &str) {
        for mut stay in std::mem::take(&mut self.retiring) {
            let was_there = stay.endpoints.remove(nick);
            if stay.endpoints.is_empty() {
                self.expire_conference(cx, &stay.bridge);
                continue;
            }
            if was_there {
                self.expire_one(cx, &stay.bridge, nick);
            }
            self.retiring.push(stay);
        }
    }

    pub(super) fn expire_conference(&mut self, cx: &mut Cx<'_>, bridge: &FullJid) {
        let modify = ConferenceModify {
            expire: true,
            ..self.modify()
        };
        self.tell_bridge(cx, bridge, &modify);
    }

    /// Leaves all bridges.
    pub(super) fn expire_all(&mut self, cx: &mut Cx<'_>) {
        let stays: Vec<_> = self
            .stay
            .take()
            .into_iter()
            .chain(std::mem::take(&mut self.retiring))
            .collect();
        for stay in &stays {
            let there = cx.bridges.contains(&stay.bridge) || cx.bridges.is_away(&stay.bridge);
            if stay.created && there {
                self.expire_conference(cx, &stay.bridge);
            }
        }
        if !stays.is_empty() {
            self.set_property(cx, "bridge-count", None);
        }
    }
}
