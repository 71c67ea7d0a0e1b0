//! Bandwidth estimation: whatever a peer reports, the estimate stays within its limits and deadlines pass.
#![no_main]

use bwe::{Acked, Arriving, Config, Estimator, ProbeId};
use libfuzzer_sys::fuzz_target;
use std::num::NonZeroU8;

const MIN: u64 = 30_000;
const MAX: u64 = 10_000_000;

/// Takes numbers from the input, zero at its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    fn number(&mut self, len: usize) -> u64 {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
    }

    fn probe(&mut self) -> Option<ProbeId> {
        NonZeroU8::new(self.byte() % 8).map(ProbeId)
    }

    /// A time near `at`, or any.
    fn time(&mut self, at: u64) -> u64 {
        match self.byte() % 4 {
            0 => self.number(8),
            1 => at.wrapping_sub(self.number(3)),
            _ => at.wrapping_add(self.number(2)),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let config = Config {
        start: bytes.number(3),
        min: MIN,
        max: MAX,
    };
    let mut now = 0;
    let mut estimator = Estimator::new(config, now);
    let mut arriving = Arriving::new(config);
    while !bytes.0.is_empty() {
        now += bytes.number(3);
        match bytes.byte() % 7 {
            0 => estimator.sent(now, bytes.number(2) as usize),
            1 | 2 => {
                let len = usize::from(bytes.byte());
                let mut at = now;
                let packets: Vec<Acked> = (0..len)
                    .map(|_| {
                        at = bytes.time(at);
                        let arrived = (bytes.byte() % 8 != 0).then(|| bytes.time(at) as i64);
                        Acked {
                            sent: at,
                            arrived,
                            size: bytes.number(2) as u16,
                            probe: bytes.probe(),
                        }
                    })
                    .collect();
                estimator.feedback(now, &packets, None);
            }
            3 => estimator.lost_report(
                now,
                bytes.number(3) as u32,
                bytes.number(3) as u32,
                Some(bytes.number(4)),
            ),
            4 => estimator.demand(now, bytes.number(4)),
            5 => {
                arriving.packet(now, bytes.number(4) as u32, bytes.number(2) as usize);
                if let Some(rate) = arriving.estimate(now, Some(bytes.number(4))) {
                    assert!((MIN..=MAX).contains(&rate), "{rate}");
                }
            }
            _ => {
                if let Some(probe) = estimator.poll_probe(now) {
                    assert!(probe.bitrate <= MAX);
                }
            }
        }
        let estimate = estimator.estimate();
        assert!((MIN..=MAX).contains(&estimate.target), "{estimate:?}");
        for _ in 0..4 {
            if estimator.poll_timeout().is_some_and(|at| at <= now) {
                estimator.on_timer(now);
            }
        }
        assert!(estimator.poll_timeout().is_none_or(|at| at > now));
    }
});
