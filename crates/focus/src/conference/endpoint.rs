//! Requests to the bridge about endpoints that exist.

use stanza::colibri2::{ConferenceModify, Endpoint, Transport};
use stanza::{Element, FullJid};

use super::Conference;
use crate::context::Context;
use crate::io::Purpose;

impl Conference {
    pub(super) fn modify(&self) -> ConferenceModify {
        ConferenceModify {
            meeting_id: self.meeting_id.clone(),
            rtcstats_enabled: self.rtcstats,
            ..ConferenceModify::default()
        }
    }

    /// Tells the bridge something new about the endpoint of `nick`'s session.
    pub(super) fn update_endpoint(&mut self, cx: &mut Context<'_>, nick: &str, endpoint: Endpoint) {
        let session = self.members.get(nick).and_then(|m| m.session.as_ref());
        if let Some(stay) = session.map(|session| session.stay.clone()) {
            self.update_endpoint_at(cx, nick, &stay, endpoint);
        }
    }

    /// The same about the endpoint that it has in one stay.
    pub(super) fn update_endpoint_at(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        stay: &str,
        mut endpoint: Endpoint,
    ) {
        let stay = self.stay_by_id(stay);
        let there = stay.filter(|stay| stay.endpoints.contains(nick));
        let (Some(member), Some(stay)) = (self.members.get(nick), there) else {
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
        cx: &mut Context<'_>,
        nick: &str,
        bridge: &FullJid,
        stay: &str,
        modify: ConferenceModify,
        again: bool,
    ) {
        let payload = Element::from(&modify);
        let purpose = self.update(nick, stay, modify, again);
        self.ask_bridge(cx, bridge, payload, purpose);
    }

    /// Keeps an update that a bridge may not have heard, until it is heard.
    pub(super) fn keep_update(
        &mut self,
        nick: &str,
        bridge: &FullJid,
        stay: &str,
        modify: ConferenceModify,
        again: bool,
    ) {
        let purpose = self.update(nick, stay, modify, again);
        self.keep_for(bridge, purpose);
    }

    fn update(&self, nick: &str, stay: &str, modify: ConferenceModify, again: bool) -> Purpose {
        Purpose::Update {
            room: self.room.clone(),
            nick: nick.to_owned(),
            bridge_session: stay.to_owned(),
            modify: Box::new(modify),
            again,
        }
    }

    /// Asks for new ICE credentials inside the session of `nick`.
    pub(super) fn restart_ice(&mut self, cx: &mut Context<'_>, nick: &str, sid: &str) {
        let session = self.members.get(nick).and_then(|m| m.session.as_ref());
        let stay = session.and_then(|session| self.current(&session.stay));
        let Some(bridge) = stay.map(|stay| stay.bridge.clone()) else {
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
        self.ask_bridge(cx, &bridge, &modify, purpose);
    }

    /// Removes the endpoint of `nick`, and with the last one the conference, from the bridges it is on; not from one through
    /// which others meet.
    pub(super) fn expire_endpoint(&mut self, cx: &mut Context<'_>, nick: &str) {
        self.members.touch(nick);
        self.leave_retiring(cx, nick);
        self.expire_spare(cx, nick);
        let stays = self.stay.iter_mut().chain(&mut self.further);
        let there = stays.filter_map(|stay| {
            let removed = stay.endpoints.remove(nick);
            let empty = stay.endpoints.is_empty().then(|| stay.id.clone());
            removed.then(|| (stay.bridge.clone(), empty))
        });
        for (bridge, empty) in there.collect::<Vec<_>>() {
            let topology = &self.mesh.topology;
            let over = empty.as_ref().is_some_and(|id| !topology.passes_on(id));
            self.mesh.kept.extend(empty.filter(|_| !over));
            if over && self.end_stay(&bridge).is_some() {
                self.expire_conference(cx, &bridge);
                self.tell_bridge_count(cx);
            } else {
                self.expire_one(cx, &bridge, nick);
            }
        }
    }

    /// Removes the spare endpoint of `nick`, and with the last one the conference, from the bridge it is on.
    pub(super) fn expire_spare(&mut self, cx: &mut Context<'_>, nick: &str) {
        if let Some(member) = self.members.get_mut(nick) {
            member.spare_asked = None;
        }
        let Some(mut stay) = self.standby.take() else {
            return;
        };
        let was_there = stay.endpoints.remove(nick);
        if was_there && stay.endpoints.is_empty() {
            return self.expire_conference(cx, &stay.bridge);
        }
        if was_there {
            self.expire_one(cx, &stay.bridge, nick);
        }
        self.standby = Some(stay);
    }

    pub(super) fn expire_one(&mut self, cx: &mut Context<'_>, bridge: &FullJid, nick: &str) {
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
    pub(super) fn leave_retiring(&mut self, cx: &mut Context<'_>, nick: &str) {
        self.members.touch(nick);
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

    pub(super) fn expire_conference(&mut self, cx: &mut Context<'_>, bridge: &FullJid) {
        let modify = ConferenceModify {
            expire: true,
            ..self.modify()
        };
        self.tell_bridge(cx, bridge, &modify);
    }

    /// Leaves all bridges.
    pub(super) fn expire_all(&mut self, cx: &mut Context<'_>) {
        let stays: Vec<_> = self
            .stay
            .take()
            .into_iter()
            .chain(std::mem::take(&mut self.further))
            .chain(std::mem::take(&mut self.retiring))
            .chain(self.standby.take())
            .collect();
        for stay in &stays {
            let there = cx.bridges.contains(&stay.bridge) || cx.bridges.is_away(&stay.bridge);
            if stay.created && there {
                self.expire_conference(cx, &stay.bridge);
            }
        }
        if !stays.is_empty() {
            self.tell_bridge_count(cx);
        }
    }
}
