//! A crowd that watches: key frames are not asked for by everybody, and what one line does is no matter of the others.
//!
//! `SIM=full` (as in `make sim`) has fifty who send and five hundred who watch.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on may stop here; how long it took is printed"
)]

mod support;

use sim::{LinkSpec, Queue};
use std::time::{Duration, Instant};
use support::World;
use support::camera::Camera;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Videos that each of them watches.
const WATCHED: usize = 9;
/// Who speaks.
const SPEAKERS: usize = 3;

fn good() -> LinkSpec {
    LinkSpec {
        delay: 20 * MS,
        ..LinkSpec::default()
    }
}

struct Crowd {
    w: World,
    senders: usize,
    began: Instant,
}

impl Crowd {
    fn new(senders: usize, watchers: usize) -> Self {
        let began = Instant::now();
        let mut w = World::with(1, good(), 7, |_| {});
        for n in 0..senders + watchers {
            let sends = n < senders;
            let camera = sends.then(|| Camera::with_rates(n as u32 + 1, false, [100_000; 3]));
            w.join(&format!("p{n}"), camera, (n < SPEAKERS).then_some(40), true);
        }
        w.connect_all();
        Self { w, senders, began }
    }

    fn watchers(&self) -> std::ops::Range<usize> {
        self.senders..self.w.clients.len()
    }

    /// Key frames that each sender has made.
    fn key_frames(&self) -> Vec<u32> {
        let cameras = self.w.clients.iter().filter_map(|c| c.camera.as_ref());
        cameras.map(|c| c.key_frames).collect()
    }

    /// Who has a picture of all that they watch.
    fn satisfied(&self) -> usize {
        let has_all = |n: &usize| {
            let streams = self.w.clients[*n].receiver.streams.values();
            streams.filter(|s| s.decoded > 0).count() >= WATCHED
        };
        self.watchers().filter(has_all).count()
    }

    /// Lets time go by; bytes that each watcher got, and key frames that each sender made.
    fn stretch(&mut self, time: Duration) -> (Vec<u64>, Vec<u32>) {
        let received = |c: &Self| -> Vec<u64> {
            let watchers = c.watchers();
            watchers.map(|n| c.w.clients[n].received).collect()
        };
        let (bytes, keys) = (received(self), self.key_frames());
        self.w.run(time);
        let (bytes_after, keys_after) = (received(self), self.key_frames());
        let bytes = bytes_after.iter().zip(bytes).map(|(a, b)| a - b);
        let keys = keys_after.iter().zip(keys).map(|(a, b)| a - b);
        (bytes.collect(), keys.collect())
    }

    fn tell(&self, what: &str) {
        let (spent, virtually) = (self.began.elapsed(), self.w.elapsed());
        let each = spent.as_nanos() as u64 / self.w.datagrams.max(1);
        println!("{what}: {virtually:?} in {spent:?}, {each} ns a datagram that left");
    }
}

#[test]
fn nobody_in_a_crowd_is_a_burden_to_the_others() {
    let whole = std::env::var("SIM").is_ok_and(|value| value == "full");
    let (senders, watchers) = if whole { (50, 500) } else { (12, 16) };
    let mut c = Crowd::new(senders, watchers);
    c.tell("connected");
    // All want the same at the same moment.
    for n in c.watchers() {
        c.w.want_of(n, 180, WATCHED as i32);
    }
    let (_, keys) = c.stretch(5 * SECOND);
    c.tell("watching");
    println!("key frames of each: {keys:?}");
    assert_eq!(c.satisfied(), watchers);
    assert!(keys.iter().all(|made| *made <= 5), "{keys:?}");

    let (before, keys) = c.stretch(4 * SECOND);
    assert!(keys.iter().all(|made| *made == 0), "{keys:?}");
    // One of them has a narrow line now.
    let narrow = LinkSpec {
        rate: Some(300_000),
        queue: Queue::Time(250 * MS),
        ..good()
    };
    let first = c.senders;
    c.w.line(first, narrow);
    let (after, keys) = c.stretch(4 * SECOND);
    c.tell("one on a narrow line");
    println!("key frames of each: {keys:?}");
    let others = before.iter().zip(&after).skip(1);
    for (n, (before, after)) in others.enumerate() {
        let change = *after as f64 / *before as f64 - 1.0;
        assert!(change.abs() < 0.02, "watcher {n}: {change}");
    }
    assert!(after[0] < before[0], "{} {}", before[0], after[0]);
    // Of those whom it watches, and few.
    let bothered = keys.iter().filter(|made| **made > 0).count();
    assert!(bothered <= WATCHED, "{keys:?}");
    assert!(keys.iter().all(|made| *made <= 3), "{keys:?}");

    // Somebody comes, and has pictures without troubling more of them.
    c.w.join("late", None, None, true);
    c.w.connect_all();
    let late = c.w.clients.len() - 1;
    c.w.want_of(late, 180, WATCHED as i32);
    let (_, keys) = c.stretch(2 * SECOND);
    println!("key frames of each: {keys:?}");
    assert!(keys.iter().all(|made| *made <= 2), "{keys:?}");
    c.tell("one more");
}
