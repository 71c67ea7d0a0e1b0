//! Packets written and read back, and hostile input for every parser.

use proptest::prelude::*;

use crate::ext::{self, Extension};
use crate::rewrite::write_padding_packet;
use crate::{
    ParseError, Rewrite, RtpHeader, RtpView, Ssrc, WriteError, av1, h264, red, rtx, vp8, vp9,
    write_packet,
};

fn rewrite<'a>(extensions: &'a [Extension<'a>]) -> Rewrite<'a> {
    Rewrite {
        sequence_number: 0xABCD,
        timestamp: 0x0102_0304,
        ssrc: Ssrc(0xDEAD_BEEF),
        payload_type: 101,
        marker: true,
        extensions,
        rtx_osn: None,
        vp8: None,
        padding: 0,
    }
}

/// A received packet with two CSRCs, a one-byte extension block, a VP8 payload and padding.
fn received() -> Vec<u8> {
    let mut p = vec![
        0xB2,
        0x80 | 100,
        0x12,
        0x34,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        2,
        0,
        0,
        0,
        3,
        0,
        0,
        0,
        4,
    ];
    p.extend_from_slice(&[0xBE, 0xDE, 0, 2, 0x10, 0x85, 0x31, 0xAA, 0xBB, 0, 0, 0]);
    p.extend_from_slice(&[0x90, 0xE0, 0x80, 0x05, 0x07, 0x60, 0x11, 0x22]);
    p.extend_from_slice(&[0, 0, 3]);
    p
}

#[test]
fn a_packet_in_all_its_parts() {
    let bytes = received();
    let p = RtpView::parse(&bytes).unwrap();
    assert!(p.marker);
    assert_eq!(
        (p.payload_type, p.sequence_number, p.timestamp, p.ssrc),
        (100, 0x1234, 1, Ssrc(2))
    );
    assert_eq!(p.csrcs().collect::<Vec<_>>(), [Ssrc(3), Ssrc(4)]);
    assert_eq!(p.extension(1), Some(&[0x85][..]));
    assert_eq!(p.extension(3), Some(&[0xAA, 0xBB][..]));
    assert_eq!(p.extension(2), None);
    assert_eq!(p.payload().len(), 8);
    assert_eq!((p.padding_len, p.packet_len()), (3, bytes.len()));
    let level = ext::AudioLevel::parse(p.extension(1).unwrap()).unwrap();
    assert_eq!((level.level, level.voice), (5, true));
    let encrypted = RtpHeader::parse_encrypted(&bytes).unwrap();
    assert_eq!((encrypted.payload_len, encrypted.padding_len), (11, 0));
}

#[test]
fn bad_packets() {
    let good = received();
    for n in 0..32 {
        assert!(RtpView::parse(&good[..n]).is_err(), "{n}");
    }
    let mut padding = good.clone();
    *padding.last_mut().unwrap() = 0;
    assert_eq!(RtpHeader::parse(&padding), Err(ParseError::Padding));
    *padding.last_mut().unwrap() = 12;
    assert_eq!(RtpHeader::parse(&padding), Err(ParseError::Padding));
    let mut version = good;
    version[0] = 0x32;
    assert_eq!(RtpHeader::parse(&version), Err(ParseError::Version));
}

#[test]
fn a_copy_for_a_receiver() {
    let bytes = received();
    let p = RtpView::parse(&bytes).unwrap();
    let vp8 = vp8::Vp8::parse(p.payload()).unwrap();
    let extensions = [
        Extension {
            id: 5,
            data: &[1, 2],
        },
        Extension {
            id: 3,
            data: &[9, 9, 9],
        },
    ];
    let mut out = [0xFF; 200];
    let r = Rewrite {
        vp8: Some((vp8, 0x4321, 0x99)),
        padding: 2,
        ..rewrite(&extensions)
    };
    let len = write_packet(&p, &r, &mut out).unwrap();
    let copy = RtpView::parse(&out[..len]).unwrap();
    assert!(copy.marker);
    assert_eq!(
        (
            copy.payload_type,
            copy.sequence_number,
            copy.timestamp,
            copy.ssrc
        ),
        (101, 0xABCD, 0x0102_0304, Ssrc(0xDEAD_BEEF))
    );
    assert_eq!((copy.csrc_count, copy.padding_len), (0, 2));
    assert_eq!(copy.extensions().collect::<Vec<_>>(), extensions);
    let new = vp8::Vp8::parse(copy.payload()).unwrap();
    assert_eq!(
        (new.picture_id, new.tl0_pic_idx, new.temporal_id),
        (Some((0x4321, true)), Some(0x99), Some(1))
    );
    assert_eq!(copy.payload()[6..], [0x11, 0x22]);
    for room in 0..len {
        assert_eq!(
            write_packet(&p, &r, &mut out[..room]),
            Err(WriteError::NoRoom),
            "{room}"
        );
    }

    let r = Rewrite {
        rtx_osn: Some(0x7788),
        ..rewrite(&[])
    };
    let len = write_packet(&p, &r, &mut out).unwrap();
    let copy = RtpView::parse(&out[..len]).unwrap();
    assert_eq!(copy.extension_profile, None);
    assert_eq!(rtx::unwrap(copy.payload()), Some((0x7788, p.payload())));
}

#[test]
fn a_probe_is_padding_only() {
    let mut out = [0xFF; 300];
    for padding in [0, 1, 255] {
        let r = Rewrite {
            padding,
            ..rewrite(&[])
        };
        let len = write_padding_packet(&r, &mut out).unwrap();
        let copy = RtpView::parse(&out[..len]).unwrap();
        assert_eq!((copy.payload_len, copy.padding_len), (0, padding.max(1)));
    }
}

#[test]
fn extension_forms() {
    let mut out = [0; 300];
    let long = [7; 17];
    for (elements, profile) in [
        (
            vec![Extension {
                id: 14,
                data: &[1; 16],
            }],
            0xBEDE,
        ),
        (vec![Extension { id: 15, data: &[1] }], 0x1000),
        (vec![Extension { id: 1, data: &[] }], 0x1000),
        (
            vec![
                Extension { id: 1, data: &long },
                Extension { id: 2, data: &[1] },
            ],
            0x1000,
        ),
    ] {
        let len = ext::write_block(elements.iter().copied(), &mut out).unwrap();
        assert_eq!(len % 4, 0);
        assert_eq!(u16::from_be_bytes([out[0], out[1]]), profile);
    }
    let bad = [Extension { id: 0, data: &[1] }];
    assert!(ext::write_block(bad.iter().copied(), &mut out).is_err());
}

#[test]
fn abs_send_time() {
    assert_eq!(
        ext::abs_send_time(&ext::abs_send_time_from_micros(1_500_000)),
        Some(3 << 17)
    );
    assert_eq!(
        ext::abs_send_time(&ext::abs_send_time_from_micros(64_000_000)),
        Some(0)
    );
    assert_eq!(ext::transport_seq(&[1, 2]), Some(0x0102));
    assert_eq!(ext::transport_seq(&[1]), None);
}

fn elements() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    prop::collection::vec((1u8..=255, prop::collection::vec(any::<u8>(), 0..40)), 0..6)
}

proptest! {
    #[test]
    fn extensions_round_trip(elements in elements()) {
        let list: Vec<_> = elements.iter().map(|(id, data)| Extension { id: *id, data }).collect();
        let plain = [0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xAA];
        let mut out = [0; 500];
        let view = RtpView::parse(&plain).unwrap();
        let len = write_packet(&view, &rewrite(&list), &mut out).unwrap();
        let copy = RtpView::parse(&out[..len]).unwrap();
        prop_assert_eq!(copy.extensions().collect::<Vec<_>>(), list);
        prop_assert_eq!(copy.payload(), [0xAA]);
    }

    #[test]
    fn any_packet(mut bytes in prop::collection::vec(any::<u8>(), 0..120), versioned: bool) {
        if let (true, Some(first)) = (versioned, bytes.first_mut()) {
            *first = 0x80 | *first & 0x3F;
        }
        let encrypted = RtpHeader::parse_encrypted(&bytes);
        if let Ok(view) = RtpView::parse(&bytes) {
            prop_assert!(encrypted.is_ok());
            prop_assert_eq!(view.packet_len(), bytes.len());
            prop_assert_eq!(view.payload().len(), usize::from(view.payload_len));
            let _ = (view.csrcs().count(), view.extensions().count());
            let mut out = [0; 400];
            let len = write_packet(&view, &rewrite(&[]), &mut out).unwrap();
            prop_assert_eq!(RtpView::parse(&out[..len]).unwrap().payload(), view.payload());
        }
    }

    #[test]
    fn any_payload(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(vp8) = vp8::Vp8::parse(&bytes) {
            let mut copy = bytes.clone();
            vp8.rewrite(&mut copy, 0x1234, 5);
            let again = vp8::Vp8::parse(&copy).unwrap();
            prop_assert_eq!((again.len, again.temporal_id, again.key_frame), (vp8.len, vp8.temporal_id, vp8.key_frame));
            prop_assert_eq!(&copy[usize::from(vp8.len)..], &bytes[usize::from(vp8.len)..]);
        }
        if let Ok(vp9) = vp9::Vp9::parse(&bytes) {
            let mut copy = bytes.clone();
            vp9.rewrite(&mut copy, 0x1234, 5);
            let again = vp9::Vp9::parse(&copy).unwrap();
            prop_assert_eq!((again.len, again.spatial_id, again.structure), (vp9.len, vp9.spatial_id, vp9.structure));
        }
        if let Ok(blocks) = red::blocks(&bytes) {
            prop_assert!(blocks.map(|b| b.data.len()).sum::<usize>() < bytes.len());
        }
        let _ = (h264::contents(&bytes), crate::obu::starts_sequence(&bytes), rtx::unwrap(&bytes), crate::audio::opus_duration(&bytes));
        if let Ok(d) = av1::Descriptor::parse(&bytes, None) {
            let mut out = [0; 255];
            if let Ok(len) = d.layout.rewrite(&bytes, 9, 0, None, &mut out) {
                let again = av1::Descriptor::parse(&out[..len], None).unwrap();
                prop_assert_eq!(again.structure, d.structure);
                prop_assert_eq!(again.frame, d.frame);
            }
        }
        let mut structure = None;
        if let Ok(frame) = av1::Frame::parse(&bytes, &mut structure) {
            let target = frame.best_target(1, 1);
            let mask = target.map(|target| frame.mask_within(target));
            let mut out = [0; 255];
            if let Ok(len) = frame.layout.rewrite(&bytes, 9, 63, mask, &mut out) {
                let again = av1::Descriptor::parse(&out[..len], structure.as_deref()).unwrap();
                prop_assert_eq!(again.mandatory.frame_number, 9);
                prop_assert_eq!(mask.is_none() || again.active_targets == mask, true);
            }
        }
    }

    #[test]
    fn sequence_numbers_unwrap(start: u16, steps in prop::collection::vec(-100i32..3000, 1..200)) {
        let mut unwrapper = crate::seq::Unwrapper::default();
        let mut expected = i64::from(start) + (1 << 16);
        prop_assert_eq!(unwrapper.unwrap(start), expected as u64);
        let mut highest = expected;
        for step in steps {
            expected = (highest + i64::from(step)).max(0);
            prop_assert_eq!(unwrapper.unwrap(expected as u16), expected as u64);
            highest = highest.max(expected);
        }
    }
}
