//! Colibri2 and channel types to and from the plain types of the media plane.

use channel::{
    AudioMapping, AudioSourcesMap, BridgeMessage, ConnectionStats, ConnectivityStatus,
    DominantSpeaker, ForwardedSources, SenderSourceConstraints, VideoMapping, VideoSourcesMap,
};
use stanza::colibri2::{Media, MediaSource};
use stanza::media as wire;

use crate::media::{
    ChannelNotice, FeedbackSources, HeaderExtension, LocalParameters, MediaKind, PayloadType,
    ReceiverConstraints, RemoteParameters, Source, SourceConstraint, SourceMapEntry, SourceName,
    SsrcGroup, Subscription, VideoType,
};

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

pub(super) fn local(local: &LocalParameters) -> wire::IceTransport {
    wire::IceTransport {
        ufrag: Some(local.ufrag.clone()),
        pwd: Some(local.pwd.clone()),
        rtcp_mux: true,
        ..wire::IceTransport::default()
    }
}

pub(super) fn remote(ice: &wire::IceTransport) -> RemoteParameters {
    RemoteParameters {
        ufrag: ice.ufrag.clone().unwrap_or_default(),
        pwd: ice.pwd.clone().unwrap_or_default(),
        candidates: Vec::new(),
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

fn wire_video_type(kind: VideoType) -> channel::VideoType {
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
