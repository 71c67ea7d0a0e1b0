//! What a Jingle offer says, and the answer to it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use stanza::jingle::{Action, Content, Creator, Description, Jingle, SctpMap};
use stanza::media::{IceTransport, Parameter, PayloadType, Source, SsrcGroup};

use crate::media::VideoSpec;

const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Payload types and header extensions the offer gives to what we speak.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Codecs {
    pub(crate) opus: u8,
    pub(crate) vp8: u8,
    pub(crate) vp8_rtx: Option<u8>,
    /// Who asks for a key frame means the layer whose SSRC it names, and no other.
    pub(crate) each_key_frame: bool,
    pub(crate) audio_level: Option<u8>,
    pub(crate) abs_send_time: Option<u8>,
    pub(crate) transport_cc: Option<u8>,
}

impl Codecs {
    /// Finds Opus and VP8 in an offer.
    pub(crate) fn of_offer(offer: &Jingle) -> Option<Self> {
        let description = |media: &str| {
            let content = offer.contents.iter().find(|c| c.media() == media)?;
            content.description.as_ref()
        };
        let (audio, video) = (description("audio")?, description("video")?);
        let named = |d: &Description, name: &str| {
            let of_name = |pt: &&PayloadType| pt.name.eq_ignore_ascii_case(name);
            d.payload_types.iter().find(of_name).map(|pt| pt.id)
        };
        let vp8 = named(video, "VP8")?;
        let each = |pt: &PayloadType| pt.parameter("x-google-per-layer-pli") == Some("1");
        let repairs = |pt: &&PayloadType| {
            pt.name.eq_ignore_ascii_case("rtx")
                && pt.parameter("apt") == Some(vp8.to_string().as_str())
        };
        let extension =
            |d: &Description, uri: &str| d.hdr_exts.iter().find(|e| e.uri == uri).map(|e| e.id);
        Some(Self {
            opus: named(audio, "opus")?,
            vp8,
            vp8_rtx: video.payload_types.iter().find(repairs).map(|pt| pt.id),
            each_key_frame: video
                .payload_types
                .iter()
                .any(|pt| pt.id == vp8 && each(pt)),
            audio_level: extension(audio, AUDIO_LEVEL),
            abs_send_time: extension(video, ABS_SEND_TIME),
            transport_cc: extension(video, TRANSPORT_CC),
        })
    }
}

/// The streams a bot sends.
#[derive(Debug, Clone)]
pub(crate) struct LocalSources {
    pub(crate) audio: u32,
    /// SSRC and RTX SSRC of each layer.
    pub(crate) video: Vec<(u32, u32)>,
}

impl LocalSources {
    pub(crate) fn new(video: Option<&VideoSpec>, rng: &mut ChaCha8Rng) -> Self {
        let mut ssrc = || rng.random_range(1..u32::MAX);
        Self {
            audio: ssrc(),
            video: (0..video.map_or(0, |v| v.layers.len()))
                .map(|_| (ssrc(), ssrc()))
                .collect(),
        }
    }

    fn audio_sources(&self, endpoint: &str) -> Vec<Source> {
        vec![Source {
            ssrc: self.audio,
            name: Some(format!("{endpoint}-a0")),
            parameters: msid(endpoint, "audio"),
            ..Source::default()
        }]
    }

    fn video_sources(&self, endpoint: &str) -> (Vec<Source>, Vec<SsrcGroup>) {
        let source = |ssrc| Source {
            ssrc,
            name: Some(format!("{endpoint}-v0")),
            video_type: Some("camera".into()),
            parameters: msid(endpoint, "video"),
            ..Source::default()
        };
        let group = |semantics: &str, ssrcs| SsrcGroup {
            semantics: semantics.into(),
            ssrcs,
        };
        let sources = self
            .video
            .iter()
            .flat_map(|(ssrc, rtx)| [source(*ssrc), source(*rtx)])
            .collect();
        let mut groups: Vec<_> = self
            .video
            .iter()
            .map(|(ssrc, rtx)| group("FID", vec![*ssrc, *rtx]))
            .collect();
        if self.video.len() > 1 {
            groups.insert(
                0,
                group("SIM", self.video.iter().map(|(ssrc, _)| *ssrc).collect()),
            );
        }
        (sources, groups)
    }
}

/// The media stream a source belongs to, as browsers name it.
fn msid(endpoint: &str, media: &str) -> Vec<Parameter> {
    vec![Parameter {
        name: "msid".into(),
        value: format!("{endpoint}-{media}-0-1 {endpoint}-{media}-track"),
    }]
}

/// The `session-accept` (or `transport-accept`) to an offer.
pub(crate) fn answer(
    action: Action,
    offer: &Jingle,
    responder: &str,
    endpoint: &str,
    codecs: &Codecs,
    sources: &LocalSources,
    transport: &IceTransport,
) -> Jingle {
    let content = |name: &str, description: Option<Description>, sctp: Option<SctpMap>| Content {
        creator: Some(Creator::Responder),
        name: name.into(),
        senders: Some("both".into()),
        description,
        transport: Some(transport.clone()),
        sctp,
        ..Content::default()
    };
    let described = |media: &str, wanted: &[Option<u8>]| {
        let offered = offer
            .contents
            .iter()
            .find(|c| c.media() == media)?
            .description
            .as_ref()?;
        let is_wanted = |pt: &&PayloadType| wanted.contains(&Some(pt.id));
        Some(Description {
            media: Some(media.into()),
            payload_types: offered
                .payload_types
                .iter()
                .filter(is_wanted)
                .cloned()
                .collect(),
            hdr_exts: offered.hdr_exts.clone(),
            rtcp_mux: true,
            ..Description::default()
        })
    };
    let mut audio = described("audio", &[Some(codecs.opus)]);
    if let Some(audio) = &mut audio {
        audio.sources = sources.audio_sources(endpoint);
    }
    let mut video = described("video", &[Some(codecs.vp8), codecs.vp8_rtx]);
    if let Some(video) = &mut video {
        (video.sources, video.groups) = sources.video_sources(endpoint);
    }
    let sctp = offer.contents.iter().find_map(|c| c.sctp.clone());
    let mut jingle = Jingle::new(action, &offer.sid);
    jingle.initiator.clone_from(&offer.initiator);
    jingle.responder = Some(responder.into());
    jingle.contents = vec![content("audio", audio, None), content("video", video, None)];
    if sctp.is_some() {
        jingle.contents.push(content("data", None, sctp));
    }
    jingle.bundle = Some(jingle.contents.iter().map(|c| c.name.clone()).collect());
    jingle
}
