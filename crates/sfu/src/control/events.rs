//! What comes of the shard's events and of WebSockets.

use std::time::Instant;

use super::channels::Connected;
use super::output::{Note, Output, WebSocketId};
use super::{Broadcast, Controller, convert};
use crate::media::{ChannelNotice, ChannelPath, ConferenceId, Event};

/// Clients that are told in one go.
const BROADCAST_SLICE: usize = 32;

/// Why a WebSocket is refused; the client is told the same for all reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct Denied;

impl Controller {
    /// See [`Shard::handle_timeout`](crate::Shard::handle_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.shard.handle_timeout(now);
        self.tell_some(now);
        self.look_for_channels(now);
    }

    /// The next thing to do; works through the shard's events on the way.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            let event = self.shard.poll_event()?;
            self.handle_event(now, event);
        }
    }

    /// A WebSocket for an endpoint, with the password of its URL. It replaces an earlier one.
    ///
    /// # Errors
    /// No such conference or endpoint, or another password.
    pub fn open_web_socket(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &str,
        password: &str,
    ) -> Result<WebSocketId, Denied> {
        let (endpoint, member) = self
            .meetings
            .get_mut(&conference)
            .and_then(|m| {
                let id = m.members.get_key_value(endpoint)?.0.clone();
                let member = m.members.get_mut(endpoint)?;
                Some((id, member))
            })
            .filter(|(_, m)| same_secret(&m.password, password))
            .ok_or(Denied)?;
        let socket = WebSocketId(self.next_socket);
        self.next_socket += 1;
        if let Some(old) = member.web_socket.replace(socket) {
            self.sockets.remove(&old);
            self.close_socket(old, 1000, "replaced");
        }
        self.sockets.insert(socket, (conference, endpoint.clone()));
        self.channel_opened(now, conference, &endpoint, ChannelPath::WebSocket);
        Ok(socket)
    }

    /// Text arrived on a WebSocket.
    pub fn web_socket_text(&mut self, now: Instant, socket: WebSocketId, text: &str) {
        self.stats.web_socket_received += 1;
        if let Some((conference, endpoint)) = self.sockets.get(&socket).cloned() {
            self.handle_text(now, conference, &endpoint, ChannelPath::WebSocket, text);
        }
    }

    /// A WebSocket was closed by the client or failed.
    pub fn web_socket_closed(&mut self, socket: WebSocketId) {
        let Some((conference, endpoint)) = self.sockets.remove(&socket) else {
            return;
        };
        if let Some(member) = self.member(conference, &endpoint)
            && member.web_socket == Some(socket)
        {
            member.web_socket = None;
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::ChannelOpen {
                conference,
                endpoint,
            } => {
                if let Some(member) = self.member(conference, &endpoint) {
                    member.data_channel = true;
                    self.channel_opened(now, conference, &endpoint, ChannelPath::Data);
                }
            }
            Event::ChannelText {
                conference,
                endpoint,
                text,
            } => self.handle_text(now, conference, &endpoint, ChannelPath::Data, &text),
            Event::Notice {
                conference,
                endpoint,
                notice,
            } => {
                if let Some(message) = convert::notice(notice) {
                    self.send(now, conference, &endpoint, &message.to_json().into());
                }
            }
            Event::Text { conference, text } => self.deliver(now, conference, &text),
            Event::Broadcast { conference, notice } => self.broadcast(now, conference, notice),
            Event::Connected {
                conference,
                endpoint,
            } => {
                let who = Connected::Endpoint(endpoint.clone());
                self.expected.add(now, conference, who);
                self.note(Note::Connected(conference, endpoint));
            }
            Event::TransportFailed {
                conference,
                endpoint,
                reason,
            } => self.note(Note::TransportFailed(conference, endpoint, reason)),
            Event::EndpointExpired {
                conference,
                endpoint,
            } => {
                self.forget_endpoint(conference, &endpoint);
                self.note(Note::EndpointExpired(conference, endpoint));
            }
            Event::RelayChannelOpen { conference, relay } => {
                self.relay_channel_opened(now, conference, &relay);
            }
            Event::RelayText {
                conference,
                relay,
                text,
            } => self.handle_relay_text(now, conference, &relay, &text),
            Event::RelayNotice {
                conference,
                relay,
                notice,
            } => self.relay_notice(now, conference, &relay, notice),
            Event::RelayConnected { conference, relay } => {
                let who = Connected::Relay(relay.clone());
                self.expected.add(now, conference, who);
                self.note(Note::RelayConnected(conference, relay));
            }
            Event::RelayFailed {
                conference,
                relay,
                reason,
            } => self.note(Note::RelayFailed(conference, relay, reason)),
            Event::ConferenceExpired { conference } => self.forget_conference(conference),
        }
    }

    /// Tells all clients of a conference the same: a few at once, more of them bit by bit.
    fn broadcast(&mut self, now: Instant, conference: ConferenceId, notice: ChannelNotice) {
        let members = self.meetings.get(&conference).map(|m| m.members.keys());
        if let (Some(members), Some(message)) = (members, convert::notice(notice)) {
            self.broadcasts.push_back(Broadcast {
                conference,
                text: message.to_json().into(),
                since: now,
                to: members.cloned().collect(),
            });
            if self.broadcasts.len() == 1 {
                self.tell_some(now);
            }
        }
    }

    /// Goes on with what all are told.
    fn tell_some(&mut self, now: Instant) {
        let mut left = BROADCAST_SLICE;
        while let Some(mut next) = self.broadcasts.pop_front() {
            while let Some(endpoint) = next.to.pop() {
                self.send(now, next.conference, &endpoint, &next.text);
                left -= 1;
                if left == 0 {
                    break;
                }
            }
            if !next.to.is_empty() {
                self.broadcasts.push_front(next);
            }
            if left == 0 {
                return;
            }
        }
    }
}

/// Compares in a time that does not depend on where the difference is.
fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}
