//! Writing and reading back every packet, known bytes, and hostile input.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::twcc::Recorder;
use super::*;
use crate::WriteError;

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = [0u8; 1500];
    let mut writer = Writer::new(&mut buf);
    write(&mut writer);
    writer.written().to_vec()
}

fn one(bytes: &[u8]) -> Rtcp<'_> {
    let mut all = packets(bytes);
    let first = all.next().unwrap().unwrap();
    assert!(all.next().is_none());
    first
}

const BLOCK: ReportBlock = ReportBlock {
    ssrc: Ssrc(0x0102_0304),
    fraction_lost: 64,
    cumulative_lost: -3,
    highest_seq: 0x0001_FFFF,
    jitter: 17,
    last_sr: 0xAABB_CCDD,
    delay_since_last_sr: 65_536,
};

#[test]
fn reports() {
    let info = SenderInfo {
        ntp: 0x1122_3344_5566_7788,
        rtp_timestamp: 9,
        packet_count: 10,
        octet_count: 11,
    };
    let bytes = written(|w| {
        w.sender_report(Ssrc(5), &info, &[BLOCK]).unwrap();
        w.receiver_report(Ssrc(6), &[BLOCK, BLOCK]).unwrap();
        w.sdes_cname(Ssrc(6), "pontoon").unwrap();
        w.bye(&[Ssrc(6), Ssrc(7)]).unwrap();
    });
    let all: Vec<_> = packets(&bytes).map(|p| p.unwrap()).collect();
    assert_eq!(all.len(), 4);
    let Rtcp::SenderReport(sr) = all[0] else {
        panic!()
    };
    assert_eq!((sr.ssrc, sr.info), (Ssrc(5), info));
    assert_eq!(sr.blocks.iter().collect::<Vec<_>>(), [BLOCK]);
    let Rtcp::ReceiverReport { ssrc, blocks } = all[1] else {
        panic!()
    };
    assert_eq!((ssrc, blocks.iter().count()), (Ssrc(6), 2));
    let Rtcp::Sdes(sdes) = all[2] else { panic!() };
    assert_eq!(
        sdes,
        [
            &[0x81, 202, 0, 4, 0, 0, 0, 6, 1, 7][..],
            b"pontoon",
            &[0, 0, 0]
        ]
        .concat()
    );
    let Rtcp::Bye(ssrcs) = all[3] else { panic!() };
    assert_eq!(ssrcs.iter().collect::<Vec<_>>(), [Ssrc(6), Ssrc(7)]);
    assert!(
        Writer::new(&mut [0; 1500])
            .receiver_report(Ssrc(1), &[BLOCK; 32])
            .is_err()
    );
}

#[test]
fn ntp_times() {
    let ntp = ntp_from_unix_micros(1_500_000);
    assert_eq!(ntp, 2_208_988_801 << 32 | 1 << 31);
    assert_eq!(compact_ntp(ntp), 0x7E81_8000);
}

#[test]
fn requests_for_pictures() {
    let bytes = written(|w| w.pli(Ssrc(1), Ssrc(2)).unwrap());
    assert_eq!(bytes, [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert!(matches!(
        one(&bytes),
        Rtcp::Pli {
            sender: Ssrc(1),
            media: Ssrc(2)
        }
    ));
    let entry = FirEntry {
        ssrc: Ssrc(9),
        seq: 200,
    };
    let bytes = written(|w| w.fir(Ssrc(1), &[entry]).unwrap());
    let Rtcp::Fir(fir) = one(&bytes) else {
        panic!()
    };
    assert_eq!(fir.entries().collect::<Vec<_>>(), [entry]);
}

#[test]
fn estimates() {
    for bitrate in [0, 1, 262_143, 262_144, 1_500_000, u64::MAX] {
        let bytes = written(|w| w.remb(Ssrc(1), bitrate, &[Ssrc(3), Ssrc(4)]).unwrap());
        let Rtcp::Remb(remb) = one(&bytes) else {
            panic!()
        };
        assert_eq!(remb.ssrcs().collect::<Vec<_>>(), [Ssrc(3), Ssrc(4)]);
        assert!(
            remb.bitrate <= bitrate && bitrate - remb.bitrate <= bitrate >> 17,
            "{bitrate}"
        );
    }
}

#[test]
fn nack_known_bytes() {
    let bytes = written(|w| assert_eq!(w.nack(Ssrc(1), Ssrc(2), &[10, 11, 26, 27]), Ok(4)));
    assert_eq!(bytes[12..], [0, 10, 0x80, 0x01, 0, 27, 0, 0]);
    let mut small = [0; 16];
    let mut w = Writer::new(&mut small);
    assert_eq!(w.nack(Ssrc(1), Ssrc(2), &[10, 11, 100]), Ok(2));
    assert_eq!(w.nack(Ssrc(1), Ssrc(2), &[100]), Err(WriteError::NoRoom));
}

#[test]
fn padding_and_bad_compounds() {
    let padded = [0xA1, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];
    assert!(matches!(one(&padded), Rtcp::Pli { .. }));
    let error = |bytes: &[u8]| packets(bytes).find_map(Result::err);
    assert_eq!(
        error(&[0x81, 206, 0, 9, 0, 0, 0, 1]),
        Some(ParseError::Truncated)
    );
    assert_eq!(error(&[0x41, 206, 0, 0]), Some(ParseError::Version));
    assert_eq!(
        error(&[0xA1, 206, 0, 1, 0, 0, 0, 9]),
        Some(ParseError::Padding)
    );
    assert_eq!(
        error(&[0x82, 201, 0, 1, 0, 0, 0, 1]),
        Some(ParseError::Truncated)
    );
    assert!(matches!(
        one(&[0x80, 204, 0, 1, 1, 2, 3, 4]),
        Rtcp::Other {
            packet_type: 204,
            ..
        }
    ));
}

/// Reads all feedback that a recorder has, as arrivals by number.
fn drain(recorder: &mut Recorder, room: usize) -> Vec<(u16, Option<i64>)> {
    let mut buf = vec![0; room];
    let mut all = Vec::new();
    loop {
        let len = recorder.write(Ssrc(1), Ssrc(2), &mut buf).unwrap();
        if len == 0 {
            return all;
        }
        assert_eq!(len % 4, 0);
        let Rtcp::Twcc(twcc) = one(&buf[..len]) else {
            panic!()
        };
        assert_eq!(twcc.arrivals().count(), usize::from(twcc.count));
        all.extend(twcc.arrivals());
    }
}

#[test]
fn twcc_known_bytes() {
    let mut recorder = Recorder::new();
    recorder.record(100, 64_000 * 5 + 1000);
    recorder.record(101, 64_000 * 5 + 2000);
    recorder.record(103, 64_000 * 5 + 1750);
    let mut buf = [0; 100];
    let len = recorder.write(Ssrc(1), Ssrc(2), &mut buf).unwrap();
    let expected = [
        0xAF,
        205,
        0,
        6,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        2, // head
        0,
        100,
        0,
        4,
        0,
        0,
        5,
        0, // base, count, reference time, feedback count
        0b1101_0100,
        0b1000_0000, // two-bit vector: small, small, none, large
        4,
        4,
        0xFF,
        0xFF,
        0,
        2, // deltas: 1 ms, 1 ms, -0.25 ms; padding
    ];
    assert_eq!(buf[..len], expected);
    assert_eq!(recorder.write(Ssrc(1), Ssrc(2), &mut buf), Ok(0));
}

#[test]
fn a_late_packet_is_reported_with_its_neighbours() {
    let mut recorder = Recorder::new();
    for seq in [10, 11, 13, 14] {
        recorder.record(seq, u64::from(seq) * 1000);
    }
    assert_eq!(drain(&mut recorder, 100).len(), 5);
    recorder.record(12, 20_000);
    recorder.record(15, 21_000);
    let again = drain(&mut recorder, 100);
    let received = again
        .iter()
        .map(|(seq, at)| (*seq, at.is_some()))
        .collect::<Vec<_>>();
    assert_eq!(received, [(12, true), (13, true), (14, true), (15, true)]);
    recorder.record(12, 30_000);
    assert!(recorder.is_empty(), "a repeated packet is no news");
}

#[test]
fn a_jump_does_not_make_a_giant_feedback() {
    let mut recorder = Recorder::new();
    recorder.record(0, 0);
    recorder.record(30_000, 1000);
    assert_eq!(drain(&mut recorder, 1200), [(30_000, Some(1000))]);
}

proptest! {
    #[test]
    fn nack_round_trip(start: u16, gaps in prop::collection::vec(1u16..40, 0..300)) {
        let mut seq = start;
        let lost: Vec<u16> = gaps.iter().map(|g| { seq = seq.wrapping_add(*g); seq }).collect();
        let mut rest = &lost[..];
        let mut read = Vec::new();
        while !rest.is_empty() {
            let mut buf = [0; 200];
            let mut w = Writer::new(&mut buf);
            let covered = w.nack(Ssrc(1), Ssrc(2), rest).unwrap();
            let Rtcp::Nack(nack) = one(w.written()) else { panic!() };
            read.extend(nack.sequence_numbers());
            rest = &rest[covered..];
        }
        prop_assert_eq!(read, lost);
    }

    #[test]
    fn twcc_round_trip(
        start: u16,
        room in 28usize..1200,
        packets in prop::collection::vec((1u16..20, 0u64..30_000_000, prop::bool::weighted(0.8)), 1..200),
    ) {
        let mut recorder = Recorder::new();
        let mut expected = BTreeMap::new();
        let (mut seq, mut micros) = (start, 10_000_000u64);
        for (gap, wait, dense) in packets {
            seq = seq.wrapping_add(if dense { 1 } else { gap });
            micros += if dense { wait % 3000 } else { wait };
            recorder.record(seq, micros);
            expected.insert(seq, micros);
        }
        let read = drain(&mut recorder, room);
        for pair in read.windows(2) {
            prop_assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
        }
        let arrived: BTreeMap<u16, i64> = read.iter().filter_map(|(s, at)| at.map(|at| (*s, at))).collect();
        prop_assert_eq!(arrived.len(), expected.len());
        for (seq, micros) in expected {
            let at = arrived[&seq];
            prop_assert!((micros as i64 - at).abs() < 250, "{} {} {}", seq, micros, at);
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = packets(&bytes).map(visit).count();
    }

    /// Mostly well-formed heads, so that the bodies are reached.
    #[test]
    fn any_body(
        ty in 199u8..208,
        count in 0u8..32,
        padding: bool,
        mut body in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        body.truncate(body.len() / 4 * 4);
        let mut bytes = vec![0x80 | u8::from(padding) << 5 | count, ty, 0, (body.len() / 4) as u8];
        bytes.extend_from_slice(&body);
        let _ = packets(&bytes).map(visit).count();
    }
}

/// Looks at everything in a packet.
fn visit(packet: Result<Rtcp<'_>, ParseError>) {
    match packet {
        Ok(Rtcp::SenderReport(sr)) => assert!(sr.blocks.iter().count() < 32),
        Ok(Rtcp::ReceiverReport { blocks, .. }) => assert!(blocks.iter().count() < 32),
        Ok(Rtcp::Bye(ssrcs)) => assert!(ssrcs.iter().count() < 32),
        Ok(Rtcp::Nack(nack)) => drop(nack.sequence_numbers().count()),
        Ok(Rtcp::Twcc(twcc)) => assert_eq!(twcc.arrivals().count(), usize::from(twcc.count)),
        Ok(Rtcp::Fir(fir)) => drop(fir.entries().count()),
        Ok(Rtcp::Remb(remb)) => drop(remb.ssrcs().count()),
        Ok(Rtcp::Pli { .. } | Rtcp::Sdes(_) | Rtcp::Other { .. }) | Err(_) => {}
    }
}
