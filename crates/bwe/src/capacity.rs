//! Where overuse began lately: an average of it with its spread.

const WEIGHT: f64 = 0.05;
/// Variance divided by the average, in kbit/s: at first, and its limits.
const SPREAD: f64 = 0.4;
const SPREADS: (f64, f64) = (0.4, 2.5);

/// See the module. Rates in bits per second.
#[derive(Debug)]
pub(crate) struct LinkCapacity {
    /// Kilobits per second.
    average: Option<f64>,
    spread: f64,
}

impl Default for LinkCapacity {
    fn default() -> Self {
        Self {
            average: None,
            spread: SPREAD,
        }
    }
}

impl LinkCapacity {
    /// The average.
    pub(crate) fn estimate(&self) -> Option<f64> {
        self.average.map(|average| average * 1_000.0)
    }

    /// The average and three deviations.
    pub(crate) fn upper(&self) -> f64 {
        self.average.map_or(f64::INFINITY, |average| {
            (average + 3.0 * (self.spread * average).sqrt()) * 1_000.0
        })
    }

    /// The average without three deviations.
    pub(crate) fn lower(&self) -> f64 {
        self.average.map_or(0.0, |average| {
            (average - 3.0 * (self.spread * average).sqrt()).max(0.0) * 1_000.0
        })
    }

    /// It is another path.
    pub(crate) fn reset(&mut self) {
        self.average = None;
    }

    /// So much arrived when queues began to grow.
    pub(crate) fn overused(&mut self, arrives: f64) {
        let sample = arrives / 1_000.0;
        let average = self
            .average
            .map_or(sample, |average| average + WEIGHT * (sample - average));
        let error = average - sample;
        let spread = (1.0 - WEIGHT) * self.spread + WEIGHT * error * error / average.max(1.0);
        self.spread = spread.clamp(SPREADS.0, SPREADS.1);
        self.average = Some(average);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_has_room_around_it() {
        let mut capacity = LinkCapacity::default();
        assert!(capacity.upper().is_infinite() && capacity.lower() == 0.0);
        for _ in 0..10 {
            capacity.overused(500_000.0);
        }
        assert_eq!(capacity.estimate(), Some(500_000.0));
        assert!(capacity.upper() > 530_000.0 && capacity.upper() < 550_000.0);
        assert!(capacity.lower() > 450_000.0 && capacity.lower() < 470_000.0);
        capacity.reset();
        assert_eq!(capacity.estimate(), None);
    }
}
