//! A published source: its encodings as received, and who takes it.

use super::ids::{EndpointId, SourceName};
use super::offsets::Offsets;
use super::receive::ReceiveStream;
use super::slot::Published;
use super::spec::{MediaKind, Source as Spec, VideoType};
use super::store::Codec;
use smallvec::SmallVec;

/// Heights assumed until a key frame tells the truth.
const ASSUMED_HEIGHTS: [u16; Spec::MAX_ENCODINGS] = [180, 360, 720, 1080];
/// Longest list of packets since a key frame that can be replayed.
const MAX_SINCE_KEY: usize = 600;
/// Longest list that is worth replaying instead of asking for a new key frame.
const MAX_REPLAY: usize = 250;
/// Key frame requests to a sender are at least this far apart, microseconds.
pub(crate) const KEYFRAME_INTERVAL: u64 = 300_000;

/// Unwraps picture ids of 7 or 15 bits; 0 is "none".
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    highest: Option<u64>,
}

impl Pictures {
    pub(crate) fn unwrap(&mut self, id: u16, long: bool) -> u64 {
        let size: u64 = if long { 1 << 15 } else { 1 << 7 };
        let Some(highest) = self.highest else {
            let first = size + u64::from(id);
            self.highest = Some(first);
            return first;
        };
        let delta = u64::from(id).wrapping_sub(highest) % size;
        let value = if delta < size / 2 {
            highest + delta
        } else {
            (highest + delta).saturating_sub(size)
        };
        self.highest = Some(highest.max(value));
        value
    }
}

/// One encoding as received.
#[derive(Debug)]
pub(crate) struct EncodingState {
    pub(crate) stream: ReceiveStream,
    /// The smaller dimension, pixels.
    pub(crate) height: u16,
    pub(crate) pictures: Pictures,
    /// Packets came lately, as last looked at by the conference.
    pub(crate) active: bool,
    /// From the newest key frame on, in order of numbers.
    since_key: Vec<Published>,
    /// Arrival of the newest key frame.
    pub(crate) key_arrival: Option<u64>,
}

impl EncodingState {
    pub(crate) fn new(ssrc: u32, index: usize, repair: bool) -> Self {
        Self {
            stream: ReceiveStream::new(ssrc, 90_000, repair),
            height: ASSUMED_HEIGHTS.get(index).copied().unwrap_or(1080),
            pictures: Pictures::default(),
            active: false,
            since_key: Vec::new(),
            key_arrival: None,
        }
    }

    /// Notes a packet for replay. `key`: it starts a key frame. Returns whether it is the newest key frame's start.
    pub(crate) fn note(&mut self, now: u64, packet: Published, key: bool) -> bool {
        if key && self.since_key.first().is_none_or(|f| packet.seq > f.seq) {
            // What came before is of no use; what came early stays.
            self.since_key.retain(|p| p.seq > packet.seq);
            self.since_key.insert(0, packet);
            self.key_arrival = Some(now);
            return true;
        }
        match self.since_key.first() {
            // Before any key frame: packets that overtook its first one.
            None => self.since_key.push(packet),
            Some(_) if self.since_key.len() >= MAX_SINCE_KEY => {
                self.since_key.clear();
                self.key_arrival = None;
            }
            Some(first) if packet.seq < first.seq && self.key_arrival.is_some() => {}
            Some(_) => {
                let at = self
                    .since_key
                    .iter()
                    .rposition(|p| p.seq < packet.seq)
                    .map_or(0, |i| i + 1);
                self.since_key.insert(at, packet);
            }
        }
        false
    }

    /// The key frame that began at most `max_age` microseconds ago and everything since, if there is no gap up to the
    /// newest packet.
    pub(crate) fn replay(&self, now: u64, max_age: u64) -> Option<&[Published]> {
        let arrival = self.key_arrival?;
        let (first, last) = self.since_key.first().zip(self.since_key.last())?;
        let whole = last.seq - first.seq + 1 == self.since_key.len() as u64
            && self.since_key.len() <= MAX_REPLAY;
        (whole && now.saturating_sub(arrival) <= max_age).then_some(&self.since_key)
    }

    /// From the newest key frame on, gaps included.
    pub(crate) fn since_key(&self) -> &[Published] {
        if self.key_arrival.is_some() {
            &self.since_key
        } else {
            &[]
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
            Codec::Opaque => None,
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

/// What a codec says of a payload: properties, and whether the packet starts a key frame.
pub(crate) fn inspect(
    codec: PayloadCodec,
    payload: &[u8],
    descriptor: Option<&[u8]>,
) -> Option<(Codec, bool)> {
    Some(match codec {
        PayloadCodec::Vp8 => {
            let vp8 = rtp::vp8::Vp8::parse(payload).ok()?;
            (Codec::Vp8(vp8), vp8.key_frame)
        }
        PayloadCodec::Vp9 => {
            let vp9 = rtp::vp9::Vp9::parse(payload).ok()?;
            (
                Codec::Vp9(vp9),
                vp9.key_frame() && vp9.start_of_frame && vp9.spatial_id == 0,
            )
        }
        PayloadCodec::H264 => (Codec::Opaque, rtp::h264::starts_key_frame(payload)),
        // AV1 RTP specification, appendix A.8.2: a structure follows the mandatory fields of a key frame's first packet.
        PayloadCodec::Av1 => (
            Codec::Opaque,
            descriptor.is_some_and(|d| d.get(3).is_some_and(|b| b & 0x80 != 0)),
        ),
        PayloadCodec::Other => (Codec::Opaque, true),
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
