//! What a packet costs: protect, unprotect, and writing a receiver's copy. Plain timing; medians of many rounds.
//!
//! `cargo bench -p rtc`. Each line: nanoseconds for one packet of 1,100 and of 160 bytes of payload.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and stops at errors"
)]

use std::hint::black_box;
use std::time::Instant;

use rtc::srtp::{DtlsRole, MAX_OVERHEAD, Profile, contexts};
use rtp::ext::Extension;
use rtp::vp8::Vp8;
use rtp::{Rewrite, RtpView, Ssrc, write_packet};

const ROUNDS: usize = 41;
const PACKETS: u16 = 500;

fn packet(payload: usize) -> Vec<u8> {
    let mut p = vec![0x90, 100, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7];
    p.extend_from_slice(&[0xBE, 0xDE, 0, 2, 0x10, 0x55, 0x31, 1, 2, 0, 0, 0]);
    p.extend_from_slice(&[0x90, 0xE0, 0x80, 0x05, 0x07, 0x60]);
    p.resize(24 + payload, 0x5A);
    p
}

/// Median time per packet of `run`, which handles `PACKETS` packets, in nanoseconds.
fn median(mut run: impl FnMut(u64)) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS as u64)
        .map(|round| {
            let start = Instant::now();
            run(round);
            start.elapsed().as_nanos() as f64 / f64::from(PACKETS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

/// Sequence number of packet `i` of a round: always the next.
fn seq(round: u64, i: u16) -> u16 {
    (round * u64::from(PACKETS) + u64::from(i)) as u16
}

fn material(profile: Profile) -> Vec<u8> {
    let len = match profile {
        Profile::AeadAes128Gcm => 56,
        Profile::AeadAes256Gcm => 88,
        Profile::AesCm128HmacSha1_80 => 60,
    };
    (0..len).collect()
}

fn protect(profile: Profile, payload: usize) -> f64 {
    let plain = packet(payload);
    let (_, mut outbound) = contexts(profile, &material(profile), DtlsRole::Server).unwrap();
    let mut buf = vec![0; plain.len() + MAX_OVERHEAD];
    median(|round| {
        for i in 0..PACKETS {
            buf[..plain.len()].copy_from_slice(&plain);
            buf[2..4].copy_from_slice(&seq(round, i).to_be_bytes());
            black_box(outbound.protect_rtp(&mut buf, plain.len()).unwrap());
        }
    })
}

fn unprotect(profile: Profile, payload: usize) -> f64 {
    let plain = packet(payload);
    let (_, mut outbound) = contexts(profile, &material(profile), DtlsRole::Server).unwrap();
    let (mut inbound, _) = contexts(profile, &material(profile), DtlsRole::Client).unwrap();
    let mut wire: Vec<Vec<u8>> = Vec::new();
    for n in 0..ROUNDS as u64 * u64::from(PACKETS) {
        let mut buf = plain.clone();
        buf[2..4].copy_from_slice(&(n as u16).to_be_bytes());
        buf.resize(plain.len() + MAX_OVERHEAD, 0);
        let len = outbound.protect_rtp(&mut buf, plain.len()).unwrap();
        buf.truncate(len);
        wire.push(buf);
    }
    let mut wire = wire.iter_mut();
    median(|_| {
        for packet in wire.by_ref().take(usize::from(PACKETS)) {
            black_box(inbound.unprotect_rtp(packet).unwrap());
        }
    })
}

fn rewrite(payload: usize) -> f64 {
    let plain = packet(payload);
    let view = RtpView::parse(&plain).unwrap();
    let vp8 = Vp8::parse(view.payload()).unwrap();
    let mut out = vec![0; 1500];
    median(|round| {
        for i in 0..PACKETS {
            let number = seq(round, i).to_be_bytes();
            let extensions = [
                Extension {
                    id: 5,
                    data: &number,
                },
                Extension {
                    id: 3,
                    data: &[1, 2, 3],
                },
                Extension {
                    id: 10,
                    data: b"v0",
                },
            ];
            let rewrite = Rewrite {
                sequence_number: seq(round, i),
                timestamp: 90_000,
                ssrc: Ssrc(1),
                payload_type: 100,
                marker: false,
                extensions: &extensions,
                rtx_osn: None,
                vp8: Some((vp8, i, 7)),
                padding: 1,
            };
            black_box(write_packet(&view, &rewrite, &mut out).unwrap());
        }
    })
}

fn main() {
    // `cargo bench` says so; `cargo test --benches` only has to compile it.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let profiles = [
        ("AEAD_AES_128_GCM", Profile::AeadAes128Gcm),
        ("AEAD_AES_256_GCM", Profile::AeadAes256Gcm),
        ("AES_CM_128_HMAC_SHA1_80", Profile::AesCm128HmacSha1_80),
    ];
    for (name, profile) in profiles {
        println!(
            "protect   {name:24} {:6.0} {:6.0}",
            protect(profile, 1100),
            protect(profile, 160)
        );
        println!(
            "unprotect {name:24} {:6.0} {:6.0}",
            unprotect(profile, 1100),
            unprotect(profile, 160)
        );
    }
    println!(
        "rewrite   {:24} {:6.0} {:6.0}",
        "VP8, 3 extensions",
        rewrite(1100),
        rewrite(160)
    );
}
