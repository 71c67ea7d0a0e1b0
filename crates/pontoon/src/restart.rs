//! `pontoon restart`: the process ends and asks whoever runs it to start it again, at once or when no meeting is under way.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::sync::watch;

/// How often it is looked whether meetings are under way.
const LOOK: Duration = Duration::from_secs(1);

/// When to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Now,
    Empty,
}

/// Waits for the order.
pub(crate) struct Restart(watch::Sender<Option<When>>);

impl Restart {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The route of the order: `POST /restart`, with `{"when_empty": true}` or `{}`.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/restart", post(order))
            .with_state(self.0.clone())
    }

    /// Resolves when it is time; `meetings` counts those under way.
    pub(crate) async fn due(&self, meetings: impl Fn() -> usize) {
        let mut orders = self.0.subscribe();
        loop {
            let when = *orders.borrow_and_update();
            match when {
                Some(When::Now) => return,
                Some(When::Empty) if meetings() == 0 => return,
                // An order that takes this one's place, or another look.
                Some(When::Empty) => {
                    let _ = tokio::time::timeout(LOOK, orders.changed()).await;
                }
                // The sender lives as long as this does.
                None => {
                    let _ = orders.changed().await;
                }
            }
        }
    }
}

async fn order(State(orders): State<watch::Sender<Option<When>>>, body: Bytes) -> Response {
    let wanted: Value = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let text = format!("it is not understood: {error}\n");
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    let when = match wanted.get("when_empty") {
        Some(Value::Bool(true)) => When::Empty,
        _ => When::Now,
    };
    tracing::info!(?when, "an operator restarts this process");
    orders.send_replace(Some(when));
    StatusCode::OK.into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_meeting_is_waited_for() {
        let restart = Arc::new(Restart::new());
        let meetings = Arc::new(AtomicUsize::new(2));
        let (waits, counts) = (Arc::clone(&restart), Arc::clone(&meetings));
        let due = tokio::spawn(async move {
            waits.due(|| counts.load(Ordering::SeqCst)).await;
        });
        let order = |body: &'static str| {
            order(
                State(restart.0.clone()),
                Bytes::from_static(body.as_bytes()),
            )
        };
        assert_eq!(order("{").await.status(), StatusCode::BAD_REQUEST);
        assert_eq!(
            order(r#"{"when_empty": true}"#).await.status(),
            StatusCode::OK
        );
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert!(!due.is_finished(), "two meetings go on");
        meetings.store(0, Ordering::SeqCst);
        due.await.unwrap();
        // Without waiting, whatever goes on.
        assert_eq!(order("{}").await.status(), StatusCode::OK);
        restart.due(|| 7).await;
    }
}
