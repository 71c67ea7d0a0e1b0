//! Signalling of a shard: colibri2 requests and bridge-channel messages in, answers and messages out.
//!
//! A [`Controller`] owns one [`Shard`] and is what a host drives. Colibri2 (see `stanza::colibri2`) and the JSON of the
//! bridge channel (see `channel`) end here; the media plane sees plain types only.

mod answers;
mod channels;
mod colibri;
mod convert;
mod events;
mod messages;
mod output;
mod relays;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::media::{
    ChannelPath, ConferenceId, Disposition, Egress, EndpointId, Exchange, HeaderExtension,
    PayloadType, RelayId, Shard, ShardConfig,
};

pub use colibri::Answer;
pub use events::Denied;
pub use output::{Note, Output, WebSocketId};

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
    /// What other bridges call this one; `None`: conferences have no relays to other bridges.
    pub relay_id: Option<String>,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            shard: 0,
            web_socket_bases: Vec::new(),
            sctp: true,
            private_addresses: true,
            version: None,
            relay_id: None,
        }
    }
}

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
    /// Endpoints that had no bridge channel 30 s after their transport came up.
    pub endpoints_without_channel: u64,
    /// Relays that had none.
    pub relays_without_channel: u64,
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

/// Another bridge with people of the same meeting.
#[derive(Debug)]
struct Neighbour {
    /// The channel to it is open.
    open: bool,
    /// Addresses of the relay alone.
    addresses: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Meeting {
    meeting_id: String,
    members: BTreeMap<EndpointId, Member>,
    neighbours: BTreeMap<RelayId, Neighbour>,
}

/// One shard with its signalling.
#[derive(Debug)]
pub struct Controller {
    config: ControlConfig,
    shard: Shard,
    rng: ChaCha12Rng,
    meetings: BTreeMap<ConferenceId, Meeting>,
    by_meeting_id: HashMap<String, ConferenceId>,
    sockets: HashMap<WebSocketId, (ConferenceId, EndpointId)>,
    next_socket: u64,
    /// Addresses that relays may have for themselves, each of one relay.
    spare: Vec<Vec<SocketAddr>>,
    outputs: VecDeque<Output>,
    broadcasts: VecDeque<Broadcast>,
    /// Whose channel should open soon.
    expected: channels::Expected,
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

impl Controller {
    /// A controller with an empty shard. `seed` feeds ids, passwords and everything random in the shard.
    pub fn new(config: ControlConfig, shard: ShardConfig, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut shard_seed = [0; 32];
        rng.fill_bytes(&mut shard_seed);
        let shard = ShardConfig {
            number: config.shard,
            ..shard
        };
        Self {
            config,
            shard: Shard::new(shard, shard_seed),
            rng,
            meetings: BTreeMap::new(),
            by_meeting_id: HashMap::new(),
            sockets: HashMap::new(),
            next_socket: 0,
            spare: Vec::new(),
            outputs: VecDeque::new(),
            broadcasts: VecDeque::new(),
            expected: channels::Expected::default(),
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

    /// The meeting id of a conference.
    pub fn meeting_id(&self, conference: ConferenceId) -> Option<&str> {
        let meeting = self.meetings.get(&conference)?;
        Some(&meeting.meeting_id)
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

    /// See [`Shard::announce`].
    pub fn announce(&mut self, from: SocketAddr, to: SocketAddr) {
        self.shard.announce(from, to);
    }

    /// See [`Shard::poll_transmit`]; call it after [`Controller::poll_output`] gave `None`.
    pub fn poll_transmit(&mut self, now: Instant, egress: &mut Egress) -> bool {
        self.shard.poll_transmit(now, egress)
    }

    /// See [`Shard::poll_exchange`]; call it after [`Controller::poll_output`] gave `None`.
    pub fn poll_exchange(&mut self, now: Instant) -> Option<Exchange> {
        self.shard.poll_exchange(now)
    }

    /// See [`Shard::handle_exchange`].
    pub fn handle_exchange(&mut self, now: Instant, exchange: &mut Exchange) {
        self.shard.handle_exchange(now, exchange);
    }

    /// See [`Shard::reuse_exchange`].
    pub fn reuse_exchange(&mut self, exchange: Exchange) {
        self.shard.reuse_exchange(exchange);
    }

    /// See [`Shard::poll_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.broadcasts.front().map(|b| b.since);
        self.shard.poll_timeout().into_iter().chain(waiting).min()
    }

    /// Addresses that the host has opened for the next relay that is to have some of its own. [`Output::AddressesFree`] tells
    /// when it may close them.
    pub fn spare_addresses(&mut self, addresses: Vec<SocketAddr>) {
        self.spare.push(addresses);
    }

    /// Takes back the addresses that no relay took.
    pub fn take_spare(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.spare)
            .into_iter()
            .flatten()
            .collect()
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
        for (_, neighbour) in meeting.neighbours {
            self.free(neighbour.addresses);
        }
        self.outputs.push_back(Output::ConferenceEnded {
            meeting_id: meeting.meeting_id,
            conference,
        });
    }

    /// Addresses that were one relay's are not in use any more.
    fn free(&mut self, addresses: Vec<SocketAddr>) {
        if !addresses.is_empty() {
            self.outputs.push_back(Output::AddressesFree(addresses));
        }
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

#[cfg(test)]
mod recorded_tests;
#[cfg(test)]
mod relays_tests;
#[cfg(test)]
mod tests;
