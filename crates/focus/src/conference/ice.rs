//! Participants whose media do not work: what they get, how often, and what it says about the bridge.
use std::time::Duration;

use stanza::error::{Condition, StanzaError};
use stanza::{Element, FullJid, iq};

use super::{Conference, Member};
use crate::context::Context;
use crate::event::Reinvite;

/// Failures of one participant further back than this do not count any more.
const WINDOW: Duration = Duration::from_secs(600);
/// Further sessions within that time.
const MAX_FAILURES: usize = 5;
/// Wait before the second further session; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Wait before a conference that its bridge hears nobody of goes elsewhere once more; it doubles so often.
const UNHEARD_WAIT: Duration = Duration::from_secs(10);
const UNHEARD_DOUBLINGS: u32 = 5;
/// Failures of each participant after which all of them together may leave their bridge.
const REPEATED: usize = 2;

impl Conference {
    /// What a participant says about its media is remembered of its bridge.
    pub(super) fn report_bridge(&self, cx: &mut Context<'_>, nick: &str) {
        let session = self.members.get(nick).and_then(|m| m.session.as_ref());
        let stay = session.and_then(|session| self.current(&session.stay));
        if let Some(stay) = stay.or(self.stay.as_ref()) {
            cx.bridges.report(cx.io.now, &stay.bridge, &self.room, nick);
        }
    }

    /// ICE failed for a participant, who gets another session: at once, then after growing pauses, then no more.
    pub(super) fn on_ice_failed(&mut self, cx: &mut Context<'_>, nick: &str, request: &Element) {
        let now = cx.io.now;
        if self.has_other_session(nick) {
            cx.io.answer(iq::result_to(request, None));
            return self.finish_move(cx, nick);
        }
        let Some(member) = self.members.get_mut(nick) else {
            return;
        };
        if member.session.as_ref().is_none_or(|session| session.stale) {
            // It is being replaced already.
            return cx.io.answer(iq::result_to(request, None));
        }
        let failures = &mut member.ice_failures;
        failures.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        failures.push_back(now);
        let count = failures.len();
        if count > MAX_FAILURES {
            return self.give_up_on(cx, nick, request);
        }
        cx.io.answer(iq::result_to(request, None));
        self.report_bridge(cx, nick);
        if let Some(bridge) = self.useless_bridge(cx, nick) {
            let reason = "ICE fails again and again for everybody who is on it";
            return self.leave_bridge(cx, &bridge, reason);
        }
        if let Some(doubling) = count.checked_sub(2) {
            let wait = FIRST_WAIT.saturating_mul(1 << doubling);
            self.hold(cx, nick, wait);
        }
        self.reinvite(cx, nick, Reinvite::IceFailed);
    }

    /// A bridge hears nobody of the conference: it is left, if there is another one, not too often. Otherwise people are told.
    pub(crate) fn on_unheard(&mut self, cx: &mut Context<'_>, bridge: &FullJid) {
        let now = cx.io.now;
        let sessions = self.sessions_on(bridge).count();
        if sessions < 2 {
            return;
        }
        if !cx.bridges.has_alternative(now, bridge) {
            self.unheard.entry(bridge.clone()).or_insert((now, 0));
            return self.set_bridge_available(cx, false);
        }
        // All of a conference that is on one bridge go to and fro together; on several, each bridge's people are for themselves.
        let alone = self.current_stays().count() == 1;
        let concerned = self.unheard.iter().filter(|(b, _)| alone || *b == bridge);
        let (again, count) = concerned.fold((now, 0), |(again, count), (_, (at, times))| {
            (again.max(*at), count + times)
        });
        if again > now {
            return;
        }
        let wait = UNHEARD_WAIT.saturating_mul(1 << count.min(UNHEARD_DOUBLINGS));
        let times = self.unheard.get(bridge).map_or(0, |(_, times)| *times);
        self.unheard.insert(bridge.clone(), (now + wait, times + 1));
        self.leave_bridge(cx, bridge, "it hears nobody of the conference");
    }

    /// A bridge hears somebody again.
    pub(crate) fn on_heard_again(&mut self, cx: &mut Context<'_>, bridge: &FullJid) {
        self.unheard.remove(bridge);
        let mut deaf = self.unheard.keys();
        if !deaf.any(|bridge| self.is_placed_on(bridge)) {
            self.unheard.clear();
            self.set_bridge_available(cx, true);
        }
    }

    fn sessions_on(&self, bridge: &FullJid) -> impl Iterator<Item = &Member> {
        let stay = self.current_stays().find(|stay| stay.bridge == *bridge);
        let id = stay.map(|stay| stay.id.clone());
        self.members.values().filter(move |member| {
            let session = member.session.as_ref();
            session.is_some_and(|session| Some(&session.stay) == id.as_ref())
        })
    }

    /// The bridge that a participant is on, when it works for nobody there and there is another one: nobody loses by a move.
    /// One person says nothing of the only bridge; of one of several, whoever goes elsewhere leaves nobody behind.
    fn useless_bridge(&self, cx: &Context<'_>, nick: &str) -> Option<FullJid> {
        let session = self.members.get(nick)?.session.as_ref()?;
        let bridge = &self.current(&session.stay)?.bridge;
        let all_fail = self
            .sessions_on(bridge)
            .all(|member| member.ice_failures.len() >= REPEATED);
        let enough = match self.current_stays().count() {
            1 => self.sessions_on(bridge).count() >= 2,
            _ => true,
        };
        (all_fail && enough && cx.bridges.has_alternative(cx.io.now, bridge))
            .then(|| bridge.clone())
    }

    /// No session works for this participant: it is told so and left in peace.
    fn give_up_on(&mut self, cx: &mut Context<'_>, nick: &str, request: &Element) {
        let text = format!(
            "no media after {MAX_FAILURES} further sessions within {} minutes; no more are offered",
            WINDOW.as_secs() / 60
        );
        cx.io.totals.given_up += 1;
        self.refused(cx, nick, format!("jingle: {text}"));
        let error = StanzaError::new(Condition::ResourceConstraint).with_text(text.clone());
        cx.io.answer(error.reply_to(request));
        let sid = self.members.get_mut(nick).and_then(|member| {
            member.released = true;
            member.session.as_ref().map(|session| session.sid.clone())
        });
        if let Some(sid) = sid {
            self.terminate(cx, nick, &sid, "connectivity-error", &text);
        }
        self.close_session(cx, nick);
    }
}
