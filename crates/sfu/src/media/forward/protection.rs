//! How much redundancy a receiver's sound has: by what it takes and what its link loses.
//!
//! One packet before each goes along always, since nobody knows a loss before it has begun: at 10 % one packet in a hundred
//! is then missing instead of one in ten. Where the link loses more than now and then, two go along: of 20 % less than one
//! packet in a hundred is missing. Both cost what a voice takes, some 30 kbit/s each for everybody who speaks; on a line so
//! narrow that a picture hangs on that, one less goes along, and none while the line has just become narrower: what is lost
//! then is lost since too much is sent.

use crate::media::redundancy;

/// From this loss on two packets go along; below the other one again.
const LOSSY: f64 = 0.03;
const CALM: f64 = 0.01;
const LOSSY_NARROW: f64 = 0.08;
const CALM_NARROW: f64 = 0.04;
/// Below this a line is narrow, and not any more from the other one on, bits per second.
const NARROW: u64 = 400_000;
const WIDE: u64 = 500_000;
/// A line that carries less than so many quarters of what it did has become narrower (estimates rise and fall by less), and its
/// queues take so long to be empty again, microseconds.
const NARROWER: u64 = 3;
const EMPTIED: u64 = 4_000_000;
/// Weight of the newest report.
const REPORT: f64 = 0.5;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Protection {
    taken: bool,
    lossy: bool,
    narrow: bool,
    /// The most that it carried since it last became narrower.
    most: u64,
    /// Until when what is lost is taken for what was too much.
    crowded_until: u64,
    now: u64,
    /// By receiver reports on sound, and by transport-wide feedback, which comes many times as often: where there is that,
    /// reports tell of what is over.
    reported: f64,
    measured: Option<f64>,
}

impl Protection {
    /// Whether the receiver takes redundancy at all.
    pub(super) fn set_taken(&mut self, taken: bool) {
        self.taken = taken;
    }

    /// A receiver report on sound: loss since the one before, in 1/256.
    pub(super) fn reported(&mut self, fraction_lost: u8) {
        self.reported += (f64::from(fraction_lost) / 256.0 - self.reported) * REPORT;
        self.judge();
    }

    /// Smoothed loss by transport-wide feedback, 0 to 1.
    pub(super) fn measured(&mut self, loss: f64) {
        self.measured = Some(loss);
        self.judge();
    }

    /// The line carries so much, bits per second; `None`: that is not known. `now`: microseconds.
    pub(super) fn set_line(&mut self, now: u64, line: Option<u64>) {
        let limit = if self.narrow { WIDE } else { NARROW };
        self.narrow = line.is_some_and(|line| line < limit);
        let line = line.unwrap_or(self.most);
        self.most = self.most.max(line);
        if line * 4 < self.most * NARROWER {
            (self.most, self.crowded_until) = (line, now + EMPTIED);
        }
        self.now = now;
        self.judge();
    }

    fn judge(&mut self) {
        let loss = self.measured.unwrap_or(self.reported);
        let (lossy, calm) = match self.narrow {
            true => (LOSSY_NARROW, CALM_NARROW),
            false => (LOSSY, CALM),
        };
        self.lossy = loss >= lossy || self.lossy && loss > calm;
    }

    /// Packets that go along with each.
    pub(super) fn distance(&self) -> u8 {
        let crowded = self.narrow && self.now < self.crowded_until;
        match (self.taken, self.lossy) {
            (false, _) => 0,
            (true, true) if crowded => 0,
            (true, false) => 1 - u8::from(self.narrow),
            (true, true) => redundancy::MOST - u8::from(self.narrow),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_loss_and_is_not_taken_away_at_once() {
        let mut p = Protection::default();
        p.measured(0.5);
        assert_eq!(p.distance(), 0, "not taken");
        p.set_taken(true);
        assert_eq!(p.distance(), 2);
        p.measured(0.02);
        assert_eq!(p.distance(), 2);
        p.measured(0.0);
        assert_eq!(p.distance(), 1);
    }

    #[test]
    fn reports_count_where_packets_are_not_told_one_by_one() {
        let mut p = Protection::default();
        p.set_taken(true);
        p.reported(50);
        assert_eq!(p.distance(), 2);
        for _ in 0..4 {
            p.reported(0);
        }
        assert_eq!(p.distance(), 1);
        // A report on sound comes every five seconds: what it says of a congestion was long ago.
        p.reported(255);
        p.measured(0.0);
        assert_eq!(p.distance(), 1);
    }

    #[test]
    fn a_narrow_line_carries_less_of_it() {
        let mut p = Protection::default();
        p.set_taken(true);
        let mut now = 0;
        let mut at = |line, loss| {
            now += 2 * EMPTIED;
            (0..2).for_each(|n| p.set_line(now + n * EMPTIED, line));
            p.measured(loss);
            p.distance()
        };
        assert_eq!(at(Some(800_000), 0.0), 1);
        assert_eq!(at(Some(390_000), 0.0), 0);
        assert_eq!(at(Some(450_000), 0.0), 0, "it stays so for a while");
        assert_eq!(at(Some(300_000), 0.1), 1);
        assert_eq!(at(Some(300_000), 0.03), 0, "what is left of a congestion");
        assert_eq!(at(Some(300_000), 0.1), 1);
        assert_eq!(at(Some(600_000), 0.1), 2);
        assert_eq!(at(None, 0.0), 1);
    }

    #[test]
    fn what_is_lost_since_a_line_became_narrower_is_not_answered_with_more() {
        let mut p = Protection::default();
        p.set_taken(true);
        p.set_line(0, Some(900_000));
        for ms in 0..10_000 {
            let now = ms * 1_000;
            p.set_line(now, Some(800_000 - (ms * 250).min(500_000)));
            p.measured(0.3);
            let expected = match ms {
                ..=1_600 => 2,
                1_700..5_000 => 0,
                6_100.. => 1,
                _ => continue,
            };
            assert_eq!(p.distance(), expected, "{ms}");
        }
    }
}
