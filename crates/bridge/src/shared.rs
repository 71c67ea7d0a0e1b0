//! What the parts of a bridge share: the workers' queues, which meeting is where, the life-cycle state.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use net::Waker;
use sfu::control::{Answer, ControlStats, Denied, WebSocketId};
use sfu::{
    ConferenceId, ConferenceStats, EndpointId, EndpointStats, Hearing, Part, RelayId, Stats,
};
use stanza::colibri2::{ConferenceModify, ErrorAnswer};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::gather::{self, Reply};
use crate::latency::Latencies;
use crate::placing::Placing;
use crate::process::Process;
use crate::sinks::{Sink, StreamCounts};
use crate::standing::Standing;

/// Commands that may wait for a worker.
pub(crate) const COMMANDS: usize = 4096;
/// Questions about other bridges answered at one time.
const PROBES: usize = 16;

/// Locks; a panic elsewhere while holding the lock does not make the data unusable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a WebSocket task is told by a worker.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(Arc<str>),
    Close(u16, &'static str),
}

/// What a worker's thread is told.
pub(crate) enum Command {
    Modify {
        request: Box<ConferenceModify>,
        accept_new: bool,
        part: Option<Part>,
        reply: Reply,
    },
    OpenWebSocket {
        conference: ConferenceId,
        endpoint: String,
        password: String,
        frames: mpsc::Sender<Frame>,
        reply: oneshot::Sender<Result<WebSocketId, Denied>>,
    },
    WebSocketText {
        socket: WebSocketId,
        text: String,
    },
    WebSocketClosed {
        socket: WebSocketId,
    },
    /// The state of a conference's endpoints is asked for; the flag tells visitors.
    Inspect {
        conference: ConferenceId,
        reply: oneshot::Sender<Vec<(EndpointId, bool, EndpointStats)>>,
    },
    /// The host's addresses changed: host candidates, and public addresses with the host candidate behind each.
    Addresses(Vec<SocketAddr>, Vec<(SocketAddr, SocketAddr)>),
    /// A TCP connection that carries media, by the peer's end.
    StreamOpened(SocketAddr, Sink),
    /// Whole frames that came over one.
    StreamInput {
        from: SocketAddr,
        to: SocketAddr,
        at: Instant,
        frames: Vec<u8>,
    },
    StreamClosed(SocketAddr),
    Stop,
    /// Stands for a defect anywhere below.
    #[cfg(test)]
    Panic,
}

/// The state of a worker, published by its thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// When the thread last told of itself.
    pub(crate) at: Option<Instant>,
    pub(crate) stats: Stats,
    pub(crate) control: ControlStats,
    pub(crate) conferences: Vec<(String, ConferenceId, ConferenceStats)>,
    /// Whom of each it hears; nothing after the thread was held up, when silence means nothing.
    pub(crate) hearing: Vec<(String, Hearing)>,
    /// Relays through which nothing comes, by meeting; nothing after the thread was held up.
    pub(crate) broken: Vec<(String, RelayId)>,
    pub(crate) udp: net::UdpStats,
    /// Part of the time the thread worked, 0 to 1, over the last second.
    pub(crate) busy: f64,
    /// Times the thread went to sleep.
    pub(crate) waits: u64,
    pub(crate) panics: u64,
    pub(crate) handed_over: u64,
    pub(crate) handover_dropped: u64,
    pub(crate) exchanges: u64,
    pub(crate) exchange_dropped: u64,
}

/// What becomes of a bridge that is drained, once it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It waits for other orders.
    Stay,
    /// It ends.
    End,
    /// It ends and wants to be started again.
    Restart,
}

impl Then {
    /// What two flags say.
    pub(crate) fn of(end: bool, restart: bool) -> Self {
        match (end, restart) {
            (_, true) => Self::Restart,
            (true, false) => Self::End,
            (false, false) => Self::Stay,
        }
    }
}

/// How others reach a worker.
pub(crate) struct WorkerHandle {
    pub(crate) commands: SyncSender<Command>,
    pub(crate) waker: Waker,
    pub(crate) snapshot: Mutex<Snapshot>,
    pub(crate) latencies: Latencies,
}

impl WorkerHandle {
    pub(crate) fn new(commands: SyncSender<Command>, waker: Waker) -> Self {
        Self {
            commands,
            waker,
            snapshot: Mutex::default(),
            latencies: Latencies::default(),
        }
    }

    /// Of a worker that reads no commands.
    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        let (commands, _) = std::sync::mpsc::sync_channel(1);
        Self::new(commands, net::Poller::new().unwrap().1)
    }

    /// Queues a command; gives it back when the worker has too many waiting or is gone.
    pub(crate) fn send(&self, command: Command) -> Result<(), Command> {
        let result = self.commands.try_send(command).map_err(|e| match e {
            TrySendError::Full(c) | TrySendError::Disconnected(c) => c,
        });
        self.waker.wake();
        result
    }
}

/// Shared by all tasks and threads of a bridge.
pub(crate) struct Shared {
    pub(crate) server_id: String,
    pub(crate) region: Option<String>,
    pub(crate) version: String,
    pub(crate) workers: Vec<WorkerHandle>,
    pub(crate) started: Instant,
    placing: Mutex<Placing>,
    pub(crate) drain: AtomicBool,
    pub(crate) graceful: AtomicBool,
    pub(crate) shutting_down: AtomicBool,
    /// It ends once it is drained and empty.
    pub(crate) end_when_empty: AtomicBool,
    /// It wants to be started again when it has ended.
    pub(crate) restart: AtomicBool,
    /// Counts changes that a focus should hear of at once.
    changes: watch::Sender<u64>,
    /// How the bridge stands with its signalling nodes.
    pub(crate) standings: watch::Sender<Vec<Standing>>,
    /// Signalling nodes in reach.
    nodes: watch::Sender<usize>,
    /// Bits of an `f64`.
    stress: AtomicU64,
    media: Mutex<Vec<SocketAddr>>,
    /// All addresses that peers are told.
    reached: Mutex<Vec<SocketAddr>>,
    /// A media port of this bridge that does not answer.
    pub(crate) deaf: watch::Sender<Option<SocketAddr>>,
    /// Questions about other bridges that are being answered.
    pub(crate) probes: Arc<Semaphore>,
    pub(crate) streams: StreamCounts,
    pub(crate) web_sockets_refused: AtomicU64,
    /// Bridge channels over WebSocket that somebody closed, and those that broke.
    pub(crate) web_sockets_closed: (AtomicU64, AtomicU64),
    /// Stanzas from signalling nodes that were passed over.
    pub(crate) stanzas_ignored: AtomicU64,
    /// Times that the stream to a signalling node was lost.
    pub(crate) streams_lost: AtomicU64,
    /// Times that no STUN server said which address it sees.
    pub(crate) stun_unanswered: AtomicU64,
    /// Requests that found too many waiting.
    pub(crate) requests_dropped: AtomicU64,
    pub(crate) process: Process,
}

/// Signalling nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nodes {
    /// Known of.
    pub(crate) configured: usize,
    /// In reach.
    pub(crate) connected: usize,
    /// Of these, those in whose room of bridges it is.
    pub(crate) attached: usize,
}

impl Shared {
    pub(crate) fn new(
        server_id: String,
        region: Option<String>,
        version: String,
        workers: Vec<WorkerHandle>,
        people_per_worker: usize,
        started: Instant,
    ) -> Self {
        Self {
            server_id,
            region,
            version,
            workers,
            started,
            placing: Mutex::new(Placing::new(people_per_worker)),
            drain: AtomicBool::new(false),
            graceful: AtomicBool::new(false),
            shutting_down: AtomicBool::new(false),
            end_when_empty: AtomicBool::new(false),
            restart: AtomicBool::new(false),
            changes: watch::Sender::new(0),
            standings: watch::Sender::new(Vec::new()),
            nodes: watch::Sender::new(0),
            stress: AtomicU64::new(0),
            media: Mutex::default(),
            reached: Mutex::default(),
            deaf: watch::Sender::new(None),
            probes: Arc::new(Semaphore::new(PROBES)),
            streams: StreamCounts::default(),
            web_sockets_refused: AtomicU64::new(0),
            web_sockets_closed: Default::default(),
            stanzas_ignored: AtomicU64::new(0),
            streams_lost: AtomicU64::new(0),
            stun_unanswered: AtomicU64::new(0),
            requests_dropped: AtomicU64::new(0),
            process: Process::default(),
        }
    }

    /// Tells attachments that load or state changed.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// A signalling node came into reach, or is lost.
    pub(crate) fn node_in_reach(&self, is: bool) {
        self.nodes.send_modify(|nodes| {
            *nodes = match is {
                true => nodes.saturating_add(1),
                false => nodes.saturating_sub(1),
            }
        });
    }

    /// The signalling nodes, counted.
    pub(crate) fn nodes(&self) -> Nodes {
        let all = self.standings.borrow();
        Nodes {
            configured: all.len(),
            connected: *self.nodes.borrow(),
            attached: all.iter().filter(|standing| standing.attached).count(),
        }
    }

    /// How many signalling nodes are in reach.
    pub(crate) fn reach(&self) -> watch::Receiver<usize> {
        self.nodes.subscribe()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn stress(&self) -> f64 {
        f64::from_bits(self.stress.load(Ordering::Relaxed))
    }

    pub(crate) fn set_stress(&self, stress: f64) {
        self.stress.store(stress.to_bits(), Ordering::Relaxed);
    }

    /// Where media come in, as peers are told, UDP only.
    pub(crate) fn media(&self) -> Vec<SocketAddr> {
        lock(&self.media).clone()
    }

    /// Others are told of `media`; peers reach it at `reached`.
    pub(crate) fn set_media(&self, media: Vec<SocketAddr>, reached: Vec<SocketAddr>) {
        *lock(&self.media) = media;
        *lock(&self.reached) = reached;
        self.changed();
    }

    /// Whether peers are told this address for media.
    pub(crate) fn is_reached_at(&self, address: SocketAddr) -> bool {
        lock(&self.reached).contains(&address)
    }

    /// Becomes empty, or need not any more.
    pub(crate) fn set_drain(&self, drain: bool, then: Then) {
        self.end_when_empty
            .store(drain && then != Then::Stay, Ordering::SeqCst);
        self.restart
            .store(drain && then == Then::Restart, Ordering::SeqCst);
        self.set_flag(&self.drain, drain);
        // Whoever waits for the end looks again.
        self.changed();
    }

    pub(crate) fn set_flag(&self, flag: &AtomicBool, value: bool) {
        if flag.swap(value, Ordering::SeqCst) != value {
            self.changed();
        }
    }

    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        self.workers
            .iter()
            .map(|s| lock(&s.snapshot).clone())
            .collect()
    }

    /// Queues a colibri2 request at the workers it concerns. What one worker is asked of a meeting stays in order.
    pub(crate) fn modify(&self, request: ConferenceModify, reply: Reply) {
        let meeting = request.meeting_id.clone();
        let accept_new =
            !self.graceful.load(Ordering::SeqCst) && !self.shutting_down.load(Ordering::SeqCst);
        let busy = |worker: &WorkerHandle| lock(&worker.snapshot).busy;
        let busy: Vec<f64> = self.workers.iter().map(busy).collect();
        let order = request.endpoints.iter().map(|e| e.id.clone()).collect();
        let errands = lock(&self.placing).place(request, &busy);
        let mut replies = gather::replies(reply, errands.len(), order);
        for errand in errands {
            let Some(reply) = replies.pop() else {
                break;
            };
            let command = Command::Modify {
                request: Box::new(errand.request),
                accept_new,
                part: errand.part,
                reply,
            };
            let refused = match self.workers.get(errand.worker) {
                Some(worker) => worker.send(command).err(),
                None => Some(command),
            };
            if let Some(Command::Modify { reply, .. }) = refused {
                self.requests_dropped.fetch_add(1, Ordering::Relaxed);
                self.answered(&meeting, errand.worker, true);
                reply(Answer {
                    result: Err(ErrorAnswer::plain(
                        "resource-constraint",
                        "The bridge is too busy",
                    )),
                    conference: None,
                });
            }
        }
    }

    /// A worker answered what it was asked of a meeting; `exists` tells whether its part of it exists now.
    pub(crate) fn answered(&self, meeting: &str, worker: usize, exists: bool) {
        lock(&self.placing).answered(meeting, worker, exists);
    }

    /// A worker ended its part of a meeting by itself.
    pub(crate) fn ended(&self, meeting: &str, worker: usize) {
        lock(&self.placing).ended(meeting, worker);
    }

    /// Somebody left a meeting without a request.
    pub(crate) fn left(&self, meeting: &str, endpoint: &str) {
        lock(&self.placing).left(meeting, endpoint);
    }

    /// A worker lost all its meetings.
    pub(crate) fn worker_lost(&self, worker: usize) {
        lock(&self.placing).worker_lost(worker);
    }

    /// The worker of a conference, by the low byte of its id.
    pub(crate) fn worker_of(&self, conference: ConferenceId) -> Option<&WorkerHandle> {
        self.workers.get((conference.0 & 0xff) as usize)
    }
}
