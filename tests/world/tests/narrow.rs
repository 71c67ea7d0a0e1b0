//! One of three people has a narrow line: what it costs the others, and what is left for that one. Cameras have temporal layers
//! and key frames as large as those of browsers.
//!
//! `WHY=1` prints what the bridge knew of the line, second by second.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::net::IpAddr;
use std::time::Duration;

use bot::{Layer, VideoSpec};
use sim::{LinkSpec, Queue};
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
/// Until then a line may be filled.
const SETTLE: Duration = Duration::from_secs(3);
/// Packets of audio in a second.
const AUDIO: f64 = 50.0;

/// Two people who show themselves and speak, and one who looks on.
struct Meeting {
    world: World,
    watcher: usize,
}

/// What somebody has got of all pictures so far.
#[derive(Debug, Clone, Copy)]
struct Got {
    frames: u64,
    bytes: u64,
    key_frames: u64,
    audio: u64,
}

impl Got {
    fn since(self, before: Self) -> Self {
        Self {
            frames: self.frames - before.frames,
            bytes: self.bytes - before.bytes,
            key_frames: self.key_frames - before.key_frames,
            audio: self.audio - before.audio,
        }
    }
}

impl Meeting {
    /// `together`: who sends makes key frames of all layers, whichever is asked for.
    fn new(seed: u64, together: bool) -> Self {
        let mut world = World::new(&WorldConfig {
            seed,
            bridges: 1,
            path: LinkSpec::default(),
        });
        let layer = |height, bitrate| Layer { height, bitrate };
        let camera = VideoSpec {
            layers: vec![layer(180, 130_000), layer(360, 350_000)],
            frame_rate: 20,
            temporal: true,
        };
        world.run(SECOND);
        for _ in 0..2 {
            let sender = world.join("narrow", |config| {
                config.video = Some(camera.clone());
                config.max_height = 360;
            });
            // Silence would not be forwarded.
            world.with_bot(sender, |bot| {
                bot.speak(-30);
                if together {
                    bot.answer_with_all_layers();
                }
            });
        }
        let watcher = world.join("narrow", |config| {
            config.video = None;
            config.max_height = 360;
        });
        let seen = world.run_until(10 * SECOND, |w| w.bots[watcher].pictures() >= 2);
        assert!(seen, "{:?}", world.events);
        world.run(10 * SECOND);
        Self { world, watcher }
    }

    /// Bits per second towards the watcher from now on.
    fn narrow(&mut self, rate: u64, round_trip: u32) {
        let bridge = self.world.bridges[0].address.ip();
        let watcher: IpAddr = self.world.bots[self.watcher].local().ip();
        let back = LinkSpec {
            delay: MS * round_trip / 2,
            ..LinkSpec::default()
        };
        let spec = LinkSpec {
            rate: Some(rate),
            queue: Queue::Time(250 * MS),
            ..back
        };
        self.world.net.set_path(bridge, watcher, spec);
        self.world.net.set_path(watcher, bridge, back);
    }

    fn got(&self, bot: usize) -> Got {
        let bot = &self.world.bots[bot];
        let sum = |of: fn(&bot::SourceStats) -> u64| bot.video().values().map(of).sum();
        Got {
            frames: sum(|s| s.decoded),
            bytes: sum(|s| s.bytes),
            key_frames: sum(|s| s.key_frames),
            audio: bot.tally().audio_packets,
        }
    }

    /// What those who show themselves have got of each other, together.
    fn others(&self) -> Got {
        let (a, b) = (self.got(0), self.got(1));
        Got {
            frames: a.frames + b.frames,
            bytes: a.bytes + b.bytes,
            key_frames: a.key_frames + b.key_frames,
            audio: a.audio + b.audio,
        }
    }

    fn look(&mut self, time: Duration) -> Got {
        let before = self.others();
        self.world.run(time);
        self.others().since(before)
    }

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
        let stats = shard.stats();
        println!(
            "    asked {} deferred {} from receivers {} interrupted {} paced {}",
            stats.keyframe_requests,
            stats.keyframe_requests_deferred,
            stats.keyframe_requests_received,
            stats.interrupted,
            stats.paced,
        );
    }
}

/// What a narrow line costs the others: pictures and bytes as before, and so many key frames more at most, in the first
/// seconds and in the minute after them.
fn costs_the_others(together: bool, [at_first, later]: [u64; 2]) {
    for (rate, round_trip) in [(300, 40), (500, 40), (200, 40), (300, 200)] {
        let mut meeting = Meeting::new(rate, together);
        let before = meeting.look(60 * SECOND);
        meeting.narrow(rate * 1_000, round_trip);
        let settle = meeting.look(SETTLE);
        let beside = meeting.look(60 * SECOND);
        let name = format!("beside {rate} kbit/s, {round_trip} ms");
        println!("{name}: {beside:?}, before {before:?}, at first {settle:?}");
        meeting.why(64);
        let differs = |a: u64, b: u64| a.abs_diff(b) as f64 / b as f64;
        assert!(differs(beside.frames, before.frames) < 0.02, "{name}");
        assert!(differs(beside.bytes, before.bytes) < 0.02, "{name}");
        assert!(settle.key_frames <= at_first, "{name}: {settle:?}");
        assert!(
            beside.key_frames <= before.key_frames + later,
            "{name}: {beside:?}, before {before:?}"
        );
    }
}

#[test]
fn one_narrow_line_costs_the_others_nothing() {
    costs_the_others(false, [0, 0]);
}

#[test]
fn where_key_frames_come_of_all_layers_together_few_are_asked_for() {
    costs_the_others(true, [3, 1]);
}

#[test]
fn on_a_narrow_line_somebody_moves_steadily_and_everybody_is_heard() {
    for (rate, round_trip) in [(300, 40), (300, 200), (250, 40)] {
        let mut meeting = Meeting::new(rate + 1, true);
        meeting.narrow(rate * 1_000, round_trip);
        meeting.world.run(SETTLE);
        let (mut still, mut longest, mut frames) = (0, 0, 0);
        let before = meeting.got(meeting.watcher);
        let seconds = 30;
        for _ in 0..seconds {
            let from = meeting.got(meeting.watcher);
            meeting.world.run(SECOND);
            let got = meeting.got(meeting.watcher).since(from);
            still = if got.frames == 0 { still + 1 } else { 0 };
            longest = longest.max(still);
            frames += got.frames;
        }
        let all = meeting.got(meeting.watcher).since(before);
        let heard = all.audio as f64 / (f64::from(seconds) * AUDIO * 2.0);
        let fps = frames as f64 / f64::from(seconds);
        let name = format!("{rate} kbit/s, {round_trip} ms");
        println!("{name}: {fps:.1} fps, still for {longest} s, heard {heard:.3}");
        meeting.why(34);
        assert!(heard >= 0.97, "{name}: {heard}");
        assert!(longest <= 1, "{name}: nobody moves for {longest} s");
        assert!(fps >= 4.0, "{name}: {fps}");
    }
}
