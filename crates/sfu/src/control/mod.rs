//! Signalling of a shard: colibri2 requests and bridge-channel messages in, answers and messages out.
//!
//! A [`Controller`] owns one [`Shard`] and is what a host drives. Colibri2 (see `stanza::colibri2`) and the JSON of the
//! bridge channel (see `channel`) end here; the media plane sees plain types only.

mod colibri;
mod convert;
mod messages;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::media::{
    ChannelNotice, ChannelPath, ConferenceId, Disposition, Egress, EndpointId, Event,
    HeaderExtension, PayloadType, Shard, ShardConfig,
};

pub use colibri::Answer;

/// What a controller needs to know from the start.
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// Number of the shard; it is the low byte of the ids of its conferences, so that a host can find the shard.
    pub shard: u8,
    /// Bases of bridge-channel WebSocket URLs, without a slash at the end: `wss://<domain>/colibri-ws/<server-id>`.
    /// Empty: no WebSockets are offered.
    pub web_socket_bases: Vec<String>,
    /// Data channels may be asked for.
    pub sctp: bool,
    /// Advertise host candidates with private addresses to everybody, not only to endpoints that ask for them.
    pub private_addresses: bool,
    /// Version to tell in `ServerHello`; `None` tells none.
    pub version: Option<String>,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            shard: 0,
            web_socket_bases: Vec::new(),
            sctp: true,
            private_addresses: true,
            version: None,
        }
    }
}

/// A WebSocket of an endpoint, while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WebSocketId(pub u64);

/// Something for the host to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send text on a WebSocket.
    WebSocketText {
        /// Which.
        socket: WebSocketId,
        /// One JSON object, the same allocation for all receivers of a broadcast.
        text: Arc<str>,
    },
    /// Close a WebSocket.
    WebSocketClose {
        /// Which.
        socket: WebSocketId,
        /// Close code.
        code: u16,
        /// Close reason.
        reason: &'static str,
    },
    /// A conference is gone.
    ConferenceEnded {
        /// The meeting id of the focus.
        meeting_id: String,
        /// Id on this bridge.
        conference: ConferenceId,
    },
    /// Something worth a log line.
    Note(Note),
}

/// A change worth a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A conference was created.
    ConferenceCreated(ConferenceId),
    /// An endpoint was created.
    EndpointCreated(ConferenceId, EndpointId),
    /// ICE and DTLS of an endpoint are up.
    Connected(ConferenceId, EndpointId),
    /// The bridge channel of an endpoint opened.
    ChannelOpened(ConferenceId, EndpointId, ChannelPath),
    /// The transport of an endpoint failed.
    TransportFailed(ConferenceId, EndpointId, String),
    /// Nothing was heard of an endpoint for long; it was removed.
    EndpointExpired(ConferenceId, EndpointId),
    /// Part of a request was ignored because of what the endpoint's client sent.
    Ignored(ConferenceId, EndpointId, String),
}

/// Why a WebSocket is refused; the client is told the same for all reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct Denied;

/// Counters of the bridge channel and of requests, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ControlStats {
    /// Messages received on WebSockets.
    pub web_socket_received: u64,
    /// Messages sent on WebSockets.
    pub web_socket_sent: u64,
    /// Messages dropped because the receiver has no bridge channel.
    pub no_channel: u64,
    /// Messages that are no acceptable JSON.
    pub invalid: u64,
    /// Messages of an unknown class.
    pub unknown: u64,
    /// Messages dropped because their sender sent too many.
    pub rate_limited: u64,
    /// Messages dropped because a visitor may not send them.
    pub forbidden: u64,
    /// Colibri2 requests.
    pub requests: u64,
    /// Colibri2 requests answered with an error.
    pub request_errors: u64,
}

/// Messages an endpoint may send per second, averaged, and at once.
const MESSAGE_RATE: (f64, f64) = (200.0, 400.0);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self {
            tokens: MESSAGE_RATE.1,
            at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = now.max(self.at);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * MESSAGE_RATE.0).min(MESSAGE_RATE.1);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

#[derive(Debug)]
struct Member {
    visitor: bool,
    payload_types: Vec<PayloadType>,
    header_extensions: Vec<HeaderExtension>,
    password: String,
    data_channel: bool,
    web_socket: Option<WebSocketId>,
    /// Where the client was heard last.
    active: ChannelPath,
    bucket: Bucket,
    sctp: bool,
}

impl Member {
    fn path(&self) -> Option<ChannelPath> {
        match (self.data_channel, self.web_socket.is_some()) {
            (true, true) => Some(self.active),
            (true, false) => Some(ChannelPath::Data),
            (false, true) => Some(ChannelPath::WebSocket),
            (false, false) => None,
        }
    }
}

#[derive(Debug)]
struct Meeting {
    meeting_id: String,
    members: HashMap<EndpointId, Member>,
}

/// One shard with its signalling.
#[derive(Debug)]
pub struct Controller {
    config: ControlConfig,
    shard: Shard,
    rng: ChaCha12Rng,
    meetings: HashMap<ConferenceId, Meeting>,
    by_meeting_id: HashMap<String, ConferenceId>,
    sockets: HashMap<WebSocketId, (ConferenceId, EndpointId)>,
    next_socket: u64,
    outputs: VecDeque<Output>,
    broadcasts: VecDeque<Broadcast>,
    stats: ControlStats,
}

/// Text on its way to all clients of a conference: some of them at a time, so that packets need not wait.
#[derive(Debug)]
struct Broadcast {
    conference: ConferenceId,
    text: Arc<str>,
    since: Instant,
    /// Who is still to be told.
    to: Vec<EndpointId>,
}

/// Clients that are told in one go.
const BROADCAST_SLICE: usize = 32;

impl Controller {
    /// A controller with an empty shard. `seed` feeds ids, passwords and everything random in the shard.
    pub fn new(config: ControlConfig, shard: ShardConfig, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut shard_seed = [0; 32];
        rng.fill_bytes(&mut shard_seed);
        Self {
            config,
            shard: Shard::new(shard, shard_seed),
            rng,
            meetings: HashMap::new(),
            by_meeting_id: HashMap::new(),
            sockets: HashMap::new(),
            next_socket: 0,
            outputs: VecDeque::new(),
            broadcasts: VecDeque::new(),
            stats: ControlStats::default(),
        }
    }

    /// The shard, for its statistics.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Counters.
    pub fn stats(&self) -> ControlStats {
        self.stats
    }

    /// Meeting ids with the ids of their conferences.
    pub fn meetings(&self) -> impl Iterator<Item = (&str, ConferenceId)> {
        self.by_meeting_id
            .iter()
            .map(|(name, id)| (name.as_str(), *id))
    }

    /// See [`Shard::handle_datagram`].
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        datagram: &mut [u8],
    ) -> Disposition {
        self.shard.handle_datagram(now, from, to, datagram)
    }

    /// See [`Shard::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.shard.handle_timeout(now);
        self.tell_some(now);
    }

    /// See [`Shard::poll_transmit`]; call it after [`Controller::poll_output`] gave `None`.
    pub fn poll_transmit(&mut self, now: Instant, egress: &mut Egress) -> bool {
        self.shard.poll_transmit(now, egress)
    }

    /// See [`Shard::poll_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.broadcasts.front().map(|b| b.since);
        self.shard.poll_timeout().into_iter().chain(waiting).min()
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

    /// The host's addresses changed; see [`Shard::set_addresses`].
    pub fn set_addresses(
        &mut self,
        now: Instant,
        hosts: Vec<SocketAddr>,
        mapped: Vec<(SocketAddr, SocketAddr)>,
    ) {
        self.shard.set_addresses(now, hosts, mapped);
    }

    /// Ends all conferences: the host is about to drop this controller.
    pub fn shutdown(&mut self, now: Instant) {
        let ids: Vec<_> = self.meetings.keys().copied().collect();
        for id in ids {
            self.end_conference(now, id);
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

    fn member(&mut self, conference: ConferenceId, endpoint: &EndpointId) -> Option<&mut Member> {
        self.meetings
            .get_mut(&conference)?
            .members
            .get_mut(endpoint)
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }

    fn close_socket(&mut self, socket: WebSocketId, code: u16, reason: &'static str) {
        self.outputs.push_back(Output::WebSocketClose {
            socket,
            code,
            reason,
        });
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
            Event::Broadcast { conference, notice } => self.broadcast(now, conference, notice),
            Event::Connected {
                conference,
                endpoint,
            } => self.note(Note::Connected(conference, endpoint)),
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

    fn forget_endpoint(&mut self, conference: ConferenceId, endpoint: &EndpointId) {
        let member = self
            .meetings
            .get_mut(&conference)
            .and_then(|m| m.members.remove(endpoint));
        if let Some(socket) = member.and_then(|m| m.web_socket) {
            self.sockets.remove(&socket);
            self.close_socket(socket, 1001, "endpoint closed");
        }
    }

    fn forget_conference(&mut self, conference: ConferenceId) {
        let Some(meeting) = self.meetings.remove(&conference) else {
            return;
        };
        self.by_meeting_id.remove(&meeting.meeting_id);
        for socket in meeting.members.values().filter_map(|m| m.web_socket) {
            self.sockets.remove(&socket);
            self.close_socket(socket, 1001, "endpoint closed");
        }
        self.outputs.push_back(Output::ConferenceEnded {
            meeting_id: meeting.meeting_id,
            conference,
        });
    }

    fn end_conference(&mut self, now: Instant, conference: ConferenceId) {
        let _ = self.shard.expire_conference(now, conference);
        self.forget_conference(conference);
    }

    fn random_password(&mut self) -> String {
        const ALPHABET: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut password = String::with_capacity(24);
        while password.len() < 24 {
            // Numbers from 62 up are thrown away, so that all letters are equally likely.
            let index = (self.rng.next_u32() >> 26) as usize;
            if let Some(letter) = ALPHABET.get(index) {
                password.push(char::from(*letter));
            }
        }
        password
    }
}

/// Compares in a time that does not depend on where the difference is.
fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

#[cfg(test)]
mod tests;
