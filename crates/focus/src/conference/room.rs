//! Joining and configuring the room, members coming and going, roles, and what the focus publishes.
use std::collections::BTreeMap;

use stanza::data_form::{DataForm, FormKind};
use stanza::disco::Info;
use stanza::element;
use stanza::jitsi::conference::{ConferenceRequest, ConferenceResponse};
use stanza::jitsi::presence::{FocusInfo, ParticipantInfo};
use stanza::muc::{self, Admin, Affiliation, Item, Join, User};
use stanza::{BareJid, Element, iq, ns};

use super::{Conference, Cx, Member, Phase, Waiter};
use crate::NICK;
use crate::event::Event;
use crate::features::Features;
use crate::io::{Purpose, Timer};
use crate::sources::SourceTable;

/// Requests that wait for one room.
const MAX_WAITERS: usize = 10_000;
/// Attempts to come back into a room.
const MAX_JOINS: u32 = 4;
/// Pause after a room refused the focus that was in it before.
const REJOIN_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// A client answers a question about its features within this time or is taken to know the usual ones.
const FEATURES_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

const JIBRI: &str = "http://jitsi.org/protocol/jibri";
const JIGASI: &str = "http://jitsi.org/protocol/jigasi";
const TRANSCRIBER: &str = "http://jitsi.org/protocol/transcriber";

impl Conference {
    /// Begins to join the room of `request`.
    pub(crate) fn start(cx: &mut Cx<'_>, request: &ConferenceRequest) -> Self {
        let mut conference = Self::empty(request, cx.io.uuid());
        conference.join(cx);
        conference.restart_initial_timer(cx);
        conference
    }

    /// A conference of nobody, on no bridge, whose room was not asked for anything yet.
    pub(super) fn empty(request: &ConferenceRequest, meeting_id: String) -> Self {
        let number = |name: &str| {
            request
                .properties
                .get(name)
                .and_then(|value| value.parse().ok())
        };
        let properties = [("support-terminate-restart".to_owned(), "true".to_owned())].into();
        let room = request.room.clone();
        let etherpad = room.node().map(|node| node.as_str().to_owned());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            meeting_id,
            phase: Phase::Joining,
            inside: true,
            waiters: Vec::new(),
            members: BTreeMap::new(),
            stay: None,
            retiring: Vec::new(),
            sources: SourceTable::default(),
            moderation: super::Moderation::default(),
            rtcstats: request
                .properties
                .get("rtcstatsEnabled")
                .is_none_or(|value| value != "false"),
            start_audio_muted_after: number("startAudioMuted"),
            start_video_muted_after: number("startVideoMuted"),
            start_audio_muted: false,
            start_video_muted: false,
            is_breakout: false,
            owner_asked: None,
            info: FocusInfo {
                etherpad,
                version,
                properties,
                bridge_not_available: false,
            },
            failures: 0,
            paused: false,
            avoid: None,
            undone: Vec::new(),
            adopting: false,
            told: None,
            join_tries: 0,
            join_timer: None,
            expected: 0,
            expected_since: None,
            initial_timer: None,
            single_timer: None,
            retry_timer: None,
            room,
        }
    }

    /// Asks the room to let the focus in. On the way back its presence is whole at once: nobody sees less meanwhile.
    pub(crate) fn join(&mut self, cx: &mut Cx<'_>) {
        self.stop_join_timer(cx);
        self.join_tries += 1;
        let join = element("presence", ns::CLIENT)
            .attr("to", self.occupant(NICK))
            .child(Join::default());
        let info = (self.phase == Phase::Returning).then(|| self.info.clone());
        let children: Vec<Element> = info.iter().flat_map(FocusInfo::elements).collect();
        cx.io.send(join.children(children).done());
        self.told = info;
        let overdue = Timer::Join(self.room.clone());
        self.join_timer = Some(cx.io.after(cx.config.reply_timeout, overdue));
    }

    /// Somebody asks whether the conference is ready.
    pub(crate) fn ask(&mut self, cx: &mut Cx<'_>, waiter: Waiter) {
        if self.initial_timer.is_some() {
            self.restart_initial_timer(cx);
        }
        match self.phase {
            Phase::Joining | Phase::Returning if self.waiters.len() < MAX_WAITERS => {
                self.waiters.push(waiter)
            }
            phase => self.answer(cx, waiter, phase == Phase::Ready),
        }
    }

    fn answer(&mut self, cx: &mut Cx<'_>, waiter: Waiter, ready: bool) {
        if ready {
            self.expected = self.expected.saturating_add(1);
            self.expected_since = Some(cx.io.now);
        }
        let mut response = ConferenceResponse::new(self.room.clone(), ready);
        response.focus_jid = cx.io.jid.as_ref().map(|jid| jid.to_bare());
        response
            .properties
            .insert("authentication".to_owned(), "false".to_owned());
        match waiter {
            Waiter::Http(id) => cx.io.reply(id, Ok(response)),
            Waiter::Iq(request) => {
                let reply = iq::result_to(&request, Some(response.into()));
                cx.io.answer(reply);
            }
        }
    }

    pub(super) fn restart_initial_timer(&mut self, cx: &mut Cx<'_>) {
        if let Some(timer) = self.initial_timer.take() {
            cx.io.cancel(timer);
        }
        self.initial_timer = Some(
            cx.io
                .after(cx.config.initial_timeout, Timer::Initial(self.room.clone())),
        );
    }

    pub(crate) fn on_initial_timer(&mut self) {
        self.initial_timer = None;
        if self.members.is_empty() {
            self.end("nobody joined");
        }
    }

    pub(crate) fn on_join_timer(&mut self, cx: &mut Cx<'_>) {
        self.join_timer = None;
        match self.phase {
            // People are in there: it is worth another try.
            Phase::Returning if self.join_tries < MAX_JOINS => self.join(cx),
            Phase::Joining | Phase::Returning => self.end("the room did not answer"),
            _ => {}
        }
    }

    /// A presence of the room, about `nick`.
    pub(crate) fn on_presence(&mut self, cx: &mut Cx<'_>, nick: &str, presence: &Element) {
        let user = User::of(presence).unwrap_or_default();
        let kind = presence.attr("type");
        if nick == NICK || user.has(muc::status::SELF) {
            return self.on_own_presence(cx, kind, &user);
        }
        match kind {
            None => {
                let item = user.item.unwrap_or_default();
                self.on_available(cx, nick, &item, ParticipantInfo::of_presence(presence));
            }
            Some("unavailable") => self.on_left(cx, nick),
            Some(_) => {}
        }
    }

    fn on_own_presence(&mut self, cx: &mut Cx<'_>, kind: Option<&str>, user: &User) {
        match kind {
            Some("error") if self.phase == Phase::Returning => {
                // The former session may still hold the place.
                self.stop_join_timer(cx);
                let again = Timer::Join(self.room.clone());
                self.join_timer = Some(cx.io.after(REJOIN_PAUSE, again));
                return;
            }
            // Of the former session.
            Some("unavailable") if self.phase == Phase::Returning => return,
            Some("error") => return self.end("the room refused the focus"),
            Some("unavailable") => {
                self.inside = false;
                return self.end("the focus was removed from the room");
            }
            Some(_) => return,
            None => {}
        }
        let affiliation = user.item.as_ref().and_then(|item| item.affiliation);
        if affiliation.is_some_and(|affiliation| affiliation != Affiliation::Owner) {
            return self.end("the focus is not owner of the room");
        }
        if self.phase == Phase::Returning {
            return self.on_returned(cx, user.has(muc::status::CREATED));
        }
        if self.phase == Phase::Joining && self.join_timer.is_some() {
            self.ask_room_form(cx);
        }
    }

    /// Asks for what the room knows of itself, the first step of its configuration.
    pub(super) fn ask_room_form(&mut self, cx: &mut Cx<'_>) {
        {
            self.stop_join_timer(cx);
            let question = element("query", ns::MUC_OWNER);
            let purpose = Purpose::RoomForm(self.room.clone());
            cx.io.request(
                "get",
                &self.room,
                question,
                purpose,
                cx.config.reply_timeout,
            );
        }
    }

    pub(super) fn stop_join_timer(&mut self, cx: &mut Cx<'_>) {
        if let Some(timer) = self.join_timer.take() {
            cx.io.cancel(timer);
        }
    }

    /// The room's configuration form arrived; `None` when it did not come.
    pub(crate) fn on_room_form(&mut self, cx: &mut Cx<'_>, answer: Option<&Element>) {
        let form = answer
            .filter(|answer| answer.attr("type") == Some("result"))
            .and_then(|answer| {
                answer
                    .get_child("query", ns::MUC_OWNER)?
                    .get_child("x", ns::DATA)
            })
            .and_then(|form| DataForm::try_from(form).ok());
        let Some(form) = form else {
            return self.end("the room has no configuration form");
        };
        if let Some(id) = form
            .get("muc#roominfo_meetingId")
            .filter(|id| !id.trim().is_empty())
            // A conference that goes on keeps the key under which its bridge knows it.
            && !self.adopting
        {
            self.meeting_id = id.to_owned();
        }
        self.is_breakout = form
            .get("muc#roominfo_isbreakout")
            .is_some_and(|value| !matches!(value, "" | "0" | "false"));
        // Clients know the focus by its real address, and the focus needs theirs.
        let mut submit = DataForm::new(FormKind::Submit, ns::MUC_ROOMCONFIG);
        submit = submit.field("muc#roomconfig_whois", "list-single", "", Some("anyone"));
        let query = element("query", ns::MUC_OWNER).child(submit);
        cx.io.request(
            "set",
            &self.room,
            query,
            Purpose::RoomConfig(self.room.clone()),
            cx.config.reply_timeout,
        );
    }

    /// The room took its configuration, or not.
    pub(crate) fn on_room_configured(&mut self, cx: &mut Cx<'_>, answer: Option<&Element>) {
        if answer.is_none_or(|answer| answer.attr("type") != Some("result")) {
            return self.end("the room could not be configured");
        }
        if self.adopting {
            return self.adopt(cx, true);
        }
        self.phase = Phase::Ready;
        cx.io.totals.conferences += 1;
        cx.io.event(Event::ConferenceStarted {
            room: self.room.clone(),
            meeting_id: self.meeting_id.clone(),
        });
        self.publish(cx);
        self.answer_waiters(cx);
        self.elect_owner(cx);
        self.ensure_sessions(cx);
    }

    pub(super) fn answer_waiters(&mut self, cx: &mut Cx<'_>) {
        for waiter in std::mem::take(&mut self.waiters) {
            self.answer(cx, waiter, true);
        }
    }

    /// Whoever asked over HTTP is told to ask again. Requests by IQ are the server's to bring again.
    pub(crate) fn dismiss_waiters(&mut self, cx: &mut Cx<'_>) {
        for waiter in std::mem::take(&mut self.waiters) {
            match waiter {
                Waiter::Http(_) => self.answer(cx, waiter, false),
                Waiter::Iq(_) => self.waiters.push(waiter),
            }
        }
    }

    /// Sends the whole presence of the focus. Without the join element, or the room would send everything again.
    pub(super) fn publish(&self, cx: &mut Cx<'_>) {
        let presence = element("presence", ns::CLIENT).attr("to", self.occupant(NICK));
        cx.io.send(presence.children(self.info.elements()).done());
    }

    /// The same, if it says something new.
    pub(super) fn publish_news(&mut self, cx: &mut Cx<'_>) {
        if self.told.as_ref() != Some(&self.info) {
            self.publish(cx);
        }
    }

    /// Changes one conference property.
    pub(super) fn set_property(&mut self, cx: &mut Cx<'_>, key: &str, value: Option<String>) {
        let old = match value.clone() {
            Some(value) => self.info.properties.insert(key.to_owned(), value),
            None => self.info.properties.remove(key),
        };
        if old != value && self.phase == Phase::Ready {
            self.publish(cx);
        }
    }

    pub(super) fn set_bridge_available(&mut self, cx: &mut Cx<'_>, available: bool) {
        if self.info.bridge_not_available == available {
            self.info.bridge_not_available = !available;
            if self.phase == Phase::Ready {
                self.publish(cx);
            }
        }
    }

    fn on_available(&mut self, cx: &mut Cx<'_>, nick: &str, item: &Item, info: ParticipantInfo) {
        let other = self
            .members
            .get(nick)
            .is_some_and(|m| m.jid.is_some() && item.jid.is_some() && m.jid != item.jid);
        if other {
            // The name changed hands within one step.
            self.on_left(cx, nick);
        }
        if let Some(member) = self.members.get_mut(nick) {
            let was_moderator = member.is_moderator();
            let is_back = !std::mem::replace(&mut member.seen, true);
            member.jid = item.jid.clone().or(member.jid.take());
            member.affiliation = item.affiliation.unwrap_or(member.affiliation);
            member.role = item.role.unwrap_or(member.role);
            member.info = info;
            let is_moderator = member.is_moderator();
            self.update_sender_limits(cx);
            if was_moderator != is_moderator || is_back {
                self.refresh_force_mutes(cx);
            }
            if is_back {
                self.elect_owner(cx);
                self.ensure_sessions(cx);
            }
            return;
        }
        if matches!(self.phase, Phase::Over(_)) {
            return;
        }
        if self.members.len() >= cx.config.max_participants {
            cx.io.warn(format!(
                "a room has more than {} members; further ones get no session",
                cx.config.max_participants
            ));
            return;
        }
        self.on_joined(cx, nick, item, info);
    }

    fn on_joined(&mut self, cx: &mut Cx<'_>, nick: &str, item: &Item, info: ParticipantInfo) {
        if let Some(timer) = self.initial_timer.take() {
            cx.io.cancel(timer);
        }
        self.expected = self.expected.saturating_sub(1);
        cx.io.totals.participants += 1;
        let mut member = Member::new(item, info, cx.io.count());
        let domain = item
            .jid
            .as_ref()
            .map(|jid| jid.domain().as_str().to_owned());
        if domain.is_some_and(|domain| cx.config.trusted_domains.contains(&domain)) {
            let says = |feature: &str| member.info.features.iter().flatten().any(|f| f == feature);
            let (recorder, gateway) = (says(JIBRI), says(JIGASI) || says(TRANSCRIBER));
            member.recorder = recorder;
            member.gateway = gateway;
        }
        member.features = member
            .info
            .features
            .as_deref()
            .and_then(Features::from_presence);
        let sha1 = member.info.caps.clone().filter(|(_, hash)| hash == "sha-1");
        let key = sha1.map(|(key, _)| key);
        if member.features.is_none() {
            member.features = key.as_deref().and_then(|key| cx.caps.get(key));
        }
        let unknown = member.features.is_none();
        self.members.insert(nick.to_owned(), member);
        if unknown {
            self.ask_features(cx, nick, key);
        }
        self.update_sender_limits(cx);
        self.elect_owner(cx);
        self.ensure_sessions(cx);
    }

    /// Asks a client what it can do. On the way back into the room that must wait.
    pub(super) fn ask_features(&mut self, cx: &mut Cx<'_>, nick: &str, key: Option<String>) {
        if self.phase == Phase::Returning {
            return;
        }
        let purpose = Purpose::Features {
            room: self.room.clone(),
            nick: nick.to_owned(),
            key: key.clone(),
        };
        let query = element("query", ns::DISCO_INFO).attr_opt("node", key);
        cx.io
            .request("get", self.occupant(nick), query, purpose, FEATURES_TIMEOUT);
    }

    /// A client told what it can do; `None` when it did not.
    pub(crate) fn on_features(
        &mut self,
        cx: &mut Cx<'_>,
        nick: &str,
        key: Option<&str>,
        answer: Option<&Element>,
    ) {
        let info = answer
            .filter(|answer| answer.attr("type") == Some("result"))
            .and_then(|answer| answer.get_child("query", ns::DISCO_INFO))
            .and_then(|query| Info::try_from(query).ok());
        if let (Some(key), Some(info)) = (key, &info) {
            cx.caps.learn(key, info);
        }
        let Some(member) = self.members.get_mut(nick).filter(|m| m.features.is_none()) else {
            return;
        };
        let features = match &info {
            Some(info) => Features::from_list(info.features.iter().map(String::as_str)),
            None => Features::ASSUMED,
        };
        member.features = Some(features);
        self.ensure_sessions(cx);
    }

    /// A member is gone: left, kicked, or lost.
    pub(super) fn on_left(&mut self, cx: &mut Cx<'_>, nick: &str) {
        if self.members.remove(nick).is_none() {
            return;
        }
        // Receivers infer from the presence that the sources are gone.
        self.sources.remove_owner(nick);
        for session in self.members.values_mut().filter_map(|m| m.session.as_mut()) {
            session.signalled.remove(nick);
        }
        self.expire_endpoint(cx, nick);
        if self.members.is_empty() {
            // Whoever was told a moment ago that the room is ready would find it gone.
            let since = self.expected_since.filter(|_| self.expected > 0);
            let given = since.map(|at| cx.io.now.saturating_duration_since(at));
            if given.is_some_and(|given| given < cx.config.initial_timeout) {
                return self.restart_initial_timer(cx);
            }
            return self.end("everybody left");
        }
        self.update_sender_limits(cx);
        self.elect_owner(cx);
        self.watch_single(cx);
    }

    /// Whoever is alone with a session loses it after a while.
    pub(super) fn watch_single(&mut self, cx: &mut Cx<'_>) {
        let sessions = self
            .members
            .values()
            .filter(|m| m.session.is_some() || m.invite.is_some())
            .count();
        if self.members.len() < cx.config.min_participants
            && sessions > 0
            && self.single_timer.is_none()
        {
            let delay = cx.config.single_participant_timeout;
            self.single_timer = Some(cx.io.after(delay, Timer::Single(self.room.clone())));
        }
    }

    /// Somebody must be able to moderate: the first who came.
    pub(super) fn elect_owner(&mut self, cx: &mut Cx<'_>) {
        if self.phase != Phase::Ready || !cx.config.auto_owner || self.is_breakout {
            return;
        }
        if self.members.values().any(Member::is_owner) {
            return;
        }
        let eligible = self
            .members
            .values()
            .filter(|m| m.seen && !m.recorder && !m.gateway && !m.is_visitor());
        let first = eligible.min_by_key(|m| m.order);
        let Some((order, Some(jid))) = first.map(|m| (m.order, m.jid.as_ref())) else {
            return;
        };
        if self.owner_asked == Some(order) {
            return;
        }
        self.owner_asked = Some(order);
        let jid = jid.to_bare();
        let item = Item {
            affiliation: Some(Affiliation::Owner),
            jid: Some(jid.into()),
            ..Item::default()
        };
        let admin = Admin { items: vec![item] };
        cx.io.tell(&self.room, "set", &self.room, admin);
    }

    /// The end: everything is given up and everybody who waits gets an answer.
    pub(crate) fn stop(mut self, cx: &mut Cx<'_>, leave: bool) {
        let timers = [
            self.join_timer,
            self.initial_timer,
            self.single_timer,
            self.retry_timer,
        ];
        timers
            .into_iter()
            .flatten()
            .for_each(|timer| cx.io.cancel(timer));
        self.expire_all(cx);
        for waiter in std::mem::take(&mut self.waiters) {
            // Clients ask again by themselves.
            self.answer(cx, waiter, false);
        }
        if leave {
            let presence = element("presence", ns::CLIENT)
                .attr("to", self.occupant(NICK))
                .attr("type", "unavailable");
            cx.io.send(presence.done());
        }
        let reason = match self.phase {
            Phase::Over(reason) => reason,
            _ => "the focus stops",
        };
        cx.io.event(Event::ConferenceEnded {
            room: self.room,
            reason,
        });
    }
}

/// Whether rooms of `room`'s host are served: the room host itself, or the room host of a tenant.
pub(crate) fn is_served(config: &crate::FocusConfig, room: &BareJid) -> bool {
    let host = room.domain().as_str();
    if host == config.muc_domain || config.extra_muc_domains.iter().any(|extra| extra == host) {
        return true;
    }
    let prefix = config.muc_domain.strip_suffix(&config.domain);
    let tenant = prefix.and_then(|prefix| host.strip_prefix(prefix));
    let tenant = tenant
        .and_then(|rest| rest.strip_suffix(&config.domain))
        .and_then(|rest| rest.strip_suffix('.'));
    tenant.is_some_and(|tenant| !tenant.is_empty())
}
