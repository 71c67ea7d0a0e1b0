//! What operators and their programs ask of a bridge over HTTP, in the forms that programs made for Jitsi's bridge know.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it fails"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use common::{Meet, create, start};
use serde_json::Value;
use tower::ServiceExt as _;

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, String, String) {
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (status, kind.unwrap_or_default(), text)
}

async fn get(router: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (status, _, text) = ask(router, request).await;
    (status, text)
}

async fn json(router: &Router, path: &str) -> Value {
    let (status, text) = get(router, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// As `curl -d` posts, which says that it is a form.
async fn post(router: &Router, path: &str, body: &'static str) -> StatusCode {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap();
    ask(router, request).await.0
}

/// Lines of two words.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (name, kind) = line.split_once(' ').unwrap();
        (name.to_owned(), kind.to_owned())
    };
    text.lines().map(line).collect()
}

/// Until the media thread has told of what the last request changed.
async fn until(router: &Router, key: &str, value: u64) -> Value {
    for _ in 0..200 {
        let stats = json(router, "/colibri/stats").await;
        if stats[key].as_u64() == Some(value) {
            return stats;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{key} is never {value}")
}

async fn attached() -> (bridge::Bridge, Meet, Router) {
    let (bridge, meet, _) = start(|c| c.region = Some("region1".into())).await;
    bridge.attached().await;
    let router = bridge.private_router();
    (bridge, meet, router)
}

#[tokio::test]
async fn statistics_have_the_keys_and_kinds_of_the_recordings_and_no_others() {
    let recorded = pairs(include_str!("fixtures/jvb-statistics.txt"));
    assert_eq!(
        recorded.len(),
        82,
        "81, and relay_id of bridges with relays"
    );
    let (_bridge, mut meet, router) = attached().await;
    let kind = |value: &Value| match value {
        Value::Bool(_) => "flag",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        other => panic!("{other}"),
    };
    let stats = json(&router, "/colibri/stats").await;
    let ours: BTreeMap<String, String> = stats
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), kind(value).to_owned()))
        .collect();
    assert_eq!(ours, recorded);
    // What is so, and not merely what may stand there.
    for (name, value) in [
        ("region", Value::from("region1")),
        ("relay_id", Value::from("b1")),
        ("muc_clients_configured", Value::from(1)),
        ("muc_clients_connected", Value::from(1)),
        ("mucs_joined", Value::from(1)),
        ("healthy", Value::from(true)),
    ] {
        assert_eq!(stats[name], value, "{name}");
    }
    meet.ask(&create("m1", "e1", true)).await;
    meet.ask(&create("m1", "e2", false)).await;
    let stats = until(&router, "local_endpoints", 2).await;
    for (name, value) in [
        ("conferences", 1),
        ("endpoints", 2),
        ("participants", 2),
        ("octo_endpoints", 0),
        ("inactive_conferences", 1),
        ("p2p_conferences", 1),
        ("inactive_endpoints", 2),
        ("local_active_endpoints", 0),
        ("largest_conference", 2),
        ("total_participants", 2),
        ("total_conferences_created", 1),
    ] {
        assert_eq!(stats[name], Value::from(value), "{name}");
    }
    assert!(stats["threads"].as_u64().unwrap() > 1);
}

#[tokio::test]
async fn metrics_have_the_names_and_types_of_the_recordings() {
    let (_bridge, _meet, router) = attached().await;
    let (_, page) = get(&router, "/metrics").await;
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let ours: Vec<(String, String)> = types
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let mut seen = BTreeSet::new();
    for (name, _) in &ours {
        assert!(seen.insert(name.clone()), "{name} is there twice");
    }
    let ours: BTreeMap<String, String> = ours.into_iter().collect();
    let mut recorded = pairs(include_str!("fixtures/jvb-metrics.txt"));
    // How loud what was not sent on would have been is not kept.
    recorded.remove("jitsi_jvb_tossed_packets_energy");
    let foreign = ours
        .iter()
        .filter(|(name, _)| name.starts_with("jitsi_jvb_"));
    let foreign: BTreeMap<String, String> = foreign
        .map(|(name, kind)| (name.clone(), kind.clone()))
        .collect();
    let missing: Vec<_> = recorded
        .iter()
        .filter(|(name, kind)| foreign.get(*name) != Some(kind))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(
        page.contains("\njitsi_jvb_region_info{region=\"region1\"} 1"),
        "{page}"
    );
    assert!(page.contains("\njitsi_jvb_muc_clients_connected 1.0\n"));
    // Ours: counters are counters.
    assert_eq!(ours["pontoon_bridge_packets_dropped"], "counter");
    assert!(page.contains("pontoon_bridge_packets_dropped_total{reason=\"queue_full\"} 0"));
}

#[tokio::test]
async fn metrics_come_in_the_form_that_is_asked_for() {
    let (_bridge, _meet, router) = attached().await;
    let accept = |accept: &'static str| {
        let request = Request::get("/metrics").header(header::ACCEPT, accept);
        ask(&router, request.body(Body::empty()).unwrap())
    };
    let (_, kind, page) = accept("*/*").await;
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(page.ends_with("# EOF\n"));
    let (_, kind, page) = accept("text/plain").await;
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(page.contains("# TYPE jitsi_jvb_conferences_created_total counter\n"));
    let (_, kind, page) = accept("application/json").await;
    assert_eq!(kind, "application/json");
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["conferences_created"], 0);
    assert_eq!(accept("image/png").await.0, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn a_bridge_that_is_attached_nowhere_is_not_healthy() {
    let (connector, _listener) = link::memory();
    let bridge = bridge::Bridge::start(common::config(connector)).unwrap();
    let (status, text) = get(&bridge.private_router(), "/about/health").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.starts_with("it is attached to no meet node"), "{text}");
    let told = json(&bridge.private_router(), "/status").await;
    assert_eq!(told["healthy"], false);
    let (_attached, _meet, router) = attached().await;
    assert_eq!(
        get(&router, "/about/health").await,
        (StatusCode::OK, String::new())
    );
    let version = json(&router, "/about/version").await;
    assert!(version["version"].is_string() && version["os"].is_string());
}

#[tokio::test]
async fn drain_and_shutdown_take_the_forms_of_scripts() {
    let (bridge, mut meet, router) = attached().await;
    let drain = async || json(&router, "/colibri/drain").await["drain"].clone();
    assert_eq!(drain().await, false);
    assert_eq!(
        post(&router, "/colibri/drain/enable", "").await,
        StatusCode::OK
    );
    assert_eq!(drain().await, true);
    assert_eq!(
        post(&router, "/colibri/drain/disable", "").await,
        StatusCode::OK
    );
    assert_eq!(drain().await, false);
    meet.ask(&create("m1", "e1", true)).await;
    until(&router, "local_endpoints", 1).await;
    for malformed in ["", "graceful", "{}"] {
        let answer = post(&router, "/colibri/shutdown", malformed).await;
        assert_eq!(answer, StatusCode::BAD_REQUEST, "{malformed}");
    }
    // graceful_shutdown.sh puts the word in quotes, then waits for this difference to become 0.
    let answer = post(
        &router,
        "/colibri/shutdown",
        r#"{ "graceful-shutdown": "true" }"#,
    )
    .await;
    assert_eq!(answer, StatusCode::OK);
    let stats = json(&router, "/colibri/stats").await;
    assert_eq!(stats["graceful_shutdown"], true);
    let left = |stats: &Value| {
        stats["participants"].as_u64().unwrap() - stats["octo_endpoints"].as_u64().unwrap()
    };
    assert_eq!(left(&stats), 1);
    meet.ask(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='m1'><endpoint id='e1' expire='true'/></conference-modify>",
    )
    .await;
    bridge.shutdown_requested().await;
    assert!(!bridge.wants_restart());
}

/// What jitsi-autoscaler's sidecar sends: JSON is asked for, with a token of its own that is nobody's here, every 30 s; and its
/// autoscaler reckons with these values. On its order the script of Jitsi's package asks for the end, then, every ten seconds,
/// how many people are on this bridge itself.
#[tokio::test]
async fn a_sidecar_reads_the_load_and_waits_until_the_bridge_is_empty() {
    let (bridge, mut meet, router) = attached().await;
    let poll = async || {
        let request = Request::get("/colibri/stats")
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "gzip, deflate, br")
            .header(
                header::AUTHORIZATION,
                "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
            );
        let (status, kind, text) = ask(&router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (status, kind.as_str()),
            (StatusCode::OK, "application/json")
        );
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let busy = |stats: &Value| {
        let elsewhere = stats["octo_endpoints"].as_i64().unwrap();
        stats["participants"].as_i64().unwrap() - elsewhere
    };
    meet.ask(&create("m1", "e1", true)).await;
    until(&router, "local_endpoints", 1).await;
    let stats = poll().await;
    assert!(stats["stress_level"].as_f64().is_some(), "{stats}");
    for (key, value) in [
        ("muc_clients_configured", 1),
        ("muc_clients_connected", 1),
        ("conferences", 1),
        ("participants", 1),
        ("largest_conference", 1),
    ] {
        assert_eq!(stats[key].as_i64(), Some(value), "{key}");
    }
    assert_eq!(stats["graceful_shutdown"], false);
    let order = r#"{ "graceful-shutdown": "true" }"#;
    assert_eq!(
        post(&router, "/colibri/shutdown", order).await,
        StatusCode::OK
    );
    let stats = poll().await;
    assert_eq!(stats["graceful_shutdown"], true);
    assert_eq!(busy(&stats), 1);
    meet.ask(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='m1'><endpoint id='e1' expire='true'/></conference-modify>",
    )
    .await;
    bridge.shutdown_requested().await;
    until(&router, "local_endpoints", 0).await;
    assert_eq!(busy(&poll().await), 0);
}

#[tokio::test]
async fn a_restart_waits_until_the_bridge_is_empty() {
    let (bridge, mut meet, router) = attached().await;
    meet.ask(&create("m1", "e1", true)).await;
    until(&router, "local_endpoints", 1).await;
    let answer = post(&router, "/restart", r#"{"when_empty": true}"#).await;
    assert_eq!(answer, StatusCode::OK);
    assert_eq!(json(&router, "/colibri/stats").await["drain"], true);
    let soon = std::time::Duration::from_millis(300);
    let early = tokio::time::timeout(soon, bridge.shutdown_requested()).await;
    assert!(early.is_err(), "somebody is here");
    meet.ask(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='m1'><endpoint id='e1' expire='true'/></conference-modify>",
    )
    .await;
    bridge.shutdown_requested().await;
    assert!(bridge.wants_restart());
}
