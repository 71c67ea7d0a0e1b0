//! Key frames that the sender of a source is asked for, encoding by encoding.
//!
//! A request names an encoding by its SSRC (RFC 4585 §6.3.1, RFC 5104 §4.3.1). Some senders answer it with a key frame of
//! all encodings, so that it costs everybody who takes the source; others with one of that encoding alone. Which of the two
//! a sender does is seen from what comes, and until then it is taken for the former.

use crate::media::spec::{Encodings, Source as Spec};

/// Requests to a sender are at least this far apart, microseconds: those for one encoding, or all of them.
const INTERVAL: u64 = 300_000;
/// For the sake of lines, which carry something else or lost something: so many at once, and then one in so many
/// microseconds, for all receivers together.
const MOST_FOR_LINES: u32 = 6;
const LINES_INTERVAL: u64 = 5_000_000;
/// One that was asked for and has not come is on its way for so long.
const UNDER_WAY: u64 = 1_000_000;
/// Key frames of other encodings that come with the one that was asked for come no later after it than this.
const FOLLOW: u64 = 300_000;

/// What was asked of one encoding.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Option<u64>,
    came: Option<u64>,
    /// How many more may be asked for the sake of lines, and since when.
    for_lines: u32,
    for_lines_since: u64,
}

/// A request from which it will be seen how its sender answers.
#[derive(Debug, Clone, Copy)]
struct Trial {
    asked: Encodings,
    at: u64,
    answered: Option<u64>,
}

/// See the module. Times are microseconds of the shard's clock.
#[derive(Debug)]
pub(super) struct KeyRequests {
    wanted: Encodings,
    asked: [Asked; Spec::MAX_ENCODINGS],
    /// Key frames of all encodings come together.
    together: bool,
    trial: Option<Trial>,
}

impl Default for KeyRequests {
    fn default() -> Self {
        let nothing = Asked {
            at: None,
            came: None,
            for_lines: MOST_FOR_LINES,
            for_lines_since: 0,
        };
        Self {
            wanted: Encodings::default(),
            asked: [nothing; Spec::MAX_ENCODINGS],
            together: true,
            trial: None,
        }
    }
}

impl KeyRequests {
    /// Somebody waits for key frames of these.
    pub(super) fn want(&mut self, encodings: Encodings) {
        self.wanted = self.wanted.or(encodings);
    }

    /// Whether somebody waits for any.
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Those that are to be asked for now; they count as asked. `coming`: those that come in.
    pub(super) fn take_due(&mut self, now: u64, coming: Encodings) -> Encodings {
        let rested = |e: &u8| {
            let asked = self.asked_at(*e);
            asked.is_none_or(|at| now.saturating_sub(at) >= INTERVAL)
        };
        let due: Encodings = self.wanted.iter().filter(rested).collect();
        if due.is_empty() {
            return due;
        }
        self.wanted = self.wanted.without(due);
        for e in due.iter() {
            if let Some(asked) = self.asked.get_mut(usize::from(e)) {
                asked.at = Some(now);
            }
        }
        match &mut self.trial {
            Some(trial) if now < trial.at + UNDER_WAY => trial.asked = trial.asked.or(due),
            trial => {
                let tells = !coming.without(due).is_empty();
                *trial = tells.then_some(Trial {
                    asked: due,
                    at: now,
                    answered: None,
                });
            }
        }
        due
    }

    /// A key frame of an encoding came: whoever waited for it has it.
    pub(super) fn came(&mut self, now: u64, encoding: u8) {
        self.wanted = self.wanted.without(Encodings::one(encoding));
        if let Some(asked) = self.asked.get_mut(usize::from(encoding)) {
            asked.came = Some(now);
        }
        let Some(trial) = &mut self.trial else {
            return;
        };
        if trial.asked.has(encoding) {
            trial.answered.get_or_insert(now);
        } else if now < trial.at + UNDER_WAY {
            (self.together, self.trial) = (true, None);
        }
    }

    /// Whether key frames of all encodings come together, as far as is known.
    pub(super) fn come_together(&self) -> bool {
        self.together
    }

    /// Whether [`Self::judge`] has something to look at.
    pub(super) fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Looks at what came of the last request: alone, if nothing of other encodings followed that come in.
    pub(super) fn judge(&mut self, now: u64, coming: Encodings) {
        let Some(trial) = self.trial else {
            return;
        };
        match trial.answered {
            Some(at) if now >= at + FOLLOW => {
                self.together &= coming.without(trial.asked).is_empty();
                self.trial = None;
            }
            None if now >= trial.at + UNDER_WAY => self.trial = None,
            _ => {}
        }
    }

    /// Whether one that was asked for may be expected.
    pub(super) fn is_under_way(&self, now: u64, encoding: u8) -> bool {
        let came = self
            .asked
            .get(usize::from(encoding))
            .and_then(|asked| asked.came);
        let asked = self.asked_at(encoding).filter(|at| now < at + UNDER_WAY);
        asked.is_some_and(|at| came.is_none_or(|came| came < at))
    }

    /// Those of which one came at most `age` ago, or may be expected.
    pub(super) fn fresh(&self, now: u64, age: u64) -> Encodings {
        let came = |e: u8| self.asked.get(usize::from(e)).and_then(|asked| asked.came);
        let fresh = |e: &u8| came(*e).is_some_and(|came| now <= came + age);
        let all = Encodings::first(Spec::MAX_ENCODINGS).iter();
        all.filter(|e| fresh(e) || self.is_under_way(now, *e))
            .collect()
    }

    /// When one may be asked for the sake of a line.
    pub(super) fn line_due(&self, now: u64, encoding: u8) -> u64 {
        match self.asked.get(self.place(encoding)) {
            Some(asked) if asked.for_lines == 0 => asked.for_lines_since + LINES_INTERVAL,
            _ => now,
        }
    }

    /// One is asked for on behalf of a line.
    pub(super) fn asked_for_a_line(&mut self, now: u64, encoding: u8) {
        let place = self.place(encoding);
        let Some(asked) = self.asked.get_mut(place) else {
            return;
        };
        let earned = now.saturating_sub(asked.for_lines_since) / LINES_INTERVAL;
        if earned > 0 {
            let all = asked.for_lines.saturating_add(earned.min(100) as u32);
            (asked.for_lines, asked.for_lines_since) = (all.min(MOST_FOR_LINES), now);
        }
        asked.for_lines = asked.for_lines.saturating_sub(1);
    }

    /// When one was asked for last that brings a key frame of an encoding.
    fn asked_at(&self, encoding: u8) -> Option<u64> {
        match self.together {
            true => self.asked.iter().filter_map(|asked| asked.at).max(),
            false => self.asked.get(usize::from(encoding))?.at,
        }
    }

    /// Where it is counted what an encoding is asked for: what comes together is counted once.
    fn place(&self, encoding: u8) -> usize {
        match self.together {
            true => 0,
            false => usize::from(encoding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;
    const START: u64 = 3_600_000 * MS;

    fn list(encodings: Encodings) -> Vec<u8> {
        encodings.iter().collect()
    }

    /// Asks for one encoding of two, and takes the key frames that come.
    fn ask(requests: &mut KeyRequests, now: u64, of: u8, answers: &[u8]) {
        let coming = Encodings::first(2);
        requests.want(Encodings::one(of));
        assert_eq!(list(requests.take_due(now, coming)), [of]);
        for e in answers {
            requests.came(now + 100 * MS, *e);
        }
        requests.judge(now + 500 * MS, coming);
    }

    #[test]
    fn requests_to_who_answers_with_everything_are_merged() {
        let coming = Encodings::first(2);
        let mut requests = KeyRequests::default();
        ask(&mut requests, START, 0, &[0, 1]);
        let now = START + 1_000 * MS;
        ask(&mut requests, now, 1, &[1, 0]);
        let now = now + 1_000 * MS;
        requests.want(Encodings::one(0));
        assert_eq!(list(requests.take_due(now, coming)), [0]);
        requests.want(Encodings::one(1));
        let soon = now + 50 * MS;
        assert!(requests.is_under_way(soon, 1));
        assert!(requests.take_due(soon, coming).is_empty());
        requests.came(soon, 0);
        requests.came(soon, 1);
        assert!(!requests.is_wanted(), "it was on its way");
        assert!(requests.take_due(now + 400 * MS, coming).is_empty());
    }

    #[test]
    fn who_answers_encoding_by_encoding_is_asked_so() {
        let coming = Encodings::first(2);
        let mut requests = KeyRequests::default();
        ask(&mut requests, START, 0, &[0]);
        let now = START + 1_000 * MS;
        requests.want(Encodings::one(0));
        assert_eq!(list(requests.take_due(now, coming)), [0]);
        assert!(!requests.is_under_way(now, 1));
        requests.want(Encodings::one(1));
        assert_eq!(list(requests.take_due(now + 50 * MS, coming)), [1]);
        assert!(requests.is_under_way(now + 60 * MS, 1));
        // As soon as one comes that nobody asked for, all may come again.
        ask(&mut requests, now + 2_000 * MS, 0, &[1, 0]);
        requests.want(Encodings::one(0));
        let now = now + 4_000 * MS;
        assert_eq!(list(requests.take_due(now, coming)), [0]);
        assert!(requests.is_under_way(now, 1));
    }

    #[test]
    fn lines_share_what_comes_together() {
        let spent = |requests: &mut KeyRequests, of: u8| {
            (0..MOST_FOR_LINES).for_each(|_| requests.asked_for_a_line(START, of));
        };
        let mut requests = KeyRequests::default();
        spent(&mut requests, 0);
        assert!(requests.line_due(START, 1) > START);
        let mut requests = KeyRequests::default();
        ask(&mut requests, START, 0, &[0]);
        spent(&mut requests, 0);
        assert!(requests.line_due(START, 0) > START);
        assert_eq!(requests.line_due(START, 1), START);
    }
}
