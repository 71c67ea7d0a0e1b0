//! One storm: plays a plan, then looks at what it left.

use std::collections::BTreeMap;
use std::time::Duration;

use bot::{Layer, VideoSpec};
use world::{Party, World, WorldConfig};

use crate::plan::{Act, CALM, Plan, seconds};

/// Whoever stays has pictures of all others again within this time of the last repair.
const SERVED: u32 = 45;
/// Within this time pictures of somebody must go on.
const STEADY: u32 = 4;
/// The server, and bridges, have forgotten within this time who is no more: a silent connection is probed after 30 s, given up
/// after 15 s more, and its session kept for 60 s.
const FORGOTTEN: u32 = 120;
/// Nothing is left within this time after all have gone.
const EMPTY: u32 = 100;

struct Person {
    bot: usize,
    room: usize,
    /// Left, or vanished.
    gone: bool,
}

pub(crate) struct Storm {
    world: World,
    plan: Plan,
    people: Vec<Person>,
}

impl Storm {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let config = WorldConfig {
            seed,
            bridges: plan.bridges,
            path: plan.path,
        };
        let mut world = World::with_focus(&config, |focus| {
            focus.bridges.strategy = plan.strategy;
            focus.bridges.standby = plan.standby;
            focus.bridges.max_mesh = plan.max_mesh;
        });
        world.keep_journal();
        Self {
            world,
            plan,
            people: Vec::new(),
        }
    }

    /// Plays it. What is remarkable, or what is wrong.
    pub(crate) fn run(mut self) -> Result<String, String> {
        for (at, act) in std::mem::take(&mut self.plan.acts) {
            self.world.run(at.saturating_sub(self.world.elapsed()));
            self.act(act);
        }
        self.world.run(CALM.saturating_sub(self.world.elapsed()));
        self.mend();
        let served = self.wait(SERVED, Self::unserved)?;
        let steady = self.count();
        self.world.run(seconds(STEADY));
        self.went_on(&steady)?;
        // Hardly any pictures from here on: they would only take time.
        for n in 0..self.world.bots.len() {
            self.world.with_bot(n, |bot| bot.film(1));
        }
        let forgotten = self.wait(FORGOTTEN, Self::remembered)?;
        for person in 0..self.people.len() {
            self.leave(person);
        }
        let empty = self.wait(EMPTY, Self::left)?;
        Ok(format!(
            "{} people, {} bridges; served {served:?} after it, others forgotten after {forgotten:?}, empty after {empty:?}",
            self.people.len(),
            self.plan.bridges,
        ))
    }

    fn act(&mut self, act: Act) {
        let world = &mut self.world;
        let bot = |n: usize| self.people.get(n).filter(|p| !p.gone).map(|p| p.bot);
        let meet = !world.is_down();
        match act {
            Act::Join(room) if meet => self.join(room),
            Act::Leave(n) => self.leave(n),
            Act::Vanish(n, seen) => {
                if let Some(bot) = bot(n).filter(|_| meet) {
                    world.vanish(bot, seen);
                    self.people[n].gone = true;
                }
            }
            Act::Sleep(n) => bot(n).into_iter().for_each(|n| world.stop_bot(n)),
            Act::Wake(n) => bot(n).into_iter().for_each(|n| world.continue_bot(n)),
            Act::Hold(n) => bot(n).into_iter().for_each(|n| world.hold(Party::Bot(n))),
            Act::Break(n) if meet => {
                bot(n)
                    .into_iter()
                    .for_each(|n| world.cut_stream(Party::Bot(n)));
            }
            Act::Release(n) => bot(n)
                .into_iter()
                .for_each(|n| world.release(Party::Bot(n))),
            Act::Path(n, bridge, cut) => {
                if let Some(n) = bot(n) {
                    let (person, bridge) = (world.bots[n].local(), world.bridges[bridge].address);
                    world.cut_path(person.ip(), bridge.ip(), cut);
                }
            }
            Act::Kill(n, seen) if meet => world.kill_bridge(n, seen),
            Act::Restart(n) if world.bridges[n].dead => world.restart_bridge(n),
            Act::Stop(n) => world.stop_bridge(n),
            Act::Continue(n) => world.continue_bridge(n),
            Act::Drain(n, drain) if !world.bridges[n].dead => world.drain_bridge(n, drain),
            Act::Shut(n, shut) => world.shut_port(n, shut),
            Act::HoldBridge(n) => world.hold(Party::Bridge(n)),
            Act::BreakBridge(n) if meet => world.cut_stream(Party::Bridge(n)),
            Act::ReleaseBridge(n) => world.release(Party::Bridge(n)),
            Act::Between(a, b, cut) => {
                let (a, b) = (world.bridges[a].address, world.bridges[b].address);
                world.cut_path(a.ip(), b.ip(), cut);
            }
            Act::EndMeet if meet => world.end_meet(),
            Act::KillMeet if meet => world.kill_meet(),
            Act::StartMeet if world.is_dead() => world.start_meet(seconds(2)),
            Act::StopMeet if meet => world.stop_meet(),
            Act::ContinueMeet => world.continue_meet(),
            Act::Clock(forward, by) => world.set_wall_clock(forward, Duration::from_secs(by)),
            Act::CutFocus if meet => world.cut_focus(),
            Act::ResumeFocus if meet && world.is_focus_cut() => {
                let resumed = world.try_resume_focus();
                if !resumed {
                    world.reattach_focus();
                }
            }
            Act::ReplaceFocus if meet && world.is_focus_cut() => world.replace_focus(),
            _ => {}
        }
    }

    fn join(&mut self, room: usize) {
        let crowd = self.people.len() > 12;
        let talks = self.people.len().is_multiple_of(3) && !crowd;
        let bot = self.world.join(&format!("room{room}"), |config| {
            let layer = Layer {
                height: 180,
                bitrate: if crowd { 20_000 } else { 60_000 },
            };
            config.video = Some(VideoSpec {
                layers: vec![layer],
                frame_rate: if crowd { 4 } else { 8 },
                temporal: false,
            });
            config.audio = talks;
        });
        self.world.with_bot(bot, |bot| bot.speak(-40));
        self.people.push(Person {
            bot,
            room,
            gone: false,
        });
    }

    fn leave(&mut self, n: usize) {
        if let Some(person) = self.people.get_mut(n).filter(|p| !p.gone) {
            person.gone = true;
            self.world.with_bot(person.bot, bot::Bot::leave);
        }
    }

    /// Whatever the plan has not mended, because something else was broken at that moment.
    fn mend(&mut self) {
        if self.world.is_dead() {
            self.world.start_meet(seconds(2));
        }
        self.world.continue_meet();
        if self.world.is_focus_cut() {
            self.world.replace_focus();
        }
        for n in 0..self.world.bots.len() {
            self.world.continue_bot(n);
            if self.world.is_awake(n) {
                self.world.release_all(Party::Bot(n));
            }
        }
        for n in 0..self.world.bridges.len() {
            self.world.continue_bridge(n);
            match self.world.bridges[n].dead {
                true => self.world.restart_bridge(n),
                false => self.world.release_all(Party::Bridge(n)),
            }
            self.world.shut_port(n, false);
            self.world.drain_bridge(n, false);
        }
        self.world.join_all_paths();
    }

    /// Waits until nothing is wrong, and says how long.
    fn wait(
        &mut self,
        most: u32,
        wrong: impl Fn(&Self) -> Option<String>,
    ) -> Result<Duration, String> {
        let begin = self.world.elapsed();
        loop {
            let Some(what) = wrong(self) else {
                return Ok(self.world.elapsed() - begin);
            };
            if self.world.elapsed() - begin > seconds(most) {
                return Err(format!("after {most} s: {what}\n{}", self.told()));
            }
            self.world.run(Duration::from_millis(200));
        }
    }

    /// Those who stayed: a person that slept for longer than its session is kept is out.
    fn there(&self) -> impl Iterator<Item = &Person> {
        let all = self.people.iter();
        all.filter(|p| !p.gone && self.world.is_awake(p.bot))
    }

    /// All pairs of people of one room, the first one's view of the second.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.there().flat_map(move |a| {
            let others = self
                .there()
                .filter(move |b| b.room == a.room && b.bot != a.bot);
            others.map(|b| (a.bot, b.bot))
        })
    }

    fn last_picture(&self, (who, whom): (usize, usize)) -> Option<Duration> {
        let source = format!("{}-v0", self.world.bots[whom].endpoint());
        let stats = self.world.bots[who].video().get(&source)?;
        Some(self.world.since_start(stats.last_at?))
    }

    /// Somebody who has had no picture of somebody for two seconds.
    fn unserved(&self) -> Option<String> {
        let now = self.world.elapsed();
        let recent = |at: Duration| at + seconds(2) > now;
        let mut missing = self
            .pairs()
            .filter(|pair| !self.last_picture(*pair).is_some_and(recent));
        let (who, whom) = missing.next()?;
        let further = missing.count();
        let since = self.last_picture((who, whom));
        Some(format!(
            "bot {who} has no picture of bot {whom}, the last one was at {since:?}, now it is {now:?}; and {further} more"
        ))
    }

    fn count(&self) -> BTreeMap<(usize, usize), Option<Duration>> {
        self.pairs()
            .map(|pair| (pair, self.last_picture(pair)))
            .collect()
    }

    fn went_on(&self, before: &BTreeMap<(usize, usize), Option<Duration>>) -> Result<(), String> {
        for ((who, whom), at) in before {
            if self.last_picture((*who, *whom)) <= *at {
                let told = self.told();
                return Err(format!(
                    "bot {who} had pictures of bot {whom} and has no more\n{told}"
                ));
            }
        }
        Ok(())
    }

    /// Somebody is seen, or has an endpoint, who is no more.
    fn remembered(&self) -> Option<String> {
        for person in self.there() {
            let endpoint = |p: &Person| self.world.bots[p.bot].endpoint().to_owned();
            let others = self
                .there()
                .filter(|p| p.room == person.room && p.bot != person.bot);
            let mut others: Vec<String> = others.map(endpoint).collect();
            others.sort();
            let seen: Vec<String> = self.world.bots[person.bot]
                .others()
                .iter()
                .cloned()
                .collect();
            if seen != others {
                let bot = person.bot;
                return Some(format!("bot {bot} sees {seen:?}, and there are {others:?}"));
            }
        }
        // Whoever is alone in a room may have a session or not.
        let mut rooms = BTreeMap::new();
        for person in self.there() {
            *rooms.entry(person.room).or_insert(0) += 1;
        }
        let least: usize = rooms.values().filter(|n| **n > 1).sum();
        // Of two connections, one is a spare.
        let most = self.there().count() * (1 + usize::from(self.plan.standby));
        let have: Vec<usize> = self
            .world
            .bridges
            .iter()
            .map(world::Bridge::endpoints)
            .collect();
        let sum: usize = have.iter().sum();
        (!(least..=most).contains(&sum)).then(|| {
            format!("bridges have endpoints {have:?}, and {least} to {most} people are there")
        })
    }

    /// Something is left although all have gone.
    fn left(&self) -> Option<String> {
        for (n, bridge) in self.world.bridges.iter().enumerate() {
            let (relays, behind) = bridge.relayed();
            let meetings = bridge.controller.meetings().count();
            if (bridge.endpoints(), relays, behind, meetings) != (0, 0, 0, 0) {
                let endpoints = bridge.endpoints();
                return Some(format!(
                    "bridge {n} has {meetings} meetings, {endpoints} endpoints, {relays} relays, {behind} behind them"
                ));
            }
        }
        let stats = self.world.focus_stats();
        if stats.conferences > 0 {
            return Some(format!("the focus has {} conferences", stats.conferences));
        }
        let status = self.world.focus_status();
        let bridges = || status.bridges.iter();
        if bridges().any(|b| b.people > 0 || b.load > 0.0)
            || bridges().count() != self.world.bridges.len()
        {
            return Some(format!(
                "the focus takes bridges for loaded: {:#?}",
                status.bridges
            ));
        }
        None
    }

    /// What was told, for whoever looks for a fault.
    fn told(&self) -> String {
        let mut lines: Vec<(Duration, String)> = Vec::new();
        for (at, event) in &self.world.decisions {
            lines.push((*at, format!("focus: {event:?}")));
        }
        for (n, events) in self.world.events.iter().enumerate() {
            for (at, event) in events {
                lines.push((*at, format!("bot {n}: {event:?}")));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        let lines: Vec<String> = lines
            .iter()
            .map(|(at, line)| format!("{at:?} {line}"))
            .collect();
        let people = self.people.iter();
        let people: Vec<String> = people
            .map(|p| {
                let bot = &self.world.bots[p.bot];
                format!(
                    "bot {} is {} in room{}, gone: {}",
                    p.bot,
                    bot.endpoint(),
                    p.room,
                    p.gone
                )
            })
            .collect();
        format!(
            "{}\n{}\n{:#?}",
            people.join("\n"),
            lines.join("\n"),
            self.world.focus_status()
        )
    }
}
