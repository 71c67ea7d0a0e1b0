//! The least that a bridge can do at the ordinary rate: sleep until a camera has made a frame, encrypt it for each receiver
//! and send it, and decrypt what the receivers report in between. No bridge that does this work takes less on this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use net::{Poller, ReceiveSlab, SendArena, UdpBatch, UdpConfig};
use rtc::srtp::{DtlsRole, Inbound, MAX_OVERHEAD, Outbound};
use rtp::rtcp::twcc::Recorder;

use crate::account::Account;
use crate::raw::{AUDIO, FRAME, Readers, VIDEO, keys};
use crate::scene::FRAME_RATE;

const LENGTH: Duration = Duration::from_millis(1_000);
/// A receiver reports so often, and what came in between.
const REPORT: Duration = Duration::from_millis(50);
const REPORTED: u16 = 9;
/// Reports of different receivers leave together within this time.
const TICK: Duration = Duration::from_millis(2);
/// Addresses of receivers that differ in the last number only.
const SEATS: usize = 250;

/// What it takes at least.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Least {
    /// Microseconds of processor time for a packet that is sent.
    pub(crate) each: f64,
    /// Percentiles 50 and 99 of the time from the arrival of a datagram until a thread that sleeps is awake, µs.
    pub(crate) woken: [f64; 2],
}

/// What an ordinary meeting asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Bytes of a packet, and how many of them one receiver gets at a time.
    size: usize,
    burst: usize,
    receivers: usize,
    every: Duration,
}

impl Work {
    /// One camera.
    pub(crate) fn hall(receivers: usize) -> Self {
        Self {
            size: VIDEO,
            burst: FRAME,
            receivers,
            every: Duration::from_secs(1) / FRAME_RATE,
        }
    }

    /// Everybody's camera, one after the other.
    pub(crate) fn meeting(people: usize) -> Self {
        let hall = Self::hall(people - 1);
        Self {
            every: hall.every / people as u32,
            ..hall
        }
    }

    /// Voices that come at one time.
    pub(crate) fn voices(voices: usize, receivers: usize) -> Self {
        Self {
            size: AUDIO,
            burst: voices,
            receivers,
            every: Duration::from_millis(20),
        }
    }

    pub(crate) fn receivers(self) -> usize {
        self.receivers
    }

    pub(crate) fn measure(self, processor: usize) -> Least {
        let measuring = std::thread::Builder::new().name("least".to_owned());
        let measuring = measuring.spawn(move || {
            net::pin_current_thread(processor).unwrap();
            self.run()
        });
        measuring.unwrap().join().unwrap()
    }

    fn run(self) -> Least {
        let readers = Readers::start(self.receivers);
        let config = UdpConfig::new("127.0.0.1:0".parse().unwrap());
        let mut socket = UdpBatch::bind(&config).unwrap();
        let (mut poller, _waker) = Poller::new().unwrap();
        poller.add(&socket, 0).unwrap();
        let _reporters = Reporters::start(self.receivers, socket.local_addr());
        let mut each: Vec<(Inbound, Outbound)> = (0..self.receivers)
            .map(|_| keys(DtlsRole::Server))
            .collect();
        let (mut arena, mut slab) = (SendArena::default(), ReceiveSlab::new(32));
        let mut packet = vec![0x5A; self.size + MAX_OVERHEAD];
        packet[..12].copy_from_slice(&[0x80, 100, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7]);
        let (start, before, mut sent, mut seq) = (Instant::now(), Account::own(), 0u64, 0u16);
        let (mut next, mut woken) = (start, Vec::new());
        while start.elapsed() < LENGTH {
            let rest = next.saturating_duration_since(Instant::now());
            poller.wait(Some(rest)).unwrap();
            let mut awake = Some(Instant::now());
            while socket.receive(&mut slab).is_ok_and(|count| count > 0) {
                let first = slab.received().first();
                if let (Some(first), Some(awake)) = (first, awake.take()) {
                    woken.push(awake.saturating_duration_since(first.at));
                }
                for (datagram, bytes) in slab.datagrams() {
                    let keys = number(datagram.from).and_then(|n| each.get_mut(n));
                    // Those that were begun for a former run are none.
                    let _ = keys.map(|(inbound, _)| inbound.unprotect_rtcp(bytes));
                }
            }
            if Instant::now() < next {
                continue;
            }
            next += self.every;
            for (to, (_, keys)) in readers.addresses.iter().zip(&mut each) {
                for n in 0..self.burst as u16 {
                    packet[2..4].copy_from_slice(&seq.wrapping_add(n).to_be_bytes());
                    let len = keys.protect_rtp(&mut packet, self.size).unwrap();
                    arena.push(None, *to, &packet[..len]);
                    sent += 1;
                }
            }
            socket.send(&mut arena);
            seq = seq.wrapping_add(self.burst as u16);
        }
        woken.sort_unstable();
        let at = |part: usize| woken.get(woken.len() * part / 100);
        Least {
            each: (Account::own() - before) * 1e6 / sent as f64,
            woken: [at(50), at(99)].map(|at| at.map_or(0.0, |at| at.as_secs_f64() * 1e6)),
        }
    }
}

/// Where a receiver reports from.
fn address(number: usize, port: u16) -> SocketAddr {
    let (high, low) = (number / SEATS + 3, number % SEATS + 1);
    SocketAddr::from((Ipv4Addr::new(127, 0, high as u8, low as u8), port))
}

fn number(from: SocketAddr) -> Option<usize> {
    let IpAddr::V4(ip) = from.ip() else {
        return None;
    };
    let [_, _, high, low] = ip.octets().map(usize::from);
    (high.checked_sub(3)? * SEATS + low).checked_sub(1)
}

/// A thread that reports as the receivers would, on the first processor.
struct Reporters(Arc<AtomicBool>);

impl Reporters {
    fn start(receivers: usize, to: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            net::pin_current_thread(0).unwrap();
            let socket = UdpBatch::bind(&UdpConfig::new("0.0.0.0:0".parse().unwrap()));
            let mut socket = socket.unwrap();
            let port = socket.local_addr().port();
            let mut all: Vec<Reporter> = (0..receivers).map(|_| Reporter::new()).collect();
            let mut arena = SendArena::default();
            let start = Instant::now();
            for tick in 0.. {
                let at = start + TICK * tick;
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let turns = (REPORT.as_millis() / TICK.as_millis()) as usize;
                for (n, reporter) in all.iter_mut().enumerate() {
                    if n % turns == tick as usize % turns {
                        let from = address(n, port);
                        arena.push(Some(from), to, &reporter.report());
                    }
                }
                socket.send(&mut arena);
            }
        });
        Self(stop)
    }
}

impl Drop for Reporters {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One receiver's transport-wide feedback.
struct Reporter {
    keys: Outbound,
    recorder: Recorder,
    seq: u16,
}

impl Reporter {
    fn new() -> Self {
        Self {
            keys: keys(DtlsRole::Client).1,
            recorder: Recorder::new(),
            seq: 0,
        }
    }

    fn report(&mut self) -> Vec<u8> {
        for _ in 0..REPORTED {
            self.recorder.record(self.seq, u64::from(self.seq) * 5_500);
            self.seq = self.seq.wrapping_add(1);
        }
        let mut packet = vec![0; 400];
        let written = self.recorder.write(9.into(), 7.into(), &mut packet[..300]);
        let length = self.keys.protect_rtcp(&mut packet, written.unwrap());
        packet.truncate(length.unwrap());
        packet
    }
}
