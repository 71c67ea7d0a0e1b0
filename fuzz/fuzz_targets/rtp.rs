//! RTP packets, header extensions and codec descriptors; what is read can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtp::ext::{AudioLevel, Extension};
use rtp::{Rewrite, RtpHeader, RtpView, Ssrc, av1, h264, red, rtx, vp8, vp9, write_packet};

fn payload(data: &[u8]) {
    if let Ok(vp8) = vp8::Vp8::parse(data) {
        vp8.rewrite(&mut data.to_vec(), 0x7FFF, 0xFF);
    }
    if let Ok(vp9) = vp9::Vp9::parse(data) {
        vp9.rewrite(&mut data.to_vec(), 0x7FFF, 0xFF);
    }
    if let Ok(blocks) = red::blocks(data) {
        assert!(blocks.map(|b| b.data.len()).sum::<usize>() < data.len());
    }
    let _ = (
        h264::contents(data),
        rtp::obu::starts_sequence(data),
        rtx::unwrap(data),
        rtp::audio::opus_duration(data),
    );
}

fn descriptor(data: &[u8]) {
    let Ok(first) = av1::Descriptor::parse(data, None) else {
        return;
    };
    let mut out = [0; 255];
    if let Ok(len) = first.layout.rewrite(data, 1, 63, None, &mut out) {
        let again = av1::Descriptor::parse(&out[..len], None).expect("what is written can be read");
        assert_eq!(again.frame, first.frame);
    }
    let _ = av1::Descriptor::parse(data, first.structure.as_deref());
    let mut structure = None;
    if let Ok(frame) = av1::Frame::parse(data, &mut structure) {
        let mask = frame.best_target(1, 1).map(|target| frame.mask_within(target));
        let _ = frame.layout.rewrite(data, 9, 63, mask, &mut out);
        let _ = av1::Frame::parse(data, &mut structure);
    }
}

fuzz_target!(|data: &[u8]| {
    payload(data);
    descriptor(data);
    let _ = RtpHeader::parse_encrypted(data);
    let Ok(view) = RtpView::parse(data) else {
        return;
    };
    assert_eq!(view.packet_len(), data.len());
    let _ = view.csrcs().count();
    payload(view.payload());
    let extensions: Vec<Extension<'_>> = view.extensions().collect();
    for e in &extensions {
        descriptor(e.data);
        let _ = (
            AudioLevel::parse(e.data),
            rtp::ext::abs_send_time(e.data),
            rtp::ext::transport_seq(e.data),
        );
    }
    let rewrite = Rewrite {
        sequence_number: 1,
        timestamp: 2,
        ssrc: Ssrc(3),
        payload_type: 4,
        marker: view.marker,
        extensions: &extensions,
        rtx_osn: None,
        vp8: None,
        padding: view.padding_len,
    };
    // The two-byte form may need more room than the one-byte form had.
    let mut out = vec![0; 2 * data.len() + 64];
    let len = write_packet(&view, &rewrite, &mut out).expect("room enough");
    let copy = RtpView::parse(&out[..len]).expect("what is written can be read");
    assert_eq!(copy.payload(), view.payload());
    assert!(copy.extensions().eq(extensions.iter().copied()));
    if view.csrc_count == 0 {
        let mut packet = data.to_vec();
        let header_len = usize::from(view.header_len);
        if let Some(len) = rtx::restore_in_place(&mut packet, header_len, 1, Ssrc(1)) {
            assert!(RtpHeader::parse_encrypted(&packet[..len]).is_ok());
        }
    }
});
