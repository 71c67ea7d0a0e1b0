//! Messages in a room: group chat and its past, private messages, the subject, invitations.

use std::time::Instant;

use stanza::error::{Condition, StanzaError};
use stanza::muc::{Affiliation, HistoryRequest, Invite, Join, Role, User};
use stanza::{Element, ElementExt as _, Jid, element, ns};

use super::Room;
use super::past::{Past, Subject};
use crate::clock;
use crate::core::Core;
use crate::ids::{self, SessionId};

/// Characters kept of a name: each message of the past carries its sender's.
const MAX_NAME: usize = 64;

/// Children that name the sender: only the server may write them.
fn names_sender(child: &Element) -> bool {
    child.is("nick", ns::NICK) || child.has_ns(ns::DISPLAY_NAME) || child.has_ns(ns::ADDRESS)
}

fn is_body(child: &Element) -> bool {
    child.is("body", ns::CLIENT)
}

impl Room {
    pub(crate) fn group_message(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SessionId,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let Some(sender) = self.occupants.by_session(from) else {
            return Ok(());
        };
        if sender.role < Role::Participant {
            return Err(Condition::Forbidden.into());
        }
        let has_body = stanza.children().any(is_body);
        let subject = stanza
            .get_child("subject", ns::CLIENT)
            .filter(|_| !has_body)
            .map(Element::text);
        if subject.is_some() && sender.role != Role::Moderator {
            return Err(Condition::Forbidden.into());
        }
        let mut message = self.copy_of(from, stanza, "groupchat");
        // Replies, reactions and retractions refer to the id: all receivers must see the same.
        if stanza.attr("id").is_none() {
            message.put("id", ids::uuid(&mut core.rng));
        }
        let body = core.body(&message);
        for occupant in self.occupants.iter() {
            if self.reaches(core, from, occupant.session) {
                core.send_body(occupant.session, &body);
            }
        }
        let unix = core.clock.unix(now).as_secs();
        if let Some(text) = subject {
            let from = message.attr("from").unwrap_or_default().to_owned();
            self.subject = Some(Subject { text, from, unix });
        } else if has_body {
            self.remember(core, from, message, unix);
        }
        Ok(())
    }

    /// Keeps a message for late joiners.
    fn remember(&mut self, core: &mut Core, from: SessionId, mut message: Element, unix: u64) {
        let name = self
            .occupants
            .by_session(from)
            .and_then(|occupant| occupant.presence.get_child("nick", ns::NICK))
            .map(Element::text);
        if let Some(name) = name {
            // The sender may be gone when the message is shown.
            message.append_child(
                element("display-name", ns::DISPLAY_NAME)
                    .attr("source", "guest")
                    .text(name.chars().take(MAX_NAME).collect::<String>())
                    .done(),
            );
        }
        message.append_child(
            element("delay", ns::DELAY)
                .attr("stamp", clock::stamp(unix))
                .attr("from", self.jid.as_str())
                .done(),
        );
        let body = core.body(&message);
        self.past_bytes += body.len();
        self.past.push_back(Past { unix, body });
        self.past_news += 1;
        self.forget_past(core);
    }

    /// Only so much of the past is kept.
    pub(super) fn forget_past(&mut self, core: &Core) {
        let limits = &core.config.limits;
        while self.past.len() > limits.history || self.past_bytes > limits.history_bytes {
            let Some(oldest) = self.past.pop_front() else {
                break;
            };
            self.past_bytes = self.past_bytes.saturating_sub(oldest.body.len());
        }
    }

    pub(crate) fn private_message(
        &mut self,
        core: &mut Core,
        from: SessionId,
        nick: &str,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let kind = stanza.attr("type").unwrap_or("normal");
        if kind == "groupchat" {
            return Err(Condition::BadRequest.into());
        }
        let Some(receiver) = self
            .occupants
            .by_nick(nick)
            .map(|occupant| occupant.session)
        else {
            return Err(Condition::ItemNotFound.into());
        };
        if !self.reaches(core, from, receiver) {
            return Err(Condition::Forbidden.into());
        }
        let mut message = self.copy_of(from, stanza, kind);
        // Clients send private replies without the namespace they look for.
        for child in message.children_mut() {
            if child.is("reply", ns::CLIENT) {
                let named = element("reply", ns::REPLY)
                    .attr_opt("to", child.attr("to"))
                    .attr_opt("id", child.attr("id"))
                    .done();
                *child = named;
            }
        }
        core.send_element(receiver, message);
        Ok(())
    }

    /// Neither group chat nor private: invitations.
    pub(crate) fn other_message(
        &mut self,
        core: &mut Core,
        from: SessionId,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let Some(user) = User::of(stanza).filter(|user| !user.invites.is_empty()) else {
            return Err(Condition::BadRequest.into());
        };
        let Some(inviter) = self.occupants.by_session(from) else {
            return Ok(());
        };
        if self.members_only && inviter.role != Role::Moderator {
            return Err(Condition::Forbidden.into());
        }
        let occupant_jid = format!("{}/{}", self.jid, inviter.nick);
        for invite in user.invites {
            self.invite(core, from, &occupant_jid, invite, stanza);
        }
        Ok(())
    }

    fn invite(
        &mut self,
        core: &mut Core,
        from: SessionId,
        inviter: &str,
        invite: Invite,
        stanza: &Element,
    ) {
        let Some(invitee) = invite.to.as_ref().and_then(|to| to.try_as_full().ok()) else {
            return;
        };
        let Some(&session) = core.by_jid.get(invitee) else {
            return;
        };
        if self.members_only {
            let bare = invitee.to_bare();
            if self.affiliation(core, &bare) == Affiliation::None {
                self.affiliations.forget(|account| core.is_gone(account));
                self.affiliations.set(&bare, Affiliation::Member);
            }
        }
        // No password: who is let in needs none, who is merely invited must ask for it.
        let user = User {
            invites: vec![Invite {
                to: None,
                from: Jid::new(inviter).ok(),
                reason: invite.reason,
            }],
            ..User::default()
        };
        let message = element("message", ns::CLIENT)
            .attr("from", self.jid.as_str())
            .attr_opt("id", stanza.attr("id"))
            .child(Element::from(user))
            .done();
        core.send_element(session, message);
        self.serve_invited(core, from, session);
    }

    /// A message as the room passes it on: from the occupant, without what only the server may say.
    fn copy_of(&self, from: SessionId, stanza: &Element, kind: &str) -> Element {
        let nick = self
            .occupants
            .by_session(from)
            .map(|occupant| occupant.nick.as_str())
            .unwrap_or_default();
        let mut message = stanza.clone();
        let spoofed = |child: &Element| {
            names_sender(child)
                || child.has_ns(ns::DELAY)
                || child.has_ns(ns::DELAY_LEGACY)
                || child.has_ns(ns::MUC_USER)
        };
        let nodes = message.take_nodes();
        for node in nodes {
            if !node.as_element().is_some_and(spoofed) {
                message.append_node(node);
            }
        }
        message.take_attr("to");
        message.put("from", format!("{}/{nick}", self.jid));
        if kind == "normal" {
            message.take_attr("type");
        } else {
            message.put("type", kind);
        }
        message
    }

    /// Sends the past and the subject to somebody who joined with `stanza`.
    pub(super) fn tell_past(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        stanza: &Element,
    ) {
        let join = stanza
            .get_child("x", ns::MUC)
            .and_then(|x| Join::try_from(x).ok())
            .unwrap_or_default();
        let unix = core.clock.unix(now).as_secs();
        for past in wanted(&self.past, join.history, unix) {
            core.send_body(session, &past.body);
        }
        let mut message = element("message", ns::CLIENT)
            .attr("type", "groupchat")
            .done();
        let (from, text) = match &self.subject {
            Some(subject) => {
                message.append_child(
                    element("delay", ns::DELAY)
                        .attr("stamp", clock::stamp(subject.unix))
                        .attr("from", self.jid.as_str())
                        .done(),
                );
                (subject.from.clone(), subject.text.clone())
            }
            None => (self.jid.to_string(), String::new()),
        };
        let mut child = element("subject", ns::CLIENT).done();
        if !text.is_empty() {
            child.append_text(text);
        }
        message.put("from", from);
        message.append_child(child);
        core.send_element(session, message);
    }
}

/// The part of `past` that was asked for.
fn wanted(
    past: &std::collections::VecDeque<Past>,
    wish: HistoryRequest,
    now: u64,
) -> impl Iterator<Item = &Past> {
    let most = match wish.max_chars {
        Some(0) => 0,
        _ => wish.max_stanzas.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        }),
    };
    let since = wish
        .seconds
        .map_or(0, |seconds| now.saturating_sub(u64::from(seconds)));
    let young = past.iter().filter(|past| past.unix >= since).count();
    past.iter().skip(past.len() - young.min(most))
}
