//! The bridge with the spare sessions: it takes the place of the one that is left, or is given up.

use std::time::Duration;

use stanza::FullJid;
use stanza::jingle::{Action, Jingle, Moving};

use super::Conference;
use crate::context::Context;
use crate::io::Timer;

/// A spare session that came to nothing is tried again after so long.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// The first spare ones of a conference are made so long after it was moved or another bridge came, when those concerned are
/// busy; to which comes a random part of the same.
const AFTER_CHANGE: Duration = Duration::from_secs(2);

impl Conference {
    /// Whether members have spare sessions on a bridge.
    pub(crate) fn has_spares_on(&self, bridge: &FullJid) -> bool {
        self.standby.as_ref().is_some_and(|s| s.bridge == *bridge)
    }

    /// The bridge is left: the one with the spare sessions takes its place, if it can; else they are given up. `planned`: the
    /// sessions on the former one still work, and go on until all comes on the spare ones.
    pub(super) fn take_standby(&mut self, cx: &mut Context<'_>, planned: bool) {
        let now = cx.io.now;
        let standby = self.standby.as_ref().filter(|_| self.stay.is_none());
        let wanted = standby.filter(|s| self.prefer.as_ref().is_none_or(|to| *to == s.bridge));
        let choice = wanted.and_then(|stay| {
            let why = "spare connections are there";
            cx.bridges.this(now, &cx.config.bridges, &stay.bridge, why)
        });
        let Some(choice) = choice else {
            return self.drop_standby(cx);
        };
        let Some(mut stay) = self.standby.take() else {
            return;
        };
        stay.why = choice.why();
        let (id, bridge) = (stay.id.clone(), stay.bridge.clone());
        self.prefer = None;
        self.stay = Some(stay);
        self.tell_choice(cx, &choice);
        self.set_bridge_available(cx, true);
        self.tell_bridge_count(cx);
        for (_, member) in self.members.iter_mut() {
            if let Some(asked) = member.spare_asked.take() {
                member.invite.get_or_insert(asked);
            }
        }
        for nick in self.with_next_on(&id) {
            cx.bridges.promise(now, cx.config.bridges.rampup, &bridge);
            match planned {
                true => self.fill_spare(cx, &nick),
                false => self.finish_move(cx, &nick),
            }
        }
        self.watch_moves(cx);
        self.delay_spares(cx);
    }

    /// Something has changed, of which others have heard too: no spare sessions for a moment.
    pub(crate) fn delay_spares(&mut self, cx: &mut Context<'_>) {
        if self.standby.is_none() && cx.config.bridges.standby {
            let part = cx.io.random_part(AFTER_CHANGE);
            self.pause_spares(cx, AFTER_CHANGE + part);
        }
    }

    /// The spare session of `nick` shall carry everything, and then take the place of the other one.
    fn fill_spare(&mut self, cx: &mut Context<'_>, nick: &str) {
        let member = self.members.get_mut(nick);
        let Some(next) = member.and_then(|member| member.next.as_mut()) else {
            return;
        };
        (next.spare, next.since) = (false, cx.io.now);
        let mut go = Jingle::new(Action::SessionInfo, &next.session.sid);
        go.moving = Some(Moving::Done);
        cx.io.tell(&self.room, "set", self.occupant(nick), &go);
    }

    /// Gives the spare sessions up.
    pub(super) fn drop_standby(&mut self, cx: &mut Context<'_>) {
        let Some(stay) = self.standby.take() else {
            return;
        };
        for nick in self.with_next_on(&stay.id) {
            let member = self.members.get_mut(&nick);
            if let Some(next) = member.and_then(|member| member.next.take()) {
                self.terminate(cx, &nick, &next.session.sid, "success", "not needed");
            }
        }
        for (_, member) in self.members.details_mut() {
            member.spare_asked = None;
        }
        let there = cx.bridges.contains(&stay.bridge) || cx.bridges.is_away(&stay.bridge);
        if there {
            self.expire_conference(cx, &stay.bridge);
        }
    }

    /// The spare session of `nick` came to nothing, or is over. It gets another one after a while.
    pub(super) fn lose_spare(&mut self, cx: &mut Context<'_>, nick: &str) {
        if let Some(member) = self.members.get_mut(nick) {
            member.spare_failed = true;
        }
        self.expire_spare(cx, nick);
        self.pause_spares(cx, AFTER_FAILURE);
    }

    /// The bridge cannot have the spare sessions. Another one is chosen after a while.
    pub(super) fn lose_standby(&mut self, cx: &mut Context<'_>) {
        self.drop_standby(cx);
        self.pause_spares(cx, AFTER_FAILURE);
    }

    fn pause_spares(&mut self, cx: &mut Context<'_>, time: Duration) {
        if self.spare_timer.is_none() {
            let timer = Timer::Spares(self.room.clone());
            self.spare_timer = Some(cx.io.after(time, timer));
        }
    }

    pub(crate) fn on_spare_timer(&mut self) {
        self.spare_timer = None;
        for (_, member) in self.members.details_mut() {
            member.spare_failed = false;
        }
    }

    /// Who has its next session in a stay.
    fn with_next_on(&self, stay: &str) -> Vec<String> {
        let there = self.members.iter().filter(|(_, member)| {
            let next = member.next.as_ref();
            next.is_some_and(|next| next.session.stay == stay)
        });
        there.map(|(nick, _)| nick.clone()).collect()
    }
}
