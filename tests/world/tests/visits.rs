//! People come and go, over ICE, DTLS and SCTP as ever: server, focus and bridge keep nothing of those who left.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use world::{Visits, alone};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations that live, and their bytes. What the cryptographic library allocates by itself is not among them.
fn live() -> (usize, usize) {
    let stats = HEAP.stats();
    (
        stats.allocations - stats.deallocations,
        stats.bytes_allocated - stats.bytes_deallocated,
    )
}

/// Tables grow in steps, one in this turn and another one in that, and so the bytes are compared roughly; whatever is kept of
/// each visitor is an allocation more for each. `cargo bench -p world --bench churn` looks at both for an hour.
#[test]
fn whoever_left_takes_no_memory() {
    const VISITORS: usize = 200;
    alone(1, || {
        let mut visits = Visits::new(1);
        let mut turn = || {
            visits.pass(VISITORS);
            visits.rest();
            live()
        };
        // What is remembered of the last few hundred is.
        turn();
        let (before, after) = (turn(), turn());
        let (people, connected) = visits.counts();
        assert!(people == 3 * VISITORS && connected >= people);
        assert!(
            after.0 <= before.0 + VISITORS / 8 && after.1 <= before.1 + before.1 / 100,
            "{before:?} allocations and bytes before {VISITORS} joins and leaves, {after:?} after"
        );
    });
}
