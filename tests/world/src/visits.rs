//! A room to which people come for half a second, fifty of them a second, and rooms that end beside it.

use std::collections::VecDeque;
use std::time::Duration;

use bot::{Bot, BotConfig, Event, Layer, VideoSpec};
use sim::LinkSpec;

use crate::{World, WorldConfig};

/// One comes, and one goes, this often.
const EVERY: Duration = Duration::from_millis(20);
/// Visitors that come before one goes.
const STAY: usize = 25;
/// Visitors that come before one that went is out of the world: what it has said last is on its way.
const FAREWELL: usize = 3;
/// Of so many visitors two meet in a room of their own, which ends with them.
const APART: usize = 10;
/// Of so many visitors one vanishes without a word, and its session ends by time.
const VANISH: usize = 50;
/// Of so many visitors one sends sound and pictures.
const SEND: usize = 7;
/// Everything that ends by time has ended.
const REST: Duration = Duration::from_secs(75);
/// Newcomers are connected, and have pictures.
const COME: Duration = Duration::from_secs(3);
const ROOM: &str = "hall";

struct Visitor {
    number: usize,
    bot: usize,
}

/// See the module. Two stay in the room and send, so that it never ends.
pub struct Visits {
    /// Where it happens.
    pub world: World,
    hosts: [usize; 2],
    /// Visitors so far.
    count: usize,
    /// Visitors who were connected to the bridge.
    connected: usize,
}

/// A small picture: what is of interest are those who come and go.
fn small(config: &mut BotConfig) {
    config.video = Some(VideoSpec {
        layers: vec![Layer {
            height: 180,
            bitrate: 60_000,
        }],
        frame_rate: 5,
        temporal: false,
    });
}

impl Visits {
    /// The two hosts are there.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut world = World::new(&WorldConfig {
            seed,
            bridges: 1,
            path: LinkSpec::default(),
        });
        world.keep_journal();
        world.run(COME);
        let hosts = Self::open(&mut world);
        Self {
            world,
            hosts,
            count: 0,
            connected: 0,
        }
    }

    fn open(world: &mut World) -> [usize; 2] {
        let hosts = [(); 2].map(|()| world.join(ROOM, small));
        world.run(COME);
        hosts
    }

    /// Visitors so far, and how many of them the bridge had a connection with.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.count, self.connected)
    }

    /// Lets so many people come and go, the last of them too.
    pub fn pass(&mut self, visitors: usize) {
        let (mut here, mut gone) = (VecDeque::new(), VecDeque::new());
        for n in 0..visitors + STAY + FAREWELL {
            if n < visitors {
                here.push_back(self.come());
            }
            if n >= STAY
                && let Some(visitor) = here.pop_front()
            {
                self.go(&visitor);
                gone.push_back(visitor);
            }
            if n >= STAY + FAREWELL
                && let Some(visitor) = gone.pop_front()
            {
                self.world.dismiss(visitor.bot);
            }
            self.world.run(EVERY);
            let told = self.world.events.iter().flatten();
            let connected = told.filter(|(_, event)| matches!(event, Event::Connected));
            self.connected += connected.count();
            self.world.forget();
        }
    }

    fn come(&mut self) -> Visitor {
        let number = self.count;
        self.count += 1;
        let room = match number % APART < 2 {
            true => format!("corner{}", number / APART),
            false => ROOM.to_owned(),
        };
        let bot = self.world.join(&room, |config| match number % SEND {
            0 => small(config),
            _ => (config.video, config.audio) = (None, false),
        });
        Visitor { number, bot }
    }

    fn go(&mut self, visitor: &Visitor) {
        match visitor.number % VANISH == APART / 2 {
            true => self.world.vanish(visitor.bot, true),
            false => self.world.with_bot(visitor.bot, Bot::leave),
        }
    }

    /// Lets everything end that ends by time. Two others take the places of the hosts, who have seen everybody and remember it.
    pub fn rest(&mut self) {
        let old = std::mem::replace(&mut self.hosts, Self::open(&mut self.world));
        for host in old {
            self.world.with_bot(host, Bot::leave);
        }
        self.world.run(EVERY * FAREWELL as u32);
        for host in old {
            self.world.dismiss(host);
        }
        self.world.run(REST);
        self.world.forget();
    }
}
