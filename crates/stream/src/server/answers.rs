//! What the caller answers to the events that ask it for something; after each the stream reads on.

use std::time::Instant;

use stanza::error::Condition;
use stanza::{BareJid, Element, FullJid, element, ns};

use super::Server;
use super::state::State;
use crate::condition::SaslFailure;
use crate::frame;
use crate::sasl::Credentials;

impl Server {
    /// Answers [`Event::Anonymous`](super::Event::Anonymous): the peer is `user` from now on.
    pub fn accept_anonymous(&mut self, now: Instant, user: BareJid) {
        let _ = now;
        if matches!(self.state, State::AwaitAnonymous) {
            self.on_authenticated(user, None);
            self.pump();
        }
    }

    /// Answers [`Event::Lookup`](super::Event::Lookup). `None` means that there is no such account, which the peer cannot tell from a wrong
    /// password.
    pub fn credentials(&mut self, now: Instant, credentials: Option<Credentials>) {
        let _ = now;
        self.on_credentials(credentials);
        self.pump();
    }

    /// Answers [`Event::Anonymous`](super::Event::Anonymous) or [`Event::Lookup`](super::Event::Lookup) with a failure. The peer may try again a few times.
    pub fn refuse(&mut self, now: Instant, failure: impl Into<SaslFailure>) {
        let _ = now;
        if self.awaits_login() {
            self.sasl_fail(failure.into());
            self.pump();
        }
    }

    /// Answers [`Event::Bind`](super::Event::Bind) with the address that was given.
    pub fn bound(&mut self, now: Instant, jid: &FullJid) {
        let _ = now;
        if !matches!(self.state, State::AwaitBind) {
            return;
        }
        let bind = element("bind", ns::BIND)
            .child(element("jid", ns::BIND).text(jid.as_str()))
            .done();
        let reply = element("iq", ns::CLIENT)
            .attr("type", "result")
            .attr_opt("id", self.bind_id.take())
            .child(bind)
            .done();
        self.transmits.push_back(frame::element(&reply));
        self.enter_bound();
        self.pump();
    }

    /// Answers [`Event::Bind`](super::Event::Bind) with an error. The peer may try again.
    pub fn bind_failed(&mut self, now: Instant, condition: Condition) {
        let _ = now;
        if !matches!(self.state, State::AwaitBind) {
            return;
        }
        let reply = element("iq", ns::CLIENT)
            .attr("type", "error")
            .attr_opt("id", self.bind_id.take())
            .child(Element::from(stanza::error::StanzaError::new(condition)))
            .done();
        self.transmits.push_back(frame::element(&reply));
        self.state = State::Unbound;
        self.pump();
    }

    /// Answers [`Event::Resume`](super::Event::Resume): the session `previd` goes on, and we handled `h` stanzas in it.
    pub fn resumed(&mut self, now: Instant, previd: &str, h: u32) {
        let _ = now;
        if !matches!(self.state, State::AwaitResume) {
            return;
        }
        let resumed = element("resumed", ns::SM)
            .attr("previd", previd)
            .attr("h", h)
            .done();
        self.transmits.push_back(frame::element(&resumed));
        self.enter_bound();
        self.pump();
    }

    /// Answers [`Event::Resume`](super::Event::Resume) with a failure. The peer may bind instead.
    pub fn resume_failed(&mut self, now: Instant, condition: Condition) {
        let _ = now;
        if matches!(self.state, State::AwaitResume) {
            self.sm_failure(condition);
            self.state = State::Unbound;
            self.pump();
        }
    }
}
