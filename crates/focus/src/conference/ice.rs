//! Participants whose media do not work: what they get, how often, and what it says about the bridge.
use std::time::Duration;

use stanza::error::{Condition, StanzaError};
use stanza::{Element, FullJid, iq};

use super::Conference;
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
        if let Some(bridge) = self.useless_bridge(cx) {
            self.avoid = Some(bridge);
            return self.leave_stay(cx, "ICE fails again and again for everybody in it");
        }
        if let Some(doubling) = count.checked_sub(2) {
            let wait = FIRST_WAIT.saturating_mul(1 << doubling);
            self.hold(cx, nick, wait);
        }
        self.reinvite(cx, nick, Reinvite::IceFailed);
    }

    /// The bridge hears nobody of the conference: it is left, if there is another one, not too often. Otherwise people are
    /// told.
    pub(crate) fn on_unheard(&mut self, cx: &mut Context<'_>, bridge: &FullJid) {
        let now = cx.io.now;
        if self.session_count() < 2 {
            return;
        }
        if !cx.bridges.has_alternative(now, bridge) {
            return self.set_bridge_available(cx, false);
        }
        let (again, count) = self.unheard.unwrap_or((now, 0));
        if again > now {
            return;
        }
        let wait = UNHEARD_WAIT.saturating_mul(1 << count.min(UNHEARD_DOUBLINGS));
        self.unheard = Some((now + wait, count + 1));
        self.avoid = Some(bridge.clone());
        self.leave_bridge(cx, bridge, "it hears nobody of the conference");
    }

    /// The bridge hears somebody again.
    pub(crate) fn on_heard_again(&mut self, cx: &mut Context<'_>) {
        self.unheard = None;
        self.set_bridge_available(cx, true);
    }

    /// The bridge, when it works for nobody in the conference and there is another one: nobody loses by a move.
    fn useless_bridge(&self, cx: &Context<'_>) -> Option<FullJid> {
        if !self.further.is_empty() {
            // Who fails on one of several bridges says nothing of the others.
            return None;
        }
        let mut with_session = self.members.values().filter(|m| m.session.is_some());
        let all_fail = with_session.clone().count() >= 2
            && with_session.all(|m| m.ice_failures.len() >= REPEATED);
        let bridge = &self.stay.as_ref()?.bridge;
        (all_fail && cx.bridges.has_alternative(cx.io.now, bridge)).then(|| bridge.clone())
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
