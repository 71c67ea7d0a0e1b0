//! What happens in a storm: a list of moments, all from a seed, so that it can be read, and shortened.

use std::ops::Range;
use std::time::Duration;

use focus::Strategy;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sim::{LinkSpec, Loss};

const SECOND: Duration = Duration::from_secs(1);
/// People come and go, and things break, for so long.
const STORM: Range<u64> = 25_000..50_000;
/// After this time everything is as it should be, for what can be repaired.
pub(crate) const CALM: Duration = Duration::from_secs(55);

/// Something that happens to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Somebody comes to a room.
    Join(usize),
    /// Somebody leaves, by a word or, seen by the server or not, without.
    Leave(usize),
    Vanish(usize, bool),
    /// A machine sleeps, and wakes up.
    Sleep(usize),
    Wake(usize),
    /// Between a person and the meet node nothing gets through; after a while the connection breaks.
    Hold(usize),
    Break(usize),
    Release(usize),
    /// Nothing gets through between a person and a bridge.
    Path(usize, usize, bool),
    /// A bridge dies, which the server sees or not, and is started again.
    Kill(usize, bool),
    Restart(usize),
    /// A bridge stops and goes on.
    Stop(usize),
    Continue(usize),
    Drain(usize, bool),
    /// A firewall before a bridge's media port.
    Shut(usize, bool),
    /// Between a bridge and the meet node nothing gets through; after a while the connection breaks.
    HoldBridge(usize),
    BreakBridge(usize),
    ReleaseBridge(usize),
    /// Nothing gets through between two bridges.
    Between(usize, usize, bool),
    /// The meet node ends in order or is killed; and is started again.
    EndMeet,
    KillMeet,
    StartMeet,
    StopMeet,
    ContinueMeet,
    /// The clock on the wall jumps, forward or back, by so many seconds.
    Clock(bool, u64),
    /// The stream of the focus breaks, and is taken up again or not.
    CutFocus,
    ResumeFocus,
    ReplaceFocus,
}

/// A storm.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub bridges: u8,
    pub rooms: usize,
    pub strategy: Strategy,
    /// Those who can have spare connections.
    pub standby: bool,
    /// Bridges of one meeting that have relays to each other.
    pub max_mesh: Option<usize>,
    pub path: LinkSpec,
    /// In the order of their times.
    pub acts: Vec<(Duration, Act)>,
}

impl Plan {
    /// The storm of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let people = match rng.random_range(0..100) {
            0..80 => rng.random_range(2..9),
            80..97 => rng.random_range(9..20),
            _ => rng.random_range(20..61),
        };
        let bridges = rng.random_range(2..7);
        let mut plan = Self {
            bridges,
            rooms: rng.random_range(1..=(people / 3).clamp(1, 4)),
            strategy: match rng.random_bool(0.5) {
                true => Strategy::Split,
                false => Strategy::Single,
            },
            standby: false,
            max_mesh: None,
            path: path(&mut rng),
            acts: Vec::new(),
        };
        for person in 0..people {
            plan.person(&mut rng, person, people);
        }
        for _ in 0..rng.random_range(1..7) {
            plan.fault(&mut rng, people);
        }
        plan.standby = plan.strategy == Strategy::Single && rng.random_bool(0.5);
        if plan.strategy == Strategy::Split && rng.random_bool(0.5) {
            plan.max_mesh = Some(rng.random_range(1..4));
        }
        plan.acts.sort_by_key(|(at, _)| *at);
        plan
    }

    fn at(&mut self, ms: u64, act: Act) {
        self.acts.push((Duration::from_millis(ms), act));
    }

    /// Somebody comes, and may leave again.
    fn person(&mut self, rng: &mut ChaCha8Rng, person: usize, people: usize) {
        let room = rng.random_range(0..self.rooms);
        // Most are there before anything breaks; their numbers are those of their coming.
        let comes = match person * 4 < people * 3 {
            true => 1_000 + 100 * person as u64,
            false => rng.random_range(10_000..STORM.end),
        };
        self.at(comes, Act::Join(room));
    }

    /// Something breaks, and is mended later.
    fn fault(&mut self, rng: &mut ChaCha8Rng, people: usize) {
        let begin = rng.random_range(8_000..STORM.end);
        let most = CALM.as_millis() as u64 - 1_000;
        let long = rng.random_bool(0.3);
        let lasts = rng.random_range(100..if long { 40_000 } else { 6_000 });
        let end = (begin + lasts).min(most);
        let bridge = rng.random_range(0..usize::from(self.bridges));
        let other = rng.random_range(0..usize::from(self.bridges));
        let person = rng.random_range(0..people);
        let seen = rng.random_bool(0.5);
        let from;
        let mut to = Vec::new();
        match rng.random_range(0..18) {
            0..3 => (from, to) = (vec![Act::Kill(bridge, seen)], vec![Act::Restart(bridge)]),
            3 => (from, to) = (vec![Act::Stop(bridge)], vec![Act::Continue(bridge)]),
            4 => {
                (from, to) = (
                    vec![Act::Drain(bridge, true)],
                    vec![Act::Drain(bridge, false)],
                )
            }
            5 => {
                (from, to) = (
                    vec![Act::Shut(bridge, true)],
                    vec![Act::Shut(bridge, false)],
                )
            }
            6 | 7 => {
                (from, to) = (
                    vec![Act::HoldBridge(bridge)],
                    vec![Act::ReleaseBridge(bridge)],
                );
                if begin + 12_000 < end {
                    self.at(begin + 10_000, Act::BreakBridge(bridge));
                }
            }
            8 if bridge != other => {
                (from, to) = (
                    vec![Act::Between(bridge, other, true)],
                    vec![Act::Between(bridge, other, false)],
                )
            }
            9 => {
                (from, to) = (
                    vec![Act::Path(person, bridge, true)],
                    vec![Act::Path(person, bridge, false)],
                )
            }
            10 => {
                (from, to) = (vec![Act::Hold(person)], vec![Act::Release(person)]);
                if begin + 12_000 < end {
                    self.at(begin + 10_000, Act::Break(person));
                }
            }
            11 => (from, to) = (vec![Act::Sleep(person)], vec![Act::Wake(person)]),
            12 => from = vec![Act::Leave(person)],
            13 => from = vec![Act::Vanish(person, seen)],
            14 => {
                let clock = Act::Clock(rng.random_bool(0.5), rng.random_range(1..100_000));
                let end = if seen { Act::EndMeet } else { Act::KillMeet };
                (from, to) = (vec![end, clock], vec![Act::StartMeet]);
            }
            15 => (from, to) = (vec![Act::StopMeet], vec![Act::ContinueMeet]),
            16 => {
                let end = *[Act::ResumeFocus, Act::ReplaceFocus]
                    .choose(rng)
                    .unwrap_or(&Act::ReplaceFocus);
                (from, to) = (vec![Act::CutFocus], vec![end]);
            }
            _ => {
                // Another one for the newcomers of a moment.
                from = vec![Act::Leave(person)];
                to = vec![Act::Join(rng.random_range(0..self.rooms))];
            }
        }
        for act in from {
            self.at(begin, act);
        }
        for act in to {
            self.at(end, act);
        }
    }
}

fn path(rng: &mut ChaCha8Rng) -> LinkSpec {
    let lossy = rng.random_bool(0.3);
    LinkSpec {
        delay: Duration::from_millis(rng.random_range(1..40)),
        jitter: Duration::from_millis(rng.random_range(0..5)),
        loss: match lossy {
            true => Loss::Random(0.01),
            false => Loss::None,
        },
        ..LinkSpec::default()
    }
}

/// After a time.
pub(crate) fn seconds(n: u32) -> Duration {
    SECOND * n
}
