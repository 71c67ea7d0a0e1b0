//! Instructions for each forwarded packet before the send, counted one by one: a whole shard with real keys.
//!
//! `cargo bench -p sfu --bench instructions` prints them for receivers that get 1, 10 and 50 streams each; the last line
//! is JSON. With `-- --check` it fails where a count is more than 3% above `benches/instructions.json`, with `-- --write`
//! it writes that file. The shard runs in a child process that is stepped by ptrace, so that no profiler is needed, and
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

/// Streams each receiver gets.
const STREAMS: [usize; 3] = [1, 10, 50];
const RECEIVERS: usize = 10;
/// Packets of a frame.
const PACKETS: usize = 6;
const SIZE: usize = 1_100;
/// Frames before those that count, and those.
const WARM: u32 = 30;
const FRAMES: usize = 3;
/// Ends a section of the child.
const MARK: Signal = Signal::SIGUSR1;
/// Growth beyond which the check fails.
const TOLERANCE: f64 = 0.03;
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.json");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, streams] = arguments.as_slice()
        && first == "--child"
    {
        child(streams.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let counts = STREAMS.map(|streams| {
        let count = count(streams);
        println!("{streams} streams a receiver: {count:.0} instructions for each forwarded packet");
        (streams, count)
    });
    let members = counts.map(|(streams, count)| format!("\"{streams}\":{count:.0}"));
    let json = format!("{{{}}}", members.join(","));
    if arguments.iter().any(|a| a == "--write") {
        std::fs::write(BASELINE, format!("{json}\n")).unwrap();
    }
    let good = !arguments.iter().any(|a| a == "--check") || check(&counts);
    println!("{json}");
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn check(counts: &[(usize, f64)]) -> bool {
    let text = std::fs::read_to_string(BASELINE).unwrap();
    let baseline: serde_json::Value = serde_json::from_str(&text).unwrap();
    let grown = |(streams, count): &&(usize, f64)| {
        let before = baseline[streams.to_string()].as_f64().unwrap();
        let grown = count / before - 1.0;
        println!("{streams} streams: {:+.1}% to {before:.0}", grown * 100.0);
        grown > TOLERANCE
    };
    let worse = counts.iter().filter(grown).count();
    if worse > 0 {
        println!(
            "more instructions than allowed; if they are worth it: cargo bench -p sfu --bench instructions -- --write"
        );
    }
    worse == 0
}

/// Instructions of a child for each packet.
fn count(streams: usize) -> f64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--child", &streams.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    wait_for_mark(pid);
    let marking = step_to_mark(pid);
    let spent = step_to_mark(pid) - marking;
    ptrace::cont(pid, None).unwrap();
    let mut forwarded = String::new();
    let mut output = child.stdout.take().unwrap();
    output.read_to_string(&mut forwarded).unwrap();
    child.wait().unwrap();
    spent as f64 / forwarded.trim().parse::<f64>().unwrap()
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
fn measured(world: &mut World, frames: &mut [Vec<Vec<u8>>]) {
    for datagrams in frames {
        world.now += Duration::from_millis(33);
        world.feed(datagrams);
    }
}

/// What is stepped: three marks, between them nothing and what is measured. Prints how many packets were forwarded.
fn child(streams: usize) {
    let mut world = World::new(sim::LinkSpec::default(), 1);
    for n in 0..streams {
        let tag = u32::try_from(n).unwrap() + 1;
        let mut camera = Camera::new(tag, 1, false, PACKETS);
        camera.size = SIZE;
        world.join(&format!("sender{n}"), Some(camera), None, true);
    }
    for n in 0..RECEIVERS {
        world.join(&format!("r{n}"), None, None, true);
    }
    world.connect_all();
    // Senders look at nothing.
    for n in 0..streams + RECEIVERS {
        world.want(n, if n < streams { 0 } else { 720 });
    }
    world.run(Duration::from_secs(2));
    let frame = |world: &mut World, ahead: u32| {
        let now = world.now;
        world.now += Duration::from_millis(33) * ahead;
        let datagrams = world.media_of(0);
        world.now = now;
        datagrams
    };
    for _ in 0..WARM {
        let mut datagrams = frame(&mut world, 1);
        measured(&mut world, std::slice::from_mut(&mut datagrams));
    }
    let mut frames: Vec<_> = (1..=FRAMES)
        .map(|n| frame(&mut world, u32::try_from(n).unwrap()))
        .collect();
    let before = world.shard.stats().packets_forwarded;
    ptrace::traceme().unwrap();
    raise(MARK).unwrap();
    raise(MARK).unwrap();
    measured(&mut world, &mut frames);
    raise(MARK).unwrap();
    println!("{}", world.shard.stats().packets_forwarded - before);
}
