//! How much a bridge forwards at most: the cameras make more and more frames until packets are lost.

use std::time::Duration;

use crate::cases::Bench;
use crate::raw::Raw;
use crate::report::Saturated;
use crate::round::Round;
use crate::scene::{FRAME_RATE, Scene};

/// A step with more loss is too much.
const LOSS: f64 = 0.005;
/// Steps at most.
const STEPS: usize = 14;
/// Growth below which nothing more is to be had.
const GROWTH: f64 = 1.02;

/// Raises the offer; returns the last step that was carried, and its frames a second.
pub(crate) fn run(
    bench: Bench,
    name: &str,
    raw: &Raw,
    scene: &mut Scene,
) -> Option<(Saturated, u32)> {
    println!("{name}, saturation:");
    let mut frame_rate = FRAME_RATE;
    let mut best: Option<(Saturated, u32)> = None;
    for _ in 0..STEPS {
        scene.film(frame_rate);
        std::thread::sleep(Duration::from_millis(500));
        let round = Round::measure(scene, Duration::from_secs(bench.effort.step));
        let limit = raw.at(round.counters.burst());
        println!("  {frame_rate} frames/s\n{round}");
        let carried = Saturated::of(&round, limit);
        let grows = best.is_none_or(|(b, _)| carried.rate > b.rate * GROWTH);
        let clean = round.loss() < LOSS;
        if clean && best.is_none_or(|(b, _)| carried.rate > b.rate) {
            best = Some((carried, frame_rate));
        }
        if !clean || !grows {
            break;
        }
        let factor = match round.busy() {
            busy if busy < 0.2 => 2.2,
            busy if busy < 0.4 => 1.6,
            busy if busy < 0.7 => 1.25,
            _ => 1.1,
        };
        frame_rate = (f64::from(frame_rate) * factor).ceil() as u32;
    }
    scene.film(FRAME_RATE);
    if let Some((best, _)) = best {
        println!(
            "  {name}: {:.0} packets/s at {:.0}% of a processor, receivers {:.0}%; {:.2} µs, {:.0}% of the machine's limit",
            best.rate,
            best.busy * 100.0,
            best.receivers_busy * 100.0,
            best.each,
            best.share * 100.0,
        );
    }
    best
}
