//! Follows a plan: a thread that lets people come, speak and go, and looks at them once a second.

#![allow(
    clippy::disallowed_methods,
    reason = "the host side of bots reads the clock"
)]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use link::{Credentials, LinkConfig, Target, TlsVerify};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stanza::BareJid;
use tokio::runtime::Handle as Runtime;

use super::people::{People, Person as PersonSeen};
use super::plan::{Plan, PlanError};
use super::report::{Report, Sample};
use crate::bot::BotConfig;
use crate::crowd::{Crowd, CrowdConfig, Look, MemberId, MemberLook};

const TICK: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_secs(1);
/// How long those who came last may take until all are counted as there.
const PATIENCE: Duration = Duration::from_secs(30);
/// After the farewells the links have this long to end in order. Who is cut off stays in the room for a minute.
const FAREWELL: Duration = Duration::from_secs(10);
/// Where receivers count, one in so many decrypts.
const DECRYPTING: u64 = 10;
const SPEECH: i8 = -20;
const SILENCE: i8 = -127;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No thread, socket or processor.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// The name of a room that is no part of an address.
    #[error("{0:?} cannot be the name of a room")]
    Room(String),
}

/// Told once a second what was seen of all, and of each where the plan wants that.
pub type Watch<'a> = dyn FnMut(&Sample, Option<&People>) + 'a;

/// Follows a plan until its end, or until `stop` is set.
///
/// # Errors
/// If the plan makes no sense, or there are no threads. That nobody could join is in the report.
pub fn run(
    plan: &Plan,
    runtime: &Runtime,
    stop: &AtomicBool,
    watch: &mut Watch<'_>,
) -> Result<Report, RunError> {
    plan.check()?;
    let mut party = Party::new(plan, runtime)?;
    while party.go_on() && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(TICK);
        party.turn(watch);
    }
    let report = party.end(watch);
    Ok(report)
}

#[derive(Debug, Clone, Copy)]
struct Person {
    id: MemberId,
    /// How many came before.
    number: u64,
    room: usize,
    sends: bool,
}

struct Party<'a> {
    plan: &'a Plan,
    rooms: Vec<BareJid>,
    crowds: Vec<Crowd>,
    people: Vec<(usize, Person)>,
    /// Joins so far, which number the next.
    came: u64,
    rng: ChaCha8Rng,
    began: Instant,
    /// When all were there.
    whole: Option<Instant>,
    last_look: Instant,
    last: Look,
    first: Look,
    speaking: usize,
    spoke: Instant,
    /// Changes of people that are due.
    due: f64,
    last_turn: Instant,
    report: Report,
}

impl<'a> Party<'a> {
    fn new(plan: &'a Plan, runtime: &Runtime) -> Result<Self, RunError> {
        let now = Instant::now();
        let room = |n: usize| {
            let name = format!("{}-{n}", plan.room);
            BareJid::new(&format!("{name}@conference.{}", plan.domain))
                .map_err(|_| RunError::Room(name))
        };
        let crowd = |_| {
            Crowd::start(CrowdConfig {
                local: plan.local,
                epoch: now,
                processor: None,
                abroad: plan.abroad,
                runtime: runtime.clone(),
            })
        };
        Ok(Self {
            plan,
            rooms: (0..plan.rooms).map(room).collect::<Result<_, _>>()?,
            crowds: (0..plan.threads).map(crowd).collect::<Result<_, _>>()?,
            people: Vec::new(),
            came: 0,
            rng: ChaCha8Rng::seed_from_u64(plan.seed),
            began: now,
            whole: None,
            last_look: now,
            last: Look::default(),
            first: Look::default(),
            speaking: 0,
            spoke: now,
            due: 0.0,
            last_turn: now,
            report: Report::new(plan),
        })
    }

    fn go_on(&self) -> bool {
        let now = Instant::now();
        self.whole
            .is_none_or(|whole| now < whole + self.plan.duration)
    }

    fn turn(&mut self, watch: &mut Watch<'_>) {
        let now = Instant::now();
        let passed = (now - self.last_turn).as_secs_f64();
        self.last_turn = now;
        if self.people.len() < self.plan.people() {
            self.due += passed * self.plan.ramp;
            while self.due >= 1.0 && self.people.len() < self.plan.people() {
                self.due -= 1.0;
                self.welcome();
            }
        } else if self.whole.is_some() {
            self.due += passed * self.plan.churn;
            while self.due >= 1.0 {
                self.due -= 1.0;
                self.replace();
            }
        }
        if !self.plan.speaker_change.is_zero() && now >= self.spoke + self.plan.speaker_change {
            self.spoke = now;
            self.speaking += 1;
            self.speak();
        }
        if now >= self.last_look + LOOK {
            self.look(now, watch);
        }
    }

    /// The next person of the plan comes: rooms fill up evenly, senders first.
    fn welcome(&mut self) {
        let number = self.people.len();
        let (room, seat) = (number % self.plan.rooms, number / self.plan.rooms);
        self.join(room, seat < self.plan.senders);
    }

    fn join(&mut self, room: usize, sends: bool) {
        let plan = self.plan;
        let address = &self.rooms[room];
        let name = address
            .node()
            .map_or_else(String::new, |node| node.to_string());
        let target = Target::WebSocket {
            host: plan.address.to_string(),
            port: plan.port,
            path: format!("/xmpp-websocket?room={name}"),
            verify: TlsVerify::None,
        };
        let link = LinkConfig::new(target, &plan.domain, Credentials::Anonymous);
        let number = self.came;
        self.came += 1;
        let config = BotConfig {
            domain: plan.domain.clone(),
            room: address.clone(),
            name: display_name(number),
            local: SocketAddr::new(plan.address, 0),
            video: plan.video().filter(|_| sends),
            audio: sends && plan.audio,
            max_height: 0,
            moves: true,
        };
        let crowd = room % self.crowds.len();
        let id = self.crowds[crowd].join(config, link, self.rng.random());
        let layout = plan.layout;
        let counts = plan.count && !sends && !number.is_multiple_of(DECRYPTING);
        self.crowds[crowd].with(id, move |bot| {
            bot.arrange(layout);
            if counts {
                bot.count();
            }
        });
        let person = Person {
            id,
            number,
            room,
            sends,
        };
        self.people.push((crowd, person));
        if sends {
            self.speak();
        }
    }

    /// Somebody leaves, and somebody else takes the place: receivers where there are any.
    fn replace(&mut self) {
        let all = self.plan.receivers == 0;
        let movable: Vec<usize> = (0..self.people.len())
            .filter(|n| all || !self.people[*n].1.sends)
            .collect();
        if movable.is_empty() {
            return;
        }
        let number = movable[self.rng.random_range(0..movable.len())];
        let (crowd, person) = self.people.swap_remove(number);
        self.crowds[crowd].leave(person.id);
        self.join(person.room, person.sends);
    }

    /// One sender in each room speaks, the others are silent.
    fn speak(&self) {
        for room in 0..self.rooms.len() {
            let senders = self
                .people
                .iter()
                .filter(|(_, p)| p.room == room && p.sends);
            let count = senders.clone().count().max(1);
            for (n, (crowd, person)) in senders.enumerate() {
                let speaks = n == self.speaking % count;
                let level = if speaks { SPEECH } else { SILENCE };
                self.crowds[*crowd].with(person.id, move |bot| bot.speak(level));
            }
        }
    }

    fn look(&mut self, now: Instant, watch: &mut Watch<'_>) {
        let look = self
            .crowds
            .iter()
            .map(Crowd::look)
            .reduce(|all, one| all.plus(&one))
            .unwrap_or_default();
        let passed = (now - self.last_look).as_secs_f64();
        let planned = self.plan.people();
        let sample = Sample::of(now - self.began, passed, planned, &look, &self.last);
        let people = self.plan.each.then(|| self.look_at_each());
        watch(&sample, people.as_ref());
        self.report.add(sample, &look, self.whole.is_some());
        let complete =
            self.people.len() == planned && (look.connected >= planned || self.gave_up(now));
        if self.whole.is_none() && complete {
            self.whole = Some(now);
            self.first = look.clone();
            self.due = 0.0;
            self.report.begin();
        }
        self.last = look;
        self.last_look = now;
    }

    fn look_at_each(&self) -> People {
        let looks = self.crowds.iter().map(Crowd::members);
        let looks: Vec<BTreeMap<MemberId, MemberLook>> = looks
            .map(|looks| looks.into_iter().map(|look| (look.member, look)).collect())
            .collect();
        let of = |(crowd, person): &(usize, Person)| {
            let look = looks.get(*crowd)?.get(&person.id)?;
            let room = self.rooms.get(person.room)?.node()?;
            let name = display_name(person.number);
            Some(PersonSeen::of(name, room.as_str(), look))
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        People {
            at: since.map_or(0, |since| since.as_millis() as u64),
            planned: self.plan.people(),
            people: self.people.iter().filter_map(of).collect(),
        }
    }

    /// Those who came last have had their time.
    fn gave_up(&self, now: Instant) -> bool {
        let ramp = Duration::from_secs_f64(self.plan.people() as f64 / self.plan.ramp);
        now > self.began + ramp + PATIENCE
    }

    fn end(mut self, watch: &mut Watch<'_>) -> Report {
        let now = Instant::now();
        self.look(now, watch);
        let (first, last) = (self.first.clone(), self.last.clone());
        let seconds = self.whole.map_or(0.0, |whole| (now - whole).as_secs_f64());
        for (crowd, person) in &self.people {
            self.crowds[*crowd].leave(person.id);
        }
        while self.crowds.iter().any(|crowd| crowd.links() > 0) && now.elapsed() < FAREWELL {
            std::thread::sleep(TICK);
        }
        self.report.end(seconds, &first, &last);
        self.report
    }
}

fn display_name(number: u64) -> String {
    format!("load {number}")
}
