//! Synthetic media: VP8 frames that carry their own number and time of sending, and Opus packets.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Bytes of payload in a packet, at most.
const PACKET: usize = 1_100;
/// Bytes of the payload descriptor we write: all extensions, 15-bit picture id.
const DESCRIPTOR: usize = 6;
const MAGIC: &[u8; 4] = b"frm!";
/// Bytes of an audio packet's payload.
const AUDIO: usize = 80;
/// Interval of audio packets.
pub(crate) const AUDIO_INTERVAL: Duration = Duration::from_millis(20);

/// One simulcast layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Height in pixels, as a receiver's constraints name it.
    pub height: u16,
    /// Bits a second.
    pub bitrate: u32,
}

/// What video a bot sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSpec {
    /// Layers, lowest first; at most three.
    pub layers: Vec<Layer>,
    /// Frames a second.
    pub frame_rate: u32,
    /// Three temporal layers of each, as browsers make of VP8 if asked to, and key frames as large as theirs.
    pub temporal: bool,
}

impl Default for VideoSpec {
    /// Three layers as a browser sends of a 720p camera; every frame needs the one before.
    fn default() -> Self {
        let layer = |height, bitrate| Layer { height, bitrate };
        Self {
            layers: vec![
                layer(180, 200_000),
                layer(360, 500_000),
                layer(720, 1_500_000),
            ],
            frame_rate: 30,
            temporal: false,
        }
    }
}

/// Where a frame stands among temporal layers, and its size.
#[derive(Debug, Clone, Copy)]
struct Place {
    layer: u8,
    /// It needs no frame of its layer from before (the Y bit).
    sync: bool,
    /// Tenths of the mean size of a frame.
    size: usize,
}

impl Place {
    const KEY: usize = 20;
    /// What browsers make of a still camera.
    const LARGE_KEY: usize = 100;
    const ALONE: Self = Self::of(0, true, 10);
    /// The pattern of libvpx for three layers (RFC 7741 §4.2 has its bits).
    const PATTERN: [Self; 4] = [
        Self::of(0, false, 16),
        Self::of(2, true, 8),
        Self::of(1, true, 8),
        Self::of(2, false, 8),
    ];

    const fn of(layer: u8, sync: bool, size: usize) -> Self {
        Self { layer, sync, size }
    }
}

/// One encoded frame of one layer, as packets.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) layer: usize,
    pub(crate) timestamp: u32,
    pub(crate) packets: Vec<Vec<u8>>,
}

/// A camera and its encoder.
#[derive(Debug)]
pub(crate) struct Camera {
    spec: VideoSpec,
    /// Frames a second.
    frame_rate: u32,
    started: Instant,
    next_at: Instant,
    /// Frames of the camera so far.
    frame: u32,
    picture_ids: Vec<u16>,
    tl0: Vec<u8>,
    /// Frames of each layer since its key frame.
    since_key: Vec<usize>,
    key_wanted: Vec<bool>,
    /// Highest layer that anybody wants; `None`: no video at all.
    top: Option<usize>,
}

impl Camera {
    pub(crate) fn new(spec: VideoSpec, now: Instant) -> Self {
        let layers = spec.layers.len();
        Self {
            frame_rate: spec.frame_rate.max(1),
            started: now,
            next_at: now,
            frame: 0,
            picture_ids: (0..layers).map(|n| 1_000 * (n as u16 + 1)).collect(),
            tl0: vec![0; layers],
            since_key: vec![0; layers],
            key_wanted: vec![true; layers],
            top: layers.checked_sub(1),
            spec,
        }
    }

    /// Makes the next frame of a layer a key frame, or of every layer.
    pub(crate) fn request_key_frame(&mut self, layer: Option<usize>) {
        match layer.and_then(|layer| self.key_wanted.get_mut(layer)) {
            Some(wanted) => *wanted = true,
            None => self.key_wanted.fill(true),
        }
    }

    /// Sends no layer above the one this height needs; 0 sends nothing, negative sends everything.
    pub(crate) fn limit_height(&mut self, max_height: i32) {
        let layers = &self.spec.layers;
        let before = self.top;
        self.top = match max_height {
            0 => None,
            height if height < 0 => layers.len().checked_sub(1),
            height => layers
                .iter()
                .position(|l| i32::from(l.height) >= height)
                .or(layers.len().checked_sub(1)),
        };
        for layer in before.map_or(0, |top| top + 1)..self.top.map_or(0, |top| top + 1) {
            self.key_wanted[layer] = true;
        }
    }

    /// Captures this many frames a second from now on; their sizes stay.
    pub(crate) fn set_frame_rate(&mut self, frame_rate: u32) {
        self.frame_rate = frame_rate.max(1);
    }

    /// Frames captured so far.
    pub(crate) fn frames(&self) -> u32 {
        self.frame
    }

    /// When the next frame is due.
    pub(crate) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// The frames due now, one a layer. `stamp` goes into each of them, for measuring.
    pub(crate) fn capture(&mut self, now: Instant, stamp: u64) -> Vec<Frame> {
        if now < self.next_at {
            return Vec::new();
        }
        // Frames that were missed are left out; those of many cameras that were late do not coincide from then on.
        let interval = Duration::from_secs(1) / self.frame_rate;
        let late = now.duration_since(self.next_at).as_nanos() % interval.as_nanos().max(1);
        self.next_at = now + interval - Duration::from_nanos(late as u64);
        self.frame += 1;
        let ticks = now.duration_since(self.started).as_millis() as u64 * 90;
        let timestamp = (ticks as u32).wrapping_add(90_000);
        let top = self.top.map_or(0, |top| top + 1);
        (0..top)
            .map(|layer| Frame {
                layer,
                timestamp,
                packets: self.encode(layer, stamp),
            })
            .collect()
    }

    /// Where the next frame of a layer stands.
    fn place(&mut self, layer: usize, key: bool) -> Place {
        let since_key = &mut self.since_key[layer];
        *since_key = if key { 0 } else { *since_key + 1 };
        let place = match self.spec.temporal {
            true => Place::PATTERN[*since_key % Place::PATTERN.len()],
            false => Place::ALONE,
        };
        match (key, self.spec.temporal) {
            (true, true) => Place {
                size: Place::LARGE_KEY,
                ..place
            },
            (true, false) => Place {
                size: Place::KEY,
                ..place
            },
            (false, _) => place,
        }
    }

    fn encode(&mut self, layer: usize, stamp: u64) -> Vec<Vec<u8>> {
        let spec = self.spec.layers[layer];
        let key = std::mem::take(&mut self.key_wanted[layer]);
        let mean = spec.bitrate as usize / 8 / self.spec.frame_rate.max(1) as usize;
        let place = self.place(layer, key);
        let size = (mean * place.size / 10).max(64);
        self.picture_ids[layer] = (self.picture_ids[layer] + 1) & 0x7fff;
        self.tl0[layer] = self.tl0[layer].wrapping_add(u8::from(place.layer == 0));
        let body = frame_body(key, spec.height, self.frame, layer as u8, stamp, size);
        let id = self.picture_ids[layer];
        // Packets of a frame are as equal as can be, as browsers make them: the first ones are a byte longer.
        let count = body.len().div_ceil(PACKET - DESCRIPTOR);
        let (each, longer) = (body.len() / count, body.len() % count);
        let (long, short) = body.split_at(longer * (each + 1));
        long.chunks(each + 1)
            .chain(short.chunks(each))
            .enumerate()
            .map(|(n, chunk)| {
                let mut packet = Vec::with_capacity(DESCRIPTOR + chunk.len());
                packet.push(0x80 | if n == 0 { 0x10 } else { 0 });
                packet.push(0xe0);
                packet.extend_from_slice(&(0x8000 | id).to_be_bytes());
                packet.push(self.tl0[layer]);
                packet.push(place.layer << 6 | u8::from(place.sync) << 5);
                packet.extend_from_slice(chunk);
                packet
            })
            .collect()
    }
}

fn frame_body(key: bool, height: u16, frame: u32, layer: u8, stamp: u64, size: usize) -> Vec<u8> {
    let mut body = vec![u8::from(!key) | 0x10, 0, 0];
    if key {
        body.extend_from_slice(&[0x9d, 0x01, 0x2a]);
        body.extend_from_slice(&(height * 16 / 9).to_le_bytes());
        body.extend_from_slice(&height.to_le_bytes());
    }
    body.extend_from_slice(MAGIC);
    body.extend_from_slice(&frame.to_be_bytes());
    body.push(layer);
    body.extend_from_slice(&clock().to_be_bytes());
    body.extend_from_slice(&stamp.to_be_bytes());
    body.resize(size.max(body.len()), 0xa5);
    body
}

/// Tells the clock of this process from those of others, whose stamps mean nothing here.
fn clock() -> u32 {
    static CLOCK: OnceLock<u32> = OnceLock::new();
    // Of no generator: in a simulation, whoever draws first would have other numbers than the rest after it. Where the
    // program lies in memory differs from start to start.
    let name =
        || std::process::id().rotate_left(16) ^ (std::ptr::from_ref(&CLOCK).addr() >> 12) as u32;
    *CLOCK.get_or_init(name)
}

/// An Opus packet that carries the time of its sending.
pub(crate) fn voice(stamp: u64) -> Vec<u8> {
    let mut payload = vec![0x78; AUDIO];
    payload[1..5].copy_from_slice(MAGIC);
    payload[5..9].copy_from_slice(&clock().to_be_bytes());
    payload[9..17].copy_from_slice(&stamp.to_be_bytes());
    payload
}

/// When [`voice`] made this packet, if it did so in this process.
pub(crate) fn voice_stamp(payload: &[u8]) -> Option<u64> {
    let rest = payload.get(1..17)?.strip_prefix(MAGIC)?;
    let stamp = rest.strip_prefix(clock().to_be_bytes().as_slice())?;
    Some(u64::from_be_bytes(stamp.try_into().ok()?))
}

/// What a received VP8 packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PacketInfo {
    /// First packet of its frame.
    pub(crate) start: bool,
    pub(crate) picture_id: Option<u16>,
    /// In the first packet: what the frame says of itself.
    pub(crate) head: Option<FrameHead>,
}

/// What a synthetic frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) key: bool,
    pub(crate) frame: u32,
    pub(crate) layer: u8,
    /// When it was captured, if this process did.
    pub(crate) stamp: Option<u64>,
}

/// Reads a VP8 payload (RFC 7741 §4.2); `None` if it is cut short.
pub(crate) fn read_packet(payload: &[u8]) -> Option<PacketInfo> {
    let first = *payload.first()?;
    let mut at = 1;
    let mut picture_id = None;
    if first & 0x80 != 0 {
        let flags = *payload.get(at)?;
        at += 1;
        if flags & 0x80 != 0 {
            let high = *payload.get(at)?;
            if high & 0x80 != 0 {
                let low = *payload.get(at + 1)?;
                picture_id = Some(u16::from(high & 0x7f) << 8 | u16::from(low));
                at += 2;
            } else {
                picture_id = Some(u16::from(high));
                at += 1;
            }
        }
        at += usize::from(flags & 0x40 != 0) + usize::from(flags & 0x30 != 0);
    }
    let start = first & 0x10 != 0 && first & 0x07 == 0;
    Some(PacketInfo {
        start,
        picture_id,
        head: payload.get(at..).filter(|_| start).and_then(read_head),
    })
}

fn read_head(body: &[u8]) -> Option<FrameHead> {
    let key = body.first()? & 1 == 0;
    let at = if key { 10 } else { 3 };
    let head = body.get(at..at + 21)?;
    let rest = head.strip_prefix(MAGIC)?;
    let ours = *rest.get(5..9)? == clock().to_be_bytes();
    let stamp = u64::from_be_bytes(rest.get(9..17)?.try_into().ok()?);
    Some(FrameHead {
        key,
        frame: u32::from_be_bytes(rest.get(..4)?.try_into().ok()?),
        layer: *rest.get(4)?,
        stamp: ours.then_some(stamp),
    })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some first instant")]
mod tests {
    use super::*;

    #[test]
    fn frames_can_be_read_back() {
        let now = Instant::now();
        let mut camera = Camera::new(VideoSpec::default(), now);
        let frames = camera.capture(now, 77);
        assert_eq!(frames.len(), 3);
        let top = &frames[2];
        assert!(top.packets.len() > 5);
        let info = read_packet(&top.packets[0]).unwrap();
        assert_eq!(
            info.head,
            Some(FrameHead {
                key: true,
                frame: 1,
                layer: 2,
                stamp: Some(77)
            })
        );
        assert!(!read_packet(&top.packets[1]).unwrap().start);
        assert!(camera.capture(now, 0).is_empty(), "one frame an interval");
    }

    #[test]
    fn packets_of_a_frame_are_equal_but_for_a_byte() {
        let now = Instant::now();
        let mut camera = Camera::new(VideoSpec::default(), now);
        let frames = camera.capture(now, 0);
        for frame in frames {
            let lengths = frame.packets.iter().map(Vec::len);
            let (shortest, longest) = (lengths.clone().min(), lengths.max());
            assert!(longest.unwrap() - shortest.unwrap() <= 1);
            assert!(longest.unwrap() <= PACKET);
        }
        assert_eq!(voice_stamp(&voice(77)), Some(77));
    }

    #[test]
    fn three_temporal_layers_take_what_all_frames_alike_take() {
        let now = Instant::now();
        let spec = VideoSpec {
            temporal: true,
            ..VideoSpec::default()
        };
        let mut camera = Camera::new(spec, now);
        let mut sizes = [0; 3];
        for n in 0..41 {
            let at = now + Duration::from_millis(34 * n);
            let frame = camera.capture(at, 0).swap_remove(0);
            let layer = usize::from(frame.packets[0][5] >> 6);
            assert_eq!(layer, [0, 2, 1, 2][n as usize % 4]);
            let size: usize = frame.packets.iter().map(|p| p.len() - DESCRIPTOR).sum();
            sizes[layer] += if n == 0 { 0 } else { size };
        }
        let mean = 200_000 / 8 / 30;
        let all = 40 * mean;
        assert!(
            sizes.iter().sum::<usize>().abs_diff(all) < all / 20,
            "{sizes:?}"
        );
        assert!(sizes[0].abs_diff(all * 4 / 10) < all / 20, "{sizes:?}");
    }

    #[test]
    fn layers_nobody_wants_are_off_and_come_back_with_a_key_frame() {
        let now = Instant::now();
        let mut camera = Camera::new(VideoSpec::default(), now);
        camera.capture(now, 0);
        camera.limit_height(180);
        let later = now + Duration::from_secs(1);
        assert_eq!(camera.capture(later, 0).len(), 1);
        camera.limit_height(720);
        let frames = camera.capture(later + Duration::from_secs(1), 0);
        let key = |n: usize| {
            read_packet(&frames[n].packets[0])
                .unwrap()
                .head
                .unwrap()
                .key
        };
        assert_eq!([key(0), key(1), key(2)], [false, true, true]);
        camera.limit_height(0);
        assert!(camera.capture(later + Duration::from_secs(2), 0).is_empty());
    }
}
