//! How fast a browser may send: reading waits, nothing is dropped or reordered.

use std::time::{Duration, Instant};

/// Bytes per second.
const RATE: u32 = 256 * 1024;
/// Bytes that may come at once, as at the start of a large meeting.
const BURST: u32 = 1024 * 1024;

/// A bucket that fills with time and is emptied by bytes.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// When all that was sent will have been paid for.
    paid_until: Instant,
}

impl Pacer {
    pub(crate) fn new(now: Instant) -> Self {
        Self { paid_until: now }
    }

    /// Takes `bytes`; returns when the next may be read, if not at once.
    pub(crate) fn charge(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let cost = Duration::from_secs_f64(f64::from(bytes) / f64::from(RATE));
        self.paid_until = self.paid_until.max(now) + cost;
        let credit = Duration::from_secs_f64(f64::from(BURST) / f64::from(RATE));
        let free = self.paid_until.checked_sub(credit)?;
        (free > now).then_some(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_pass_and_floods_wait() {
        let mut now = crate::now();
        let mut pacer = Pacer::new(now);
        let burst = BURST as usize;
        assert_eq!(pacer.charge(now, burst), None);
        assert_eq!(
            pacer.charge(now, RATE as usize),
            Some(now + Duration::from_secs(1))
        );
        now += Duration::from_secs(60);
        assert_eq!(pacer.charge(now, burst), None, "credit comes back");
        assert!(pacer.charge(now, 1).is_some(), "but does not pile up");
    }
}
