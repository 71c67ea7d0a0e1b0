//! Instructions for each forwarded packet before the send, counted one by one: a whole shard with real keys.
//!
//! `cargo bench -p sfu --bench instructions` prints them for receivers that get 1, 10 and 50 streams each, with and without
//! encrypting, whose instructions depend on what the processor has for AES; the last line is JSON. With `-- --check` it
//! counts a small scene only, and fails where what is our own is more than 3% above `benches/instructions.json` (a file for
//! each profile of the compiler), with `-- --write` it writes that file. Libraries choose their code by the processor:
//! counts are compared with those of a processor with the same features only, and where a process may not trace another
//! one nothing is counted. The shard runs in a child process that is stepped by ptrace, so that no profiler is needed, and
//! instructions that profilers do not know (VAES) are counted as they are. User mode only; a system call is one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark stops where it fails"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Read as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use support::World;
use support::camera::Camera;

/// Who is in a meeting.
#[derive(Clone, Copy)]
struct Scene {
    /// Senders, of whom everybody else gets a stream.
    streams: usize,
    receivers: usize,
}

/// What is shown.
const SCENES: [Scene; 3] = [scene(1, 10), scene(10, 10), scene(50, 10)];
/// What is compared with what was written down: stepping takes its time.
const CHECKED: Scene = scene(10, 3);
/// Packets of a frame.
const PACKETS: usize = 6;
const SIZE: usize = 1_100;
/// Senders of which a frame is counted: each step takes its time.
const COUNTED: usize = 1;
/// What lines carry, bits per second: all there is.
const LINE: u64 = 1_000_000_000;
/// Frames of each sender before the one that counts.
const WARM: u32 = 30;
const INTERVAL: Duration = Duration::from_millis(33);
/// Packets encrypted alone.
const SEALED: usize = 20;
/// Ends a section of the child.
const MARK: Signal = Signal::SIGUSR1;
/// Growth beyond which the check fails.
const TOLERANCE: f64 = 0.03;
const BASELINE: &str = if cfg!(debug_assertions) {
    concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions-dev.json")
} else {
    concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.json")
};

const fn scene(streams: usize, receivers: usize) -> Scene {
    Scene { streams, receivers }
}

/// Instructions for each forwarded packet.
struct Count {
    scene: Scene,
    /// Encrypting for the receiver and a receiver's share of decrypting included.
    all: f64,
    own: f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|a| a == "--trace-me") {
        if ptrace::traceme().is_ok() {
            raise(MARK).unwrap();
        }
        return ExitCode::SUCCESS;
    }
    if let [first, streams, receivers] = arguments.as_slice()
        && first == "--child"
    {
        child(scene(streams.parse().unwrap(), receivers.parse().unwrap()));
        return ExitCode::SUCCESS;
    }
    let (checks, writes) = (has(&arguments, "--check"), has(&arguments, "--write"));
    if checks && !may_trace() {
        println!("not counted: a process may not trace another one here");
        return ExitCode::SUCCESS;
    }
    if checks || writes {
        let own = shown(count(CHECKED)).own;
        let good = writes || check(own);
        if writes {
            let baseline = format!("{{\"processor\":\"{}\",\"own\":{own:.0}}}\n", processor());
            std::fs::write(BASELINE, baseline).unwrap();
        }
        return match good {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    // Each thread traces a child of its own; instructions are as many however long they take.
    let counts = std::thread::scope(|threads| {
        let counting = SCENES.map(|scene| threads.spawn(move || count(scene)));
        counting.map(|thread| shown(thread.join().unwrap()))
    });
    let members = counts.map(|c| format!("\"{}\":{:.0}", c.scene.streams, c.all));
    println!("{{{}}}", members.join(","));
    ExitCode::SUCCESS
}

fn has(arguments: &[String], wanted: &str) -> bool {
    arguments.iter().any(|argument| argument == wanted)
}

fn shown(count: Count) -> Count {
    println!(
        "{} streams a receiver: {:.0} instructions for each forwarded packet, {:.0} without encrypting",
        count.scene.streams, count.all, count.own
    );
    count
}

/// Whether it is no more than was written down, or nearly.
fn check(own: f64) -> bool {
    let text = std::fs::read_to_string(BASELINE).unwrap();
    let baseline: serde_json::Value = serde_json::from_str(&text).unwrap();
    if baseline["processor"] != processor() {
        println!("not compared: counted on a processor with other features");
        return true;
    }
    let before = baseline["own"].as_f64().unwrap();
    let grown = own / before - 1.0;
    println!("{:+.1}% to {before:.0}", grown * 100.0);
    if grown > TOLERANCE {
        println!(
            "more instructions than allowed; if they are worth it run this again with --write instead of --check"
        );
    }
    grown <= TOLERANCE
}

/// What libraries choose their code by.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags"));
    let known = |wanted: &&&str| flags.is_some_and(|f| f.split(' ').any(|flag| flag == **wanted));
    let wanted = ["avx2", "erms", "fsrm", "vaes", "sha_ni", "avx512f"];
    let features: Vec<_> = wanted.iter().filter(known).copied().collect();
    format!("{} {}", std::env::consts::ARCH, features.join(" "))
}

/// Whether this process may trace a child.
fn may_trace() -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--trace-me")
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let traced = matches!(waitpid(pid, None), Ok(WaitStatus::Stopped(..)))
        && ptrace::step(pid, None).is_ok()
        && matches!(waitpid(pid, None), Ok(WaitStatus::Stopped(..)));
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
    traced
}

/// Instructions of a child for each packet.
fn count(scene: Scene) -> Count {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--child")
        .args([scene.streams, scene.receivers].map(|n| n.to_string()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    wait_for_mark(pid);
    let marking = step_to_mark(pid);
    let [spent, sealed] = [(); 2].map(|()| (step_to_mark(pid) - marking) as f64);
    ptrace::cont(pid, None).unwrap();
    let mut forwarded = String::new();
    let mut output = child.stdout.take().unwrap();
    output.read_to_string(&mut forwarded).unwrap();
    child.wait().unwrap();
    let forwarded: f64 = forwarded.trim().parse().unwrap();
    let seal = sealed / SEALED as f64;
    let all = spent / forwarded;
    // Each packet was decrypted once.
    let own = all - seal * (1.0 + 1.0 / scene.receivers as f64);
    Count { scene, all, own }
}

fn wait_for_mark(pid: Pid) {
    match waitpid(pid, None).unwrap() {
        WaitStatus::Stopped(_, signal) if signal == MARK => {}
        other => panic!("the child is {other:?}"),
    }
}

/// Steps from one mark to the next.
fn step_to_mark(pid: Pid) -> u64 {
    for steps in 0.. {
        ptrace::step(pid, None).unwrap();
        match waitpid(pid, None).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            WaitStatus::Stopped(_, signal) if signal == MARK => return steps,
            other => panic!("the child is {other:?}"),
        }
    }
    0
}

/// The part that counts: datagrams in, runs out.
#[inline(never)]
fn measured(world: &mut World, frames: &mut [(usize, Vec<Vec<u8>>)]) {
    world.now += INTERVAL;
    for (sender, datagrams) in frames {
        world.feed_from(*sender, datagrams);
    }
}

/// What is stepped: four marks, between them nothing, what is measured, and encrypting alone. Prints how many packets were
/// forwarded.
fn child(Scene { streams, receivers }: Scene) {
    let mut world = World::with(1, sim::LinkSpec::default(), 1, |config| {
        (config.bandwidth.start, config.bandwidth.max) = (LINE, LINE);
    });
    for n in 0..streams {
        let tag = u32::try_from(n).unwrap() + 1;
        let mut camera = Camera::new(tag, 1, false, PACKETS);
        camera.size = SIZE;
        world.join(&format!("sender{n}"), Some(camera), None, true);
    }
    for n in 0..receivers {
        world.join(&format!("r{n}"), None, None, true);
    }
    world.connect_all();
    // Senders look at nothing.
    for n in 0..streams + receivers {
        world.want(n, if n < streams { 0 } else { 720 });
    }
    world.run(Duration::from_secs(2));
    let frames = |world: &mut World| {
        let now = world.now;
        world.now += INTERVAL;
        let frames: Vec<_> = (0..streams).map(|n| (n, world.media_of(n))).collect();
        world.now = now;
        frames
    };
    for _ in 0..WARM {
        let mut frames = frames(&mut world);
        measured(&mut world, &mut frames);
    }
    let mut frames = frames(&mut world);
    frames.truncate(COUNTED);
    let before = world.shard.stats().packets_forwarded;
    ptrace::traceme().unwrap();
    raise(MARK).unwrap();
    raise(MARK).unwrap();
    measured(&mut world, &mut frames);
    raise(MARK).unwrap();
    world.seal(0, SEALED, SIZE);
    raise(MARK).unwrap();
    let forwarded = world.shard.stats().packets_forwarded - before;
    let expected = (streams.min(COUNTED) * receivers * PACKETS) as u64;
    assert_eq!(forwarded, expected, "all of it is forwarded");
    println!("{forwarded}");
}
