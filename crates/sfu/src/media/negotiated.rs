//! What was negotiated with an endpoint: payload types, header extensions, feedback.

use super::spec::{HeaderExtension, MediaKind, PayloadType};

const URI_AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const URI_TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const URI_ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
const URI_ORIENTATION: &str = "urn:3gpp:video-orientation";
const URI_DESCRIPTOR: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// What a payload type means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Media of a kind; the payload type of its retransmissions, if any.
    Media {
        kind: MediaKind,
        codec: PayloadCodec,
        rtx: Option<u8>,
    },
    /// Retransmissions of another payload type.
    Rtx { apt: u8 },
}

/// What was negotiated with an endpoint.
#[derive(Debug)]
pub(crate) struct Negotiated {
    payloads: [Option<Payload>; 128],
    pub(crate) audio_level: Option<u8>,
    pub(crate) transport_cc: Option<u8>,
    /// Audio carries transport-wide numbers too.
    pub(crate) audio_transport_cc: bool,
    pub(crate) abs_send_time: Option<u8>,
    /// It takes estimates of what its path carries (`goog-remb`).
    remb: bool,
    pub(crate) orientation: Option<u8>,
    pub(crate) descriptor: Option<u8>,
    pub(crate) nack: bool,
    pub(crate) pli: bool,
    /// Payload type of redundant audio (RFC 2198), if it is taken.
    pub(crate) red: Option<u8>,
    audio: bool,
    video: bool,
}

impl Negotiated {
    pub(crate) fn new(payload_types: &[PayloadType], extensions: &[HeaderExtension]) -> Self {
        let id = |uri: &str| {
            extensions
                .iter()
                .find(|e| e.uri == uri)
                .map(|e| e.id)
                .filter(|id| *id != 0)
        };
        let feedback =
            |kind: &str, sub: &str| payload_types.iter().any(|p| p.has_feedback(kind, sub));
        let mut payloads = [None; 128];
        for p in payload_types {
            if let Some(slot) = payloads.get_mut(usize::from(p.id)) {
                *slot = Self::payload(p, payload_types);
            }
        }
        let takes = |wanted: MediaKind| {
            let mut all = payloads.iter().flatten();
            all.any(|p| matches!(p, Payload::Media { kind, .. } if *kind == wanted))
        };
        let red = payloads.iter().position(|p| {
            let redundant = |codec: &PayloadCodec| *codec == PayloadCodec::Red;
            matches!(p, Some(Payload::Media { codec, .. }) if redundant(codec))
        });
        Self {
            red: red.map(|id| id as u8),
            audio: takes(MediaKind::Audio),
            video: takes(MediaKind::Video),
            payloads,
            audio_level: id(URI_AUDIO_LEVEL),
            transport_cc: id(URI_TRANSPORT_CC).filter(|_| feedback("transport-cc", "")),
            audio_transport_cc: payload_types
                .iter()
                .any(|p| p.kind == MediaKind::Audio && p.has_feedback("transport-cc", "")),
            abs_send_time: id(URI_ABS_SEND_TIME),
            remb: feedback("goog-remb", ""),
            orientation: id(URI_ORIENTATION),
            descriptor: id(URI_DESCRIPTOR),
            nack: feedback("nack", ""),
            pli: feedback("nack", "pli"),
        }
    }

    fn payload(p: &PayloadType, all: &[PayloadType]) -> Option<Payload> {
        if p.name.eq_ignore_ascii_case("rtx") {
            let apt = p.parameter("apt")?.parse().ok().filter(|n| *n < 128)?;
            return Some(Payload::Rtx { apt });
        }
        let names = [
            ("vp8", PayloadCodec::Vp8),
            ("vp9", PayloadCodec::Vp9),
            ("h264", PayloadCodec::H264),
            ("av1", PayloadCodec::Av1),
            ("opus", PayloadCodec::Opus),
            ("red", PayloadCodec::Red),
        ];
        let audio = |codec| matches!(codec, PayloadCodec::Opus | PayloadCodec::Red);
        let codec = names
            .iter()
            .find(|(n, codec)| {
                p.name.eq_ignore_ascii_case(n) && audio(*codec) == (p.kind == MediaKind::Audio)
            })
            .map_or(PayloadCodec::Other, |n| n.1);
        let own = p.id.to_string();
        let rtx = all.iter().find(|r| {
            r.name.eq_ignore_ascii_case("rtx") && r.parameter("apt") == Some(own.as_str())
        });
        Some(Payload::Media {
            kind: p.kind,
            codec,
            rtx: rtx.map(|r| r.id),
        })
    }

    /// Whether it has to be told what its path carries, and its packets say what is needed for that: whoever gets feedback
    /// on single packets knows better.
    pub(crate) fn wants_estimates(&self) -> bool {
        self.remb && self.transport_cc.is_none() && self.abs_send_time.is_some()
    }

    pub(crate) fn payload_type(&self, id: u8) -> Option<Payload> {
        self.payloads.get(usize::from(id)).copied().flatten()
    }

    /// Whether any payload type of a kind was negotiated.
    pub(crate) fn takes(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
}

/// Codecs that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadCodec {
    Vp8,
    Vp9,
    H264,
    Av1,
    Opus,
    /// Redundant Opus (RFC 2198).
    Red,
    Other,
}
