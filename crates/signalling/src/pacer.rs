//! How fast a peer may send: reading waits, nothing is dropped or reordered.

use std::time::{Duration, Instant};

/// Bytes per second, and bytes that may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ByteRate {
    rate: u32,
    burst: u32,
}

/// What peers of one kind may send, before and after their login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    stranger: ByteRate,
    known: ByteRate,
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// Browsers. The burst is what the start of a large meeting takes.
pub(crate) const BROWSER: Pace = Pace {
    stranger: ByteRate {
        rate: 32 * KIB,
        burst: 256 * KIB,
    },
    known: ByteRate {
        rate: 256 * KIB,
        burst: MIB,
    },
};

/// Services elsewhere: a bridge answers for thousands of people.
pub(crate) const SERVICE: Pace = Pace {
    stranger: ByteRate {
        rate: 16 * KIB,
        burst: 64 * KIB,
    },
    known: ByteRate {
        rate: 4 * MIB,
        burst: 16 * MIB,
    },
};

/// A bucket that fills with time and is emptied by bytes.
#[derive(Debug)]
pub(crate) struct Pacer {
    pace: Pace,
    now: ByteRate,
    /// When all that was sent will have been paid for.
    paid_until: Instant,
}

impl Pacer {
    /// For a peer that has not logged in.
    pub(crate) fn new(now: Instant, pace: Pace) -> Self {
        Self {
            now: pace.stranger,
            pace,
            paid_until: now,
        }
    }

    /// The peer has logged in: what it owes is forgotten.
    pub(crate) fn known(&mut self, now: Instant) {
        self.now = self.pace.known;
        self.paid_until = now;
    }

    /// Takes `bytes`; returns when the next may be read, if not at once.
    pub(crate) fn charge(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let time =
            |bytes: u32| Duration::from_secs_f64(f64::from(bytes) / f64::from(self.now.rate));
        self.paid_until = self.paid_until.max(now) + time(bytes);
        let free = self.paid_until.checked_sub(time(self.now.burst))?;
        (free > now).then_some(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_pass_and_floods_wait_before_and_after_login() {
        for pace in [BROWSER, SERVICE] {
            let mut now = crate::now();
            let mut pacer = Pacer::new(now, pace);
            for rate in [pace.stranger, pace.known] {
                let burst = rate.burst as usize;
                assert_eq!(pacer.charge(now, burst), None);
                assert_eq!(
                    pacer.charge(now, rate.rate as usize),
                    Some(now + Duration::from_secs(1))
                );
                now += Duration::from_secs(60);
                assert_eq!(pacer.charge(now, burst), None, "credit comes back");
                assert!(pacer.charge(now, 1).is_some(), "but does not pile up");
                pacer.known(now);
            }
        }
    }
}
