//! Continuity of a video slot, whatever happens to the order of packets and to the target.

use super::slot::{Target, VideoSlot};
use crate::media::ingest::{KeyFrames, KeySign};
use crate::media::offsets::Offsets;
use crate::media::packet::{Codec, Outgoing, PacketId, Published, Record};
use crate::media::store::Store;
use crate::media::table::{FeedId, Key};
use proptest::prelude::*;
use rtp::RtpHeader;
use std::collections::BTreeMap;

const PACKETS: usize = 3;

/// What a sender can change to in the middle of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Vp8,
    /// VP8 of another encoder: its picture ids have nothing to do with those before.
    OtherVp8,
    Vp9,
    H264,
    Av1,
}

const KINDS: [Kind; 5] = [Kind::Vp8, Kind::OtherVp8, Kind::Vp9, Kind::H264, Kind::Av1];

impl Kind {
    fn has_ids(self) -> bool {
        !matches!(self, Self::H264 | Self::Av1)
    }

    /// What a packet of it tells of key frames.
    fn sign(self, key: bool, packet: usize) -> KeySign {
        match (key, self, packet) {
            (false, ..) => KeySign::None,
            (true, Self::H264, 0) => KeySign::Parameters,
            (true, Self::H264, _) => KeySign::Inside,
            (true, _, 0) => KeySign::Start,
            _ => KeySign::None,
        }
    }
}

/// A packet of a simulcast encoding: frame, packet of the frame.
#[derive(Clone, Copy, Debug)]
struct Sent {
    codec: Kind,
    encoding: u8,
    frame: u32,
    packet: usize,
    key: bool,
}

fn packet(sent: Sent) -> (u64, Record) {
    let seq = 65_000 + u64::from(sent.frame) * PACKETS as u64 + sent.packet as u64;
    let last = sent.packet + 1 == PACKETS;
    let first_id = match sent.codec {
        Kind::OtherVp8 => 9_000,
        Kind::Vp9 => 20_000,
        _ => 32_700,
    };
    let tid = [0u8, 2, 1, 2][sent.frame as usize % 4];
    let sync = matches!(sent.frame % 4, 1 | 2);
    let tl0 = (sent.frame / 4) as u8;
    let start = sent.packet == 0;
    let mut payload = vec![if start { 0x90 } else { 0x80 }, 0xE0];
    payload.extend((((sent.frame + first_id) as u16) | 0x8000).to_be_bytes());
    payload.extend([tl0, tid << 6 | u8::from(sync) << 5]);
    payload.extend([u8::from(!(sent.key && start)), 0, 0, 0, 0, 0]);
    let mut bytes = vec![0x80, 100 | u8::from(last) << 7];
    bytes.extend((seq as u16).to_be_bytes());
    let base = u32::from(sent.encoding) << 30;
    bytes.extend(base.wrapping_add(sent.frame * 3000).to_be_bytes());
    bytes.extend([0, 0, 0, sent.encoding]);
    bytes.extend(payload);
    let header = RtpHeader::parse(&bytes).unwrap();
    let codec = match sent.codec {
        Kind::Vp8 | Kind::OtherVp8 => Codec::Vp8(rtp::vp8::Vp8::parse(&bytes[12..]).unwrap()),
        Kind::Vp9 => {
            let id = ((sent.frame + first_id) as u16 | 0x8000).to_be_bytes();
            Codec::Vp9(rtp::vp9::Vp9::parse(&[0xA0, id[0], id[1], 0, tl0]).unwrap())
        }
        Kind::H264 => Codec::H264,
        Kind::Av1 => Codec::Av1(None),
    };
    let record = Record {
        header,
        codec,
        orientation: None,
        audio_level: None,
        descriptor: (0, 0),
        before: None,
    };
    (seq + (1 << 16), record)
}

/// Feeds packets in the order given; what leaves, with what it was.
fn run(order: &[(u64, Sent)], targets: &[(usize, Option<Target>)]) -> Vec<(Sent, Outgoing)> {
    let mut store = Store::new(4096, 1 << 20);
    let mut encodings = [KeyFrames::default(), KeyFrames::default()];
    let mut slot = VideoSlot::new(9, Some(10), 0x1234_5678_9ABC_DEF0);
    slot.bind(FeedId::of(0), 0);
    let mut ids: Vec<(PacketId, Sent)> = Vec::new();
    let mut out: Vec<(Sent, Outgoing)> = Vec::new();
    for (at, (time, sent)) in order.iter().enumerate() {
        if let Some((_, target)) = targets.iter().find(|(n, _)| *n == at) {
            slot.set_target(*target);
        }
        let now = 1_000_000 + time * 11_000;
        let e = usize::from(sent.encoding);
        let (seq, record) = packet(*sent);
        let id = store.insert(&[0; 30], record).unwrap();
        ids.push((id, *sent));
        let timestamp = record.header.timestamp;
        let published = Published { seq, timestamp, id };
        let sign = sent.codec.sign(sent.key, sent.packet);
        let key = encodings[e].note(now, published, sign);
        let mut burst = Vec::new();
        let anew = slot.accepts_keyframe(sent.encoding) || !slot.continues(sent.encoding, &record);
        if key && anew {
            let list = encodings[e].since_key();
            slot.start(now, sent.encoding, list, false, &store, |f, _| {
                burst.push(f)
            });
        } else {
            burst.extend(slot.offer(now, sent.encoding, &published, &record, key));
        }
        for forward in burst {
            let what = ids.iter().find(|(id, _)| *id == forward.id).unwrap().1;
            out.push((what, forward));
        }
    }
    out
}

/// A packet of VP8, and when it comes.
fn vp8(time: u64, encoding: u8, frame: u32, packet: usize, key: bool) -> (u64, Sent) {
    let codec = Kind::Vp8;
    let sent = Sent {
        codec,
        encoding,
        frame,
        packet,
        key,
    };
    (time, sent)
}

#[test]
fn what_was_missing_of_an_encoding_comes_after_another_one_began() {
    let key = |encoding, frame| (0..PACKETS).map(move |n| vp8(0, encoding, frame, n, true));
    let mut order: Vec<_> = key(0, 0).collect();
    // One in the middle of a frame and the last of another are late, as is one of a frame that nobody needs any more.
    order.extend([vp8(1, 0, 1, 0, false), vp8(1, 0, 1, 2, false)]);
    order.extend([vp8(2, 0, 2, 0, false), vp8(2, 0, 2, 1, false)]);
    let climbs = order.len();
    order.extend(key(1, 3));
    order.extend([
        vp8(4, 0, 1, 1, false),
        vp8(4, 0, 2, 2, false),
        vp8(4, 0, 3, 0, false),
    ]);
    order.extend([vp8(5, 1, 4, 0, false)]);
    let target = |encoding| {
        Some(Target {
            encoding,
            spatial: 0,
            temporal: 2,
        })
    };
    let out = run(&order, &[(0, target(0)), (climbs, target(1))]);
    let mut out: Vec<_> = out
        .iter()
        .map(|(sent, o)| (o.seq, sent.encoding, sent.frame, sent.packet))
        .collect();
    out.sort_unstable();
    let first = out[0].0;
    let expected = (0..3).flat_map(|frame| (0..PACKETS).map(move |n| (0, frame, n)));
    let expected = expected.chain((0..PACKETS).map(|n| (1, 3, n)));
    let expected = expected.chain([(1, 4, 0)]);
    let expected: Vec<_> = (first..)
        .zip(expected)
        .map(|(seq, (encoding, frame, n))| (seq, encoding, frame, n))
        .collect();
    assert_eq!(out, expected);
}

#[test]
fn the_place_kept_for_the_end_of_a_picture_is_for_its_end_alone() {
    let key = |encoding, frame| (0..PACKETS).map(move |n| vp8(0, encoding, frame, n, true));
    let target = |encoding| {
        Some(Target {
            encoding,
            spatial: 0,
            temporal: 2,
        })
    };
    for (came, late, expected) in [
        // The rest of it comes late, and then too late.
        (1, &[1, 2][..], &[][..]),
        (2, &[2][..], &[2][..]),
    ] {
        let mut order: Vec<_> = key(0, 0).collect();
        order.extend((0..came).map(|n| vp8(1, 0, 1, n, false)));
        let climbs = order.len();
        order.extend(key(1, 2));
        order.extend(late.iter().map(|n| vp8(2, 0, 1, *n, false)));
        let out = run(&order, &[(0, target(0)), (climbs, target(1))]);
        let after = out.iter().skip(climbs + PACKETS);
        let after: Vec<_> = after.map(|(sent, _)| sent.packet).collect();
        assert_eq!(after, expected, "{came} came in time");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn numbers_stay_continuous(
        delays in proptest::collection::vec(0u64..5, 600),
        lost in proptest::collection::vec(0u8..60, 600),
        keys in proptest::collection::vec(0u8..12, 100),
        changes in proptest::collection::vec((0usize..500, 0u8..3, 0u8..3), 0..8),
        reorder in any::<bool>(),
        codecs in proptest::collection::vec(proptest::sample::select(&KINDS[..]), 3),
    ) {
        let mut order = Vec::new();
        for frame in 0..90u32 {
            for encoding in 0..2u8 {
                for p in 0..PACKETS {
                    let n = order.len();
                    let codec = codecs[frame as usize / 32];
                    let key = frame % 32 == 0 || (frame % 4 == 0 && keys[frame as usize] == 0);
                    let delay = if reorder { delays[n % 600] } else { 0 };
                    let sent = Sent { codec, encoding, frame, packet: p, key };
                    if !(reorder && lost[n % 600] == 0) {
                        order.push((u64::from(frame) * 3 + delay, sent));
                    } else {
                        order.push((u64::MAX, sent));
                    }
                }
            }
        }
        order.retain(|(t, _)| *t != u64::MAX);
        order.sort_by_key(|(t, _)| *t);
        let mut targets = vec![(0, Some(Target { encoding: 1, spatial: 0, temporal: 2 }))];
        targets.extend(changes.iter().map(|&(at, encoding, temporal)| {
            (at + 1, (encoding < 2).then_some(Target { encoding, spatial: 0, temporal }))
        }));
        let out = run(&order, &targets);
        let mut by_seq = BTreeMap::new();
        for (sent, forward) in &out {
            // A number names one packet, and the first number is below 2^14, so nothing wraps here.
            prop_assert!(by_seq.insert(forward.seq, (*sent, *forward)).is_none(), "number {} twice", forward.seq);
        }
        let list: Vec<_> = by_seq.values().collect();
        for pair in list.windows(2) {
            let ((a, fa), (b, fb)) = (pair[0], pair[1]);
            let same_frame = a.encoding == b.encoding && a.frame == b.frame;
            if same_frame {
                prop_assert_eq!((fa.timestamp, fa.picture_id, fa.tl0), (fb.timestamp, fb.picture_id, fb.tl0));
                prop_assert!(b.packet > a.packet);
                prop_assert_eq!(usize::from(fb.seq - fa.seq), b.packet - a.packet);
            } else {
                prop_assert!(rtp::seq::diff32(fb.timestamp, fa.timestamp) > 0, "{:?} {:?}", pair[0], pair[1]);
                let step = fb.picture_id.wrapping_sub(fa.picture_id) & 0x7FFF;
                let ids = a.codec.has_ids() && b.codec.has_ids();
                prop_assert!(!ids || (1..60).contains(&step), "picture {} after {}", fb.picture_id, fa.picture_id);
                let whole = a.packet + 1 == PACKETS;
                prop_assert!(whole || fb.seq - fa.seq > 1, "{a:?} looks whole before {b:?}");
            }
            if (a.encoding, a.codec) != (b.encoding, b.codec) {
                prop_assert!(b.packet == 0 && b.key, "an encoding begins with the first packet of a key frame");
            }
        }
        if !reorder {
            // Nothing lost: no gap at all but where a frame was cut short.
            for pair in list.windows(2) {
                let ((a, fa), (b, fb)) = (pair[0], pair[1]);
                let gap = fb.seq - fa.seq;
                prop_assert!(gap == 1 || (gap == 2 && a.packet + 1 < PACKETS), "{:?} {:?}", pair[0], pair[1]);
                let step = fb.picture_id.wrapping_sub(fa.picture_id) & 0x7FFF;
                prop_assert!(step <= 1 || !(a.codec.has_ids() && b.codec.has_ids()), "picture id jumps by {step}");
            }
        }
    }
}

#[test]
fn offsets_are_small() {
    // One per slot and kind of number; kept in the hot part of a receiver's state.
    assert!(std::mem::size_of::<Offsets>() <= 64);
}
