//! What holds for every codec, with SSRC rewriting and without: where a picture begins, a change of codec on one SSRC, and
//! sources that go and come again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on may stop here"
)]

mod support;

use rtp::RtpView;
use rtp::rtcp::Writer;
use sfu::*;
use sim::LinkSpec;
use std::collections::BTreeSet;
use std::time::Duration;
use support::{AV1, CONFERENCE, DESCRIPTOR, H264, RTX, VP8, VP9, World, endpoint_id, source_name};

const SSRC: u32 = 1010;
const RTX_SSRC: u32 = 1020;
const FRAME: Duration = Duration::from_millis(33);

/// Ways in which senders put frames into packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Vp8,
    Vp9,
    /// Parameter sets in one packet, the picture in parts.
    H264Parts,
    /// Delimiter, parameter sets and several slices, each in a packet.
    H264Slices,
    Av1,
    /// Without the dependency descriptor.
    Av1Plain,
}

const KINDS: [Kind; 6] = [
    Kind::Vp8,
    Kind::Vp9,
    Kind::H264Parts,
    Kind::H264Slices,
    Kind::Av1,
    Kind::Av1Plain,
];

impl Kind {
    fn payload_type(self) -> u8 {
        match self {
            Self::Vp8 => VP8,
            Self::Vp9 => VP9,
            Self::H264Parts | Self::H264Slices => H264,
            Self::Av1 | Self::Av1Plain => AV1,
        }
    }

    /// Payloads of a frame, and the dependency descriptor of each.
    fn payloads(self, key: bool, frame: u16) -> Vec<(Vec<u8>, Vec<u8>)> {
        let id = (frame | 0x8000).to_be_bytes();
        let number = frame.to_be_bytes();
        let plain = |payloads: &[&[u8]]| {
            let pairs = payloads.iter().map(|p| (p.to_vec(), Vec::new()));
            pairs.collect::<Vec<_>>()
        };
        match (self, key) {
            (Self::Vp8, _) => {
                let inter = u8::from(!key);
                plain(&[
                    &[
                        0x90,
                        0xE0,
                        id[0],
                        id[1],
                        frame as u8,
                        0,
                        inter,
                        0,
                        0,
                        0x9D,
                        1,
                        0x2A,
                        0x40,
                        1,
                        0xB4,
                        0,
                    ],
                    &[0x80, 0xE0, id[0], id[1], frame as u8, 0, 1, 2, 3],
                ])
            }
            (Self::Vp9, _) => {
                let predicted = if key { 0 } else { 0x40 };
                plain(&[
                    &[0x88 | predicted, id[0], id[1], 1],
                    &[0x84 | predicted, id[0], id[1], 2],
                ])
            }
            (Self::H264Parts, true) => plain(&[
                &[0x78, 0, 4, 0x67, 0x42, 0xC0, 0x1F, 0, 2, 0x68, 0xCE],
                &[0x7C, 0x85, 1],
                &[0x7C, 0x05, 2],
                &[0x7C, 0x45, 3],
            ]),
            (Self::H264Slices, true) => plain(&[
                &[0x09, 0x10],
                &[0x67, 0x42, 0xC0, 0x1F],
                &[0x68, 0xCE],
                &[0x65, 1],
                &[0x65, 2],
            ]),
            (Self::H264Parts, false) => plain(&[&[0x7C, 0x81, 1], &[0x7C, 0x41, 2]]),
            (Self::H264Slices, false) => plain(&[&[0x09, 0x30], &[0x61, 1], &[0x61, 2]]),
            (Self::Av1, _) => {
                // A structure with one template and one decode target behind the mandatory fields of a key frame.
                let mut first = vec![0x80, number[0], number[1]];
                if key {
                    first.extend([0x80, 0x00, 0xE0, 0x00]);
                }
                let last = vec![0x40, number[0], number[1]];
                vec![(vec![0x50, 0x30, 0x10], first), (vec![0x90, 1, 2], last)]
            }
            (Self::Av1Plain, true) => plain(&[&[0x68, 2, 0x08, 0, 0x30, 0x10], &[0x90, 1]]),
            (Self::Av1Plain, false) => plain(&[&[0x50, 0x30, 0x30], &[0x90, 1]]),
        }
    }
}

/// A sender of one encoding.
struct Sender {
    kind: Kind,
    seq: u16,
    timestamp: u32,
    frame: u16,
    /// Of the first picture of an encoder.
    first_id: u16,
}

impl Sender {
    fn new(kind: Kind, seq: u16, timestamp: u32) -> Self {
        Self {
            kind,
            seq,
            timestamp,
            frame: 0,
            first_id: 20_000,
        }
    }

    /// Packets of the next frame. Each ends with the frame's number and its own place in the frame.
    fn frame(&mut self, key: bool) -> Vec<Vec<u8>> {
        self.frame += 1;
        self.timestamp = self.timestamp.wrapping_add(2970);
        let id = self.first_id.wrapping_add(self.frame) & 0x7FFF;
        let payloads = self.kind.payloads(key, id);
        let count = payloads.len();
        let mut out = Vec::new();
        for (n, (payload, descriptor)) in payloads.into_iter().enumerate() {
            let marker = if n + 1 == count { 0x80 } else { 0 };
            let mut p = vec![0x80, marker | self.kind.payload_type()];
            p.extend(self.seq.to_be_bytes());
            p.extend(self.timestamp.to_be_bytes());
            p.extend(SSRC.to_be_bytes());
            if !descriptor.is_empty() {
                p[0] |= 0x10;
                let words = (descriptor.len() + 1).div_ceil(4);
                p.extend([0xBE, 0xDE, 0, words as u8]);
                p.push(DESCRIPTOR << 4 | (descriptor.len() as u8 - 1));
                p.extend(&descriptor);
                p.resize(16 + words * 4, 0);
            }
            p.extend(payload);
            p.extend([0x55; 100]);
            p.extend(self.frame.to_be_bytes());
            p.push(n as u8);
            self.seq = self.seq.wrapping_add(1);
            out.push(p);
        }
        out
    }
}

/// What a viewer got: frame and place in it, by the marks at the end.
fn mark(packet: &[u8]) -> (u16, u8) {
    let view = RtpView::parse(packet).unwrap();
    let end = view.payload().last_chunk::<3>().unwrap();
    (u16::from_be_bytes([end[0], end[1]]), end[2])
}

fn world() -> World {
    let link = LinkSpec {
        delay: Duration::from_millis(5),
        ..LinkSpec::default()
    };
    World::new(link, 3)
}

/// Announces the sender's camera and microphone, or only the latter.
fn publish(w: &mut World, name: &str, camera: bool) {
    let id = endpoint_id(name);
    let audio = w.clients.iter().rfind(|c| c.id == id).unwrap().audio_ssrc;
    let source = |name: &str, kind, ssrcs: &[u32], groups: &[SsrcGroup]| {
        Source::from_groups(source_name(name), kind, VideoType::Camera, ssrcs, groups).unwrap()
    };
    let mut sources = vec![source("a-a0", MediaKind::Audio, &[audio], &[])];
    if camera {
        let group = SsrcGroup {
            semantics: "FID".into(),
            ssrcs: vec![SSRC, RTX_SSRC],
        };
        sources.push(source(
            "a-v0",
            MediaKind::Video,
            &[SSRC, RTX_SSRC],
            &[group],
        ));
    }
    let update = EndpointUpdate {
        sources: Some(sources),
        ..EndpointUpdate::default()
    };
    w.shard
        .update_endpoint(w.now, CONFERENCE, &id, update)
        .unwrap();
}

/// A sender with a camera (first) and a viewer, connected.
fn meeting(rewriting: bool) -> World {
    let mut w = world();
    w.join("a", None, Some(30), rewriting);
    let viewer = w.join("b", None, None, rewriting);
    w.clients[viewer].video = Some(Vec::new());
    publish(&mut w, "a", true);
    w.connect_all();
    w
}

fn send(w: &mut World, sender: &mut Sender, client: usize, frames: u32, key: bool) {
    for n in 0..frames {
        let packets = sender.frame(key && n == 0);
        w.clients[client].outbox.0.extend(packets);
        w.run(FRAME);
    }
}

/// The pictures that the viewer got; on the stream of retransmissions there are probes of its line too.
fn taken(w: &mut World) -> Vec<Vec<u8>> {
    let mut taken = all_taken(w);
    taken.retain(|p| !support::is_rtx(RtpView::parse(p).unwrap().payload_type));
    taken
}

fn all_taken(w: &mut World) -> Vec<Vec<u8>> {
    std::mem::take(w.clients[1].video.as_mut().unwrap())
}

/// Nothing is missing or twice in what a viewer got of each SSRC, and time goes on.
fn assert_continuous(what: &str, packets: &[Vec<u8>]) {
    for pair in packets.windows(2) {
        let [a, b] = [&pair[0], &pair[1]].map(|p| RtpView::parse(p).unwrap());
        if a.ssrc != b.ssrc {
            // The source has another slot.
            continue;
        }
        assert_eq!(
            b.sequence_number,
            a.sequence_number.wrapping_add(1),
            "{what}"
        );
        let step = rtp::seq::diff32(b.timestamp, a.timestamp);
        let same = mark(&pair[0]).0 == mark(&pair[1]).0;
        assert!(
            if same { step == 0 } else { step > 0 },
            "{what}: timestamp moves by {step}"
        );
    }
}

fn each(mut test: impl FnMut(Kind, bool)) {
    for kind in KINDS {
        for rewriting in [true, false] {
            test(kind, rewriting);
        }
    }
}

#[test]
fn a_late_viewer_begins_with_the_first_packet_of_the_key_frame() {
    each(|kind, rewriting| {
        let what = format!("{kind:?}, rewriting: {rewriting}");
        let mut w = meeting(rewriting);
        let mut sender = Sender::new(kind, 40_000, 7);
        send(&mut w, &mut sender, 0, 1, true);
        send(&mut w, &mut sender, 0, 10, false);
        assert!(taken(&mut w).is_empty(), "{what}: nobody asked");
        w.want(1, 720);
        send(&mut w, &mut sender, 0, 10, false);
        let got = taken(&mut w);
        assert_continuous(&what, &got);
        assert_eq!(got.first().map(|p| mark(p)), Some((1, 0)), "{what}");
        let frames: BTreeSet<u16> = got.iter().map(|p| mark(p).0).collect();
        assert_eq!(frames, (1..=21).collect(), "{what}");
        let stats = w.shard.stats();
        assert_eq!(
            (stats.keyframes_received, stats.keyframe_replays),
            (1, 1),
            "{what}"
        );
    });
}

#[test]
fn a_change_of_codec_goes_on_at_its_key_frame() {
    each(|from, rewriting| {
        for to in KINDS {
            let what = format!("{from:?} to {to:?}, rewriting: {rewriting}");
            let mut w = meeting(rewriting);
            w.want(1, 720);
            w.run(Duration::from_millis(50));
            let mut sender = Sender::new(from, 65_500, 0xFFFF_FF00);
            send(&mut w, &mut sender, 0, 15, true);
            // Another encoder counts its pictures from elsewhere.
            (sender.kind, sender.first_id) = (to, 3);
            send(&mut w, &mut sender, 0, 15, true);
            w.run(Duration::from_millis(50));
            let got = taken(&mut w);
            assert_continuous(&what, &got);
            let frames: BTreeSet<u16> = got.iter().map(|p| mark(p).0).collect();
            assert_eq!(frames, (1..=30).collect(), "{what}");
        }
    });
}

#[test]
fn a_change_of_codec_without_a_key_frame_waits_for_one() {
    for rewriting in [true, false] {
        let mut w = meeting(rewriting);
        w.want(1, 720);
        w.run(Duration::from_millis(50));
        let mut sender = Sender::new(Kind::Vp8, 100, 0);
        send(&mut w, &mut sender, 0, 5, true);
        sender.kind = Kind::H264Parts;
        send(&mut w, &mut sender, 0, 5, false);
        send(&mut w, &mut sender, 0, 5, true);
        w.run(Duration::from_millis(50));
        let got = taken(&mut w);
        assert_continuous("waits", &got);
        let frames: BTreeSet<u16> = got.iter().map(|p| mark(p).0).collect();
        assert_eq!(frames, (1..=5).chain(11..=15).collect());
    }
}

/// The viewer asks for the newest packet it has once more.
fn ask_again(w: &mut World, packet: &[u8]) {
    let view = RtpView::parse(packet).unwrap();
    let mut out = vec![0; 100];
    let mut writer = Writer::new(&mut out);
    writer
        .nack(9.into(), view.ssrc, &[view.sequence_number])
        .unwrap();
    let len = writer.len();
    out.truncate(len);
    w.clients[1].outbox.1.push(out);
}

/// Shows twenty frames to the viewer and has one of them sent again.
fn show(w: &mut World, sender: &mut Sender, client: usize, what: &str) -> Vec<Vec<u8>> {
    let before = sender.frame;
    send(w, sender, client, 20, true);
    w.run(Duration::from_millis(200));
    let got = taken(w);
    let last = got.last().unwrap_or_else(|| panic!("{what}: nothing"));
    ask_again(w, last);
    w.run(Duration::from_millis(50));
    let again = all_taken(w);
    if sender.kind == Kind::Vp8 {
        let wanted = RtpView::parse(last).unwrap().sequence_number.to_be_bytes();
        let came = again.iter().map(|p| RtpView::parse(p).unwrap());
        let mut resent = came.filter(|v| v.payload_type == RTX && v.payload().starts_with(&wanted));
        assert!(resent.next().is_some(), "{what}");
    }
    let frames: BTreeSet<u16> = got.iter().map(|p| mark(p).0).collect();
    assert_eq!(frames, (before + 1..=before + 20).collect(), "{what}");
    got
}

#[test]
fn a_source_that_comes_again_with_its_ssrc_is_seen() {
    each(|kind, rewriting| {
        let what = format!("{kind:?}, rewriting: {rewriting}");
        let mut w = meeting(rewriting);
        w.want(1, 720);
        w.run(Duration::from_millis(50));
        let mut sender = Sender::new(kind, 12_345, 99);
        let mut got = show(&mut w, &mut sender, 0, &what);
        for round in 0..3 {
            publish(&mut w, "a", false);
            w.run(Duration::from_millis(100));
            publish(&mut w, "a", true);
            w.run(Duration::from_millis(100));
            got.extend(show(
                &mut w,
                &mut sender,
                0,
                &format!("{what}, round {round}"),
            ));
        }
        assert_continuous(&what, &got);
        assert_eq!(w.shard.stats().dropped(DropReason::Protect), 0, "{what}");
    });
}

#[test]
fn a_restart_with_the_same_ssrcs_is_seen_and_heard() {
    each(|kind, rewriting| {
        let what = format!("{kind:?}, rewriting: {rewriting}");
        let mut w = meeting(rewriting);
        w.want(1, 720);
        w.run(Duration::from_millis(50));
        let mut got = show(&mut w, &mut Sender::new(kind, 30_000, 5_000_000), 0, &what);
        let audio = w.clients[0].audio_ssrc;
        let mut seen = sound(&w);
        // Behind the old numbers, far behind, ahead.
        for (seq, timestamp) in [(29_000, 4_000_000), (7, 3_000_000_000), (60_000, 1)] {
            let old = w.clients.len() - 1;
            let old = if old == 1 { 0 } else { old };
            w.shard
                .expire_endpoint(w.now, CONFERENCE, &endpoint_id("a"))
                .unwrap();
            w.clients[old].audio_level = None;
            w.clients[old].id = endpoint_id(&format!("gone{old}"));
            w.run(Duration::from_millis(100));
            let anew = w.join("a", None, Some(30), rewriting);
            w.clients[anew].audio_ssrc = audio;
            w.clients[anew].audio_seq = seq;
            publish(&mut w, "a", true);
            w.run_until(Duration::from_secs(5), "connected again", |w| {
                w.clients[anew].connected
            });
            got.extend(show(
                &mut w,
                &mut Sender::new(kind, seq, timestamp),
                anew,
                &what,
            ));
            let heard = sound(&w);
            assert!(
                heard > seen + 30,
                "{what}: {} packets of sound",
                heard - seen
            );
            seen = heard;
        }
        assert_continuous(&what, &got);
        if !rewriting {
            assert!(
                got.iter()
                    .all(|p| RtpView::parse(p).unwrap().ssrc.0 == SSRC)
            );
        }
        assert_eq!(w.clients[1].audio_gaps, 0, "{what}");
        assert_eq!(w.shard.stats().dropped(DropReason::Protect), 0, "{what}");
    });
}

fn sound(w: &World) -> u64 {
    w.clients[1].heard.values().map(|h| h.0).sum()
}
