//! Dominant speaker identification, after Volfin and Cohen, *Dominant Speaker Identification for Multipoint
//! Videoconferencing* (2013): speech activity on three time scales, compared as log ratios.
//!
//! Quicker than Jitsi's bridge, which looks back a whole second and decides three times in it: who begins when another one
//! ends is behind for half of what is looked back on. Here that is 0.7 s, and any packet may decide.

use crate::media::ids::EndpointId;

const IMMEDIATES_PER_MEDIUM: usize = 5;
const MEDIUMS: usize = 7;
const HISTORY: usize = IMMEDIATES_PER_MEDIUM * MEDIUMS;
/// Levels above the noise floor that count as one unit of activity: (127 + 13 - 1) / 13.
const SUB_UNIT: u8 = 10;
const MEDIUM_THRESHOLD: u8 = 7;
/// One packet in five may be quiet: between two syllables.
const LONG_THRESHOLD: u8 = 3;
/// Window after which the noise floor may rise, in levels.
const FLOOR_WINDOW: u32 = 750;
const MIN_SCORE: f64 = 1e-10;
/// Thresholds of the three log ratios: a challenger must beat all.
const C1: f64 = 3.0;
const C2: f64 = 2.0;
const C3: f64 = 0.0;

/// Decisions are this far apart, microseconds.
const DECISION_INTERVAL: u64 = 20_000;
/// A speaker without a level for this long is taken as silent.
const IDLE: u64 = 40_000;
/// Decisions stop when nobody was heard for this long.
const DORMANT: u64 = 15_000_000;
/// A dominant speaker without speech for this long is followed by silence.
const SILENCE_TIMEOUT: u64 = 3_000_000;
/// Energy weight of the newest level, percent.
const ENERGY_ALPHA: u32 = 50;

/// `score` of activity `v` out of `n` with rate `lambda`, p = 1/2.
fn score(v: u32, n: u32, lambda: f64) -> f64 {
    let mut ln_binomial = 0.0;
    for i in 0..v.min(n) {
        ln_binomial += f64::from(n - i).ln() - f64::from(i + 1).ln();
    }
    let ln_half = 0.5f64.ln();
    (ln_binomial + f64::from(n) * ln_half - lambda.ln() + lambda * f64::from(v)).max(MIN_SCORE)
}

#[derive(Debug, Clone)]
struct Speaker {
    id: EndpointId,
    /// Ring of levels; `newest` is the index of the newest.
    levels: [u8; HISTORY],
    newest: usize,
    floor: u8,
    window_floor: u8,
    window_count: u32,
    last_level: u64,
    last_speech: Option<u64>,
    scores: [f64; 3],
    dirty: bool,
    energy: u32,
    /// Silent levels in a row.
    silent: usize,
}

impl Speaker {
    fn new(id: EndpointId, now: u64) -> Self {
        Self {
            id,
            levels: [0; HISTORY],
            newest: 0,
            floor: 0,
            window_floor: 0,
            window_count: 0,
            last_level: now,
            last_speech: None,
            scores: [MIN_SCORE; 3],
            dirty: true,
            energy: 0,
            silent: 0,
        }
    }

    fn push(&mut self, level: u8, now: u64) {
        self.newest = (self.newest + 1) % HISTORY;
        if let Some(slot) = self.levels.get_mut(self.newest) {
            *slot = level;
        }
        self.silent = if level == 0 { self.silent + 1 } else { 0 };
        self.last_level = now;
        self.dirty = true;
        self.track_floor(level);
        let cooked = if level >= self.floor.saturating_add(SUB_UNIT) {
            u32::from(level)
        } else {
            0
        };
        self.energy = (ENERGY_ALPHA * cooked + (100 - ENERGY_ALPHA) * self.energy + 50) / 100;
    }

    fn track_floor(&mut self, level: u8) {
        if level == 0 {
            return;
        }
        if self.floor == 0 || level < self.floor {
            self.floor = level;
            self.window_floor = 0;
            self.window_count = 0;
            return;
        }
        if self.window_floor == 0 || level < self.window_floor {
            self.window_floor = level;
        }
        self.window_count += 1;
        if self.window_count >= FLOOR_WINDOW {
            self.floor = (f64::from(self.floor) * f64::from(self.window_floor)).sqrt() as u8;
            self.window_floor = 0;
            self.window_count = 0;
        }
    }

    fn evaluate(&mut self, now: u64) {
        if !self.dirty {
            return;
        }
        self.dirty = false;
        let threshold = self.floor.saturating_add(SUB_UNIT);
        // Newest first.
        let immediate = |i: usize| {
            let level = self
                .levels
                .get((self.newest + HISTORY - i) % HISTORY)
                .copied()
                .unwrap_or(0);
            if level < threshold {
                0
            } else {
                level / SUB_UNIT
            }
        };
        let medium = |m: usize| {
            let from = m * IMMEDIATES_PER_MEDIUM;
            (from..from + IMMEDIATES_PER_MEDIUM)
                .filter(|&i| immediate(i) > MEDIUM_THRESHOLD)
                .count() as u8
        };
        let long = (0..MEDIUMS).filter(|&m| medium(m) > LONG_THRESHOLD).count() as u32;
        let scores = [
            score(u32::from(immediate(0)), 13, 0.78),
            score(u32::from(medium(0)), 5, 24.0),
            score(long, MEDIUMS as u32, 47.0),
        ];
        self.scores = scores;
        if scores[2] > MIN_SCORE {
            self.last_speech = Some(now);
        }
    }
}

/// A result of [`Speakers::tick`] that differs from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpeakerChange {
    /// Someone else speaks.
    Speaker(EndpointId),
    /// Nobody speaks any more.
    Silence,
}

/// All speakers of one conference.
#[derive(Debug, Default)]
pub(crate) struct Speakers {
    /// In the order of their ids.
    speakers: Vec<Speaker>,
    dominant: Option<EndpointId>,
    silent: bool,
    next_decision: u64,
    next_idle: u64,
    last_heard: u64,
}

impl Speakers {
    /// A level of 0 (silent) to 127 (loud) was received.
    pub(crate) fn level(&mut self, now: u64, id: &EndpointId, level: u8) {
        self.last_heard = now;
        let level = level.min(127);
        let at = match self.speakers.binary_search_by(|s| s.id.cmp(id)) {
            Ok(at) => at,
            Err(at) => {
                self.speakers.insert(at, Speaker::new(id.clone(), now));
                at
            }
        };
        if let Some(speaker) = self.speakers.get_mut(at) {
            speaker.push(level, now);
        }
    }

    /// The endpoint left.
    pub(crate) fn remove(&mut self, id: &EndpointId) {
        self.speakers.retain(|s| s.id != *id);
        if self.dominant.as_ref() == Some(id) {
            self.dominant = None;
        }
    }

    /// Smoothed energy of a speaker, 0 to 127.
    #[cfg(test)]
    fn energy(&self, id: &EndpointId) -> u32 {
        self.speakers
            .iter()
            .find(|s| s.id == *id)
            .map_or(0, |s| s.energy)
    }

    /// Whether [`Self::tick`] has anything to do at present.
    pub(crate) fn is_awake(&self, now: u64) -> bool {
        !self.speakers.is_empty() && now.saturating_sub(self.last_heard) <= DORMANT
    }

    /// Call every 20 ms or so while awake.
    pub(crate) fn tick(&mut self, now: u64) -> Option<SpeakerChange> {
        if !self.is_awake(now) {
            return None;
        }
        if now >= self.next_idle {
            self.next_idle = now + IDLE;
            for s in &mut self.speakers {
                if now.saturating_sub(s.last_level) > IDLE {
                    s.push_idle();
                }
            }
        }
        if now < self.next_decision {
            return None;
        }
        self.next_decision = now + DECISION_INTERVAL;
        self.decide(now)
    }

    fn decide(&mut self, now: u64) -> Option<SpeakerChange> {
        for s in &mut self.speakers {
            s.evaluate(now);
        }
        let current = match &self.dominant {
            Some(id) => self.speakers.iter().find(|s| s.id == *id),
            None => self.speakers.iter().max_by(|a, b| a.energy.cmp(&b.energy)),
        };
        let current = current.or_else(|| self.speakers.first())?;
        let mut winner = current;
        let mut best = C2;
        for other in self.speakers.iter().filter(|s| s.id != current.id) {
            let ratio = |i: usize| {
                let (o, c) = (other.scores.get(i), current.scores.get(i));
                (o.copied().unwrap_or(MIN_SCORE) / c.copied().unwrap_or(MIN_SCORE)).ln()
            };
            if ratio(0) > C1 && ratio(1) > best && ratio(2) > C3 {
                best = ratio(1);
                winner = other;
            }
        }
        let quiet = winner
            .last_speech
            .is_none_or(|t| now.saturating_sub(t) > SILENCE_TIMEOUT);
        let id = winner.id.clone();
        if self.dominant.as_ref() != Some(&id) {
            self.dominant = Some(id.clone());
            self.silent = false;
            return Some(SpeakerChange::Speaker(id));
        }
        if quiet && !self.silent {
            self.silent = true;
            // Reported only where silence is of interest; the speaker list stays.
            return Some(SpeakerChange::Silence);
        }
        if !quiet && self.silent {
            self.silent = false;
            return Some(SpeakerChange::Speaker(id));
        }
        None
    }
}

impl Speaker {
    /// No level came: silence, without touching the time of the last level.
    fn push_idle(&mut self) {
        // Where nothing else is remembered, one more changes nothing.
        if self.silent <= HISTORY || self.energy > 0 {
            let last = self.last_level;
            self.push(0, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(s: &str) -> EndpointId {
        EndpointId::new(s).unwrap()
    }

    /// Runs 20 ms steps; `levels(step)` gives each speaker's level.
    fn run(
        s: &mut Speakers,
        from: u64,
        steps: u64,
        levels: impl Fn(u64) -> Vec<(&'static str, u8)>,
    ) -> Vec<SpeakerChange> {
        let mut changes = Vec::new();
        for step in 0..steps {
            let now = from + step * 20_000;
            for (name, level) in levels(step) {
                s.level(now, &id(name), level);
            }
            changes.extend(s.tick(now));
        }
        changes
    }

    #[test]
    fn the_only_speaker_is_dominant() {
        let mut s = Speakers::default();
        let changes = run(&mut s, 1_000_000, 20, |_| vec![("a", 90)]);
        assert_eq!(changes.first(), Some(&SpeakerChange::Speaker(id("a"))));
    }

    #[test]
    fn the_floor_goes_to_who_speaks_and_not_to_a_cough() {
        let mut s = Speakers::default();
        let words = |n: u64| if n % 40 < 36 { 100 } else { 30 };
        run(&mut s, 1_000_000, 250, |n| vec![("a", words(n)), ("b", 30)]);
        // A cough of b: 200 ms within a's speech.
        let changes = run(&mut s, 6_000_000, 50, |n| {
            vec![("a", words(n)), ("b", if n < 10 { 110 } else { 30 })]
        });
        assert!(
            !changes.contains(&SpeakerChange::Speaker(id("b"))),
            "{changes:?}"
        );
        // b speaks, a falls silent.
        let changes = run(&mut s, 7_000_000, 150, |n| vec![("a", 30), ("b", words(n))]);
        assert!(
            changes.contains(&SpeakerChange::Speaker(id("b"))),
            "{changes:?}"
        );
        assert!(s.energy(&id("b")) > s.energy(&id("a")));
    }

    /// Speech: syllables of 80 to 300 ms with 20 to 60 ms between them and 80 to 160 ms between words. Levels by packet.
    fn speech(seed: u64, packets: usize) -> Vec<u8> {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha12Rng::seed_from_u64(seed);
        let mut levels = Vec::new();
        while levels.len() < packets {
            for _ in 0..rng.random_range(1..4) {
                let loud = rng.random_range(4..16);
                levels.extend((0..loud).map(|_| rng.random_range(84u8..112)));
                let dip = rng.random_range(1..4);
                levels.extend((0..dip).map(|_| rng.random_range(40u8..70)));
            }
            let pause = rng.random_range(4..9);
            levels.extend((0..pause).map(|_| rng.random_range(28u8..36)));
        }
        levels.truncate(packets);
        levels
    }

    const NOISE: [u8; 4] = [30, 31, 29, 33];

    /// Somebody speaks for five seconds; another one begins `gap` packets after the end, or before it, for so many
    /// packets. When the other one was found to speak, milliseconds after the beginning.
    fn turn(seed: u64, gap: i64, packets: usize, goes_on: bool) -> Option<u64> {
        let mut s = Speakers::default();
        let (first, second) = (speech(seed, 500), speech(seed + 1000, packets));
        let begin = (250 + gap) as u64;
        let noise = |n: u64| NOISE[n as usize % 4];
        for n in 0..400u64 {
            let now = 1_000_000 + n * 20_000;
            let a = match first.get(n as usize) {
                Some(level) if goes_on || n < 250 => *level,
                _ => noise(n),
            };
            let b = n.checked_sub(begin).and_then(|at| second.get(at as usize));
            s.level(now, &id("a"), a);
            s.level(now, &id("b"), b.copied().unwrap_or_else(|| noise(n)));
            s.level(now, &id("c"), noise(n + 1));
            if s.tick(now) == Some(SpeakerChange::Speaker(id("b"))) {
                return Some((n.saturating_sub(begin)) * 20);
            }
        }
        None
    }

    #[test]
    fn who_begins_is_known_within_half_a_second() {
        let mut took = Vec::new();
        for seed in 0..200 {
            for gap in [0, 5, 15, 50] {
                let time = turn(seed, gap, 150, false);
                took.push(time.unwrap_or_else(|| panic!("{seed}, {gap}: never")));
            }
        }
        took.sort_unstable();
        let (half, most) = (took[took.len() / 2], took[took.len() * 95 / 100]);
        assert!(
            half <= 300 && most <= 480,
            "{half}, {most}, {:?}",
            took.last()
        );
    }

    #[test]
    fn who_only_agrees_gets_no_floor() {
        let mut switched = 0;
        for seed in 0..200 {
            // 200 ms while somebody speaks on.
            switched += u32::from(turn(seed, -100, 10, true).is_some());
        }
        assert!(switched <= 2, "{switched} of 200");
    }

    #[test]
    fn one_who_leaves_is_no_speaker() {
        let mut s = Speakers::default();
        run(&mut s, 1_000_000, 100, |n| {
            vec![("a", if n == 0 { 20 } else { 100 }), ("b", 20)]
        });
        assert_eq!(s.dominant, Some(id("a")));
        s.remove(&id("a"));
        let changes = run(&mut s, 3_000_000, 50, |_| vec![("b", 20)]);
        assert_eq!(changes.first(), Some(&SpeakerChange::Speaker(id("b"))));
    }

    #[test]
    fn silence_is_told_once() {
        let mut s = Speakers::default();
        run(&mut s, 1_000_000, 100, |n| {
            vec![("a", if n == 0 { 20 } else { 100 })]
        });
        let changes = run(&mut s, 3_000_000, 400, |_| vec![("a", 20)]);
        assert_eq!(
            changes
                .iter()
                .filter(|c| **c == SpeakerChange::Silence)
                .count(),
            1,
            "{changes:?}"
        );
    }
}
