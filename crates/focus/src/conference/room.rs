//! What the room says: its form, its presences, that the focus is in.

use stanza::data_form::{DataForm, FormKind};
use stanza::element;
use stanza::jitsi::presence::ParticipantInfo;
use stanza::muc::{self, Affiliation, Item, User};
use stanza::{Element, ns};

use super::{Conference, Phase};
use crate::config::NICK;
use crate::context::Context;
use crate::event::Event;
use crate::io::{Purpose, Timer};

/// Attempts to come back into a room.
const MAX_JOINS: u32 = 4;
/// Pause after a room refused the focus that was in it before.
const REJOIN_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

impl Conference {
    pub(crate) fn on_initial_timer(&mut self) {
        self.initial_timer = None;
        if self.members.is_empty() {
            self.end("nobody joined");
        }
    }

    pub(crate) fn on_join_timer(&mut self, cx: &mut Context<'_>) {
        self.join_timer = None;
        match self.phase {
            // People are in there: it is worth another try.
            Phase::Returning if self.join_tries < MAX_JOINS => self.join(cx),
            Phase::Joining | Phase::Returning => self.end("the room did not answer"),
            _ => {}
        }
    }

    /// A presence of the room, about `nick`.
    pub(crate) fn on_presence(&mut self, cx: &mut Context<'_>, nick: &str, presence: &Element) {
        let user = User::of(presence).unwrap_or_default();
        let kind = presence.attr("type");
        if nick == NICK || user.has(muc::status::SELF) {
            return self.on_own_presence(cx, presence, &user);
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

    fn on_own_presence(&mut self, cx: &mut Context<'_>, presence: &Element, user: &User) {
        match presence.attr("type") {
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
        let place = presence.get_child("place", ns::PLACE);
        let place = place.and_then(|place| place.attr("id")).map(str::to_owned);
        if self.phase == Phase::Returning {
            return self.on_returned(cx, user.has(muc::status::CREATED), place);
        }
        if self.phase == Phase::Joining && self.join_timer.is_some() {
            self.place = place;
            self.ask_room_form(cx);
        }
    }

    /// The room's configuration form arrived; `None` when it did not come.
    pub(crate) fn on_room_form(&mut self, cx: &mut Context<'_>, answer: Option<&Element>) {
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
    pub(crate) fn on_room_configured(&mut self, cx: &mut Context<'_>, answer: Option<&Element>) {
        if answer.is_none_or(|answer| answer.attr("type") != Some("result")) {
            return self.end("the room could not be configured");
        }
        if self.adopting {
            return self.adopt(cx, true);
        }
        self.phase = Phase::Ready;
        self.began = Some(cx.io.now);
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

    fn on_available(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        item: &Item,
        info: ParticipantInfo,
    ) {
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
}
