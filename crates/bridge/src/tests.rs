//! What is shared, and the worker threads, without signalling.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use sfu::control::Answer;
use stanza::Element;
use stanza::colibri2::{ConferenceModify, Reason};
use telemetry::Metrics;

use crate::shared::{Command, Shared, lock};
use crate::{Bridge, BridgeConfig};

fn bridge(workers: usize) -> Bridge {
    bridge_with(|c| c.shards = workers)
}

fn bridge_with(change: impl FnOnce(&mut BridgeConfig)) -> Bridge {
    let mut config = BridgeConfig::new("b1", Metrics::new());
    config.listen = vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0))];
    change(&mut config);
    Bridge::start(config).unwrap()
}

fn ask(shared: &Arc<Shared>, meeting: &str, attributes: &str, content: &str) -> Answer {
    let xml = format!(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='{meeting}' {attributes}>{content}</conference-modify>"
    );
    let element: Element = xml.parse().unwrap();
    let (sender, receiver) = channel();
    shared.modify(
        ConferenceModify::try_from(&element).unwrap(),
        Box::new(move |answer| sender.send(answer).unwrap()),
    );
    receiver.recv_timeout(Duration::from_secs(5)).unwrap()
}

fn endpoint(id: &str) -> String {
    format!(
        "<endpoint id='{id}' create='true'><transport/><sources/><capability name='source-names'/></endpoint>"
    )
}

#[tokio::test]
async fn a_defect_ends_the_conferences_of_one_shard_only() {
    let bridge = bridge(2);
    let shared = bridge.shared.clone();
    let workers: Vec<u64> = ["m0", "m1"]
        .iter()
        .map(|m| {
            let answer = ask(&shared, m, "create='true'", &endpoint("e"));
            answer.conference.unwrap().0 & 0xff
        })
        .collect();
    assert_ne!(workers[0], workers[1], "meetings are spread");
    let broken = workers[0] as usize;
    assert!(shared.workers[broken].send(Command::Panic).is_ok());
    // Its conferences are unknown now, the other worker's are not.
    let answer = ask(&shared, "m0", "", "");
    assert_eq!(
        answer.result.unwrap_err().reason,
        Some(Reason::ConferenceNotFound)
    );
    assert!(ask(&shared, "m1", "", &endpoint("f")).result.is_ok());
    // The worker serves again.
    assert!(
        ask(&shared, "m2", "create='true'", &endpoint("e"))
            .result
            .is_ok()
    );
    assert!(
        ask(&shared, "m0", "create='true'", &endpoint("e"))
            .result
            .is_ok()
    );
    let stopped = tokio::time::timeout(Duration::from_secs(5), bridge.shutdown()).await;
    assert!(stopped.is_ok());
    assert_eq!(lock(&shared.workers[broken].snapshot).panics, 1);
}

#[tokio::test]
async fn graceful_shutdown_ends_with_the_last_endpoint() {
    let bridge = bridge(1);
    let shared = bridge.shared.clone();
    ask(&shared, "m0", "create='true'", &endpoint("e"));
    shared.set_flag(&shared.graceful, true);
    let refused = ask(&shared, "m1", "create='true'", &endpoint("e"));
    assert_eq!(
        refused.result.unwrap_err().reason,
        Some(Reason::GracefulShutdown)
    );
    let waiting = bridge.shutdown_requested();
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(early.is_err(), "there is still an endpoint");
    assert!(ask(&shared, "m0", "expire='true'", "").result.is_ok());
    tokio::time::timeout(Duration::from_secs(5), waiting)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_large_meeting_is_at_several_workers_and_ends_at_all() {
    let bridge = bridge_with(|c| (c.shards, c.people_per_shard) = (3, 2));
    let shared = bridge.shared.clone();
    let mut workers = Vec::new();
    let mut sources = Vec::new();
    for n in 0..6 {
        let attributes = if n == 0 { "create='true'" } else { "" };
        let answer = ask(&shared, "m", attributes, &endpoint(&format!("e{n}")));
        workers.push(answer.conference.unwrap().0 & 0xff);
        sources.push(answer.result.unwrap().sources);
    }
    let mut all = workers.clone();
    all.dedup();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2], "{workers:?}");
    assert!(sources.iter().all(|s| *s == sources[0]), "one bridge");
    // A request about people at several workers is answered as one.
    let mute = |n: u32| format!("<endpoint id='e{n}'><force-mute audio='true'/></endpoint>");
    let answer = ask(&shared, "m", "", &[5, 0, 3].map(mute).concat());
    let ids: Vec<_> = answer.result.unwrap().endpoints;
    let ids: Vec<_> = ids.iter().map(|e| e.id.as_str()).collect();
    assert_eq!(ids, ["e5", "e0", "e3"]);
    assert_eq!(bridge.load(), (1, 6), "one meeting");
    // A defect at one worker takes its people only.
    assert!(
        shared.workers[workers[2] as usize]
            .send(Command::Panic)
            .is_ok()
    );
    let _ = ask(&shared, "m", "", &mute(2));
    assert!(ask(&shared, "m", "", &mute(0)).result.is_ok());
    assert!(ask(&shared, "m", "expire='true'", "").result.is_ok());
    let answer = ask(&shared, "m", "", &endpoint("late"));
    assert_eq!(
        answer.result.unwrap_err().reason,
        Some(Reason::ConferenceNotFound)
    );
    assert_eq!(bridge.load(), (0, 0));
}

#[tokio::test]
async fn the_state_of_a_conference_can_be_asked_for() {
    let bridge = bridge(2);
    let shared = bridge.shared.clone();
    let answer = ask(&shared, "m", "create='true'", &endpoint("e"));
    let conference = answer.conference.unwrap();
    let worker = shared.worker_of(conference).unwrap();
    let (reply, endpoints) = tokio::sync::oneshot::channel();
    assert!(worker.send(Command::Inspect { conference, reply }).is_ok());
    let endpoints = endpoints.await.unwrap();
    let [(id, visitor, stats)] = endpoints.as_slice() else {
        panic!("{endpoints:?}")
    };
    assert_eq!((id.as_str(), *visitor), ("e", false));
    let state = crate::insight::endpoint(*visitor, stats);
    assert_eq!(state["connected"], false);
    assert_eq!(state["line"]["limited"], false);
    assert_eq!(state["line"]["streams"], serde_json::json!([]));
    bridge.shutdown().await;
}
