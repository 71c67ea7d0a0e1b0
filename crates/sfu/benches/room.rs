//! How long a change in a large room holds the packet thread: a join, a leave, a change of wishes, another speaker.
//!
//! `cargo bench -p sfu --bench room [receivers ...]` prints the longest and the usual processor time of the calls that carry each
//! change out: with two who send and so many who receive and are connected, and with fifty who send to so many who are
//! not, which is what deciding alone costs. What is done in slices counts by its longest slice.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and may stop"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use nix::time::{ClockId, clock_gettime};
use sfu::{
    Encoding, EndpointSpec, MediaKind, ReceiverConstraints, Source, SourceConstraint, VideoType,
};
use std::time::Duration;
use support::camera::Camera;
use support::{CONFERENCE, World, endpoint_id, source_name};

const ROUNDS: usize = 40;
/// Receivers of the rooms in which people take turns to speak.
const MOST_THAT_HEAR: usize = 2_000;

/// Processor time this thread took: what else runs on the machine does not count.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

/// Times of one kind of change.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn measure<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let start = spent();
        let result = f();
        self.0.push(spent() - start);
        result
    }

    fn print(&mut self, what: &str, receivers: usize) {
        self.0.sort_unstable();
        let at = |part: usize| self.0[(self.0.len() - 1) * part / 100].as_secs_f64() * 1e6;
        println!(
            "{receivers} receivers, {what}: {:.0} us usually, {:.0} us at the 95th, {:.0} us at most ({} calls)",
            at(50),
            at(95),
            at(100),
            self.0.len()
        );
    }
}

fn main() {
    let mut sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10, 1_000, 4_000];
    }
    for receivers in sizes {
        room(receivers);
        deciding(receivers);
    }
}

/// Senders of the second kind of room.
const SENDERS: u32 = 50;

fn deciding(receivers: usize) {
    let mut world = World::new(sim::LinkSpec::default(), 1);
    let create = |world: &mut World, name: &str, ssrc: Option<u32>| {
        let mut spec = EndpointSpec::new(endpoint_id(name));
        spec.ssrc_rewriting = true;
        spec.sources.extend(ssrc.map(|ssrc| Source {
            name: source_name(&format!("{name}-v0")),
            kind: MediaKind::Video,
            video_type: VideoType::Camera,
            encodings: std::iter::once(Encoding { ssrc, rtx: None }).collect(),
        }));
        let now = world.now;
        world.shard.create_endpoint(now, CONFERENCE, spec).unwrap();
    };
    for n in 0..SENDERS {
        create(&mut world, &format!("s{n}"), Some(1_000 + n));
    }
    for n in 0..receivers {
        let name = format!("r{n}");
        create(&mut world, &name, None);
        want(&mut world, &name, -1);
    }
    let mut times = Times::default();
    settle(&mut world, &mut Times::default());
    for n in 0..ROUNDS {
        let video_type = match n % 2 {
            0 => VideoType::Disabled,
            _ => VideoType::Camera,
        };
        let (shard, now, id) = (&mut world.shard, world.now, endpoint_id("s7"));
        let source = source_name("s7-v0");
        times.measure(|| shard.set_video_type(now, CONFERENCE, &id, source, video_type));
        settle(&mut world, &mut times);
    }
    times.print("one of fifty videos goes on or off, each slice", receivers);
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        times.measure(|| create(&mut world, "late", None));
        settle(&mut world, &mut times);
        let (shard, now, id) = (&mut world.shard, world.now, endpoint_id("late"));
        times
            .measure(|| shard.expire_endpoint(now, CONFERENCE, &id))
            .unwrap();
        settle(&mut world, &mut times);
    }
    times.print("a receiver comes and goes, each call", receivers);
}

fn want(world: &mut World, name: &str, height: i32) {
    let constraints = ReceiverConstraints {
        last_n: Some(-1),
        default_constraint: Some(SourceConstraint::height(height)),
        ..ReceiverConstraints::default()
    };
    let id = endpoint_id(name);
    world
        .shard
        .set_receiver_constraints(world.now, CONFERENCE, &id, constraints);
}

/// Goes on with what is due until nothing is.
fn settle(world: &mut World, times: &mut Times) {
    while world.shard.poll_event().is_some() {}
    while world.shard.poll_timeout().is_some_and(|t| t <= world.now) {
        let (shard, now) = (&mut world.shard, world.now);
        times.measure(|| shard.handle_timeout(now));
        while world.shard.poll_event().is_some() {}
    }
}

fn room(receivers: usize) {
    let mut world = World::new(sim::LinkSpec::default(), 1);
    for name in ["a", "b"] {
        let tag = u32::from(name.as_bytes()[0]);
        world.join(name, Some(Camera::new(tag, 3, false, 4)), Some(60), true);
    }
    for n in 0..receivers {
        world.join(&format!("r{n}"), None, None, true);
    }
    world.run(Duration::from_millis(500));
    for n in 0..receivers + 2 {
        world.want(n, 360);
    }
    world.run(Duration::from_millis(500));
    joins(&mut world, receivers);
    wishes(&mut world, receivers);
    // Half a minute of sound and pictures for more than these takes many minutes.
    if receivers <= MOST_THAT_HEAR {
        speakers(&mut world, receivers);
    }
}

fn joins(world: &mut World, receivers: usize) {
    let mut go = Times::default();
    world.clock = Some(spent);
    for n in 0..ROUNDS {
        let name = format!("late{n}");
        world.join(&name, None, None, true);
        let id = endpoint_id(&name);
        go.measure(|| world.shard.expire_endpoint(world.now, CONFERENCE, &id))
            .unwrap();
        world.dismiss_last();
        world.run(Duration::from_millis(2));
    }
    Times(std::mem::take(&mut world.held)).print("a join, each call", receivers);
    go.print("a leave", receivers);
}

fn wishes(world: &mut World, receivers: usize) {
    let mut times = Times::default();
    for n in 0..ROUNDS {
        let height = if n % 2 == 0 { 180 } else { 360 };
        let id = world.clients[2].id.clone();
        let constraints = ReceiverConstraints {
            default_constraint: Some(SourceConstraint::height(height)),
            ..ReceiverConstraints::default()
        };
        let (shard, now) = (&mut world.shard, world.now);
        times.measure(|| shard.set_receiver_constraints(now, CONFERENCE, &id, constraints));
        world.run(Duration::from_millis(2));
    }
    times.print("other wishes of one", receivers);
}

/// All limit the number of videos, so that a new speaker concerns all of them.
fn speakers(world: &mut World, receivers: usize) {
    for n in 0..world.clients.len() {
        let id = world.clients[n].id.clone();
        let constraints = ReceiverConstraints {
            last_n: Some(1),
            ..ReceiverConstraints::default()
        };
        let (shard, now) = (&mut world.shard, world.now);
        shard.set_receiver_constraints(now, CONFERENCE, &id, constraints);
    }
    world.run(Duration::from_millis(200));
    let mut times = Times::default();
    let before = world.shard.stats().dominant_speaker_changes;
    for n in 0..6 * 100 {
        let speaks = n / 100 % 2;
        for client in 0..2 {
            let word = n % 10 < 8;
            world.clients[client].audio_level =
                Some(if client == speaks && word { 10 } else { 100 });
        }
        for _ in 0..20 {
            world.now += Duration::from_millis(1);
            // What is due alone: media and the network go on in the next line.
            while world.shard.poll_timeout().is_some_and(|t| t <= world.now) {
                let (shard, now) = (&mut world.shard, world.now);
                times.measure(|| shard.handle_timeout(now));
                if world.shard.poll_timeout().is_some_and(|t| t <= world.now) {
                    world.run(Duration::ZERO);
                    break;
                }
            }
        }
        world.run(Duration::from_millis(20));
    }
    let changes = world.shard.stats().dominant_speaker_changes - before;
    times.print(
        &format!("what is due, with {changes} changes of speaker"),
        receivers,
    );
}
