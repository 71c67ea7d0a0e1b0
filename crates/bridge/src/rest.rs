//! The bridge's private HTTP interface: health, statistics, metrics, drain and shutdown. Not for the public.
#![allow(clippy::disallowed_methods, reason = "statistics carry the wall clock")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use telemetry::Metrics;

use crate::hub::Hub;
use crate::{presence, requests};

#[derive(Clone)]
struct Rest {
    hub: Arc<Hub>,
    metrics: Metrics,
}

pub(crate) fn router(hub: Arc<Hub>, metrics: Metrics) -> Router {
    Router::new()
        .route("/about/health", get(health))
        .route("/about/version", get(version))
        .route("/colibri/stats", get(stats))
        .route("/colibri/drain", get(drain))
        .route("/colibri/drain/enable", post(|s| set_drain(s, true)))
        .route("/colibri/drain/disable", post(|s| set_drain(s, false)))
        .route("/colibri/shutdown", post(shutdown))
        .route("/debug", get(debug))
        .route("/metrics", get(metrics_page))
        .with_state(Rest { hub, metrics })
}

async fn health(State(rest): State<Rest>) -> Response {
    match requests::health(&rest.hub) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(text) => (StatusCode::INTERNAL_SERVER_ERROR, text).into_response(),
    }
}

async fn version(State(rest): State<Rest>) -> Json<Value> {
    Json(json!({"name": "Pontoon", "version": rest.hub.version, "os": "Linux"}))
}

async fn stats(State(rest): State<Rest>) -> Json<Value> {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Json(Value::Object(presence::statistics(&rest.hub, wall)))
}

async fn drain(State(rest): State<Rest>) -> Json<Value> {
    Json(json!({"drain": rest.hub.drain.load(Ordering::SeqCst)}))
}

async fn set_drain(State(rest): State<Rest>, value: bool) -> StatusCode {
    tracing::info!(drain = value, "drain mode set over HTTP");
    rest.hub.set_flag(&rest.hub.drain, value);
    StatusCode::OK
}

#[derive(Deserialize)]
struct Shutdown {
    #[serde(rename = "graceful-shutdown")]
    graceful: bool,
}

async fn shutdown(State(rest): State<Rest>, Json(request): Json<Shutdown>) -> StatusCode {
    let hub = &rest.hub;
    tracing::info!(graceful = request.graceful, "shutdown requested over HTTP");
    if request.graceful {
        hub.set_flag(&hub.graceful, true);
    } else {
        hub.set_flag(&hub.shutting_down, true);
    }
    StatusCode::OK
}

async fn debug(State(rest): State<Rest>) -> Json<Value> {
    let hub = &rest.hub;
    let conferences: serde_json::Map<String, Value> = hub
        .snapshots()
        .into_iter()
        .flat_map(|s| s.conferences)
        .map(|(meeting, id, c)| {
            let value =
                json!({"meeting_id": meeting, "endpoints": c.endpoints, "visitors": c.visitors});
            (id.to_string(), value)
        })
        .collect();
    let state = if hub.shutting_down.load(Ordering::SeqCst) {
        "SHUTTING_DOWN"
    } else if hub.graceful.load(Ordering::SeqCst) {
        "GRACEFUL_SHUTDOWN"
    } else {
        "RUNNING"
    };
    Json(json!({
        "shutdown_state": state,
        "drain": hub.drain.load(Ordering::SeqCst),
        "uptime_seconds": hub.started.elapsed().as_secs(),
        "stress": hub.stress(),
        "shards": hub.shards.len(),
        "conferences": conferences,
    }))
}

async fn metrics_page(State(rest): State<Rest>) -> Response {
    let headers = [(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)];
    (headers, rest.metrics.encode()).into_response()
}
