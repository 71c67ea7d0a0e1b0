//! The one task that owns the XMPP server: connections talk to it over queues, each in order, services ahead of people.
//!
//! The queue towards the server task is bounded: connections wait, and so stop reading their peers. Queues towards connections
//! are bounded in bytes: a connection that exceeds its share is dropped, as its peer does not read.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stanza::error::Condition;
use stanza::{BareJid, Element, FullJid};
use stream::sasl::{Credentials, ScramKeys};
use stream::{SaslCondition, StreamCondition};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, sleep_until};
use xmpp::{
    BridgeAccounts, CloseReason, ConnectionId, Door, JoinRequest, Login, Outgoing, Output, Pace,
    SessionId, WebQuery,
};

use crate::NewBridge;
use crate::journal::Journal;
use crate::lanes::{Lanes, Ways, lanes};
use crate::metrics::Metrics;
use crate::{contained, now};

/// Requests of services, and of everybody else, that may wait for the server task before connections wait.
const QUEUE: usize = 4096;
/// Requests handled before outputs are carried out.
const BATCH: usize = 64;
/// Stanzas of one connection that may be on their way to the server task: what it sends beyond that waits in its socket, and it is
/// told to slow down before more are handled.
const ON_THE_WAY: usize = 16;
/// Bytes that may wait for one participant, shared bodies counted in full.
const CLIENT_SHARE: usize = 16 * 1024 * 1024;
/// Bytes that may wait for one service account.
const SERVICE_SHARE: usize = 128 * 1024 * 1024;
/// What one entry of a queue counts beyond its stanza.
const ENTRY: usize = 64;
/// Rest after a defect in what is due by time.
const AFTER_DEFECT: Duration = Duration::from_millis(100);
/// How often sizes are counted for metrics.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// The account of a new bridge, or why there is none.
pub(crate) type Made = Result<(String, xmpp::auth::Credentials), Condition>;

/// What belongs to no connection comes under this name, which none gets.
const NOBODY: ConnectionId = ConnectionId(u64::MAX);

/// From a connection to the server task.
pub(crate) enum Request {
    Connect(Outbox),
    /// The accounts of bridges have changed; of no connection.
    Bridges(BridgeAccounts),
    /// An account was made, or not, for a bridge that asked; of no connection.
    Joined(JoinRequest, Made),
    Anonymous {
        host: String,
        query: WebQuery,
    },
    Lookup(BareJid, Door),
    Bind {
        user: BareJid,
        resource: Option<String>,
        query: WebQuery,
    },
    Resume {
        user: BareJid,
        previd: String,
        h: u32,
    },
    EnableSm {
        resume: bool,
    },
    Ack(u32),
    AskAck,
    Stanza(Element, OwnedSemaphorePermit),
    /// What is left of a stanza that is over a limit.
    Skipped(Element),
    Heard,
    Disconnect {
        in_order: bool,
    },
}

/// From the server task to a connection.
pub(crate) enum Reply {
    Anonymous(Result<BareJid, SaslCondition>),
    Credentials(Option<Box<Credentials>>),
    /// The address, and what to say before it.
    Bound(Result<(FullJid, Option<Outgoing>), Condition>),
    Resumed(Result<(String, u32), Condition>),
    SmEnabled {
        id: Option<String>,
        max: u64,
    },
    SmFailed,
    Send(Outgoing),
    RequestAck,
    Ack(u32),
    /// Read no further before this time.
    Pause(Instant),
    /// End the stream with an error.
    Close(StreamCondition),
    /// Drop the connection without a word, so that its peer resumes elsewhere or later.
    Drop,
}

impl Reply {
    fn weight(&self) -> usize {
        match self {
            Self::Send(stanza) => stanza.len() + ENTRY,
            _ => ENTRY,
        }
    }
}

struct Shared {
    waiting: AtomicUsize,
    share: AtomicUsize,
    /// Whether a service is logged in on it.
    service: AtomicBool,
    overflow: Notify,
}

impl Shared {
    fn new(share: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicUsize::new(0),
            share: AtomicUsize::new(share),
            service: AtomicBool::new(false),
            overflow: Notify::new(),
        })
    }
}

/// The server task's end of the queue to a connection.
pub(crate) struct Outbox {
    replies: mpsc::UnboundedSender<Reply>,
    shared: Arc<Shared>,
}

impl Outbox {
    /// Returns false when the connection has more waiting than its share.
    fn push(&self, reply: Reply) -> bool {
        let weight = reply.weight();
        let before = self.shared.waiting.fetch_add(weight, Ordering::Relaxed);
        let fits = before + weight <= self.shared.share.load(Ordering::Relaxed);
        if fits {
            let _ = self.replies.send(reply);
        } else {
            self.shared.overflow.notify_one();
        }
        fits
    }
}

/// The connection's end of its queue from the server task.
pub(crate) struct Inbox {
    replies: mpsc::UnboundedReceiver<Reply>,
    shared: Arc<Shared>,
}

impl Inbox {
    fn counted(&self, reply: Reply) -> Reply {
        self.shared
            .waiting
            .fetch_sub(reply.weight(), Ordering::Relaxed);
        reply
    }

    /// The next reply; `None` when the server task has forgotten the connection.
    pub(crate) async fn recv(&mut self) -> Option<Reply> {
        let reply = self.replies.recv().await?;
        Some(self.counted(reply))
    }

    pub(crate) fn try_recv(&mut self) -> Option<Reply> {
        let reply = self.replies.try_recv().ok()?;
        Some(self.counted(reply))
    }

    /// Returns when more was waiting than the connection's share.
    pub(crate) fn overflow(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.overflow.notified().await }
    }
}

/// The way to the server task.
#[derive(Clone)]
pub(crate) struct ServerHandle {
    requests: Ways<(ConnectionId, Request)>,
    next: Arc<std::sync::atomic::AtomicU64>,
}

/// One connection's way to the server task. Dropping it without [`Caller::disconnect`] counts as a lost connection.
pub(crate) struct Caller {
    id: ConnectionId,
    requests: Ways<(ConnectionId, Request)>,
    shared: Arc<Shared>,
    on_the_way: Arc<Semaphore>,
    gone: bool,
}

impl ServerHandle {
    /// Makes a connection known to the server task.
    pub(crate) async fn connect(&self) -> (Caller, Inbox) {
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let shared = Shared::new(CLIENT_SHARE);
        let (sender, receiver) = mpsc::unbounded_channel();
        let outbox = Outbox {
            replies: sender,
            shared: Arc::clone(&shared),
        };
        let connection = Caller {
            id,
            requests: self.requests.clone(),
            shared: Arc::clone(&shared),
            on_the_way: Arc::new(Semaphore::new(ON_THE_WAY)),
            gone: false,
        };
        connection.send(Request::Connect(outbox)).await;
        let inbox = Inbox {
            replies: receiver,
            shared,
        };
        (connection, inbox)
    }
}

impl ServerHandle {
    /// Sets the accounts of bridges elsewhere.
    pub(crate) async fn set_bridges(&self, accounts: BridgeAccounts) {
        let request = (NOBODY, Request::Bridges(accounts));
        let _ = self.requests.way(false).send(request).await;
    }
}

impl Caller {
    pub(crate) async fn send(&self, request: Request) {
        let _ = self.way().send((self.id, request)).await;
    }

    /// A service goes ahead as soon as it knows to be logged in; nothing of it is on the other way then.
    fn way(&self) -> &mpsc::Sender<(ConnectionId, Request)> {
        let ahead = self.shared.service.load(Ordering::Relaxed);
        self.requests.way(ahead)
    }

    /// Sends a stanza once those before it are handled, but for a few.
    pub(crate) async fn stanza(&self, stanza: Element) {
        if let Ok(permit) = Arc::clone(&self.on_the_way).acquire_owned().await {
            self.send(Request::Stanza(stanza, permit)).await;
        }
    }

    /// The conversation is over, if it is not yet; what comes after is of no session.
    pub(crate) async fn disconnect(&mut self, in_order: bool) {
        if !std::mem::replace(&mut self.gone, true) {
            self.send(Request::Disconnect { in_order }).await;
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        let (id, requests) = (self.id, self.way().clone());
        let request = Request::Disconnect { in_order: false };
        if let Err(mpsc::error::TrySendError::Full(message)) = requests.try_send((id, request))
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { requests.send(message).await });
        }
    }
}

struct Connection {
    outbox: Outbox,
    session: Option<SessionId>,
}

/// The task's state.
pub(crate) struct ServerTask {
    server: xmpp::Server,
    requests: Lanes<(ConnectionId, Request)>,
    connections: HashMap<ConnectionId, Connection>,
    /// Makes accounts for bridges, and the way back.
    new_bridge: Option<NewBridge>,
    answers: mpsc::WeakSender<(ConnectionId, Request)>,
    metrics: Metrics,
    /// Where the next process finds the sessions and rooms of this one.
    journal: Option<Journal>,
    stats_due: Instant,
}

/// A handle and the task to spawn for it.
pub(crate) fn new(
    server: xmpp::Server,
    new_bridge: Option<NewBridge>,
    metrics: Metrics,
    journal: Option<Journal>,
) -> (ServerHandle, ServerTask) {
    let (sender, receiver) = lanes(QUEUE);
    let answers = sender.downgrade();
    let handle = ServerHandle {
        requests: sender,
        next: Arc::default(),
    };
    let task = ServerTask {
        server,
        requests: receiver,
        connections: HashMap::new(),
        new_bridge,
        answers,
        metrics,
        journal,
        stats_due: now(),
    };
    (handle, task)
}

impl ServerTask {
    /// Runs until the node stops; connections are told then.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            let due = self.server.poll_timeout();
            let wake = due.map_or(self.stats_due, |due| due.min(self.stats_due));
            tokio::select! {
                request = self.requests.recv() => {
                    let Some((id, request)) = request else { return };
                    self.handle(id, request);
                    for _ in 1..BATCH {
                        let Some((id, request)) = self.requests.try_recv() else { break };
                        self.handle(id, request);
                    }
                }
                () = sleep_until(wake.into()) => {}
                () = crate::stopped(&mut stopping) => return self.end().await,
            }
            let now = now();
            if self.server.poll_timeout().is_some_and(|due| due <= now) {
                let done = contained("XMPP server", || self.server.handle_timeout(now));
                if done.is_none() {
                    // It may be due again at once; the node must not spin.
                    sleep(AFTER_DEFECT).await;
                }
            }
            self.carry_out();
            if self.stats_due <= now {
                self.stats_due = now + STATS_INTERVAL;
                self.metrics
                    .update(&self.server.stats(), self.connections.len());
            }
        }
    }

    /// The node stops. With a journal, nothing ends by that: peers find their connections gone and come back for their
    /// sessions.
    async fn end(mut self) {
        let Some(mut journal) = self.journal.take() else {
            self.server.shutdown(now());
            return self.carry_out();
        };
        journal.begin(self.server.journal());
        for connection in self.connections.values() {
            connection.outbox.push(Reply::Drop);
        }
        let _ = tokio::task::spawn_blocking(move || journal.finish()).await;
    }

    /// Writes down what has changed, before anybody hears of it.
    fn write_down(&mut self) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let news = contained("journal", || self.server.take_news());
        journal.append(news.unwrap_or_default());
        if journal.wants_whole(now())
            && let Some(whole) = contained("journal", || self.server.journal())
        {
            journal.begin(whole);
        }
    }

    /// Handles a request; a defect that it meets costs its sender the connection.
    fn handle(&mut self, id: ConnectionId, request: Request) {
        let done = contained("XMPP server", || self.handle_request(id, request));
        if done.is_none() {
            self.metrics.refused("defect");
            let session = self
                .connections
                .remove(&id)
                .and_then(|connection| connection.session);
            if let Some(session) = session {
                contained("XMPP server", || self.server.close(now(), session, id));
            }
        }
    }

    fn handle_request(&mut self, id: ConnectionId, request: Request) {
        let request = match request {
            Request::Connect(outbox) => {
                let session = None;
                self.connections.insert(id, Connection { outbox, session });
                return;
            }
            Request::Bridges(accounts) => return self.server.set_bridges(now(), accounts),
            Request::Joined(asked, made) => {
                return self.server.joined(now(), asked.session, &asked.id, made);
            }
            request => request,
        };
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let now = now();
        match (request, connection.session) {
            (Request::Disconnect { in_order }, session) => {
                self.connections.remove(&id);
                match session {
                    Some(session) if in_order => self.server.close(now, session, id),
                    Some(session) => self.server.detach(now, session, id),
                    None => {}
                }
            }
            (request, Some(session)) => self.handle_bound(now, id, session, request),
            (request, None) => self.handle_login(now, id, request),
        }
    }

    fn handle_login(&mut self, now: Instant, id: ConnectionId, request: Request) {
        let reply = match request {
            Request::Anonymous { host, query } => Reply::Anonymous(
                self.server
                    .anonymous_user(&host, &query)
                    .map_err(|_| SaslCondition::NotAuthorized),
            ),
            Request::Lookup(user, door) => {
                Reply::Credentials(self.server.credentials(&user, door).map(credentials))
            }
            Request::Bind {
                user,
                resource,
                query,
            } => {
                let service = self.server.is_service(&user);
                let login = Login {
                    user,
                    resource,
                    connection: id,
                    query,
                };
                Reply::Bound(match self.server.bind(now, login) {
                    Ok(bound) => {
                        self.attach(id, bound.session, service);
                        Ok((bound.jid, bound.greeting))
                    }
                    Err(xmpp::BindError::BadResource) => Err(Condition::BadRequest),
                    Err(xmpp::BindError::InUse) => Err(Condition::Conflict),
                    Err(_) => Err(Condition::ResourceConstraint),
                })
            }
            Request::Resume { user, previd, h } => {
                let service = self.server.is_service(&user);
                Reply::Resumed(match self.server.resume(now, &user, id, &previd, h) {
                    Ok(resumed) => {
                        self.attach(id, resumed.session, service);
                        Ok((previd, resumed.h))
                    }
                    Err(xmpp::ResumeError::AckTooHigh) => Err(Condition::UnexpectedRequest),
                    Err(_) => Err(Condition::ItemNotFound),
                })
            }
            // A stanza of a session that has ended meanwhile: its connection has its order to close already.
            _ => return,
        };
        self.push(id, reply);
    }

    fn handle_bound(
        &mut self,
        now: Instant,
        id: ConnectionId,
        session: SessionId,
        request: Request,
    ) {
        let known = match request {
            Request::Stanza(stanza, _on_the_way) => {
                match self.server.handle_stanza(now, session, stanza) {
                    Ok(Pace::Now) => Ok(()),
                    Ok(Pace::NotBefore(at)) => {
                        self.push(id, Reply::Pause(at));
                        Ok(())
                    }
                    Err(gone) => Err(gone),
                }
            }
            Request::Skipped(stanza) => self.server.handle_skipped(now, session, stanza),
            Request::EnableSm { resume } => match self.server.enable_sm(now, session, resume) {
                Ok(enabled) => {
                    let max = enabled.max.as_secs();
                    self.push(
                        id,
                        Reply::SmEnabled {
                            id: enabled.id,
                            max,
                        },
                    );
                    Ok(())
                }
                Err(gone) => {
                    self.push(id, Reply::SmFailed);
                    Err(gone)
                }
            },
            Request::Ack(h) => self.server.ack(now, session, h),
            Request::AskAck => self.server.ack_requested(now, session),
            Request::Heard => {
                self.server.heard(now, session);
                Ok(())
            }
            _ => Ok(()),
        };
        if known.is_err() {
            tracing::debug!(connection = id.0, "stanza for a session that has ended");
        }
        self.carry_out();
    }

    fn attach(&mut self, id: ConnectionId, session: SessionId, service: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.session = Some(session);
            let share = if service { SERVICE_SHARE } else { CLIENT_SHARE };
            let shared = &connection.outbox.shared;
            shared.share.store(share, Ordering::Relaxed);
            shared.service.store(service, Ordering::Relaxed);
        }
    }

    /// Hands a reply to a connection. One that does not take its replies is forgotten, its session lost.
    fn push(&mut self, id: ConnectionId, reply: Reply) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if connection.outbox.push(reply) {
            return;
        }
        self.metrics.refused("slow-consumer");
        tracing::info!(
            connection = id.0,
            "dropped a connection whose peer does not read"
        );
        if let Some(session) = self.connections.remove(&id).and_then(|c| c.session) {
            self.server.detach(now(), session, id);
        }
    }

    fn carry_out(&mut self) {
        self.write_down();
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send {
                    connection, stanza, ..
                } => self.push(connection, Reply::Send(stanza)),
                Output::RequestAck { connection } => self.push(connection, Reply::RequestAck),
                Output::Ack { connection, h } => self.push(connection, Reply::Ack(h)),
                Output::Close { connection, reason } => self.close(connection, reason),
                Output::Join(asked) => self.make_account(asked),
            }
        }
    }

    /// Has an account made for a bridge, which may take a disk's time.
    fn make_account(&self, asked: JoinRequest) {
        let (make, answers) = (self.new_bridge.clone(), self.answers.clone());
        tokio::task::spawn_blocking(move || {
            let made = match make {
                Some(make) => (make.0)(&asked.name, &asked.password),
                None => Err(Condition::ServiceUnavailable),
            };
            if let Some(answers) = answers.upgrade() {
                let _ = answers.blocking_send((NOBODY, Request::Joined(asked, made)));
            }
        });
    }

    fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        let reply = match reason.condition().parse() {
            // A browser that is told of an error reloads its page; one that finds the socket gone resumes its session.
            _ if reason == CloseReason::ConnectionTimeout => Reply::Drop,
            Ok(condition) => Reply::Close(condition),
            Err(()) => Reply::Close(StreamCondition::UndefinedCondition),
        };
        connection.outbox.push(reply);
    }
}

fn credentials(stored: &xmpp::auth::Credentials) -> Box<Credentials> {
    let keys = |keys: &xmpp::auth::ScramKeys| ScramKeys {
        salt: keys.salt.clone(),
        iterations: keys.iterations,
        stored_key: keys.stored_key.clone(),
        server_key: keys.server_key.clone(),
    };
    Box::new(Credentials {
        sha1: keys(&stored.sha1),
        sha256: keys(&stored.sha256),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(share: usize) -> (Outbox, Inbox) {
        let shared = Shared::new(share);
        let (sender, receiver) = mpsc::unbounded_channel();
        let outbox = Outbox {
            replies: sender,
            shared: Arc::clone(&shared),
        };
        let inbox = Inbox {
            replies: receiver,
            shared,
        };
        (outbox, inbox)
    }

    fn stanza(bytes: usize) -> Reply {
        Reply::Send(Outgoing::whole(vec![b'x'; bytes].into()))
    }

    #[tokio::test]
    async fn a_connection_that_does_not_take_its_replies_is_told_so() {
        let (outbox, mut inbox) = queue(10 * (100 + ENTRY));
        for _ in 0..10 {
            assert!(outbox.push(stanza(100)));
        }
        assert!(!outbox.push(stanza(1)), "beyond its share");
        inbox.overflow().await;
        assert!(inbox.recv().await.is_some());
    }

    #[tokio::test]
    async fn taking_replies_makes_room() {
        let (outbox, mut inbox) = queue(200);
        for _ in 0..100 {
            assert!(outbox.push(stanza(100)));
            assert!(inbox.recv().await.is_some());
        }
        drop(outbox);
        assert!(inbox.recv().await.is_none());
    }
}
