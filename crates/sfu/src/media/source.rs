//! A published source: its encodings as received, and who takes it.

use super::ids::{EndpointId, SourceName};
use super::key_frames::{KeyFrames, KeySign};
use super::loudness::Loudness;
use super::offsets::Offsets;
use super::receive::ReceiveStream;
use super::spec::{MediaKind, Source as Spec, VideoType};
use super::store::Codec;
use smallvec::SmallVec;

/// Heights assumed until a key frame tells the truth.
const ASSUMED_HEIGHTS: [u16; Spec::MAX_ENCODINGS] = [180, 360, 720, 1080];
/// Key frame requests to a sender are at least this far apart, microseconds.
pub(crate) const KEYFRAME_INTERVAL: u64 = 300_000;

/// One encoding as received.
#[derive(Debug)]
pub(crate) struct EncodingState {
    pub(crate) stream: ReceiveStream,
    /// The smaller dimension, pixels.
    pub(crate) height: u16,
    /// Packets came lately, as last looked at by the conference.
    pub(crate) active: bool,
    pub(crate) keys: KeyFrames,
}

impl EncodingState {
    pub(crate) fn new(ssrc: u32, index: usize, repair: bool) -> Self {
        Self {
            stream: ReceiveStream::new(ssrc, 90_000, repair),
            height: ASSUMED_HEIGHTS.get(index).copied().unwrap_or(1080),
            active: false,
            keys: KeyFrames::default(),
        }
    }

    /// Takes the height a key frame tells; whether it is news.
    pub(crate) fn learn_height(&mut self, codec: &Codec) -> bool {
        let size = match codec {
            Codec::Vp8(vp8) => vp8.size,
            Codec::Vp9(vp9) => vp9.structure.and_then(|s| {
                s.sizes?
                    .get(usize::from(s.spatial_layers).checked_sub(1)?)
                    .copied()
            }),
            Codec::H264 | Codec::Av1 | Codec::Opaque => None,
        };
        let Some((width, height)) = size else {
            return false;
        };
        let height = width.min(height);
        std::mem::replace(&mut self.height, height) != height
    }
}

/// A request for a key frame, merged for all who want one.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct KeyframeRequest {
    /// Somebody waits.
    pub(crate) wanted: bool,
    /// When the sender was last asked.
    pub(crate) asked_at: Option<u64>,
}

impl KeyframeRequest {
    /// Whether to ask the sender now; if so it counts as asked.
    pub(crate) fn due(&mut self, now: u64) -> bool {
        let due = self.wanted
            && self
                .asked_at
                .is_none_or(|t| now.saturating_sub(t) >= KEYFRAME_INTERVAL);
        if due {
            self.wanted = false;
            self.asked_at = Some(now);
        }
        due
    }
}

/// Video of a source.
#[derive(Debug)]
pub(crate) struct Video {
    pub(crate) video_type: VideoType,
    pub(crate) encodings: SmallVec<[EncodingState; 3]>,
    /// Receivers that take it now: endpoint index and slot index.
    pub(crate) takers: Vec<(usize, usize)>,
    pub(crate) keyframe: KeyframeRequest,
    /// What the sender was last told (`SenderSourceConstraints`).
    pub(crate) told_height: Option<i32>,
}

/// Audio of a source.
#[derive(Debug)]
pub(crate) struct Audio {
    pub(crate) stream: ReceiveStream,
    /// Closes the gaps that dropped silence leaves.
    pub(crate) offsets: Option<Offsets>,
    /// Silent packets passed in a row.
    pub(crate) silent: u8,
    pub(crate) loudness: Loudness,
}

/// Audio or video.
#[derive(Debug)]
pub(crate) enum Media {
    Audio(Box<Audio>),
    Video(Box<Video>),
}

/// A source of an endpoint.
#[derive(Debug)]
pub(crate) struct SourceState {
    pub(crate) name: SourceName,
    /// Endpoint index.
    pub(crate) owner: usize,
    pub(crate) owner_id: EndpointId,
    pub(crate) spec: Spec,
    pub(crate) media: Media,
}

impl SourceState {
    pub(crate) fn new(
        owner: usize,
        owner_id: EndpointId,
        spec: Spec,
        video_type: VideoType,
        repair: bool,
    ) -> Self {
        let media = match spec.kind {
            MediaKind::Audio => {
                let ssrc = spec.encodings.first().map_or(0, |e| e.ssrc);
                let stream = ReceiveStream::new(ssrc, 48_000, false);
                Media::Audio(Box::new(Audio {
                    stream,
                    offsets: None,
                    silent: 0,
                    loudness: Loudness::default(),
                }))
            }
            MediaKind::Video => {
                let encodings = spec.encodings.iter().enumerate();
                let encodings = encodings
                    .map(|(i, e)| EncodingState::new(e.ssrc, i, repair))
                    .collect();
                let keyframe = KeyframeRequest::default();
                let takers = Vec::new();
                Media::Video(Box::new(Video {
                    video_type,
                    encodings,
                    takers,
                    keyframe,
                    told_height: None,
                }))
            }
        };
        Self {
            name: spec.name.clone(),
            owner,
            owner_id,
            spec,
            media,
        }
    }

    pub(crate) fn video(&self) -> Option<&Video> {
        match &self.media {
            Media::Video(v) => Some(v),
            Media::Audio(_) => None,
        }
    }

    pub(crate) fn video_mut(&mut self) -> Option<&mut Video> {
        match &mut self.media {
            Media::Video(v) => Some(v),
            Media::Audio(_) => None,
        }
    }
}

/// What a codec says of a payload: properties, and what it tells of a key frame.
pub(crate) fn inspect(
    codec: PayloadCodec,
    payload: &[u8],
    descriptor: Option<&[u8]>,
) -> Option<(Codec, KeySign)> {
    let start = |starts| {
        if starts {
            KeySign::Start
        } else {
            KeySign::None
        }
    };
    Some(match codec {
        PayloadCodec::Vp8 => {
            let vp8 = rtp::vp8::Vp8::parse(payload).ok()?;
            (Codec::Vp8(vp8), start(vp8.key_frame))
        }
        PayloadCodec::Vp9 => {
            let vp9 = rtp::vp9::Vp9::parse(payload).ok()?;
            let key = vp9.key_frame() && vp9.start_of_frame && vp9.spatial_id == 0;
            (Codec::Vp9(vp9), start(key))
        }
        PayloadCodec::H264 => {
            let contents = rtp::h264::contents(payload);
            let sign = match (contents.parameters, contents.idr) {
                (true, _) if contents.slice => KeySign::Start,
                (true, _) => KeySign::Parameters,
                (false, true) => KeySign::Inside,
                (false, false) => KeySign::None,
            };
            (Codec::H264, sign)
        }
        PayloadCodec::Av1 => {
            // AV1 RTP specification, appendix A.8.2: a structure follows the mandatory fields of a key frame's first
            // packet. Senders without the descriptor tell by the payload.
            let structure = descriptor.is_some_and(|d| d.get(3).is_some_and(|b| b & 0x80 != 0));
            (
                Codec::Av1,
                start(structure || rtp::obu::starts_sequence(payload)),
            )
        }
        PayloadCodec::Other => (Codec::Opaque, KeySign::Start),
    })
}

/// Codecs that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadCodec {
    Vp8,
    Vp9,
    H264,
    Av1,
    Other,
}
