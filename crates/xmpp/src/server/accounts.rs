//! Accounts of bridges: how they come and go while the server runs, what they may send, and how a new bridge gets one.
//!
//! A bridge sits in the brewery, where the focus talks to it; it has nothing to say to anybody else. The account
//! [`JOIN`] is for bridges that have no account yet: all it can do is ask for one (XEP-0077), once per session.

use std::collections::BTreeMap;
use std::time::Instant;

use stanza::error::{Condition, StanzaError};
use stanza::iq::{IqType, iq_type, is_request};
use stanza::{BareJid, Element, ElementExt as _, Jid, element, ns};

use super::Server;
use crate::accounts::{BridgeAccounts, Door, JOIN, is_bridge_name};
use crate::auth::Credentials;
use crate::core::Account;
use crate::hosts::Host;
use crate::ids::SessionId;
use crate::outgoing::{CloseReason, JoinRequest, Output};
use crate::session::Rights;

/// Local part of the room in which bridges wait for the focus.
const BREWERY: &str = "jvbbrewery";
/// Lengths of a password that is taken, in bytes.
const PASSWORD: std::ops::RangeInclusive<usize> = 16..=256;

const BRIDGE: Rights = Rights {
    admin: false,
    service: true,
    bridge: true,
    joins: false,
};
const JOINING: Rights = Rights {
    admin: false,
    service: true,
    bridge: false,
    joins: true,
};

impl Server {
    /// Keys of a password account, for SCRAM and PLAIN, where it may log in through `door`.
    #[must_use]
    pub fn credentials(&self, user: &BareJid, door: Door) -> Option<&Credentials> {
        let account = self.core.accounts.get(user)?;
        let local = *user == self.local_bridge;
        let open = match door {
            Door::Web => !account.rights.service,
            Door::Service => !local,
            Door::Process => true,
        };
        open.then_some(&account.credentials)
    }

    /// Sets the accounts of bridges elsewhere. Whose account is gone or has another password is logged out with
    /// `not-authorized`. Names that are none are left out.
    pub fn set_bridges(&mut self, now: Instant, accounts: BridgeAccounts) {
        self.core.now = now;
        let mut wanted: BTreeMap<BareJid, (Credentials, Rights)> = BTreeMap::new();
        let bridges = accounts.bridges.into_iter();
        for (name, credentials) in bridges.filter(|(name, _)| is_bridge_name(name)) {
            if let Some(jid) = self.service_account(&name) {
                wanted.insert(jid, (credentials, BRIDGE));
            }
        }
        if let (Some(credentials), Some(jid)) = (accounts.join, self.service_account(JOIN)) {
            wanted.insert(jid, (credentials, JOINING));
        }
        let local = self.local_bridge.clone();
        let over: Vec<BareJid> = self
            .core
            .accounts
            .iter()
            .filter(|(jid, account)| {
                (account.rights.bridge || account.rights.joins) && **jid != local
            })
            .filter(|(jid, account)| {
                wanted
                    .get(*jid)
                    .is_none_or(|(credentials, _)| *credentials != account.credentials)
            })
            .map(|(jid, _)| jid.clone())
            .collect();
        for jid in over {
            self.core.accounts.remove(&jid);
            let sessions = self.core.by_bare.get(&jid).into_iter().flatten();
            let ended = sessions.map(|&session| (session, CloseReason::Revoked));
            self.core.doomed.extend(ended);
        }
        for (jid, (credentials, rights)) in wanted {
            // A name that the configuration gave to another service stays with it.
            self.core.accounts.entry(jid).or_insert(Account {
                credentials,
                rights,
            });
        }
        self.end_doomed();
    }

    /// Answers the [`JoinRequest`] `id` of `session`: the account that was made, or why there is none.
    pub fn joined(
        &mut self,
        now: Instant,
        session: SessionId,
        id: &str,
        made: Result<(String, Credentials), Condition>,
    ) {
        self.core.now = now;
        let answer = match made {
            Ok((name, credentials)) => {
                if let Some(jid) = self
                    .service_account(&name)
                    .filter(|_| is_bridge_name(&name))
                {
                    let rights = BRIDGE;
                    self.core.accounts.entry(jid).or_insert(Account {
                        credentials,
                        rights,
                    });
                }
                let username = element("username", ns::REGISTER).text(name);
                let query = element("query", ns::REGISTER).child(username);
                element("iq", ns::CLIENT)
                    .attr("type", "result")
                    .child(query.done())
            }
            Err(condition) => element("iq", ns::CLIENT)
                .attr("type", "error")
                .child(Element::from(StanzaError::new(condition))),
        };
        let answer = answer
            .attr("id", id)
            .attr("from", self.core.hosts.auth.as_str());
        self.core.send_element(session, answer.done());
        self.end_doomed();
    }

    fn service_account(&self, name: &str) -> Option<BareJid> {
        BareJid::new(&format!("{name}@{}", self.core.hosts.auth)).ok()
    }

    /// Whether the rights of `from` allow the stanza. If not, it has been answered.
    pub(super) fn permitted(&mut self, from: SessionId, stanza: &Element) -> bool {
        let rights = self.core.rights(from);
        if rights.joins {
            self.join_stanza(from, stanza);
            return false;
        }
        if rights.bridge && !self.bridge_may_send(from, stanza) {
            self.core.refuse(from, stanza, Condition::Forbidden);
            return false;
        }
        true
    }

    /// A bridge speaks with the server (ping, discovery), enters the brewery, and answers or asks the focus there.
    fn bridge_may_send(&self, from: SessionId, stanza: &Element) -> bool {
        let basic = || !is_request(stanza) || stanza.payload().is_some_and(is_basic);
        let kind = stanza.name();
        let Some(to) = stanza.attr("to") else {
            return kind == "presence" || (kind == "iq" && basic());
        };
        let Ok(to) = Jid::new(to) else {
            return false;
        };
        let own = self.core.sessions.get(&from);
        if own.is_some_and(|own| own.bare == to.to_bare() && to.is_bare()) {
            return kind == "iq" && basic();
        }
        match (
            self.core.hosts.classify(to.domain().as_str()),
            to.node(),
            to.resource(),
        ) {
            (Some(Host::Main | Host::Auth), None, _) => kind == "iq" && basic(),
            (Some(Host::InternalMuc), Some(node), nick) if node.as_str() == BREWERY => {
                match (kind, nick) {
                    ("presence", _) => true,
                    ("iq", None) => basic(),
                    ("iq", Some(nick)) => self.speaks_with(from, &to.to_bare(), nick.as_str()),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// Whether the occupant `nick` is the focus, the sender itself, or nobody.
    fn speaks_with(&self, from: SessionId, room: &BareJid, nick: &str) -> bool {
        let occupant = self
            .rooms
            .get(room)
            .and_then(|room| room.occupants().by_nick(nick));
        occupant.is_none_or(|occupant| {
            occupant.session == from || self.core.rights(occupant.session).admin
        })
    }

    /// A stanza of a peer that wants an account: the request for it, or a ping.
    fn join_stanza(&mut self, from: SessionId, stanza: &Element) {
        let payload = stanza.payload().filter(|_| is_request(stanza));
        match payload {
            Some(payload) if payload.is("ping", ns::PING) => self.core.reply(from, stanza, None),
            Some(payload)
                if payload.is("query", ns::REGISTER) && iq_type(stanza) == Some(IqType::Set) =>
            {
                if let Err(condition) = self.ask_for_account(from, stanza, payload) {
                    self.core.refuse(from, stanza, condition);
                }
            }
            _ => self.core.refuse(from, stanza, Condition::Forbidden),
        }
    }

    fn ask_for_account(
        &mut self,
        from: SessionId,
        stanza: &Element,
        query: &Element,
    ) -> Result<(), Condition> {
        let text = |name| query.child_text(name, ns::REGISTER).unwrap_or_default();
        let (name, password) = (text("username").to_lowercase(), text("password"));
        let plain = password.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_bridge_name(&name) || !plain || !PASSWORD.contains(&password.len()) {
            return Err(Condition::BadRequest);
        }
        let session = self.core.sessions.get_mut(&from);
        let asking = session.ok_or(Condition::UnexpectedRequest)?;
        // One session, one account.
        if std::mem::replace(&mut asking.asked_to_join, true) {
            return Err(Condition::UnexpectedRequest);
        }
        self.core.outputs.push_back(Output::Join(JoinRequest {
            session: from,
            id: stanza.attr("id").unwrap_or_default().to_owned(),
            name,
            password,
        }));
        Ok(())
    }
}

/// What any account may ask of the server.
fn is_basic(payload: &Element) -> bool {
    let basic = [
        ns::PING,
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::SESSION,
        ns::VERSION,
        ns::TIME,
        ns::ROSTER,
    ];
    basic.iter().any(|ns| payload.has_ns(*ns))
}
