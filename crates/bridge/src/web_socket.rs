//! The bridge channel over WebSocket: `/colibri-ws/<server-id>/<conference>/<endpoint>?pwd=<password>`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::SinkExt as _;
use sfu::ConferenceId;
use sfu::control::WebSocketId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::shared::{Command, Frame, Shared};

/// Frames that may wait for a client.
const FRAMES: usize = 256;
/// Bytes read at a time: most messages are shorter, and the buffer is cleared before each read.
const READ_BUFFER: usize = 1024;
/// Bytes gathered before they are written. What the buffer once took stays with its connection.
const WRITE_BUFFER: usize = 4 * 1024;
/// Silence after which the client is pinged.
const PING_AFTER: Duration = Duration::from_secs(15);
/// Silence after which the client is given up.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        // By GET, or by CONNECT over HTTP/2.
        .route("/colibri-ws/{server}/{conference}/{endpoint}", any(upgrade))
        .with_state(shared)
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Path((server, conference, endpoint)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    if server != shared.server_id {
        return (StatusCode::NOT_FOUND, "server ID mismatch").into_response();
    }
    // Everything behind `pwd=` is the password.
    let password = query
        .as_deref()
        .and_then(|q| q.strip_prefix("pwd="))
        .unwrap_or_default();
    let (frames, receiver) = mpsc::channel(FRAMES);
    match open(&shared, &conference, endpoint, password, frames).await {
        Some(open) => upgrade
            .max_message_size(channel::MAX_MESSAGE_BYTES)
            .max_frame_size(channel::MAX_MESSAGE_BYTES)
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .on_upgrade(move |socket| serve(socket, open, receiver)),
        None => {
            shared.web_sockets_refused.fetch_add(1, Ordering::Relaxed);
            (StatusCode::FORBIDDEN, "authentication failed").into_response()
        }
    }
}

/// An open channel; tells the worker when it is dropped, however that comes.
struct Open {
    shared: Arc<Shared>,
    conference: ConferenceId,
    socket: WebSocketId,
}

impl Open {
    fn send(&self, command: Command) -> bool {
        self.shared
            .worker_of(self.conference)
            .is_some_and(|worker| worker.send(command).is_ok())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.send(Command::WebSocketClosed {
            socket: self.socket,
        });
    }
}

async fn open(
    shared: &Arc<Shared>,
    conference: &str,
    endpoint: String,
    password: &str,
    frames: mpsc::Sender<Frame>,
) -> Option<Open> {
    let conference = ConferenceId(u64::from_str_radix(conference, 16).ok()?);
    let (reply, answer) = oneshot::channel();
    shared
        .worker_of(conference)?
        .send(Command::OpenWebSocket {
            conference,
            endpoint,
            password: password.to_owned(),
            frames,
            reply,
        })
        .ok()?;
    let socket = answer.await.ok()?.ok()?;
    Some(Open {
        shared: shared.clone(),
        conference,
        socket,
    })
}

/// Writes a frame and those that wait behind it, as one; false when the connection is over.
async fn pass_on(socket: &mut WebSocket, first: Frame, frames: &mut mpsc::Receiver<Frame>) -> bool {
    let mut next = Some(first);
    while let Some(frame) = next {
        match frame {
            Frame::Text(text) => {
                if socket.feed(Message::text(text.as_ref())).await.is_err() {
                    return false;
                }
            }
            Frame::Close(code, reason) => {
                let reason = reason.into();
                let frame = CloseFrame { code, reason };
                let _ = socket.send(Message::Close(Some(frame))).await;
                return false;
            }
        }
        next = frames.try_recv().ok();
    }
    socket.flush().await.is_ok()
}

async fn serve(mut socket: WebSocket, open: Open, frames: mpsc::Receiver<Frame>) {
    let in_order = talk(&mut socket, &open, frames).await;
    let closed = &open.shared.web_sockets_closed;
    let count = if in_order { &closed.0 } else { &closed.1 };
    count.fetch_add(1, Ordering::Relaxed);
}

/// Passes messages on until the channel is over; whether somebody closed it.
async fn talk(socket: &mut WebSocket, open: &Open, mut frames: mpsc::Receiver<Frame>) -> bool {
    let mut heard = Instant::now();
    let mut pinged = false;
    loop {
        let due = heard + if pinged { IDLE_LIMIT } else { PING_AFTER };
        tokio::select! {
            frame = frames.recv() => {
                // Without a frame the worker cut the client off.
                let Some(frame) = frame else { return true };
                let closes = matches!(frame, Frame::Close(..));
                if !pass_on(socket, frame, &mut frames).await {
                    return closes;
                }
            }
            message = socket.recv() => {
                heard = Instant::now();
                pinged = false;
                match message {
                    Some(Ok(Message::Text(text))) => {
                        let text = text.as_str().to_owned();
                        if !open.send(Command::WebSocketText { socket: open.socket, text }) {
                            tracing::debug!("a bridge-channel message was dropped");
                        }
                    }
                    Some(Ok(Message::Close(_))) => return true,
                    Some(Err(_)) | None => return false,
                    Some(Ok(_)) => {}
                }
            }
            () = sleep_until(due) => {
                if pinged || socket.send(Message::Ping(Default::default())).await.is_err() {
                    return false;
                }
                pinged = true;
            }
        }
    }
}
