//! The hub and the shard threads, without signalling.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use sfu::control::Answer;
use stanza::Element;
use stanza::colibri2::{ConferenceModify, Reason};
use telemetry::Metrics;

use crate::hub::{Command, Hub, lock};
use crate::{Bridge, BridgeConfig};

fn bridge(shards: usize) -> Bridge {
    let mut config = BridgeConfig::new("b1", Metrics::new());
    config.listen = vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0))];
    config.shards = shards;
    Bridge::start(config).unwrap()
}

fn ask(hub: &Arc<Hub>, meeting: &str, attributes: &str, content: &str) -> Answer {
    let xml = format!(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='{meeting}' {attributes}>{content}</conference-modify>"
    );
    let element: Element = xml.parse().unwrap();
    let (sender, receiver) = channel();
    hub.modify(
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
    let hub = bridge.hub.clone();
    let shards: Vec<u64> = ["m0", "m1"]
        .iter()
        .map(|m| {
            let answer = ask(&hub, m, "create='true'", &endpoint("e"));
            answer.conference.unwrap().0 & 0xff
        })
        .collect();
    assert_ne!(shards[0], shards[1], "meetings are spread");
    let broken = shards[0] as usize;
    assert!(hub.shards[broken].send(Command::Panic).is_ok());
    // Its conferences are unknown now, the other shard's are not.
    let answer = ask(&hub, "m0", "", "");
    assert_eq!(
        answer.result.unwrap_err().reason,
        Some(Reason::ConferenceNotFound)
    );
    assert!(ask(&hub, "m1", "", &endpoint("f")).result.is_ok());
    // The shard serves again.
    assert!(
        ask(&hub, "m2", "create='true'", &endpoint("e"))
            .result
            .is_ok()
    );
    assert!(
        ask(&hub, "m0", "create='true'", &endpoint("e"))
            .result
            .is_ok()
    );
    let stopped = tokio::time::timeout(Duration::from_secs(5), bridge.shutdown()).await;
    assert!(stopped.is_ok());
    assert_eq!(lock(&hub.shards[broken].snapshot).panics, 1);
}

#[tokio::test]
async fn graceful_shutdown_ends_with_the_last_endpoint() {
    let bridge = bridge(1);
    let hub = bridge.hub.clone();
    ask(&hub, "m0", "create='true'", &endpoint("e"));
    hub.set_flag(&hub.graceful, true);
    let refused = ask(&hub, "m1", "create='true'", &endpoint("e"));
    assert_eq!(
        refused.result.unwrap_err().reason,
        Some(Reason::GracefulShutdown)
    );
    let waiting = bridge.shutdown_requested();
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(early.is_err(), "there is still an endpoint");
    assert!(ask(&hub, "m0", "expire='true'", "").result.is_ok());
    tokio::time::timeout(Duration::from_secs(5), waiting)
        .await
        .unwrap();
}

#[test]
fn a_meeting_stays_where_it_is_while_requests_are_under_way() {
    let hub = Hub::new("b".into(), None, "v".into(), Vec::new(), start_time());
    hub.place_for_test("m", 0);
    hub.place_for_test("m", 0);
    hub.answered("m", 0, false);
    assert_eq!(hub.known("m"), Some(0), "one request is still under way");
    hub.ended("m", 0);
    assert_eq!(hub.known("m"), Some(0));
    hub.answered("m", 0, true);
    hub.ended("m", 1);
    assert_eq!(
        hub.known("m"),
        Some(0),
        "another shard's word does not count"
    );
    hub.ended("m", 0);
    assert_eq!(hub.known("m"), None);
}

#[allow(clippy::disallowed_methods, reason = "tests read the clock")]
fn start_time() -> std::time::Instant {
    std::time::Instant::now()
}
