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
    let mut config = BridgeConfig::new("b1", Metrics::new());
    config.listen = vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0))];
    config.shards = workers;
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

#[test]
fn a_meeting_stays_where_it_is_while_requests_are_under_way() {
    let shared = Shared::new("b".into(), None, "v".into(), Vec::new(), start_time());
    shared.place_for_test("m", 0);
    shared.place_for_test("m", 0);
    shared.answered("m", 0, false);
    assert_eq!(shared.known("m"), Some(0), "one request is still under way");
    shared.ended("m", 0);
    assert_eq!(shared.known("m"), Some(0));
    shared.answered("m", 0, true);
    shared.ended("m", 1);
    assert_eq!(
        shared.known("m"),
        Some(0),
        "another worker's word does not count"
    );
    shared.ended("m", 0);
    assert_eq!(shared.known("m"), None);
}

#[allow(clippy::disallowed_methods, reason = "tests read the clock")]
fn start_time() -> std::time::Instant {
    std::time::Instant::now()
}
