//! What signalling tells the media plane: conferences, endpoints, sources, constraints.

use super::ids::{ConferenceId, EndpointId, RelayId, SourceName};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::net::SocketAddr;

/// A conference to create.
#[derive(Debug, Clone)]
pub struct ConferenceSpec {
    /// The caller's id for it.
    pub id: ConferenceId,
    /// The meeting id of the focus, for logs and statistics.
    pub meeting_id: String,
    /// The room address, if the focus tells it.
    pub name: Option<String>,
    /// Other shards may have parts of it.
    pub part: Option<Part>,
}

/// SSRCs a bridge uses in its own name in a conference: sender of RTCP feedback, and padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedbackSources {
    /// Announced as `jvb-a0`.
    pub audio: u32,
    /// Announced as `jvb-v0`.
    pub video: u32,
}

/// The part of a conference that a shard has, where several shards have parts of it.
#[derive(Debug, Clone)]
pub struct Part {
    /// What all parts use in the bridge's name.
    pub feedback: FeedbackSources,
    /// Shards that may have other parts.
    pub others: Vec<u8>,
    /// The conference exists: a request that adds to it makes this part of it.
    pub exists: bool,
}

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Audio.
    Audio,
    /// Video, screen shares included.
    Video,
}

/// A negotiated payload type. Numbers are conference-wide: packets pass with the number they came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadType {
    /// RTP payload type, 0 to 127.
    pub id: u8,
    /// Audio or video; of `rtx` and `red` the kind they protect.
    pub kind: MediaKind,
    /// Encoding name as signalled; compared without regard to case (`VP8`, `opus`, `rtx`, ...).
    pub name: String,
    /// Clock rate in Hz.
    pub clock_rate: u32,
    /// Format parameters, for example `apt` of `rtx`.
    pub parameters: Vec<(String, String)>,
    /// RTCP feedback, `("nack", "")`, `("nack", "pli")`, `("transport-cc", "")`, ...
    pub feedback: Vec<(String, String)>,
}

impl PayloadType {
    /// The value of a format parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// Whether an RTCP feedback type (and sub-type, empty for none) was signalled.
    pub fn has_feedback(&self, kind: &str, sub: &str) -> bool {
        self.feedback.iter().any(|(k, s)| k == kind && s == sub)
    }
}

/// A negotiated RTP header extension (RFC 8285).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderExtension {
    /// Local id, 1 to 14 for the one-byte form.
    pub id: u8,
    /// The URI.
    pub uri: String,
}

/// What a video source shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VideoType {
    /// A camera.
    #[default]
    Camera,
    /// A shared screen at few frames per second.
    Desktop,
    /// A shared screen at many frames per second.
    DesktopHighFps,
    /// Muted or off: nothing is forwarded.
    Disabled,
}

/// One SSRC of a source with its retransmission SSRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// The media SSRC.
    pub ssrc: u32,
    /// The SSRC of its retransmissions (FID group), if signalled.
    pub rtx: Option<u32>,
}

/// Some of the encodings of a source, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Encodings(u8);

impl Encodings {
    /// One of them; none if there can be none of that number.
    pub(crate) fn one(encoding: u8) -> Self {
        Self(1u8.checked_shl(encoding.into()).unwrap_or(0))
    }

    /// The first `count`.
    pub(crate) fn first(count: usize) -> Self {
        (0..count.min(8) as u8).collect()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one is among them.
    pub(crate) fn has(self, encoding: u8) -> bool {
        !self.and(Self::one(encoding)).is_empty()
    }

    /// Those of both.
    pub(crate) fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those that are in both.
    pub(crate) fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those that are not in the others.
    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Their numbers, lowest first.
    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |e| self.has(*e))
    }
}

impl FromIterator<u8> for Encodings {
    fn from_iter<T: IntoIterator<Item = u8>>(numbers: T) -> Self {
        numbers
            .into_iter()
            .map(Self::one)
            .fold(Self::default(), Self::or)
    }
}

/// An SSRC group as signalled (RFC 5576): semantics (`SIM`, `FID`, ...) and members in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcGroup {
    /// `SIM`, `FID`, `FEC-FR`, ...
    pub semantics: String,
    /// Members in order.
    pub ssrcs: Vec<u32>,
}

/// A media source of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// Audio or video.
    pub kind: MediaKind,
    /// As signalled; messages on the bridge channel change it later.
    pub video_type: VideoType,
    /// Simulcast encodings, lowest quality first; one if there is no simulcast. At most [`Source::MAX_ENCODINGS`].
    pub encodings: SmallVec<[Encoding; 4]>,
}

impl Source {
    /// Most simulcast encodings of a source.
    pub const MAX_ENCODINGS: usize = 4;

    /// Makes a source of signalled SSRCs and groups; `None` if there is no SSRC or there are too many.
    ///
    /// `SIM` orders the encodings (low to high), `FID` gives retransmission SSRCs, other groups are ignored.
    pub fn from_groups(
        name: SourceName,
        kind: MediaKind,
        video_type: VideoType,
        ssrcs: &[u32],
        groups: &[SsrcGroup],
    ) -> Option<Self> {
        let mut rtx: HashMap<u32, u32> = HashMap::new();
        let mut secondary: SmallVec<[u32; 8]> = SmallVec::new();
        for group in groups
            .iter()
            .filter(|g| !g.semantics.eq_ignore_ascii_case("SIM"))
        {
            if let [primary, others @ ..] = group.ssrcs.as_slice() {
                secondary.extend_from_slice(others);
                if let (true, Some(&r)) =
                    (group.semantics.eq_ignore_ascii_case("FID"), others.first())
                {
                    rtx.insert(*primary, r);
                }
            }
        }
        let sim = groups
            .iter()
            .find(|g| g.semantics.eq_ignore_ascii_case("SIM"));
        let primaries: Vec<u32> = match sim {
            Some(group) => group.ssrcs.clone(),
            None => {
                let all = if ssrcs.is_empty() {
                    rtx.keys().copied().collect()
                } else {
                    ssrcs.to_vec()
                };
                all.into_iter()
                    .filter(|s| !secondary.contains(s))
                    .take(1)
                    .collect()
            }
        };
        if primaries.is_empty() || primaries.len() > Self::MAX_ENCODINGS {
            return None;
        }
        let encodings = primaries
            .iter()
            .map(|&ssrc| Encoding {
                ssrc,
                rtx: rtx.get(&ssrc).copied(),
            })
            .collect();
        Some(Self {
            name,
            kind,
            video_type,
            encodings,
        })
    }
}

/// An endpoint to create.
#[derive(Debug, Clone)]
pub struct EndpointSpec {
    /// Its id, unique within the conference.
    pub id: EndpointId,
    /// A name for statistics.
    pub stats_id: Option<String>,
    /// It accepts rewritten SSRCs and source maps (capability `ssrc-rewriting`).
    pub ssrc_rewriting: bool,
    /// It is told of all who may be heard before they are (capability `sound-ahead`).
    pub sound_ahead: bool,
    /// It may be given private addresses as candidates (capability `private-address-connectivity`).
    pub private_addresses: bool,
    /// It only watches: no sources of its own, no messages to others.
    pub visitor: bool,
    /// Payload types of all media.
    pub payload_types: Vec<PayloadType>,
    /// Header extensions of all media.
    pub header_extensions: Vec<HeaderExtension>,
    /// Number of video sources to forward until the endpoint asks otherwise; -1 for no limit.
    pub initial_last_n: Option<i32>,
    /// The bridge channel is an SCTP data channel.
    pub sctp: bool,
    /// The bridge is the controlling ICE agent.
    pub ice_controlling: bool,
    /// Sources known from the start.
    pub sources: Vec<Source>,
}

impl EndpointSpec {
    /// An endpoint with nothing negotiated.
    pub fn new(id: EndpointId) -> Self {
        Self {
            id,
            stats_id: None,
            ssrc_rewriting: false,
            sound_ahead: false,
            private_addresses: true,
            visitor: false,
            payload_types: Vec::new(),
            header_extensions: Vec::new(),
            initial_last_n: None,
            sctp: true,
            ice_controlling: true,
            sources: Vec::new(),
        }
    }
}

/// A relay to create: the way to another bridge that has people of the same conference.
#[derive(Debug, Clone)]
pub struct RelaySpec {
    /// What the other bridge is called.
    pub id: RelayId,
    /// The mesh of bridges it belongs to: they all have relays to each other, and pass on nothing among themselves.
    pub mesh: Option<String>,
    /// Payload types of all media.
    pub payload_types: Vec<PayloadType>,
    /// Header extensions of all media.
    pub header_extensions: Vec<HeaderExtension>,
    /// The channel between the bridges is an SCTP data channel, which this one opens or waits for.
    pub sctp: Option<RelayChannel>,
    /// This bridge is the controlling ICE agent.
    pub ice_controlling: bool,
    /// Addresses of this relay alone; empty: it shares those of the endpoints.
    pub addresses: Vec<SocketAddr>,
}

/// Who opens the data channel of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayChannel {
    /// This bridge.
    Opened,
    /// The other one.
    Awaited,
}

/// A change of an endpoint; `None` leaves things as they are.
#[derive(Debug, Clone, Default)]
pub struct EndpointUpdate {
    /// The peer's ICE and DTLS parameters.
    pub remote: Option<rtc::RemoteParameters>,
    /// All sources of the endpoint, replacing the earlier set.
    pub sources: Option<Vec<Source>>,
    /// Drop all its audio.
    pub force_mute_audio: Option<bool>,
    /// Drop all its video.
    pub force_mute_video: Option<bool>,
    /// Replaces the payload types.
    pub payload_types: Option<Vec<PayloadType>>,
    /// Replaces the header extensions.
    pub header_extensions: Option<Vec<HeaderExtension>>,
    /// Last-N until the client names its own.
    pub initial_last_n: Option<i32>,
    /// Begin an ICE restart; the answer carries the new local credentials.
    pub ice_restart: bool,
}

/// The limit for one video source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceConstraint {
    /// Greatest height (the smaller dimension) in pixels; 0 for nothing, -1 for no limit.
    pub max_height: i32,
    /// Greatest frame rate; 0 for nothing, negative for no limit.
    pub max_frame_rate: f64,
}

impl SourceConstraint {
    /// A limit on the height alone.
    pub const fn height(max_height: i32) -> Self {
        Self {
            max_height,
            max_frame_rate: -1.0,
        }
    }
}

/// What a receiver wants of the others' video; groups that are `None` keep their value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReceiverConstraints {
    /// Number of video sources, -1 for no limit.
    pub last_n: Option<i32>,
    /// Preferred sources, most wanted first.
    pub selected_sources: Option<Vec<SourceName>>,
    /// Sources on stage, preferred to all others.
    pub on_stage_sources: Option<Vec<SourceName>>,
    /// The limit for sources not named in `constraints`.
    pub default_constraint: Option<SourceConstraint>,
    /// Limits by source.
    pub constraints: Option<Vec<(SourceName, SourceConstraint)>>,
    /// Bandwidth to assume instead of an estimate, bits per second; negative for none.
    pub assumed_bandwidth: Option<i64>,
}

/// Which audio sources a receiver wants; `exclude` beats `include` beats `all`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Everything that is not excluded.
    pub all: bool,
    /// Wanted by name.
    pub include: Vec<SourceName>,
    /// Unwanted by name.
    pub exclude: Vec<SourceName>,
}

impl Default for Subscription {
    fn default() -> Self {
        Self {
            all: true,
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

/// How bridge-channel text travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelPath {
    /// The SCTP data channel of the endpoint's transport.
    Data,
    /// A WebSocket held by the host.
    WebSocket,
}
