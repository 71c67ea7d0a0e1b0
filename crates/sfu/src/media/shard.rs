//! A shard: whole conferences, driven by one thread.

use super::egress::Egress;
use super::event::Event;
use super::ids::{ConferenceId, EndpointId, SourceName};
use super::peer_types::LocalParameters;
use super::spec::{
    ChannelPath, ConferenceSpec, EndpointSpec, EndpointUpdate, FeedbackSources,
    ReceiverConstraints, Subscription, VideoType,
};
use super::stats::{ConferenceStats, EndpointStats, Stats};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a shard needs to know from the start.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Host candidates: the addresses of the shard's socket.
    pub host_candidates: Vec<SocketAddr>,
    /// Server-reflexive candidates: the address outside and the host candidate behind it.
    pub mapped_candidates: Vec<(SocketAddr, SocketAddr)>,
    /// The certificate of all endpoints.
    pub certificate: Arc<super::peer_types::Certificate>,
    /// Even out packet sizes within a burst by up to two bytes of RTP padding.
    pub pad_bursts: bool,
    /// Longest time a packet waits for the rest of its burst.
    pub burst_window: Duration,
    /// How long a published packet is kept for retransmission.
    pub store_time: Duration,
    /// Memory of the store, in packets of 2 KiB.
    pub store_packets: usize,
    /// An endpoint without any sign of life for this long is expired.
    pub endpoint_timeout: Duration,
    /// A conference without endpoints for this long is expired.
    pub conference_timeout: Duration,
    /// Most conferences and most endpoints of a conference.
    pub limits: (usize, usize),
}

impl ShardConfig {
    /// The defaults with one certificate and the addresses of one socket.
    pub fn new(
        certificate: Arc<super::peer_types::Certificate>,
        host_candidates: Vec<SocketAddr>,
    ) -> Self {
        Self {
            host_candidates,
            mapped_candidates: Vec::new(),
            certificate,
            pad_bursts: true,
            burst_window: Duration::from_micros(200),
            store_time: Duration::from_millis(2500),
            store_packets: 16 * 1024,
            endpoint_timeout: Duration::from_secs(60),
            conference_timeout: Duration::from_secs(20),
            limits: (10_000, 5_000),
        }
    }
}

/// Why a control request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No such conference.
    #[error("no such conference")]
    NoConference,
    /// No such endpoint.
    #[error("no such endpoint")]
    NoEndpoint,
    /// The id is taken.
    #[error("the id is taken")]
    Exists,
    /// The shard is full.
    #[error("the shard is full")]
    Full,
    /// An SSRC belongs to another endpoint already.
    #[error("an SSRC belongs to another endpoint")]
    SsrcConflict,
    /// The peer's transport parameters make no sense.
    #[error("bad transport parameters")]
    BadTransport,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Taken (or dropped and counted).
    Taken,
    /// Not for an endpoint of this shard: another shard may know the address or ufrag.
    Foreign,
}

/// Whole conferences on one thread.
///
/// Driving contract: after each batch of input (`handle_datagram`, control calls, `handle_timeout` when the deadline is
/// reached) drain `poll_event` to `None`, then `poll_transmit` until it returns `false`, and sleep until `poll_timeout`.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    stats: Stats,
}

impl Shard {
    /// An empty shard. `seed` feeds ids, ICE credentials, SSRCs.
    pub fn new(config: ShardConfig, seed: [u8; 32]) -> Self {
        let _ = seed;
        Self {
            config,
            stats: Stats::default(),
        }
    }

    /// Creates a conference; the answer names the SSRCs the bridge uses in it.
    pub fn create_conference(
        &mut self,
        now: Instant,
        spec: ConferenceSpec,
    ) -> Result<FeedbackSources, ControlError> {
        let _ = (now, spec, &self.config);
        Err(ControlError::Full)
    }

    /// The SSRCs the bridge uses in a conference.
    pub fn feedback_sources(&self, conference: ConferenceId) -> Option<FeedbackSources> {
        let _ = conference;
        None
    }

    /// Creates an endpoint; the answer is the bridge's side of its transport.
    pub fn create_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        spec: EndpointSpec,
    ) -> Result<LocalParameters, ControlError> {
        let _ = (now, conference, spec);
        Err(ControlError::NoConference)
    }

    /// Changes an endpoint; the answer is the bridge's side of its transport (new after an ICE restart).
    pub fn update_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        update: EndpointUpdate,
    ) -> Result<LocalParameters, ControlError> {
        let _ = (now, conference, endpoint, update);
        Err(ControlError::NoConference)
    }

    /// Removes an endpoint. No event follows.
    pub fn expire_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) -> Result<(), ControlError> {
        let _ = (now, conference, endpoint);
        Err(ControlError::NoConference)
    }

    /// Removes a conference with its endpoints. No event follows.
    pub fn expire_conference(
        &mut self,
        now: Instant,
        conference: ConferenceId,
    ) -> Result<(), ControlError> {
        let _ = (now, conference);
        Err(ControlError::NoConference)
    }

    /// Ids of a conference's endpoints, with whether each is a visitor, in the order they came.
    pub fn endpoints(&self, conference: ConferenceId) -> Vec<(EndpointId, bool)> {
        let _ = conference;
        Vec::new()
    }

    /// A bridge channel opened: everything its client must know is told again by [`Event::Notice`]s.
    pub fn channel_opened(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        path: ChannelPath,
    ) {
        let _ = (now, conference, endpoint, path);
    }

    /// A bridge channel closed.
    pub fn channel_closed(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        path: ChannelPath,
    ) {
        let _ = (now, conference, endpoint, path);
    }

    /// Sends text on the data channel of an endpoint; `false` if it has none open.
    pub fn send_channel(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        text: &str,
    ) -> bool {
        let _ = (now, conference, endpoint, text);
        false
    }

    /// What a receiver wants (`ReceiverVideoConstraints`, `LastNChangedEvent`).
    pub fn set_receiver_constraints(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        constraints: ReceiverConstraints,
    ) {
        let _ = (now, conference, endpoint, constraints);
    }

    /// Which audio a receiver wants (`ReceiverAudioSubscription`).
    pub fn set_audio_subscription(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        subscription: Subscription,
    ) {
        let _ = (now, conference, endpoint, subscription);
    }

    /// What an own source of an endpoint shows (`SourceVideoTypeMessage`); remembered if the source comes later.
    pub fn set_video_type(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        source: SourceName,
        video_type: VideoType,
    ) {
        let _ = (now, conference, endpoint, source, video_type);
    }

    /// Whether `receiver` should be sent the `EndpointStats` of `sender`.
    pub fn wants_stats_of(
        &self,
        conference: ConferenceId,
        receiver: &EndpointId,
        sender: &EndpointId,
    ) -> bool {
        let _ = (conference, receiver, sender);
        true
    }

    /// A datagram arrived at local address `to`. It is decrypted in place.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        datagram: &mut [u8],
    ) -> Disposition {
        let _ = (now, from, to, datagram);
        Disposition::Foreign
    }

    /// The deadline of [`Self::poll_timeout`] was reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Writes what is due into `egress`; `true` if the arena filled up and there is more. `drained`: the socket had no
    /// more input, so nothing is gained by waiting for the rest of a burst.
    pub fn poll_transmit(&mut self, now: Instant, drained: bool, egress: &mut Egress) -> bool {
        let _ = (now, drained, egress);
        false
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When to call [`Self::handle_timeout`] (and [`Self::poll_transmit`]) at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Counters since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// All conferences.
    pub fn conferences(&self) -> Vec<ConferenceId> {
        Vec::new()
    }

    /// The state of a conference.
    pub fn conference_stats(&self, conference: ConferenceId) -> Option<ConferenceStats> {
        let _ = conference;
        None
    }

    /// The state of an endpoint.
    pub fn endpoint_stats(
        &self,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) -> Option<EndpointStats> {
        let _ = (conference, endpoint);
        None
    }
}
