//! The bridge's private HTTP interface: health, statistics, metrics, drain and shutdown. Not for the public.
#![allow(clippy::disallowed_methods, reason = "statistics carry the wall clock")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use sfu::{ConferenceId, EndpointId, EndpointStats};
use telemetry::Metrics;
use tokio::sync::oneshot;

use crate::shared::{Command, Shared};
use crate::{health, insight, presence};

/// A media thread that does not tell of a conference in this time is not waited for.
const INSPECTION: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Rest {
    shared: Arc<Shared>,
    metrics: Metrics,
}

pub(crate) fn router(shared: Arc<Shared>, metrics: Metrics) -> Router {
    Router::new()
        .route("/about/health", get(health))
        .route("/about/version", get(version))
        .route("/colibri/stats", get(stats))
        .route("/status", get(status))
        .route("/drain", post(order_drain))
        .route("/colibri/drain", get(drain))
        .route("/colibri/drain/enable", post(|s| set_drain(s, true)))
        .route("/colibri/drain/disable", post(|s| set_drain(s, false)))
        .route("/colibri/shutdown", post(shutdown))
        .route("/debug", get(debug))
        .route("/debug/{conference}", get(debug_conference))
        .route("/debug/{conference}/{endpoint}", get(debug_endpoint))
        .route("/metrics", get(metrics_page))
        .with_state(Rest { shared, metrics })
}

async fn health(State(rest): State<Rest>) -> Response {
    match health::of(&rest.shared) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(text) => (StatusCode::INTERNAL_SERVER_ERROR, text).into_response(),
    }
}

async fn version(State(rest): State<Rest>) -> Json<Value> {
    Json(json!({"name": "Pontoon", "version": rest.shared.version, "os": "Linux"}))
}

async fn stats(State(rest): State<Rest>) -> Json<Value> {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Json(Value::Object(presence::statistics(&rest.shared, wall)))
}

async fn drain(State(rest): State<Rest>) -> Json<Value> {
    Json(json!({"drain": rest.shared.drain.load(Ordering::SeqCst)}))
}

async fn set_drain(State(rest): State<Rest>, value: bool) -> StatusCode {
    tracing::info!(drain = value, "drain mode set over HTTP");
    rest.shared.set_drain(value, false);
    StatusCode::OK
}

#[derive(Deserialize)]
struct Drain {
    drain: bool,
    #[serde(default)]
    end: bool,
}

async fn order_drain(State(rest): State<Rest>, Json(wanted): Json<Drain>) -> StatusCode {
    let Drain { drain, end } = wanted;
    tracing::info!(drain, end, "an operator sets drain mode");
    rest.shared.set_drain(drain, end);
    StatusCode::OK
}

/// What this bridge knows of itself.
async fn status(State(rest): State<Rest>) -> Json<Value> {
    let shared = &rest.shared;
    let snapshots = shared.snapshots();
    let (totals, people) = (
        presence::Totals::of(&snapshots),
        presence::people(&snapshots),
    );
    let media: Vec<String> = shared.media().iter().map(ToString::to_string).collect();
    Json(json!({
        "name": shared.server_id,
        "addresses": media,
        "version": shared.version,
        "region": shared.region,
        "state": state(shared),
        "healthy": health::of(shared).is_ok(),
        "drain": shared.drain.load(Ordering::SeqCst),
        "stress": shared.stress(),
        "meetings": totals.conferences,
        "people": totals.endpoints,
        "unheard": people.unheard,
        "uptime_seconds": shared.started.elapsed().as_secs(),
    }))
}

fn state(shared: &Shared) -> &'static str {
    if shared.shutting_down.load(Ordering::SeqCst) {
        "SHUTTING_DOWN"
    } else if shared.graceful.load(Ordering::SeqCst) {
        "GRACEFUL_SHUTDOWN"
    } else {
        "RUNNING"
    }
}

#[derive(Deserialize)]
struct Shutdown {
    #[serde(rename = "graceful-shutdown")]
    graceful: bool,
}

async fn shutdown(State(rest): State<Rest>, Json(request): Json<Shutdown>) -> StatusCode {
    let shared = &rest.shared;
    tracing::info!(graceful = request.graceful, "shutdown requested over HTTP");
    if request.graceful {
        shared.set_flag(&shared.graceful, true);
    } else {
        shared.set_flag(&shared.shutting_down, true);
    }
    StatusCode::OK
}

async fn debug(State(rest): State<Rest>) -> Json<Value> {
    let shared = &rest.shared;
    let conferences: serde_json::Map<String, Value> = shared
        .snapshots()
        .into_iter()
        .flat_map(|s| s.conferences)
        .map(|(meeting, id, c)| {
            let value =
                json!({"meeting_id": meeting, "endpoints": c.endpoints, "visitors": c.visitors});
            (id.to_string(), value)
        })
        .collect();
    Json(json!({
        "shutdown_state": state(shared),
        "drain": shared.drain.load(Ordering::SeqCst),
        "uptime_seconds": shared.started.elapsed().as_secs(),
        "stress": shared.stress(),
        "shards": shared.workers.len(),
        "conferences": conferences,
    }))
}

/// The endpoints of a conference; `None` if there is no such one, or its thread does not answer.
async fn endpoints(shared: &Shared, conference: &str) -> Option<Vec<(String, Value)>> {
    let id = ConferenceId(u64::from_str_radix(conference, 16).ok()?);
    let (reply, answer) = oneshot::channel();
    let command = Command::Inspect {
        conference: id,
        reply,
    };
    shared.worker_of(id)?.send(command).ok()?;
    let endpoints = tokio::time::timeout(INSPECTION, answer).await.ok()?.ok()?;
    let value = |(id, visitor, stats): (EndpointId, bool, EndpointStats)| {
        (id.as_str().to_owned(), insight::endpoint(visitor, &stats))
    };
    let endpoints: Vec<_> = endpoints.into_iter().map(value).collect();
    (!endpoints.is_empty()).then_some(endpoints)
}

async fn debug_conference(State(rest): State<Rest>, Path(conference): Path<String>) -> Response {
    match endpoints(&rest.shared, &conference).await {
        Some(endpoints) => {
            let endpoints: serde_json::Map<String, Value> = endpoints.into_iter().collect();
            Json(json!({"endpoints": endpoints})).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn debug_endpoint(
    State(rest): State<Rest>,
    Path((conference, endpoint)): Path<(String, String)>,
) -> Response {
    let endpoints = endpoints(&rest.shared, &conference).await.into_iter();
    match endpoints.flatten().find(|(id, _)| *id == endpoint) {
        Some((_, value)) => Json(value).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn metrics_page(State(rest): State<Rest>) -> Response {
    let headers = [(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)];
    (headers, rest.metrics.encode()).into_response()
}
