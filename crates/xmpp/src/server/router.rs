//! Where a stanza goes: the server itself, an account, a room, a component, the focus.

use std::time::Instant;

use stanza::error::{Condition, StanzaError};
use stanza::iq::{iq_type, is_request};
use stanza::muc::{Affiliation, Destroy};
use stanza::{Element, ElementExt as _, Jid, ns};

use super::Server;
use crate::hosts::Host;
use crate::ids::SessionId;
use crate::muc::OwnerOutcome;

impl Server {
    /// Routes a stanza of `from`, whose sender address is already right.
    pub(super) fn route(&mut self, now: Instant, from: SessionId, stanza: Element) {
        if stanza.name() == "iq"
            && (iq_type(&stanza).is_none() || stanza.attr("id").is_none_or(str::is_empty))
        {
            return self.core.refuse(from, &stanza, Condition::BadRequest);
        }
        if !self.permitted(from, &stanza) {
            return;
        }
        let Some(to) = stanza.attr("to") else {
            return self.route_to_own_account(now, from, &stanza);
        };
        let Ok(to) = Jid::new(to) else {
            return self.core.refuse(from, &stanza, Condition::JidMalformed);
        };
        let Some(host) = self.core.hosts.classify(to.domain().as_str()) else {
            return self
                .core
                .refuse(from, &stanza, Condition::RemoteServerNotFound);
        };
        match (host, to.node()) {
            (Host::Main | Host::Auth, Some(_)) => self.route_to_account(now, from, stanza, &to),
            (Host::Muc | Host::InternalMuc, Some(_)) => {
                self.route_to_room(now, from, stanza, &to, host)
            }
            (Host::Lobby, Some(_)) => self.lobby_stanza(from, stanza, &to),
            (Host::Focus, None) => self.route_to_focus(now, from, stanza, &to),
            (_, Some(_)) => self.core.refuse(from, &stanza, Condition::ItemNotFound),
            (_, None) => self.route_to_host(now, from, stanza, host),
        }
    }

    fn route_to_host(&mut self, now: Instant, from: SessionId, stanza: Element, host: Host) {
        match stanza.name() {
            "iq" if is_request(&stanza) => self.host_iq(now, from, &stanza, host),
            // Answers to the server's own pings.
            "iq" => {}
            "message" => match host {
                Host::EndConference
                | Host::AvModeration
                | Host::Metadata
                | Host::Polls
                | Host::SpeakerStats => {
                    self.component_message(now, from, stanza, host);
                }
                _ => self
                    .core
                    .refuse(from, &stanza, Condition::ServiceUnavailable),
            },
            // Nobody subscribes to the presence of a host.
            _ => {}
        }
    }

    /// A stanza without an address is for the sender's own account.
    fn route_to_own_account(&mut self, now: Instant, from: SessionId, stanza: &Element) {
        match stanza.name() {
            "iq" if is_request(stanza) => self.account_iq(now, from, stanza),
            "presence" if stanza.attr("type") == Some("unavailable") => self.leave_everything(from),
            "message" => self
                .core
                .refuse(from, stanza, Condition::ServiceUnavailable),
            _ => {}
        }
    }

    /// Accounts talk to each other inside rooms. Directly, only service accounts and the sessions of one account may.
    fn route_to_account(&mut self, now: Instant, from: SessionId, stanza: Element, to: &Jid) {
        let Some(sender) = self.core.sessions.get(&from) else {
            return;
        };
        let own = sender.bare == to.to_bare();
        if own && to.is_bare() {
            return self.route_to_own_account(now, from, &stanza);
        }
        let target = to
            .try_as_full()
            .ok()
            .and_then(|full| self.core.by_jid.get(full))
            .copied();
        let sender_jid = sender.jid.clone();
        let rights = sender.rights;
        let service = self
            .core
            .accounts
            .get(&to.to_bare())
            // With bridges only the focus speaks.
            .is_some_and(|account| rights.admin || (rights.service && !account.rights.bridge));
        if !(own || service) {
            return self.core.refuse(from, &stanza, Condition::NotAllowed);
        }
        let Some(target) = target else {
            return self
                .core
                .refuse(from, &stanza, Condition::ServiceUnavailable);
        };
        match stanza.name() {
            "iq" if is_request(&stanza) => {
                self.core.relay_request(
                    from,
                    target,
                    sender_jid.as_str(),
                    to.as_str(),
                    stanza,
                    None,
                );
            }
            "iq" => self.core.relay_answer(from, target, stanza),
            "message" => self.core.send_element(target, stanza),
            _ => {}
        }
    }

    fn route_to_room(
        &mut self,
        now: Instant,
        from: SessionId,
        stanza: Element,
        to: &Jid,
        host: Host,
    ) {
        match stanza.name() {
            "presence" | "message" if !self.room_has_room(from, &stanza, to) => {
                self.core.refuse_full(from, &stanza);
            }
            "presence" => self.muc_presence(now, from, stanza, to, host),
            "message" => self.muc_message(now, from, stanza, to),
            "iq" => match to.resource() {
                Some(nick) => self.occupant_iq(from, stanza, to, nick.as_str()),
                None if is_request(&stanza) => self.room_iq(from, &stanza, to),
                None => {}
            },
            _ => {}
        }
    }

    /// An IQ between occupants; the room only exchanges addresses.
    fn occupant_iq(&mut self, from: SessionId, stanza: Element, to: &Jid, nick: &str) {
        let jid = self.core.hosts.canonical_room(&to.to_bare());
        let Some(room) = self.rooms.get(&jid) else {
            return self.core.refuse(from, &stanza, Condition::ItemNotFound);
        };
        let Some(sender) = room.occupants().by_session(from) else {
            return self.core.refuse(from, &stanza, Condition::NotAcceptable);
        };
        let Some(target) = room
            .occupants()
            .by_nick(nick)
            .map(|occupant| occupant.session)
        else {
            return self.core.refuse(from, &stanza, Condition::ItemNotFound);
        };
        if !room.reaches(&self.core, from, target) {
            return self.core.refuse(from, &stanza, Condition::Forbidden);
        }
        if !is_request(&stanza) {
            return self.core.relay_answer(from, target, stanza);
        }
        if target == from
            && stanza
                .payload()
                .is_some_and(|payload| payload.is("ping", ns::PING))
        {
            return self.core.reply(from, &stanza, None);
        }
        let sender = format!("{jid}/{}", sender.nick);
        let asked = stanza.attr("to").unwrap_or_default().to_owned();
        self.core
            .relay_request(from, target, &sender, &asked, stanza, None);
    }

    /// Whether the services in a room can take what everybody in it is about to be told. Leaving is always possible.
    fn room_has_room(&self, from: SessionId, stanza: &Element, to: &Jid) -> bool {
        if stanza.attr("type") == Some("unavailable") || self.core.rights(from).service {
            return true;
        }
        let jid = self.core.hosts.canonical_room(&to.to_bare());
        let focus = self.rooms.get(&jid).and_then(|room| room.focus(&self.core));
        let focus = focus.and_then(|focus| self.core.sessions.get(&focus.session));
        focus.is_none_or(|focus| focus.hears(from, &self.core.config.limits))
    }

    fn room_iq(&mut self, from: SessionId, stanza: &Element, to: &Jid) {
        let jid = self.core.hosts.canonical_room(&to.to_bare());
        let result = match self.answer_for_room(from, stanza, &jid) {
            Ok(OwnerOutcome::Answer(payload)) => Ok(payload),
            Ok(OwnerOutcome::Destroy(destroy)) => {
                self.core.reply(from, stanza, None);
                return self.end_room(
                    &jid,
                    &Destroy {
                        jid: destroy.jid,
                        reason: destroy.reason,
                    },
                );
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(payload) => self.core.reply(from, stanza, payload),
            Err(error) => self.core.refuse(from, stanza, error),
        }
        self.drop_room_if_over(&jid);
    }

    fn answer_for_room(
        &mut self,
        from: SessionId,
        stanza: &Element,
        jid: &stanza::BareJid,
    ) -> Result<OwnerOutcome, StanzaError> {
        let room = self
            .rooms
            .get_mut(jid)
            .ok_or(StanzaError::new(Condition::ItemNotFound))?;
        let payload = stanza
            .payload()
            .ok_or(StanzaError::new(Condition::BadRequest))?;
        let core = &mut self.core;
        match payload.ns().as_str() {
            ns::DISCO_INFO => room
                .info(core, from)
                .map(|info| OwnerOutcome::Answer(Some(info.into()))),
            ns::DISCO_ITEMS => Ok(OwnerOutcome::Answer(Some(
                stanza::disco::Items::default().into(),
            ))),
            ns::MUC_ADMIN => room
                .admin(core, from, stanza, payload)
                .map(OwnerOutcome::Answer),
            ns::MUC_OWNER => room.owner(core, from, stanza, payload),
            ns::PING if room.occupants().by_session(from).is_some() => {
                Ok(OwnerOutcome::Answer(None))
            }
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// Affiliation of an account in a room, for the host's own decisions and for tests.
    #[must_use]
    pub fn affiliation(
        &self,
        room: &stanza::BareJid,
        account: &stanza::BareJid,
    ) -> Option<Affiliation> {
        self.rooms
            .get(room)
            .map(|room| room.affiliation(&self.core, account))
    }
}
