//! Rates of a client's stanzas: too fast a client is read more slowly, nothing is dropped.

use std::time::{Duration, Instant};

use crate::api::Pace;
use crate::config::Rates;

/// Kinds of stanzas with a rate of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StanzaKind {
    Presence,
    Message,
    Iq,
}

/// One bucket per kind. Each stanza takes its share of time; a bucket's debt beyond its burst delays the next read.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    /// When the bucket would be full again.
    full_at: [Instant; 3],
}

impl Pacer {
    pub(crate) fn new(now: Instant) -> Self {
        Self { full_at: [now; 3] }
    }

    /// Counts a stanza of `kind` and says when the next may be read.
    pub(crate) fn count(&mut self, now: Instant, kind: StanzaKind, rates: &Rates) -> Pace {
        let (index, rate) = match kind {
            StanzaKind::Presence => (0, rates.presence),
            StanzaKind::Message => (1, rates.message),
            StanzaKind::Iq => (2, rates.iq),
        };
        let share = Duration::from_secs(1) / rate.max(1);
        let burst = Duration::from_secs(u64::from(rates.burst_seconds.max(1)));
        let Some(full_at) = self.full_at.get_mut(index) else {
            return Pace::Now;
        };
        *full_at = (*full_at).max(now) + share;
        match full_at.checked_sub(burst) {
            Some(ready) if ready > now => Pace::NotBefore(ready),
            _ => Pace::Now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "any instant will do as the origin"
    )]
    fn a_burst_passes_then_the_rate_holds() {
        let rates = Rates {
            presence: 2,
            message: 2,
            iq: 2,
            burst_seconds: 3,
        };
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        for _ in 0..6 {
            assert_eq!(pacer.count(start, StanzaKind::Iq, &rates), Pace::Now);
        }
        let half = Duration::from_millis(500);
        assert_eq!(
            pacer.count(start, StanzaKind::Iq, &rates),
            Pace::NotBefore(start + half)
        );
        assert_eq!(
            pacer.count(start + half, StanzaKind::Iq, &rates),
            Pace::NotBefore(start + 2 * half)
        );
        assert_eq!(pacer.count(start, StanzaKind::Message, &rates), Pace::Now);
        assert_eq!(
            pacer.count(start + 100 * half, StanzaKind::Iq, &rates),
            Pace::Now
        );
    }
}
