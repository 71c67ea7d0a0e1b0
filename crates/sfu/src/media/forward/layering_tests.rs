//! Random layers over random switching and loss: whatever goes on can be decoded, and pictures end with their markers.

use super::layering::{Layering, Wanted};
use crate::media::packet::Codec;
use proptest::prelude::*;
use rtp::av1::{Frame, Structure};
use rtp::vp9::Vp9;
use std::collections::{BTreeMap, BTreeSet};

/// How layers depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Upper layers refer to lower ones in every picture.
    Full,
    /// In key pictures only.
    Key,
}

/// Temporal layer of the nth picture since the key one, and how far back its reference lies.
fn temporal(n: u64, layers: u8) -> (u8, u64) {
    match (layers, n % 4) {
        (1, _) => (0, 1),
        (2, m) => {
            if m % 2 == 0 {
                (0, 2)
            } else {
                (1, 1)
            }
        }
        (_, 0) => (0, 4),
        (_, 2) => (1, 2),
        _ => (2, 1),
    }
}

/// A layer frame: its number, layers, what it refers to, and what says so.
pub(super) struct Sent {
    pub(super) id: (u64, u8),
    temporal: u8,
    pub(super) key: bool,
    references: Vec<(u64, u8)>,
    pub(super) codec: Codec,
    pub(super) number: u64,
    pub(super) last: bool,
}

/// What a sender makes: layers, and how they depend on each other.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    mode: Mode,
    pub(super) spatial: u8,
    temporal: u8,
    /// Pictures before which a key one is made, besides the first.
    keys: BTreeSet<u64>,
}

impl Stream {
    fn frame(&self, picture: u64, since: u64, s: u8) -> (Vec<(u64, u8)>, bool, bool) {
        let (t, back) = temporal(since, self.temporal);
        let key = since == 0;
        let inter_layer = s > 0 && (key || self.mode == Mode::Full);
        let needed_above = s + 1 < self.spatial && (key || self.mode == Mode::Full);
        let _ = t;
        let mut references = Vec::new();
        if !key {
            references.push((picture - back.min(since), s));
        }
        if inter_layer {
            references.push((picture, s - 1));
        }
        (references, inter_layer, needed_above)
    }

    pub(super) fn vp9(&self, pictures: u64) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut since = 0;
        for picture in 0..pictures {
            since = if picture == 0 || self.keys.contains(&picture) {
                0
            } else {
                since + 1
            };
            let (t, _) = temporal(since, self.temporal);
            for s in 0..self.spatial {
                let (references, inter_layer, needed_above) = self.frame(picture, since, s);
                let predicted = since > 0;
                let mut bytes = vec![
                    0xAC | u8::from(predicted) << 6 | u8::from(!needed_above),
                    0x80 | (picture >> 8) as u8,
                    picture as u8,
                    t << 5 | 0x10 | s << 1 | u8::from(inter_layer),
                    0,
                ];
                if since == 0 && s == 0 {
                    bytes[0] |= 2;
                    bytes.push((self.spatial - 1) << 5);
                }
                sent.push(Sent {
                    id: (picture, s),
                    temporal: t,
                    key: since == 0 && s == 0,
                    references,
                    codec: Codec::Vp9(Vp9::parse(&bytes).unwrap()),
                    number: (1 << 15) + picture,
                    last: s + 1 == self.spatial,
                });
            }
        }
        sent
    }

    pub(super) fn av1(&self, pictures: u64) -> Vec<Sent> {
        let mut sent = Vec::new();
        let (mut since, mut number) = (0, 0u64);
        let mut structure: Option<Box<Structure>> = None;
        let mut numbers: BTreeMap<(u64, u8), u64> = BTreeMap::new();
        for picture in 0..pictures {
            since = if picture == 0 || self.keys.contains(&picture) {
                0
            } else {
                since + 1
            };
            let (t, _) = temporal(since, self.temporal);
            for s in 0..self.spatial {
                let (references, ..) = self.frame(picture, since, s);
                let diffs: Vec<u64> = references.iter().map(|r| number - numbers[r]).collect();
                numbers.insert((picture, s), number);
                let data = self.descriptor(since == 0, (s, t), number as u16, &diffs);
                let frame = Frame::parse(&data, &mut structure).unwrap();
                assert_eq!((frame.spatial, frame.temporal), (s, t));
                sent.push(Sent {
                    id: (picture, s),
                    temporal: t,
                    key: since == 0 && s == 0,
                    references,
                    codec: Codec::Av1(Some(frame)),
                    number: (1 << 16) + number,
                    last: s + 1 == self.spatial,
                });
                number += 1;
            }
        }
        sent
    }

    /// A descriptor that says everything itself: indications and differences.
    fn descriptor(&self, key: bool, (s, t): (u8, u8), number: u16, diffs: &[u64]) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        let mut put = |value: u64, count: u32| {
            bits.extend((0..count).rev().map(|bit| value >> bit & 1 != 0));
        };
        let layers = || (0..self.spatial).flat_map(|s| (0..self.temporal).map(move |t| (s, t)));
        let template = u64::from(s * self.temporal + t);
        put(3, 2);
        put(template, 6);
        put(number.into(), 16);
        let structure = key && s == 0;
        put(u64::from(structure) << 4 | 0b110, 5);
        if structure {
            let count = self.spatial * self.temporal;
            put(0, 6);
            put(u64::from(count) - 1, 5);
            for (s, t) in layers() {
                let more = match (s + 1 == self.spatial, t + 1 == self.temporal) {
                    (true, true) => 3,
                    (false, true) => 2,
                    _ => 1,
                };
                put(more, 2);
            }
            for layer in layers() {
                for target in layers() {
                    put(self.indication(false, layer, target), 2);
                }
            }
            for _ in layers() {
                put(0, 1);
            }
            // No chains: ns(count + 1) of 0 is one bit less than the width, or that.
            let limit = u32::from(count) + 1;
            put(0, 31 - limit.leading_zeros());
            put(0, 1);
        }
        for target in layers() {
            put(self.indication(key, (s, t), target), 2);
        }
        for diff in diffs {
            put(2, 2);
            put(diff - 1, 8);
        }
        put(0, 2);
        let bytes = bits.chunks(8);
        let byte = |c: &[bool]| (0..8).fold(0, |b, n| b << 1 | u8::from(c.get(n) == Some(&true)));
        bytes.map(byte).collect()
    }

    /// As libwebrtc's scalability structures have it.
    fn indication(&self, key: bool, (s, t): (u8, u8), (of_s, of_t): (u8, u8)) -> u64 {
        let refers = key || self.mode == Mode::Full;
        if of_s < s || of_t < t || (of_s > s && !refers) {
            return 0;
        }
        match (of_s == s || key, t) {
            (true, 0) => 2,
            (_, 0) => 3,
            _ if t + 1 == self.temporal => 1,
            _ => 3,
        }
    }
}

/// Sends a stream through; what goes on. `wanted` by picture; `lost` frames never come, `late` ones after the next two.
fn pass(
    sent: &[Sent],
    wanted: impl Fn(u64) -> Wanted,
    lost: &BTreeSet<usize>,
    late: &BTreeSet<usize>,
) -> (BTreeMap<(u64, u8), bool>, bool) {
    let mut layering = Layering::new(wanted(0));
    let mut order: Vec<(usize, usize)> = (0..sent.len())
        .filter(|n| !lost.contains(n))
        .map(|n| (n + if late.contains(&n) { 3 } else { 0 }, n))
        .collect();
    order.sort_unstable();
    let mut passed = BTreeMap::new();
    let mut newest = 0;
    let mut stuck = false;
    for (_, n) in order {
        let frame = &sent[n];
        let newer = frame.number > newest;
        newest = newest.max(frame.number);
        let now = wanted(frame.id.0);
        if let Some(p) = layering.admit(&frame.codec, Some(frame.number), newer, now) {
            passed.insert(frame.id, p.ends || frame.last);
        }
        // Packets of one frame share its fate.
        let again = layering.admit(&frame.codec, Some(frame.number), false, now);
        assert_eq!(again.is_some(), passed.contains_key(&frame.id));
        stuck = layering.needs_key_frame(now);
    }
    (passed, stuck)
}

/// What a decoder would make of it.
fn check(sent: &[Sent], passed: &BTreeMap<(u64, u8), bool>, lost: &BTreeSet<usize>) {
    let gone: BTreeSet<_> = lost.iter().map(|n| sent[*n].id).collect();
    for frame in sent.iter().filter(|f| passed.contains_key(&f.id)) {
        for reference in frame.references.iter().filter(|r| !gone.contains(r)) {
            assert!(
                passed.contains_key(reference),
                "{:?} without {reference:?}",
                frame.id
            );
        }
    }
    let pictures: BTreeSet<u64> = passed.keys().map(|id| id.0).collect();
    for picture in pictures {
        let of_it: Vec<_> = passed.range((picture, 0)..(picture + 1, 0)).collect();
        let last = of_it.iter().filter(|(_, ends)| **ends).count();
        let whole = !gone.iter().any(|id| id.0 == picture);
        if whole {
            assert!(
                last == 1 && *of_it.last().unwrap().1,
                "{picture}: {of_it:?}"
            );
        }
    }
}

pub(super) fn streams() -> impl Strategy<Value = Stream> {
    let keys = proptest::collection::btree_set(1u64..120, 0..5);
    let mode = prop_oneof![Just(Mode::Full), Just(Mode::Key)];
    (mode, 1u8..=3, 1u8..=3, keys).prop_map(|(mode, spatial, temporal, keys)| Stream {
        mode,
        spatial,
        temporal,
        keys,
    })
}

proptest! {
    #[test]
    fn what_goes_on_can_be_decoded(
        stream in streams(),
        av1: bool,
        switches in proptest::collection::vec((0u8..3, 0u8..4), 120),
        every in 1u64..40,
        losses in proptest::collection::btree_set(4usize..300, 0..6),
        late in proptest::collection::btree_set(4usize..300, 0..6),
    ) {
        let sent = if av1 { stream.av1(120) } else { stream.vp9(120) };
        let top = stream.spatial - 1;
        let wanted = |picture: u64| {
            let (spatial, temporal) = switches[(picture / every) as usize];
            Wanted { spatial: spatial.min(top), temporal }
        };
        let inside = |set: &BTreeSet<usize>| set.iter().copied().filter(|n| *n < sent.len()).collect();
        let (losses, late): (BTreeSet<usize>, BTreeSet<usize>) = (inside(&losses), inside(&late));
        let (passed, _) = pass(&sent, wanted, &losses, &late);
        check(&sent, &passed, &losses);
    }

    /// Without loss: after a key frame all that is wanted goes on, and nothing above it.
    #[test]
    fn what_is_wanted_goes_on(
        stream in streams(),
        av1: bool,
        spatial in 0u8..3,
        temporal in 0u8..3,
        before in (0u8..3, 0u8..3),
    ) {
        let stream = Stream { keys: BTreeSet::from([60]), ..stream };
        let sent = if av1 { stream.av1(120) } else { stream.vp9(120) };
        let goal = Wanted { spatial: spatial.min(stream.spatial - 1), temporal };
        let first = Wanted { spatial: before.0.min(stream.spatial - 1), temporal: before.1 };
        let wanted = |picture: u64| if picture < 30 { first } else { goal };
        let none = BTreeSet::new();
        let (passed, stuck) = pass(&sent, wanted, &none, &none);
        prop_assert!(!stuck);
        check(&sent, &passed, &none);
        for frame in sent.iter().filter(|f| f.id.0 >= 60) {
            let (_, s) = frame.id;
            let needed = s == goal.spatial
                || s < goal.spatial && (stream.mode == Mode::Full || frame.id.0 == 60);
            let expected = needed && frame.temporal <= goal.temporal;
            prop_assert_eq!(passed.contains_key(&frame.id), expected, "{:?}", frame.id);
        }
        let down = goal.spatial < first.spatial || goal.temporal < first.temporal;
        if down && goal.spatial <= first.spatial && stream.mode == Mode::Full {
            // At once, without a key frame.
            let above = |f: &&Sent| f.id.1 > goal.spatial || f.temporal > goal.temporal;
            let mut late = sent.iter().filter(|f| (36..60).contains(&f.id.0)).filter(above);
            prop_assert!(late.all(|f| !passed.contains_key(&f.id)));
        }
        prop_assert!(sent.iter().any(|f| f.key));
    }
}
