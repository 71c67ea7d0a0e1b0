//! `/xmpp-websocket`: streams over WebSockets (RFC 7395).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use stanza::xml::Limits;
use stream::Framing;
use stream::server::{Security, Server};
use tokio::time::{sleep_until, timeout};
use xmpp::WebQuery;

use crate::gate::{Open, Place};
use crate::now;
use crate::peer::{Context, Next, Peer};
use crate::server_task::{Inbox, Reply};
use crate::web::{self, Address};

/// Largest message read at all. Larger than a stanza may be, so that the peer of one that is too large is told.
const MAX_MESSAGE: usize = Limits::CLIENT.bytes + 64 * 1024;
/// Bytes read at a time: most messages are shorter, and the buffer is cleared whenever the socket is looked at.
const READ_BUFFER: usize = 1024;
/// Bytes gathered before they are written. What the buffer once took stays with its connection, and whoever enters a large
/// room is told much at once.
const WRITE_BUFFER: usize = 16 * 1024;
/// How long a write may take before the peer counts as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the peer may take to close after us.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages written before the socket is read again.
const BATCH: usize = 128;

/// Opens a WebSocket; a plain GET, by which browsers keep their way through proxies open, is answered at once.
pub(crate) async fn open(
    State(context): State<Context>,
    address: Address,
    Query(parameters): Query<HashMap<String, String>>,
    method: Method,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let mut response = if headers.contains_key("sec-websocket-key") {
            StatusCode::BAD_REQUEST.into_response()
        } else if method == Method::OPTIONS {
            StatusCode::OK.into_response()
        } else {
            "XMPP over WebSocket (RFC 7395) is here.\n".into_response()
        };
        web::cross_origin(response.headers_mut());
        return response;
    };
    let asked = upgrade
        .requested_protocols()
        .any(|protocol| protocol.as_bytes().trim_ascii() == b"xmpp");
    if !asked {
        context.metrics.refused("websocket-protocol");
        return (StatusCode::BAD_REQUEST, "the subprotocol must be xmpp\n").into_response();
    }
    let place = match context.gate.enter(now(), address.class()) {
        Ok(place) => place,
        Err(reason) => {
            context.metrics.refused(reason);
            return web::busy();
        }
    };
    let query = web::query(&parameters, &headers, address);
    upgrade
        .protocols(["xmpp"])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(move |socket| run(socket, context, query, place))
}

async fn run(socket: WebSocket, context: Context, query: WebQuery, place: Place) {
    let _open = context.metrics.connection("websocket");
    let Place {
        connection,
        stranger,
    } = place;
    let (peer, inbox) = Peer::browser(&context, query, stranger).await;
    let streams = Arc::clone(&context.streams.web);
    let server = Server::new(
        streams,
        Framing::WebSocket,
        Security::Secure,
        now(),
        rand::random(),
    );
    let mut connection_state = Connection {
        server,
        peer,
        inbox,
        socket,
        _place: connection,
    };
    if connection_state.drive().await == Next::Finish {
        connection_state.close().await;
    }
    connection_state.peer.finish().await;
}

/// Why something could not be sent.
enum Unsent {
    /// The socket has an end already.
    Gone,
    /// The peer takes nothing.
    Stuck,
}

struct Connection {
    server: Server,
    peer: Peer,
    inbox: Inbox,
    socket: WebSocket,
    _place: Open,
}

impl Connection {
    /// Carries messages until the stream or the socket ends.
    async fn drive(&mut self) -> Next {
        let overflow = self.inbox.overflow();
        let evicted = self.peer.evicted();
        tokio::pin!(overflow, evicted);
        loop {
            let next = self.handle_events().await;
            tokio::select! {
                // As a rule all is written at once, and the rest need not be looked at.
                biased;
                written = self.write() => match written {
                    Ok(()) => {}
                    Err(Unsent::Gone) => return self.hear_out().await,
                    Err(Unsent::Stuck) => return Next::Drop,
                },
                () = &mut overflow => return Next::Drop,
                () = &mut evicted => return self.peer.made_room(),
            }
            if next != Next::Continue {
                return next;
            }
            let pause = self.peer.paused_until();
            let due = [self.server.poll_timeout(), pause]
                .into_iter()
                .flatten()
                .min();
            let reading = self.server.wants_input() && pause.is_none();
            let next = tokio::select! {
                message = self.socket.next(), if reading => match message {
                    Some(Ok(message)) => self.on_message(message).await,
                    Some(Err(_)) | None => Next::Drop,
                },
                reply = self.inbox.recv() => self.on_replies(reply),
                () = &mut overflow => Next::Drop,
                () = &mut evicted => self.peer.made_room(),
                () = async { sleep_until(due.unwrap_or_else(now).into()).await }, if due.is_some() => {
                    self.server.handle_timeout(now());
                    Next::Continue
                }
            };
            if next != Next::Continue {
                return next;
            }
        }
    }

    async fn on_message(&mut self, message: Message) -> Next {
        match message {
            Message::Text(text) => {
                self.peer.charge(text.len());
                self.server.handle_input(now(), text.as_bytes());
            }
            // RFC 7395 knows text only; what is no XML gets its error.
            Message::Binary(bytes) => {
                self.peer.charge(bytes.len());
                self.server.handle_input(now(), &bytes);
            }
            Message::Ping(_) | Message::Pong(_) => self.peer.heard().await,
            Message::Close(_) => return Next::Drop,
        }
        Next::Continue
    }

    async fn handle_events(&mut self) -> Next {
        while let Some(event) = self.server.poll_event() {
            match self.peer.on_event(event).await {
                Next::Continue => {}
                next => return next,
            }
        }
        Next::Continue
    }

    fn on_replies(&mut self, reply: Option<Reply>) -> Next {
        let mut next_reply = reply;
        if next_reply.is_none() {
            return Next::Drop;
        }
        for _ in 0..BATCH {
            let Some(reply) = next_reply else { break };
            match self.peer.on_reply(&mut self.server, reply) {
                Next::Continue => {}
                next => return next,
            }
            next_reply = self.inbox.try_recv();
        }
        // The last one taken beyond the batch must not be lost.
        match next_reply {
            Some(reply) => self.peer.on_reply(&mut self.server, reply),
            None => Next::Continue,
        }
    }

    /// Sends what the stream has, as one write where it fits.
    async fn write(&mut self) -> Result<(), Unsent> {
        let mut any = false;
        while let Some(bytes) = self.server.poll_transmit() {
            let text = String::from_utf8(bytes).map_err(|_| Unsent::Gone)?;
            let feed = self.socket.feed(Message::Text(text.into()));
            timeout(WRITE_TIMEOUT, feed)
                .await
                .map_err(|_| Unsent::Stuck)?
                .map_err(|_| Unsent::Gone)?;
            any = true;
        }
        if any {
            timeout(WRITE_TIMEOUT, self.socket.flush())
                .await
                .map_err(|_| Unsent::Stuck)?
                .map_err(|_| Unsent::Gone)?;
        }
        Ok(())
    }

    /// What the peer sent before its socket was gone counts, its farewell most of all: without it, its session would wait
    /// for it.
    async fn hear_out(&mut self) -> Next {
        let heard = async {
            while self.server.wants_input()
                && let Some(Ok(message)) = self.socket.next().await
                && self.on_message(message).await == Next::Continue
                && self.handle_events().await == Next::Continue
            {}
        };
        let _ = timeout(CLOSE_TIMEOUT, heard).await;
        Next::Drop
    }

    /// Closes the socket after the stream and waits for the peer to do the same.
    async fn close(&mut self) {
        let frame = CloseFrame {
            code: close_code::NORMAL,
            reason: "".into(),
        };
        let _ = timeout(CLOSE_TIMEOUT, async {
            let _ = self.socket.send(Message::Close(Some(frame))).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        })
        .await;
    }
}
