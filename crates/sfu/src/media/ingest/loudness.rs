//! How loud a source is over time: up within a word, down over more than a pause between words.

/// A louder packet moves it by this part of the difference.
const RISE: u32 = 4;
/// Of what is there, nothing is left after this time of silence, microseconds.
const FALL: u64 = 1_500_000;
/// Level of a source that does not tell any: speech at a usual distance.
const UNKNOWN: u8 = 67;

/// See the module. In units of 1/256 dB above -127 dBov.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Loudness {
    value: u32,
    at: u64,
}

impl Loudness {
    /// One decibel.
    pub(crate) const DB: u32 = 256;

    /// A packet came with a level of 0 (silent) to 127 (loud).
    pub(crate) fn heard(&mut self, now: u64, level: Option<u8>) {
        let level = u32::from(level.unwrap_or(UNKNOWN)) * Self::DB;
        let current = self.get(now);
        self.value = current + level.saturating_sub(current) / RISE;
        self.at = now;
    }

    /// The loudness now.
    pub(crate) fn get(&self, now: u64) -> u32 {
        let silence = now.saturating_sub(self.at).min(FALL);
        let lost = u64::from(self.value) * silence / FALL;
        self.value - u32::try_from(lost).unwrap_or(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_raise_it_and_pauses_hardly_lower_it() {
        let mut l = Loudness::default();
        let db = |l: &Loudness, now| l.get(now) / Loudness::DB;
        for n in 0..10 {
            l.heard(n * 20_000, Some(100));
        }
        assert!(db(&l, 200_000) > 85, "200 ms of a word");
        assert!(db(&l, 400_000) > 70, "a pause of 200 ms");
        assert_eq!(db(&l, 2_000_000), 0);
        for n in 100..200 {
            l.heard(n * 20_000, Some(20));
        }
        assert!((15..=20).contains(&db(&l, 4_000_000)));
    }
}
