//! The routes for operators of the focus: status, drains and moves, and what jicofo's HTTP interface has. Not for the public.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use focus::{FocusStats, OrderError, Status};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

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
        end: bool,
        done: oneshot::Sender<Result<(), OrderError>>,
    },
    /// A meeting shall go to another bridge.
    Move {
        room: String,
        to: Option<String>,
        done: oneshot::Sender<Result<(), OrderError>>,
    },
}

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

    async fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), OrderError>>) -> Order,
    ) -> Response {
        let (done, answer) = oneshot::channel();
        if self.0.try_send(order(done)).is_err() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        match answer.await {
            Ok(Ok(())) => StatusCode::OK.into_response(),
            Ok(Err(error)) => {
                let code = match error {
                    OrderError::NoBridge(_) | OrderError::NoMeeting(_) => StatusCode::NOT_FOUND,
                    _ => StatusCode::CONFLICT,
                };
                (code, error.to_string()).into_response()
            }
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

pub(crate) fn router(door: Door) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/drain", post(drain))
        .route("/move", post(move_meeting))
        .route("/about/version", get(version))
        .route("/about/health", get(health))
        .route("/stats", get(stats))
        .route("/debug", get(debug))
        .route("/debug/conferences", get(conferences))
        .route("/debug/conference/{room}", get(conference))
        .with_state(door)
}

async fn status(State(door): State<Door>) -> Response {
    match door.status().await {
        Ok((status, _)) => Json(status).into_response(),
        Err(code) => code.into_response(),
    }
}

#[derive(Deserialize)]
struct Drain {
    bridge: String,
    #[serde(default = "yes")]
    drain: bool,
    #[serde(default)]
    end: bool,
}

fn yes() -> bool {
    true
}

async fn drain(State(door): State<Door>, Json(wanted): Json<Drain>) -> Response {
    let Drain { bridge, drain, end } = wanted;
    tracing::info!(bridge, drain, end, "an operator drains a bridge");
    let order = |done| Order::Drain {
        bridge,
        drain,
        end,
        done,
    };
    door.order(order).await
}

#[derive(Deserialize)]
struct Move {
    room: String,
    to: Option<String>,
}

async fn move_meeting(State(door): State<Door>, Json(wanted): Json<Move>) -> Response {
    let Move { room, to } = wanted;
    tracing::info!(to, "an operator moves a meeting");
    door.order(|done| Order::Move { room, to, done }).await
}

async fn version() -> Json<Value> {
    Json(json!({"name": "Pontoon focus", "version": env!("CARGO_PKG_VERSION"), "os": "Linux"}))
}

/// Whether meetings can be held: some bridge can be had.
async fn health(State(door): State<Door>) -> Response {
    match door.status().await {
        Ok((_, stats)) if stats.bridges_usable > 0 => "OK".into_response(),
        Ok(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "no bridge can be used for a meeting",
        )
            .into_response(),
        Err(code) => code.into_response(),
    }
}

/// How many meetings have how many people, by the bounds of jicofo.
fn sizes(status: &Status) -> Value {
    const BOUNDS: [usize; 12] = [1, 2, 3, 4, 5, 10, 15, 20, 50, 100, 200, 500];
    let sizes: Vec<usize> = status.meetings.iter().map(|m| m.people).collect();
    let mut buckets: BTreeMap<String, usize> = BTreeMap::new();
    let mut low = 0;
    for high in BOUNDS {
        let within = sizes.iter().filter(|n| (low..high).contains(*n)).count();
        buckets.insert(format!("{low}_to_{high}"), within);
        low = high;
    }
    let most = sizes.iter().filter(|n| **n >= low).count();
    buckets.insert(format!("{low}_to_max"), most);
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

/// The keys of jicofo's `/stats`, as far as there is something to count.
async fn stats(State(door): State<Door>) -> Response {
    let (status, s) = match door.status().await {
        Ok(known) => known,
        Err(code) => return code.into_response(),
    };
    let ending = status.bridges.iter().filter(|b| b.state == "shutting down");
    let versions: std::collections::BTreeSet<_> =
        status.bridges.iter().map(|b| &b.version).collect();
    let pairs: usize = status.meetings.iter().map(|m| m.people * m.people).sum();
    let reinvites = |reason: focus::Reinvite| s.reinvites_total.get(reason as usize).copied();
    Json(json!({
        "total_participants": s.participants_total,
        "total_conferences_created": s.conferences_total,
        "conferences": s.conferences,
        "largest_conference": status.meetings.iter().map(|m| m.people).max().unwrap_or(0),
        "participants": s.participants,
        "visitors": 0,
        "conferences_with_visitors": 0,
        "conference_sizes": sizes(&status),
        "endpoint_pairs": pairs,
        "bridge_failures": {
            "participants_moved": s.moves_total,
            "bridges_removed": s.bridges_lost_total,
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
            "bridge_version_count": versions.len(),
        },
        "jibri_detector": {"count": 0, "available": 0},
        "sip_jibri_detector": {"count": 0, "available": 0},
        "jigasi_detector": {
            "sip_count": 0, "sip_in_graceful_shutdown_count": 0, "transcriber_count": 0,
        },
        "version": env!("CARGO_PKG_VERSION"),
        "healthy": s.bridges_usable > 0,
    }))
    .into_response()
}

#[derive(Deserialize)]
struct Full {
    #[serde(default)]
    full: bool,
}

async fn debug(State(door): State<Door>, Query(wanted): Query<Full>) -> Response {
    match door.status().await {
        Ok((status, _)) if wanted.full => Json(status).into_response(),
        Ok((status, _)) => {
            let meetings = status.meetings.iter();
            let meetings: BTreeMap<_, _> = meetings.map(|m| (&m.room, m.people)).collect();
            Json(json!({"conferences": meetings, "bridges": status.bridges})).into_response()
        }
        Err(code) => code.into_response(),
    }
}

async fn conferences(State(door): State<Door>) -> Response {
    match door.status().await {
        Ok((status, _)) => {
            let rooms: Vec<_> = status.meetings.iter().map(|m| &m.room).collect();
            Json(json!(rooms)).into_response()
        }
        Err(code) => code.into_response(),
    }
}

async fn conference(State(door): State<Door>, Path(room): Path<String>) -> Response {
    match door.status().await {
        Ok((status, _)) => match status.meetings.into_iter().find(|m| m.room == room) {
            Some(meeting) => Json(meeting).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Err(code) => code.into_response(),
    }
}
