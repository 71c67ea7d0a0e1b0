//! Gives memory back to the system that is free: after meetings have ended, and after whatever else needed much.

use std::time::Duration;

/// How often it is looked at how many people are here.
const LOOK: Duration = Duration::from_secs(10);
/// Fewer leave nothing behind that is worth the work.
const CROWD: usize = 50;

/// Says when: once half are left of the most there were since the last time. Not more often, because threads that allocate
/// wait meanwhile.
#[derive(Debug, Default)]
struct Tide {
    most: usize,
}

impl Tide {
    /// So many people are here now; whether it is time.
    fn has_ebbed(&mut self, people: usize) -> bool {
        self.most = self.most.max(people);
        let ebbed = self.most >= CROWD && people <= self.most / 2;
        if ebbed {
            self.most = people;
        }
        ebbed
    }
}

/// So much more than after the last time is worth the work, bytes.
const SWELL: usize = 24 * 1024 * 1024;
/// Between two times for that reason: what is in use does not go.
const PAUSE: u32 = 6;

/// Says when for the rest: strangers who came in crowds, requests in bursts.
#[derive(Debug, Default)]
struct Swell {
    /// Resident after the last time, bytes.
    base: Option<usize>,
    looks: u32,
}

impl Swell {
    /// So much is resident; whether it is time.
    fn is_high(&mut self, resident: usize) -> bool {
        self.looks = self.looks.saturating_add(1);
        let base = *self.base.get_or_insert(resident);
        self.looks >= PAUSE && resident >= base + SWELL
    }

    /// It was done, and so much is left.
    fn done(&mut self, resident: usize) {
        (self.base, self.looks) = (Some(resident), 0);
    }
}

/// Resident memory of this process, bytes; 0 where the system does not say.
fn resident() -> usize {
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse::<usize>().ok());
    pages.unwrap_or(0) * PAGE
}

/// Looks at `people`, the number of people here, for as long as the process runs.
pub(crate) async fn watch(people: impl Fn() -> usize) {
    let mut tide = Tide::default();
    let mut swell = Swell::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let ebbed = tide.has_ebbed(people());
        if swell.is_high(resident()) || ebbed {
            let _ = tokio::task::spawn_blocking(net::trim_heap).await;
            swell.done(resident());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PAUSE, SWELL, Swell, Tide};

    #[test]
    fn memory_goes_back_when_half_have_gone_and_seldom() {
        let mut tide = Tide::default();
        let seen = [
            (0, false),
            (40, false),
            (10, false), // nothing much was there
            (1_000, false),
            (600, false),
            (500, true),
            (499, false),
            (251, false),
            (250, true),
            (300, false), // they come again
            (151, false),
            (150, true),
            (0, true),
            (0, false),
        ];
        for (people, ebbed) in seen {
            assert_eq!(tide.has_ebbed(people), ebbed, "{people}");
        }
    }
    #[test]
    fn what_swelled_goes_back_once_in_a_while() {
        const MIB: usize = 1024 * 1024;
        let mut swell = Swell::default();
        let mut look = |mib: usize| swell.is_high(mib * MIB);
        for _ in 0..PAUSE {
            assert!(!look(40));
        }
        assert!(!look(63) && look(64));
        swell.done(60 * MIB);
        for _ in 1..PAUSE {
            assert!(!swell.is_high(60 * MIB + SWELL));
        }
        assert!(swell.is_high(60 * MIB + SWELL));
        assert!(!swell.is_high(60 * MIB + SWELL - 1));
    }
}
