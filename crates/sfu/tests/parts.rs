//! One conference over several shards: its people meet as if there were one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop here")]

mod support;

use sfu::*;
use sim::{LinkSpec, Loss};
use std::time::Duration;
use support::camera::Camera;
use support::{CONFERENCE, World, endpoint_id, source_name};

const SECOND: Duration = Duration::from_secs(1);

fn link(loss: f64) -> LinkSpec {
    LinkSpec {
        delay: Duration::from_millis(10),
        loss: Loss::Random(loss),
        ..LinkSpec::default()
    }
}

/// People with cameras, in turn on each of some shards, all of whom want `height`.
fn meeting(shards: usize, people: u32, loss: f64, height: i32) -> World {
    let mut w = World::over(shards, link(loss), 3);
    for n in 0..people {
        w.join_at = n as usize % shards;
        let camera = Camera::new(n + 1, 3, false, 4);
        w.join(&format!("p{n}"), Some(camera), Some(60), true);
    }
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

fn speaker(w: &World, client: usize) -> Option<(EndpointId, Vec<EndpointId>)> {
    newest(w, client, |n| match n {
        ChannelNotice::DominantSpeaker {
            speaker, previous, ..
        } => Some((speaker.clone(), previous.clone())),
        _ => None,
    })
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

#[test]
fn people_on_several_shards_see_and_hear_each_other_through_loss() {
    for shards in [2, 3] {
        let mut w = meeting(shards, 5, 0.01, 720);
        w.run(SECOND);
        for client in &w.clients {
            assert_eq!(client.receiver.streams.len(), 4);
            for stream in client.receiver.streams.values() {
                assert!(stream.first_frame.is_some(), "no picture within a second");
            }
        }
        w.run(5 * SECOND);
        no_problems(&w);
        for client in &w.clients {
            for stream in client.receiver.streams.values() {
                assert_eq!(stream.encodings.last(), Some(&2));
                assert!(w.now - stream.last_frame.unwrap() < Duration::from_millis(200));
                assert!(stream.frames.len() > 150, "{}", stream.frames.len());
                assert!(!stream.reports.is_empty(), "a clock to play sound by");
            }
            assert_eq!(client.heard.len(), 4);
            assert!(client.heard.values().all(|(count, _)| *count > 250));
        }
        // Only the publishers' own shards ask for what is missing.
        let nacked: Vec<u64> = (0..shards).map(|n| w.shard_at(n).stats().nacked).collect();
        assert!(nacked.iter().all(|n| *n > 0), "{nacked:?}");
    }
}

#[test]
fn what_is_wanted_on_another_shard_reaches_the_sender() {
    let mut w = meeting(2, 2, 0.0, 0);
    w.run(SECOND);
    assert_eq!(demand(&w, 0), Some(0), "nobody looks");
    for height in [720, 180, 360, 0, 360] {
        w.want(1, height);
        w.run(2 * SECOND);
        assert_eq!(demand(&w, 0), Some(height));
        let stream = w.clients[1].receiver.of("p0-v0").unwrap();
        let age = w.now - stream.last_frame.unwrap();
        match height {
            0 => assert!(age > SECOND, "still sent after {age:?}"),
            _ => assert!(age < Duration::from_millis(200), "{height}: {age:?}"),
        }
    }
    no_problems(&w);
    // One who comes late asks for a key frame over there, and for one only.
    let before = w.clients[0].camera.as_ref().unwrap().key_frames;
    w.join_at = 1;
    let late = w.join("late", None, None, true);
    w.run_until(5 * SECOND, "connected", |w| w.clients[late].connected);
    w.want(late, 360);
    w.run_until(Duration::from_millis(150), "a picture", |w| {
        let stream = w.clients[late].receiver.of("p0-v0");
        stream.is_some_and(|s| s.first_frame.is_some())
    });
    w.run(SECOND);
    let asked = w.clients[0].camera.as_ref().unwrap().key_frames - before;
    assert!(asked <= 2, "{asked} key frames");
}

#[test]
fn all_shards_agree_on_who_speaks() {
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
        let told: Vec<_> = (0..6).map(|n| speaker(&w, n).unwrap()).collect();
        assert!(told.iter().all(|t| *t == told[0]), "{told:?}");
        assert_eq!(told[0].0, endpoint_id(&format!("p{who}")));
    }
    // The speaker's video comes first for who wants one, wherever both are.
    for n in [0, 1] {
        let id = w.clients[n].id.clone();
        let now = w.now;
        let constraints = ReceiverConstraints {
            last_n: Some(1),
            ..ReceiverConstraints::default()
        };
        w.shard_at(n)
            .set_receiver_constraints(now, CONFERENCE, &id, constraints);
    }
    w.run(SECOND);
    for n in [0, 1] {
        assert_eq!(forwarded(&w, n), [source_name("p5-v0")]);
    }
}

#[test]
fn who_leaves_or_is_lost_is_gone_on_all_shards() {
    let mut w = meeting(2, 4, 0.0, 180);
    w.run(SECOND);
    let now = w.now;
    w.shard_at(1)
        .expire_endpoint(now, CONFERENCE, &endpoint_id("p1"))
        .unwrap();
    w.run(SECOND);
    assert_eq!(
        forwarded(&w, 0),
        [source_name("p2-v0"), source_name("p3-v0")]
    );
    // An endpoint elsewhere from which nothing is heard.
    let address = w.clients[3].address;
    w.net.cut(address.ip());
    w.run(10 * SECOND);
    let silent = newest(&w, 0, |n| match n {
        ChannelNotice::Connectivity { endpoint, active } => Some((endpoint.clone(), *active)),
        _ => None,
    });
    assert_eq!(silent, Some((endpoint_id("p3"), false)));
    // The other shard loses all it has: those here go on with each other.
    w.others.clear();
    let now = w.now;
    w.shard.handle_exchange(now, &mut Exchange::lost(1, 0));
    w.run(SECOND);
    assert_eq!(forwarded(&w, 0), [source_name("p2-v0")]);
    let stream = w.clients[0].receiver.of("p2-v0").unwrap();
    assert!(w.now - stream.last_frame.unwrap() < Duration::from_millis(200));
    assert!(!w.shard.is_deserted(CONFERENCE));
}

#[test]
fn a_part_that_ends_ends_the_others_that_are_empty() {
    let mut w = meeting(2, 2, 0.0, 180);
    let now = w.now;
    w.shard
        .expire_endpoint(now, CONFERENCE, &endpoint_id("p0"))
        .unwrap();
    w.run(30 * SECOND);
    assert_eq!(w.shard.conferences(), [CONFERENCE], "there is somebody yet");
    let now = w.now;
    w.shard_at(1).expire_conference(now, CONFERENCE).unwrap();
    w.run(SECOND / 10);
    assert_eq!(w.shard.conferences(), []);
    let ended = |e: &Event| matches!(e, Event::ConferenceExpired { .. });
    assert!(w.events.iter().any(ended));
    let counted = |w: &mut World, n| w.shard_at(n).stats().conferences_completed;
    assert_eq!((counted(&mut w, 0), counted(&mut w, 1)), (1, 0));
}

#[test]
fn a_shard_that_comes_again_learns_everything() {
    let mut w = meeting(2, 2, 0.0, 180);
    w.run(SECOND);
    // Its part ends and is made anew, as after a defect.
    let now = w.now;
    w.shard_at(1).expire_conference(now, CONFERENCE).unwrap();
    w.run(SECOND / 10);
    let spec = ConferenceSpec {
        id: CONFERENCE,
        meeting_id: "m".into(),
        name: None,
        part: Some(Part {
            feedback: FeedbackSources { audio: 1, video: 2 },
            others: vec![0],
            exists: true,
        }),
    };
    let now = w.now;
    w.shard_at(1).create_conference(now, spec).unwrap();
    w.join_at = 1;
    let again = w.join("again", None, None, true);
    w.run_until(5 * SECOND, "connected", |w| w.clients[again].connected);
    w.want(again, 180);
    w.run(SECOND);
    assert_eq!(forwarded(&w, again), [source_name("p0-v0")]);
    assert!(w.clients[again].receiver.of("p0-v0").unwrap().decoded > 20);
    assert!(w.clients[again].heard.len() == 1);
}
