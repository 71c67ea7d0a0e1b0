//! The bridge's private HTTP interface: health, statistics, metrics, drain and shutdown. Not for the public.
#![allow(clippy::disallowed_methods, reason = "statistics carry the wall clock")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sfu::{ConferenceId, EndpointId, EndpointStats};
use telemetry::Metrics;
use tokio::sync::oneshot;

use crate::shared::{Command, Shared, Then};
use crate::totals::{self, Totals};
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
        .route("/stats", get(followed))
        .route("/status", get(status))
        .route("/drain", post(order_drain))
        .route("/restart", post(restart))
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

/// As Jitsi's bridge: 500 for what does not mend itself, 503 for what may.
async fn health(State(rest): State<Rest>) -> Response {
    match health::report(&rest.shared) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(trouble) => {
            let code = match trouble.hard {
                true => StatusCode::INTERNAL_SERVER_ERROR,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            (code, trouble.text).into_response()
        }
    }
}

/// Reads an order, whatever type its sender says it has. `curl -d` says another one.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, (StatusCode, String)> {
    let malformed = |error: serde_json::Error| {
        (
            StatusCode::BAD_REQUEST,
            format!("it is not understood: {error}\n"),
        )
    };
    serde_json::from_slice(body).map_err(malformed)
}

async fn version(State(rest): State<Rest>) -> Json<Value> {
    Json(json!({"name": "Pontoon", "version": rest.shared.version, "os": "Linux"}))
}

async fn stats(State(rest): State<Rest>) -> Json<Value> {
    Json(Value::Object(presence::statistics(&rest.shared, wall())))
}

/// Time since 1970.
fn wall() -> Duration {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    wall.unwrap_or_default()
}

/// Meetings that are followed for a collector of statistics: none is.
async fn followed() -> Json<Value> {
    Json(json!({}))
}

async fn drain(State(rest): State<Rest>) -> Json<Value> {
    Json(json!({"drain": rest.shared.drain.load(Ordering::SeqCst)}))
}

async fn set_drain(State(rest): State<Rest>, value: bool) -> StatusCode {
    tracing::info!(drain = value, "drain mode set over HTTP");
    rest.shared.set_drain(value, Then::Stay);
    StatusCode::OK
}

#[derive(Deserialize)]
struct Drain {
    drain: bool,
    #[serde(default)]
    end: bool,
}

async fn order_drain(State(rest): State<Rest>, body: Bytes) -> Response {
    let Drain { drain, end } = match read(&body) {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal.into_response(),
    };
    tracing::info!(drain, end, "an operator sets drain mode");
    rest.shared.set_drain(drain, Then::of(end, false));
    StatusCode::OK.into_response()
}

#[derive(Deserialize)]
struct Restart {
    #[serde(default)]
    when_empty: bool,
}

/// It ends, at once or when it is empty, and asks to be started again.
async fn restart(State(rest): State<Rest>, body: Bytes) -> Response {
    let Restart { when_empty } = match read(&body) {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal.into_response(),
    };
    tracing::info!(when_empty, "an operator restarts the bridge");
    rest.shared.set_drain(true, Then::Restart);
    if !when_empty {
        rest.shared.set_flag(&rest.shared.shutting_down, true);
    }
    StatusCode::OK.into_response()
}

/// What this bridge knows of itself.
async fn status(State(rest): State<Rest>) -> Json<Value> {
    let shared = &rest.shared;
    let snapshots = shared.snapshots();
    let (totals, people) = (Totals::of(&snapshots), totals::people(&snapshots));
    let trouble = health::report(shared).err().map(|trouble| trouble.text);
    let nodes: Vec<Value> = shared
        .standings
        .borrow()
        .iter()
        .map(|one| json!({"node": one.node, "attached": one.attached, "trouble": one.trouble}))
        .collect();
    let media: Vec<String> = shared.media().iter().map(ToString::to_string).collect();
    Json(json!({
        "name": shared.server_id,
        "addresses": media,
        "version": shared.version,
        "region": shared.region,
        "state": state(shared),
        "healthy": trouble.is_none(),
        "trouble": trouble,
        "nodes": nodes,
        "drain": shared.drain.load(Ordering::SeqCst),
        "stress": shared.stress(),
        "meetings": totals.conferences,
        "people": totals.endpoints(),
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
    graceful: Graceful,
}

/// `graceful_shutdown.sh` puts quotes around it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Graceful {
    Flag(bool),
    Word(String),
}

async fn shutdown(State(rest): State<Rest>, body: Bytes) -> Response {
    let graceful = match read(&body) {
        Ok(Shutdown { graceful }) => match graceful {
            Graceful::Flag(graceful) => graceful,
            Graceful::Word(word) => word == "true",
        },
        Err(refusal) => return refusal.into_response(),
    };
    let shared = &rest.shared;
    tracing::info!(graceful, "shutdown requested over HTTP");
    if graceful {
        shared.set_flag(&shared.graceful, true);
    } else {
        shared.set_flag(&shared.shutting_down, true);
    }
    StatusCode::OK.into_response()
}

async fn debug(State(rest): State<Rest>) -> Json<Value> {
    let shared = &rest.shared;
    let conferences: serde_json::Map<String, Value> = shared
        .snapshots()
        .into_iter()
        .flat_map(|s| s.conferences)
        .map(|(meeting, id, c)| {
            let value = json!({
                "id": id.to_string(),
                "meeting_id": meeting,
                "endpoints": c.endpoints,
                "visitors": c.visitors,
                "relays": c.relays,
            });
            (id.to_string(), value)
        })
        .collect();
    let trouble = health::report(shared).err();
    let load = match shared.stress() {
        stress if stress >= 1.0 => "OVERLOADED",
        _ => "NOT_OVERLOADED",
    };
    Json(json!({
        "time": wall().as_millis() as u64,
        "load_management": {
            "state": load,
            "stress": shared.stress().to_string(),
            "reducer_enabled": "false",
        },
        "health": {
            "success": trouble.is_none(),
            "hardFailure": trouble.as_ref().is_none_or(|trouble| trouble.hard),
            "message": trouble.map(|trouble| trouble.text),
        },
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

async fn metrics_page(State(rest): State<Rest>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
    match rest.metrics.page(accept) {
        Some((kind, page)) => ([(header::CONTENT_TYPE, kind)], page).into_response(),
        None => StatusCode::NOT_ACCEPTABLE.into_response(),
    }
}
