//! The whole system over narrow, slow, lossy and changing lines: pictures, sound, what the line drops, how soon all is back.
//!
//! `make sim` runs every row and prints the tables; without it a few of them run. Every row has its bounds. `WHY=1` prints what
//! the bridge knew of the watcher's line beside each row, second by second.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use sim::{LinkSpec, LinkStats, Loss, Queue};
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
/// Until then a line may be filled.
const SETTLE: Duration = Duration::from_secs(3);
/// Packets of audio in a second.
const AUDIO: f64 = 50.0;

/// Whether every row is run, or each so-manieth.
fn rows<T>(all: Vec<T>, some: usize) -> Vec<T> {
    let whole = std::env::var("SIM").is_ok_and(|value| value == "full");
    all.into_iter()
        .step_by(if whole { 1 } else { some })
        .collect()
}

fn line(rate: u64, round_trip: u32, loss: Loss) -> LinkSpec {
    LinkSpec {
        rate: Some(rate),
        delay: MS * round_trip / 2,
        queue: Queue::Time(250 * MS),
        loss,
        ..LinkSpec::default()
    }
}

/// Two people who send, and one who receives over a line.
struct Meeting {
    world: World,
    watcher: usize,
}

/// What the watcher got in a stretch of time.
#[derive(Debug)]
struct Stretch {
    /// Pictures a second of each sender.
    fps: Vec<f64>,
    /// Share of seconds without a picture, of each sender.
    stalled: Vec<f64>,
    /// Share of time at each layer, of all senders together; the lowest first.
    layers: [f64; 3],
    /// How often the layer changed from one second to the next, of each sender.
    changes: Vec<u32>,
    /// Share of all audio packets.
    heard: f64,
    /// Share of the packets that the line's queue dropped.
    dropped: f64,
    /// Bits per second that passed the line.
    rate: f64,
}

impl Meeting {
    fn new(seed: u64, height: i32) -> Self {
        Self::with_lowest(seed, height, None)
    }

    /// A meeting whose senders' lowest layer takes so much, bits per second.
    fn with_lowest(seed: u64, height: i32, lowest: Option<u32>) -> Self {
        let mut world = World::new(&WorldConfig {
            seed,
            bridges: 1,
            path: LinkSpec::default(),
        });
        world.run(SECOND);
        for _ in 0..2 {
            let sender = world.join("line", |config| {
                config.max_height = 180;
                let layers = config.video.iter_mut().flat_map(|video| &mut video.layers);
                for layer in layers.take(1) {
                    layer.bitrate = lowest.unwrap_or(layer.bitrate);
                }
            });
            // Silence would not be forwarded.
            world.with_bot(sender, |bot| bot.speak(-30));
        }
        let watcher = world.join("line", |config| {
            config.video = None;
            config.max_height = height;
        });
        let seen = world.run_until(10 * SECOND, |w| w.bots[watcher].pictures() >= 2);
        assert!(seen, "{:?}", world.events);
        Self { world, watcher }
    }

    fn ends(&self, bot: usize) -> (IpAddr, IpAddr) {
        (
            self.world.bridges[0].address.ip(),
            self.world.bots[bot].local().ip(),
        )
    }

    /// What the line does from now on: towards the watcher; the other way it has the same delay and no limit.
    fn set_line(&mut self, spec: LinkSpec) {
        let (bridge, watcher) = self.ends(self.watcher);
        let back = LinkSpec {
            delay: spec.delay,
            ..LinkSpec::default()
        };
        self.world.net.set_path(bridge, watcher, spec);
        self.world.net.set_path(watcher, bridge, back);
    }

    fn line(&self) -> LinkStats {
        let (bridge, watcher) = self.ends(self.watcher);
        self.world.net.path_stats(bridge, watcher)
    }

    /// What the bridge knew of the line in the last seconds, kbit/s: estimate, for video, sent, taken; and the layers.
    fn why(&self, seconds: usize) {
        if std::env::var_os("WHY").is_none() {
            return;
        }
        let shard = self.world.bridges[0].controller.shard();
        let conference = shard.conferences()[0];
        let id = sfu::EndpointId::new(self.world.bots[self.watcher].endpoint()).unwrap();
        let line = shard.endpoint_stats(conference, &id).unwrap().line;
        let skipped = line.series.len().saturating_sub(seconds);
        for s in line.series.iter().skip(skipped) {
            let [estimate, for_video, sent, taken] =
                [s.estimate, s.for_video, s.sent, s.taken].map(|rate| rate / 1_000);
            println!(
                "    -{:>4.1} s: {estimate:>5} {for_video:>5} {sent:>5} {taken:>5} {:?}",
                s.ago as f64 / 1e6,
                &s.heights[..2],
            );
        }
        println!("    {:?}", line.streams);
    }

    fn decoded(&self) -> BTreeMap<String, (u64, Option<u8>)> {
        let video = self.world.bots[self.watcher].video();
        video
            .iter()
            .map(|(source, s)| (source.clone(), (s.decoded, s.layer)))
            .collect()
    }

    fn run(&mut self, time: Duration) -> Stretch {
        let seconds = time.as_secs();
        let heard = |m: &Self| m.world.bots[m.watcher].tally().audio_packets;
        let (line, audio, begin) = (self.line(), heard(self), self.decoded());
        let mut stalled: BTreeMap<String, u64> = BTreeMap::new();
        let mut layers = [0.0; 3];
        let mut changes: BTreeMap<String, u32> = BTreeMap::new();
        let mut before = begin.clone();
        for _ in 0..seconds {
            self.world.run(SECOND);
            let now = self.decoded();
            for (source, (frames, layer)) in &now {
                let moved = before.get(source).is_none_or(|(old, _)| frames > old);
                *stalled.entry(source.clone()).or_default() += u64::from(!moved);
                let changed = before.get(source).is_some_and(|(_, old)| old != layer);
                *changes.entry(source.clone()).or_default() += u32::from(changed);
                if let Some(place) = layers
                    .get_mut(usize::from(layer.unwrap_or(0)))
                    .filter(|_| moved)
                {
                    *place += 0.5 / seconds as f64;
                }
            }
            before = now;
        }
        let after = self.line();
        let of = |source: &String, frames: u64| {
            (frames - begin.get(source).map_or(0, |(old, _)| *old)) as f64 / seconds as f64
        };
        Stretch {
            fps: before
                .iter()
                .map(|(source, (frames, _))| of(source, *frames))
                .collect(),
            stalled: stalled
                .values()
                .map(|n| *n as f64 / seconds as f64)
                .collect(),
            layers,
            changes: changes.into_values().collect(),
            heard: (heard(self) - audio) as f64 / (seconds as f64 * AUDIO * 2.0),
            dropped: (after.dropped - line.dropped) as f64 / (after.sent - line.sent).max(1) as f64,
            rate: (after.bytes - line.bytes) as f64 * 8.0 / seconds as f64,
        }
    }
}

fn show(name: &str, s: &Stretch) {
    let each = |all: &[f64], digits: usize| -> String {
        let shown: Vec<String> = all.iter().map(|x| format!("{x:.digits$}")).collect();
        shown.join(" and ")
    };
    println!(
        "{name:<40} {} fps, stalled {}, 180/360/720 {}, changed {:?}, heard {:.3}, dropped {:.2}%, {:.0} kbit/s",
        each(&s.fps, 0),
        each(&s.stalled, 2),
        each(&s.layers, 2),
        s.changes,
        s.heard,
        100.0 * s.dropped,
        s.rate / 1e3,
    );
}

#[test]
fn a_narrow_line_carries_what_fits() {
    let mut all = Vec::new();
    for rate in [300, 500, 700, 1_500, 4_000, 10_000] {
        for round_trip in [20, 100, 400] {
            all.push((rate, round_trip));
        }
    }
    for (rate, round_trip) in rows(all, 5) {
        // Two voices take 100 kbit/s.
        let lowest = (rate < 500).then_some(120_000);
        let mut meeting = Meeting::with_lowest(rate, 720, lowest);
        meeting.set_line(line(rate * 1_000, round_trip, Loss::None));
        meeting.world.run(SETTLE);
        let s = meeting.run(20 * SECOND);
        let name = format!("{rate} kbit/s, {round_trip} ms");
        show(&name, &s);
        meeting.why(24);
        assert!(s.heard >= 0.97, "{name}: {s:?}");
        assert!(s.dropped <= 0.03, "{name}: {s:?}");
        let best = s.fps.iter().copied().fold(0.0, f64::max);
        assert!(best >= 10.0, "{name}: somebody moves: {s:?}");
        if rate >= 700 {
            assert!(s.stalled.iter().all(|share| *share <= 0.1), "{name}: {s:?}");
        }
        // Both at full height take 3.2 Mbit/s.
        let least = if rate < 500 {
            80_000.0
        } else if rate >= 4_000 {
            0.4 * 3_200_000.0
        } else {
            0.4 * rate as f64 * 1e3
        };
        assert!(s.rate >= least, "{name}: {s:?}");
    }
}

#[test]
fn a_lossy_line_keeps_moving() {
    let mut all = Vec::new();
    for percent in [2_u32, 5, 10, 20] {
        for burst in [1.0, 5.0] {
            for round_trip in [20, 100] {
                all.push((percent, burst, round_trip));
            }
        }
    }
    for (percent, burst, round_trip) in rows(all, 5) {
        let share = f64::from(percent) / 100.0;
        let loss = if burst > 1.0 {
            Loss::bursts(share, burst)
        } else {
            Loss::Random(share)
        };
        let mut meeting = Meeting::new(u64::from(percent), 360);
        meeting.set_line(line(5_000_000, round_trip, loss));
        meeting.world.run(SETTLE);
        let s = meeting.run(20 * SECOND);
        let name = format!("{percent}% lost in {burst:.0}, {round_trip} ms");
        show(&name, &s);
        assert!(s.heard >= 1.0 - share - 0.05, "{name}: {s:?}");
        let stalled = if percent < 20 { 0.1 } else { 0.3 };
        assert!(
            s.stalled.iter().all(|share| *share <= stalled),
            "{name}: {s:?}"
        );
    }
}

#[test]
fn a_line_that_is_free_again_is_used_at_once() {
    let mut all = Vec::new();
    for narrow in [300, 500, 1_000] {
        for round_trip in [20, 100] {
            all.push((narrow, round_trip));
        }
    }
    for (narrow, round_trip) in rows(all, 4) {
        let wide = line(5_000_000, round_trip, Loss::None);
        let mut meeting = Meeting::new(narrow, 720);
        meeting.set_line(wide);
        meeting.world.run(8 * SECOND);
        let full = meeting.run(2 * SECOND);
        assert!(full.layers[2] >= 0.9, "{full:?}");
        meeting.set_line(line(narrow * 1_000, round_trip, Loss::None));
        let narrowed = meeting.run(15 * SECOND);
        meeting.set_line(wide);
        let released = meeting.world.elapsed();
        let watcher = meeting.watcher;
        let back = meeting.world.run_until(20 * SECOND, |w| {
            w.bots[watcher].video().values().all(|s| s.layer == Some(2))
        });
        let took = meeting.world.elapsed() - released;
        let name = format!("5 Mbit/s, {narrow} kbit/s for 15 s, {round_trip} ms");
        show(&name, &narrowed);
        println!("    back {took:.1?} after the release");
        assert!(back && took <= 5 * SECOND, "{name}: back after {took:?}");
        assert!(narrowed.heard >= 0.9, "{name}: {narrowed:?}");
        assert!(narrowed.dropped <= 0.1, "{name}: {narrowed:?}");
    }
}

/// Eight pictures begin at once, on trust: where they take more than the line carries, that is over soon, and nothing keeps
/// its queue full.
#[test]
fn many_pictures_that_begin_at_once_do_not_stay_in_the_way_of_sound() {
    let mut all = Vec::new();
    for rate in [300, 500, 700, 1_000, 1_500, 2_500] {
        for round_trip in [40, 200] {
            all.push((rate, round_trip));
        }
    }
    for (rate, round_trip) in rows(all, 5) {
        let mut world = World::new(&WorldConfig {
            seed: rate,
            bridges: 1,
            path: LinkSpec::default(),
        });
        world.run(SECOND);
        for n in 0..8 {
            let sender = world.join("line", |config| {
                config.max_height = 180;
                let layers = config.video.iter_mut().flat_map(|video| &mut video.layers);
                layers.for_each(|layer| layer.bitrate /= 2);
            });
            if n < 2 {
                world.with_bot(sender, |bot| bot.speak(-30));
            }
            world.run(SECOND / 5);
        }
        world.run(2 * SECOND);
        let watcher = IpAddr::from([10, 0, 1, 18]);
        let bridge = world.bridges[0].address.ip();
        let spec = line(rate * 1_000, round_trip, Loss::None);
        let back = LinkSpec {
            delay: spec.delay,
            ..LinkSpec::default()
        };
        world.net.set_path(bridge, watcher, spec);
        world.net.set_path(watcher, bridge, back);
        let watcher = world.join("line", |config| {
            config.video = None;
            config.max_height = 180;
        });
        let mut meeting = Meeting { world, watcher };
        assert_eq!(meeting.ends(watcher).1, IpAddr::from([10, 0, 1, 18]));
        let first = meeting.run(4 * SECOND);
        let s = meeting.run(6 * SECOND);
        let name = format!("eight pictures, {rate} kbit/s, {round_trip} ms");
        show(&name, &first);
        show("    after 4 s", &s);
        assert!(s.heard >= 0.95, "{name}: {s:?}");
        assert!(s.dropped <= 0.03, "{name}: {s:?}");
    }
}

/// The other way: what a sender's line loses is repaired before it is forwarded.
#[test]
fn a_lossy_uplink_is_repaired() {
    for percent in rows(vec![2_u32, 5, 10], 2) {
        let share = f64::from(percent) / 100.0;
        let mut meeting = Meeting::new(100 + u64::from(percent), 360);
        let (bridge, sender) = meeting.ends(0);
        let spec = LinkSpec {
            delay: 20 * MS,
            loss: Loss::Random(share),
            ..LinkSpec::default()
        };
        meeting.world.net.set_path(sender, bridge, spec);
        meeting.world.run(SETTLE);
        let s = meeting.run(20 * SECOND);
        let name = format!("{percent}% of one sender's packets lost");
        show(&name, &s);
        assert!(s.fps.iter().all(|fps| *fps >= 20.0), "{name}: {s:?}");
        assert!(s.stalled.iter().all(|share| *share <= 0.1), "{name}: {s:?}");
    }
}
