//! What a receiver may be sent of video, and when that is to be shared out anew: at once when it is too little for what is
//! sent, with patience when it may be more, so that layers do not flap.

use super::fit::Fit;

/// More is news from this much on: one in so many.
const NEWS: u64 = 20;
/// Shares are looked at again this often, since rates change, microseconds: a layer that has just begun takes a fraction of
/// what it will take, and what seemed to leave plenty may be more than there is.
const REVIEW: u64 = 1_000_000;
/// Shares are looked at this often at most.
const PAUSE: u64 = 100_000;
/// After somebody had to take less, nobody gets more for this long; twice as long each time it comes soon after a climb.
const FIRST_HOLD: u64 = 1_000_000;
const LONGEST_HOLD: u64 = 4_000_000;
/// A fall so soon after a climb was caused by it.
const SOON: u64 = 5_000_000;
/// Who is sent little more than there is keeps it for this long: estimates dip, and recover by the next probe.
const PATIENCE: u64 = 1_200_000;
/// As little as so many eighths of what is sent.
const LITTLE: u64 = 6;
/// The last picture is kept for so long although nothing fits: what waits for a line that is back by then needs no key frame.
const LAST_PATIENCE: u64 = 1_500_000;
/// So long after the beginning, a fall says nothing about climbs.
const BEGINNING: u64 = 5_000_000;
/// Between two climbs.
const CLIMB_PAUSE: u64 = 600_000;

/// What a line has room for, bits per second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    /// What video may take; `None` for no limit.
    pub(crate) available: Option<u64>,
    /// What the least pictures of all may take on trust, while nothing is known of the line.
    pub(crate) trusted: Option<u64>,
    /// That is more than a guess.
    pub(crate) sure: bool,
}

/// See the module. Rates are bits per second, times microseconds.
#[derive(Debug)]
pub(crate) struct Budget {
    available: Option<u64>,
    /// More than that, which the least pictures may take.
    trusted: u64,
    /// That is more than a guess.
    sure: bool,
    /// With what it was shared out last, and when.
    fitted: Option<u64>,
    fitted_at: u64,
    spent: u64,
    ideal: u64,
    is_limited: bool,
    /// Whether somebody got more, or less, than before, the last time it was shared out.
    changes: (bool, bool),
    hold: u64,
    held_until: u64,
    climbed_at: u64,
    /// Since when there is less than is sent.
    short_since: Option<u64>,
    /// What the picture needs that is given up last, and since when there is less.
    least: u64,
    out_since: Option<u64>,
    /// When it was first shared out.
    began: Option<u64>,
}

impl Default for Budget {
    /// No limit.
    fn default() -> Self {
        Self {
            available: None,
            trusted: 0,
            sure: false,
            fitted: None,
            fitted_at: 0,
            spent: 0,
            ideal: 0,
            is_limited: false,
            changes: (false, false),
            hold: FIRST_HOLD,
            held_until: 0,
            climbed_at: 0,
            short_since: None,
            least: 0,
            out_since: None,
            began: None,
        }
    }
}

impl Budget {
    /// What may be sent; `None` for no limit.
    pub(crate) fn available(&self) -> Option<u64> {
        self.available
    }

    /// What the least pictures may take beyond that, on trust.
    pub(crate) fn trusted(&self) -> u64 {
        self.trusted
    }

    /// What the layers being sent take, and what the best ones would.
    pub(crate) fn rates(&self) -> (u64, u64) {
        (self.spent, self.ideal)
    }

    /// Whether more is sent than the line is taken to carry.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.available.is_some_and(|most| self.spent > most)
    }

    /// Whether somebody has less than the best layer.
    pub(crate) fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// Whether somebody has less than the best layer since the line is known to carry no more.
    pub(crate) fn is_short(&self) -> bool {
        self.sure && self.is_limited
    }

    /// Whether somebody got more, and less, than before, the last time it was shared out.
    pub(crate) fn changes(&self) -> (bool, bool) {
        self.changes
    }

    /// Until when nobody gets more.
    pub(crate) fn held_until(&self) -> u64 {
        self.held_until
    }

    /// Sets what may be sent; whether to share it out anew now.
    pub(crate) fn set(&mut self, now: u64, room: Room) -> bool {
        let Room {
            available, sure, ..
        } = room;
        let surer = sure && !std::mem::replace(&mut self.sure, sure);
        self.available = available;
        let extra = available.zip(room.trusted);
        self.trusted = extra.map_or(0, |(available, trusted)| trusted.saturating_sub(available));
        let (Some(available), Some(fitted)) = (available, self.fitted) else {
            return available.is_some() != self.fitted.is_some();
        };
        if surer {
            return true;
        }
        // What is sent on trust does not count as too much.
        let available = available.max(self.spent.min(available + self.trusted));
        self.short_since = match available < self.spent {
            true => self.short_since.or(Some(now)),
            false => None,
        };
        self.out_since = match available < self.least {
            true => self.out_since.or(Some(now)),
            false => None,
        };
        let since = now.saturating_sub(self.fitted_at);
        if since < PAUSE {
            return false;
        }
        let patient = available * 8 >= self.spent * LITTLE;
        let patience = if patient { PATIENCE } else { 0 };
        if let Some(short) = self.short_since {
            return now >= short + patience;
        }
        let more = self.is_limited && available > fitted + fitted / NEWS && self.may_climb(now);
        more || since >= REVIEW
    }

    /// What is to be shared out: what may be sent, and for a while what the last picture needs, however little that is.
    pub(super) fn to_share(&self, now: u64) -> Option<u64> {
        let is_kept = self
            .out_since
            .is_some_and(|since| now < since + LAST_PATIENCE);
        let least = if is_kept { self.least } else { 0 };
        self.available.map(|available| available.max(least))
    }

    /// Whether somebody may get more than before.
    pub(super) fn may_climb(&self, now: u64) -> bool {
        let rested = now >= self.held_until
            && (self.climbed_at == 0 || now >= self.climbed_at + CLIMB_PAUSE);
        self.available.is_none() || (self.sure && rested)
    }

    /// The receiver wants something else: what was learnt of its layers does not count any more.
    pub(super) fn wishes_changed(&mut self) {
        (self.held_until, self.climbed_at) = (0, 0);
    }

    /// It was shared out.
    pub(super) fn fitted(&mut self, now: u64, fit: &Fit) {
        (self.fitted, self.fitted_at) = (self.available, now);
        (self.spent, self.ideal, self.is_limited) = (fit.spent, fit.ideal, fit.is_limited);
        self.changes = (fit.climbed, fit.fell);
        self.least = fit.least;
        self.short_since = None;
        let began = *self.began.get_or_insert(now);
        if !self.sure {
            // Of a guess, newcomers take from each other: that says nothing of the line.
            return;
        }
        if fit.fell {
            let settled = now >= began + BEGINNING;
            let soon = settled && self.climbed_at != 0 && now < self.climbed_at + SOON;
            self.hold = match soon {
                true => (self.hold * 2).min(LONGEST_HOLD),
                false => FIRST_HOLD,
            };
            self.held_until = now + self.hold;
        } else if fit.climbed {
            self.climbed_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn room(available: Option<u64>, sure: bool) -> Room {
        Room {
            available,
            sure,
            trusted: None,
        }
    }

    fn fitted(spent: u64, climbed: bool, fell: bool) -> Fit {
        Fit {
            spent,
            ideal: 1_000,
            is_limited: true,
            climbed,
            fell,
            ..Fit::default()
        }
    }

    #[test]
    fn what_newcomers_take_from_each_other_of_a_guess_is_had_back_once_it_is_none() {
        let mut budget = Budget::default();
        let now = 3_600 * SECOND;
        budget.set(now, room(Some(500), false));
        budget.fitted(now, &fitted(500, true, false));
        budget.fitted(now + SECOND / 10, &fitted(400, false, true));
        assert!(budget.set(now + SECOND / 5, room(Some(1_500), true)));
        assert!(budget.may_climb(now + SECOND / 5));
    }

    #[test]
    fn what_is_sent_on_trust_is_no_reason_to_send_less_until_the_trust_is_gone() {
        let mut budget = Budget::default();
        let now = 3_600 * SECOND;
        let trusting = Room {
            trusted: Some(1_500),
            ..room(Some(500), false)
        };
        budget.set(now, trusting);
        assert_eq!(budget.trusted(), 1_000);
        budget.fitted(now, &fitted(1_200, false, false));
        let later = now + SECOND / 5;
        assert!(!budget.set(later, trusting));
        assert!(budget.set(later, room(Some(500), false)));
        assert_eq!(budget.trusted(), 0);
    }

    #[test]
    fn less_is_taken_at_once_and_more_with_patience() {
        let mut budget = Budget::default();
        let mut now = 3_600 * SECOND;
        assert!(!budget.set(now, room(None, false)));
        assert!(
            budget.set(now, room(Some(500), false)),
            "the first limit is news"
        );
        budget.fitted(now, &fitted(100, false, false));
        assert!(!budget.may_climb(now), "it is a guess");
        assert!(
            budget.set(now, room(Some(500), true)),
            "it is none any more"
        );
        assert!(budget.may_climb(now));
        budget.fitted(now, &fitted(400, false, false));
        now += SECOND / 2;
        assert!(!budget.set(now, room(Some(510), true)), "hardly more");
        assert!(budget.set(now, room(Some(600), true)));
        assert!(!budget.set(now, room(Some(399), true)), "a dip");
        now += PATIENCE;
        assert!(budget.set(now, room(Some(399), true)));
        assert!(budget.set(now, room(Some(299), true)), "more than a dip");
        budget.fitted(now, &fitted(200, false, true));
        now += SECOND / 2;
        assert!(!budget.set(now, room(Some(600), true)), "held");
        assert!(budget.set(now, room(Some(140), true)), "still less");
        now += SECOND;
        assert!(budget.set(now, room(Some(600), true)));
    }

    #[test]
    fn the_last_picture_is_kept_over_a_moment_without_room_for_it() {
        let mut budget = Budget::default();
        let mut now = 3_600 * SECOND;
        budget.set(now, room(Some(500), true));
        let fit = Fit {
            least: 30,
            ..fitted(80, false, false)
        };
        budget.fitted(now, &fit);
        now += SECOND;
        assert!(
            budget.set(now, room(Some(10), true)),
            "others are given up at once"
        );
        assert_eq!(budget.to_share(now), Some(30));
        budget.fitted(now, &fit);
        now += SECOND;
        budget.set(now, room(Some(0), true));
        assert_eq!(budget.to_share(now), Some(30));
        budget.set(now, room(Some(100), true));
        assert_eq!(budget.to_share(now), Some(100));
        budget.set(now, room(Some(0), true));
        now += 2 * SECOND;
        assert!(budget.set(now, room(Some(0), true)));
        assert_eq!(budget.to_share(now), Some(0), "it is no moment");
    }

    #[test]
    fn what_seemed_to_take_little_is_looked_at_again() {
        let mut budget = Budget::default();
        let mut now = 3_600 * SECOND;
        budget.set(now, room(Some(500), true));
        let fit = Fit {
            is_limited: false,
            ..fitted(100, false, false)
        };
        budget.fitted(now, &fit);
        now += SECOND / 2;
        assert!(!budget.set(now, room(Some(500), true)));
        now += SECOND / 2;
        assert!(budget.set(now, room(Some(500), true)));
    }

    #[test]
    fn whoever_falls_after_each_climb_climbs_more_seldom() {
        let mut budget = Budget::default();
        let mut now = 3_600 * SECOND;
        budget.set(now, room(Some(500), true));
        budget.fitted(now, &fitted(200, false, false));
        now += 2 * BEGINNING;
        let mut waits = Vec::new();
        for _ in 0..5 {
            budget.fitted(now, &fitted(400, true, false));
            now += SECOND;
            budget.fitted(now, &fitted(200, false, true));
            waits.push((budget.held_until() - now) / SECOND);
            now = budget.held_until();
            assert!(budget.may_climb(now));
        }
        assert_eq!(waits, [2, 4, 4, 4, 4]);
        // A fall without a climb before it is no mistake.
        now += 10 * SECOND;
        budget.fitted(now, &fitted(100, false, true));
        assert_eq!(budget.held_until() - now, FIRST_HOLD);
    }
}
