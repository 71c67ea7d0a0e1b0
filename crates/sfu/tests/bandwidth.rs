//! Receivers on slow and lossy lines: each gets what its line carries, and nobody else notices. Real transports, virtual time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop here")]

mod support;

use sfu::*;
use sim::{LinkSpec, Loss, Queue};
use std::time::Duration;
use support::World;
use support::camera::Camera;

const SECOND: Duration = Duration::from_secs(1);
/// 180p, 360p and 720p, bits per second.
const RATES: [usize; 3] = [150_000, 450_000, 1_400_000];
/// The receiver on the line.
const WATCHER: usize = 2;

fn good() -> LinkSpec {
    LinkSpec {
        delay: Duration::from_millis(10),
        ..LinkSpec::default()
    }
}

/// A line of a rate, with a queue of a quarter of a second.
fn slow(rate: u64) -> LinkSpec {
    LinkSpec {
        rate: Some(rate),
        queue: Queue::Bytes((rate / 32) as usize),
        ..good()
    }
}

/// Two people with cameras, and one who watches them in tiles over a line.
fn meeting(line: LinkSpec, temporal: bool, height: i32) -> World {
    let mut w = World::with(1, good(), 5, |_| {});
    for n in 0..3u32 {
        let camera = (n < 2).then(|| Camera::with_rates(n + 1, temporal, RATES));
        w.join(&format!("p{n}"), camera, (n < 2).then_some(40), true);
    }
    w.line(WATCHER, line);
    w.connect_all();
    for n in 0..3 {
        w.want(n, height);
    }
    w
}

/// What a client got in a stretch of time.
#[derive(Debug)]
struct Stretch {
    /// Frames a second, by stream in the order of SSRCs.
    fps: Vec<f64>,
    /// Share of the audio packets.
    heard: f64,
    /// Share of datagrams that its line dropped.
    dropped: f64,
    /// Bits per second.
    rate: f64,
    /// Height of what was shown last, by stream.
    encodings: Vec<u8>,
}

fn stretch(w: &mut World, client: usize, time: Duration) -> Stretch {
    let look = |w: &World| {
        let c = &w.clients[client];
        let mut streams: Vec<_> = c.receiver.streams.iter().collect();
        streams.sort_by_key(|(ssrc, _)| **ssrc);
        let frames: Vec<u64> = streams.iter().map(|(_, s)| s.decoded).collect();
        let encodings = streams
            .iter()
            .map(|(_, s)| s.encodings.last().copied().unwrap_or(9));
        let encodings: Vec<u8> = encodings.collect();
        let heard: u64 = c.heard.values().map(|(count, _)| count).sum();
        (frames, encodings, heard, c.sent, c.arrived, c.received)
    };
    let before = look(w);
    w.run(time);
    let after = look(w);
    let seconds = time.as_secs_f64();
    let talkers = w.clients.iter().enumerate();
    let talkers = talkers
        .filter(|(n, c)| *n != client && c.audio_level.is_some())
        .count();
    let frames = after.0.iter().enumerate();
    let sent = (after.3 - before.3) as f64;
    Stretch {
        fps: frames
            .map(|(n, f)| (f - before.0.get(n).copied().unwrap_or(0)) as f64 / seconds)
            .collect(),
        heard: (after.2 - before.2) as f64 / (seconds * 50.0 * talkers as f64),
        dropped: 1.0 - (after.4 - before.4) as f64 / sent,
        rate: (after.5 - before.5) as f64 * 8.0 / seconds,
        encodings: after.1,
    }
}

#[test]
fn a_slow_line_carries_what_fits_and_drops_nothing() {
    let mut w = meeting(slow(700_000), false, 360);
    w.run(3 * SECOND);
    let s = stretch(&mut w, WATCHER, 30 * SECOND);
    println!("{s:?}");
    assert!(s.fps.iter().all(|fps| *fps > 25.0), "{s:?}");
    assert!(s.heard > 0.98, "{s:?}");
    assert!(s.dropped < 0.03, "{s:?}");
    // Both at 180p take 300 kbit/s; one of them at 360p fits too.
    assert!(s.encodings.iter().all(|e| *e < 2), "{s:?}");
}

#[test]
fn on_a_very_slow_line_the_speaker_moves_and_all_are_heard() {
    let mut w = meeting(slow(300_000), false, 360);
    w.run(3 * SECOND);
    let s = stretch(&mut w, WATCHER, 30 * SECOND);
    println!("{s:?}");
    let best = s.fps.iter().copied().fold(0.0, f64::max);
    assert!(best > 20.0, "{s:?}");
    assert!(s.heard > 0.97 && s.dropped < 0.03, "{s:?}");
}

/// As browsers send them: with temporal layers, and key frames that are many times as large as other frames.
#[test]
fn a_key_frame_that_fills_a_narrow_line_is_not_given_up() {
    for (rate, jitter) in [
        (190_000, 0),
        (220_000, 0),
        (260_000, 0),
        (220_000, 40),
        (260_000, 40),
    ] {
        let mut w = World::with(1, good(), 5, |_| {});
        for n in 0..3u32 {
            let camera = (n < 2).then(|| {
                let mut camera = Camera::with_rates(n + 1, true, [190_000, 480_000, 1_400_000]);
                camera.key_size = 12;
                camera
            });
            w.join(&format!("p{n}"), camera, (n < 2).then_some(40), true);
        }
        w.connect_all();
        for n in 0..3 {
            w.want(n, 360);
        }
        w.run(10 * SECOND);
        let jitter = Duration::from_millis(jitter);
        w.line(
            WATCHER,
            LinkSpec {
                jitter,
                ..slow(rate)
            },
        );
        w.run(6 * SECOND);
        let s = stretch(&mut w, WATCHER, 20 * SECOND);
        let line = w
            .shard
            .endpoint_stats(support::CONFERENCE, &support::endpoint_id("p2"));
        println!("{rate} {jitter:?} {s:?} {:?}", line.map(|l| l.line));
        // The lowest temporal layer alone has 7.5 frames a second, and the line just about carries it.
        let all: f64 = s.fps.iter().sum();
        assert!(all > 3.0, "{rate} {jitter:?}: {s:?}");
        assert!(
            s.heard > 0.97 && s.dropped < 0.05,
            "{rate} {jitter:?}: {s:?}"
        );
    }
}

#[test]
fn frames_are_thinned_before_a_picture_is_given_up() {
    let mut w = meeting(slow(270_000), true, 360);
    w.run(5 * SECOND);
    let s = stretch(&mut w, WATCHER, 20 * SECOND);
    println!("{s:?}");
    assert!(s.fps.iter().all(|fps| *fps > 6.0), "{s:?}");
    assert!(s.heard > 0.97, "{s:?}");
}

#[test]
fn a_line_that_is_free_again_is_used_within_five_seconds() {
    let mut w = meeting(slow(5_000_000), false, 720);
    w.run(5 * SECOND);
    let s = stretch(&mut w, WATCHER, SECOND);
    assert_eq!(s.encodings, [2, 2], "{s:?}");
    w.line(WATCHER, slow(500_000));
    w.run(5 * SECOND);
    let s = stretch(&mut w, WATCHER, 20 * SECOND);
    println!("{s:?}");
    assert!(s.fps.iter().all(|fps| *fps > 20.0), "{s:?}");
    assert!(s.heard > 0.97 && s.dropped < 0.03, "{s:?}");
    w.line(WATCHER, slow(5_000_000));
    let took = w.run_until(20 * SECOND, "full resolution", |w| {
        let streams = &w.clients[WATCHER].receiver.streams;
        streams.values().all(|s| s.encodings.last() == Some(&2))
    });
    assert!(took < 5 * SECOND, "{took:?}");
}

#[test]
fn a_picture_of_one_layer_that_takes_more_than_the_first_guess_comes_too() {
    let mut w = World::with(1, good(), 5, |_| {});
    // 1.6 Mbit/s, and nothing less.
    let mut camera = Camera::new(1, 1, false, 6);
    (camera.size, camera.heights[0]) = (1_100, 720);
    w.join("sender", Some(camera), Some(40), true);
    w.join("watcher", None, None, true);
    w.connect_all();
    w.want(1, 720);
    let took = w.run_until(5 * SECOND, "a picture", |w| {
        let streams = &w.clients[1].receiver.streams;
        streams.values().any(|s| s.decoded > 0)
    });
    assert!(took < 2 * SECOND, "{took:?}");
}

/// Nothing else tells what the line carries: there is no sound, and no layer below.
#[test]
fn the_only_picture_comes_back_after_a_bad_moment() {
    let moments = [
        ("narrow", slow(300_000), 3 * SECOND),
        (
            "cut",
            LinkSpec {
                loss: Loss::Random(1.0),
                ..good()
            },
            2 * SECOND,
        ),
        (
            "lossy",
            LinkSpec {
                loss: Loss::Random(0.5),
                ..good()
            },
            3 * SECOND,
        ),
    ];
    for (name, bad, time) in moments {
        let mut w = World::with(1, good(), 5, |_| {});
        let mut camera = Camera::new(1, 1, false, 6);
        (camera.size, camera.heights[0]) = (1_100, 720);
        w.join("sender", Some(camera), None, true);
        w.join("watcher", None, None, true);
        w.connect_all();
        w.want(1, 720);
        w.run(5 * SECOND);
        w.line(1, bad);
        w.run(time);
        w.line(1, good());
        w.run(5 * SECOND);
        let s = stretch(&mut w, 1, 5 * SECOND);
        assert!(s.fps.iter().all(|fps| *fps > 25.0), "{name}: {s:?}");
    }
}

#[test]
fn a_meeting_of_one_layer_cameras_is_seen_by_all() {
    let mut w = World::with(1, good(), 5, |_| {});
    for n in 0..6u32 {
        let mut camera = Camera::new(n + 1, 1, false, 6);
        (camera.size, camera.heights[0]) = (1_100, 720);
        w.join(&format!("p{n}"), Some(camera), Some(40), true);
    }
    w.connect_all();
    for n in 0..6 {
        w.want(n, 720);
    }
    let took = w.run_until(20 * SECOND, "all pictures", |w| {
        let all = |w: &support::Client| {
            w.receiver
                .streams
                .values()
                .filter(|s| s.decoded > 0)
                .count()
                == 5
        };
        w.clients.iter().all(all)
    });
    assert!(took < 5 * SECOND, "{took:?}");
}

#[test]
fn loss_on_a_fast_line_costs_no_pictures() {
    let line = LinkSpec {
        loss: Loss::Random(0.2),
        ..slow(10_000_000)
    };
    let mut w = meeting(line, false, 360);
    w.run(3 * SECOND);
    let s = stretch(&mut w, WATCHER, 30 * SECOND);
    println!("{s:?}");
    assert!(s.fps.iter().all(|fps| *fps > 20.0), "{s:?}");
}

#[test]
fn one_bad_line_changes_nothing_for_the_others() {
    let run = |line| {
        let mut w = meeting(line, false, 360);
        w.run(5 * SECOND);
        let keys = |w: &World| -> u32 {
            w.clients
                .iter()
                .filter_map(|c| c.camera.as_ref())
                .map(|c| c.key_frames)
                .sum()
        };
        let before = keys(&w);
        let s = stretch(&mut w, 0, 40 * SECOND);
        (s.fps[0], s.rate, keys(&w) - before)
    };
    let (good, bad) = (run(slow(10_000_000)), run(slow(300_000)));
    println!("{good:?} {bad:?}");
    assert!((bad.0 - good.0).abs() < good.0 * 0.02, "{good:?} {bad:?}");
    assert!((bad.1 - good.1).abs() < good.1 * 0.02, "{good:?} {bad:?}");
    assert!(bad.2 <= good.2 + 2, "{good:?} {bad:?}");
}

#[test]
fn the_client_is_told_what_its_line_carries_and_what_it_gets() {
    let mut w = meeting(slow(300_000), false, 360);
    w.run(25 * SECOND);
    let notices = &w.clients[WATCHER].notices;
    let told = notices.iter().rev().find_map(|(_, n)| match n {
        ChannelNotice::ConnectionStats { estimated_downlink } => Some(*estimated_downlink),
        _ => None,
    });
    assert!((150_000..330_000).contains(&told.unwrap()), "{told:?}");
    let forwarded = notices.iter().rev().find_map(|(_, n)| match n {
        ChannelNotice::ForwardedSources(sources) => Some(sources.len()),
        _ => None,
    });
    assert_eq!(forwarded, Some(1), "one of two fits");
}

#[test]
fn the_bridge_can_say_why_a_receiver_gets_what_it_gets() {
    let mut w = meeting(slow(700_000), false, 360);
    w.run(20 * SECOND);
    let id = support::endpoint_id("p2");
    let line = w
        .shard
        .endpoint_stats(support::CONFERENCE, &id)
        .unwrap()
        .line;
    println!("{line:?}");
    assert!(
        (400_000..750_000).contains(&line.estimate.unwrap()),
        "{line:?}"
    );
    assert!(line.is_limited && line.taken < line.ideal, "{line:?}");
    let [first, second] = line.streams.as_slice() else {
        panic!("{line:?}")
    };
    for stream in [first, second] {
        assert_eq!((stream.wanted, stream.best.0), (360, 360), "{line:?}");
        assert!(stream.target.is_some(), "{line:?}");
    }
    assert!(second.missing.unwrap() > 100_000, "{line:?}");
    // A sample a second, and what was sent is what the line carries.
    assert!(
        (15..=21).contains(&line.series.len()),
        "{}",
        line.series.len()
    );
    let last = line.series.last().unwrap();
    assert!(last.ago < 2_000_000 && last.sent < 750_000, "{last:?}");
    assert_eq!(last.heights[2..], [0; 6]);
}

#[test]
fn a_line_that_comes_back_carries_pictures_at_once() {
    for (seconds, line) in [(5, good()), (20, good()), (20, slow(2_000_000))] {
        let mut w = meeting(line, false, 720);
        w.run(10 * SECOND);
        let address = w.clients[WATCHER].address.ip();
        w.net.cut(address);
        w.run(seconds * SECOND);
        w.net.join(address);
        let back = w.now;
        w.run_until(3 * SECOND, "pictures of both", |w| {
            let mut streams = w.clients[WATCHER].receiver.streams.values();
            streams.all(|s| s.last_frame.is_some_and(|at| at > back))
        });
        let s = stretch(&mut w, WATCHER, 10 * SECOND);
        println!("{seconds} s: {s:?}");
        assert!(s.fps.iter().all(|fps| *fps > 20.0), "{seconds} s: {s:?}");
    }
}

/// Sending all again that was lost meanwhile would keep the line busy for longer than pictures from their beginning.
#[test]
fn whoever_comes_from_another_address_has_pictures_at_once() {
    for rate in [700_000, 1_200_000, 3_000_000] {
        let mut w = meeting(slow(rate), false, 360);
        w.run(10 * SECOND);
        w.net.cut(w.clients[WATCHER].address.ip());
        w.run(Duration::from_millis(1_500));
        w.rebind(WATCHER, "10.9.9.9:40000".parse().unwrap());
        w.line(WATCHER, slow(rate));
        let (before, back) = (w.clients[WATCHER].arrived, w.now);
        w.run_until(10 * SECOND, "something", |w| {
            w.clients[WATCHER].arrived > before + 10
        });
        let took = w.run_until(5 * SECOND, "pictures of both", |w| {
            let mut streams = w.clients[WATCHER].receiver.streams.values();
            streams.all(|s| s.last_frame.is_some_and(|at| at > back))
        });
        println!("{rate}: {took:?}");
        assert!(took < SECOND / 5, "{rate}: {took:?}");
    }
}

/// What a sender is told in the end (REMB), and how often, whose path to the bridge is as `line`.
fn told(line: LinkSpec, remb: bool) -> (Option<u64>, usize) {
    let mut w = World::with(1, good(), 5, |_| {});
    w.remb = remb;
    let mut camera = Camera::with_rates(1, false, RATES);
    camera.says_when = remb;
    let sender = w.join("p0", Some(camera), Some(40), true);
    w.remb = false;
    let watcher = w.join("p1", None, None, true);
    w.clients[sender].reports = Some(Vec::new());
    let from = w.clients[sender].address.ip();
    w.net.set_path(from, w.bridge.ip(), line);
    w.connect_all();
    w.want(watcher, 720);
    w.run(15 * SECOND);
    let reports = w.clients[sender].reports.take().unwrap();
    let rates: Vec<u64> = reports
        .iter()
        .flat_map(|compound| rtp::rtcp::packets(compound))
        .filter_map(|packet| match packet.unwrap() {
            rtp::rtcp::Rtcp::Remb(remb) => {
                assert!(remb.ssrcs().any(|ssrc| ssrc.0 == 100), "names the camera");
                Some(remb.bitrate)
            }
            _ => None,
        })
        .collect();
    (rates.last().copied(), rates.len())
}

#[test]
fn a_sender_that_measures_nothing_is_told_what_its_path_carries() {
    let all: usize = RATES.iter().sum();
    let (rate, times) = told(good(), true);
    assert!(rate.unwrap() > all as u64 * 9 / 10, "{rate:?}");
    assert!((15..40).contains(&times), "{times} times");
    let (rate, _) = told(slow(700_000), true);
    assert!((300_000..700_000).contains(&rate.unwrap()), "{rate:?}");
    // Whoever gets feedback on each packet knows better.
    assert_eq!(told(slow(700_000), false), (None, 0));
}
