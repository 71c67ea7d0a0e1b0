//! RTCP compounds: everything in them is looked at, and feedback is written back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtp::Ssrc;
use rtp::rtcp::twcc::Recorder;
use rtp::rtcp::{Rtcp, Writer, packets};

fuzz_target!(|data: &[u8]| {
    let mut recorder = Recorder::new();
    let mut out = [0; 1500];
    for packet in packets(data).flatten() {
        match packet {
            Rtcp::SenderReport(sr) => assert!(sr.blocks.iter().count() < 32),
            Rtcp::ReceiverReport { blocks, .. } => assert!(blocks.iter().count() < 32),
            Rtcp::Bye(ssrcs) => assert!(ssrcs.iter().count() < 32),
            Rtcp::Nack(nack) => {
                let mut lost: Vec<u16> = nack.sequence_numbers().collect();
                lost.sort_unstable();
                lost.dedup();
                let mut writer = Writer::new(&mut out);
                if let Ok(covered) = writer.nack(Ssrc(1), Ssrc(2), &lost) {
                    let Some(Ok(Rtcp::Nack(copy))) = packets(writer.written()).next() else {
                        return;
                    };
                    assert!(copy.sequence_numbers().eq(lost[..covered].iter().copied()));
                }
            }
            Rtcp::Twcc(twcc) => {
                assert_eq!(twcc.arrivals().count(), usize::from(twcc.count));
                for (seq, at) in twcc.arrivals().take(10_000) {
                    if let Some(micros) = at {
                        recorder.record(seq, micros.unsigned_abs());
                    }
                }
            }
            Rtcp::Fir(fir) => drop(fir.entries().count()),
            Rtcp::Remb(remb) => drop(remb.ssrcs().count()),
            _ => {}
        }
    }
    for _ in 0..100 {
        match recorder.write(Ssrc(1), Ssrc(2), &mut out) {
            Ok(0) => break,
            Ok(len) => assert!(matches!(
                packets(&out[..len]).next(),
                Some(Ok(Rtcp::Twcc(_)))
            )),
            Err(e) => panic!("{e}"),
        }
    }
});
