//! Recordings of what Chromium sends (`tests/e2e/record.mjs` makes them), with the numbers that this test kit uses.

use super::support::{AV1, DESCRIPTOR, H264, VP8, VP9};
use rtp::RtpView;
use rtp::ext::Extension;

/// How a picture is put into packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Vp8,
    Vp9,
    Av1,
    H264,
}

impl Codec {
    fn payload_type(self) -> u8 {
        match self {
            Self::Vp8 => VP8,
            Self::Vp9 => VP9,
            Self::Av1 => AV1,
            Self::H264 => H264,
        }
    }
}

/// SSRC of the lowest encoding; the others follow.
pub(crate) const FIRST_SSRC: u32 = 1_010;
/// An encoding's RTX has this much more.
pub(crate) const RTX_APART: u32 = 50;

pub(crate) struct Recording {
    pub(crate) codec: Codec,
    pub(crate) encodings: usize,
    /// When each packet left, milliseconds, and the packet.
    pub(crate) packets: Vec<(u32, Vec<u8>)>,
}

impl Recording {
    /// The recording of a codec, by the name of its file.
    pub(crate) fn read(name: &str) -> Self {
        let path = format!("{}/tests/data/{name}.rtp", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(&path).unwrap();
        let end = file.iter().position(|byte| *byte == b'\n').unwrap();
        let head = std::str::from_utf8(&file[..end]).unwrap();
        let field = |key: &str| {
            let mut fields = head.split(' ').filter_map(|f| f.split_once('='));
            fields.find(|(k, _)| *k == key).unwrap().1
        };
        let codec = match field("codec") {
            "VP8" => Codec::Vp8,
            "VP9" => Codec::Vp9,
            "AV1" => Codec::Av1,
            _ => Codec::H264,
        };
        let descriptor: u8 = field("descriptor").parse().unwrap();
        let ssrcs: Vec<u32> = field("ssrcs")
            .split(',')
            .map(|s| s.parse().unwrap())
            .collect();
        let mut packets = Vec::new();
        let mut rest = &file[end + 1..];
        while let Some((head, tail)) = rest.split_at_checked(6) {
            let at = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let len = usize::from(u16::from_be_bytes([head[4], head[5]]));
            let (packet, tail) = tail.split_at(len);
            let view = RtpView::parse(packet).unwrap();
            let encoding = ssrcs.iter().position(|ssrc| *ssrc == view.ssrc.0).unwrap();
            if !view.payload().is_empty() {
                let ssrc = FIRST_SSRC + encoding as u32;
                packets.push((at, renumbered(codec, &view, descriptor, ssrc)));
            }
            rest = tail;
        }
        Self {
            codec,
            encodings: ssrcs.len(),
            packets,
        }
    }
}

/// The packet with our payload type and SSRC, and of its extensions the dependency descriptor alone.
fn renumbered(codec: Codec, view: &RtpView<'_>, descriptor: u8, ssrc: u32) -> Vec<u8> {
    let data = view.extension(descriptor);
    let elements = data.into_iter().map(|data| Extension {
        id: DESCRIPTOR,
        data,
    });
    let mut block = [0; 300];
    let len = rtp::ext::write_block(elements, &mut block).unwrap();
    let has_block = if len > 0 { 0x10 } else { 0 };
    let marker = if view.marker { 0x80 } else { 0 };
    let mut packet = vec![0x80 | has_block, marker | codec.payload_type()];
    packet.extend(view.sequence_number.to_be_bytes());
    packet.extend(view.timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(&block[..len]);
    packet.extend(view.payload());
    packet
}
