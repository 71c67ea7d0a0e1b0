//! The routes for operators of the focus: status, drains and moves, and what jicofo's HTTP interface has. Not for the public.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use focus::{
    BridgeStatus, Figures, FocusStats, JingleCounts, Leave, Left, OrderError, Status, Then,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::jitsi;
use crate::seen::Seen;

/// Orders that may wait for the focus.
pub(crate) const ORDERS: usize = 64;

/// What an operator wants of the focus.
pub(crate) enum Order {
    /// Everything it knows.
    Status(oneshot::Sender<(Status, FocusStats)>),
    /// A bridge shall become empty, or need not.
    Drain {
        bridge: String,
        drain: bool,
        then: Then,
        done: oneshot::Sender<Result<(), OrderError>>,
    },
    /// A meeting shall go to another bridge.
    Move {
        room: String,
        to: Option<String>,
        done: oneshot::Sender<Result<(), OrderError>>,
    },
    /// Some people shall leave a bridge.
    Leave {
        who: Leave,
        done: oneshot::Sender<Result<Left, OrderError>>,
    },
}

/// Why something is not done.
type Refusal = (StatusCode, String);

/// The way to the focus.
#[derive(Clone)]
pub(crate) struct Door(pub(crate) mpsc::Sender<Order>);

impl Door {
    async fn status(&self) -> Result<(Status, FocusStats), StatusCode> {
        let (done, answer) = oneshot::channel();
        let sent = self.0.try_send(Order::Status(done));
        sent.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        answer.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Has an order carried out; the answer, where that cannot be.
    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, OrderError>>) -> Order,
    ) -> Result<T, Refusal> {
        let (done, answer) = oneshot::channel();
        let busy = || (StatusCode::SERVICE_UNAVAILABLE, String::new());
        self.0.try_send(order(done)).map_err(|_| busy())?;
        let done = answer.await.map_err(|_| busy())?;
        done.map_err(|error| {
            let code = match error {
                OrderError::NoBridge(_) | OrderError::NoMeeting(_) => StatusCode::NOT_FOUND,
                _ => StatusCode::CONFLICT,
            };
            (code, error.to_string())
        })
    }
}

/// All that operators have of the focus.
#[derive(Clone)]
pub(crate) struct Operators {
    door: Door,
    seen: Seen,
    metrics: telemetry::Metrics,
}

impl Operators {
    pub(crate) fn new(door: Door, seen: Seen, metrics: telemetry::Metrics) -> Self {
        Self {
            door,
            seen,
            metrics,
        }
    }

    /// Whether meetings can be held.
    pub(crate) fn health(&self) -> Result<(), String> {
        self.seen.health()
    }

    /// Meetings.
    pub(crate) fn meetings(&self) -> usize {
        self.seen.look().stats.conferences
    }

    /// What was counted last.
    pub(crate) fn figures(&self) -> Figures {
        self.seen.look().figures.clone()
    }

    /// The routes.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/status", get(status))
            .route("/drain", post(drain))
            .route("/move", post(move_meeting))
            .route("/move-endpoints/move-endpoint", get(move_endpoint))
            .route("/move-endpoints/move-endpoints", get(move_endpoints))
            .route("/move-endpoints/move-fraction", get(move_fraction))
            .route("/about/version", get(version))
            .route("/about/health", get(health))
            .route("/stats", get(stats))
            .route("/rtcstats", get(followed))
            .route("/metrics", get(metrics_page))
            .route("/debug", get(debug))
            .route("/debug/conferences", get(conferences))
            .route("/debug/conferences-full", get(conferences_full))
            .route("/debug/conference/{room}", get(conference))
            .with_state(self)
    }
}

async fn status(State(Operators { door, seen, .. }): State<Operators>) -> Response {
    let health = seen.health().err();
    match door.status().await.map(|(status, _)| json!(status)) {
        Ok(Value::Object(mut status)) => {
            status.insert("healthy".to_owned(), json!(health.is_none()));
            status.insert("trouble".to_owned(), json!(health));
            Json(Value::Object(status)).into_response()
        }
        Ok(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(code) => code.into_response(),
    }
}

async fn metrics_page(State(all): State<Operators>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
    match all.metrics.page(accept) {
        Some((kind, page)) => ([(header::CONTENT_TYPE, kind)], page).into_response(),
        None => StatusCode::NOT_ACCEPTABLE.into_response(),
    }
}

/// Meetings that are followed for a collector of statistics: none is.
async fn followed() -> Json<Value> {
    Json(json!({}))
}

/// Reads an order, whatever type its sender says it has. `curl -d` says another one.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let malformed = |error: serde_json::Error| {
        let text = format!("it is not understood: {error}\n");
        (StatusCode::BAD_REQUEST, text)
    };
    serde_json::from_slice(body).map_err(malformed)
}

#[derive(Deserialize)]
struct Drain {
    bridge: String,
    #[serde(default = "yes")]
    drain: bool,
    #[serde(default)]
    end: bool,
    #[serde(default)]
    restart: bool,
}

fn yes() -> bool {
    true
}

async fn drain(State(all): State<Operators>, body: Bytes) -> Response {
    let wanted: Drain = match read(&body) {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal.into_response(),
    };
    let (bridge, drain) = (wanted.bridge, wanted.drain);
    let then = match (wanted.end, wanted.restart) {
        (_, true) => Then::Restart,
        (true, false) => Then::End,
        (false, false) => Then::Stay,
    };
    tracing::info!(bridge, drain, ?then, "an operator drains a bridge");
    let order = |done| Order::Drain {
        bridge,
        drain,
        then,
        done,
    };
    all.door.order(order).await.into_response()
}

#[derive(Deserialize)]
struct Move {
    room: String,
    to: Option<String>,
}

async fn move_meeting(State(all): State<Operators>, body: Bytes) -> Response {
    let Move { room, to } = match read(&body) {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal.into_response(),
    };
    tracing::info!(to, "an operator moves a meeting");
    let order = |done| Order::Move { room, to, done };
    all.door.order(order).await.into_response()
}

/// Parameters of jicofo's `/move-endpoints`, all of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MoveEndpoints {
    conference: Option<String>,
    endpoint: Option<String>,
    bridge: Option<String>,
    num_endpoints: Option<usize>,
    fraction: Option<f64>,
}

/// Those of jicofo that are wanted.
type Wanted = Result<Query<MoveEndpoints>, QueryRejection>;

impl MoveEndpoints {
    fn read(wanted: Wanted) -> Result<Self, Refusal> {
        let read = wanted.map(|Query(wanted)| wanted);
        read.map_err(|error| (StatusCode::BAD_REQUEST, error.body_text()))
    }
}

/// A parameter that must be there.
fn given(name: &str, value: Option<String>) -> Result<String, Refusal> {
    let value = value.filter(|value| !value.is_empty());
    let missing = || {
        (
            StatusCode::BAD_REQUEST,
            format!("Missing parameter: {name}"),
        )
    };
    value.ok_or_else(missing)
}

async fn move_endpoint(
    State(all): State<Operators>,
    wanted: Wanted,
) -> Result<Json<Value>, Refusal> {
    let wanted = MoveEndpoints::read(wanted)?;
    let who = Leave::Person {
        room: given("conference", wanted.conference)?,
        endpoint: given("endpoint", wanted.endpoint)?,
        bridge: wanted.bridge.filter(|bridge| !bridge.is_empty()),
    };
    leave(&all, who).await
}

async fn move_endpoints(
    State(all): State<Operators>,
    wanted: Wanted,
) -> Result<Json<Value>, Refusal> {
    let wanted = MoveEndpoints::read(wanted)?;
    let who = Leave::Number {
        bridge: given("bridge", wanted.bridge)?,
        room: wanted.conference.filter(|room| !room.is_empty()),
        people: wanted.num_endpoints.unwrap_or(1),
    };
    leave(&all, who).await
}

async fn move_fraction(
    State(all): State<Operators>,
    wanted: Wanted,
) -> Result<Json<Value>, Refusal> {
    let wanted = MoveEndpoints::read(wanted)?;
    let who = Leave::Fraction {
        bridge: given("bridge", wanted.bridge)?,
        fraction: wanted.fraction.unwrap_or(0.1),
    };
    leave(&all, who).await
}

/// The form of jicofo's answer.
async fn leave(all: &Operators, who: Leave) -> Result<Json<Value>, Refusal> {
    let left = all.door.order(|done| Order::Leave { who, done }).await?;
    tracing::info!(
        people = left.people,
        meetings = left.meetings,
        "an operator has people leave a bridge"
    );
    Ok(Json(json!({
        "movedEndpoints": left.people,
        "conferences": left.meetings,
    })))
}

async fn version() -> Json<Value> {
    Json(json!({"name": "Pontoon focus", "version": env!("CARGO_PKG_VERSION"), "os": "Linux"}))
}

/// Whether meetings can be held.
async fn health(State(all): State<Operators>) -> Response {
    match all.health() {
        Ok(()) => "OK".into_response(),
        Err(text) => (StatusCode::INTERNAL_SERVER_ERROR, text).into_response(),
    }
}

/// How many meetings have how many people, by the bounds of jicofo.
fn sizes(status: &Status) -> Value {
    const BOUNDS: [usize; 12] = [1, 2, 3, 5, 10, 20, 50, 100, 200, 300, 400, 500];
    let sizes: Vec<usize> = status.meetings.iter().map(|m| m.people).collect();
    let mut buckets: BTreeMap<String, i64> = BTreeMap::new();
    let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut low = 0;
    for high in BOUNDS {
        let within = sizes.iter().filter(|n| (low..high).contains(*n)).count();
        buckets.insert(format!("{low}_to_{high}"), whole(within));
        low = high;
    }
    let most = sizes.iter().filter(|n| **n >= low).count();
    buckets.insert(format!("{low}_to_max"), whole(most));
    // Not reckoned there either.
    buckets.insert("p99_upper_bound".to_owned(), -1);
    buckets.insert("p999_upper_bound".to_owned(), -1);
    let sum: usize = sizes.iter().sum();
    let average = match sizes.len() {
        0 => json!("NaN"),
        // Counts are far below 2^52.
        count => json!(sum as f64 / count as f64),
    };
    json!({
        "average": average,
        "max": sizes.iter().max().copied().unwrap_or(0),
        "min": sizes.iter().min().copied().unwrap_or(0),
        "total_value": sum,
        "total_count": sizes.len(),
        "discarded": 0,
        "buckets": buckets,
    })
}

/// The keys of jicofo's `/stats`; recorders and telephony are not there to be counted.
async fn stats(State(all): State<Operators>) -> Response {
    let (status, s) = match all.door.status().await {
        Ok(known) => known,
        Err(code) => return code.into_response(),
    };
    let ending = status.bridges.iter().filter(|b| b.ending);
    let sizes_of: Vec<usize> = status.meetings.iter().map(|m| m.people).collect();
    let reinvites = |reason: focus::Reinvite| s.reinvites_total.get(reason as usize).copied();
    let health = all.health();
    let health_text = health.as_ref().err();
    Json(json!({
        "total_participants": s.participants_total,
        "total_conferences_created": s.conferences_total,
        "conferences": s.conferences,
        "largest_conference": sizes_of.iter().max().copied().unwrap_or(0),
        "participants": s.participants,
        "visitors": 0,
        "conferences_with_visitors": 0,
        "conference_sizes": sizes(&status),
        "endpoint_pairs": jitsi::pairs(&sizes_of),
        "bridge_failures": {
            "participants_moved": s.moves_total,
            "bridges_removed": s.bridges_removed_total,
        },
        "participant_notifications": {
            "ice_failed": reinvites(focus::Reinvite::IceFailed),
            "request_restart": reinvites(focus::Reinvite::Restart),
        },
        "bridge_selector": {
            "bridge_count": s.bridges,
            "operational_bridge_count": s.bridges_usable,
            "in_shutdown_bridge_count": ending.count(),
            "lost_bridges": s.bridges_lost_total,
            "bridge_version_count": jitsi::versions(&status.bridges),
        },
        "jibri": {
            "total_sip_call_failures": 0,
            "total_live_streaming_failures": 0,
            "total_recording_failures": 0,
            "live_streaming_active": 0,
            "recording_active": 0,
            "sip_call_active": 0,
        },
        "jibri_detector": {"count": 0, "available": 0},
        "sip_jibri_detector": {"count": 0, "available": 0},
        "jigasi_detector": {
            "sip_count": 0, "sip_in_graceful_shutdown_count": 0, "transcriber_count": 0,
        },
        "jigasi": {},
        "queues": {},
        "threads": jitsi::threads(),
        "jingle": {
            "sent": actions(&s.jingle_sent),
            "received": actions(&s.jingle_received),
        },
        "version": env!("CARGO_PKG_VERSION"),
        "healthy": health.is_ok(),
        "slow_health_check": false,
        "health": health_text,
    }))
    .into_response()
}

/// Jingle requests that occurred, by their names in capitals.
fn actions(counts: &JingleCounts) -> BTreeMap<String, u64> {
    let occurred = counts.iter().filter(|(_, count)| *count > 0);
    occurred
        .map(|(name, count)| (name.to_uppercase(), count))
        .collect()
}

#[derive(Deserialize)]
struct Full {
    #[serde(default)]
    full: bool,
}

async fn debug(State(all): State<Operators>, Query(wanted): Query<Full>) -> Response {
    match all.door.status().await {
        Ok((status, _)) if wanted.full => Json(status).into_response(),
        Ok((status, _)) => {
            let meetings = status.meetings.iter();
            let meetings: BTreeMap<_, _> = meetings.map(|m| (&m.room, m.people)).collect();
            let selector: BTreeMap<_, _> =
                status.bridges.iter().map(|b| (&b.name, known(b))).collect();
            Json(json!({
                "focus_manager": meetings,
                "bridge_selector": {"bridge": selector},
                "conferences": meetings,
                "bridges": status.bridges,
            }))
            .into_response()
        }
        Err(code) => code.into_response(),
    }
}

/// A bridge with the keys of jicofo's `/debug`.
fn known(bridge: &BridgeStatus) -> Value {
    json!({
        "corrected-stress": bridge.load,
        "stress": bridge.stress,
        "drain": bridge.drain,
        "endpoints": bridge.people,
        "failing-ice": bridge.suspect,
        "graceful-shutdown": bridge.ending,
        "shutting-down": bridge.state == "shutting down",
        "healthy": bridge.healthy,
        "operational": bridge.usable,
        "overloaded": bridge.usable && !bridge.drain && bridge.room_for == 0,
        "region": bridge.region,
        "relay-id": bridge.relay_id,
        "version": bridge.version,
    })
}

async fn conferences(State(all): State<Operators>) -> Response {
    match all.door.status().await {
        Ok((status, _)) => {
            let rooms: Vec<_> = status.meetings.iter().map(|m| &m.room).collect();
            Json(json!(rooms)).into_response()
        }
        Err(code) => code.into_response(),
    }
}

async fn conferences_full(State(all): State<Operators>) -> Response {
    match all.door.status().await {
        Ok((status, _)) => Json(status.meetings).into_response(),
        Err(code) => code.into_response(),
    }
}

async fn conference(State(all): State<Operators>, Path(room): Path<String>) -> Response {
    match all.door.status().await {
        Ok((status, _)) => match status.meetings.into_iter().find(|m| m.room == room) {
            Some(meeting) => Json(meeting).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Err(code) => code.into_response(),
    }
}
