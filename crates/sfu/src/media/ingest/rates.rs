//! What an encoding takes, by temporal layer: measured over the last second, never assumed. A key frame is as large as many
//! other frames, and comes because somebody asked for it: most of it says nothing of what the encoding takes.

/// Temporal layers told apart: what two bits can say (RFC 7741 §4.2, RFC 9628 §4.2).
pub(crate) const TEMPORAL_LAYERS: usize = 4;
/// Length of a bucket, microseconds, and their number: together the time that is looked at.
const BUCKET: u64 = 125_000;
const BUCKETS: usize = 8;
/// Bytes that a packet takes besides what was received in plaintext: authentication tag and transport-wide number.
const OVERHEAD: usize = 24;
/// Of a key frame one part in so many counts.
const KEY_FRAME: usize = 4;

/// Bits per second up to and with each temporal layer.
pub(crate) type LayerRates = [u32; TEMPORAL_LAYERS];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: [[u32; TEMPORAL_LAYERS]; BUCKETS],
    /// Number of the newest bucket, counted from the beginning of the clock.
    newest: u64,
    /// Number of the bucket in which packets began to come, the last time they did.
    began: u64,
}

impl Rates {
    /// A packet of a temporal layer came. `key`: it is of a key frame.
    #[inline]
    pub(super) fn note(&mut self, now: u64, temporal: u8, len: usize, key: bool) {
        let part = if key { KEY_FRAME } else { 1 };
        let bucket = now / BUCKET;
        if bucket != self.newest {
            self.turn(bucket);
        }
        let layer = usize::from(temporal).min(TEMPORAL_LAYERS - 1);
        let place = self.buckets.get_mut(bucket as usize % BUCKETS);
        if let Some(bytes) = place.and_then(|b| b.get_mut(layer)) {
            *bytes = bytes.saturating_add(((len + OVERHEAD) / part) as u32);
        }
    }

    #[cold]
    fn turn(&mut self, bucket: u64) {
        let passed = bucket.saturating_sub(self.newest);
        if passed >= BUCKETS as u64 {
            self.buckets = Default::default();
            self.began = bucket;
        }
        for n in self.newest + 1..=bucket.min(self.newest + BUCKETS as u64) {
            if let Some(place) = self.buckets.get_mut(n as usize % BUCKETS) {
                *place = Default::default();
            }
        }
        self.newest = bucket;
    }

    /// What it takes, as of the newest packet; `None` before it was measured for a quarter of a second.
    pub(super) fn get(&self, now: u64) -> Option<LayerRates> {
        let end = now.max(self.newest * BUCKET);
        let oldest = (self.newest + 1).saturating_sub(BUCKETS as u64);
        let start = self.began.max(oldest) * BUCKET;
        // A pause is no lower rate until it has been noticed as one.
        let span = end.min((self.newest + 1) * BUCKET).saturating_sub(start);
        if span < 2 * BUCKET {
            return None;
        }
        let mut rates = LayerRates::default();
        let mut sum = 0u64;
        for (layer, rate) in rates.iter_mut().enumerate() {
            let bytes = self.buckets.iter().filter_map(|b| b.get(layer));
            sum += bytes.map(|b| u64::from(*b)).sum::<u64>();
            *rate = u32::try_from(sum * 8_000_000 / span).unwrap_or(u32::MAX);
        }
        Some(rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 3_600_000_000;

    /// 30 frames a second of 1,226 bytes each with overhead, temporal layers 0 2 1 2.
    fn second(rates: &mut Rates, from: u64) -> u64 {
        for n in 0..30u64 {
            let temporal = [0, 2, 1, 2][n as usize % 4];
            rates.note(from + n * 33_333, temporal, 1_226 - OVERHEAD, false);
        }
        from + 1_000_000
    }

    #[test]
    fn layers_are_measured_and_pauses_forgotten() {
        let mut rates = Rates::default();
        assert_eq!(rates.get(START), None);
        rates.note(START, 0, 5_000, true);
        assert_eq!(rates.get(START + 50_000), None, "a key frame says little");
        let mut at = START;
        for _ in 0..3 {
            at = second(&mut rates, at);
        }
        let all = 1_226 * 8 * 30;
        let measured = rates.get(at).unwrap();
        for (layer, share) in [(0, 4), (1, 2), (2, 1), (3, 1)] {
            let expected = f64::from(all) / f64::from(share);
            let off = f64::from(measured[layer]) / expected;
            assert!((0.85..1.15).contains(&off), "{layer}: {off}");
        }
        // A key frame as large as ten others.
        for _ in 0..10 {
            rates.note(at, 0, 1_226 - OVERHEAD, true);
        }
        let off = f64::from(rates.get(at).unwrap()[3]) / f64::from(all);
        assert!((0.85..1.15).contains(&off), "with a key frame: {off}");
        // After a pause the measuring begins anew.
        rates.note(at + 5_000_000, 0, 100, false);
        assert_eq!(rates.get(at + 5_000_000), None);
    }
}
