//! Continuity of the numbers of a scalable stream, k-SVC and full SVC, VP9 and AV1, over random switching, loss and
//! reordering.

use super::layering_tests::{Stream, streams};
use super::slot::{Target, VideoSlot};
use crate::media::ingest::{KeyFrames, KeySign};
use crate::media::packet::{Codec, Outgoing, Published, Record};
use crate::media::store::Store;
use crate::media::table::{FeedId, Key};
use proptest::prelude::*;
use rtp::RtpHeader;
use std::collections::BTreeMap;

/// Packets of the frame of one layer.
const PACKETS: usize = 2;
const PICTURES: u64 = 120;
/// RTP units between two pictures.
const STEP: u32 = 3_000;

/// What a packet is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    picture: u64,
    spatial: u8,
    packet: usize,
}

#[derive(Clone, Copy)]
struct Sent {
    part: Part,
    /// What its codec counts: pictures, or frames of layers.
    number: u64,
    seq: u64,
    record: Record,
    sign: KeySign,
}

/// The packets of a stream in their order.
fn packets(stream: &Stream, av1: bool) -> Vec<Sent> {
    let frames = if av1 {
        stream.av1(PICTURES)
    } else {
        stream.vp9(PICTURES)
    };
    let parts = frames
        .iter()
        .flat_map(|f| (0..PACKETS).map(move |n| (f, n)));
    let sent = parts.zip(70_000u64..).map(|((frame, packet), seq)| {
        let (picture, spatial) = frame.id;
        let (first, last) = (packet == 0, packet + 1 == PACKETS);
        let mut codec = frame.codec;
        match &mut codec {
            Codec::Vp9(vp9) => {
                (vp9.start_of_frame, vp9.end_of_frame) = (first, last);
                vp9.structure = vp9.structure.filter(|_| first);
            }
            Codec::Av1(Some(frame)) => {
                (frame.start, frame.end) = (first, last);
                frame.structure = frame.structure.filter(|_| first);
            }
            _ => {}
        }
        let marker = u8::from(frame.last && last) << 7;
        let mut bytes = vec![0x80, 100 | marker];
        bytes.extend((seq as u16).to_be_bytes());
        bytes.extend((picture as u32 * STEP).to_be_bytes());
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 0]);
        let sign = match frame.key && first {
            true => KeySign::Start,
            false => KeySign::None,
        };
        Sent {
            part: Part {
                picture,
                spatial,
                packet,
            },
            number: frame.number,
            seq,
            record: Record {
                header: RtpHeader::parse(&bytes).unwrap(),
                codec,
                orientation: None,
                audio_level: None,
                descriptor: (0, 0),
                before: None,
            },
            sign,
        }
    });
    sent.collect()
}

/// Feeds packets in the order given, with what is wanted at each; what leaves, by its number.
fn run(order: &[&Sent], wanted: impl Fn(u64) -> Option<Target>) -> Vec<(Sent, Outgoing)> {
    let mut store = Store::new(4096, 1 << 20);
    let mut keys = KeyFrames::default();
    let mut slot = VideoSlot::new(9, Some(10), 0x1234_5678_9ABC_DEF0);
    slot.bind(FeedId::of(0), 0);
    let mut ids = Vec::new();
    let mut out: BTreeMap<u16, (Sent, Outgoing)> = BTreeMap::new();
    let mut newest = 0;
    for sent in order {
        // A packet that is late does not bring back what was wanted before.
        newest = newest.max(sent.part.picture);
        slot.set_target(wanted(newest));
        let now = 1_000_000 + sent.part.picture * 33_333;
        let id = store.insert(&[0; 20], sent.record).unwrap();
        ids.push((id, **sent));
        let published = Published {
            seq: sent.seq,
            timestamp: sent.record.header.timestamp,
            id,
        };
        let key = keys.note(now, published, sent.sign);
        let mut burst = Vec::new();
        if key && (slot.accepts_keyframe(0) || !slot.continues(0, &sent.record)) {
            slot.start(now, 0, keys.since_key(), false, &store, |f, _| {
                burst.push(f)
            });
        } else {
            burst.extend(slot.offer(now, 0, &published, &sent.record, key));
        }
        for forward in burst {
            let what = ids.iter().find(|(id, _)| *id == forward.id).unwrap().1;
            // The first number is below 2^14: nothing wraps here.
            let before = out.insert(forward.seq, (what, forward));
            assert!(before.is_none(), "number {} twice", forward.seq);
        }
    }
    out.into_values().collect()
}

/// `whole`: nothing was lost or reordered. `restarts`: it was not wanted for a while.
fn check(out: &[(Sent, Outgoing)], whole: bool, restarts: bool, av1: bool) {
    let mask = if av1 { 0xFFFF } else { 0x7FFF };
    for pair in out.windows(2) {
        let ((a, fa), (b, fb)) = (&pair[0], &pair[1]);
        let gap = fb.seq - fa.seq;
        let time = rtp::seq::diff32(fb.timestamp, fa.timestamp);
        let step = u64::from(fb.picture_id.wrapping_sub(fa.picture_id) & mask);
        let what = format!("{:?} {fa:?}, {:?} {fb:?}", a.part, b.part);
        assert!(b.part > a.part, "order: {what}");
        let numbers = b.number - a.number;
        if a.part.picture == b.part.picture {
            assert_eq!((time, step), (0, numbers), "one picture: {what}");
            assert!(!fa.ends, "it goes on: {what}");
        } else {
            assert!(gap > 1 || fa.ends, "looks whole: {what}");
            let pictures = b.part.picture - a.part.picture;
            match restarts {
                true => assert!(time > 0 && (1..=numbers).contains(&step), "{what}"),
                false => {
                    assert_eq!(time, (pictures * u64::from(STEP)) as i32, "{what}");
                    assert_eq!(step, numbers, "{what}");
                }
            }
        }
        if whole {
            assert!(gap == 1 || gap == 2 && restarts && !fa.ends, "{what}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn numbers_of_scalable_streams_stay_continuous(
        stream in streams(),
        av1: bool,
        // What is wanted, and how long: none of it one time in eight.
        switches in proptest::collection::vec((0u8..3, 0u8..4, 0u8..8), 120),
        every in 2u64..40,
        may_stop: bool,
        disorder: bool,
        delays in proptest::collection::vec(0u64..5, 300),
        lost in proptest::collection::vec(0u8..40, 300),
    ) {
        let sent = packets(&stream, av1);
        let mut order: Vec<(u64, &Sent)> = (0u64..).zip(&sent)
            .filter(|(n, _)| !disorder || lost[*n as usize % 300] > 0)
            .map(|(n, s)| (n + if disorder { delays[n as usize % 300] } else { 0 }, s))
            .collect();
        order.sort_by_key(|(at, _)| *at);
        let order: Vec<&Sent> = order.into_iter().map(|(_, s)| s).collect();
        let wanted = |picture: u64| {
            let (spatial, temporal, none) = switches[(picture / every) as usize];
            let target = Target { encoding: 0, spatial: spatial.min(stream.spatial - 1), temporal };
            (none > 0 || !may_stop).then_some(target)
        };
        let out = run(&order, wanted);
        // It begins with a key picture, the first one unless that has a gap.
        prop_assert!(disorder || may_stop || !out.is_empty());
        check(&out, !disorder, may_stop, av1);
    }
}
