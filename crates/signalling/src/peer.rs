//! What all connections have in common: events of the stream go to the server task, its replies to the stream.

use std::time::Instant;

use stanza::error::Condition;
use stream::StreamCondition;
use stream::server::{CloseReason, Event, Server};
use tokio::sync::watch;
use xmpp::{Door, WebQuery};

use crate::brake::Brake;
use crate::doors::Doors;
use crate::gate::{Gate, Stranger};
use crate::now;
use crate::pacer::{self, Pacer};
use crate::server_task::{Caller, Inbox, Reply, Request, ServerHandle};
use crate::visitor::Doorkeeper;

/// What every connection gets from its node.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) server: ServerHandle,
    pub(crate) streams: Doors,
    /// For browsers.
    pub(crate) gate: Gate,
    /// For services elsewhere: browsers take no place of theirs.
    pub(crate) service_gate: Gate,
    /// For parts of this process.
    pub(crate) process_gate: Gate,
    pub(crate) brake: Brake,
    /// What operators read of services elsewhere.
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) metrics: crate::metrics::Metrics,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What a connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on.
    Continue,
    /// TLS, then go on.
    StartTls,
    /// Send what is left and end.
    Finish,
    /// End without sending anything.
    Drop,
}

/// One connection's part of the conversation with the server task.
pub(crate) struct Peer {
    server: Caller,
    door: Door,
    query: WebQuery,
    metrics: crate::metrics::Metrics,
    /// Held until the peer has logged in; few may be in that state at one time.
    stranger: Option<Stranger>,
    paused: Option<Instant>,
    /// How many bytes it may send; parts of this process have no such limit.
    pacer: Option<Pacer>,
    in_order: bool,
}

impl Peer {
    /// A service's part.
    pub(crate) async fn service(
        context: &Context,
        door: Door,
        stranger: Stranger,
    ) -> (Self, Inbox) {
        let pacer = (door != Door::Process).then(|| Pacer::new(now(), pacer::SERVICE));
        Self::new(context, door, WebQuery::default(), stranger, pacer).await
    }

    /// A browser's part, with what its URL said.
    pub(crate) async fn browser(
        context: &Context,
        query: WebQuery,
        stranger: Stranger,
    ) -> (Self, Inbox) {
        let pacer = Some(Pacer::new(now(), pacer::BROWSER));
        Self::new(context, Door::Web, query, stranger, pacer).await
    }

    async fn new(
        context: &Context,
        door: Door,
        query: WebQuery,
        stranger: Stranger,
        pacer: Option<Pacer>,
    ) -> (Self, Inbox) {
        let (server, inbox) = context.server.connect().await;
        let peer = Self {
            server,
            door,
            query,
            metrics: context.metrics.clone(),
            stranger: Some(stranger),
            paused: None,
            pacer,
            in_order: false,
        };
        (peer, inbox)
    }

    /// When the connection may be read again; `None` when it may be read now.
    pub(crate) fn paused_until(&mut self) -> Option<Instant> {
        if self.paused.is_some_and(|at| at <= now()) {
            self.paused = None;
        }
        self.paused
    }

    /// Returns when the peer, which has not logged in, has to make room for another.
    pub(crate) fn evicted(&self) -> impl Future<Output = ()> + Send + use<> {
        let evicted = self.stranger.as_ref().map(Stranger::evicted);
        async move {
            match evicted {
                Some(evicted) => evicted.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Counts that it was.
    pub(crate) fn made_room(&self) -> Next {
        self.metrics.refused("made-room");
        Next::Drop
    }

    /// The peer has logged in.
    fn known(&mut self, now: Instant) {
        self.stranger = None;
        if let Some(pacer) = &mut self.pacer {
            pacer.known(now);
        }
    }

    /// The peer sent so many bytes.
    pub(crate) fn charge(&mut self, bytes: usize) {
        if let Some(stranger) = &mut self.stranger {
            stranger.heard();
        }
        if let Some(until) = self
            .pacer
            .as_mut()
            .and_then(|pacer| pacer.charge(now(), bytes))
        {
            self.paused = self.paused.max(Some(until));
        }
    }

    /// Passes an event of the stream on.
    pub(crate) async fn on_event(&mut self, event: Event) -> Next {
        let request = match event {
            Event::StartTls => return Next::StartTls,
            Event::Closed(reason) => return self.on_closed(reason).await,
            Event::LoginFailed(_) => {
                self.metrics.refused("login");
                return Next::Continue;
            }
            Event::Anonymous { host } => Request::Anonymous {
                host,
                query: self.query.clone(),
            },
            Event::Lookup { user } => Request::Lookup(user, self.door),
            Event::Bind { user, resource } => Request::Bind {
                user,
                resource,
                query: self.query.clone(),
            },
            Event::Resume { user, previd, h } => Request::Resume { user, previd, h },
            Event::EnableSm { resume } => Request::EnableSm { resume },
            Event::Ack(h) => Request::Ack(h),
            Event::AckRequest => Request::AskAck,
            Event::Stanza(stanza) => {
                self.server.stanza(stanza).await;
                return Next::Continue;
            }
            Event::Skipped(skipped) => {
                self.metrics.refused("stanza-over-limit");
                match skipped.stanza {
                    Some(stanza) => Request::Skipped(stanza),
                    None => return Next::Continue,
                }
            }
        };
        self.server.send(request).await;
        Next::Continue
    }

    /// Tells the server task that the peer is alive although it said nothing.
    pub(crate) async fn heard(&self) {
        self.server.send(Request::Heard).await;
    }

    async fn on_closed(&mut self, reason: CloseReason) -> Next {
        if let CloseReason::Error(condition) = reason {
            self.metrics.stream_error(condition);
        }
        // A peer that broke the rules does not come back for its session; a lost one may.
        self.in_order = reason != CloseReason::Error(StreamCondition::ConnectionTimeout);
        // A peer may leave its socket open for seconds: the others hear of its end now.
        self.server.disconnect(self.in_order).await;
        Next::Finish
    }

    /// Passes a reply of the server task to the stream.
    pub(crate) fn on_reply(&mut self, server: &mut Server, reply: Reply) -> Next {
        match reply {
            Reply::Send(stanza) => server.send(stanza.to_vec()),
            Reply::Anonymous(Ok(user)) => {
                self.known(now());
                server.accept_anonymous(now(), user);
            }
            Reply::Anonymous(Err(condition)) => server.refuse(now(), condition),
            Reply::Credentials(credentials) => {
                server.credentials(now(), credentials.map(|boxed| *boxed))
            }
            Reply::Bound(Ok((jid, greeting))) => {
                self.known(now());
                if let Some(greeting) = greeting {
                    server.greet(greeting.to_vec());
                }
                server.bound(now(), &jid);
            }
            Reply::Bound(Err(condition)) => {
                self.metrics.refused("bind");
                server.bind_failed(now(), condition);
            }
            Reply::Resumed(Ok((previd, h))) => {
                self.known(now());
                server.resumed(now(), &previd, h);
            }
            Reply::Resumed(Err(condition)) => server.resume_failed(now(), condition),
            Reply::SmEnabled { id, max } => server.sm_enabled(id.as_deref(), Some(max)),
            Reply::SmFailed => server.sm_failed(Condition::UnexpectedRequest),
            Reply::RequestAck => server.request_ack(),
            Reply::Ack(h) => server.ack(h),
            Reply::Pause(until) => self.paused = self.paused.max(Some(until)),
            // A browser that is told of the end reloads at once, perhaps before there is a server again; one that finds
            // the socket gone tries to come back for a while.
            Reply::Close(StreamCondition::SystemShutdown) if self.door == Door::Web => {
                return Next::Drop;
            }
            Reply::Close(condition) => server.close(now(), Some(condition)),
            Reply::Drop => return Next::Drop,
        }
        Next::Continue
    }

    /// The connection is over.
    pub(crate) async fn finish(mut self) {
        self.server.disconnect(self.in_order).await;
    }
}
