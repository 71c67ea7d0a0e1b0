//! Moves without a gap: who has two sessions for a while, and when the former one ends.
//!
//! A client that can is offered its new session beside the one it has. It connects that, sends on both, and says when it gets
//! on the new one all it gets on the other. Whoever is ready stays reachable on the bridge that is left until all who come
//! from there are, or the time for it is over: nobody misses somebody who went first.

use std::time::{Duration, Instant};

use stanza::FullJid;
use stanza::jingle::{Action, Jingle, Reason};

use super::{Conference, Member};
use crate::context::Context;
use crate::io::Timer;

/// After so long, whoever is not ready on the new bridge loses the former session all the same.
const PATIENCE: Duration = Duration::from_secs(6);

impl Conference {
    /// Whether the session of `nick` goes on until the next one carries everything.
    pub(super) fn keeps_session(&self, nick: &str) -> bool {
        let Some(member) = self.members.get(nick).filter(|member| !member.no_next) else {
            return false;
        };
        let able = member.features.is_some_and(|f| f.moves && f.ssrc_rewriting);
        let session = member.session.as_ref().filter(|s| s.active && !s.stale);
        // A bridge that is merely being left still works.
        let there = |stay: &str| self.retiring.iter().any(|retiring| retiring.id == stay);
        able && session.is_some_and(|session| there(&session.stay))
    }

    /// Whether `nick` has accepted another session beside its own, to which it is to move.
    pub(super) fn has_other_session(&self, nick: &str) -> bool {
        let next = self.members.get(nick).and_then(|m| m.next.as_ref());
        next.is_some_and(|next| next.session.active && !next.spare)
    }

    /// Sets a time for those who have two sessions.
    pub(super) fn watch_moves(&mut self, cx: &mut Context<'_>) {
        let mut members = self.members.values();
        let moves = |member: &Member| member.next.as_ref().is_some_and(|next| !next.spare);
        if self.move_timer.is_none() && members.any(moves) {
            let room = self.room.clone();
            self.move_timer = Some(cx.io.after(PATIENCE, Timer::Moved(room)));
        }
    }

    pub(crate) fn on_move_timer(&mut self, cx: &mut Context<'_>) {
        self.move_timer = None;
        self.finish_moves(cx);
        self.watch_moves(cx);
    }

    /// Ends the former sessions of those who need them no more: all who come from one bridge together.
    pub(super) fn finish_moves(&mut self, cx: &mut Context<'_>) {
        let now = cx.io.now;
        let stays: Vec<String> = self.retiring.iter().map(|stay| stay.id.clone()).collect();
        for stay in stays {
            let from_there = |member: &&Member| {
                let session = member.session.as_ref();
                session.is_some_and(|session| session.stay == stay)
            };
            let mut members = self.members.values().filter(from_there);
            if members.all(|member| !is_awaited(member, now)) {
                let members = self.members.iter();
                let ready = members.filter(|(_, m)| from_there(m) && m.next.is_some());
                for nick in ready.map(|(nick, _)| nick.clone()).collect::<Vec<_>>() {
                    self.finish_move(cx, &nick);
                }
            }
        }
    }

    /// The next session of `nick` takes the place of the one it has.
    pub(super) fn finish_move(&mut self, cx: &mut Context<'_>, nick: &str) {
        let Some(member) = self.members.get_mut(nick) else {
            return;
        };
        let Some(next) = member.next.take() else {
            return;
        };
        if let Some(former) = member.session.replace(next.session) {
            self.terminate(cx, nick, &former.sid, "success", "moving");
        }
        let limit = cx.config.max_ssrcs_per_user;
        if let Err(error) = self.sources.replace(nick, next.sources, limit) {
            // Somebody else came to use the same numbers meanwhile.
            self.refused(cx, nick, format!("the sources of a new session: {error}"));
            self.silenced.push(nick.to_owned());
        }
        self.tell_sources(cx, nick);
        self.leave_retiring(cx, nick);
        self.sync_receiver(cx, nick, None);
    }

    /// A bridge that was being left is lost: what was to take the place of sessions there takes it now.
    pub(super) fn lose_retiring(&mut self, cx: &mut Context<'_>, bridge: &FullJid) {
        let retiring = std::mem::take(&mut self.retiring).into_iter();
        let (lost, others): (Vec<_>, Vec<_>) = retiring.partition(|stay| stay.bridge == *bridge);
        self.retiring = others;
        for stay in lost {
            let from_there = self.members.iter().filter(|(_, member)| {
                let session = member.session.as_ref();
                session.is_some_and(|session| session.stay == stay.id)
            });
            for nick in from_there.map(|(nick, _)| nick.clone()).collect::<Vec<_>>() {
                self.finish_move(cx, &nick);
            }
        }
    }

    /// Tells a client that a session is over.
    pub(super) fn terminate(
        &self,
        cx: &mut Context<'_>,
        nick: &str,
        sid: &str,
        condition: &str,
        text: &str,
    ) {
        let mut jingle = Jingle::new(Action::SessionTerminate, sid);
        jingle.reason = Some(Reason {
            condition: condition.to_owned(),
            text: Some(text.to_owned()),
        });
        cx.io.tell(&self.room, "set", self.occupant(nick), &jingle);
    }
}

/// Whether its former session must go on, since the next one is on its way.
fn is_awaited(member: &Member, now: Instant) -> bool {
    let Some(next) = &member.next else {
        // Who waits for a bridge is not waited for: that can last.
        return member.invite.is_some();
    };
    !next.done && now.saturating_duration_since(next.since) < PATIENCE
}
