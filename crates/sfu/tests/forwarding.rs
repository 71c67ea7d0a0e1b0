//! Whole meetings through a shard: real transports, a lossy network, virtual time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop here")]

mod support;

use sfu::*;
use sim::{LinkSpec, Loss};
use std::time::Duration;
use support::camera::Camera;
use support::{CONFERENCE, RTX, World, audio_packet, endpoint_id, source_name};

const SECOND: Duration = Duration::from_secs(1);

fn good() -> LinkSpec {
    LinkSpec {
        delay: Duration::from_millis(10),
        ..LinkSpec::default()
    }
}

fn bad() -> LinkSpec {
    LinkSpec {
        jitter: Duration::from_millis(4),
        loss: Loss::Random(0.01),
        reorder: 0.02,
        reorder_by: Duration::from_millis(8),
        ..good()
    }
}

/// `count` people with cameras, all connected and asking for `height`.
fn meeting(link: LinkSpec, seed: u64, count: u32, temporal: bool, height: i32) -> World {
    let mut w = World::new(link, seed);
    for n in 0..count {
        let name = format!("p{n}");
        let camera = Camera::new(n + 1, 3, temporal, 4);
        let at = w.join(&name, Some(camera), Some(60), true);
        w.clients[at].receiver.delay = Duration::from_millis(100 + 150 * u64::from(n));
    }
    w.connect_all();
    for n in 0..count as usize {
        w.want(n, height);
    }
    w
}

fn no_problems(w: &World) {
    for client in &w.clients {
        let problems = client.receiver.problems();
        assert!(problems.is_empty(), "{}: {problems:#?}", client.id);
        assert_eq!(
            client.receiver.unknown, 0,
            "{}: packets without a map",
            client.id
        );
    }
}

/// Frame of a camera by which all of a meeting have a picture of it.
const JOINED: u32 = 60;

#[test]
fn three_people_see_and_hear_each_other_through_loss() {
    for seed in 1..=4 {
        let mut w = meeting(bad(), seed, 3, true, 720);
        w.run(SECOND);
        for client in &w.clients {
            assert_eq!(client.receiver.streams.len(), 2);
            for stream in client.receiver.streams.values() {
                assert!(stream.first_frame.is_some(), "no picture within a second");
            }
        }
        w.run(9 * SECOND);
        no_problems(&w);
        for client in &w.clients {
            for stream in client.receiver.streams.values() {
                // All frames arrive, none is missing in between. While people still join, key frames are made for them,
                // and a decoder goes on at a whole key frame rather than wait for the repair of what is before it.
                let frames = &stream.frames;
                let first_top = stream.encodings.iter().position(|e| *e == 2).unwrap();
                assert!(stream.encodings[first_top..].iter().all(|e| *e == 2));
                let settled = frames.iter().position(|f| *f > JOINED).unwrap();
                let top = &frames[settled.max(first_top)..];
                let mut all = top.to_vec();
                all.sort_unstable();
                all.dedup();
                assert!(
                    all.windows(2).all(|f| f[1] == f[0] + 1),
                    "seed {seed}: {top:?}"
                );
                // A replay that crossed a picture may repeat a few.
                assert!(top.len() - all.len() < 20, "seed {seed}: {top:?}");
                assert!(top.len() > 200, "{}", top.len());
                assert_eq!(stream.max_temporal_seen, 2);
            }
            assert_eq!(client.heard.len(), 2);
            assert!(client.heard.values().all(|(count, _)| *count > 400));
        }
        let stats = w.shard.stats();
        assert!(stats.retransmitted > 0 && stats.nacked > 0);
        assert_eq!(stats.dropped(DropReason::Protect), 0);
        // A burst is one send: far fewer runs than packets.
        assert!(
            w.runs * 2 < w.datagrams,
            "{} runs of {}",
            w.runs,
            w.datagrams
        );
    }
}

#[test]
fn a_late_receiver_gets_its_first_picture_at_once() {
    // The browser makes its receiver long after packets began to flow, at every possible moment.
    for delay in [0, 50, 100, 200, 333, 500, 700, 900] {
        let mut w = meeting(good(), 9, 2, false, 720);
        w.run(5 * SECOND);
        let late = w.join("late", None, None, true);
        w.clients[late].receiver.delay = Duration::from_millis(delay);
        w.run_until(5 * SECOND, "connected", |w| w.clients[late].connected);
        w.want(late, 720);
        let keys: Vec<u32> = w
            .clients
            .iter()
            .filter_map(|c| c.camera.as_ref())
            .map(|c| c.key_frames)
            .collect();
        let limit = Duration::from_millis(delay + 120);
        w.run_until(limit, "both pictures", |w| {
            let streams = &w.clients[late].receiver.streams;
            streams.len() == 2 && streams.values().all(|s| s.first_frame.is_some())
        });
        w.run(3 * SECOND);
        no_problems(&w);
        for (camera, before) in w.clients.iter().filter_map(|c| c.camera.as_ref()).zip(keys) {
            let asked = camera.key_frames - before;
            assert!(
                asked <= 2 + delay as u32 / 300,
                "{asked} key frames with a delay of {delay}"
            );
        }
    }
}

#[test]
fn no_video_before_the_first_constraints() {
    let mut w = World::new(good(), 3);
    w.join("a", Some(Camera::new(1, 3, false, 2)), None, true);
    let b = w.join("b", Some(Camera::new(2, 3, false, 2)), None, true);
    w.connect_all();
    w.run(2 * SECOND);
    assert!(w.clients[b].receiver.streams.is_empty());
    assert_eq!(w.shard.stats().packets_forwarded, 0);
    let told = |w: &World, c: usize| {
        let mut heights = w.clients[c].notices.iter().filter_map(|(_, n)| match n {
            ChannelNotice::SenderSourceConstraints { max_height, .. } => Some(*max_height),
            _ => None,
        });
        heights.next_back()
    };
    w.want(b, 180);
    w.run(2 * SECOND);
    assert_eq!(told(&w, 0), Some(180), "the sender is told what is wanted");
    assert_eq!(told(&w, 1), Some(0), "nobody watches b");
    let stream = w.clients[b].receiver.of("a-v0").unwrap();
    assert!(stream.encodings.iter().all(|e| *e == 0) && stream.decoded > 30);
}

#[test]
fn layers_follow_constraints_without_a_break() {
    let mut w = meeting(bad(), 5, 2, true, 180);
    w.run(3 * SECOND);
    for height in [720, 180, 360, 0, 720, 360] {
        w.want(0, height);
        w.run(3 * SECOND);
        let stream = w.clients[0].receiver.of("p1-v0").unwrap();
        let last = stream.encodings.last().copied();
        let expected = [(180, 0), (360, 1), (720, 2)]
            .iter()
            .find(|(h, _)| *h == height)
            .map(|(_, e)| *e);
        if height == 0 {
            let idle = w.now - stream.last_frame.unwrap();
            assert!(idle > 2 * SECOND, "still sent after {idle:?}");
        } else {
            assert_eq!(last, expected, "at {height}");
            assert!(w.now - stream.last_frame.unwrap() < Duration::from_millis(200));
        }
    }
    no_problems(&w);
}

#[test]
fn sender_reports_keep_the_clock_across_switches() {
    let mut w = meeting(good(), 6, 2, false, 180);
    w.run(4 * SECOND);
    w.want(0, 720);
    w.run(4 * SECOND);
    let stream = w.clients[0].receiver.of("p1-v0").unwrap();
    assert!(stream.reports.len() >= 5);
    // The newest report maps the newest frame to when it was captured, not to some shifted time.
    let (at, _, rtp) = *stream.reports.last().unwrap();
    let age = rtp::seq::diff32(stream.last_timestamp.unwrap(), rtp) / 90;
    let frame_at = stream.last_frame.unwrap();
    let expected = if frame_at > at {
        (frame_at - at).as_millis() as i32
    } else {
        0
    };
    assert!((age - expected).abs() < 80, "{age} ms, {expected} ms");
}

#[test]
fn last_n_limits_sources_and_prefers_who_speaks() {
    let mut w = meeting(good(), 7, 4, false, 180);
    w.run(SECOND);
    w.clients[2].audio_level = Some(10);
    let quiet = |n: u64| if n % 40 < 36 { 10 } else { 100 };
    for n in 0..200u64 {
        w.clients[2].audio_level = Some(quiet(n));
        w.run(Duration::from_millis(20));
    }
    let id = w.clients[0].id.clone();
    let constraints = ReceiverConstraints {
        last_n: Some(1),
        ..ReceiverConstraints::default()
    };
    w.shard
        .set_receiver_constraints(w.now, CONFERENCE, &id, constraints);
    w.run(SECOND);
    let forwarded = w.clients[0]
        .notices
        .iter()
        .rev()
        .find_map(|(_, n)| match n {
            ChannelNotice::ForwardedSources(names) => Some(names.clone()),
            _ => None,
        });
    assert_eq!(forwarded, Some(vec![source_name("p2-v0")]));
    let spoke = w.clients[0]
        .notices
        .iter()
        .rev()
        .find_map(|(_, n)| match n {
            ChannelNotice::DominantSpeaker { speaker, .. } => Some(speaker.clone()),
            _ => None,
        });
    assert_eq!(spoke, Some(endpoint_id("p2")));
}

#[test]
fn silence_and_force_mute_leave_no_gap() {
    let mut w = meeting(good(), 8, 2, false, 0);
    w.run(SECOND);
    let heard = |w: &World| w.clients[1].heard.values().map(|h| h.0).sum::<u64>();
    w.clients[0].audio_level = Some(127);
    w.run(SECOND);
    let before = heard(&w);
    w.run(SECOND);
    assert_eq!(heard(&w), before, "silence is not forwarded");
    w.clients[0].audio_level = Some(40);
    w.run(SECOND);
    assert!(heard(&w) > before + 40);
    let mute = |mute| EndpointUpdate {
        force_mute_audio: Some(mute),
        ..EndpointUpdate::default()
    };
    w.shard
        .update_endpoint(w.now, CONFERENCE, &endpoint_id("p0"), mute(true))
        .unwrap();
    w.run(SECOND / 10);
    let before = heard(&w);
    w.run(SECOND);
    assert_eq!(heard(&w), before, "muted by the focus");
    w.shard
        .update_endpoint(w.now, CONFERENCE, &endpoint_id("p0"), mute(false))
        .unwrap();
    w.run(SECOND);
    assert!(heard(&w) > before + 40);
    assert_eq!(w.clients[1].audio_gaps, 0);
}

#[test]
fn video_muted_by_the_focus_stops_and_comes_back_with_a_key_frame() {
    let mut w = meeting(good(), 9, 2, true, 360);
    w.run(2 * SECOND);
    let mute = |mute| EndpointUpdate {
        force_mute_video: Some(mute),
        ..EndpointUpdate::default()
    };
    for _ in 0..2 {
        w.shard
            .update_endpoint(w.now, CONFERENCE, &endpoint_id("p0"), mute(true))
            .unwrap();
        w.run(2 * SECOND);
        let last = |w: &World| {
            w.clients[1]
                .receiver
                .of("p0-v0")
                .unwrap()
                .last_frame
                .unwrap()
        };
        assert!(w.now - last(&w) > SECOND, "still seen");
        w.shard
            .update_endpoint(w.now, CONFERENCE, &endpoint_id("p0"), mute(false))
            .unwrap();
        w.run(SECOND / 2);
        assert!(w.now - last(&w) < SECOND / 10, "seen again");
    }
    no_problems(&w);
}

#[test]
fn who_leaves_is_gone_and_who_falls_silent_is_reported() {
    let mut w = meeting(good(), 10, 3, false, 180);
    w.run(2 * SECOND);
    let address = w.clients[1].address;
    w.net.cut(address.ip());
    w.run(10 * SECOND);
    let told = |w: &World, wanted: bool| {
        w.clients[0].notices.iter().any(|(_, n)| {
            matches!(n, ChannelNotice::Connectivity { endpoint, active } if endpoint.as_str() == "p1" && *active == wanted)
        })
    };
    assert!(told(&w, false));
    w.net.join(address.ip());
    w.run(3 * SECOND);
    assert!(told(&w, true));
    w.shard
        .expire_endpoint(w.now, CONFERENCE, &endpoint_id("p1"))
        .unwrap();
    w.run(SECOND);
    let stats = w.shard.conference_stats(CONFERENCE).unwrap();
    assert_eq!(
        (stats.endpoints, stats.sending_video, stats.sending_audio),
        (2, 2, 2)
    );
    assert!(
        w.shard.stats().dropped(DropReason::UnknownAddress) > 0,
        "its packets find nobody"
    );
    no_problems(&w);
    // The others go on.
    let stream = w.clients[0].receiver.of("p2-v0").unwrap();
    assert!(w.now - stream.last_frame.unwrap() < Duration::from_millis(200));
}

/// Numbers of packets of the one video stream a client got, by whether they came again.
fn video_numbers(w: &World, client: usize) -> (Vec<u16>, usize) {
    let packets = w.clients[client].video.as_ref().unwrap().iter();
    let views: Vec<_> = packets.map(|p| rtp::RtpView::parse(p).unwrap()).collect();
    let again = views.iter().filter(|v| v.payload_type == RTX).count();
    let first = views.iter().filter(|v| v.payload_type != RTX);
    (first.map(|v| v.sequence_number).collect(), again)
}

#[test]
fn asking_for_packets_again_and_again_multiplies_nothing() {
    let mut w = World::new(good(), 11);
    w.join("a", Some(Camera::new(1, 1, false, 4)), None, true);
    let greedy = w.join("b", None, None, true);
    w.clients[greedy].video = Some(Vec::new());
    w.connect_all();
    w.want(greedy, 180);
    w.run(2 * SECOND);
    let packets = w.clients[greedy].video.as_ref().unwrap();
    let ssrc = rtp::RtpView::parse(&packets[0]).unwrap().ssrc;
    let ask = |w: &mut World, numbers: &[u16]| {
        let mut out = vec![0; 1200];
        let mut writer = rtp::rtcp::Writer::new(&mut out);
        writer.nack(9.into(), ssrc, numbers).unwrap();
        let len = writer.len();
        out.truncate(len);
        w.clients[greedy].outbox.1.push(out);
    };
    // One packet, a thousand times within a second.
    let (numbers, before) = video_numbers(&w, greedy);
    for _ in 0..1000 {
        ask(&mut w, &numbers[numbers.len() - 1..]);
        w.run(Duration::from_millis(1));
    }
    w.run(SECOND);
    let (_, after) = video_numbers(&w, greedy);
    assert!(
        (1..=3).contains(&(after - before)),
        "{} times",
        after - before
    );
    // Everything, all the time.
    let sent_before = w.clients[greedy].video.as_ref().unwrap().len();
    let before = after;
    for _ in 0..1000 {
        let (numbers, _) = video_numbers(&w, greedy);
        ask(&mut w, &numbers[numbers.len().saturating_sub(600)..]);
        w.run(Duration::from_millis(10));
    }
    let (_, after) = video_numbers(&w, greedy);
    let all = w.clients[greedy].video.as_ref().unwrap().len() - sent_before;
    let fresh = all - (after - before);
    // A third of what is sent, 128 KiB, and 20 kB a second; packets have 700 bytes.
    let allowed = fresh / 3 + (128 * 1024 + 10 * 20_000) / 700 + 10;
    assert!(after - before <= allowed, "{} for {fresh}", after - before);
    assert!(w.shard.stats().retransmit_refused > 0);
}

/// The first client has `count` microphones.
fn set_microphones(w: &mut World, count: u32) {
    let source = |n: u32| {
        let name = source_name(&format!("a-a{n}"));
        Source::from_groups(name, MediaKind::Audio, VideoType::Camera, &[5000 + n], &[]).unwrap()
    };
    let update = EndpointUpdate {
        sources: Some((0..count).map(source).collect()),
        ..EndpointUpdate::default()
    };
    w.shard
        .update_endpoint(w.now, CONFERENCE, &endpoint_id("a"), update)
        .unwrap();
}

/// A speaker with `count` microphones and a listener with slots for fifty.
fn choir(count: u32, rewriting: bool) -> World {
    let mut w = World::new(good(), 12);
    w.join("a", None, None, rewriting);
    w.join("b", None, None, rewriting);
    set_microphones(&mut w, count);
    w.connect_all();
    w.want(1, 0);
    w
}

/// Twenty milliseconds at a time; `level` of each microphone in -dBov.
fn sing(w: &mut World, from: u16, steps: u16, count: u32, level: impl Fn(u32, u16) -> u8) {
    for step in from..from + steps {
        for n in 0..count {
            let packet = audio_packet(5000 + n, step, u32::from(step) * 960, level(n, step));
            w.clients[0].outbox.0.push(packet);
        }
        w.run(Duration::from_millis(20));
    }
}

/// Messages about audio slots to the listener.
fn audio_maps(w: &World) -> Vec<&Vec<SourceMapEntry>> {
    let notices = w.clients[1].notices.iter();
    let maps = notices.filter_map(|(_, n)| match n {
        ChannelNotice::AudioSourcesMap(entries) => Some(entries),
        _ => None,
    });
    maps.collect()
}

#[test]
fn the_loudest_have_the_audio_slots() {
    const COUNT: u32 = 56;
    let mut w = choir(COUNT, true);
    // All about equally loud: who has a slot keeps it.
    let murmur = |n: u32, step: u16| 60 + (n * 7 + u32::from(step) * 5) as u8 % 6;
    sing(&mut w, 0, 100, COUNT, murmur);
    assert_eq!(w.clients[1].heard.len(), 50);
    let maps = audio_maps(&w);
    assert!(maps.len() <= 55, "{} messages", maps.len());
    let told = maps.len();
    let slots: std::collections::HashMap<_, _> = maps
        .iter()
        .flat_map(|m| m.iter())
        .map(|e| (e.source.clone(), e.ssrc))
        .collect();
    let without = (0..COUNT).find(|n| !slots.contains_key(&source_name(&format!("a-a{n}"))));
    let soloist = without.unwrap();
    // One of those without a slot raises the voice, and is heard within a second.
    let solo = |n: u32, step: u16| if n == soloist { 20 } else { murmur(n, step) };
    sing(&mut w, 100, 50, COUNT, solo);
    let name = source_name(&format!("a-a{soloist}"));
    let maps = audio_maps(&w);
    let entry = maps
        .iter()
        .flat_map(|m| m.iter())
        .find(|e| e.source == name)
        .unwrap();
    let ssrc = entry.ssrc;
    assert!(
        maps.len() - told <= 2,
        "one slot changes hands, not {}",
        maps.len() - told
    );
    let before = w.clients[1].heard[&ssrc].0;
    sing(&mut w, 150, 50, COUNT, solo);
    assert!(w.clients[1].heard[&ssrc].0 >= before + 48);
    assert_eq!(w.clients[1].audio_gaps, 0);
    assert!(w.shard.stats().audio_not_loudest > 0);
    // Everybody shouts in turn, as fast as can be: messages stay few.
    let told = audio_maps(&w).len();
    sing(&mut w, 200, 200, COUNT, |n, step| {
        if u32::from(step / 5) % COUNT == n {
            5
        } else {
            80
        }
    });
    let messages = audio_maps(&w).len() - told;
    assert!(messages <= 4 * 5 + 1, "{messages} messages in four seconds");
}

#[test]
fn who_speaks_after_all_slots_were_given_to_others_who_are_silent_now_is_heard() {
    const COUNT: u32 = 56;
    let mut w = choir(COUNT, true);
    sing(&mut w, 0, 50, 50, |_, _| 60);
    assert_eq!(w.clients[1].heard.len(), 50);
    // They have stopped; one who has not said anything yet begins.
    w.run(2 * SECOND);
    for step in 0..50 {
        let packet = audio_packet(5055, step, u32::from(step) * 960, 40);
        w.clients[0].outbox.0.push(packet);
        w.run(Duration::from_millis(20));
    }
    let maps = audio_maps(&w);
    let mut entries = maps.iter().flat_map(|map| map.iter());
    let name = source_name("a-a55");
    let entry = entries.find(|e| e.source == name).unwrap();
    let before = w.clients[1].heard[&entry.ssrc].0;
    assert!(before > 30, "{before} packets");
}

#[test]
fn who_wants_to_know_ahead_is_told_of_sources_before_they_send() {
    let ahead = |count: u32| {
        let mut w = World::new(good(), 13);
        w.join("a", None, None, true);
        w.sound_ahead = true;
        w.join("b", None, None, true);
        w.sound_ahead = false;
        w.join("c", None, None, true);
        set_microphones(&mut w, count);
        w.connect_all();
        w.run(SECOND);
        w
    };
    let mut w = ahead(3);
    let told: std::collections::BTreeSet<String> = audio_maps(&w)
        .iter()
        .flat_map(|map| map.iter())
        .map(|entry| entry.source.as_str().to_owned())
        .collect();
    let all = ["a-a0", "a-a1", "a-a2", "c-a0"].map(str::to_owned);
    assert_eq!(told, all.into_iter().collect());
    let is_map = |notice: &ChannelNotice| matches!(notice, ChannelNotice::AudioSourcesMap(_));
    let others = [0, 2].map(|n| {
        w.clients[n]
            .notices
            .iter()
            .filter(|(_, n)| is_map(n))
            .count()
    });
    assert_eq!(others, [0, 0], "others are not");
    // What comes then comes under the number that was told, without a further word.
    let maps = audio_maps(&w).len();
    sing(&mut w, 0, 20, 3, |_, _| 60);
    assert_eq!(w.clients[1].heard.len(), 3);
    assert_eq!(audio_maps(&w).len(), maps);
    // There are more than slots: the loudest have them, as always.
    let w = ahead(56);
    assert!(audio_maps(&w).is_empty());
}

#[test]
fn without_rewriting_all_are_heard() {
    let mut w = choir(56, false);
    sing(&mut w, 0, 50, 56, |_, _| 60);
    assert_eq!(w.clients[1].heard.len(), 56);
    assert!(audio_maps(&w).is_empty() && w.clients[1].audio_gaps == 0);
}

#[test]
fn who_was_reported_silent_and_comes_again_is_reported_back() {
    let mut w = meeting(good(), 12, 3, false, 180);
    w.run(2 * SECOND);
    let address = w.clients[1].address;
    w.net.cut(address.ip());
    w.run(10 * SECOND);
    let told = |w: &World| {
        w.clients[0]
            .notices
            .iter()
            .rev()
            .find_map(|(_, n)| match n {
                ChannelNotice::Connectivity { endpoint, active } if endpoint.as_str() == "p1" => {
                    Some(*active)
                }
                _ => None,
            })
    };
    assert_eq!(told(&w), Some(false));
    // The focus gives the person another session, under the same name.
    w.shard
        .expire_endpoint(w.now, CONFERENCE, &endpoint_id("p1"))
        .unwrap();
    w.run(SECOND);
    assert_eq!(told(&w), Some(false), "nobody has come back yet");
    w.join("p1", Some(Camera::new(9, 3, false, 4)), Some(60), true);
    w.connect_all();
    w.run(SECOND);
    assert_eq!(told(&w), Some(true));
}
