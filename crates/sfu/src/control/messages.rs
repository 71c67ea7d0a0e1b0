//! Bridge-channel messages: what a client's message does, and by which way one reaches a client.

use std::sync::Arc;
use std::time::Instant;

use channel::{BridgeMessage, ClientMessage, EndpointMessage, EndpointStats, ServerHello};

use super::output::{Note, Output};
use super::{Controller, convert};
use crate::media::{ChannelPath, ConferenceId, EndpointId, ReceiverConstraints, SourceName, Text};

impl Controller {
    pub(super) fn channel_opened(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        path: ChannelPath,
    ) {
        if let Some(member) = self.member(conference, endpoint) {
            member.active = path;
        }
        if path == ChannelPath::WebSocket {
            self.send_hello(now, conference, endpoint, path);
        }
        self.note(Note::ChannelOpened(conference, endpoint.clone(), path));
        self.shard.channel_opened(now, conference, endpoint);
    }

    pub(super) fn handle_text(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        path: ChannelPath,
        text: &str,
    ) {
        let Some(member) = self.member(conference, endpoint) else {
            return;
        };
        member.active = path;
        let visitor = member.visitor;
        if !member.bucket.take(now) {
            self.stats.rate_limited += 1;
            return;
        }
        match ClientMessage::parse(text, endpoint.as_str()) {
            Err(_) => self.stats.invalid += 1,
            Ok(ClientMessage::Unknown(_)) => self.stats.unknown += 1,
            Ok(ClientMessage::EndpointMessage(_) | ClientMessage::EndpointStats(_)) if visitor => {
                self.stats.forbidden += 1;
            }
            Ok(message) => self.handle_message(now, conference, endpoint, path, message),
        }
    }

    fn handle_message(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        path: ChannelPath,
        message: ClientMessage,
    ) {
        match message {
            ClientMessage::ClientHello => self.send_hello(now, conference, endpoint, path),
            ClientMessage::ReceiverVideoConstraints(c) => {
                let constraints = convert::constraints(c);
                self.shard
                    .set_receiver_constraints(now, conference, endpoint, constraints);
            }
            ClientMessage::LastN(n) => {
                let constraints = ReceiverConstraints {
                    last_n: Some(n.last_n),
                    ..ReceiverConstraints::default()
                };
                self.shard
                    .set_receiver_constraints(now, conference, endpoint, constraints);
            }
            ClientMessage::AudioSubscription(s) => {
                let subscription = convert::subscription(s);
                self.shard
                    .set_audio_subscription(conference, endpoint, subscription);
            }
            ClientMessage::SourceVideoType(s) => {
                if let Some(source) = SourceName::new(&s.source_name) {
                    let kind = convert::plain_video_type(s.video_type);
                    self.shard
                        .set_video_type(now, conference, endpoint, source, kind);
                }
            }
            ClientMessage::EndpointMessage(m) => self.route(now, conference, endpoint, m),
            ClientMessage::EndpointStats(s) => self.route_stats(now, conference, endpoint, s),
            ClientMessage::Unknown(_) => self.stats.unknown += 1,
        }
    }

    fn route(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        sender: &EndpointId,
        message: EndpointMessage,
    ) {
        let to = match message.to.trim() {
            "" => None,
            name => match EndpointId::new(name) {
                Some(id) => Some(id),
                // Nobody is called so.
                None => return,
            },
        };
        let json = BridgeMessage::EndpointMessage(message).to_json().into();
        self.pass_on(now, conference, sender, to, false, json);
    }

    fn route_stats(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        sender: &EndpointId,
        stats: EndpointStats,
    ) {
        let json = BridgeMessage::EndpointStats(stats).to_json().into();
        self.pass_on(now, conference, sender, None, true, json);
    }

    fn pass_on(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        sender: &EndpointId,
        to: Option<EndpointId>,
        stats: bool,
        json: Arc<str>,
    ) {
        let text = Text {
            from: sender.clone(),
            to,
            stats,
            json,
        };
        let elsewhere = self.shard.tell_text(now, conference, &text);
        let here = |to: &EndpointId| self.member(conference, to).is_some();
        if !elsewhere && !text.to.as_ref().is_none_or(here) {
            self.stats.no_channel += 1;
        }
        self.deliver(now, conference, &text);
    }

    /// Sends a message of an endpoint, here or of another part of the conference, to those here whom it is for.
    pub(super) fn deliver(&mut self, now: Instant, conference: ConferenceId, text: &Text) {
        let receivers = match &text.to {
            _ if text.stats => self.shard.stats_audience(conference, &text.from),
            None => self.others(conference, &text.from),
            Some(to) if self.member(conference, to).is_some() => vec![to.clone()],
            Some(_) => Vec::new(),
        };
        for receiver in receivers {
            self.send(now, conference, &receiver, &text.json);
        }
    }

    fn others(&self, conference: ConferenceId, sender: &EndpointId) -> Vec<EndpointId> {
        self.meetings
            .get(&conference)
            .map(|m| {
                m.members
                    .keys()
                    .filter(|id| *id != sender)
                    .cloned()
                    .collect()
            })
            .unwrap_or_default()
    }

    fn send_hello(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        path: ChannelPath,
    ) {
        let hello = BridgeMessage::ServerHello(ServerHello {
            version: self.config.version.clone(),
        });
        self.send_by(now, conference, endpoint, path, &hello.to_json().into());
    }

    /// Sends to a client by the way it was last heard on, or the other one.
    pub(super) fn send(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        text: &Arc<str>,
    ) {
        let path = self.member(conference, endpoint).and_then(|m| m.path());
        match path {
            Some(path) => self.send_by(now, conference, endpoint, path, text),
            None => self.stats.no_channel += 1,
        }
    }

    fn send_by(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        path: ChannelPath,
        text: &Arc<str>,
    ) {
        match path {
            ChannelPath::Data => {
                if !self.shard.send_channel(now, conference, endpoint, text) {
                    self.stats.no_channel += 1;
                }
            }
            ChannelPath::WebSocket => {
                match self.member(conference, endpoint).and_then(|m| m.web_socket) {
                    Some(socket) => {
                        self.stats.web_socket_sent += 1;
                        self.outputs.push_back(Output::WebSocketText {
                            socket,
                            text: text.clone(),
                        });
                    }
                    None => self.stats.no_channel += 1,
                }
            }
        }
    }
}
