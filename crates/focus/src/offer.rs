//! What the focus offers to clients: codecs, feedback, header extensions, in the order clients know.
//!
//! Payload type numbers and extension ids are the same for everybody, so that a bridge forwards without renumbering.
use stanza::colibri2::Media;
use stanza::jingle::{Content, Creator, Description, SctpMap};
use stanza::media::{HdrExt, IceTransport, MediaType, Parameter, PayloadType, RtcpFb};

use crate::features::Features;

/// Which codecs and extensions are offered. One set for all participants of all conferences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codecs {
    /// Offer AV1.
    pub av1: bool,
    /// Offer VP8.
    pub vp8: bool,
    /// Offer H.264.
    pub h264: bool,
    /// Offer VP9.
    pub vp9: bool,
    /// Offer redundant audio (RFC 2198), first, to clients that know it. Bridges undo it for the others.
    pub red: bool,
    /// Offer the `mid` header extension. Clients work without it.
    pub mid: bool,
}

impl Default for Codecs {
    fn default() -> Self {
        Self {
            av1: true,
            vp8: true,
            h264: true,
            vp9: true,
            red: true,
            mid: false,
        }
    }
}

const AUDIO_LEVEL: (u8, &str) = (1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level");
const ABS_SEND_TIME: (u8, &str) = (
    3,
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
);
const TRANSPORT_CC: (u8, &str) = (
    5,
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
);
const MID: (u8, &str) = (10, "urn:ietf:params:rtp-hdrext:sdes:mid");
const DEPENDENCY_DESCRIPTOR: (u8, &str) = (
    11,
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
);

/// Clients put the value into SDP as it is, so this one "parameter" is the whole line.
const H264_FORMAT: &str = "42e01f;level-asymmetry-allowed=1;packetization-mode=1;";

/// A parameter of libwebrtc's, described in its `docs/native-code/sdp-ext/fmtp-x-google-per-layer-pli.md`.
const EACH_KEY_FRAME: &str = "x-google-per-layer-pli";

fn parameter(name: &str, value: impl ToString) -> Parameter {
    Parameter {
        name: name.to_owned(),
        value: value.to_string(),
    }
}

fn feedback(kind: &str, subtype: Option<&str>) -> RtcpFb {
    RtcpFb {
        kind: kind.to_owned(),
        subtype: subtype.map(str::to_owned),
    }
}

fn loss_feedback() -> Vec<RtcpFb> {
    vec![
        feedback("ccm", Some("fir")),
        feedback("nack", None),
        feedback("nack", Some("pli")),
    ]
}

fn extensions(list: &[(bool, (u8, &str))]) -> Vec<HdrExt> {
    let wanted = list.iter().filter(|(wanted, _)| *wanted);
    wanted
        .map(|(_, (id, uri))| HdrExt {
            id: *id,
            uri: (*uri).to_owned(),
        })
        .collect()
}

fn payload(id: u8, name: &str, clockrate: u32) -> PayloadType {
    PayloadType {
        id,
        name: name.to_owned(),
        clockrate,
        channels: 0,
        parameters: Vec::new(),
        rtcp_fb: Vec::new(),
    }
}

/// The description of the audio content.
pub(crate) fn audio(codecs: &Codecs, features: Features) -> Description {
    let mut payload_types = Vec::new();
    if codecs.red && features.red {
        let mut red = payload(112, "red", 48_000);
        red.channels = 2;
        red.parameters.push(parameter("", "111/111"));
        payload_types.push(red);
    }
    let mut opus = payload(111, "opus", 48_000);
    opus.channels = 2;
    opus.parameters.push(parameter("minptime", 10));
    opus.parameters.push(parameter("useinbandfec", 1));
    if features.tcc {
        opus.rtcp_fb.push(feedback("transport-cc", None));
    }
    payload_types.push(opus);
    payload_types.push(payload(126, "telephone-event", 8000));
    Description {
        media: Some("audio".to_owned()),
        maxptime: Some(60),
        payload_types,
        hdr_exts: extensions(&[
            (true, AUDIO_LEVEL),
            (codecs.mid, MID),
            (features.tcc, TRANSPORT_CC),
        ]),
        extmap_allow_mixed: true,
        rtcp_mux: true,
        ..Description::default()
    }
}

/// The description of the video content.
pub(crate) fn video(codecs: &Codecs, features: Features) -> Description {
    let mut rtcp_fb = loss_feedback();
    if features.tcc {
        rtcp_fb.push(feedback("transport-cc", None));
    } else if features.remb {
        rtcp_fb.push(feedback("goog-remb", None));
    }
    let codec = |id: u8, name: &str| PayloadType {
        rtcp_fb: rtcp_fb.clone(),
        ..payload(id, name, 90_000)
    };
    let rtx = |id: u8, of: u8| {
        let mut rtx = payload(id, "rtx", 90_000);
        rtx.parameters.push(parameter("apt", of));
        rtx
    };
    let mut payload_types = Vec::new();
    let mut retransmissions = Vec::new();
    if codecs.av1 {
        payload_types.push(codec(41, "AV1"));
        retransmissions.push(PayloadType {
            rtcp_fb: loss_feedback(),
            ..rtx(42, 41)
        });
    }
    if codecs.vp8 {
        payload_types.push(codec(100, "VP8"));
        retransmissions.push(PayloadType {
            rtcp_fb: loss_feedback(),
            ..rtx(96, 100)
        });
    }
    if codecs.h264 {
        let mut h264 = codec(107, "H264");
        h264.parameters
            .push(parameter("profile-level-id", H264_FORMAT));
        payload_types.push(h264);
    }
    if codecs.vp9 {
        payload_types.push(codec(101, "VP9"));
        retransmissions.push(PayloadType {
            rtcp_fb: loss_feedback(),
            ..rtx(97, 101)
        });
    }
    if codecs.h264 {
        retransmissions.push(rtx(99, 107));
    }
    if features.rtx {
        payload_types.extend(retransmissions);
    }
    Description {
        media: Some("video".to_owned()),
        payload_types,
        hdr_exts: extensions(&[
            (codecs.av1 || codecs.vp9, DEPENDENCY_DESCRIPTOR),
            (codecs.mid, MID),
            (true, ABS_SEND_TIME),
            (features.tcc, TRANSPORT_CC),
        ]),
        extmap_allow_mixed: true,
        rtcp_mux: true,
        ..Description::default()
    }
}

/// What the bridge is told of the codecs: the same as the client, before it answers.
pub(crate) fn colibri_media(codecs: &Codecs, features: Features) -> Vec<Media> {
    let media = |media: MediaType, description: Description| Media {
        media,
        payload_types: description.payload_types,
        hdr_exts: description.hdr_exts,
        extmap_allow_mixed: description.extmap_allow_mixed,
    };
    let video = features
        .video
        .then(|| media(MediaType::Video, video(codecs, features)));
    let audio = features
        .audio
        .then(|| media(MediaType::Audio, audio(codecs, features)));
    video.into_iter().chain(audio).collect()
}

/// The contents of an offer, each with the whole transport. `sctp_port`: the bridge waits for a data channel there.
pub(crate) fn contents(
    codecs: &Codecs,
    features: Features,
    transport: &IceTransport,
    sctp_port: Option<u16>,
) -> Vec<Content> {
    let mut transport = transport.clone();
    transport.rtcp_mux = true;
    let content = |name: &str, description: Description| Content {
        creator: Some(Creator::Initiator),
        name: name.to_owned(),
        senders: Some("both".to_owned()),
        description: Some(description),
        transport: Some(transport.clone()),
        ..Content::default()
    };
    let audio = features
        .audio
        .then(|| content("audio", audio(codecs, features)));
    let video = features
        .video
        .then(|| content("video", video(codecs, features)));
    let data = sctp_port.map(|number| {
        let media = Some("application".to_owned());
        let description = Description {
            media,
            rtcp_mux: true,
            ..Description::default()
        };
        let protocol = "webrtc-datachannel".to_owned();
        Content {
            sctp: Some(SctpMap {
                number,
                protocol,
                streams: 1024,
            }),
            ..content("data", description)
        }
    });
    audio.into_iter().chain(video).chain(data).collect()
}

/// Tells browsers that whoever asks for a key frame means the encoding whose SSRC it names, and no other. Only for bridges
/// that do: the others name one encoding and wait for key frames of all.
pub(crate) fn ask_for_each_key_frame(contents: &mut [Content]) {
    let descriptions = contents.iter_mut().filter_map(|c| c.description.as_mut());
    for payload in descriptions.flat_map(|d| &mut d.payload_types) {
        match payload.name.as_str() {
            "VP8" => payload.parameters.push(parameter(EACH_KEY_FRAME, 1)),
            "H264" => {
                // The one that is the whole line.
                if let Some(format) = payload.parameters.first_mut() {
                    format.value += &format!("{EACH_KEY_FRAME}=1;");
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Features {
        Features {
            ssrc_rewriting: true,
            json_sources: true,
            ..Features::ASSUMED
        }
    }

    fn ids(description: &Description) -> Vec<u8> {
        description.payload_types.iter().map(|pt| pt.id).collect()
    }

    #[test]
    fn order_of_video_payload_types_and_extensions() {
        let video = video(&Codecs::default(), all());
        assert_eq!(ids(&video), [41, 100, 107, 101, 42, 96, 97, 99]);
        assert_eq!(
            video.hdr_exts.iter().map(|e| e.id).collect::<Vec<_>>(),
            [11, 3, 5]
        );
        let fb = |id: u8| {
            let pt = video.payload_types.iter().find(|pt| pt.id == id).unwrap();
            pt.rtcp_fb
                .iter()
                .map(|fb| fb.kind.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(fb(100), ["ccm", "nack", "nack", "transport-cc"]);
        assert_eq!(fb(96), ["ccm", "nack", "nack"]);
        assert!(fb(99).is_empty());
    }

    #[test]
    fn a_client_without_retransmission_or_transport_cc() {
        let features = Features {
            rtx: false,
            tcc: false,
            remb: true,
            ..all()
        };
        let video = video(&Codecs::default(), features);
        assert_eq!(ids(&video), [41, 100, 107, 101]);
        assert!(
            video
                .payload_types
                .iter()
                .all(|pt| pt.has_fb("goog-remb", None))
        );
        assert_eq!(
            video.hdr_exts.iter().map(|e| e.id).collect::<Vec<_>>(),
            [11, 3]
        );
    }

    #[test]
    fn redundant_audio_only_where_both_want_it() {
        let codecs = Codecs::default();
        let without = Codecs {
            red: false,
            ..Codecs::default()
        };
        let red = Features { red: true, ..all() };
        assert_eq!(ids(&audio(&without, red)), [111, 126]);
        assert_eq!(ids(&audio(&codecs, all())), [111, 126]);
        let description = audio(&codecs, red);
        assert_eq!(ids(&description), [112, 111, 126]);
        assert_eq!(
            description
                .payload_types
                .first()
                .and_then(|red| red.parameter("")),
            Some("111/111")
        );
    }

    #[test]
    fn key_frames_are_asked_for_encoding_by_encoding_of_codecs_with_several_ssrcs() {
        let (codecs, transport) = (Codecs::default(), IceTransport::default());
        let mut contents = contents(&codecs, all(), &transport, None);
        ask_for_each_key_frame(&mut contents);
        let format = |name: &str| {
            let mut all = contents.iter().filter_map(|c| c.description.as_ref());
            let mut all = all.by_ref().flat_map(|d| &d.payload_types);
            let parameters = &all.find(|pt| pt.name == name).unwrap().parameters;
            let parameters = parameters.iter().map(|p| format!("{}={}", p.name, p.value));
            parameters.collect::<Vec<_>>()
        };
        assert_eq!(format("VP8"), ["x-google-per-layer-pli=1"]);
        assert_eq!(
            format("H264"),
            [
                "profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1;x-google-per-layer-pli=1;"
            ]
        );
        assert!(format("VP9").is_empty() && format("AV1").is_empty());
        assert_eq!(format("opus"), ["minptime=10", "useinbandfec=1"]);
    }

    #[test]
    fn an_audio_only_client_gets_no_video() {
        let contents = contents(
            &Codecs::default(),
            Features {
                video: false,
                ..all()
            },
            &IceTransport::default(),
            None,
        );
        assert_eq!(
            contents.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
            ["audio"]
        );
    }
}
