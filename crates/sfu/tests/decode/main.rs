//! What is forwarded of what browsers send, over random switching of layers, lines of changing rate and loss on both ways,
//! goes through real decoders: they find no fault, and every picture is one that the sender made.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on may stop here"
)]

mod pictures;
mod recording;
#[path = "../support/mod.rs"]
mod support;
mod viewer;

use pictures::{Packet, assemble, decode, up_to_layer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use recording::{Codec, FIRST_SSRC, RTX_APART, Recording};
use rtp::RtpView;
use rtp::rtcp::{Rtcp, packets};
use rtp::seq::Unwrapper;
use sfu::*;
use sim::{LinkSpec, Loss, Queue};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use support::{CONFERENCE, World, endpoint_id, source_name};
use viewer::Viewer;

const MS: Duration = Duration::from_millis(1);
/// Who publishes, and who watches.
const SENDER: usize = 0;
const VIEWER: usize = 1;

/// Plays a recording, and sends again what the bridge asks for.
struct Player {
    recording: Recording,
    next: usize,
    sent: HashMap<(u32, u16), Vec<u8>>,
    rtx_seq: u16,
}

impl Player {
    fn new(recording: Recording) -> Self {
        Self {
            recording,
            next: 0,
            sent: HashMap::new(),
            rtx_seq: 0,
        }
    }

    fn source(&self) -> Source {
        let ssrcs: Vec<u32> = (0..self.recording.encodings as u32)
            .map(|n| FIRST_SSRC + n)
            .collect();
        let group = |semantics: &str, ssrcs: Vec<u32>| SsrcGroup {
            semantics: semantics.into(),
            ssrcs,
        };
        let mut groups: Vec<SsrcGroup> = ssrcs
            .iter()
            .map(|ssrc| group("FID", vec![*ssrc, ssrc + RTX_APART]))
            .collect();
        if ssrcs.len() > 1 {
            groups.insert(0, group("SIM", ssrcs.clone()));
        }
        let all: Vec<u32> = ssrcs.iter().flat_map(|s| [*s, s + RTX_APART]).collect();
        let name = source_name("a-v0");
        Source::from_groups(name, MediaKind::Video, VideoType::Camera, &all, &groups).unwrap()
    }

    /// Whether there is more to come.
    fn play(&mut self, w: &mut World, ms: u32) -> bool {
        let out = &mut w.clients[SENDER].outbox.0;
        while let Some((_, packet)) = self
            .recording
            .packets
            .get(self.next)
            .filter(|(at, _)| *at <= ms)
        {
            let view = RtpView::parse(packet).unwrap();
            self.sent
                .insert((view.ssrc.0, view.sequence_number), packet.clone());
            out.push(packet.clone());
            self.next += 1;
        }
        self.next < self.recording.packets.len()
    }

    fn repair(&mut self, w: &mut World) {
        let client = &mut w.clients[SENDER];
        for compound in std::mem::take(client.reports.as_mut().unwrap()) {
            for nack in packets(&compound) {
                let Ok(Rtcp::Nack(nack)) = nack else {
                    continue;
                };
                for seq in nack.sequence_numbers() {
                    let Some(packet) = self.sent.get(&(nack.media.0, seq)) else {
                        continue;
                    };
                    let again = self.again(packet.clone(), nack.media.0);
                    client.outbox.0.push(again);
                }
            }
        }
    }

    fn again(&mut self, packet: Vec<u8>, ssrc: u32) -> Vec<u8> {
        let header_len = usize::from(RtpView::parse(&packet).unwrap().header_len);
        let codec = packet[1] & 0x7F;
        self.rtx_seq = self.rtx_seq.wrapping_add(1);
        let mut again = packet[..header_len].to_vec();
        again[1] = packet[1] & 0x80 | support::rtx_of(codec);
        again[2..4].copy_from_slice(&self.rtx_seq.to_be_bytes());
        again[8..12].copy_from_slice(&(ssrc + RTX_APART).to_be_bytes());
        again.extend(&packet[2..4]);
        again.extend(&packet[header_len..]);
        again
    }

    /// The pictures that its sender made of each layer, as digests.
    fn made(&self) -> HashSet<String> {
        let codec = self.recording.codec;
        let mut digests = HashSet::new();
        for encoding in 0..self.recording.encodings as u32 {
            let mut numbers = Unwrapper::default();
            let own = self.recording.packets.iter().filter_map(|(_, packet)| {
                let view = RtpView::parse(packet).unwrap();
                (view.ssrc.0 == FIRST_SSRC + encoding).then(|| Packet {
                    seq: numbers.unwrap(view.sequence_number),
                    timestamp: view.timestamp,
                    marker: view.marker,
                    payload: view.payload().to_vec(),
                })
            });
            let own: Vec<Packet> = own.collect();
            let layers = match codec {
                Codec::Vp9 | Codec::Av1 => 3,
                Codec::Vp8 | Codec::H264 => 1,
            };
            for spatial in 0..layers {
                digests.extend(decode(codec, &up_to_layer(codec, &own, spatial)));
            }
        }
        digests
    }
}

/// A sender with a recording and a viewer, connected.
fn meeting(player: &Player, seed: u64) -> World {
    let link = LinkSpec {
        delay: 15 * MS,
        ..LinkSpec::default()
    };
    let mut w = World::with(1, link, seed, |_| {});
    w.join("a", None, Some(30), true);
    w.join("b", None, None, true);
    w.clients[SENDER].reports = Some(Vec::new());
    w.clients[VIEWER].video = Some(Vec::new());
    let audio = w.clients[SENDER].audio_ssrc;
    let name = source_name("a-a0");
    let audio = Source::from_groups(name, MediaKind::Audio, VideoType::Camera, &[audio], &[]);
    let update = EndpointUpdate {
        sources: Some(vec![audio.unwrap(), player.source()]),
        ..EndpointUpdate::default()
    };
    w.shard
        .update_endpoint(w.now, CONFERENCE, &endpoint_id("a"), update)
        .unwrap();
    w.connect_all();
    w.want(VIEWER, 180);
    w
}

/// Plays a recording through a bridge; what the viewer got.
fn forwarded(player: &mut Player, seed: u64, loss: f64) -> Viewer {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut w = meeting(player, seed);
    let (bridge, sender) = (w.bridge.ip(), w.clients[SENDER].address.ip());
    let mut viewer = Viewer::default();
    let (mut ms, mut next_wish, mut next_line) = (0, 0, 0);
    let mut more = true;
    while more {
        if ms >= next_wish {
            next_wish = ms + rng.random_range(200..1_200);
            let height = [135, 180, 270, 540, 540, 720][rng.random_range(0..6)];
            w.want(VIEWER, height);
        }
        if ms >= next_line {
            next_line = ms + rng.random_range(500..2_000);
            let line = LinkSpec {
                delay: 15 * MS,
                rate: Some([150_000, 300_000, 600_000, 2_000_000][rng.random_range(0..4)]),
                queue: Queue::Time(250 * MS),
                loss: Loss::Random(loss),
                ..LinkSpec::default()
            };
            w.line(VIEWER, line);
            let up = LinkSpec {
                delay: 15 * MS,
                jitter: 10 * MS,
                loss: Loss::Random(loss),
                ..LinkSpec::default()
            };
            w.net.set_path(sender, bridge, up);
        }
        more = player.play(&mut w, ms);
        player.repair(&mut w);
        w.run(MS);
        viewer.step(&mut w, VIEWER);
        ms += 1;
    }
    for _ in 0..500 {
        player.repair(&mut w);
        w.run(MS);
        viewer.step(&mut w, VIEWER);
    }
    viewer
}

fn decodes(name: &str) {
    let player = Player::new(Recording::read(name));
    let codec = player.recording.codec;
    let made = player.made();
    let times = player
        .recording
        .packets
        .iter()
        .map(|(_, p)| RtpView::parse(p).unwrap().timestamp);
    let all = times.collect::<HashSet<_>>().len() / player.recording.encodings;
    let mut shown = HashSet::new();
    for (seed, loss) in [(1, 0.0), (2, 0.0), (3, 0.03), (4, 0.1)] {
        let what = format!("{name}, seed {seed}, {loss}");
        let mut player = Player::new(Recording::read(name));
        let viewer = forwarded(&mut player, seed, loss);
        let packets = viewer.packets(&what);
        let (pictures, useless) = assemble(codec, &packets);
        let digests = decode(codec, &pictures);
        println!(
            "{what}: {} pictures of {all}, {useless} of {} packets of no use",
            pictures.len(),
            packets.len()
        );
        assert_eq!(digests.len(), pictures.len(), "{what}: each is shown");
        for (n, digest) in digests.iter().enumerate() {
            assert!(made.contains(digest), "{what}: picture {n} is nobody's");
        }
        if loss == 0.0 {
            assert!(pictures.len() * 3 > all, "{what}: it goes on");
        }
        shown.extend(digests);
    }
    // More than one layer was seen.
    assert!(shown.len() > all / 2, "{name}: {} of {all}", shown.len());
}

#[test]
fn vp8_simulcast_with_temporal_layers() {
    decodes("vp8");
}

#[test]
fn vp9_spatial_and_temporal_layers() {
    decodes("vp9");
}

#[test]
fn av1_spatial_and_temporal_layers() {
    decodes("av1");
}

#[test]
fn h264_simulcast() {
    decodes("h264");
}
