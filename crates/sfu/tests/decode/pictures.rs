//! Packets to pictures as a decoder takes them, and what a decoder makes of them.

use super::recording::Codec;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A packet of a stream whose numbers do not wrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
}

/// Pictures from the first key frame on, each in the form its container takes, and how many packets were of no use: after a
/// gap all is left out up to the next key frame. Packets are in their order.
pub(crate) fn assemble(codec: Codec, packets: &[Packet]) -> (Vec<Vec<u8>>, usize) {
    let mut pictures = Vec::new();
    let mut useless = 0;
    let mut current: Vec<&Packet> = Vec::new();
    let mut waits = true;
    let mut last: Option<&Packet> = None;
    for packet in packets {
        let follows = last.is_some_and(|last| packet.seq == last.seq + 1);
        let begins = last.is_none_or(|last| last.timestamp != packet.timestamp);
        if !follows || begins && !current.is_empty() {
            // Something is missing, in the worst case the end of a picture.
            useless += current.len();
            current.clear();
            waits = true;
        }
        last = Some(packet);
        if waits && current.is_empty() && !begins_key_frame(codec, &packet.payload) {
            useless += 1;
            continue;
        }
        current.push(packet);
        if packet.marker {
            waits = false;
            let payloads = current.drain(..).map(|p| p.payload.as_slice());
            pictures.push(whole(codec, payloads));
        }
    }
    (pictures, useless)
}

/// Whether it is the first packet of a picture that needs no other.
fn begins_key_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => rtp::vp8::Vp8::parse(payload).unwrap().key_frame,
        Codec::Vp9 => {
            let vp9 = rtp::vp9::Vp9::parse(payload).unwrap();
            vp9.start_of_frame && !vp9.inter_picture_predicted && vp9.spatial_id == 0
        }
        // A coded video sequence begins (N bit).
        Codec::Av1 => payload[0] & 0x88 == 0x08,
        Codec::H264 => {
            let first = match payload[0] & 0x1F {
                24 => payload[3],
                _ => payload[0],
            };
            first & 0x1F == 7
        }
    }
}

fn whole<'a>(codec: Codec, payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    match codec {
        Codec::Vp8 => payloads
            .flat_map(|p| &p[usize::from(rtp::vp8::Vp8::parse(p).unwrap().len)..])
            .copied()
            .collect(),
        Codec::Vp9 => payloads
            .flat_map(|p| &p[usize::from(rtp::vp9::Vp9::parse(p).unwrap().len)..])
            .copied()
            .collect(),
        Codec::Av1 => temporal_unit(&obus(payloads), u8::MAX),
        Codec::H264 => annex_b(payloads),
    }
}

/// OBUs of a picture (AV1 RTP specification §4).
fn obus<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut list: Vec<Vec<u8>> = Vec::new();
    let mut open = false;
    for payload in payloads {
        let (head, mut rest) = (payload[0], &payload[1..]);
        let count = usize::from(head >> 4 & 3);
        let (continues, goes_on) = (head & 0x80 != 0, head & 0x40 != 0);
        assert_eq!(continues, open, "an OBU goes on where it ended");
        let mut n = 0;
        while !rest.is_empty() {
            n += 1;
            let len = if n == count {
                rest.len()
            } else {
                leb128(&mut rest)
            };
            let (element, tail) = rest.split_at(len);
            rest = tail;
            match list.last_mut().filter(|_| continues && n == 1) {
                Some(last) => last.extend(element),
                None => list.push(element.to_vec()),
            }
        }
        open = goes_on;
    }
    assert!(!open, "the last OBU of a picture ends");
    list
}

fn leb128(rest: &mut &[u8]) -> usize {
    let mut value = 0;
    let mut shift = 0;
    while let Some((byte, tail)) = rest.split_first() {
        *rest = tail;
        value |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// Spatial layer of an OBU, where it says so.
fn spatial_of(obu: &[u8]) -> u8 {
    if obu[0] & 4 != 0 { obu[1] >> 3 & 3 } else { 0 }
}

/// A temporal delimiter and the OBUs up to a spatial layer, each with its length.
fn temporal_unit(obus: &[Vec<u8>], spatial: u8) -> Vec<u8> {
    let mut unit = vec![0x12, 0];
    for obu in obus.iter().filter(|obu| spatial_of(obu) <= spatial) {
        let head = if obu[0] & 4 != 0 { 2 } else { 1 };
        assert_eq!(obu[0] & 2, 0, "no length of its own");
        unit.push(obu[0] | 2);
        unit.extend(&obu[1..head]);
        let mut len = obu.len() - head;
        while len >= 0x80 {
            unit.push(len as u8 | 0x80);
            len >>= 7;
        }
        unit.push(len as u8);
        unit.extend(&obu[head..]);
    }
    unit
}

fn annex_b<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    const START: [u8; 4] = [0, 0, 0, 1];
    let mut out = Vec::new();
    for payload in payloads {
        match payload[0] & 0x1F {
            24 => {
                let mut rest = &payload[1..];
                while let Some((len, tail)) = rest.split_at_checked(2) {
                    let (unit, tail) =
                        tail.split_at(usize::from(u16::from_be_bytes([len[0], len[1]])));
                    out.extend(START);
                    out.extend(unit);
                    rest = tail;
                }
            }
            28 => {
                if payload[1] & 0x80 != 0 {
                    out.extend(START);
                    out.push(payload[0] & 0xE0 | payload[1] & 0x1F);
                }
                out.extend(&payload[2..]);
            }
            _ => {
                out.extend(START);
                out.extend(payload);
            }
        }
    }
    out
}

/// A stream without the spatial layers above one: what a sender means by that layer.
pub(crate) fn up_to_layer(codec: Codec, packets: &[Packet], spatial: u8) -> Vec<Vec<u8>> {
    let mut pictures: Vec<Vec<u8>> = Vec::new();
    for picture in packets.chunk_by(|a, b| a.timestamp == b.timestamp) {
        let payloads = picture.iter().map(|p| p.payload.as_slice());
        pictures.push(match codec {
            Codec::Av1 => temporal_unit(&obus(payloads), spatial),
            Codec::Vp9 => {
                let layer = |p: &&[u8]| rtp::vp9::Vp9::parse(p).unwrap().spatial_id <= spatial;
                whole(codec, payloads.filter(layer))
            }
            _ => whole(codec, payloads),
        });
    }
    pictures
}

/// What a real decoder makes of the pictures: a digest of each, in order. Panics if it finds fault with anything.
pub(crate) fn decode(codec: Codec, pictures: &[Vec<u8>]) -> Vec<String> {
    let (format, decoder, tag) = match codec {
        Codec::Vp8 => ("ivf", "libvpx", b"VP80"),
        Codec::Vp9 => ("ivf", "libvpx-vp9", b"VP90"),
        Codec::Av1 => ("ivf", "libdav1d", b"AV01"),
        Codec::H264 => ("h264", "h264", b"    "),
    };
    let file = match format {
        "ivf" => ivf(*tag, pictures),
        _ => pictures.concat(),
    };
    // Each picture in its own size, none left out and none twice.
    let arguments = format!(
        "-v error -xerror -f {format} -c:v {decoder} -i - -autoscale 0 -fps_mode passthrough -f framemd5 -"
    );
    let mut child = Command::new("ffmpeg")
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("ffmpeg, which ./scripts/install.sh test installs: {error}")
        });
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&file));
    let output = child.wait_with_output().unwrap();
    // A decoder that gives up reads no further; what it says is what matters then.
    let _ = writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{codec:?}: {said}"
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    let digests = lines.lines().filter(|line| !line.starts_with('#'));
    digests
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

fn ivf(tag: [u8; 4], pictures: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"DKIF\0\0\x20\0".to_vec();
    file.extend(tag);
    file.extend([0xC0, 3, 0x1C, 2]);
    file.extend(15u32.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend((pictures.len() as u32).to_le_bytes());
    file.extend([0; 4]);
    for (n, picture) in pictures.iter().enumerate() {
        file.extend((picture.len() as u32).to_le_bytes());
        file.extend((n as u64).to_le_bytes());
        file.extend(picture);
    }
    file
}
