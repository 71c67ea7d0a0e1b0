//! An hour in which fifty people join and leave each second: what server, focus and bridge keep of them.
//!
//! `cargo bench -p world --bench churn [seconds [between]]` lets 180,000 people (or fifty for each of so many seconds) come to a
//! room and go, in virtual time, over ICE, DTLS and SCTP; of ten of them two meet in a room of their own, which ends. Prints the
//! memory after each ten minutes of that time (or so many seconds between two looks), and what was added since the first look.
#![allow(clippy::unwrap_used, reason = "a benchmark may stop where it fails")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use world::{Visits, alone};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const A_SECOND: usize = 50;
/// Seconds of the whole, and between two looks.
const HOUR: usize = 3_600;
const LOOK: usize = 600;

/// Bytes of the process.
#[derive(Clone, Copy)]
struct Memory {
    /// Allocated by Rust code.
    living: usize,
    /// Allocated at all, what the cryptographic library has included.
    allocated: usize,
    resident: usize,
}

impl Memory {
    fn now() -> Self {
        let stats = HEAP.stats();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib: usize = resident
            .unwrap()
            .trim_end_matches(" kB")
            .trim()
            .parse()
            .unwrap();
        Self {
            living: stats.bytes_allocated - stats.bytes_deallocated,
            allocated: net::heap_in_use(),
            resident: kib * 1024,
        }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [living, allocated, resident] =
            [self.living, self.allocated, self.resident].map(|bytes| bytes as f64 / 1024.0);
        write!(
            f,
            "{living:.1} KiB living, {allocated:.1} KiB allocated, {resident:.0} KiB resident"
        )
    }
}

fn main() {
    // `cargo bench` says so; `cargo test --benches` only has to compile it.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let mut given = std::env::args().filter_map(|a| a.parse().ok());
    let seconds = given.next().unwrap_or(HOUR);
    let look = given.next().unwrap_or(LOOK).clamp(1, seconds.max(1));
    alone(1, || hour(seconds, look));
}

fn hour(seconds: usize, look: usize) {
    let mut visits = Visits::new(1);
    let mut first = None;
    for turn in 1..=seconds / look {
        visits.pass(look * A_SECOND);
        let busy = Memory::now();
        visits.rest();
        let (memory, (people, connected)) = (Memory::now(), visits.counts());
        let first = *first.get_or_insert((busy, memory));
        let grown = |now: usize, then: usize| (now as f64 / then as f64 - 1.0) * 100.0;
        println!(
            "{} s, {people} people, {connected} of them connected: {busy}; once it is quiet {memory}; since the first look \
             {:+} bytes living when quiet, resident {:+.2}%",
            turn * look,
            memory.living as i64 - first.1.living as i64,
            grown(busy.resident, first.0.resident),
        );
    }
}
