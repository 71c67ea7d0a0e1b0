//! A probe on its way: how much of it is to leave when.

use bwe::{Probe, ProbeId};

/// A probe leaves in parts that are so far apart, microseconds.
const STEP: u64 = 5_000;
/// A probe that could not be sent by then is given up.
const LONGEST: u64 = 250_000;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probing {
    probe: Probe,
    began: u64,
    bytes: u64,
    packets: u32,
}

impl Probing {
    pub(super) fn new(probe: Probe, now: u64) -> Self {
        Self {
            probe,
            began: now,
            bytes: 0,
            packets: 0,
        }
    }

    pub(super) fn id(&self) -> ProbeId {
        self.probe.id
    }

    /// A packet left that counts for it.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.packets += 1;
    }

    /// Bytes that should have left by the end of the step that begins now.
    pub(super) fn missing(&self, now: u64) -> u64 {
        let time = now.saturating_sub(self.began) + STEP;
        (self.probe.bitrate * time / 8_000_000).saturating_sub(self.bytes)
    }

    /// Whether all of it left, or it is too late for the rest.
    pub(super) fn is_over(&self, now: u64) -> bool {
        let time = now.saturating_sub(self.began);
        (time + STEP > self.probe.duration && self.is_whole()) || time > LONGEST
    }

    /// Whether all of it left.
    pub(super) fn is_whole(&self) -> bool {
        self.packets >= self.probe.min_packets && self.bytes >= u64::from(self.probe.min_bytes)
    }

    /// When its next part leaves.
    pub(super) fn due(&self, now: u64) -> u64 {
        now + STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU8;

    #[test]
    fn a_probe_leaves_at_its_rate() {
        let probe = Probe {
            id: ProbeId(NonZeroU8::MIN),
            bitrate: 2_000_000,
            duration: 15_000,
            min_packets: 5,
            min_bytes: 3_750,
        };
        let mut probing = Probing::new(probe, 0);
        let (mut now, mut parts) = (0, Vec::new());
        while !probing.is_over(now) {
            let mut part = 0;
            while probing.missing(now) > 0 {
                probing.sent(500);
                part += 500;
            }
            parts.push(part);
            now = probing.due(now);
        }
        assert_eq!(parts, [1_500, 1_000, 1_500]);
        // Without anything to send it ends too.
        assert!(Probing::new(probe, 0).is_over(LONGEST + 1));
    }
}
