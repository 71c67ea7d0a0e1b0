//! Storms: bridges die, stop, drain and are cut off, the meet node is started again, people come and go, all at random from a
//! seed. When it is over, whoever stayed is served again, and nothing is left of anybody else.
//!
//! `make storms SEEDS=0..1000` runs many, `make test` a few.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod plan;
mod storm;

use std::ops::Range;
use std::panic::catch_unwind;

use plan::Plan;
use storm::Storm;
use world::alone;

/// Seeds that `make test` runs.
const SOME: Range<u64> = 5..9;

fn seeds() -> Range<u64> {
    let Ok(given) = std::env::var("SEEDS") else {
        return SOME;
    };
    let number = |text: &str| text.trim().parse::<u64>().unwrap();
    match given.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&given)..number(&given) + 1,
    }
}

/// What is wrong after the storm of a seed, if anything.
fn weather(seed: u64) -> Result<String, String> {
    let plan = Plan::of(seed);
    let shown = format!("{plan:#?}");
    let run = move || alone(seed, move || Storm::new(seed, plan).run());
    match catch_unwind(run) {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(wrong)) => Err(format!("{shown}\n{wrong}")),
        Err(_) => Err(format!("{shown}\nit panicked, see above")),
    }
}

#[test]
fn who_stays_is_served_again_and_nothing_is_left_of_others() {
    let mut bad = Vec::new();
    for seed in seeds() {
        match weather(seed) {
            Ok(told) => println!("seed {seed}: {told}"),
            Err(wrong) => {
                println!("seed {seed}:\n{wrong}\nagain: make storms SEEDS={seed}\n");
                bad.push(seed);
            }
        }
    }
    assert!(bad.is_empty(), "seeds that went wrong: {bad:?}");
}
