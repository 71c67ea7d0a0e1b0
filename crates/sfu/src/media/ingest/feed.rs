//! A feed: one published source, whoever it comes from. It takes packets, keeps what receiving them needs, and says what
//! it can offer.

use super::audio::Audio;
use super::inspect::inspect;
use super::key_frames::{KeyFrames, KeySign};
use super::key_requests::KeyRequests;
use super::layers::{EncodingLayers, Layer};
use super::receive::{ClockPoint, ReceiveStream};
use super::taken::Taken;
use crate::media::context::Context;
use crate::media::ids::{EndpointId, SourceName};
use crate::media::negotiated::PayloadCodec;
use crate::media::packet::{Arrival, Arrived, Incoming, Published};
use crate::media::spec::{Encodings, MediaKind, Source as Spec, VideoType};
use crate::media::stats::{DropReason, Loss};
use rtp::RtpView;
use rtp::av1::Structure;
use rtp::rtcp::{ReportBlock, Writer};
use smallvec::SmallVec;

/// Heights assumed until a key frame tells the truth.
const ASSUMED_HEIGHTS: [u16; Spec::MAX_ENCODINGS] = [180, 360, 720, 1080];
/// The layers of a source, lowest first.
pub(crate) type Layers = SmallVec<[Layer; 4]>;

#[derive(Debug)]
struct EncodingState {
    stream: ReceiveStream,
    layers: EncodingLayers,
    /// What its newest key frame says of its layers in the dependency descriptor.
    structure: Option<Box<Structure>>,
    keys: KeyFrames,
    /// What came was dropped by order of the focus: nothing goes on before a key frame.
    closed: bool,
}

impl EncodingState {
    fn new(ssrc: u32, index: usize, repair: bool) -> Self {
        let height = ASSUMED_HEIGHTS.get(index).copied().unwrap_or(1080);
        Self {
            stream: ReceiveStream::new(ssrc, 90_000, repair),
            layers: EncodingLayers::new(index as u8, height),
            structure: None,
            keys: KeyFrames::default(),
            closed: false,
        }
    }
}

#[derive(Debug)]
struct Video {
    video_type: VideoType,
    encodings: SmallVec<[EncodingState; 3]>,
    /// Of the newest packet; 0 before the first.
    payload_type: u8,
    /// Key frames that its sender is asked for.
    requests: KeyRequests,
    /// A key frame came, and nobody was told of it yet.
    key_news: bool,
}

impl Video {
    fn new(video_type: VideoType, encodings: SmallVec<[EncodingState; 3]>) -> Self {
        Self {
            video_type,
            encodings,
            payload_type: 0,
            requests: KeyRequests::default(),
            key_news: false,
        }
    }
}

#[derive(Debug)]
enum Media {
    Audio(Box<Audio>),
    Video(Box<Video>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Feed {
    spec: Spec,
    owner: EndpointId,
    media: Media,
}

impl Feed {
    /// A source of an endpoint. `repair`: ask for what is missing.
    pub(crate) fn new(spec: Spec, owner: EndpointId, video_type: VideoType, repair: bool) -> Self {
        let media = match spec.kind {
            MediaKind::Audio => {
                let ssrc = spec.encodings.first().map_or(0, |e| e.ssrc);
                Media::Audio(Box::new(Audio::new(ssrc)))
            }
            MediaKind::Video => {
                let encodings = spec.encodings.iter().enumerate();
                let encodings = encodings.map(|(i, e)| EncodingState::new(e.ssrc, i, repair));
                Media::Video(Box::new(Video::new(video_type, encodings.collect())))
            }
        };
        Self { spec, owner, media }
    }

    pub(crate) fn name(&self) -> &SourceName {
        &self.spec.name
    }

    /// The endpoint it is named after.
    pub(crate) fn owner(&self) -> &EndpointId {
        &self.owner
    }

    pub(crate) fn kind(&self) -> MediaKind {
        self.spec.kind
    }

    /// As signalled.
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What its video shows; `None` for audio.
    pub(crate) fn video_type(&self) -> Option<VideoType> {
        self.video().map(|v| v.video_type)
    }

    /// Sets what its video shows; whether it has video.
    pub(crate) fn set_video_type(&mut self, video_type: VideoType) -> bool {
        let video = self.video_mut();
        video.map(|v| v.video_type = video_type).is_some()
    }

    /// The payload type of its newest packet of video; 0 before the first.
    pub(crate) fn payload_type(&self) -> u8 {
        self.video().map_or(0, |v| v.payload_type)
    }

    /// The layers of its video.
    pub(crate) fn layers(&self, now: u64) -> Layers {
        let encodings = self.video().map(|v| v.encodings.iter());
        let layers = encodings.into_iter().flatten().map(|e| e.layers.get(now));
        layers.flatten().collect()
    }

    fn video(&self) -> Option<&Video> {
        match &self.media {
            Media::Video(v) => Some(v),
            Media::Audio(_) => None,
        }
    }

    fn video_mut(&mut self) -> Option<&mut Video> {
        match &mut self.media {
            Media::Video(v) => Some(v),
            Media::Audio(_) => None,
        }
    }

    fn encoding(&self, encoding: u8) -> Option<&EncodingState> {
        self.video()?.encodings.get(usize::from(encoding))
    }

    /// Takes a packet and stores it. `muted`: it is received, and goes no further.
    pub(crate) fn take(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &Incoming,
        packet: &[u8],
        muted: bool,
    ) -> Result<Taken, DropReason> {
        match (&mut self.media, incoming.kind) {
            (Media::Audio(audio), MediaKind::Audio) => audio.take(cx, incoming, packet, muted),
            (Media::Video(video), MediaKind::Video) => video.take(cx, incoming, packet, muted),
            _ => Err(DropReason::UnknownPayloadType),
        }
    }

    /// How loud its audio is now.
    pub(crate) fn loudness(&self, now: u64) -> u32 {
        match &self.media {
            Media::Audio(audio) => audio.loudness(now),
            Media::Video(_) => 0,
        }
    }

    /// Whether packets came lately.
    pub(crate) fn is_active(&self, now: u64) -> bool {
        match &self.media {
            Media::Audio(audio) => audio.stream().is_active(now),
            Media::Video(video) => video.encodings.iter().any(|e| e.stream.is_active(now)),
        }
    }

    /// Whether it sends something that is forwarded: silence is not.
    pub(crate) fn is_sending(&self, now: u64) -> bool {
        self.is_active(now) && !matches!(&self.media, Media::Audio(audio) if audio.is_silent())
    }

    /// Encodings of its video that come in.
    pub(crate) fn encodings_sent(&self, now: u64) -> usize {
        let encodings = self.video().into_iter().flat_map(|v| &v.encodings);
        encodings.filter(|e| e.stream.is_active(now)).count()
    }

    /// What was lost on the way here by the reports since the last call.
    pub(crate) fn take_loss(&mut self) -> Loss {
        let mut sum = Loss::default();
        match &mut self.media {
            Media::Audio(audio) => sum += audio.stream_mut().take_loss(),
            Media::Video(video) => {
                let encodings = video.encodings.iter_mut();
                encodings.for_each(|e| sum += e.stream.take_loss());
            }
        }
        sum
    }

    /// Notes encodings that stopped coming in; whether there are any.
    pub(crate) fn sweep(&mut self, now: u64) -> bool {
        let mut stopped = false;
        let Some(video) = self.video_mut() else {
            return false;
        };
        for encoding in &mut video.encodings {
            stopped |= encoding.layers.sweep(now);
        }
        if video.requests.is_on_trial() {
            let coming = video.coming(now);
            video.requests.judge(now, coming);
        }
        stopped
    }

    /// The newest key frame of an encoding and everything since, if it is not older than `max_age` microseconds and
    /// nothing is missing.
    pub(crate) fn replay(&self, encoding: u8, now: u64, max_age: u64) -> Option<&[Published]> {
        self.encoding(encoding)?.keys.replay(now, max_age)
    }

    /// From the newest key frame of an encoding on, gaps included.
    pub(crate) fn since_key(&self, encoding: u8) -> &[Published] {
        self.encoding(encoding).map_or(&[], |e| e.keys.since_key())
    }

    /// Somebody waits for a key frame of an encoding.
    pub(crate) fn want_key_frame(&mut self, encoding: u8) {
        self.want_key_frames(Encodings::one(encoding));
    }

    /// Somebody waits for key frames of encodings.
    pub(crate) fn want_key_frames(&mut self, encodings: Encodings) {
        let all = Encodings::first(self.spec.encodings.len());
        if let Some(video) = self.video_mut() {
            video.requests.want(encodings.and(all));
        }
    }

    /// Whether somebody waits for a key frame.
    pub(crate) fn is_key_frame_wanted(&self) -> bool {
        self.video().is_some_and(|v| v.requests.is_wanted())
    }

    /// The encodings that the sender is to be asked for a key frame of now; they count as asked.
    pub(crate) fn take_key_frames_due(&mut self, now: u64) -> Encodings {
        let video = self.video_mut();
        let video = video.filter(|v| v.requests.is_wanted());
        video.map_or_else(Encodings::default, |v| {
            let coming = v.coming(now);
            v.requests.take_due(now, coming)
        })
    }

    /// Whether a key frame of an encoding was asked for and may be expected.
    pub(crate) fn is_key_frame_under_way(&self, now: u64, encoding: u8) -> bool {
        let video = self.video();
        video.is_some_and(|v| v.requests.is_under_way(now, encoding))
    }

    /// The encodings of which a key frame came at most `age` microseconds ago, or may be expected.
    pub(crate) fn with_key_frame(&self, now: u64, age: u64) -> Encodings {
        let video = self.video();
        video.map_or_else(Encodings::default, |v| v.requests.fresh(now, age))
    }

    /// Whether a key frame came since this was asked last.
    pub(crate) fn take_key_news(&mut self) -> bool {
        let video = self.video_mut();
        video.is_some_and(|v| std::mem::take(&mut v.key_news))
    }

    /// Whether its sender makes key frames of one encoding alone.
    pub(crate) fn has_each_key_frame(&self) -> bool {
        self.video().is_some_and(|v| !v.requests.come_together())
    }

    /// When its sender may be asked for a key frame of an encoding since a line carries something else, or lost something.
    pub(crate) fn line_due(&self, now: u64, encoding: u8) -> u64 {
        self.video()
            .map_or(now, |v| v.requests.line_due(now, encoding))
    }

    /// It is asked for one on behalf of a line.
    pub(crate) fn asked_for_a_line(&mut self, now: u64, encoding: u8) {
        if let Some(video) = self.video_mut() {
            video.requests.asked_for_a_line(now, encoding);
        }
    }

    /// The encoding whose key frame serves who is to have `target`: that one, or the next one below that comes in.
    pub(crate) fn serving(&self, target: u8, now: u64) -> u8 {
        let below = (0..=target).rev().find(|e| self.comes_in(*e, now));
        below.unwrap_or(target)
    }

    /// Whether an encoding comes in.
    pub(crate) fn comes_in(&self, encoding: u8, now: u64) -> bool {
        self.encoding(encoding)
            .is_some_and(|e| e.layers.get(now).any(|layer| layer.active))
    }

    /// Notes what a sender report says of the clock of an encoding.
    pub(crate) fn set_clock(&mut self, encoding: u8, clock: ClockPoint) {
        match &mut self.media {
            Media::Audio(audio) => audio.stream_mut().clock = Some(clock),
            Media::Video(video) => {
                if let Some(e) = video.encodings.get_mut(usize::from(encoding)) {
                    e.stream.clock = Some(clock);
                }
            }
        }
    }

    /// The clock of an encoding, as its sender last said.
    pub(crate) fn clock(&self, encoding: u8) -> Option<ClockPoint> {
        match &self.media {
            Media::Audio(audio) => audio.stream().clock,
            Media::Video(_) => self.encoding(encoding)?.stream.clock,
        }
    }

    /// Whether packets are missing that can be asked for.
    pub(crate) fn has_missing(&self) -> bool {
        let mut encodings = self.video().into_iter().flat_map(|v| &v.encodings);
        encodings.any(|e| e.stream.has_missing())
    }

    /// Asks for what is missing, each packet again after `retry` microseconds; how many were asked for.
    pub(crate) fn write_nacks(
        &mut self,
        now: u64,
        retry: u64,
        feedback: u32,
        writer: &mut Writer<'_>,
    ) -> u64 {
        let mut asked = 0;
        let encodings = self.video_mut().into_iter().flat_map(|v| &mut v.encodings);
        for encoding in encodings.filter(|e| e.stream.has_missing()) {
            let lost = encoding.stream.nacks(now, retry);
            let written = writer.nack(feedback.into(), encoding.stream.ssrc.into(), &lost);
            asked += written.unwrap_or(0) as u64;
        }
        asked
    }

    /// Blocks for the next receiver report.
    pub(crate) fn reports(&mut self, now: u64, each: &mut impl FnMut(ReportBlock)) {
        match &mut self.media {
            Media::Audio(audio) => {
                let report = audio.stream_mut().report(now);
                report.into_iter().for_each(each);
            }
            Media::Video(video) => {
                let encodings = video.encodings.iter_mut();
                encodings
                    .filter_map(|e| e.stream.report(now))
                    .for_each(each);
            }
        }
    }
}

impl Video {
    /// The encodings that come in.
    fn coming(&self, now: u64) -> Encodings {
        let comes_in = |e: &EncodingState| e.layers.get(now).any(|layer| layer.active);
        let coming = self
            .encodings
            .iter()
            .enumerate()
            .filter(|(_, e)| comes_in(e));
        coming.map(|(at, _)| at as u8).collect()
    }

    fn take(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &Incoming,
        packet: &[u8],
        muted: bool,
    ) -> Result<Taken, DropReason> {
        let encoding = self
            .encodings
            .get_mut(usize::from(incoming.encoding))
            .ok_or(DropReason::UnknownSsrc)?;
        let header = incoming.record.header;
        let (number, timestamp) = (header.sequence_number, header.timestamp);
        let seq = encoding.stream.receive(
            cx.us,
            number,
            timestamp,
            packet.len(),
            incoming.retransmitted,
        )?;
        let mut arrived = Arrived {
            feed: incoming.feed,
            encoding: incoming.encoding,
            what: Arrival::Gap,
            packet: Published {
                seq,
                timestamp,
                id: cx.store.newest(),
            },
            marker: false,
            nth: 0,
        };
        if header.payload_len == 0 {
            cx.stats.drop(DropReason::Padding);
            return Ok(Taken::one(arrived));
        }
        let mut record = incoming.record;
        let (at, len) = record.descriptor;
        let (at, len) = (usize::from(at), usize::from(len));
        let descriptor = packet.get(at..at + len).filter(|d| !d.is_empty());
        let payload = RtpView::new(packet, header);
        let (codec, sign) = inspect(
            incoming.codec,
            payload.payload(),
            descriptor,
            &mut encoding.structure,
        )
        .ok_or(DropReason::BadPayload)?;
        if muted || encoding.closed && sign == KeySign::None {
            // Nor is it replayed.
            if !std::mem::replace(&mut encoding.closed, true) {
                encoding.keys = KeyFrames::default();
            }
            if !muted {
                self.requests.want(Encodings::one(incoming.encoding));
            }
            cx.stats.drop(DropReason::ForceMuted);
            return Ok(Taken::one(arrived));
        }
        encoding.closed = false;
        if incoming.codec != PayloadCodec::Av1 {
            // The descriptor's frame numbers would contradict a rewritten stream.
            record.descriptor = (0, 0);
        }
        record.codec = codec;
        self.payload_type = header.payload_type;
        arrived.packet.id = cx
            .store
            .insert(packet, record)
            .ok_or(DropReason::Oversized)?;
        let key = encoding.keys.note(cx.us, arrived.packet, sign);
        let of_key = encoding.keys.is_of_key_frame(timestamp);
        let mut layers_changed = encoding.layers.note(cx.us, &codec, packet.len(), of_key);
        if key {
            self.key_news = true;
            self.requests.came(cx.us, incoming.encoding);
            cx.stats.keyframes_received += 1;
            layers_changed |= encoding.layers.learn(&codec, encoding.structure.as_deref());
        }
        arrived.what = Arrival::Video { key };
        arrived.marker = header.marker;
        Ok(Taken {
            layers_changed,
            ..Taken::one(arrived)
        })
    }
}
