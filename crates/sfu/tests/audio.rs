//! Redundant audio (RFC 2198): made for who takes it, undone for who does not, and what it is worth when packets get lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on may stop here"
)]

mod support;

use rtp::RtpView;
use rtp::rtcp::{ReportBlock, Rtcp, Writer, packets};
use sim::{LinkSpec, Loss};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use support::{OPUS, RED, World};

const PACKET: Duration = Duration::from_millis(20);
/// What a receiver waits for a packet before it makes up what is missing.
const PATIENCE: Duration = Duration::from_millis(90);

/// A sender's microphone: packets that say which they are.
struct Microphone {
    ssrc: u32,
    /// Earlier packets that go along with each; `None` for plain Opus.
    distance: Option<usize>,
    sent: Vec<(u32, Vec<u8>, Instant)>,
}

impl Microphone {
    fn new(w: &World, client: usize, distance: Option<usize>) -> Self {
        Self {
            ssrc: w.clients[client].audio_ssrc,
            distance,
            sent: Vec::new(),
        }
    }

    /// The next packet. Every third one has another length.
    fn packet(&mut self, now: Instant) -> Vec<u8> {
        let n = self.sent.len() as u32;
        let timestamp = 4_294_900_000u32.wrapping_add(n.wrapping_mul(960));
        let mut data = vec![0x78];
        data.extend(n.to_be_bytes());
        data.resize(60 + n as usize % 3, n as u8);
        let payload_type = if self.distance.is_some() { RED } else { OPUS };
        let mut p = vec![0x90, payload_type];
        p.extend((65_500u16.wrapping_add(n as u16)).to_be_bytes());
        p.extend(timestamp.to_be_bytes());
        p.extend(self.ssrc.to_be_bytes());
        p.extend([0xBE, 0xDE, 0, 1, 0x10, 30, 0, 0]);
        if let Some(distance) = self.distance {
            let earlier = &self.sent[self.sent.len().saturating_sub(distance)..];
            for (t, data, _) in earlier {
                let offset = timestamp.wrapping_sub(*t) as u16;
                p.extend(rtp::red::block_header(OPUS, offset, data.len() as u16));
            }
            p.push(OPUS);
            p.extend(earlier.iter().flat_map(|e| e.1.clone()));
        }
        p.extend(&data);
        self.sent.push((timestamp, data, now));
        p
    }
}

/// Encodings in a packet: those that went along, then its own.
fn encodings(packet: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let view = RtpView::parse(packet).unwrap();
    if view.payload_type == OPUS {
        return vec![(view.timestamp, view.payload().to_vec())];
    }
    assert_eq!(view.payload_type, RED);
    let blocks = rtp::red::blocks(view.payload()).unwrap();
    blocks
        .map(|b| {
            assert_eq!(b.payload_type, OPUS);
            let timestamp = view.timestamp.wrapping_sub(b.timestamp_offset.into());
            (timestamp, b.data.to_vec())
        })
        .collect()
}

fn link(loss: f64) -> LinkSpec {
    LinkSpec {
        delay: Duration::from_millis(10),
        loss: Loss::Random(loss),
        ..LinkSpec::default()
    }
}

/// Someone who speaks (first) and someone who listens, connected. Which of them takes redundancy.
fn meeting(red: (bool, bool)) -> World {
    let mut w = World::new(link(0.0), 11);
    w.red = red.0;
    w.join("a", None, None, true);
    w.red = red.1;
    w.join("b", None, None, true);
    w.clients[1].sound = Some(Vec::new());
    w.connect_all();
    w
}

/// Speaks for a number of packets; the listener reports once a second.
fn speak(w: &mut World, microphone: &mut Microphone, count: usize) {
    for n in 0..count {
        let packet = microphone.packet(w.now);
        w.clients[0].outbox.0.push(packet);
        if n % 50 == 49 {
            report(w);
        }
        w.run(PACKET);
    }
    w.run(Duration::from_millis(100));
}

/// The listener says what it got of the last second.
fn report(w: &mut World) {
    let since = w.now - Duration::from_secs(1);
    let sound = w.clients[1].sound.as_ref().unwrap();
    let last = sound.iter().filter(|(at, _)| *at >= since);
    let numbers: BTreeSet<u16> = last
        .map(|(_, p)| RtpView::parse(p).unwrap().sequence_number)
        .collect();
    let Some((_, newest)) = sound.last() else {
        return;
    };
    let view = RtpView::parse(newest).unwrap();
    let lost = 50usize.saturating_sub(numbers.len());
    let block = ReportBlock {
        ssrc: view.ssrc,
        fraction_lost: (lost * 256 / 50) as u8,
        cumulative_lost: 0,
        highest_seq: view.sequence_number.into(),
        jitter: 0,
        last_sr: 0,
        delay_since_last_sr: 0,
    };
    let mut out = vec![0; 100];
    let mut writer = Writer::new(&mut out);
    writer.receiver_report(7.into(), &[block]).unwrap();
    let len = writer.len();
    out.truncate(len);
    w.clients[1].outbox.1.push(out);
}

/// Of what was said after the first `skipped` packets, the part that the listener had in time, whole and unchanged.
fn heard(w: &World, microphone: &Microphone, skipped: usize) -> f64 {
    let sound = w.clients[1].sound.as_ref().unwrap();
    // Its timestamps differ from the sender's by a constant.
    let first = encodings(&sound.first().unwrap().1);
    let own = first.last().unwrap();
    let same = microphone.sent.iter().find(|(_, data, _)| *data == own.1);
    let shift = own.0.wrapping_sub(same.unwrap().0);
    let mut arrived: BTreeMap<Vec<u8>, Instant> = BTreeMap::new();
    for (at, packet) in sound {
        for (timestamp, data) in encodings(packet) {
            let sent = microphone.sent.iter().find(|s| s.1 == data);
            let sent = sent.unwrap_or_else(|| panic!("nobody said {data:?}"));
            assert_eq!(sent.0.wrapping_add(shift), timestamp, "in its place");
            arrived.entry(data).or_insert(*at);
        }
    }
    let said = &microphone.sent[skipped..];
    let in_time = said
        .iter()
        .filter(|(_, data, sent)| arrived.get(data).is_some_and(|at| *at <= *sent + PATIENCE));
    in_time.count() as f64 / said.len() as f64
}

/// What a lossy way to the listener costs: the part that is concealed. The sender knows no redundancy, the bridge makes it.
fn concealed_downlink(loss: f64, takes: bool) -> f64 {
    let mut w = meeting((false, takes));
    let to = w.clients[1].address.ip();
    w.net.set_path(w.bridge.ip(), to, link(loss));
    let mut microphone = Microphone::new(&w, 0, None);
    speak(&mut w, &mut microphone, 3000);
    1.0 - heard(&w, &microphone, 100)
}

#[test]
fn loss_towards_a_listener_is_hardly_heard() {
    for (loss, most) in [(0.0, 0.0), (0.02, 0.002), (0.1, 0.01), (0.2, 0.03)] {
        let concealed = concealed_downlink(loss, true);
        assert!(concealed <= most, "{concealed} of {loss}");
    }
    let without = concealed_downlink(0.1, false);
    assert!((0.07..0.13).contains(&without), "{without}");
}

#[test]
fn loss_of_a_sender_is_hardly_heard_even_where_redundancy_is_unknown() {
    for (takes, distance, loss, most) in [
        (false, 1, 0.1, 0.02),
        (false, 2, 0.2, 0.02),
        (true, 1, 0.1, 0.02),
        (true, 2, 0.2, 0.02),
    ] {
        let what = format!("listener takes it: {takes}, distance {distance}, loss {loss}");
        let mut w = meeting((true, takes));
        let from = w.clients[0].address.ip();
        w.net.set_path(from, w.bridge.ip(), link(loss));
        let mut microphone = Microphone::new(&w, 0, Some(distance));
        speak(&mut w, &mut microphone, 3000);
        let concealed = 1.0 - heard(&w, &microphone, 100);
        assert!(concealed <= most, "{what}: {concealed}");
        assert!(w.shard.stats().audio_restored > 200, "{what}");
        let sound = w.clients[1].sound.as_ref().unwrap();
        let plain = |p: &[u8]| RtpView::parse(p).unwrap().payload_type == OPUS;
        assert_eq!(
            sound.iter().skip(10).all(|(_, p)| plain(p)),
            !takes,
            "{what}"
        );
    }
}

#[test]
fn a_clean_way_costs_one_packet_more_and_a_lossy_one_two() {
    for (loss, expected) in [(0.0, 2), (0.2, 3)] {
        let mut w = meeting((false, true));
        let to = w.clients[1].address.ip();
        w.net.set_path(w.bridge.ip(), to, link(loss));
        let mut microphone = Microphone::new(&w, 0, None);
        speak(&mut w, &mut microphone, 300);
        let sound = w.clients[1].sound.as_ref().unwrap();
        let newest = sound.iter().rev().take(50);
        assert!(
            newest.clone().all(|(_, p)| encodings(p).len() == expected),
            "{loss}"
        );
    }
}

/// What is restored was lost all the same: its sender must know how its line is.
#[test]
fn the_sender_is_told_of_the_loss_of_its_line() {
    let mut w = meeting((true, true));
    let from = w.clients[0].address.ip();
    w.net.set_path(from, w.bridge.ip(), link(0.2));
    let mut microphone = Microphone::new(&w, 0, Some(2));
    w.clients[0].reports = Some(Vec::new());
    speak(&mut w, &mut microphone, 1500);
    let compounds = w.clients[0].reports.take().unwrap();
    let mut lost = 0;
    for compound in &compounds {
        for packet in packets(compound) {
            if let Rtcp::ReceiverReport { blocks, .. } = packet.unwrap() {
                let own = blocks.iter().find(|b| b.ssrc.0 == microphone.ssrc);
                lost = own.map_or(lost, |b| b.cumulative_lost);
            }
        }
    }
    assert!((200..400).contains(&lost), "{lost} of 1500");
}

/// Redundancy that says what cannot be is refused, and what else came is not touched.
#[test]
fn broken_redundancy_is_refused() {
    let mut w = meeting((true, false));
    let mut microphone = Microphone::new(&w, 0, Some(1));
    speak(&mut w, &mut microphone, 10);
    for payload in [
        &[][..],
        &[0x80 | OPUS, 0, 0],
        &[0x80 | OPUS, 0xFF, 0xFF, 0xFF, OPUS, 1],
        &[3, 1, 2],
    ] {
        let mut packet = microphone.packet(w.now);
        packet.truncate(20);
        packet.extend(payload);
        w.clients[0].outbox.0.push(packet);
        w.run(PACKET);
    }
    speak(&mut w, &mut microphone, 10);
    assert!(heard(&w, &microphone, 0) > 0.7);
    let stats = w.shard.stats();
    let refused = stats.dropped(sfu::DropReason::BadPayload)
        + stats.dropped(sfu::DropReason::UnknownPayloadType);
    assert_eq!(refused, 4, "{stats:?}");
}
