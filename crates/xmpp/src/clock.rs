//! Calendar time, derived from the monotonic clock.

use std::time::{Duration, Instant};

/// A moment on both clocks: what the cores are told about the calendar.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    at: Instant,
    unix: Duration,
}

impl WallClock {
    /// `at` was `unix` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn new(at: Instant, unix: Duration) -> Self {
        Self { at, unix }
    }

    /// The moment on the monotonic clock.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Time since 1970 at `now`.
    #[must_use]
    pub fn unix(&self, now: Instant) -> Duration {
        match now.checked_duration_since(self.at) {
            Some(later) => self.unix.saturating_add(later),
            None => self
                .unix
                .saturating_sub(self.at.saturating_duration_since(now)),
        }
    }

    /// `now` as `2026-08-20T10:00:00Z` (XEP-0082).
    #[must_use]
    pub fn stamp(&self, now: Instant) -> String {
        stamp(self.unix(now).as_secs())
    }
}

/// Seconds since 1970 as `2026-08-20T10:00:00Z` (XEP-0082). Counts days by the civil calendar; years beyond 9999 do not occur.
#[must_use]
pub fn stamp(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Days since 0000-03-01, in eras of 400 years, so that leap days end years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_known_moments() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_787_212_800, "2026-08-20T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(stamp(unix), text);
        }
    }
}
