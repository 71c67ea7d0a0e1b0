//! Giving each member a session: choosing a bridge, asking it for an endpoint, offering.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stanza::colibri2::{ConferenceModified, ConferenceModify, ErrorAnswer, Reason as BridgeReason};
use stanza::jingle::{Action, BridgeSession, Jingle, Moving, StartMuted};
use stanza::media::IceTransport;
use stanza::{Element, FullJid};

use super::described::{add_sources, feedback_sources, new_endpoint};
use super::member::{Invite, Next, Session};
use super::{Conference, Phase, Stay};
use crate::bridges::Loss;
use crate::config::Strategy;
use crate::context::Context;
use crate::event::{Event, Reinvite};
use crate::features::Features;
use crate::io::{Purpose, Timer};
use crate::offer;
use crate::selection::{Choice, Wanted};
use crate::sources::SourceSet;

/// Pause before the next try when offers or allocations keep failing.
const RETRY: Duration = Duration::from_secs(1);
/// How often that pause doubles.
const MAX_DOUBLINGS: u32 = 3;
/// Allocations that may fail in a row before a pause is made.
const QUICK_RETRIES: u32 = 3;
/// How long a conference avoids a bridge that it has left: all who were on it are placed elsewhere, not only the first.
const AVOIDED: Duration = Duration::from_secs(60);

impl Conference {
    /// Gives a session to every member that should have one.
    pub(super) fn ensure_sessions(&mut self, cx: &mut Context<'_>) {
        if self.phase != Phase::Ready || self.members.len() < cx.config.min_participants {
            return;
        }
        if let Some(timer) = self.single_timer.take() {
            cx.io.cancel(timer);
        }
        let now = cx.io.now;
        let nicks: Vec<String> = self
            .members
            .keys()
            .filter(|nick| self.wants_invite(now, nick))
            .cloned()
            .collect();
        if self.paused {
            return;
        }
        if !nicks.is_empty() && self.away(cx).next().is_some() {
            // They are waited for, but not for ever.
            self.schedule_retry(cx);
        }
        if self.are_bridges_away(cx) {
            return;
        }
        for nick in nicks {
            if !self.invite(cx, &nick) {
                return;
            }
        }
    }

    fn wants_invite(&self, now: Instant, nick: &str) -> bool {
        let Some(member) = self.members.get(nick) else {
            return false;
        };
        let media = member
            .features
            .is_some_and(|features| features.audio || features.video);
        let held = member.hold_until.is_some_and(|until| until > now);
        let coming = member.invite.is_some() || member.next.is_some();
        if !media || held || !member.seen || member.released || coming {
            return false;
        }
        let session = member.session.as_ref();
        session.is_none_or(|session| session.stale || self.current(&session.stay).is_none())
    }

    /// Asks a bridge for an endpoint of `nick`. False if there is no bridge.
    fn invite(&mut self, cx: &mut Context<'_>, nick: &str) -> bool {
        let Some(at) = self.place(cx, nick) else {
            return false;
        };
        let start = self.force_mute_of(nick);
        let sid = cx.io.sid();
        let stays = self.stay.iter_mut().chain(&mut self.further);
        let stay = stays.into_iter().find(|stay| stay.id == at);
        let (Some(stay), Some(member)) = (stay, self.members.get_mut(nick)) else {
            return false;
        };
        let features = member.features.unwrap_or(Features::ASSUMED);
        member.force_mute = start;
        let sctp = features.sctp && cx.bridges.has_data_channel(&stay.bridge);
        member.invite = Some(Invite {
            sid: sid.clone(),
            stay: stay.id.clone(),
            sctp,
        });
        let endpoint = new_endpoint(cx, nick, features, sctp, start, member, false);
        let create = !stay.created;
        stay.created = true;
        stay.endpoints.insert(nick.to_owned());
        let modify = ConferenceModify {
            meeting_id: self.meeting_id.clone(),
            name: create.then(|| self.room.to_string()),
            create,
            rtcstats_enabled: self.rtcstats,
            endpoints: vec![endpoint],
            ..ConferenceModify::default()
        };
        let purpose = Purpose::Allocate {
            room: self.room.clone(),
            nick: nick.to_owned(),
            sid,
        };
        let bridge = stay.bridge.clone();
        // Whoever comes to a bridge is not behind a relay there any more.
        self.relate_those_there(cx);
        cx.io.request(
            "get",
            &bridge,
            &modify,
            purpose,
            cx.config.bridges.reply_timeout,
        );
        cx.bridges
            .promise(cx.io.now, cx.config.bridges.rampup, &bridge);
        true
    }

    /// The stay that `nick` gets an endpoint in; a new one where that is on a further bridge. `None` if there is no bridge.
    fn place(&mut self, cx: &mut Context<'_>, nick: &str) -> Option<String> {
        if let Some(stay) = &self.stay
            && (cx.config.bridges.strategy == Strategy::Single || stay.relay.is_none())
        {
            return Some(stay.id.clone());
        }
        let member = self.members.get(nick)?;
        let (region, visitor) = (member.info.region.clone(), member.is_visitor());
        let choice = self.choose_bridge(cx, region.as_deref(), visitor)?;
        let known = self.current_stays().find(|s| s.bridge == choice.bridge);
        if let Some(stay) = known {
            return Some(stay.id.clone());
        }
        // Who is there already must be able to meet whoever comes to it.
        let related = cx.bridges.relay_id(&choice.bridge).is_some();
        let given_up = self.mesh.is_given_up(cx.io.now, &choice.bridge);
        if self.stay.is_some() && (!related || given_up) {
            let there = self.current_stays();
            let there = there.filter(|stay| !cx.bridges.is_away(&stay.bridge));
            let least = there.min_by_key(|stay| stay.endpoints.len());
            return least.map(|stay| stay.id.clone());
        }
        Some(self.begin_stay(cx, choice))
    }

    /// Chooses the bridge for somebody, which may be one that the conference is on already.
    fn choose_bridge(
        &mut self,
        cx: &mut Context<'_>,
        region: Option<&str>,
        visitor: bool,
    ) -> Option<Choice> {
        let used = self.used();
        let lately = |at: Instant| cx.io.now.saturating_duration_since(at) < AVOIDED;
        let avoided = self.avoid.as_ref().filter(|(_, at)| lately(*at));
        let avoided = avoided.map(|(bridge, _)| bridge);
        let wanted = Wanted {
            region,
            visitor,
            avoid: avoided,
            used: &used,
        };
        let (now, config) = (cx.io.now, &cx.config.bridges);
        let preferred = self.prefer.take();
        let preferred =
            preferred.and_then(|to| cx.bridges.this(now, config, &to, "an operator said so"));
        let chosen = match preferred {
            Some(choice) => Ok(choice),
            None => cx.bridges.choose(now, config, &wanted),
        };
        let choice = match chosen {
            Ok(choice) => choice,
            Err(reason) => {
                if !self.info.bridge_not_available {
                    cx.io.event(Event::NoBridge {
                        room: self.room.clone(),
                        reason,
                    });
                }
                self.set_bridge_available(cx, false);
                self.pause(cx);
                return None;
            }
        };
        Some(choice)
    }

    /// Begins a stay on a bridge that was chosen; its id.
    fn begin_stay(&mut self, cx: &mut Context<'_>, choice: Choice) -> String {
        self.tell_choice(cx, &choice);
        let stay = Stay::new(cx, choice);
        let id = stay.id.clone();
        match self.stay {
            None => self.stay = Some(stay),
            Some(_) => self.further.push(stay),
        }
        self.set_bridge_available(cx, true);
        self.tell_bridge_count(cx);
        id
    }

    fn schedule_retry(&mut self, cx: &mut Context<'_>) {
        if self.retry_timer.is_none() {
            // The more tries failed, the longer the pause; whatever gets better is heard of at once.
            let doublings = self.failures.saturating_sub(QUICK_RETRIES);
            let pause = RETRY * (1 << doublings.min(MAX_DOUBLINGS));
            self.retry_timer = Some(cx.io.after(pause, Timer::Retry(self.room.clone())));
        }
    }

    /// Makes no allocations until the retry.
    fn pause(&mut self, cx: &mut Context<'_>) {
        self.paused = true;
        self.schedule_retry(cx);
    }

    pub(crate) fn on_retry_timer(&mut self, cx: &mut Context<'_>) {
        self.retry_timer = None;
        self.paused = false;
        self.leave_cut_off_bridges(cx);
        self.ensure_sessions(cx);
        let now = cx.io.now;
        let mut members = self.members.values();
        let held = members.any(|m| m.hold_until.is_some_and(|until| until > now));
        if held {
            self.schedule_retry(cx);
        }
        self.watch_untold(cx);
    }

    /// As long as a bridge that cannot be told is to be told of somebody, it is looked at again whether it is left.
    pub(crate) fn watch_untold(&mut self, cx: &mut Context<'_>) {
        let now = cx.io.now;
        let is_untold = |bridge: &FullJid| {
            cx.bridges.is_out_of_sight(now, bridge) && self.has_newcomers_for(bridge)
        };
        if self.bridges().any(is_untold) {
            self.schedule_retry(cx);
        }
    }

    /// A bridge that is cut off from here cannot be asked for a session that somebody waits for, nor told of somebody who came
    /// to another one: its people go to bridges that can. Without newcomers they stay.
    fn leave_cut_off_bridges(&mut self, cx: &mut Context<'_>) {
        if self.phase != Phase::Ready {
            return;
        }
        let now = cx.io.now;
        let away: Vec<FullJid> = self.away(cx).cloned().collect();
        for bridge in away {
            let waiting = self.current_stays().count() == 1
                && self.members.keys().any(|nick| self.wants_invite(now, nick));
            let could =
                cx.bridges.is_cut_off(now, &bridge) && cx.bridges.has_alternative(now, &bridge);
            if could && waiting {
                let reason = "somebody came, and it cannot be asked for a place";
                self.leave_bridge(cx, &bridge, reason);
            } else if could && self.has_newcomers_for(&bridge) {
                let reason = "somebody came to another bridge, and it cannot be told";
                self.leave_bridge(cx, &bridge, reason);
            }
        }
    }

    /// Another bridge can be used: no need to wait for the retry.
    pub(crate) fn on_bridges_improved(&mut self, cx: &mut Context<'_>) {
        if self.info.bridge_not_available || self.paused {
            self.paused = false;
            self.ensure_sessions(cx);
        }
    }

    /// The bridge answered an allocation; `None`: it did not.
    pub(crate) fn on_allocated(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        sid: &str,
        answer: Option<&Element>,
    ) {
        let Some(member) = self.members.get_mut(nick) else {
            return;
        };
        let Some(invite) = member.invite.take_if(|invite| invite.sid == sid) else {
            return;
        };
        let Some(stay) = self.current_mut(&invite.stay) else {
            return;
        };
        let bridge = stay.bridge.clone();
        let Some(answer) = answer else {
            return self.on_allocation_timeout(cx, nick, &bridge);
        };
        if let Some(error) = ErrorAnswer::of_iq(answer) {
            if invite.sctp && error.condition == "feature-not-implemented" {
                return self.invite_without_sctp(cx, nick, &bridge);
            }
            return self.on_allocation_error(cx, nick, &bridge, &error);
        }
        let modified = answer
            .children()
            .find_map(|child| ConferenceModified::try_from(child).ok());
        let Some(modified) = modified else {
            return cx.bridges.fail(
                cx.io.now,
                &cx.config.bridges,
                &bridge,
                "its answer cannot be understood",
            );
        };
        if let Some(feedback) = &modified.sources {
            stay.feedback = Some(feedback_sources(feedback));
        }
        let transport = modified
            .endpoints
            .into_iter()
            .find(|e| e.id == nick)
            .and_then(|e| e.transport);
        let sctp_port = transport
            .as_ref()
            .and_then(|t| t.sctp.as_ref())
            .and_then(|sctp| sctp.port);
        match transport.and_then(|t| t.ice) {
            Some(ice) if sctp_port.is_some() || !invite.sctp => {
                self.failures = 0;
                cx.bridges.on_served(&bridge);
                self.offer(
                    cx,
                    nick,
                    (sid.to_owned(), &invite.stay),
                    &ice,
                    sctp_port.filter(|_| invite.sctp),
                );
            }
            _ => cx.bridges.fail(
                cx.io.now,
                &cx.config.bridges,
                &bridge,
                "its answer has no transport",
            ),
        }
    }

    fn on_allocation_timeout(&mut self, cx: &mut Context<'_>, nick: &str, bridge: &FullJid) {
        if cx.bridges.is_cut_off(cx.io.now, bridge) {
            // Others may do well on it.
            let reason = "somebody came, and it cannot be asked for a place";
            return self.leave_bridge(cx, bridge, reason);
        }
        if cx.bridges.has_alternative(cx.io.now, bridge) {
            return cx.bridges.fail(
                cx.io.now,
                &cx.config.bridges,
                bridge,
                "it did not answer an allocation",
            );
        }
        // There is only this one: it may be busy, and other participants may do well.
        self.expire_endpoint(cx, nick);
        self.hold(cx, nick, RETRY);
    }

    fn on_allocation_error(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        bridge: &FullJid,
        error: &ErrorAnswer,
    ) {
        let text = error.text.clone().unwrap_or_default();
        let reason = format!("allocation of {nick}: {} {text}", error.condition);
        cx.io.event(Event::BridgeError {
            bridge: bridge.clone(),
            room: self.room.clone(),
            reason,
        });
        match (error.condition.as_str(), error.reason) {
            ("bad-request", _) => {
                // This participant's own data are at fault.
                if let Some(member) = self.members.get_mut(nick) {
                    member.released = true;
                }
                self.expire_endpoint(cx, nick);
            }
            ("item-not-found", Some(BridgeReason::ConferenceNotFound)) => {
                self.leave_bridge(cx, bridge, "it lost the conference")
            }
            ("conflict", None) if self.failures < QUICK_RETRIES => {
                // Made by a focus that was killed before it had written that down.
                self.failures += 1;
                self.expire_one(cx, bridge, nick);
                self.ensure_sessions(cx);
            }
            ("conflict", _) => {
                let reason = "it has an older conference or endpoint of this name";
                self.leave_bridge(cx, bridge, reason)
            }
            ("service-unavailable", Some(BridgeReason::GracefulShutdown)) => {
                cx.bridges.set_graceful(bridge);
                self.leave_bridge(cx, bridge, "it takes no new conferences");
            }
            (condition, _) => {
                let reason = format!("it answered an allocation with {condition}");
                cx.bridges
                    .fail(cx.io.now, &cx.config.bridges, bridge, reason);
            }
        }
    }

    /// The bridge has no SCTP; its other channel is the WebSocket whose address stands in the transport. It keeps the
    /// endpoint it refused, and answers in order within a conference: the endpoint is taken back and made anew.
    fn invite_without_sctp(&mut self, cx: &mut Context<'_>, nick: &str, bridge: &FullJid) {
        cx.bridges.set_no_data_channel(bridge);
        self.expire_one(cx, bridge, nick);
        self.ensure_sessions(cx);
    }

    /// Whether another bridge would be chosen than the one it is on, which still works.
    fn has_better_place(&self, cx: &Context<'_>, bridge: &FullJid) -> bool {
        if let Some(to) = &self.prefer {
            return to != bridge && cx.bridges.could_take(cx.io.now, to);
        }
        let wanted = Wanted {
            avoid: Some(bridge),
            ..Wanted::default()
        };
        let config = &cx.config.bridges;
        let choice = cx.bridges.choose(cx.io.now, config, &wanted);
        cx.bridges.can_leave(cx.io.now, bridge) && choice.is_ok_and(|c| c.bridge != *bridge)
    }

    /// Leaves bridges that could not be related to the others. Whoever is on them is placed where the rest is; until then
    /// they keep what they have.
    pub(crate) fn leave_unrelated(&mut self, cx: &mut Context<'_>) {
        while let Some((bridge, reason)) = self.mesh.take_unrelated() {
            let loss = Loss {
                bridge,
                reason,
                planned: true,
            };
            self.leave(cx, &loss);
        }
    }

    /// Leaves one bridge although as such it is not at fault.
    pub(super) fn leave_bridge(&mut self, cx: &mut Context<'_>, bridge: &FullJid, reason: &str) {
        let loss = Loss {
            bridge: bridge.clone(),
            reason: reason.to_owned(),
            planned: false,
        };
        self.leave(cx, &loss);
    }

    /// A bridge is lost or shall become empty: the conference leaves it, if it still works only for a better place.
    pub(crate) fn on_bridge_lost(&mut self, cx: &mut Context<'_>, loss: &Loss) {
        if self.has_spares_on(&loss.bridge) {
            self.drop_standby(cx);
            self.delay_spares(cx);
        }
        if !loss.planned || self.has_better_place(cx, &loss.bridge) {
            self.leave(cx, loss);
        }
    }

    /// The conference leaves a bridge. Clients keep what they have until a new offer is ready for them.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>, loss: &Loss) {
        if !loss.planned {
            self.lose_retiring(cx, &loss.bridge);
        }
        let Some(stay) = self.end_stay(&loss.bridge) else {
            return;
        };
        self.tell_bridge_count(cx);
        self.avoid = Some((loss.bridge.clone(), cx.io.now));
        let mut moved = 0;
        let mut useless = Vec::new();
        for (nick, member) in self.members.iter_mut() {
            let invite = member.invite.take_if(|invite| invite.stay == stay.id);
            let next = member.next.take_if(|n| n.session.stay == stay.id);
            useless.extend(next.map(|next| (nick.clone(), next.session.sid)));
            let session = member.session.as_ref();
            let there = session.is_some_and(|session| session.stay == stay.id);
            moved += usize::from(there || invite.is_some());
        }
        for (nick, sid) in useless {
            self.terminate(cx, &nick, &sid, "success", "moving");
        }
        cx.io.event(Event::ConferenceMoved {
            room: self.room.clone(),
            from: loss.bridge.clone(),
            reason: loss.reason.clone(),
            participants: moved,
        });
        cx.io.totals.moves += moved as u64;
        cx.io.reinvited_many(Reinvite::BridgeLeft, moved);
        if loss.planned && stay.endpoints.is_empty() {
            self.expire_conference(cx, &stay.bridge);
        } else if loss.planned {
            self.retiring.push(stay);
        } else {
            cx.io.totals.bridges_removed += 1;
            if cx.bridges.contains(&loss.bridge) || cx.bridges.is_away(&loss.bridge) {
                self.expire_conference(cx, &stay.bridge);
            }
            self.failures += 1;
            if self.failures > QUICK_RETRIES {
                self.pause(cx);
            }
        }
        self.take_standby(cx, loss.planned);
        self.ensure_sessions(cx);
    }

    /// Sends an offer: after ending the session it replaces, so that the client closes one and opens the other in one go, or
    /// beside it.
    pub(super) fn offer(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        (sid, at): (String, &str),
        ice: &IceTransport,
        sctp_port: Option<u16>,
    ) {
        let spare = self.standby.as_ref().is_some_and(|stay| stay.id == at);
        let beside = spare || self.keeps_session(nick);
        let former = self.members.get(nick).filter(|_| beside);
        let former = former.and_then(|m| m.session.as_ref().map(|s| s.sid.clone()));
        if former.is_none() {
            if let Some(old) = self.members.get_mut(nick).and_then(|m| m.session.take()) {
                self.terminate(cx, nick, &old.sid, "success", "moving");
                self.drop_sources(cx, nick);
            }
            self.leave_retiring(cx, nick);
        }
        let start_muted = self.start_muted_of(nick);
        let to = self.occupant(nick);
        let stays = self.stay.iter().chain(&self.further).chain(&self.standby);
        let stay = stays.into_iter().find(|stay| stay.id == at);
        let (Some(stay), Some(member)) = (stay, self.members.get_mut(nick)) else {
            return;
        };
        let features = member.features.unwrap_or(Features::ASSUMED);
        let each_key_frame = cx.bridges.asks_for_each_key_frame(&stay.bridge);
        let mut contents = offer::contents(&cx.config.codecs, features, ice, sctp_port);
        if each_key_frame {
            offer::ask_for_each_key_frame(&mut contents);
        }
        let mut jingle = Jingle::new(Action::SessionInitiate, &sid);
        jingle.initiator = cx.io.jid.as_ref().map(ToString::to_string);
        jingle.bundle = Some(
            contents
                .iter()
                .map(|content| content.name.clone())
                .collect(),
        );
        jingle.contents = contents;
        let (id, region) = (stay.id.clone(), stay.region.clone());
        jingle.bridge_session = Some(BridgeSession {
            id,
            region,
            ..BridgeSession::default()
        });
        jingle.moving = former.map(match spare {
            true => Moving::Spare,
            false => Moving::Beside,
        });
        jingle.start_muted = Some(start_muted).filter(|muted| muted.audio || muted.video);
        let mut signalled = BTreeMap::new();
        if member.is_told_sources() {
            for (owner, set) in self.sources.owners().filter(|(owner, _)| *owner != nick) {
                let set = set.filtered(features.audio, features.video, cx.config.strip_simulcast);
                if !set.is_empty() {
                    signalled.insert(owner.clone(), set);
                }
            }
        }
        add_sources(&mut jingle, features, &signalled, stay.feedback.as_ref());
        member.invited_before = true;
        let session = Session {
            sid: sid.clone(),
            stay: stay.id.clone(),
            active: false,
            stale: false,
            doubtful: false,
            ice_generation: 0,
            signalled,
        };
        if beside {
            member.next = Some(Next {
                session,
                sources: SourceSet::default(),
                done: false,
                since: cx.io.now,
                spare,
            });
        } else {
            member.session = Some(session);
            member.no_next = false;
        }
        let purpose = Purpose::Initiate {
            room: self.room.clone(),
            nick: nick.to_owned(),
            sid,
        };
        cx.io
            .request("set", to, &jingle, purpose, cx.config.reply_timeout);
        self.watch_moves(cx);
        // Somebody else may have waited for this one.
        self.finish_moves(cx);
    }

    /// The next session of `nick` comes to nothing: it gets another one, and loses the one it has for that. A spare one is tried
    /// again later.
    pub(super) fn drop_next(&mut self, cx: &mut Context<'_>, nick: &str) {
        let Some(member) = self.members.get_mut(nick) else {
            return;
        };
        let next = member.next.take();
        if next.as_ref().is_some_and(|next| next.spare) {
            return self.lose_spare(cx, nick);
        }
        member.no_next = true;
        let Some(next) = next else {
            return;
        };
        if let Some(stay) = self.current_mut(&next.session.stay) {
            stay.endpoints.remove(nick);
            let bridge = stay.bridge.clone();
            self.expire_one(cx, &bridge, nick);
        }
        self.ensure_sessions(cx);
        self.finish_moves(cx);
    }

    /// Leaves one member alone for a while.
    pub(super) fn hold(&mut self, cx: &mut Context<'_>, nick: &str, time: Duration) {
        if let Some(member) = self.members.get_mut(nick) {
            member.hold_until = Some(cx.io.now + time);
        }
        // One timer serves all who wait; who is held a little longer waits for the next round.
        self.schedule_retry(cx);
    }

    /// Forgets a session that ended: its sources and its endpoint go too.
    pub(super) fn close_session(&mut self, cx: &mut Context<'_>, nick: &str) {
        let Some(member) = self.members.get_mut(nick) else {
            return;
        };
        member.session = None;
        member.invite = None;
        if let Some(next) = member.next.take() {
            // It would be taken in place of the one that ended.
            self.terminate(cx, nick, &next.session.sid, "success", "not needed");
        }
        self.drop_sources(cx, nick);
        self.expire_endpoint(cx, nick);
    }

    /// Replaces a session, and its endpoint, by new ones. The client is told when the new offer is ready.
    pub(super) fn reinvite(&mut self, cx: &mut Context<'_>, nick: &str, reason: Reinvite) {
        cx.io.reinvited(reason);
        if let Some(member) = self.members.get_mut(nick) {
            member.invite = None;
            member.next = None;
            if let Some(session) = member.session.as_mut() {
                session.stale = true;
            }
        }
        self.expire_endpoint(cx, nick);
        self.ensure_sessions(cx);
    }

    /// One participant has been alone for long.
    pub(crate) fn on_single_timer(&mut self, cx: &mut Context<'_>) {
        self.single_timer = None;
        if self.phase != Phase::Ready {
            // On the way back into the room nobody can be told.
            return;
        }
        if self.members.len() >= cx.config.min_participants {
            return;
        }
        let with_session = self
            .members
            .iter()
            .filter_map(|(nick, m)| Some((nick.clone(), m.session.as_ref()?.sid.clone())));
        for (nick, sid) in with_session.collect::<Vec<_>>() {
            self.terminate(cx, &nick, &sid, "expired", "Idle session timeout");
            self.close_session(cx, &nick);
        }
        self.expire_all(cx);
    }

    /// What a newcomer shall mute.
    fn start_muted_of(&self, nick: &str) -> StartMuted {
        let Some(member) = self.members.get(nick) else {
            return StartMuted::default();
        };
        let many = |limit: Option<usize>| limit.is_some_and(|limit| self.members.len() > limit);
        let first = !member.invited_before;
        let forced = self.force_mute_of(nick);
        StartMuted {
            audio: forced.audio
                || first && (self.start_audio_muted || many(self.start_audio_muted_after)),
            video: forced.video
                || first && (self.start_video_muted || many(self.start_video_muted_after)),
        }
    }

    pub(crate) fn on_start_muted(&mut self, audio: bool, video: bool) {
        self.start_audio_muted = audio;
        self.start_video_muted = video;
    }
}
