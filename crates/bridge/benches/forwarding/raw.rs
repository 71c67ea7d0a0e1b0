//! The machine's own limit: encrypting and sending as the bridge does, with nothing else around it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use net::{Poller, ReceiveSlab, SendArena, UdpBatch, UdpConfig};
use rtc::srtp::{DtlsRole, Inbound, MAX_OVERHEAD, Outbound, Profile, contexts};

use crate::account::Account;

/// Bytes of a video packet and of an audio packet before encryption.
pub(crate) const VIDEO: usize = 1_120;
pub(crate) const AUDIO: usize = 110;
/// Packets of a frame.
pub(crate) const FRAME: usize = 6;
/// How long one figure is measured.
const LENGTH: Duration = Duration::from_millis(250);
/// Receivers of one socket, at addresses of their own.
const SEATS: usize = 32;
/// Datagrams of one call.
const BATCH: usize = 64 * FRAME;

/// Microseconds of processor time for a packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw {
    /// Encrypting alone.
    pub(crate) seal: f64,
    /// Encrypting and sending, one by one.
    pub(crate) send: f64,
    /// In bursts of six.
    pub(crate) gso6: f64,
    /// An audio packet, one by one and in bursts of six.
    pub(crate) voice: f64,
    pub(crate) voice6: f64,
}

impl Raw {
    /// Measures the limit of one processor; the datagrams are read on another one.
    pub(crate) fn measure(processor: usize, receivers: usize) -> Self {
        let measuring = std::thread::Builder::new().name("raw".to_owned());
        let measuring = measuring.spawn(move || {
            net::pin_current_thread(processor).unwrap();
            let readers = Readers::start(receivers);
            let each = |size, burst| loop_of(&readers.addresses, size, burst);
            Self {
                seal: each(VIDEO, 0),
                send: each(VIDEO, 1),
                gso6: each(VIDEO, FRAME),
                voice: each(AUDIO, 1),
                voice6: each(AUDIO, FRAME),
            }
        });
        measuring.unwrap().join().unwrap()
    }

    /// The limit for video packets in bursts of this length.
    pub(crate) fn at(&self, burst: f64) -> f64 {
        between(self.send, self.gso6, burst)
    }

    /// The limit for audio packets in bursts of this length.
    pub(crate) fn voice_at(&self, burst: f64) -> f64 {
        between(self.voice, self.voice6, burst)
    }

    /// The median of each figure.
    pub(crate) fn median(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| crate::median(all.iter().map(figure).collect());
        Self {
            seal: of(|raw| raw.seal),
            send: of(|raw| raw.send),
            gso6: of(|raw| raw.gso6),
            voice: of(|raw| raw.voice),
            voice6: of(|raw| raw.voice6),
        }
    }
}

/// What a packet costs in bursts of some length, of what it costs alone and in sixes: what one send costs is shared by
/// its packets. Bursts longer than six are taken for sixes: that was measured.
fn between(alone: f64, in_sixes: f64, burst: f64) -> f64 {
    let share = |burst: f64| 1.0 - 1.0 / burst.clamp(1.0, FRAME as f64);
    alone - (alone - in_sixes) * share(burst) / share(FRAME as f64)
}

/// Microseconds for a packet of `size`; a burst of 0 only encrypts.
fn loop_of(addresses: &[SocketAddr], size: usize, burst: usize) -> f64 {
    let config = UdpConfig::new("127.0.0.1:0".parse().unwrap());
    let mut socket = UdpBatch::bind(&config).unwrap();
    let mut keys: Vec<Outbound> = addresses.iter().map(|_| outbound()).collect();
    let mut arena = SendArena::default();
    let mut packet = vec![0x5A; size + MAX_OVERHEAD];
    packet[..12].copy_from_slice(&[0x80, 100, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7]);
    let (start, before, mut sent, mut seq) = (Instant::now(), Account::own(), 0u64, 0u16);
    while start.elapsed() < LENGTH {
        for (to, keys) in addresses.iter().zip(&mut keys) {
            for n in 0..burst.max(1) as u16 {
                packet[2..4].copy_from_slice(&seq.wrapping_add(n).to_be_bytes());
                let len = keys.protect_rtp(&mut packet, size).unwrap();
                if burst > 0 {
                    arena.push(None, *to, &packet[..len]);
                }
                sent += 1;
            }
            if arena.runs().len() * burst >= BATCH {
                socket.send(&mut arena);
            }
        }
        socket.send(&mut arena);
        seq = seq.wrapping_add(burst.max(1) as u16);
    }
    (Account::own() - before) * 1e6 / sent as f64
}

fn outbound() -> Outbound {
    keys(DtlsRole::Server).1
}

/// With the cipher that the bridge prefers.
pub(crate) fn keys(role: DtlsRole) -> (Inbound, Outbound) {
    let material: Vec<u8> = (0..88).collect();
    contexts(Profile::AeadAes256Gcm, &material, role).unwrap()
}

/// A thread that reads what is sent, on the first processor.
pub(crate) struct Readers {
    pub(crate) addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
}

impl Readers {
    pub(crate) fn start(receivers: usize) -> Self {
        let mut addresses = Vec::new();
        let mut sockets = Vec::new();
        let (mut poller, _) = Poller::new().unwrap();
        for first in (0..receivers).step_by(SEATS) {
            let config = UdpConfig::new("0.0.0.0:0".parse().unwrap());
            let socket = UdpBatch::bind(&config).unwrap();
            poller.add(&socket, sockets.len() as u32 % 64).unwrap();
            let port = socket.local_addr().port();
            let seats = (receivers - first).min(SEATS) as u8;
            addresses
                .extend((1..=seats).map(|n| SocketAddr::from((Ipv4Addr::new(127, 0, 2, n), port))));
            sockets.push(socket);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            net::pin_current_thread(0).unwrap();
            let mut slab = ReceiveSlab::new(32);
            while !stopped.load(Ordering::Relaxed) {
                let mut count = 0;
                for socket in &mut sockets {
                    count += socket.receive(&mut slab).unwrap_or(0);
                }
                if count == 0 {
                    poller.wait(Some(Duration::from_millis(20))).unwrap();
                }
            }
        });
        Self { addresses, stop }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
