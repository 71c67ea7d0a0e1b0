//! Key frames that a sender is asked for on behalf of one stream. Each costs everybody else who takes the source, so what the
//! receiver wants is asked for at once, and what only its line is the reason for seldom, and the more seldom the more often
//! that was of no lasting use.

/// Asked for at once: so many, and then one in so many microseconds.
const MOST: u32 = 5;
const INTERVAL: u64 = 1_000_000;
/// A picture that is wanted and does not come is not asked for at once more often than this.
const MOST_FOR_A_WISH: u32 = 8;
/// For the line's sake: so many at once, the next one after so long, and twice as long each time; no longer for the picture
/// that is given up last.
const MOST_FOR_A_LINE: u32 = 2;
const FIRST_WAIT: u64 = 5_000_000;
const LONGEST_WAIT: u64 = 80_000_000;
const LONGEST_WAIT_LEADING: u64 = 10_000_000;
/// Of senders that make key frames of one encoding alone, which cost only those who take the same one.
const LONGEST_WAIT_EACH: u64 = 20_000_000;
const LONGEST_WAIT_EACH_LEADING: u64 = 2_000_000;
/// One that was asked for takes no longer than this to its receiver.
const UNDER_WAY: u64 = 3_000_000;
/// One that was asked for is forgotten after so long, and all are on a line that carries twice as much as at the best of them,
/// bits per second, and more than one whose estimate comes and goes with every key frame.
const FORGOTTEN: u64 = 90_000_000;
const NARROW: u64 = 150_000;

/// See the module. Times are microseconds of the shard's clock, rates bits per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asks {
    left: u32,
    since: u64,
    /// What is wanted may be asked for at once so many times more; 0 once the receiver has it.
    wish: u32,
    line: ForLine,
}

/// What was asked for the line's sake.
#[derive(Debug, Clone, Copy, Default)]
struct ForLine {
    count: u32,
    last: u64,
    /// The most that the line had room for when one was asked for.
    room: u64,
}

impl ForLine {
    fn at(self, now: u64, room: u64) -> Self {
        let forgotten = now.saturating_sub(self.last) / FORGOTTEN;
        let count = match room / 2 >= self.room.max(NARROW) {
            true => 0,
            false => self.count.saturating_sub(forgotten.min(100) as u32),
        };
        Self { count, ..self }
    }

    fn wait(self, leads: bool, each: bool) -> u64 {
        let Some(more) = self.count.checked_sub(MOST_FOR_A_LINE) else {
            return 0;
        };
        let most = match (leads, each) {
            (true, true) => LONGEST_WAIT_EACH_LEADING,
            (true, false) => LONGEST_WAIT_LEADING,
            (false, true) => LONGEST_WAIT_EACH,
            (false, false) => LONGEST_WAIT,
        };
        (FIRST_WAIT << more.min(5)).min(most)
    }
}

impl Default for Asks {
    fn default() -> Self {
        Self {
            left: MOST,
            since: 0,
            wish: MOST_FOR_A_WISH,
            line: ForLine::default(),
        }
    }
}

impl Asks {
    /// The receiver wants the source, or wants it in another height than before.
    pub(super) fn wished(&mut self) {
        self.wish = MOST_FOR_A_WISH;
    }

    /// The receiver has what it wants.
    pub(super) fn granted(&mut self) {
        self.wish = 0;
    }

    /// Whether the receiver has not had yet what it wants.
    pub(super) fn is_wish(&self) -> bool {
        self.wish > 0
    }

    /// Whether one may be asked for at once; if so it counts as asked. If not: when it may.
    pub(super) fn take(&mut self, now: u64) -> Result<(), u64> {
        let earned = now.saturating_sub(self.since) / INTERVAL;
        if earned > 0 {
            self.left = (self.left + earned.min(100) as u32).min(MOST);
            self.since = now;
        }
        if self.left == 0 {
            return Err(now + INTERVAL);
        }
        self.left -= 1;
        self.wish = self.wish.saturating_sub(1);
        Ok(())
    }

    /// When one may be asked for the line's sake, which has so much room. `leads`: what it is for is given up last. `each`: its
    /// sender makes key frames of one encoding alone.
    pub(super) fn line_due(&self, now: u64, room: u64, leads: bool, each: bool) -> u64 {
        let line = self.line.at(now, room);
        match line.wait(leads, each) {
            0 => 0,
            wait => line.last + wait,
        }
    }

    /// Whether one was asked for the line's sake so lately that it may be on its way.
    pub(super) fn is_under_way(&self, now: u64) -> bool {
        self.line.count > 0 && now < self.line.last + UNDER_WAY
    }

    /// One is asked for the line's sake.
    pub(super) fn take_for_line(&mut self, now: u64, room: u64) {
        let line = self.line.at(now, room);
        let before = if line.count == 0 { 0 } else { line.room };
        self.line = ForLine {
            count: line.count.saturating_add(1),
            last: now,
            room: room.max(before),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const START: u64 = 3_600 * SECOND;

    /// Seconds from one to the next of those that are asked for on a line of so much room, as soon as they may be.
    fn waits(leads: bool, each: bool, count: usize) -> Vec<u64> {
        let mut asks = Asks::default();
        let mut now = START;
        let next = |_| {
            let due = asks.line_due(now, 200_000, leads, each).max(now);
            let wait = due - now;
            now = due;
            asks.take_for_line(now, 200_000);
            wait / SECOND
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn what_is_of_no_lasting_use_is_asked_for_more_and_more_seldom() {
        assert_eq!(waits(false, false, 8), [0, 0, 5, 10, 20, 40, 80, 80]);
        assert_eq!(waits(true, false, 6), [0, 0, 5, 10, 10, 10]);
        assert_eq!(waits(false, true, 6), [0, 0, 5, 10, 20, 20]);
        assert_eq!(waits(true, true, 4), [0, 0, 2, 2]);
    }

    #[test]
    fn a_line_that_carries_more_again_begins_anew() {
        let mut asks = Asks::default();
        (0..9).for_each(|_| asks.take_for_line(START, 200_000));
        let now = START + SECOND;
        assert!(asks.line_due(now, 300_000, true, false) > now);
        assert!(asks.line_due(now, 400_000, false, false) <= now);
        assert!(asks.line_due(START + 90 * SECOND, 200_000, false, false) <= START + 90 * SECOND);
    }

    #[test]
    fn a_line_whose_estimate_comes_and_goes_is_the_same_line() {
        for (low, high) in [(60_000, 120_000), (44_000, 174_000), (200_000, 390_000)] {
            let mut asks = Asks::default();
            let mut now = START;
            let mut asked = 0;
            // A minute of dips, each followed by more room than before.
            while now < START + 60 * SECOND {
                for room in [low, high] {
                    now += 2 * SECOND;
                    if asks.line_due(now, room, false, false) <= now {
                        asks.take_for_line(now, room);
                        asked += 1;
                    }
                }
            }
            assert!(asked <= 5, "{low} {high}: {asked} in a minute");
        }
    }

    #[test]
    fn what_is_wanted_is_asked_for_at_once_but_not_for_ever() {
        let mut asks = Asks::default();
        let asked = (0..5).filter(|_| asks.take(START).is_ok()).count();
        assert_eq!(asked, 5);
        assert_eq!(asks.take(START), Err(START + SECOND));
        assert!(asks.is_wish());
        for n in 1..4 {
            assert!(asks.take(START + n * SECOND).is_ok());
        }
        assert!(!asks.is_wish(), "it does not come");
        asks.wished();
        assert!(asks.is_wish());
    }
}
