//! What comes from the peer, as bytes, messages or elements.

use std::time::Instant;

use stanza::xml::{self, ReaderEvent, Skipped, StreamHeader};
use stanza::{Element, ns};

use super::{Event, Server};
use crate::condition::StreamCondition;
use crate::frame::Framing;

impl Server {
    /// Bytes from the peer: any part of the stream on TCP, exactly one message on a WebSocket.
    ///
    /// Streams of the framing BOSH take elements instead: [`handle_open`](Self::handle_open),
    /// [`handle_element`](Self::handle_element), [`handle_close`](Self::handle_close).
    pub fn handle_input(&mut self, now: Instant, input: &[u8]) {
        let _ = now;
        if self.is_closed() || !self.charge(input.len()) {
            return;
        }
        match self.framing {
            Framing::Tcp => self.reader.push(input),
            Framing::WebSocket | Framing::Bosh => {
                self.inbox_bytes += input.len();
                self.inbox.push_back(input.to_vec());
            }
        }
        self.pump();
        if self.inbox_bytes > self.limits().bytes {
            self.fail(StreamCondition::PolicyViolation, None);
        }
    }

    /// The peer opened or restarted a stream of the framing BOSH.
    pub fn handle_open(&mut self, now: Instant, header: StreamHeader) {
        let _ = now;
        if !self.is_closed() {
            self.on_open(header);
        }
    }

    /// One element on a stream of the framing BOSH that took `bytes` on its way.
    pub fn handle_element(&mut self, now: Instant, element: Element, bytes: usize) {
        let _ = now;
        if self.is_closed() || !self.charge(bytes) {
            return;
        }
        if bytes > self.limits().bytes {
            self.fail(StreamCondition::PolicyViolation, Some("stanza too large"));
        } else {
            self.on_element(element);
        }
    }

    /// The peer ended a stream of the framing BOSH in order.
    pub fn handle_close(&mut self, now: Instant) {
        let _ = now;
        self.on_close();
    }

    /// Takes `bytes` from what a peer may send before it has logged in.
    fn charge(&mut self, bytes: usize) -> bool {
        if self.user.is_some() {
            return true;
        }
        match self.budget.checked_sub(bytes) {
            Some(rest) => {
                self.budget = rest;
                true
            }
            None => {
                self.fail(
                    StreamCondition::PolicyViolation,
                    Some("too much before login"),
                );
                false
            }
        }
    }

    /// Handles input until there is none or the caller must answer first.
    pub(super) fn pump(&mut self) {
        while !self.blocked() {
            match self.framing {
                Framing::Tcp => match self.reader.next_event() {
                    Ok(Some(ReaderEvent::Open(header))) => self.on_open(header),
                    Ok(Some(ReaderEvent::Element(element))) => self.on_element(element),
                    Ok(Some(ReaderEvent::Skipped(skipped))) => self.on_skipped(skipped),
                    Ok(Some(ReaderEvent::Close)) => self.on_close(),
                    Ok(None) => return,
                    Err(error) => self.fail(error.into(), None),
                },
                Framing::WebSocket => {
                    let Some(message) = self.inbox.pop_front() else {
                        return;
                    };
                    self.inbox_bytes = self.inbox_bytes.saturating_sub(message.len());
                    self.on_message(&message);
                }
                Framing::Bosh => return,
            }
        }
    }

    fn on_skipped(&mut self, skipped: Skipped) {
        if self.is_bound() {
            self.events.push_back(Event::Skipped(skipped));
        } else {
            self.fail(skipped.error.into(), None);
        }
    }

    fn on_message(&mut self, message: &[u8]) {
        match xml::parse(message, self.limits()) {
            Ok(element) if element.is("open", ns::FRAMING) => {
                self.on_open(StreamHeader::from_element(&element))
            }
            Ok(element) if element.is("close", ns::FRAMING) => self.on_close(),
            Ok(element) => self.on_element(element),
            Err(error) => self.fail(error.into(), None),
        }
    }
}
