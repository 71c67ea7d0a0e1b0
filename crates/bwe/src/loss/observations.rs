//! How much of what was sent was lost, in pieces of a quarter of a second.

use crate::report::Acked;

/// An observation covers at least this time of sending, microseconds.
const DURATION: u64 = 250_000;
/// Observations kept.
pub(super) const WINDOW: usize = 15;
/// Observations of the last second.
const RECENT: usize = 4;
/// Weight of an observation beside the one after it.
pub(super) const AGING: f64 = 0.9;
/// Losses of the present observation that may still turn out to be late arrivals.
const LATE: usize = 32;

/// A piece of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Observation {
    /// Bytes sent, and of those lost.
    pub(super) bytes: f64,
    pub(super) lost: f64,
    /// Rate at which they were sent, bits per second.
    pub(super) rate: f64,
}

impl Observation {
    fn ratio(&self) -> f64 {
        if self.bytes > 0.0 {
            self.lost / self.bytes
        } else {
            0.0
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    ring: [Observation; WINDOW],
    count: usize,
    ratio: f64,
    /// The present one.
    bytes: u64,
    lost: u64,
    late: Vec<(u64, u16)>,
    /// When the last packet of all was sent, and of the last observation.
    newest: Option<u64>,
    ended: Option<u64>,
}

impl Observations {
    /// Observations made so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Share of bytes lost: later observations weigh more, the best and the worst do not count.
    pub(super) fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Share of bytes lost in the last second.
    pub(super) fn recent(&self) -> f64 {
        let add = |(bytes, lost), o: &Observation| (bytes + o.bytes, lost + o.lost);
        let (bytes, lost) = self.iter().take(RECENT).fold((0.0, 0.0), add);
        if bytes > 0.0 { lost / bytes } else { 0.0 }
    }

    /// The newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Observation> {
        let kept = self.count.min(WINDOW);
        (1..=kept).filter_map(move |age| self.ring.get((self.count - age) % WINDOW))
    }

    /// The peer says what became of a packet.
    #[inline]
    pub(super) fn packet(&mut self, packet: &Acked) {
        self.ended.get_or_insert(packet.sent);
        if self.newest.is_some_and(|newest| packet.sent <= newest) && self.is_repeated(packet) {
            return;
        }
        self.newest = Some(self.newest.map_or(packet.sent, |at| at.max(packet.sent)));
        self.bytes += u64::from(packet.size);
        if packet.arrived.is_none() {
            self.lost += u64::from(packet.size);
            if self.late.len() < LATE {
                self.late.push((packet.sent, packet.size));
            }
        }
    }

    /// Whether it counts already: as lost, and has arrived now.
    #[cold]
    fn is_repeated(&mut self, packet: &Acked) -> bool {
        let same = |(sent, size): &(u64, u16)| *sent == packet.sent && *size == packet.size;
        let Some(at) = self.late.iter().position(same) else {
            return false;
        };
        if packet.arrived.is_some() {
            self.late.swap_remove(at);
            self.lost = self.lost.saturating_sub(u64::from(packet.size));
        }
        true
    }

    /// All packets of a report were given. When the last one was sent, if they complete an observation.
    pub(super) fn finish(&mut self) -> Option<u64> {
        let newest = self.newest?;
        let duration = newest.saturating_sub(self.ended?);
        if duration < DURATION {
            return None;
        }
        self.ended = Some(newest);
        let bytes = self.bytes as f64;
        if let Some(place) = self.ring.get_mut(self.count % WINDOW) {
            *place = Observation {
                bytes,
                lost: self.lost as f64,
                rate: bytes * 8e6 / duration as f64,
            };
        }
        self.count += 1;
        self.bytes = 0;
        self.lost = 0;
        self.late.clear();
        self.ratio = self.measure();
        Some(newest)
    }

    fn measure(&self) -> f64 {
        if self.iter().all(|o| o.lost <= 0.0) {
            return 0.0;
        }
        let (mut bytes, mut lost, mut weight) = (0.0, 0.0, 1.0);
        let mut worst = (Observation::default(), 0.0);
        let mut best: Option<(Observation, f64)> = None;
        for observation in self.iter() {
            bytes += weight * observation.bytes;
            lost += weight * observation.lost;
            if observation.ratio() > worst.0.ratio() {
                worst = (*observation, weight);
            }
            if best.is_none_or(|(best, _)| observation.ratio() < best.ratio()) {
                best = Some((*observation, weight));
            }
            weight *= AGING;
        }
        if bytes <= 0.0 {
            return 0.0;
        }
        // Much more was sent than usual when most was lost: that was no accident.
        if self.count <= 3 || self.median_rate() * 2.0 <= worst.0.rate {
            return lost / bytes;
        }
        let (best, lightest) = best.unwrap_or_default();
        let (worst, heaviest) = worst;
        let rest = bytes - heaviest * worst.bytes - lightest * best.bytes;
        if rest <= 0.0 {
            return lost / bytes;
        }
        ((lost - heaviest * worst.lost - lightest * best.lost) / rest).clamp(0.0, 1.0)
    }

    fn median_rate(&self) -> f64 {
        let mut rates = [0.0; WINDOW];
        let mut len = 0;
        for (place, observation) in rates.iter_mut().zip(self.iter().filter(|o| o.rate > 0.0)) {
            *place = observation.rate;
            len += 1;
        }
        let rates = rates.get_mut(..len).unwrap_or_default();
        rates.sort_unstable_by(f64::total_cmp);
        let middle = (rates.get(len / 2), rates.get(len.wrapping_sub(1) / 2));
        match middle {
            (Some(a), Some(b)) => (a + b) / 2.0,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(at: u64, arrived: bool) -> Acked {
        Acked {
            sent: at,
            arrived: arrived.then_some(0),
            size: 1_000,
            probe: None,
        }
    }

    #[test]
    fn what_arrives_late_is_not_lost() {
        let mut all = Observations::default();
        for n in 0..=25 {
            all.packet(&packet(n * 10_000, n % 2 == 0));
        }
        for n in 0..=25 {
            all.packet(&packet(n * 10_000, true));
        }
        assert!(all.finish().is_some());
        assert_eq!(all.ratio(), 0.0);
        // What was counted as arrived was counted twice, as it cannot be told apart.
        assert_eq!(all.count(), 1);
    }

    #[test]
    fn extremes_do_not_count() {
        let mut all = Observations::default();
        for n in 0..400_u64 {
            // 200 ms of nothing in four seconds.
            all.packet(&packet(n * 10_000, !(100..120).contains(&n)));
            all.finish();
        }
        assert_eq!(all.count(), 15);
        assert!(all.ratio() < 0.01, "{}", all.ratio());
    }

    #[test]
    fn steady_loss_is_its_share() {
        let mut all = Observations::default();
        for n in 0..1_000_u64 {
            all.packet(&packet(n * 10_000, n % 10 != 0));
            all.finish();
        }
        assert!((all.ratio() - 0.1).abs() < 0.03, "{}", all.ratio());
    }
}
