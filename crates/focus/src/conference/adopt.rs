//! Going on with a conference after the stream, or the focus itself, was replaced.
//!
//! The order: the room shows who is there, whoever is missing has left, the bridge is asked whether it still has the
//! conference, what was under way at the break is said again. Sessions of those who stayed are not touched, unless they
//! have seen the focus leave: clients end their sessions by that, so each gets a new one.
use std::time::Duration;

use stanza::colibri2::{ErrorAnswer, Reason};
use stanza::{Element, FullJid};

use super::{Conference, Phase};
use crate::context::Context;
use crate::event::{Event, Reinvite};
use crate::io::{Purpose, Timer, Undone};
use crate::sources::SourceTable;

/// An offer whose arrival is doubtful is replaced when it is not accepted within this time.
const DOUBTFUL_WAIT: Duration = Duration::from_secs(5);
/// Time for members to come back to a room that the server made anew.
const MISSING_WAIT: Duration = Duration::from_secs(30);
/// A bridge is asked so often whether it has the conference.
const MAX_PROBES: u32 = 3;

impl Conference {
    /// The stream is gone for good and another one begins. False if the room was not ready yet: it is joined anew.
    pub(crate) fn lose_stream(&mut self) -> bool {
        self.join_tries = 0;
        match self.phase {
            Phase::Joining if !self.adopting => return false,
            Phase::Over(_) => {}
            _ => self.phase = Phase::Returning,
        }
        self.adopting = false;
        self.inside = true;
        self.owner_asked = None;
        for (_, member) in self.members.iter_mut() {
            member.seen = false;
            // Whether the client got it, and what it said of it, is not known.
            member.next = None;
        }
        true
    }

    /// The room has let the focus in again and shown everybody. `created`: it was made anew, the server had lost it.
    ///
    /// `place` is what the room calls the focus's place. The same as before: nobody has seen the focus leave. Without a
    /// name, or with another one, everybody has.
    pub(super) fn on_returned(
        &mut self,
        cx: &mut Context<'_>,
        created: bool,
        place: Option<String>,
    ) {
        self.stop_join_timer(cx);
        self.adopting = true;
        let kept = place.is_some() && place == self.place;
        self.place = place;
        if created {
            self.phase = Phase::Joining;
            return self.ask_room_form(cx);
        }
        if !kept {
            self.void_sessions(cx);
        }
        self.adopt(cx, false);
    }

    /// Everybody in the room has seen the focus leave: no session goes on, and each member gets a new one.
    fn void_sessions(&mut self, cx: &mut Context<'_>) {
        let mut void = 0;
        for (_, member) in self.members.iter_mut().filter(|(_, m)| m.seen) {
            member.invite = None;
            member.next = None;
            member.hold_until = None;
            member.released = false;
            member.refusals = 0;
            if let Some(session) = member.session.as_mut() {
                session.stale = true;
                void += 1;
            }
        }
        cx.io.reinvited_many(Reinvite::FocusLeft, void);
        // Their sources ended with them, and what was on its way was about them.
        self.sources = SourceTable::default();
        self.undone.retain(|undone| match &undone.purpose {
            Purpose::Told { payload, .. } => payload.name() != "jingle",
            _ => false,
        });
        self.update_sender_limits(cx);
    }

    /// Goes on. In a room that is new, members are waited for.
    pub(super) fn adopt(&mut self, cx: &mut Context<'_>, created: bool) {
        self.adopting = false;
        self.phase = Phase::Ready;
        // Which of the spare sessions there are is not known: they are made anew.
        self.drop_standby(cx);
        self.delay_spares(cx);
        if created {
            let room = self.room.clone();
            cx.io.after(MISSING_WAIT, Timer::Missing(room));
        } else {
            self.drop_missing(cx);
        }
        if self.phase != Phase::Ready {
            return;
        }
        cx.io.totals.adopted += 1;
        cx.io.event(Event::ConferenceAdopted {
            room: self.room.clone(),
            participants: self.member_count(),
            sessions: self.lasting_sessions(),
        });
        self.publish_news(cx);
        self.answer_waiters(cx);
        let unknown = self.members.iter().filter(|(_, m)| m.features.is_none());
        for nick in unknown.map(|(nick, _)| nick.clone()).collect::<Vec<_>>() {
            self.ask_features(cx, &nick, None);
        }
        if self.members.is_empty() && self.initial_timer.is_none() {
            self.restart_initial_timer(cx);
        }
        self.watch_single(cx);
        self.watch_doubtful(cx);
        self.attach_bridge(cx);
        self.refresh_force_mutes(cx);
        self.elect_owner(cx);
    }

    fn lasting_sessions(&self) -> usize {
        let sessions = self.members.values().filter_map(|m| m.session.as_ref());
        sessions.filter(|session| !session.stale).count()
    }

    /// Whoever the room does not show has left.
    fn drop_missing(&mut self, cx: &mut Context<'_>) {
        let missing = self.members.iter().filter(|(_, m)| !m.seen);
        for nick in missing.map(|(nick, _)| nick.clone()).collect::<Vec<_>>() {
            self.on_left(cx, &nick);
        }
    }

    /// Those who did not come back to a new room are not waited for any longer.
    pub(crate) fn on_missing_timer(&mut self, cx: &mut Context<'_>) {
        if self.phase == Phase::Ready {
            self.drop_missing(cx);
        }
    }

    /// Whether an offer that is not accepted yet arrived, and whether its acceptance was lost, nobody knows.
    fn watch_doubtful(&mut self, cx: &mut Context<'_>) {
        let all = self.members.details_mut();
        let sessions = all.filter_map(|(_, m)| m.session.as_mut());
        let mut doubtful = false;
        for session in sessions.filter(|session| !session.active && !session.stale) {
            session.doubtful = true;
            doubtful = true;
        }
        if doubtful {
            let room = self.room.clone();
            cx.io.after(DOUBTFUL_WAIT, Timer::Doubtful(room));
        }
    }

    /// Offers that were not accepted in the end are made anew.
    pub(crate) fn on_doubtful_timer(&mut self, cx: &mut Context<'_>) {
        let lost = self.members.iter().filter(|(_, m)| {
            let session = m.session.as_ref();
            session.is_some_and(|s| s.doubtful && !s.active && !s.stale)
        });
        for nick in lost.map(|(nick, _)| nick.clone()).collect::<Vec<_>>() {
            self.reinvite(cx, &nick, Reinvite::OfferLost);
        }
    }

    /// A bridge has shown itself on the new stream.
    pub(crate) fn on_bridge_back(&mut self, cx: &mut Context<'_>, bridge: &FullJid) {
        if self.phase != Phase::Ready {
            return;
        }
        if self.current_stays().any(|stay| stay.bridge == *bridge) {
            return self.attach_bridge(cx);
        }
        // It was left while it was away: what it was to be told then, it is told now.
        self.say_what_was_kept(cx, bridge);
    }

    /// A bridge that did not answer for a while, or of which something came back, is heard again on the same stream.
    pub(crate) fn on_bridge_heard(&mut self, cx: &mut Context<'_>, bridge: &FullJid) {
        if self.phase == Phase::Ready {
            self.say_what_was_kept(cx, bridge);
        }
    }

    fn say_what_was_kept(&mut self, cx: &mut Context<'_>, bridge: &FullJid) {
        let to = bridge.to_string();
        let all = std::mem::take(&mut self.undone).into_iter();
        let (its, others): (Vec<Undone>, Vec<Undone>) = all.partition(|u| u.to == to);
        self.undone = others;
        for undone in its {
            self.redo(cx, undone);
        }
    }

    /// The bridge is away for longer, and there is no other.
    pub(crate) fn on_bridge_missed(&mut self, cx: &mut Context<'_>, bridge: &FullJid) {
        if self.is_placed_on(bridge) {
            self.set_bridge_available(cx, false);
        }
    }

    /// Goes on with the bridge, if it is there: asks whether it has the conference, and says again what was under way.
    fn attach_bridge(&mut self, cx: &mut Context<'_>) {
        let away = self.are_bridges_away(cx);
        let stays = self.current_stays().filter(|stay| stay.created);
        let there = stays.filter(|stay| !cx.bridges.is_away(&stay.bridge));
        for id in there.map(|stay| stay.id.clone()).collect::<Vec<_>>() {
            self.probe(cx, &id, 0);
        }
        for undone in std::mem::take(&mut self.undone) {
            self.redo(cx, undone);
        }
        if away {
            return;
        }
        if self.stay.is_some() {
            self.set_bridge_available(cx, true);
        }
        self.drop_ownerless(cx);
        self.ensure_sessions(cx);
    }

    /// Endpoints for which nobody has a session: whether the bridge made them is not known.
    fn drop_ownerless(&mut self, cx: &mut Context<'_>) {
        let mut all: Vec<(FullJid, String)> = Vec::new();
        for stay in self.stay.iter_mut().chain(&mut self.further) {
            let (members, id) = (&self.members, &stay.id);
            let ownerless = |nick: &&String| {
                members.get(*nick).is_none_or(|m| {
                    let session = m.session.as_ref();
                    let next = m.next.as_ref().is_some_and(|n| n.session.stay == *id);
                    m.invite.is_none() && !next && session.is_none_or(|s| s.stay != *id || s.stale)
                })
            };
            let nicks: Vec<String> = stay.endpoints.iter().filter(ownerless).cloned().collect();
            for nick in nicks {
                stay.endpoints.remove(&nick);
                self.members.touch(&nick);
                all.push((stay.bridge.clone(), nick));
            }
        }
        for (bridge, nick) in &all {
            self.expire_one(cx, bridge, nick);
        }
    }

    fn redo(&mut self, cx: &mut Context<'_>, undone: Undone) {
        match undone.purpose {
            Purpose::Told { kind, payload, .. } => {
                match undone.to.parse::<FullJid>() {
                    Ok(to) if cx.bridges.is_away(&to) => self.keep_for_bridge(&to, *payload),
                    _ => cx.io.tell(&self.room, kind, undone.to, *payload),
                };
            }
            Purpose::Update {
                nick,
                bridge_session,
                modify,
                again,
                ..
            } => {
                let stay = self.stay_by_id(&bridge_session);
                let known = stay.filter(|stay| stay.endpoints.contains(&nick));
                if let Some(bridge) = known.map(|stay| stay.bridge.clone()) {
                    self.send_update(cx, &nick, &bridge, &bridge_session, *modify, again);
                }
            }
            Purpose::IceRestart { nick, sid, .. } => {
                let session = self.members.get(&nick).and_then(|m| m.session.as_ref());
                if session.is_some_and(|s| s.sid == sid && !s.stale) {
                    self.restart_ice(cx, &nick, &sid);
                }
            }
            purpose @ Purpose::Relay { .. } => self.ask_relay_again(cx, purpose),
            Purpose::Allocate { nick, sid, .. } => {
                // Its endpoint is dropped as one without an owner, and asked for anew.
                if let Some(member) = self.members.get_mut(&nick) {
                    member.invite.take_if(|invite| invite.sid == sid);
                }
            }
            _ => {}
        }
    }

    fn probe(&mut self, cx: &mut Context<'_>, stay: &str, tries: u32) {
        let Some(stay) = self.current(stay).filter(|stay| stay.created) else {
            return;
        };
        let purpose = Purpose::Probe {
            room: self.room.clone(),
            bridge_session: stay.id.clone(),
            tries,
        };
        let bridge = stay.bridge.clone();
        let modify = self.modify();
        self.ask_bridge(cx, &bridge, &modify, purpose);
    }

    /// The bridge told whether it has the conference, or was silent.
    pub(crate) fn on_probed(
        &mut self,
        cx: &mut Context<'_>,
        stay: &str,
        tries: u32,
        answer: Option<&Element>,
    ) {
        let Some(bridge) = self.current(stay).map(|stay| stay.bridge.clone()) else {
            return;
        };
        let Some(answer) = answer else {
            if tries + 1 < MAX_PROBES {
                self.probe(cx, stay, tries + 1);
            }
            return;
        };
        let error = ErrorAnswer::of_iq(answer);
        if error.is_some_and(|error| error.reason == Some(Reason::ConferenceNotFound)) {
            self.leave_bridge(
                cx,
                &bridge,
                "it lost the conference while the focus was away",
            );
        }
    }
}
