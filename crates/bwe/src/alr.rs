//! Whether less is sent than could be (the application-limited region).

/// Share of the target that counts as full use.
const USE: f64 = 0.8;
/// The budget that builds up covers this time, seconds.
const WINDOW: f64 = 0.5;
/// Shares of a full budget at which the region begins and ends.
const BEGIN: f64 = 0.4;
const END: f64 = -0.6;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Alr {
    /// Bytes a second.
    rate: f64,
    budget: f64,
    last: Option<u64>,
    since: Option<u64>,
}

impl Alr {
    /// What could be sent, bits per second.
    pub(crate) fn set_target(&mut self, target: f64) {
        self.rate = target * USE / 8.0;
        self.budget = self.budget.clamp(-self.limit(), self.limit());
    }

    /// So many bytes were sent.
    #[inline]
    pub(crate) fn sent(&mut self, now: u64, size: usize) {
        let Some(last) = self.last.replace(now) else {
            return;
        };
        let limit = self.limit();
        self.budget = (self.budget - size as f64).max(-limit);
        self.budget += self.rate * (now.saturating_sub(last) as f64 / 1e6);
        self.budget = self.budget.min(limit);
        if self.budget > BEGIN * limit {
            self.since.get_or_insert(now);
        } else if self.budget < END * limit {
            self.since = None;
        }
    }

    /// When it began.
    pub(crate) fn since(&self) -> Option<u64> {
        self.since
    }

    fn limit(&self) -> f64 {
        self.rate * WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at a share of the target for some milliseconds.
    fn send(alr: &mut Alr, now: &mut u64, ms: u64, share: f64) {
        for _ in 0..ms / 10 {
            *now += 10_000;
            alr.sent(*now, (300_000.0 * share / 800.0) as usize);
        }
    }

    #[test]
    fn sending_little_begins_it_and_sending_much_ends_it() {
        let (mut alr, mut now) = (Alr::default(), 0);
        alr.set_target(300_000.0);
        send(&mut alr, &mut now, 1_000, 0.9);
        assert_eq!(alr.since(), None);
        send(&mut alr, &mut now, 1_500, 0.2);
        assert!(alr.since().is_some());
        send(&mut alr, &mut now, 4_000, 1.0);
        assert_eq!(alr.since(), None);
    }

    #[test]
    fn a_short_pause_is_none() {
        let (mut alr, mut now) = (Alr::default(), 0);
        alr.set_target(300_000.0);
        send(&mut alr, &mut now, 1_000, 1.0);
        send(&mut alr, &mut now, 100, 0.0);
        send(&mut alr, &mut now, 1_000, 1.0);
        assert_eq!(alr.since(), None);
    }
}
