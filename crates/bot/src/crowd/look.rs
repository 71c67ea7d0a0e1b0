//! What a crowd has seen.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::receive::Tally;

/// Reasons that are kept in words; all are counted.
const MAX_TROUBLES: usize = 8;

/// What a crowd has seen so far.
#[derive(Debug, Clone)]
pub struct Look {
    /// People there now, from their coming to their leaving.
    pub members: usize,
    /// Of these, who is in the room.
    pub joined: usize,
    /// Of these, whose session with the bridge is up.
    pub connected: usize,
    /// Of these, who receives something.
    pub receiving: usize,
    /// Cameras received now, over all people.
    pub pictures: usize,
    /// Joins so far that came to a session with the bridge.
    pub joins: u64,
    /// What went wrong so far.
    pub failures: u64,
    /// The first reasons, in words.
    pub troubles: Vec<String>,
    /// Packets, those of people who left included.
    pub tally: Tally,
    /// Frames that a decoder could have shown.
    pub frames: u64,
    /// Frames that were never shown although later ones were.
    pub skipped: u64,
    /// Frames that other processes sent: their delay is not known.
    pub undated: u64,
    /// Datagrams that were not sent because the bridge is on another machine.
    pub refused: u64,
    /// Datagrams that the kernel did not take.
    pub dropped: u64,
    /// From the camera until the whole frame is there, µs, since the last look.
    pub frame_delay: Histogram<u64>,
    /// From the microphone until the packet is there, µs, since the last look.
    pub voice_delay: Histogram<u64>,
    /// From the beginning of the login until the session with the bridge is up, µs, of all joins.
    pub join_time: Histogram<u64>,
    /// From the beginning of the login until the first picture, µs, of all joins.
    pub picture_time: Histogram<u64>,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            members: 0,
            joined: 0,
            connected: 0,
            receiving: 0,
            pictures: 0,
            joins: 0,
            failures: 0,
            troubles: Vec::new(),
            tally: Tally::default(),
            frames: 0,
            skipped: 0,
            undated: 0,
            refused: 0,
            dropped: 0,
            frame_delay: histogram(),
            voice_delay: histogram(),
            join_time: histogram(),
            picture_time: histogram(),
        }
    }
}

impl Look {
    /// Both together: of several crowds.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.members += other.members;
        self.joined += other.joined;
        self.connected += other.connected;
        self.receiving += other.receiving;
        self.pictures += other.pictures;
        self.joins += other.joins;
        self.failures += other.failures;
        for trouble in &other.troubles {
            self.keep(trouble);
        }
        self.tally = self.tally.plus(other.tally);
        self.frames += other.frames;
        self.skipped += other.skipped;
        self.undated += other.undated;
        self.refused += other.refused;
        self.dropped += other.dropped;
        self.frame_delay += &other.frame_delay;
        self.voice_delay += &other.voice_delay;
        self.join_time += &other.join_time;
        self.picture_time += &other.picture_time;
        self
    }

    pub(super) fn trouble(&mut self, trouble: &str) {
        self.failures += 1;
        self.keep(trouble);
    }

    fn keep(&mut self, trouble: &str) {
        if self.troubles.len() < MAX_TROUBLES && !self.troubles.iter().any(|known| known == trouble)
        {
            self.troubles.push(trouble.to_owned());
        }
    }
}

/// Microseconds, up to a minute, two digits.
#[allow(
    clippy::expect_used,
    reason = "the bounds are constants that the library takes"
)]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000, 2).expect("constant bounds")
}

/// Counts microseconds; what is longer than a minute counts as a minute.
pub(super) fn note(histogram: &mut Histogram<u64>, time: u64) {
    histogram.saturating_record(time);
}

/// Counts a time.
pub(super) fn note_time(histogram: &mut Histogram<u64>, time: Duration) {
    note(
        histogram,
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
    );
}
