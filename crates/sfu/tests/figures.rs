//! What is told of a meeting in figures: loss, round trips, who watches, what failed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop here")]

mod support;

use std::time::Duration;

use sfu::{EndpointSpec, Event};
use sim::LinkSpec;
use support::camera::Camera;
use support::{CONFERENCE, World, endpoint_id};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn loss_round_trips_and_who_only_watches_are_told() {
    let line = LinkSpec {
        delay: Duration::from_millis(30),
        loss: sim::Loss::Random(0.05),
        ..LinkSpec::default()
    };
    let mut w = World::new(line, 7);
    for (name, number) in [("p0", 1), ("p1", 2)] {
        w.join(name, Some(Camera::new(number, 3, true, 4)), Some(60), true);
    }
    w.join("p2", None, None, true);
    w.connect_all();
    (0..3).for_each(|at| w.want(at, 720));
    w.run(10 * SECOND);
    let stats = w.shard.conference_stats(CONFERENCE).unwrap();
    assert_eq!((stats.endpoints, stats.receiving_only), (3, 1));
    let (received, sent) = (stats.lost_received.fraction(), stats.lost_sent.fraction());
    assert!((0.01..0.12).contains(&received), "{received}");
    assert!((0.01..0.12).contains(&sent), "{sent}");
    let (sum, count) = stats.round_trips;
    assert_eq!(count, 3);
    let mean = sum / count as u64;
    assert!((50_000..90_000).contains(&mean), "{mean} µs");
    let all = w.shard.stats();
    // Two cameras with at most three encodings, for ten seconds or so.
    let ms = all.video_ms_received;
    assert!((20_000..70_000).contains(&ms), "{ms} ms");
    assert!(all.layering_changes >= 2);
    assert_eq!(all.ice_failed.clients + all.dtls_failed.clients, 0);
}

/// Everybody is looked at in turn, some at a time: nobody is left out, and nobody is counted twice.
#[test]
fn a_crowd_is_counted_whole() {
    const WATCHING: usize = 100;
    let mut w = World::with(1, LinkSpec::default(), 9, |config| {
        config.endpoint_timeout = 5 * SECOND;
    });
    w.join("p0", Some(Camera::new(1, 1, false, 4)), Some(60), true);
    for n in 0..WATCHING {
        w.join(&format!("r{n}"), None, None, true);
    }
    w.connect_all();
    (0..=WATCHING).for_each(|at| w.want(at, 360));
    w.run(3 * SECOND);
    let stats = w.shard.conference_stats(CONFERENCE).unwrap();
    assert_eq!(stats.endpoints, 1 + WATCHING);
    assert_eq!((stats.sending_audio, stats.sending_video), (1, 1));
    assert_eq!(stats.receiving_only, WATCHING);
    let sent = stats.packet_rate_sent;
    assert!(sent >= 50 * WATCHING as u64, "{sent} packets/s");
    // Half of them fall silent, and are gone when their time is over.
    let cut = LinkSpec {
        loss: sim::Loss::Random(1.0),
        ..LinkSpec::default()
    };
    let bridge = w.bridge.ip();
    let silent: Vec<_> = (1..=WATCHING).step_by(2).collect();
    for client in &silent {
        let from = w.clients[*client].address.ip();
        w.net.set_path(from, bridge, cut);
    }
    w.run(8 * SECOND);
    let stats = w.shard.conference_stats(CONFERENCE).unwrap();
    assert_eq!(stats.endpoints, 1 + WATCHING - silent.len());
    let expired = |e: &&Event| matches!(e, Event::EndpointExpired { .. });
    assert_eq!(w.events.iter().filter(expired).count(), silent.len());
}

#[test]
fn who_never_found_a_way_has_failed_and_who_left_at_once_has_not() {
    let mut w = World::new(LinkSpec::default(), 8);
    w.join("p0", Some(Camera::new(1, 1, false, 4)), Some(60), true);
    w.connect_all();
    let now = w.now;
    for name in ["late", "early"] {
        let spec = EndpointSpec::new(endpoint_id(name));
        w.shard.create_endpoint(now, CONFERENCE, spec).unwrap();
    }
    w.run(SECOND);
    let now = w.now;
    w.shard
        .expire_endpoint(now, CONFERENCE, &endpoint_id("early"))
        .unwrap();
    assert_eq!(w.shard.stats().ice_failed.clients, 0);
    w.run(12 * SECOND);
    let now = w.now;
    for name in ["late", "p0"] {
        w.shard
            .expire_endpoint(now, CONFERENCE, &endpoint_id(name))
            .unwrap();
    }
    let stats = w.shard.stats();
    assert_eq!((stats.ice_failed.clients, stats.ice_failed.relays), (1, 0));
    assert_eq!(stats.dtls_failed.clients, 0);
}
