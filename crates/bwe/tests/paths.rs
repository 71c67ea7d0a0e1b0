//! The estimator alone over many paths, with a sender that fills its estimate and with one that has a bridge's layers: how
//! near the estimate comes, how long it is above, how long packets wait, how soon it is back.
//!
//! `make sim` runs all rows and prints the tables; without it a few of them run. Every row has its bounds.

mod path;

use std::time::Duration;

use path::{Run, Scene, ours, run};
use sim::{Course, LinkSpec, Loss, Queue};

/// What a bridge has to choose from, bits per second.
const LAYERS: [u64; 6] = [70_000, 150_000, 500_000, 1_000_000, 2_500_000, 8_000_000];
/// Until then it may still look for the rate, seconds.
const SETTLED: f64 = 5.0;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn link(rate: u64, round_trip: u64) -> LinkSpec {
    LinkSpec {
        rate: Some(rate),
        delay: ms(round_trip / 2),
        queue: Queue::Time(ms(300)),
        ..LinkSpec::default()
    }
}

fn scene(name: String, course: Course, round_trip: u64, layers: &[u64]) -> Scene {
    Scene {
        name,
        course,
        back: LinkSpec {
            delay: ms(round_trip / 2),
            ..LinkSpec::default()
        },
        seconds: 30,
        layers: layers.to_vec(),
        wanted: 12_000_000,
    }
}

/// Whether every row is run, or each seventh.
fn rows<T>(all: Vec<T>) -> Vec<T> {
    let whole = std::env::var("SIM").is_ok_and(|value| value == "full");
    let step = if whole { 1 } else { 7 };
    all.into_iter().step_by(step).collect()
}

fn both(seeds: u64) -> Vec<(&'static [u64], u64)> {
    let layers: [&[u64]; 2] = [&[], &LAYERS];
    layers
        .into_iter()
        .flat_map(|l| (1..=seeds).map(move |seed| (l, seed)))
        .collect()
}

fn show(scene: &Scene, run: &Run) {
    let kind = if scene.layers.is_empty() {
        "fills "
    } else {
        "layers"
    };
    println!(
        "{:<40} {kind}  error {:>3.0}%  above {:>3.0}%  least {:>5} kbit/s  queue {:>3.0} ms  dropped {:>5.2}%  padding {:>4.1}%",
        scene.name,
        100.0 * run.median_error(SETTLED, scene.wanted),
        100.0 * run.above(SETTLED),
        run.lowest(SETTLED) / 1_000,
        run.queue(SETTLED),
        100.0 * run.dropped,
        100.0 * run.padding,
    );
}

#[test]
fn a_steady_path_is_known_and_not_filled() {
    let mut all = Vec::new();
    for rate in [150, 300, 700, 1_500, 4_000, 10_000] {
        for round_trip in [20, 100, 200, 400] {
            all.extend(
                both(2)
                    .into_iter()
                    .map(|(l, seed)| (rate, round_trip, l, seed)),
            );
        }
    }
    for (rate, round_trip, layers, seed) in rows(all) {
        let course = Course::steady(link(rate * 1_000, round_trip));
        let scene = scene(
            format!("{rate} kbit/s, {round_trip} ms"),
            course,
            round_trip,
            layers,
        );
        let run = run(&scene, &mut ours(), seed);
        show(&scene, &run);
        let name = &scene.name;
        let (error, queue) = if rate < 300 {
            (0.4, 120.0)
        } else {
            (0.25, 60.0)
        };
        assert!(
            run.median_error(SETTLED, scene.wanted) <= error,
            "{name}: error"
        );
        assert!(run.above(SETTLED) <= 0.05, "{name}: above");
        assert!(run.queue(SETTLED) <= queue, "{name}: queue");
        assert!(run.dropped <= 0.01, "{name}: dropped");
    }
}

#[test]
fn loss_costs_a_part_and_never_all() {
    let mut all = Vec::new();
    for share in [2, 5, 10, 20] {
        for burst in [1.0, 5.0, 20.0] {
            for rate in [500, 3_000] {
                all.extend(
                    both(2)
                        .into_iter()
                        .map(|(l, seed)| (share, burst, rate, l, seed)),
                );
            }
        }
    }
    for (percent, burst, rate, layers, seed) in rows(all) {
        let share = percent as f64 / 100.0;
        let loss = if burst > 1.0 {
            Loss::bursts(share, burst)
        } else {
            Loss::Random(share)
        };
        let spec = LinkSpec {
            loss,
            ..link(rate * 1_000, 40)
        };
        let name = format!("{rate} kbit/s, {percent}% lost in {burst:.0}");
        let scene = scene(name, Course::steady(spec), 40, layers);
        let run = run(&scene, &mut ours(), seed);
        show(&scene, &run);
        let name = &scene.name;
        // Of 20% loss 1 Mbit/s is the most.
        let error = match percent {
            20 => {
                if rate < 1_000 {
                    0.75
                } else {
                    0.85
                }
            }
            10 => 0.4,
            _ => 0.3,
        };
        assert!(
            run.median_error(SETTLED, scene.wanted) <= error,
            "{name}: error"
        );
        // A fifth of the time without a path, half a second each: what arrives then is little.
        let least = if percent == 20 && burst > 5.0 {
            60_000
        } else {
            150_000
        };
        assert!(run.lowest(SETTLED) >= least, "{name}: collapsed");
        assert!(run.queue(SETTLED) <= 60.0, "{name}: queue");
    }
}

#[test]
fn a_narrow_moment_is_left_soon() {
    let mut all = Vec::new();
    for narrow in [300, 500, 1_000] {
        for seconds in [3, 15] {
            for round_trip in [20, 100, 200] {
                all.extend(
                    both(2)
                        .into_iter()
                        .map(|(l, seed)| (narrow, seconds, round_trip, l, seed)),
                );
            }
        }
    }
    for (narrow, seconds, round_trip, layers, seed) in rows(all) {
        let course = Course::steady(link(5_000_000, round_trip))
            .then(ms(10_000), link(narrow * 1_000, round_trip))
            .then(ms((10 + seconds) * 1_000), link(5_000_000, round_trip));
        let name = format!("5 Mbit/s, {narrow} kbit/s for {seconds} s, {round_trip} ms");
        let mut scene = scene(name, course, round_trip, layers);
        scene.wanted = 2_600_000;
        let run = run(&scene, &mut ours(), seed);
        let released = 10.0 + seconds as f64;
        let back = run.reaches(released, 2_600_000).unwrap_or(f64::INFINITY);
        let down = run.falls(10.0, narrow * 1_200).unwrap_or(f64::INFINITY);
        show(&scene, &run);
        println!("    down after {down:.1} s, back {back:.1} s after the release");
        let name = &scene.name;
        assert!(back <= 4.5, "{name}: back after {back:.1} s");
        assert!(down <= 3.0, "{name}: down after {down:.1} s");
        assert!(run.dropped <= 0.05, "{name}: dropped");
    }
}

#[test]
fn a_changing_path_is_followed() {
    let mut all = Vec::new();
    for jitter in [0, 10, 30] {
        for round_trip in [20, 100, 400] {
            all.extend(
                both(2)
                    .into_iter()
                    .map(|(l, seed)| (jitter, round_trip, l, seed)),
            );
        }
    }
    for (jitter, round_trip, layers, seed) in rows(all) {
        let rates = [2_000, 1_400, 900, 600, 400, 600, 900, 1_400, 2_000];
        let course = rates
            .into_iter()
            .enumerate()
            .fold(Course::default(), |course, (n, rate)| {
                let spec = LinkSpec {
                    jitter: ms(jitter),
                    reorder: if jitter > 0 { 0.01 } else { 0.0 },
                    ..link(rate * 1_000, round_trip)
                };
                course.then(ms(n as u64 * 3_000), spec)
            });
        let name = format!("2-0.4-2 Mbit/s, {round_trip} ms, jitter {jitter} ms");
        let scene = scene(name, course, round_trip, layers);
        let run = run(&scene, &mut ours(), seed);
        show(&scene, &run);
        let name = &scene.name;
        let error = if jitter < 30 { 0.35 } else { 0.6 };
        assert!(
            run.median_error(SETTLED, scene.wanted) <= error,
            "{name}: error"
        );
        assert!(run.above(SETTLED) <= 0.35, "{name}: above");
        assert!(run.dropped <= 0.03, "{name}: dropped");
    }
}

#[test]
fn lost_reports_cost_little() {
    let mut all = Vec::new();
    for share in [0.1, 0.3] {
        for rate in [500, 3_000] {
            all.extend(both(2).into_iter().map(|(l, seed)| (share, rate, l, seed)));
        }
    }
    for (share, rate, layers, seed) in rows(all) {
        let name = format!("{rate} kbit/s, {:.0}% of reports lost", share * 100.0);
        let mut scene = scene(name, Course::steady(link(rate * 1_000, 40)), 40, layers);
        scene.back.loss = Loss::Random(share);
        scene.back.jitter = ms(20);
        let run = run(&scene, &mut ours(), seed);
        show(&scene, &run);
        let name = &scene.name;
        assert!(
            run.median_error(SETTLED, scene.wanted) <= 0.35,
            "{name}: error"
        );
        assert!(run.above(SETTLED) <= 0.05, "{name}: above");
        assert!(run.dropped <= 0.01, "{name}: dropped");
    }
}

/// A receiver that wants little is not asked what its path carries.
#[test]
fn who_wants_little_gets_no_padding() {
    let mut scene = scene(
        "10 Mbit/s".to_owned(),
        Course::steady(link(10_000_000, 40)),
        40,
        &[],
    );
    scene.wanted = 200_000;
    let run = run(&scene, &mut ours(), 1);
    show(&scene, &run);
    assert!(run.padding < 0.01, "{}", run.padding);
    assert!(run.sends(2.0, 200_000) > 0.99);
}
