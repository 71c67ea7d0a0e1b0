//! Scenes that several tests begin with, and what they look at.

use std::time::Duration;

use bot::Event;
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

    /// One of the first `people` speaks and the others of these do not; whether all bots come to hear that it is the dominant
    /// speaker.
    pub fn all_hear_of_speaker(&mut self, speaker: usize, people: usize) -> bool {
        for n in 0..people {
            let level = if n == speaker { -20 } else { -127 };
            self.with_bot(n, |bot| bot.speak(level));
        }
        let dominant = self.bots[speaker].endpoint().to_owned();
        let newest = |events: &Vec<(Duration, Event)>| {
            let mut all = events.iter().rev();
            all.find_map(|(_, event)| match event {
                Event::DominantSpeaker(speaker) => Some(speaker.clone()),
                _ => None,
            })
        };
        self.run_until(8 * SECOND, |w| {
            let mut all = w.events.iter();
            all.all(|events| newest(events).as_ref() == Some(&dominant))
        })
    }
}
