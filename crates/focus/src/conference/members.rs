//! Members come and go: what they can do, who is owner, who is alone.

use std::time::Duration;

use stanza::disco::Info;
use stanza::jitsi::presence::ParticipantInfo;
use stanza::muc::{Admin, Affiliation, Item};
use stanza::{Element, element, ns};

use super::{Conference, Member, Phase};
use crate::context::Context;
use crate::features::Features;
use crate::io::{Purpose, Timer};

/// A client answers a question about its features within this time or is taken to know the usual ones.
const FEATURES_TIMEOUT: Duration = Duration::from_secs(5);

const JIBRI: &str = "http://jitsi.org/protocol/jibri";
const JIGASI: &str = "http://jitsi.org/protocol/jigasi";
const TRANSCRIBER: &str = "http://jitsi.org/protocol/transcriber";

impl Conference {
    pub(super) fn on_joined(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        item: &Item,
        info: ParticipantInfo,
    ) {
        if let Some(timer) = self.initial_timer.take() {
            cx.io.cancel(timer);
        }
        self.expected = self.expected.saturating_sub(1);
        cx.io.totals.participants += 1;
        let mut member = Member::new(item, info, cx.io.count());
        member.since = Some(cx.io.now);
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
    pub(super) fn ask_features(&mut self, cx: &mut Context<'_>, nick: &str, key: Option<String>) {
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
        cx: &mut Context<'_>,
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
    pub(super) fn on_left(&mut self, cx: &mut Context<'_>, nick: &str) {
        let Some(member) = self.members.remove(nick) else {
            return;
        };
        cx.io.totals.lasted.1 += member.lasted(cx.io.now);
        // Receivers infer from the presence that the sources are gone.
        self.sources.remove_owner(nick);
        let others = self.members.details_mut();
        for session in others.filter_map(|(_, m)| m.session.as_mut()) {
            session.signalled.remove(nick);
        }
        self.expire_endpoint(cx, nick);
        self.finish_moves(cx);
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
        self.retry_clashes(cx);
    }

    /// Whoever is alone with a session loses it after a while.
    pub(super) fn watch_single(&mut self, cx: &mut Context<'_>) {
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
    pub(super) fn elect_owner(&mut self, cx: &mut Context<'_>) {
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
}
