//! From the server's header to stanzas (RFC 6120 sections 4 to 7, XEP-0198).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use rand::Rng;
use stanza::error::{Condition, StanzaError};
use stanza::iq::{IqType, iq_type, is_response};
use stanza::{Element, ElementExt, FullJid, element, ns};

use super::state::State;
use super::{Client, ClientError, Event, PING_ID, Session, StreamManagement, answer_ack};
use crate::condition::{SaslCondition, SaslFailure, StreamCondition};
use crate::frame;
use crate::sasl::Hash;
use crate::scram::ClientExchange;

impl Client {
    pub(super) fn on_open(&mut self) {
        self.state = State::AwaitFeatures;
    }

    pub(super) fn on_element(&mut self, element: Element) {
        if element.is("error", ns::STREAM) {
            return self.on_stream_error(&element);
        }
        match self.state {
            State::AwaitFeatures => self.on_features(&element),
            State::AwaitProceed if element.is("proceed", ns::TLS) => {
                self.state = State::AwaitTls;
                self.events.push_back(Event::StartTls);
            }
            State::AwaitProceed => self.fail(ClientError::NoTls),
            State::AwaitSuccess | State::Scram(..) => self.on_sasl(&element),
            State::AwaitResumed => self.on_resumption(&element),
            State::AwaitBind(sm) => self.on_bind(&element, sm),
            State::Online => self.on_online_element(element),
            _ => self.fail(ClientError::Unexpected("element before its turn")),
        }
    }

    fn on_stream_error(&mut self, element: &Element) {
        let condition = element
            .children()
            .find_map(|child| child.name().parse().ok())
            .unwrap_or(StreamCondition::UndefinedCondition);
        self.session = None;
        self.fail(ClientError::Stream(condition));
    }

    fn on_features(&mut self, features: &Element) {
        if !features.is("features", ns::STREAM) {
            return self.fail(ClientError::Unexpected("no stream features"));
        }
        if !self.secure {
            if features.has_child("starttls", ns::TLS) {
                self.transmits
                    .push_back(frame::element(&element("starttls", ns::TLS).done()));
                self.state = State::AwaitProceed;
            } else {
                self.fail(ClientError::NoTls);
            }
        } else if !self.authenticated {
            self.start_login(features);
        } else {
            self.start_session(features.has_child("sm", ns::SM));
        }
    }

    fn start_login(&mut self, features: &Element) {
        let offered: Vec<String> = features
            .get_child("mechanisms", ns::SASL)
            .map(|m| {
                m.children()
                    .map(|child| child.text().trim().to_owned())
                    .collect()
            })
            .unwrap_or_default();
        let has = |name: &str| offered.iter().any(|offered| offered == name);
        let Some((user, password)) = self.config.password.clone() else {
            if has("ANONYMOUS") {
                self.state = State::AwaitSuccess;
                return self.send_auth("ANONYMOUS", None);
            }
            return self.fail(ClientError::NoMechanism);
        };
        for hash in [Hash::Sha256, Hash::Sha1] {
            if has(hash.mechanism()) {
                let mut nonce = [0; 24];
                self.rng.fill_bytes(&mut nonce);
                let (exchange, first) =
                    ClientExchange::start(hash, &user, &URL_SAFE_NO_PAD.encode(nonce));
                self.state = State::Scram(Box::new(exchange), false);
                return self.send_auth(hash.mechanism(), Some(&first));
            }
        }
        if has("PLAIN") {
            self.state = State::AwaitSuccess;
            return self.send_auth("PLAIN", Some(&format!("\0{user}\0{password}")));
        }
        self.fail(ClientError::NoMechanism);
    }

    fn send_auth(&mut self, mechanism: &str, data: Option<&str>) {
        let mut auth = element("auth", ns::SASL).attr("mechanism", mechanism);
        if let Some(data) = data {
            auth = auth.text(BASE64.encode(data));
        }
        self.transmits.push_back(frame::element(&auth.done()));
    }

    fn on_sasl(&mut self, element: &Element) {
        if element.is("failure", ns::SASL) {
            let condition = element
                .children()
                .find_map(|child| child.name().parse().ok())
                .unwrap_or(SaslCondition::NotAuthorized);
            let text = element.child_text("text", ns::SASL);
            return self.fail(ClientError::Sasl(SaslFailure { condition, text }));
        }
        let data = BASE64.decode(element.text().trim()).unwrap_or_default();
        if element.is("success", ns::SASL) {
            let authentic = match &self.state {
                State::Scram(exchange, proven) => *proven || exchange.verify(&data),
                _ => true,
            };
            if !authentic {
                return self.fail(ClientError::ServerNotAuthentic);
            }
            self.authenticated = true;
            self.reader.restart();
            self.open();
        } else if element.is("challenge", ns::SASL) {
            self.on_challenge(&data);
        } else {
            self.fail(ClientError::Unexpected("element during login"));
        }
    }

    fn on_challenge(&mut self, data: &[u8]) {
        let State::Scram(exchange, proven) = &mut self.state else {
            return self.fail(ClientError::Unexpected("challenge"));
        };
        let password = self
            .config
            .password
            .as_ref()
            .map(|(_, password)| password.as_str());
        // Some servers send their proof as a last challenge instead of with the success.
        let response = if exchange.verify(data) {
            *proven = true;
            Some(String::new())
        } else {
            exchange.respond(data, password.unwrap_or_default())
        };
        match response {
            Some(response) => {
                let response = element("response", ns::SASL)
                    .text(BASE64.encode(response))
                    .done();
                self.transmits.push_back(frame::element(&response));
            }
            None => self.fail(ClientError::ServerNotAuthentic),
        }
    }

    fn start_session(&mut self, sm: bool) {
        let resume = self
            .session
            .as_ref()
            .and_then(|session| session.sm.as_ref())
            .and_then(|session| {
                let id = session.id.as_deref()?;
                Some(
                    element("resume", ns::SM)
                        .attr("previd", id)
                        .attr("h", session.received)
                        .done(),
                )
            });
        match resume.filter(|_| sm) {
            Some(resume) => {
                self.transmits.push_back(frame::element(&resume));
                self.state = State::AwaitResumed;
            }
            None => self.start_bind(sm),
        }
    }

    fn start_bind(&mut self, sm: bool) {
        self.session = None;
        let mut bind = element("bind", ns::BIND);
        if let Some(resource) = &self.config.resource {
            bind = bind.child(element("resource", ns::BIND).text(resource));
        }
        let request = element("iq", ns::CLIENT)
            .attr("type", "set")
            .attr("id", "bind")
            .child(bind)
            .done();
        self.transmits.push_back(frame::element(&request));
        self.state = State::AwaitBind(sm && self.config.resume);
    }

    fn on_resumption(&mut self, received: &Element) {
        if received.is("failed", ns::SM) {
            return self.start_bind(true);
        }
        if !received.is("resumed", ns::SM) {
            return self.fail(ClientError::Unexpected("element instead of resumption"));
        }
        let h = received.attr("h").and_then(|h| h.parse().ok());
        let acked = match (h, self.enabled_sm()) {
            (Some(h), Some(sm)) => sm.unacked.ack(h).is_ok(),
            _ => false,
        };
        let Some(session) = self.session.as_mut().filter(|_| acked) else {
            self.session = None;
            return self.fail(ClientError::AckTooHigh);
        };
        self.state = State::Online;
        self.events.push_back(Event::Online {
            jid: session.jid.clone(),
            resumed: true,
        });
        if let Some(sm) = &mut session.sm {
            self.transmits.extend(sm.unacked.iter().cloned());
            sm.unasked = 0;
            self.transmits
                .push_back(frame::element(&element("r", ns::SM).done()));
        }
    }

    fn on_bind(&mut self, received: &Element, sm: bool) {
        if !is_response(received) || received.attr("id") != Some("bind") {
            // A server may push a message before the bind result; what it says can be asked for later.
            return;
        }
        if iq_type(received) == Some(IqType::Error) {
            let error = StanzaError::from_stanza(received)
                .unwrap_or_else(|| StanzaError::new(Condition::UndefinedCondition));
            return self.fail(ClientError::Bind(error));
        }
        let jid = received
            .get_child("bind", ns::BIND)
            .and_then(|bind| bind.child_text("jid", ns::BIND))
            .and_then(|jid| FullJid::new(jid.trim()).ok());
        let Some(jid) = jid else {
            return self.fail(ClientError::Unexpected("bind result without an address"));
        };
        self.state = State::Online;
        let mut session = Session {
            jid: jid.clone(),
            sm: None,
        };
        if sm {
            let enable = element("enable", ns::SM).attr("resume", "true").done();
            self.transmits.push_back(frame::element(&enable));
            session.sm = Some(StreamManagement::default());
        }
        self.session = Some(session);
        self.events.push_back(Event::Online {
            jid,
            resumed: false,
        });
    }

    fn on_online_element(&mut self, element: Element) {
        if element.has_ns(ns::SM) {
            return self.on_sm_element(&element);
        }
        let known = matches!(element.name(), "message" | "presence" | "iq");
        if !element.has_ns(ns::CLIENT) || !known {
            return self.events.push_back(Event::Ignored("no-stanza"));
        }
        if let Some(sm) = self.enabled_sm() {
            sm.received = sm.received.wrapping_add(1);
        }
        if !(is_response(&element) && element.attr("id") == Some(PING_ID)) {
            self.events.push_back(Event::Stanza(element));
        }
    }

    fn on_sm_element(&mut self, element: &Element) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Some(sm) = &mut session.sm else { return };
        match element.name() {
            "enabled" => {
                sm.enabled = true;
                let resumable = matches!(element.attr("resume"), Some("true" | "1"));
                sm.id = element
                    .attr("id")
                    .filter(|id| resumable && !id.is_empty())
                    .map(str::to_owned);
            }
            "failed" => session.sm = None,
            "r" => {
                let h = sm.received;
                self.transmits.push_back(answer_ack(h));
            }
            "a" => match element.attr("h").and_then(|h| h.parse().ok()) {
                Some(h) if sm.unacked.ack(h).is_err() => {
                    self.session = None;
                    self.fail(ClientError::AckTooHigh);
                }
                Some(_) => {}
                None => self.events.push_back(Event::Ignored("ack-without-count")),
            },
            _ => {}
        }
    }
}
