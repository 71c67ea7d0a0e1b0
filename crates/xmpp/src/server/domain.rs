//! What the hosts themselves answer: discovery, ping, external services, version, time, accounts.

use std::time::Instant;

use stanza::disco::{Info, Items};
use stanza::error::{Condition, StanzaError};
use stanza::iq::{IqType, iq_type};
use stanza::{Element, ElementExt as _, element, ns};

use super::Server;
use crate::hosts::Host;
use crate::ids::SessionId;
use crate::services::services;

impl Server {
    /// An IQ request to one of the hosts.
    pub(super) fn host_iq(&mut self, now: Instant, from: SessionId, stanza: &Element, host: Host) {
        let answer = match (host, stanza.payload()) {
            (_, None) => Err(Condition::BadRequest.into()),
            (Host::Main | Host::Auth, Some(payload)) => {
                self.main_answer(now, from, stanza, payload)
            }
            (host, Some(payload)) => self.component_answer(from, payload, host),
        };
        self.answer(from, stanza, answer);
    }

    /// An IQ request to the sender's own account.
    pub(super) fn account_iq(&mut self, now: Instant, from: SessionId, stanza: &Element) {
        let answer = match stanza.payload() {
            None => Err(Condition::BadRequest.into()),
            Some(payload)
                if payload.is("query", ns::ROSTER) && iq_type(stanza) == Some(IqType::Get) =>
            {
                Ok(Some(element("query", ns::ROSTER).done()))
            }
            Some(payload) if payload.is("query", ns::DISCO_INFO) => {
                let info = Info::default()
                    .identity("account", "registered", None)
                    .features([ns::DISCO_INFO]);
                Ok(Some(info.into()))
            }
            Some(payload) => self.main_answer(now, from, stanza, payload),
        };
        self.answer(from, stanza, answer);
    }

    fn answer(
        &mut self,
        from: SessionId,
        stanza: &Element,
        answer: Result<Option<Element>, StanzaError>,
    ) {
        match answer {
            Ok(payload) => self.core.reply(from, stanza, payload),
            Err(error) => self.core.refuse(from, stanza, error),
        }
    }

    fn main_answer(
        &mut self,
        now: Instant,
        from: SessionId,
        stanza: &Element,
        payload: &Element,
    ) -> Result<Option<Element>, StanzaError> {
        let get = iq_type(stanza) == Some(IqType::Get);
        match (payload.name(), payload.ns().as_str()) {
            ("ping", ns::PING) if get => Ok(None),
            // Obsolete, but some clients wait for the answer.
            ("session", ns::SESSION) => Ok(None),
            ("query", ns::DISCO_INFO) if get => {
                let mut info = self.main_info();
                info.node = payload.attr("node").map(str::to_owned);
                Ok(Some(info.into()))
            }
            ("query", ns::DISCO_ITEMS) if get => Ok(Some(Items::default().into())),
            ("services", version @ (ns::EXTDISCO | ns::EXTDISCO_1)) if get => Ok(Some(
                self.services_element(now, version, payload.attr("type")),
            )),
            ("query", ns::VERSION) if get => {
                let text = |name: &str, text: &str| element(name, ns::VERSION).text(text).done();
                let version = self.core.config.version.clone();
                let query = element("query", ns::VERSION)
                    .child(text("name", "Pontoon"))
                    .child(text("version", &version));
                Ok(Some(query.done()))
            }
            ("time", ns::TIME) if get => {
                let text = |name: &str, text: &str| element(name, ns::TIME).text(text).done();
                let utc = self.core.clock.stamp(now);
                let time = element("time", ns::TIME)
                    .child(text("tzo", "+00:00"))
                    .child(text("utc", &utc));
                Ok(Some(time.done()))
            }
            _ => {
                let _ = from;
                Err(Condition::ServiceUnavailable.into())
            }
        }
    }

    /// Identities and features of the main host; each identity turns a feature of the clients on.
    fn main_info(&self) -> Info {
        let core = &self.core;
        let mut info = Info::default().identity("server", "im", Some("Pontoon"));
        for component in core.hosts.components() {
            info = info.identity("component", component.kind, Some(&component.host));
        }
        let place = &core.config.deployment;
        for (kind, name) in [
            ("shard", &place.shard),
            ("region", &place.region),
            ("release", &place.release),
        ] {
            if let Some(name) = name {
                info = info.identity("server", kind, Some(name));
            }
        }
        info = info.features([
            ns::PING,
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::VERSION,
            ns::TIME,
            ns::EXTDISCO,
        ]);
        info
    }

    fn component_answer(
        &mut self,
        from: SessionId,
        payload: &Element,
        host: Host,
    ) -> Result<Option<Element>, StanzaError> {
        match (payload.name(), payload.ns().as_str()) {
            ("query", ns::DISCO_INFO) => {
                let mut info = match host {
                    Host::Muc | Host::InternalMuc => Info::default()
                        .identity("conference", "text", None)
                        .features([ns::MUC]),
                    _ => Info::default().identity("component", "generic", None),
                };
                info = info.features([ns::DISCO_INFO]);
                info.node = payload.attr("node").map(str::to_owned);
                if host == Host::Lobby && info.node.as_deref() == Some("lobbyrooms") {
                    info = self.lobby_info(from);
                }
                Ok(Some(info.into()))
            }
            // Rooms are not listed.
            ("query", ns::DISCO_ITEMS) => Ok(Some(Items::default().into())),
            ("ping", ns::PING) => Ok(None),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// What a client needs to know of the waiting room before it joins.
    fn lobby_info(&self, from: SessionId) -> Info {
        let mut info = Info {
            node: Some("lobbyrooms".to_owned()),
            ..Info::default()
        };
        if self.lobby_is_on_for(from) {
            info = info.features([ns::LOBBY_DISPLAY_NAME]);
        }
        info
    }

    /// The list of STUN and TURN servers. An empty one is an answer too: an error would have clients ask again, and use
    /// servers of others for direct media.
    fn services_element(&self, now: Instant, version: &str, kind: Option<&str>) -> Element {
        let all = services(&self.core, now);
        let wanted = all
            .into_iter()
            .filter(|service| kind.is_none_or(|kind| kind == service.kind));
        let list: Vec<Element> = wanted
            .map(|service| {
                element("service", version)
                    .attr("type", service.kind)
                    .attr("host", service.host)
                    .attr("port", service.port)
                    .attr_opt("transport", service.transport)
                    .attr_opt("restricted", service.password.as_ref().map(|_| "1"))
                    .attr_opt("username", service.username)
                    .attr_opt("password", service.password)
                    .attr_opt("expires", service.expires)
                    .done()
            })
            .collect();
        element("services", version).children(list).done()
    }

    /// What a client would ask right after it is bound, told unasked.
    pub(super) fn greeting(&self, now: Instant, session: SessionId) -> Option<Element> {
        let jid = &self.core.sessions.get(&session)?.jid;
        let mut info = self.main_info();
        info.features = self.lobby_info(session).features;
        let message = element("message", ns::CLIENT)
            .attr("from", self.core.hosts.main.as_str())
            .attr("to", jid.as_str())
            .child(Element::from(info))
            .child(self.services_element(now, ns::EXTDISCO, None));
        Some(message.done())
    }
}
