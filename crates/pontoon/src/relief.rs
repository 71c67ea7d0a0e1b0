//! Gives the memory of meetings back to the system after they have ended.

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

/// Looks at `people`, the number of people here, for as long as the process runs.
pub(crate) async fn watch(people: impl Fn() -> usize) {
    let mut tide = Tide::default();
    loop {
        tokio::time::sleep(LOOK).await;
        if tide.has_ebbed(people()) {
            let _ = tokio::task::spawn_blocking(net::trim_heap).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tide;

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
}
