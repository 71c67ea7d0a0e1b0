//! From the stream header to the bound resource (RFC 6120 sections 4 to 7).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use stanza::error::Condition;
use stanza::iq::{IqType, iq_type};
use stanza::xml::StreamHeader;
use stanza::{BareJid, Element, ElementExt, element, ns};

use super::state::{Mechanism, Offer, State};
use super::{CloseReason, Event, Security, Server};
use crate::condition::{SaslCondition, SaslFailure, StreamCondition};
use crate::frame::{self, Framing};
use crate::sasl::{self, Credentials, Hash};
use crate::scram::{ClientFirst, ServerExchange};

/// Rounds told to somebody who asks for an account that does not exist: what accounts usually have.
const DECOY_ITERATIONS: u32 = 4096;

impl Server {
    pub(super) fn on_close(&mut self) {
        self.end(CloseReason::ByPeer);
    }

    pub(super) fn on_open(&mut self, header: StreamHeader) {
        if !matches!(self.state, State::Header | State::Restart) {
            return self.fail(StreamCondition::BadFormat, None);
        }
        let Some(to) = header.to else {
            return self.fail(StreamCondition::ImproperAddressing, None);
        };
        let to = to.to_ascii_lowercase();
        if self.user.is_some() && self.host.as_ref() != Some(&to) {
            return self.fail(StreamCondition::HostUnknown, None);
        }
        if !self.config.hosts.contains_key(&to) {
            return self.fail(StreamCondition::HostUnknown, None);
        }
        self.host = Some(to);
        if header
            .version
            .as_deref()
            .is_none_or(|v| !v.starts_with("1."))
            && self.framing != Framing::Bosh
        {
            return self.fail(StreamCondition::UnsupportedVersion, None);
        }
        self.send_header();
        let features = self.features();
        self.transmits.push_back(frame::features(&features));
        self.state = if self.user.is_some() {
            State::Unbound
        } else if self.security == Security::StartTls {
            State::Unprotected
        } else {
            State::Unauthenticated
        };
    }

    fn features(&self) -> Vec<Element> {
        if self.user.is_some() {
            let mut out = vec![element("bind", ns::BIND).done()];
            if self.config.stream_management && self.framing != Framing::Bosh {
                out.push(element("sm", ns::SM).done());
            }
            return out;
        }
        if self.security == Security::StartTls {
            return vec![
                element("starttls", ns::TLS)
                    .child(element("required", ns::TLS))
                    .done(),
            ];
        }
        let mechanisms = self
            .mechanisms()
            .into_iter()
            .map(|name| element("mechanism", ns::SASL).text(name).done());
        vec![element("mechanisms", ns::SASL).children(mechanisms).done()]
    }

    fn mechanisms(&self) -> Vec<&'static str> {
        let mut out = Vec::new();
        let Some(policy) = self.policy() else {
            return out;
        };
        if policy.password {
            out.push(Hash::Sha256.mechanism());
            out.push(Hash::Sha1.mechanism());
            if policy.plain && self.security == Security::Secure {
                out.push("PLAIN");
            }
        }
        if policy.anonymous {
            out.push("ANONYMOUS");
        }
        out
    }

    pub(super) fn on_element(&mut self, element: Element) {
        if element.is("error", ns::STREAM) {
            return self.end(CloseReason::PeerError);
        }
        match self.state {
            State::Bound => self.on_bound_element(element),
            State::Unprotected => self.on_starttls(&element),
            State::Unauthenticated => self.on_auth(&element),
            State::Initial(_) | State::Proof(..) => self.on_response(&element),
            State::Unbound => self.on_unbound_element(&element),
            // BOSH peers may send stanzas while the caller makes up its mind; nobody else gets here.
            _ => self.fail(StreamCondition::NotAuthorized, None),
        }
    }

    fn on_starttls(&mut self, received: &Element) {
        if received.is("starttls", ns::TLS) {
            self.transmits
                .push_back(frame::element(&element("proceed", ns::TLS).done()));
            self.state = State::StartTls;
            self.events.push_back(Event::StartTls);
        } else if received.is("auth", ns::SASL) {
            self.sasl_fail(SaslCondition::EncryptionRequired.into());
            if !self.is_closed() {
                self.state = State::Unprotected;
            }
        } else {
            self.fail(StreamCondition::NotAuthorized, None);
        }
    }

    fn on_auth(&mut self, received: &Element) {
        if !received.is("auth", ns::SASL) {
            return self.fail(StreamCondition::NotAuthorized, None);
        }
        let name = received.attr("mechanism").unwrap_or_default();
        let Some(&name) = self.mechanisms().iter().find(|offered| **offered == name) else {
            return self.sasl_fail(SaslCondition::InvalidMechanism.into());
        };
        let mechanism = match name {
            "ANONYMOUS" => {
                self.state = State::AwaitAnonymous;
                let host = self.host.clone().unwrap_or_default();
                self.events.push_back(Event::Anonymous { host });
                return;
            }
            "SCRAM-SHA-256" => Mechanism::Scram(Hash::Sha256),
            "SCRAM-SHA-1" => Mechanism::Scram(Hash::Sha1),
            _ => Mechanism::Plain,
        };
        if received.text().is_empty() {
            self.state = State::Initial(mechanism);
            self.transmits
                .push_back(frame::element(&element("challenge", ns::SASL).done()));
        } else {
            self.on_initial(mechanism, received);
        }
    }

    fn on_response(&mut self, element: &Element) {
        if element.is("abort", ns::SASL) {
            return self.sasl_fail(SaslCondition::Aborted.into());
        }
        if !element.is("response", ns::SASL) {
            return self.fail(StreamCondition::NotAuthorized, None);
        }
        match std::mem::replace(&mut self.state, State::Unauthenticated) {
            State::Initial(mechanism) => self.on_initial(mechanism, element),
            State::Proof(user, exchange) => {
                match decode(element).and_then(|message| exchange.finish(&message)) {
                    Ok(verifier) => self.on_authenticated(user, Some(verifier)),
                    Err(condition) => self.sasl_fail(condition.into()),
                }
            }
            other => self.state = other,
        }
    }

    /// The first message of a mechanism with a password.
    fn on_initial(&mut self, mechanism: Mechanism, element: &Element) {
        match self.parse_initial(mechanism, element) {
            Ok((user, offer)) => {
                self.events.push_back(Event::Lookup { user: user.clone() });
                self.state = State::AwaitCredentials(user, offer);
            }
            Err(condition) => self.sasl_fail(condition.into()),
        }
    }

    fn parse_initial(
        &self,
        mechanism: Mechanism,
        element: &Element,
    ) -> Result<(BareJid, Offer), SaslCondition> {
        let message = decode(element)?;
        let (authzid, name, offer) = match mechanism {
            Mechanism::Scram(hash) => {
                let first = ClientFirst::parse(&message)?;
                (
                    first.authzid.clone(),
                    first.user.clone(),
                    Offer::Scram(hash, first),
                )
            }
            Mechanism::Plain => {
                let (authzid, name, password) =
                    sasl::parse_plain(&message).ok_or(SaslCondition::MalformedRequest)?;
                let authzid = (!authzid.is_empty()).then(|| authzid.to_owned());
                (authzid, name.to_owned(), Offer::Plain(password.to_owned()))
            }
        };
        let host = self.host.as_deref().unwrap_or_default();
        let user =
            BareJid::new(&format!("{name}@{host}")).map_err(|_| SaslCondition::NotAuthorized)?;
        // A name with a `/` or `@` of its own would otherwise end up in another part of the address.
        if user.node().is_none() || name.contains(['@', '/']) {
            return Err(SaslCondition::NotAuthorized);
        }
        match authzid {
            Some(other) if other != user.as_str() => Err(SaslCondition::InvalidAuthzid),
            _ => Ok((user, offer)),
        }
    }

    pub(super) fn on_credentials(&mut self, credentials: Option<Credentials>) {
        match std::mem::replace(&mut self.state, State::Unauthenticated) {
            State::AwaitCredentials(user, Offer::Plain(password)) => {
                let known = credentials.is_some();
                let credentials = credentials.unwrap_or_else(|| self.decoy(&user));
                if credentials.verify_plain(&password) && known {
                    self.on_authenticated(user, None);
                } else {
                    self.sasl_fail(SaslCondition::NotAuthorized.into());
                }
            }
            State::AwaitCredentials(user, Offer::Scram(hash, first)) => {
                let credentials = credentials.unwrap_or_else(|| self.decoy(&user));
                let nonce = self.random_id() + &self.random_id();
                let (exchange, challenge) = ServerExchange::start(hash, first, credentials, &nonce);
                let challenge = element("challenge", ns::SASL)
                    .text(BASE64.encode(challenge))
                    .done();
                self.transmits.push_back(frame::element(&challenge));
                self.state = State::Proof(user, Box::new(exchange));
            }
            other => self.state = other,
        }
    }

    /// Keys that nobody has a password for, the same each time for the same name.
    fn decoy(&self, user: &BareJid) -> Credentials {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.config.salt_secret);
        let tag = hmac::sign(&key, user.as_str().as_bytes());
        let salt = tag.as_ref().get(..16).unwrap_or_default().to_vec();
        let keys = |hash: Hash| sasl::ScramKeys {
            salt: salt.clone(),
            iterations: DECOY_ITERATIONS,
            stored_key: hash.hmac(tag.as_ref(), b"stored"),
            server_key: hash.hmac(tag.as_ref(), b"server"),
        };
        Credentials {
            sha1: keys(Hash::Sha1),
            sha256: keys(Hash::Sha256),
        }
    }

    pub(super) fn on_authenticated(&mut self, user: BareJid, data: Option<String>) {
        let mut success = element("success", ns::SASL);
        if let Some(data) = data {
            success = success.text(BASE64.encode(data));
        }
        self.transmits.push_back(frame::element(&success.done()));
        self.user = Some(user);
        self.state = State::Restart;
        self.reader.set_limits(*self.limits());
        self.reader.restart();
    }

    pub(super) fn sasl_fail(&mut self, failure: SaslFailure) {
        self.transmits.push_back(frame::sasl_failure(&failure));
        self.events.push_back(Event::LoginFailed(failure.condition));
        self.state = State::Unauthenticated;
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.config.max_failures {
            self.fail(
                StreamCondition::PolicyViolation,
                Some("too many failed logins"),
            );
        }
    }

    fn on_unbound_element(&mut self, element: &Element) {
        let Some(user) = self.user.clone() else {
            return self.fail(StreamCondition::NotAuthorized, None);
        };
        if iq_type(element) == Some(IqType::Set)
            && let Some(bind) = element.get_child("bind", ns::BIND)
        {
            let resource = bind
                .child_text("resource", ns::BIND)
                .filter(|r| !r.is_empty());
            self.bind_id = element.attr("id").map(str::to_owned);
            self.state = State::AwaitBind;
            self.events.push_back(Event::Bind { user, resource });
        } else if element.is("resume", ns::SM) && self.framing != Framing::Bosh {
            let h = element.attr("h").and_then(|h| h.parse().ok());
            match (element.attr("previd"), h) {
                (Some(previd), Some(h)) => {
                    self.state = State::AwaitResume;
                    let previd = previd.to_owned();
                    self.events.push_back(Event::Resume { user, previd, h });
                }
                _ => self.sm_failure(Condition::BadRequest),
            }
        } else if element.has_ns(ns::SM) {
            self.sm_failure(Condition::UnexpectedRequest);
        } else {
            self.fail(
                StreamCondition::NotAuthorized,
                Some("bind a resource first"),
            );
        }
    }

    fn on_bound_element(&mut self, element: Element) {
        if element.has_ns(ns::SM) {
            return self.on_sm_element(&element);
        }
        if !element.has_ns(ns::CLIENT) {
            return self.fail(StreamCondition::UnsupportedStanzaType, None);
        }
        match element.name() {
            "message" | "presence" | "iq" => self.events.push_back(Event::Stanza(element)),
            _ => self.fail(StreamCondition::UnsupportedStanzaType, None),
        }
    }

    fn on_sm_element(&mut self, element: &Element) {
        match element.name() {
            "r" => self.events.push_back(Event::AckRequest),
            "a" => match element.attr("h").and_then(|h| h.parse().ok()) {
                Some(h) => self.events.push_back(Event::Ack(h)),
                None => self.fail(
                    StreamCondition::UndefinedCondition,
                    Some("acknowledgement without h"),
                ),
            },
            "enable" if self.config.stream_management && self.framing != Framing::Bosh => {
                let resume = matches!(element.attr("resume"), Some("true" | "1"));
                self.events.push_back(Event::EnableSm { resume });
            }
            "enable" | "resume" => self.sm_failure(Condition::UnexpectedRequest),
            _ => self.fail(StreamCondition::UnsupportedStanzaType, None),
        }
    }
}

/// The base64 in an element of SASL; `=` stands for no data at all (RFC 6120 section 6.4.2).
fn decode(element: &Element) -> Result<Vec<u8>, SaslCondition> {
    match element.text().trim() {
        "=" => Ok(Vec::new()),
        text => BASE64
            .decode(text)
            .map_err(|_| SaslCondition::IncorrectEncoding),
    }
}
