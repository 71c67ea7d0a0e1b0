//! The machine's own limit: encrypting and sending as the bridge does, with nothing else around it.

use std::time::{Duration, Instant};

use net::{SendArena, UdpBatch, UdpConfig};
use rtc::srtp::{DtlsRole, MAX_OVERHEAD, Outbound, Profile, contexts};

/// Bytes of a packet before it is encrypted.
const PLAIN: usize = 1_120;
/// Packets of a frame.
const FRAME: usize = 6;
/// How long one figure is measured.
const LENGTH: Duration = Duration::from_secs(1);

/// Prints the limit of one processor towards sockets that nobody reads: what does not fit their buffers is dropped late.
pub(crate) fn print(processor: usize, receivers: usize) {
    let measuring = std::thread::spawn(move || {
        net::pin_current_thread(processor).unwrap();
        [1, FRAME].map(|burst| measure(receivers, burst))
    });
    let [single, bursts] = measuring.join().unwrap();
    println!(
        "raw loop, encrypt and send, receivers not reading: {single:.2} µs one by one, {bursts:.2} µs in runs of {FRAME}"
    );
}

/// Microseconds for a packet.
fn measure(receivers: usize, burst: usize) -> f64 {
    let config = UdpConfig::new("127.0.0.1:0".parse().unwrap());
    let mut socket = UdpBatch::bind(&config).unwrap();
    let sockets: Vec<_> = (0..receivers)
        .map(|_| UdpBatch::bind(&config).unwrap())
        .collect();
    let mut keys: Vec<Outbound> = (0..receivers).map(|_| outbound()).collect();
    let mut arena = SendArena::default();
    let mut packet = [0x5A; PLAIN + MAX_OVERHEAD];
    packet[..12].copy_from_slice(&[0x80, 100, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7]);
    let (start, mut sent) = (Instant::now(), 0u64);
    while start.elapsed() < LENGTH {
        for (to, keys) in sockets.iter().zip(&mut keys) {
            for n in 0..burst as u64 {
                let number = (sent / receivers as u64) as u16;
                let seq = number.wrapping_add(n as u16);
                packet[2..4].copy_from_slice(&seq.to_be_bytes());
                let len = keys.protect_rtp(&mut packet, PLAIN).unwrap();
                arena.push(None, to.local_addr(), &packet[..len]);
            }
        }
        socket.send(&mut arena);
        sent += (burst * receivers) as u64;
    }
    start.elapsed().as_secs_f64() * 1e6 / sent as f64
}

fn outbound() -> Outbound {
    let material: Vec<u8> = (0..56).collect();
    let profile = Profile::AeadAes128Gcm;
    contexts(profile, &material, DtlsRole::Server).unwrap().1
}
