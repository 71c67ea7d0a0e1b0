//! Colibri2 and channel types to and from the plain types of the media plane.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use channel::{
    AudioMapping, AudioSourcesMap, BridgeMessage, ConnectionStats, ConnectivityStatus,
    DominantSpeaker, ForwardedSources, SenderSourceConstraints, VideoMapping, VideoSourcesMap,
};
use rtc::{Candidate, Fingerprint};
use stanza::colibri2::{Media, MediaSource};
use stanza::media as wire;

use crate::media::{
    ChannelNotice, FeedbackSources, HeaderExtension, LocalParameters, MediaKind, PayloadType,
    ReceiverConstraints, RemoteParameters, Source, SourceConstraint, SourceMapEntry, SourceName,
    SsrcGroup, Subscription, VideoType,
};

/// Most candidates of a peer that are read.
const MAX_CANDIDATES: usize = 32;
/// Most fingerprints of a peer that are read.
const MAX_FINGERPRINTS: usize = 8;
/// Longest SCTP INIT that is read, as text.
const LONGEST_INIT: usize = 1_400;
/// Most source names a receiver's message is read for; the rest is ignored.
const MAX_NAMES: usize = 4096;

fn kind(media: wire::MediaType) -> MediaKind {
    match media {
        wire::MediaType::Audio => MediaKind::Audio,
        wire::MediaType::Video => MediaKind::Video,
    }
}

pub(super) fn media(media: &[Media]) -> (Vec<PayloadType>, Vec<HeaderExtension>) {
    let mut extensions: Vec<HeaderExtension> = Vec::new();
    let mut payload_types = Vec::new();
    for part in media {
        for pt in &part.payload_types {
            payload_types.push(PayloadType {
                id: pt.id,
                kind: kind(part.media),
                name: pt.name.clone(),
                clock_rate: pt.clockrate,
                parameters: pt
                    .parameters
                    .iter()
                    .map(|p| (p.name.clone(), p.value.clone()))
                    .collect(),
                feedback: pt
                    .rtcp_fb
                    .iter()
                    .map(|fb| (fb.kind.clone(), fb.subtype.clone().unwrap_or_default()))
                    .collect(),
            });
        }
        for ext in &part.hdr_exts {
            let extension = HeaderExtension {
                id: ext.id,
                uri: ext.uri.clone(),
            };
            if !extensions.contains(&extension) {
                extensions.push(extension);
            }
        }
    }
    (payload_types, extensions)
}

/// Sources without a usable name or SSRC are left out.
pub(super) fn sources(sources: &[MediaSource]) -> Vec<Source> {
    sources
        .iter()
        .filter_map(|source| {
            let name = SourceName::new(&source.id)?;
            let video_type = source
                .sources
                .iter()
                .find_map(|s| s.video_type.as_deref())
                .and_then(channel::VideoType::from_name)
                .map_or(VideoType::Camera, plain_video_type);
            let ssrcs: Vec<u32> = source.sources.iter().map(|s| s.ssrc).collect();
            let groups: Vec<SsrcGroup> = source
                .groups
                .iter()
                .map(|g| SsrcGroup {
                    semantics: g.semantics.clone(),
                    ssrcs: g.ssrcs.clone(),
                })
                .collect();
            Source::from_groups(name, kind(source.media), video_type, &ssrcs, &groups)
        })
        .collect()
}

pub(super) fn feedback_sources(own: FeedbackSources) -> Vec<MediaSource> {
    let one = |media, name: &str, ssrc| MediaSource {
        media,
        id: name.to_owned(),
        synthetic: false,
        sources: vec![wire::Source {
            ssrc,
            name: Some(name.to_owned()),
            ..wire::Source::default()
        }],
        groups: Vec::new(),
    };
    vec![
        one(wire::MediaType::Audio, "jvb-a0", own.audio),
        one(wire::MediaType::Video, "jvb-v0", own.video),
    ]
}

/// Our side of a transport. `restart`: it answers a wish to restart ICE, and says which restart this is.
pub(super) fn local(local: &LocalParameters, restart: bool) -> wire::IceTransport {
    let tcp = |c: &Candidate| rtc::is_tcp(&c.addr);
    let candidates = local
        .candidates
        .iter()
        .enumerate()
        .map(|(index, c)| wire::Candidate {
            // Opaque; unique within what the peer sees of this transport.
            id: format!("{}{index}", local.ufrag),
            foundation: c.foundation.clone(),
            component: 1,
            protocol: if tcp(c) { "tcp" } else { "udp" }.to_owned(),
            priority: c.priority,
            ip: c.addr.ip().to_canonical().to_string(),
            port: c.addr.port(),
            kind: c.kind.as_str().to_owned(),
            related: c
                .related
                .map(|r| (r.ip().to_canonical().to_string(), r.port())),
            tcptype: tcp(c).then(|| "passive".to_owned()),
            ..wire::Candidate::default()
        })
        .collect();
    wire::IceTransport {
        ufrag: Some(local.ufrag.clone()),
        pwd: Some(local.pwd.clone()),
        ice_generation: local
            .generation
            .filter(|_| restart)
            .map(|g| i32::try_from(g).unwrap_or(i32::MAX)),
        rtcp_mux: true,
        sped: true,
        sctp_init: local.sctp_init.map(|init| BASE64.encode(init.to_bytes())),
        fingerprints: vec![wire::Fingerprint {
            hash: local.fingerprint.hash_name().to_owned(),
            setup: wire::Setup::from_name(local.setup.as_str()),
            cryptex: false,
            value: local.fingerprint.to_string(),
        }],
        candidates,
        web_sockets: Vec::new(),
    }
}

/// The peer's side. What cannot be used (TCP, host names, unknown hash functions) is left out.
pub(super) fn remote(ice: &wire::IceTransport) -> RemoteParameters {
    let address = |ip: &str, port: u16| Some(SocketAddr::new(ip.parse().ok()?, port));
    RemoteParameters {
        credentials: ice.ufrag.clone().zip(ice.pwd.clone()),
        generation: ice.ice_generation.and_then(|g| u32::try_from(g).ok()),
        candidates: ice
            .candidates
            .iter()
            .filter(|c| c.protocol == "udp" && c.component == 1)
            .take(MAX_CANDIDATES)
            .filter_map(|c| {
                Some(Candidate {
                    kind: c.kind.parse().ok()?,
                    addr: address(&c.ip, c.port)?,
                    related: c.related.as_ref().and_then(|(ip, port)| address(ip, *port)),
                    priority: c.priority,
                    foundation: c.foundation.clone(),
                })
            })
            .collect(),
        fingerprints: ice
            .fingerprints
            .iter()
            .take(MAX_FINGERPRINTS)
            .filter_map(|f| Fingerprint::parse(&f.hash, &f.value).ok())
            .collect(),
        setup: ice
            .fingerprints
            .first()
            .and_then(|f| f.setup)
            .and_then(|s| s.name().parse().ok()),
        sctp_init: ice
            .sctp_init
            .as_ref()
            .filter(|text| text.len() <= LONGEST_INIT)
            .and_then(|text| BASE64.decode(text).ok())
            .and_then(|bytes| rtc::SctpInit::parse(&bytes)),
    }
}

pub(super) fn plain_video_type(kind: channel::VideoType) -> VideoType {
    match kind {
        channel::VideoType::Camera => VideoType::Camera,
        channel::VideoType::Desktop => VideoType::Desktop,
        channel::VideoType::DesktopHighFps => VideoType::DesktopHighFps,
        channel::VideoType::Disabled => VideoType::Disabled,
    }
}

pub(super) fn wire_video_type(kind: VideoType) -> channel::VideoType {
    match kind {
        VideoType::Camera => channel::VideoType::Camera,
        VideoType::Desktop => channel::VideoType::Desktop,
        VideoType::DesktopHighFps => channel::VideoType::DesktopHighFps,
        VideoType::Disabled => channel::VideoType::Disabled,
    }
}

fn names(list: Vec<String>) -> Vec<SourceName> {
    list.iter()
        .take(MAX_NAMES)
        .filter_map(|n| SourceName::new(n))
        .collect()
}

fn constraint(c: channel::VideoConstraints) -> SourceConstraint {
    SourceConstraint {
        max_height: c.max_height,
        max_frame_rate: c.max_frame_rate,
    }
}

pub(super) fn constraints(c: channel::ReceiverVideoConstraints) -> ReceiverConstraints {
    ReceiverConstraints {
        last_n: c.last_n,
        selected_sources: c.selected_sources.map(names),
        on_stage_sources: c.on_stage_sources.map(names),
        default_constraint: c.default_constraints.map(constraint),
        constraints: c.constraints.map(|map| {
            map.into_iter()
                .take(MAX_NAMES)
                .filter_map(|(name, c)| Some((SourceName::new(&name)?, constraint(c))))
                .collect()
        }),
        assumed_bandwidth: c.assumed_bandwidth_bps,
    }
}

pub(super) fn subscription(s: channel::AudioSubscription) -> Subscription {
    Subscription {
        all: s.all,
        include: names(s.include),
        exclude: names(s.exclude),
    }
}

fn text(names: &[SourceName]) -> Vec<String> {
    names.iter().map(|n| n.as_str().to_owned()).collect()
}

fn video_mapping(entry: SourceMapEntry) -> VideoMapping {
    VideoMapping {
        source: entry.source.as_str().to_owned(),
        owner: entry.owner.as_str().to_owned(),
        ssrc: entry.ssrc,
        rtx: entry.rtx.unwrap_or(0),
        video_type: wire_video_type(entry.video_type.unwrap_or_default()),
        mid: None,
    }
}

fn audio_mapping(entry: SourceMapEntry) -> AudioMapping {
    AudioMapping {
        source: entry.source.as_str().to_owned(),
        owner: entry.owner.as_str().to_owned(),
        ssrc: entry.ssrc,
        mid: None,
    }
}

/// The message for a notice; `None` for a notice that has none.
pub(super) fn notice(notice: ChannelNotice) -> Option<BridgeMessage> {
    Some(match notice {
        ChannelNotice::SenderSourceConstraints { source, max_height } => {
            BridgeMessage::SenderSourceConstraints(SenderSourceConstraints {
                source_name: source.as_str().to_owned(),
                max_height,
            })
        }
        ChannelNotice::ForwardedSources(sources) => {
            BridgeMessage::ForwardedSources(ForwardedSources {
                forwarded_sources: text(&sources),
            })
        }
        ChannelNotice::VideoSourcesMap(entries) => {
            BridgeMessage::VideoSourcesMap(VideoSourcesMap {
                mapped_sources: entries.into_iter().map(video_mapping).collect(),
            })
        }
        ChannelNotice::AudioSourcesMap(entries) => {
            BridgeMessage::AudioSourcesMap(AudioSourcesMap {
                mapped_sources: entries.into_iter().map(audio_mapping).collect(),
            })
        }
        ChannelNotice::DominantSpeaker {
            speaker,
            previous,
            silence,
        } => BridgeMessage::DominantSpeaker(DominantSpeaker {
            dominant_speaker_endpoint: speaker.as_str().to_owned(),
            previous_speakers: previous.iter().map(|e| e.as_str().to_owned()).collect(),
            silence,
        }),
        ChannelNotice::Connectivity { endpoint, active } => {
            BridgeMessage::ConnectivityStatus(ConnectivityStatus {
                endpoint: endpoint.as_str().to_owned(),
                active,
            })
        }
        ChannelNotice::ConnectionStats { estimated_downlink } => {
            BridgeMessage::ConnectionStats(ConnectionStats {
                estimated_downlink_bandwidth: estimated_downlink,
            })
        }
    })
}
