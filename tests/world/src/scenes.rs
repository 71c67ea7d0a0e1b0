//! Scenes that several tests begin with, and what they look at.

use std::time::Duration;

use sim::LinkSpec;

use crate::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// Two rooms, red and blue, of two people each on two bridges, over clean paths; everybody sees the other one.
    ///
    /// # Panics
    /// If that does not come about.
    #[must_use]
    pub fn two_rooms(seed: u64) -> Self {
        let mut world = Self::new(&WorldConfig {
            seed,
            bridges: 2,
            path: LinkSpec::default(),
        });
        world.run(SECOND);
        for room in ["red", "blue"] {
            for _ in 0..2 {
                world.join(room, |_| {});
            }
            world.run(SECOND / 2);
        }
        let seen = world.run_until(2 * SECOND, |w| w.everybody_sees(1));
        assert!(seen, "seed {seed}: {:?}", world.decisions);
        world
    }

    /// Whether every bot has had a picture of so many others.
    #[must_use]
    pub fn everybody_sees(&self, others: usize) -> bool {
        self.bots
            .iter()
            .all(|bot| bot.video().values().filter(|s| s.decoded > 0).count() >= others)
    }

    /// Pictures that a bot has had of others.
    #[must_use]
    pub fn frames(&self, bot: usize) -> u64 {
        self.bots[bot].video().values().map(|s| s.decoded).sum()
    }
}
