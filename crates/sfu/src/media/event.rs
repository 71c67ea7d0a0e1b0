//! What the media plane tells control and host.

use super::exchange::Text;
use super::ids::{ConferenceId, EndpointId, RelayId, SourceName};
use super::spec::VideoType;

/// One line of a source map: which source a local SSRC now carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMapEntry {
    /// The source.
    pub source: SourceName,
    /// Its endpoint.
    pub owner: EndpointId,
    /// The SSRC the receiver sees.
    pub ssrc: u32,
    /// The SSRC of retransmissions; video only.
    pub rtx: Option<u32>,
    /// What a video source shows; `None` for audio.
    pub video_type: Option<VideoType>,
}

/// Something a client is to be told on its bridge channel.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ChannelNotice {
    /// The greatest height anybody wants of one of the client's own sources; -1 for no limit.
    SenderSourceConstraints {
        /// The client's source.
        source: SourceName,
        /// Height in pixels.
        max_height: i32,
    },
    /// The complete list of video sources being forwarded to the client.
    ForwardedSources(Vec<SourceName>),
    /// New or changed lines of the video source map.
    VideoSourcesMap(Vec<SourceMapEntry>),
    /// New or changed lines of the audio source map.
    AudioSourcesMap(Vec<SourceMapEntry>),
    /// Who speaks, and who spoke before, most recent first.
    DominantSpeaker {
        /// The dominant speaker.
        speaker: EndpointId,
        /// Earlier ones.
        previous: Vec<EndpointId>,
        /// Nobody speaks right now.
        silence: bool,
    },
    /// Media of an endpoint stopped or came back.
    Connectivity {
        /// The endpoint.
        endpoint: EndpointId,
        /// Whether something is received from it.
        active: bool,
    },
    /// The estimated bandwidth towards the client, bits per second.
    ConnectionStats {
        /// Bits per second.
        estimated_downlink: u64,
    },
}

/// Something another bridge is to be told on the channel to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayNotice {
    /// The greatest height anybody wants here of a source behind it; 0 for nothing, -1 for no limit.
    Demand {
        /// The source.
        source: SourceName,
        /// Height in pixels.
        max_height: i32,
    },
    /// What a source shows that it does not have itself.
    Shows {
        /// The source.
        source: SourceName,
        /// Its endpoint.
        owner: EndpointId,
        /// What it shows.
        video_type: VideoType,
    },
    /// Media of an endpoint stopped or came back.
    Connectivity {
        /// The endpoint.
        endpoint: EndpointId,
        /// Whether something is received from it.
        active: bool,
    },
    /// A message of an endpoint for people of it.
    Text(Text),
}

/// What happened in a shard.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The data channel of an endpoint opened; control calls [`super::Shard::channel_opened`].
    ChannelOpen {
        /// Conference.
        conference: ConferenceId,
        /// Endpoint.
        endpoint: EndpointId,
    },
    /// Text arrived on the data channel of an endpoint.
    ChannelText {
        /// Conference.
        conference: ConferenceId,
        /// Endpoint.
        endpoint: EndpointId,
        /// One JSON object.
        text: String,
    },
    /// Tell the client something.
    Notice {
        /// Conference.
        conference: ConferenceId,
        /// The client.
        endpoint: EndpointId,
        /// What.
        notice: ChannelNotice,
    },
    /// Tell all clients of a conference the same.
    Broadcast {
        /// Conference.
        conference: ConferenceId,
        /// What.
        notice: ChannelNotice,
    },
    /// An endpoint of another part of a conference has a message for clients of this one.
    Text {
        /// Conference.
        conference: ConferenceId,
        /// What, and for whom.
        text: Text,
    },
    /// ICE and DTLS of an endpoint are up: media can flow.
    Connected {
        /// Conference.
        conference: ConferenceId,
        /// Endpoint.
        endpoint: EndpointId,
    },
    /// The transport of an endpoint failed for good.
    TransportFailed {
        /// Conference.
        conference: ConferenceId,
        /// Endpoint.
        endpoint: EndpointId,
        /// Why, for the log.
        reason: String,
    },
    /// An endpoint is gone because nothing was heard of it for long.
    EndpointExpired {
        /// Conference.
        conference: ConferenceId,
        /// Endpoint.
        endpoint: EndpointId,
    },
    /// ICE and DTLS of a relay are up.
    RelayConnected {
        /// Conference.
        conference: ConferenceId,
        /// The other bridge.
        relay: RelayId,
    },
    /// The transport of a relay failed for good.
    RelayFailed {
        /// Conference.
        conference: ConferenceId,
        /// The other bridge.
        relay: RelayId,
        /// Why, for the log.
        reason: String,
    },
    /// The channel to another bridge opened; control calls [`super::Shard::relay_opened`].
    RelayChannelOpen {
        /// Conference.
        conference: ConferenceId,
        /// The other bridge.
        relay: RelayId,
    },
    /// Text of another bridge arrived.
    RelayText {
        /// Conference.
        conference: ConferenceId,
        /// The other bridge.
        relay: RelayId,
        /// One JSON object.
        text: String,
    },
    /// Tell another bridge something.
    RelayNotice {
        /// Conference.
        conference: ConferenceId,
        /// The other bridge.
        relay: RelayId,
        /// What.
        notice: RelayNotice,
    },
    /// A conference without endpoints was removed.
    ConferenceExpired {
        /// Conference.
        conference: ConferenceId,
    },
}
