//! What comes from the server, element by element.

use std::time::Instant;

use stanza::error::{Condition, StanzaError};
use stanza::iq::is_request;
use stanza::ns;
use stanza::xml::{ReaderEvent, Skipped, parse};

use super::state::State;
use super::{Client, ClientError, Event};
use crate::frame::Framing;

impl Client {
    /// Bytes from the server; with WebSocket framing one whole message.
    pub fn handle_input(&mut self, now: Instant, input: &[u8]) {
        if matches!(self.state, State::Idle | State::Closed) {
            return;
        }
        self.heard = Some(now);
        self.probe = None;
        if self.config.framing == Framing::WebSocket {
            return self.on_message(input);
        }
        self.reader.push(input);
        self.pump();
    }

    /// One message of a WebSocket (RFC 7395 section 3.3.3).
    fn on_message(&mut self, message: &[u8]) {
        match parse(message, &self.config.limits) {
            Ok(element) if element.is("open", ns::FRAMING) => self.on_open(),
            Ok(element) if element.is("close", ns::FRAMING) => self.fail(ClientError::ByPeer),
            Ok(element) => self.on_element(element),
            Err(error) => self.on_skipped(&Skipped::of_message(error, message)),
        }
    }

    fn pump(&mut self) {
        while !matches!(self.state, State::AwaitTls | State::Closed) {
            match self.reader.next_event() {
                Ok(Some(ReaderEvent::Open(_))) => self.on_open(),
                Ok(Some(ReaderEvent::Element(element))) => self.on_element(element),
                Ok(Some(ReaderEvent::Skipped(skipped))) => self.on_skipped(&skipped),
                Ok(Some(ReaderEvent::Close)) => self.fail(ClientError::ByPeer),
                Ok(None) => return,
                Err(error) => self.fail(error.into()),
            }
        }
    }

    /// A stanza is over a limit of ours. It counts as received, and who asked something is told.
    fn on_skipped(&mut self, skipped: &Skipped) {
        if !self.is_online() {
            return self.fail(skipped.error.into());
        }
        self.events
            .push_back(Event::Ignored(skipped.error.as_str()));
        let Some(stanza) = &skipped.stanza else {
            return;
        };
        if let Some(sm) = self.enabled_sm() {
            sm.received = sm.received.wrapping_add(1);
        }
        if is_request(stanza) && stanza.attr("id").is_some() {
            let error =
                StanzaError::new(Condition::NotAcceptable).with_text(skipped.error.to_string());
            self.queue(&error.reply_to(stanza));
        }
    }
}
