//! For how long a participant heard nobody, and saw a picture stand still.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Who sent something within this time is heard, or seen, now.
const NOW: Duration = Duration::from_secs(1);

/// What somebody gets, since it was taken last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Longest time without a packet of anybody's sound, the time that goes on included. `None` while there was none at all.
    pub audio: Option<Duration>,
    /// Longest time that the picture of a camera stood still, of the cameras of those in the room. `None` while there was none.
    pub video: Option<Duration>,
    /// Whether anybody's sound arrives now.
    pub hears: bool,
    /// Cameras whose pictures move now.
    pub sees: usize,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    /// When something came last.
    last: Instant,
    longest: Duration,
}

impl Pause {
    fn new(now: Instant) -> Self {
        Self {
            last: now,
            longest: Duration::ZERO,
        }
    }

    fn note(&mut self, now: Instant) {
        self.longest = self.so_far(now);
        self.last = now;
    }

    fn so_far(&self, now: Instant) -> Duration {
        self.longest.max(now.saturating_duration_since(self.last))
    }

    /// The longest, and whether something came a moment ago.
    fn take(&mut self, now: Instant) -> (Duration, bool) {
        let longest = self.so_far(now);
        self.longest = Duration::ZERO;
        let recent = now.saturating_duration_since(self.last) < NOW;
        (longest, recent)
    }
}

/// The pauses of all that one participant gets. They do not end with a session: what matters is what is missing meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    audio: Option<Pause>,
    video: BTreeMap<String, Pause>,
}

impl Pauses {
    /// Somebody's sound came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.audio.get_or_insert(Pause::new(now)).note(now);
    }

    /// A frame of this camera could be shown.
    pub(crate) fn saw(&mut self, now: Instant, source: &str) {
        match self.video.get_mut(source) {
            Some(pause) => pause.note(now),
            None => {
                self.video.insert(source.to_owned(), Pause::new(now));
            }
        }
    }

    /// What was got since the last call; cameras of those who are not `there` any more are forgotten.
    pub(crate) fn take(&mut self, now: Instant, there: impl Fn(&str) -> bool) -> Served {
        self.video.retain(|source, _| {
            let owner = source.rsplit_once('-').map_or(source.as_str(), |(o, _)| o);
            there(owner)
        });
        let audio = self.audio.as_mut().map(|pause| pause.take(now));
        let video: Vec<_> = self.video.values_mut().map(|p| p.take(now)).collect();
        Served {
            audio: audio.map(|(longest, _)| longest),
            video: video.iter().map(|(longest, _)| *longest).max(),
            hears: audio.is_some_and(|(_, recent)| recent),
            sees: video.iter().filter(|(_, recent)| *recent).count(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some first instant")]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    #[test]
    fn what_goes_on_counts_and_what_is_over_counts_once() {
        let start = Instant::now();
        let mut pauses = Pauses::default();
        let all = |_: &str| true;
        assert_eq!(pauses.take(start, all), Served::default());
        pauses.heard(start);
        pauses.saw(start, "ann-v0");
        pauses.saw(start, "ben-v0");
        let at = |ticks| start + TICK * ticks;
        pauses.saw(at(3), "ben-v0");
        let served = pauses.take(at(5), all);
        assert_eq!(served.audio, Some(TICK * 5));
        assert_eq!(served.video, Some(TICK * 5), "of Ann, who stands still");
        assert_eq!((served.hears, served.sees), (true, 2));
        pauses.heard(at(20));
        pauses.saw(at(20), "ann-v0");
        pauses.saw(at(20), "ben-v0");
        assert_eq!(pauses.take(at(21), all).video, Some(TICK * 20));
        let served = pauses.take(at(22), all);
        assert_eq!(served.video, Some(TICK * 2));
        assert_eq!(served.audio, Some(TICK * 2));
    }

    #[test]
    fn who_left_is_not_missed() {
        let start = Instant::now();
        let mut pauses = Pauses::default();
        pauses.saw(start, "ann-v0");
        pauses.saw(start + TICK * 50, "ben-v0");
        let served = pauses.take(start + TICK * 50, |owner| owner == "ben");
        assert_eq!(served.video, Some(Duration::ZERO));
        assert_eq!(served.sees, 1);
    }
}
