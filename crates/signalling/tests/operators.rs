//! What operators and their programs ask of the focus over HTTP, in the forms that programs made for Jitsi's focus know.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use common::{DOMAIN, TestNode, must};
use link::{LinkEvent, LinkSender};
use serde_json::Value;
use stanza::{Element, iq};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tower::ServiceExt as _;

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, String) {
    let answer = router.clone().oneshot(request).await.expect("an answer");
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX)
        .await
        .expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

async fn get(router: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    ask(router, request).await
}

async fn json(router: &Router, path: &str) -> Value {
    let (status, text) = get(router, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// A bridge in its room, as far as the focus sees, that answers whatever it is asked; and what it is asked.
async fn bridge(node: &TestNode, name: &str) -> (LinkSender, UnboundedReceiver<Element>) {
    let (sender, mut events) = link::spawn(node.link(name, node.pinned()));
    loop {
        if let Some(LinkEvent::Online { .. }) = must(events.recv()).await {
            break;
        }
    }
    let (note, noted) = unbounded_channel();
    let answers = sender.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let LinkEvent::Stanza(stanza) = event {
                if iq::is_request(&stanza) {
                    answers.send(iq::result_to(&stanza, None)).expect("sent");
                }
                // The test may have ended.
                let _ = note.send(stanza);
            }
        }
    });
    let presence = format!(
        "<presence xmlns='jabber:client' to='jvbbrewery@internal.auth.{DOMAIN}/{name}'>\
         <x xmlns='http://jabber.org/protocol/muc'/>\
         <stats xmlns='http://jitsi.org/protocol/colibri'><stat name='stress_level' value='0.25'/>\
         <stat name='drain' value='false'/><stat name='healthy' value='true'/>\
         <stat name='version' value='2.3'/><stat name='region' value='eu'/></stats></presence>"
    );
    let presence: Element = presence.parse().expect("a presence");
    sender.send(presence).expect("sent");
    (sender, noted)
}

/// Every path to something that is no object.
fn paths(value: &Value, at: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(parts) if !parts.is_empty() => {
            for (name, part) in parts {
                paths(part, &format!("{at}/{name}"), all);
            }
        }
        _ => {
            all.insert(at.to_owned());
        }
    }
}

/// Until the focus knows of so many bridges.
async fn until_bridges(router: &Router, count: u64) -> Value {
    loop {
        let stats = json(router, "/stats").await;
        if stats["bridge_selector"]["bridge_count"].as_u64() == Some(count) {
            return stats;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_node_without_a_bridge_says_that_it_can_hold_no_meeting() {
    let node = TestNode::start().await;
    let router = node.node.operator_router();
    let health = node.node.health();
    let (status, text) = get(&router, "/about/health").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!text.is_empty());
    assert!(health().is_err());
    let (_bridge, _events) = bridge(&node, "jvb1").await;
    must(until_bridges(&router, 1)).await;
    // What others than the focus are told is a second old at most.
    must(async {
        while health().is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (status, text) = get(&router, "/about/health").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "OK"));
    let status = json(&router, "/status").await;
    assert_eq!(status["healthy"], true);
    assert_eq!(status["bridges"][0]["name"], "jvb1");
}

#[tokio::test]
async fn statistics_and_version_are_json_with_the_keys_of_the_recordings() {
    let node = TestNode::start().await;
    let router = node.node.operator_router();
    let version = json(&router, "/about/version").await;
    assert!(version["name"].is_string() && version["version"].is_string());
    let (_bridge, _events) = bridge(&node, "jvb1").await;
    let stats = must(until_bridges(&router, 1)).await;
    let mut ours = BTreeSet::new();
    paths(&stats, "", &mut ours);
    let recorded = include_str!("fixtures/jicofo-stats.txt").lines();
    let missing: Vec<&str> = recorded.filter(|path| !ours.contains(*path)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let selector = &stats["bridge_selector"];
    assert_eq!(selector["operational_bridge_count"], 1);
    assert_eq!(selector["bridge_version_count"], 1);
    assert_eq!(stats["conference_sizes"]["average"], "NaN");
    let debug = json(&router, "/debug").await;
    let known = &debug["bridge_selector"]["bridge"]["jvb1"];
    assert_eq!(known["stress"], 0.25);
    assert_eq!(known["operational"], true);
    assert_eq!(known["region"], "eu");
    assert_eq!(
        json(&router, "/debug/conferences").await,
        Value::Array(Vec::new())
    );
    assert_eq!(json(&router, "/rtcstats").await, serde_json::json!({}));
}

#[tokio::test]
async fn metrics_have_the_names_and_types_of_the_recordings() {
    let node = TestNode::start().await;
    let router = node.node.operator_router();
    let (_bridge, _events) = bridge(&node, "jvb1").await;
    must(until_bridges(&router, 1)).await;
    let page = must(async {
        loop {
            let (_, page) = get(&router, "/metrics").await;
            if page.contains("jitsi_jicofo_bridge_endpoints{jvb=\"jvb1\"} 0") {
                return page;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types: BTreeMap<&str, &str> = types.filter_map(|line| line.split_once(' ')).collect();
    let recorded = include_str!("fixtures/jicofo-metrics.txt").lines();
    let missing: Vec<&str> = recorded
        .filter(|line| {
            let (name, kind) = line.split_once(' ').expect("two words");
            types.get(name) != Some(&kind)
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    for line in [
        "jitsi_jicofo_bridge_selector_bridge_count_operational 1.0",
        "jitsi_jicofo_healthy 1.0",
        "pontoon_focus_bridge_stress{bridge=\"jvb1\"} 0.25",
        "pontoon_focus_bridges{state=\"ready\"} 1",
        // To 0.8 by 0.01 each.
        "pontoon_focus_room_for_people 55.0",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line}: {page}");
    }
    let plain = Request::get("/metrics").header(header::ACCEPT, "text/plain");
    let (_, page) = ask(&router, plain.body(Body::empty()).expect("a request")).await;
    assert!(page.contains("# TYPE jitsi_jicofo_conferences_created_total counter\n"));
}

#[tokio::test]
async fn endpoints_are_moved_by_the_requests_of_jicofo() {
    let node = TestNode::start().await;
    let router = node.node.operator_router();
    let (_bridge, _events) = bridge(&node, "jvb1").await;
    must(until_bridges(&router, 1)).await;
    let brewery = format!("jvbbrewery@internal.auth.{DOMAIN}");
    let nobody = serde_json::json!({"movedEndpoints": 0, "conferences": 0});
    for moved in [
        "move-endpoints?bridge=jvb1".to_owned(),
        format!("move-endpoints?bridge={brewery}/jvb1&numEndpoints=7"),
        format!("move-fraction?bridge={brewery}/jvb1&fraction=0.5"),
        "move-fraction?bridge=jvb1".to_owned(),
    ] {
        assert_eq!(
            json(&router, &format!("/move-endpoints/{moved}")).await,
            nobody
        );
    }
    let room = format!("no@conference.{DOMAIN}");
    for (refused, status, why) in [
        (
            "move-endpoints".to_owned(),
            400,
            "Missing parameter: bridge",
        ),
        (
            "move-fraction?fraction=1".to_owned(),
            400,
            "Missing parameter: bridge",
        ),
        (
            "move-endpoint?endpoint=a".to_owned(),
            400,
            "Missing parameter: conference",
        ),
        (
            format!("move-endpoint?conference={room}"),
            400,
            "Missing parameter: endpoint",
        ),
        (
            "move-endpoints?bridge=jvb1&numEndpoints=many".to_owned(),
            400,
            "",
        ),
        ("move-endpoints?bridge=jvb9".to_owned(), 404, "jvb9"),
        (
            format!("move-endpoint?conference={room}&endpoint=a"),
            404,
            room.as_str(),
        ),
        (
            format!("move-endpoints?bridge=jvb1&conference={room}"),
            404,
            room.as_str(),
        ),
    ] {
        let (code, text) = get(&router, &format!("/move-endpoints/{refused}")).await;
        assert_eq!(code.as_u16(), status, "{refused}: {text}");
        assert!(text.contains(why), "{refused}: {text}");
    }
}

#[tokio::test]
async fn a_bridge_is_told_to_drain_and_to_be_started_again() {
    let node = TestNode::start().await;
    let router = node.node.operator_router();
    let (sender, mut events) = bridge(&node, "jvb1").await;
    must(until_bridges(&router, 1)).await;
    // It shows that it understands orders of ours.
    let presence = format!(
        "<presence xmlns='jabber:client' to='jvbbrewery@internal.auth.{DOMAIN}/jvb1'>\
         <stats xmlns='http://jitsi.org/protocol/colibri'><stat name='stress_level' value='0.25'/>\
         <stat name='pontoon_media' value='192.0.2.1:10000'/></stats></presence>"
    );
    sender
        .send(presence.parse().expect("a presence"))
        .expect("sent");
    must(async {
        while json(&router, "/status").await["bridges"][0]["addresses"][0] != "192.0.2.1:10000" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let order = |body: &'static str| {
        let request = Request::post("/drain").body(Body::from(body));
        ask(&router, request.expect("a request"))
    };
    assert_eq!(order("{").await.0, StatusCode::BAD_REQUEST);
    let unknown = order(r#"{"bridge": "jvb9"}"#).await;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);
    let (status, text) = order(r#"{"bridge": "jvb1", "restart": true}"#).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let drain = must(async {
        loop {
            let stanza = events.recv().await.expect("a stanza");
            if let Some(drain) = stanza.children().find(|child| child.name() == "drain") {
                return drain.clone();
            }
        }
    })
    .await;
    for (name, value) in [("on", "true"), ("end", "true"), ("restart", "true")] {
        assert_eq!(drain.attr(name), Some(value), "{name}");
    }
}
