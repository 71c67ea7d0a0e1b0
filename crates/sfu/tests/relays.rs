//! One conference over several bridges with relays between them: its people meet as if there were one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop here")]

mod support;

use sfu::*;
use sim::{LinkSpec, Loss};
use std::time::Duration;
use support::camera::Camera;
use support::relays::relay_id;
use support::{CONFERENCE, World, endpoint_id, source_name};

const SECOND: Duration = Duration::from_secs(1);

fn link(loss: f64) -> LinkSpec {
    LinkSpec {
        delay: Duration::from_millis(10),
        loss: Loss::Random(loss),
        ..LinkSpec::default()
    }
}

/// People with cameras, in turn on each of some bridges of one mesh, all of whom want `height`.
fn meeting(bridges: usize, people: u32, loss: f64, height: i32) -> World {
    let mut w = World::apart(bridges, link(loss), 5);
    for n in 0..people {
        w.join_at = n as usize % bridges;
        let camera = Camera::new(n + 1, 3, false, 4);
        w.join(&format!("p{n}"), Some(camera), Some(60), true);
    }
    w.mesh();
    w.connect_all();
    for n in 0..people as usize {
        w.want(n, height);
    }
    w
}

fn no_problems(w: &World) {
    for client in &w.clients {
        let problems = client.receiver.problems();
        assert!(problems.is_empty(), "{}: {problems:#?}", client.id);
        assert_eq!(client.receiver.unknown, 0, "{}", client.id);
    }
}

/// The newest notice to a client that `pick` takes.
fn newest<T>(w: &World, client: usize, pick: impl Fn(&ChannelNotice) -> Option<T>) -> Option<T> {
    let notices = w.clients[client].notices.iter().rev();
    notices.into_iter().find_map(|(_, n)| pick(n))
}

fn demand(w: &World, client: usize) -> Option<i32> {
    newest(w, client, |n| match n {
        ChannelNotice::SenderSourceConstraints { max_height, .. } => Some(*max_height),
        _ => None,
    })
}

fn forwarded(w: &World, client: usize) -> Vec<SourceName> {
    let named = newest(w, client, |n| match n {
        ChannelNotice::ForwardedSources(names) => Some(names.clone()),
        _ => None,
    });
    let mut names = named.unwrap_or_default();
    names.sort();
    names
}

fn is_fresh(w: &World, client: usize, source: &str) -> bool {
    let stream = w.clients[client].receiver.of(source);
    let last = stream.and_then(|s| s.last_frame);
    last.is_some_and(|last| w.now - last < Duration::from_millis(250))
}

#[test]
fn people_on_several_bridges_see_and_hear_each_other_through_loss() {
    for bridges in [2, 3] {
        let mut w = meeting(bridges, 5, 0.01, 720);
        w.run(2 * SECOND);
        for client in &w.clients {
            assert_eq!(client.receiver.streams.len(), 4, "{bridges}: {}", client.id);
            for stream in client.receiver.streams.values() {
                assert!(stream.first_frame.is_some(), "no picture in time");
            }
        }
        w.run(5 * SECOND);
        no_problems(&w);
        for client in &w.clients {
            for stream in client.receiver.streams.values() {
                assert_eq!(stream.encodings.last(), Some(&2));
                assert!(w.now - stream.last_frame.unwrap() < Duration::from_millis(250));
                assert!(stream.frames.len() > 150, "{}", stream.frames.len());
                assert!(!stream.reports.is_empty(), "a clock to play sound by");
            }
            assert_eq!(client.heard.len(), 4);
            assert!(client.heard.values().all(|(count, _)| *count > 200));
        }
        // What is lost between bridges is asked for again there.
        let again = |w: &mut World, n| w.shard_at(n).stats().retransmitted;
        let repeated: Vec<u64> = (0..bridges).map(|n| again(&mut w, n)).collect();
        assert!(repeated.iter().all(|n| *n > 0), "{repeated:?}");
    }
}

#[test]
fn what_is_wanted_at_another_bridge_reaches_the_sender() {
    let mut w = meeting(2, 2, 0.0, 0);
    w.run(SECOND);
    assert_eq!(demand(&w, 0), Some(0), "nobody looks");
    for height in [720, 180, 360, 0, 360] {
        w.want(1, height);
        w.run(2 * SECOND);
        assert_eq!(demand(&w, 0), Some(height));
        assert_eq!(is_fresh(&w, 1, "p0-v0"), height != 0, "{height}");
    }
    no_problems(&w);
    // What nobody wants over there does not cross.
    w.want(1, 0);
    w.run(2 * SECOND);
    let rate = |w: &World| {
        w.shard
            .conference_stats(CONFERENCE)
            .unwrap()
            .relay_bitrate_sent
    };
    assert!(rate(&w) < 100_000, "{} bits per second", rate(&w));
    // One who comes late asks for a key frame over there, and for few.
    w.want(1, 360);
    w.run(SECOND);
    let before = w.clients[0].camera.as_ref().unwrap().key_frames;
    w.join_at = 1;
    let late = w.join("late", None, None, true);
    w.run_until(5 * SECOND, "connected", |w| w.clients[late].connected);
    w.want(late, 360);
    w.run_until(SECOND / 2, "a picture", |w| {
        let stream = w.clients[late].receiver.of("p0-v0");
        stream.is_some_and(|s| s.first_frame.is_some())
    });
    w.run(SECOND);
    let asked = w.clients[0].camera.as_ref().unwrap().key_frames - before;
    assert!(asked <= 2, "{asked} key frames");
}

#[test]
fn all_bridges_find_the_same_speaker() {
    let mut w = meeting(3, 6, 0.0, 180);
    w.run(SECOND);
    for who in [4, 1, 5] {
        let quiet = |n: u64| if n % 40 < 36 { 10 } else { 100 };
        for n in 0..200u64 {
            for (at, client) in w.clients.iter_mut().enumerate() {
                client.audio_level = Some(if at == who { quiet(n) } else { 100 });
            }
            w.run(Duration::from_millis(20));
        }
        for n in 0..6 {
            let told = newest(&w, n, |n| match n {
                ChannelNotice::DominantSpeaker { speaker, .. } => Some(speaker.clone()),
                _ => None,
            });
            assert_eq!(told, Some(endpoint_id(&format!("p{who}"))), "told to p{n}");
        }
    }
}

#[test]
fn messages_cross_to_those_they_are_for_and_no_bridge_speaks_for_the_people_of_another() {
    let mut w = meeting(3, 4, 0.0, 0);
    w.run(SECOND);
    let heard = |w: &mut World| {
        let texts = w.events.drain(..).filter_map(|e| match e {
            Event::Text { text, .. } => {
                Some((text.from.to_string(), text.to.map(|t| t.to_string())))
            }
            _ => None,
        });
        texts.collect::<Vec<_>>()
    };
    w.run(SECOND / 10);
    heard(&mut w);
    w.say(0, None, "{}");
    w.run(SECOND / 10);
    let all = ("p0".to_owned(), None);
    assert_eq!(
        heard(&mut w),
        [all.clone(), all],
        "once at each other bridge"
    );
    w.say(0, Some("p2"), "{}");
    w.run(SECOND / 10);
    assert_eq!(heard(&mut w), [("p0".to_owned(), Some("p2".to_owned()))]);
    let forged = Text {
        from: endpoint_id("p1"),
        to: None,
        stats: false,
        json: "{}".into(),
    };
    let now = w.now;
    assert!(!w.shard.hear_relayed(now, CONFERENCE, &relay_id(2), &forged));
    assert_eq!(heard(&mut w), []);
}

#[test]
fn what_shows_and_who_is_silent_is_known_elsewhere() {
    let mut w = meeting(2, 3, 0.0, 180);
    w.run(2 * SECOND);
    let now = w.now;
    w.shard_at(1).set_video_type(
        now,
        CONFERENCE,
        &endpoint_id("p1"),
        source_name("p1-v0"),
        VideoType::Disabled,
    );
    w.run(SECOND);
    assert_eq!(forwarded(&w, 0), [source_name("p2-v0")]);
    let address = w.clients[1].address;
    w.net.cut(address.ip());
    w.run(10 * SECOND);
    let silent = newest(&w, 0, |n| match n {
        ChannelNotice::Connectivity { endpoint, active } => Some((endpoint.clone(), *active)),
        _ => None,
    });
    assert_eq!(silent, Some((endpoint_id("p1"), false)));
}

#[test]
fn who_leaves_moves_or_is_lost_with_a_bridge_is_gone_and_the_rest_goes_on() {
    let mut w = meeting(3, 6, 0.0, 180);
    w.run(2 * SECOND);
    assert_eq!(forwarded(&w, 0).len(), 5);
    let now = w.now;
    w.shard_at(1)
        .expire_endpoint(now, CONFERENCE, &endpoint_id("p1"))
        .unwrap();
    w.shard
        .expire_relayed(now, CONFERENCE, &relay_id(1), &endpoint_id("p1"));
    w.run(SECOND);
    assert_eq!(forwarded(&w, 0).len(), 4);
    // A bridge is lost with its people, and a relay is made anew to another one in its place.
    w.net.cut("10.0.0.3".parse().unwrap());
    w.run(SECOND);
    let now = w.now;
    for at in [0, 1] {
        w.shard_at(at).expire_relay(now, CONFERENCE, &relay_id(2));
    }
    w.run(SECOND);
    assert_eq!(
        forwarded(&w, 0),
        [source_name("p3-v0"), source_name("p4-v0")]
    );
    assert_eq!(
        forwarded(&w, 3),
        [source_name("p0-v0"), source_name("p4-v0")]
    );
    assert!(is_fresh(&w, 0, "p3-v0") && is_fresh(&w, 3, "p0-v0"));
    no_problems(&w);
}

#[test]
fn who_comes_back_with_a_camera_that_counts_anew_is_seen_at_another_bridge_at_once() {
    let mut w = meeting(2, 2, 0.0, 180);
    w.run(60 * SECOND);
    let now = w.now;
    w.shard_at(1)
        .expire_endpoint(now, CONFERENCE, &endpoint_id("p1"))
        .unwrap();
    w.shard
        .expire_relayed(now, CONFERENCE, &relay_id(1), &endpoint_id("p1"));
    w.run(SECOND);
    assert!(!is_fresh(&w, 0, "p1-v0"));
    // One layer alone: its SSRC, and numbers that the relay has carried before.
    w.join_at = 1;
    w.join("p1", Some(Camera::new(2, 1, false, 4)), Some(60), true);
    w.announce(0, 1, 1);
    w.connect_all();
    w.run(2 * SECOND);
    assert!(is_fresh(&w, 0, "p1-v0"));
    no_problems(&w);
}

#[test]
fn a_bridge_between_two_meshes_passes_everything_on_once() {
    let mut w = World::apart(3, link(0.0), 9);
    for n in 0..3 {
        w.join_at = n;
        let camera = Camera::new(n as u32 + 1, 3, false, 4);
        w.join(&format!("p{n}"), Some(camera), Some(60), true);
    }
    w.relate(0, 1, "0");
    w.relate(1, 2, "1");
    for (to, by, of) in [
        (0, 1, 1),
        (0, 1, 2),
        (1, 0, 0),
        (1, 2, 2),
        (2, 1, 1),
        (2, 1, 0),
    ] {
        w.announce(to, by, of);
    }
    w.connect_all();
    for n in 0..3 {
        w.want(n, 360);
    }
    w.run(4 * SECOND);
    no_problems(&w);
    for n in 0..3 {
        let others = (0..3).filter(|o| *o != n);
        for other in others {
            assert!(
                is_fresh(&w, n, &format!("p{other}-v0")),
                "p{n} sees p{other}"
            );
        }
        assert_eq!(w.clients[n].heard.len(), 2);
        assert_eq!(w.clients[n].audio_gaps, 0);
        assert_eq!(demand(&w, n), Some(360));
    }
}
