//! The cases, in scenes that share a bridge.

use std::time::Duration;

use crate::account;
use crate::least::Work;
use crate::raw::Raw;
use crate::report::{Case, Report};
use crate::round::Round;
use crate::saturation;
use crate::scene::{FRAME_RATE, REST, Role, Scene};
use crate::{Effort, median};

/// The load at which latency is of interest, of what is carried at most.
const LOADED: f64 = 0.7;
/// Frames a second of the room whose receivers are divided between shards.
const DIVIDED_RATE: u32 = 40;

/// Measures what is wanted.
pub(crate) fn run(
    effort: Effort,
    processor: usize,
    wanted: &dyn Fn(&str) -> bool,
    report: &mut Report,
) {
    let bench = Bench { effort, processor };
    bench.small_hall(wanted, report);
    let one = bench.halls(wanted, report);
    bench.meetings(wanted, report);
    bench.voices(wanted, report);
    bench.two_cores(one, report);
    if wanted("memory") {
        report.memory = Some(memory());
    }
}

/// KiB of the bridge for one who is connected and gets nothing, and for one who sends three layers to another.
fn memory() -> [f64; 2] {
    const VIEWERS: usize = 200;
    const PAIRS: usize = 10;
    const REST: Duration = Duration::from_secs(2);
    let mut scene = Scene::start(1);
    // What the first ones bring about is there once.
    scene.join("warm", 4, Role::Simulcaster);
    let each = |scene: &mut Scene, rooms: usize, count: usize, role| {
        std::thread::sleep(REST);
        let before = account::memory(scene.server.id());
        for n in 0..rooms {
            scene.join(&format!("{count}-{n}"), count, role);
        }
        std::thread::sleep(REST);
        let grown = account::memory(scene.server.id()).saturating_sub(before);
        grown as f64 / 1024.0 / (rooms * count) as f64
    };
    let viewer = each(&mut scene, 1, VIEWERS, Role::Viewer);
    let sender = each(&mut scene, PAIRS, 2, Role::Simulcaster);
    println!("memory: {viewer:.0} KiB for a viewer, {sender:.0} KiB for a sender of three layers");
    [viewer, sender]
}

#[derive(Clone, Copy)]
pub(crate) struct Bench {
    pub(crate) effort: Effort,
    processor: usize,
}

impl Bench {
    /// One speaker, and ever more receivers. Microseconds a packet of 200 of them, of the only thread there is.
    fn halls(self, wanted: &dyn Fn(&str) -> bool, report: &mut Report) -> Option<f64> {
        /// Receivers, the case, and the load that is the most; with 50 that has a hall of its own.
        const HALLS: [(usize, &str, Option<&str>); 3] = [
            (50, "1x50", None),
            (200, "1x200", Some("1x200-saturation")),
            (1_000, "1x1000", Some("1x1000-saturation")),
        ];
        /// More than that, and decrypting takes all of their processor.
        const DECRYPTING: usize = 200;
        /// So many are divided between shards, too.
        const DIVIDED: usize = 200;
        let saturates = |saturation: Option<&str>| saturation.is_some_and(wanted);
        let divides = |receivers| receivers == DIVIDED && wanted("two_cores");
        let calls = |(receivers, case, most): &(usize, &str, Option<&str>)| {
            wanted(case) || saturates(*most) || divides(*receivers)
        };
        let mut one = None;
        if !HALLS.iter().any(calls) {
            return one;
        }
        let mut scene = Scene::start(1);
        scene.join("hall", 1, Role::Speaker);
        for (receivers, name, most) in HALLS.iter().copied().filter(calls) {
            let there = scene.people.len() - 1;
            let role = match receivers > DECRYPTING {
                true => Role::Counter,
                false => Role::Viewer,
            };
            if role == Role::Counter {
                scene.count();
            }
            scene.join("hall", receivers - there, role);
            scene.settle(receivers);
            if wanted(name) {
                let work = Work::hall(receivers);
                self.case(name, work, &mut scene, report, Raw::at);
            }
            if divides(receivers) {
                one = Some(self.divided(&mut scene, 1));
            }
            if saturates(most) {
                scene.count();
                self.hall_saturation(name, receivers, &mut scene, report);
            }
        }
        one
    }

    /// One speaker to fifty, at the most.
    fn small_hall(self, wanted: &dyn Fn(&str) -> bool, report: &mut Report) {
        const RECEIVERS: usize = 50;
        if !wanted("1x50-saturation") {
            return;
        }
        let mut scene = Scene::start(1);
        scene.join("hall", 1, Role::Speaker);
        scene.join("hall", RECEIVERS, Role::Counter);
        scene.settle(RECEIVERS);
        self.hall_saturation("1x50", RECEIVERS, &mut scene, report);
    }

    fn hall_saturation(
        self,
        name: &'static str,
        receivers: usize,
        scene: &mut Scene,
        report: &mut Report,
    ) {
        let raw = self.raw(receivers, report);
        let best = saturation::run(self, name, &raw, scene);
        report.saturation.extend(best.map(|(best, _)| (name, best)));
    }

    /// Ten people who all send and receive; then more such meetings.
    fn meetings(self, wanted: &dyn Fn(&str) -> bool, report: &mut Report) {
        const PEOPLE: usize = 10;
        const MORE: usize = 7;
        let (case, saturate) = (wanted("10x10"), wanted("10x10-saturation"));
        if !case && !saturate {
            return;
        }
        let mut scene = Scene::start(1);
        scene.join("meeting", PEOPLE, Role::Talker);
        scene.settle(PEOPLE);
        if case {
            let work = Work::meeting(PEOPLE);
            self.case("10x10", work, &mut scene, report, Raw::at);
        }
        if saturate {
            for n in 0..MORE {
                scene.join(&format!("meeting{n}"), PEOPLE, Role::Talker);
            }
            scene.settle(PEOPLE * (MORE + 1));
            scene.count();
            let raw = self.raw(PEOPLE * (MORE + 1), report);
            let best = saturation::run(self, "10x10", &raw, &mut scene);
            report
                .saturation
                .extend(best.map(|(best, _)| ("10x10", best)));
            drop(scene);
            if let Some((_, frame_rate)) = best {
                report.latency = self.latency(PEOPLE, MORE + 1, frame_rate);
            }
        }
    }

    /// How long packets are in the bridge at a part of the frames that it carries at most, of meetings that have not seen
    /// more than that: after too much of it lines are taken to be narrower than they are, and packets wait for them.
    fn latency(self, people: usize, meetings: usize, most: u32) -> Option<[f64; 2]> {
        let mut scene = Scene::start(1);
        for n in 0..meetings {
            scene.join(&format!("meeting{n}"), people, Role::Talker);
        }
        scene.settle(people * meetings);
        scene.count();
        let frame_rate = (f64::from(most) * LOADED) as u32;
        for part in 1..=4 {
            scene.film(frame_rate * part / 4);
            std::thread::sleep(REST);
        }
        let round = Round::measure(&mut scene, Duration::from_secs(self.effort.seconds));
        println!("  at {:.0}% of that load:\n{round}", LOADED * 100.0);
        round.waited()
    }

    /// Five voices to a hundred listeners.
    fn voices(self, wanted: &dyn Fn(&str) -> bool, report: &mut Report) {
        const VOICES: usize = 5;
        const LISTENERS: usize = 100;
        if !wanted("5audio") {
            return;
        }
        let mut scene = Scene::start(1);
        scene.join("choir", VOICES, Role::Voice);
        scene.join("choir", LISTENERS, Role::Viewer);
        scene.settle(LISTENERS);
        let work = Work::voices(VOICES, LISTENERS);
        self.case("5audio", work, &mut scene, report, Raw::voice_at);
    }

    /// How much more of one room two shards carry than one, by the processor time that the busiest of their threads
    /// spends on the same traffic. Receivers that keep up with two full processors would need more than these two. What one
    /// shard takes was measured in its hall.
    fn two_cores(self, one: Option<f64>, report: &mut Report) {
        const RECEIVERS: usize = 200;
        let Some(one) = one else {
            return;
        };
        let mut scene = Scene::start(2);
        scene.join("hall", 1, Role::Speaker);
        scene.join("hall", RECEIVERS, Role::Viewer);
        scene.settle(RECEIVERS);
        let two = self.divided(&mut scene, 2);
        println!("two shards carry {:.2} times what one does", one / two);
        report.two_cores = Some(one / two);
    }

    /// Microseconds a packet of the busiest thread of a room over so many shards.
    fn divided(self, scene: &mut Scene, shards: usize) -> f64 {
        scene.film(DIVIDED_RATE);
        std::thread::sleep(REST);
        println!("one room on {shards} shards:");
        let rounds = (0..self.effort.rounds).map(|_| {
            let round = Round::measure(scene, Duration::from_secs(self.effort.seconds));
            let busiest = round.busiest();
            println!("{round}\n    the busiest thread {busiest:.2} µs a packet");
            busiest
        });
        let busiest = median(rounds.collect());
        scene.film(FRAME_RATE);
        busiest
    }

    /// The limit of the machine, now.
    pub(crate) fn raw(self, receivers: usize, report: &mut Report) -> Raw {
        let raw = Raw::measure(self.processor, receivers);
        report.raw.push(raw);
        raw
    }

    /// Measures a scene, beside the limit of the machine.
    fn case(
        self,
        name: &'static str,
        work: Work,
        scene: &mut Scene,
        report: &mut Report,
        limit: fn(&Raw, f64) -> f64,
    ) {
        println!("{name}:");
        let mut case = Case::default();
        for _ in 0..self.effort.rounds {
            let raw = self.raw(work.receivers(), report);
            let least = work.measure(self.processor);
            // The raw loop has kept the bridge from its processor: what that brought about is over first.
            std::thread::sleep(Duration::from_millis(300));
            let round = Round::measure(scene, Duration::from_secs(self.effort.seconds));
            let limit = limit(&raw, round.counters.burst());
            println!("{round}");
            println!(
                "    the machine's limit {limit:.2} µs: {:.0}% of it (encrypting {:.2}, one by one {:.2}, in sixes {:.2}, audio {:.2} and {:.2}); the least at this rate {:.2}, awake {:.0} µs after a datagram came (p99 {:.0})",
                limit / round.each() * 100.0,
                raw.seal,
                raw.send,
                raw.gso6,
                raw.voice,
                raw.voice6,
                least.each,
                least.woken[0],
                least.woken[1],
            );
            case.add(&round, limit, least.each);
        }
        report.cases.push((name, case));
    }
}
