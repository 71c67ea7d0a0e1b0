//! Sessions that came to nothing, since the client refused the offer or its answer had to be refused: it is offered another one,
//! after a pause. Only who is at fault itself, time after time, is left in peace.

use std::time::Duration;

use stanza::Element;

use super::Conference;
use crate::context::Context;
use crate::event::Reinvite;

/// Pause before the next offer.
const PAUSE: Duration = Duration::from_secs(1);
/// How often that pause doubles while what a client sends clashes with what others send: that passes when they go, or with
/// the numbers of a new session.
const MAX_DOUBLINGS: u32 = 5;
/// Offers a client may refuse, or answer with something that nobody could accept, before it gets no more.
const MAX_REFUSALS: u32 = 2;

impl Conference {
    /// The client acknowledged an offer, or refused it.
    pub(crate) fn on_offer_answered(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        sid: &str,
        answer: Option<&Element>,
    ) {
        // Silence is no refusal: the acceptance itself is what counts.
        if answer.is_none_or(|answer| answer.attr("type") != Some("error")) {
            return;
        }
        let Some(member) = self.members.get(nick) else {
            return;
        };
        if member.next.as_ref().is_some_and(|n| n.session.sid == sid) {
            return self.drop_next(cx, nick);
        }
        if member
            .session
            .as_ref()
            .is_none_or(|session| session.sid != sid)
        {
            return;
        }
        self.refused(cx, nick, "the client refused the offer");
        self.end_refused(cx, nick, sid, "jingle session failed", false);
    }

    /// A session that cannot be used ends, and another one is offered later. `clash`: somebody else sends what this one would.
    pub(super) fn end_refused(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        sid: &str,
        text: &str,
        clash: bool,
    ) {
        let Some(member) = self.members.get_mut(nick) else {
            return;
        };
        let pause = match clash {
            true => PAUSE * (1 << member.clashes.min(MAX_DOUBLINGS)),
            false => PAUSE,
        };
        if clash {
            member.clashes += 1;
        } else {
            member.refusals += 1;
            member.released = member.refusals > MAX_REFUSALS;
        }
        self.terminate(cx, nick, sid, "general-error", text);
        self.close_session(cx, nick);
        self.hold(cx, nick, pause);
    }

    /// Somebody left: what clashed with what that one sent need not wait any longer.
    pub(super) fn retry_clashes(&mut self, cx: &mut Context<'_>) {
        let mut waiting = false;
        for (_, member) in self.members.details_mut() {
            if member.clashes > 0 && member.session.is_none() {
                member.hold_until = None;
                waiting = true;
            }
        }
        if waiting {
            self.ensure_sessions(cx);
        }
    }

    /// Whoever came to a session in which nothing can be sent, since somebody else sends the same, gets another one.
    pub(crate) fn replace_silenced(&mut self, cx: &mut Context<'_>) {
        for nick in std::mem::take(&mut self.silenced) {
            self.reinvite(cx, &nick, Reinvite::SourcesClash);
        }
    }
}
