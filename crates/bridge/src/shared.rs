//! What the parts of a bridge share: the workers' queues, which meeting is where, the life-cycle state.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use net::Waker;
use sfu::control::{Answer, ControlStats, Denied, WebSocketId};
use sfu::{ConferenceId, ConferenceStats, Stats};
use stanza::colibri2::{ConferenceModify, ErrorAnswer};
use tokio::sync::{mpsc, oneshot, watch};

use crate::latency::Latencies;

/// Commands that may wait for a worker.
pub(crate) const COMMANDS: usize = 4096;

/// Locks; a panic elsewhere while holding the lock does not make the data unusable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a WebSocket task is told by a worker.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(std::sync::Arc<str>),
    Close(u16, &'static str),
}

/// Called in the worker's thread with the answer.
pub(crate) type Reply = Box<dyn FnOnce(Answer) + Send>;

/// What a worker's thread is told.
pub(crate) enum Command {
    Modify {
        request: Box<ConferenceModify>,
        accept_new: bool,
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
    /// The host's addresses changed: host candidates, and public addresses with the host candidate behind each.
    Addresses(
        Vec<std::net::SocketAddr>,
        Vec<(std::net::SocketAddr, std::net::SocketAddr)>,
    ),
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
    pub(crate) udp: net::UdpStats,
    /// Part of the time the thread worked, 0 to 1, over the last second.
    pub(crate) busy: f64,
    /// Times the thread went to sleep.
    pub(crate) waits: u64,
    pub(crate) panics: u64,
    pub(crate) handed_over: u64,
    pub(crate) handover_dropped: u64,
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

#[derive(Debug, Clone, Copy)]
struct Place {
    worker: usize,
    /// Requests on the way: while there are any, only their answers decide whether the meeting is forgotten.
    pending: usize,
}

/// Shared by all tasks and threads of a bridge.
pub(crate) struct Shared {
    pub(crate) server_id: String,
    pub(crate) region: Option<String>,
    pub(crate) version: String,
    pub(crate) workers: Vec<WorkerHandle>,
    pub(crate) started: Instant,
    meetings: Mutex<HashMap<String, Place>>,
    pub(crate) drain: AtomicBool,
    pub(crate) graceful: AtomicBool,
    pub(crate) shutting_down: AtomicBool,
    /// Counts changes that a focus should hear of at once.
    changes: watch::Sender<u64>,
    /// Whether a brewery has taken the bridge in since the start.
    pub(crate) attached: watch::Sender<bool>,
    /// Bits of an `f64`.
    stress: AtomicU64,
    pub(crate) web_sockets_refused: AtomicU64,
    /// Stanzas from signalling nodes that were passed over.
    pub(crate) stanzas_ignored: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        server_id: String,
        region: Option<String>,
        version: String,
        workers: Vec<WorkerHandle>,
        started: Instant,
    ) -> Self {
        Self {
            server_id,
            region,
            version,
            workers,
            started,
            meetings: Mutex::default(),
            drain: AtomicBool::new(false),
            graceful: AtomicBool::new(false),
            shutting_down: AtomicBool::new(false),
            changes: watch::Sender::new(0),
            attached: watch::Sender::new(false),
            stress: AtomicU64::new(0),
            web_sockets_refused: AtomicU64::new(0),
            stanzas_ignored: AtomicU64::new(0),
        }
    }

    /// Tells attachments that load or state changed.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
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

    /// Queues a colibri2 request at the worker of its meeting. Requests of one meeting stay in order.
    pub(crate) fn modify(&self, request: ConferenceModify, reply: Reply) {
        let meeting = request.meeting_id.clone();
        let accept_new =
            !self.graceful.load(Ordering::SeqCst) && !self.shutting_down.load(Ordering::SeqCst);
        let index = self.place(&meeting, request.create);
        let command = Command::Modify {
            request: Box::new(request),
            accept_new,
            reply,
        };
        let refused = match self.workers.get(index) {
            Some(worker) => worker.send(command).err(),
            None => Some(command),
        };
        if let Some(Command::Modify { reply, .. }) = refused {
            self.answered(&meeting, index, true);
            reply(Answer {
                result: Err(ErrorAnswer::plain(
                    "resource-constraint",
                    "The bridge is too busy",
                )),
                conference: None,
            });
        }
    }

    fn place(&self, meeting: &str, create: bool) -> usize {
        let mut meetings = lock(&self.meetings);
        if let Some(place) = meetings.get_mut(meeting) {
            place.pending += 1;
            return place.worker;
        }
        // Any worker gives the right answer about a meeting that nobody has.
        let worker = if create {
            self.least_loaded(&meetings)
        } else {
            0
        };
        meetings.insert(meeting.to_owned(), Place { worker, pending: 1 });
        worker
    }

    fn least_loaded(&self, meetings: &HashMap<String, Place>) -> usize {
        let mut load = vec![(0.0, 0usize); self.workers.len()];
        for (worker, slot) in self.workers.iter().zip(&mut load) {
            slot.0 = lock(&worker.snapshot).busy;
        }
        for place in meetings.values() {
            if let Some(slot) = load.get_mut(place.worker) {
                slot.1 += 1;
            }
        }
        // A tenth of a core is a difference; below that the number of meetings decides.
        load.iter()
            .enumerate()
            .min_by_key(|(_, (busy, count))| ((busy * 10.0) as u64, *count))
            .map_or(0, |(index, _)| index)
    }

    /// A request was answered; `exists` tells whether the meeting exists now.
    pub(crate) fn answered(&self, meeting: &str, worker: usize, exists: bool) {
        let mut meetings = lock(&self.meetings);
        let Some(place) = meetings.get_mut(meeting).filter(|p| p.worker == worker) else {
            return;
        };
        place.pending = place.pending.saturating_sub(1);
        if place.pending == 0 && !exists {
            meetings.remove(meeting);
        }
    }

    /// A worker ended a meeting by itself.
    pub(crate) fn ended(&self, meeting: &str, worker: usize) {
        let mut meetings = lock(&self.meetings);
        if meetings
            .get(meeting)
            .is_some_and(|p| p.worker == worker && p.pending == 0)
        {
            meetings.remove(meeting);
        }
    }

    /// A worker lost all its meetings.
    pub(crate) fn worker_lost(&self, worker: usize) {
        lock(&self.meetings).retain(|_, place| place.worker != worker || place.pending > 0);
    }

    #[cfg(test)]
    pub(crate) fn place_for_test(&self, meeting: &str, worker: usize) {
        lock(&self.meetings)
            .entry(meeting.to_owned())
            .or_insert(Place { worker, pending: 0 })
            .pending += 1;
    }

    #[cfg(test)]
    pub(crate) fn known(&self, meeting: &str) -> Option<usize> {
        lock(&self.meetings).get(meeting).map(|p| p.worker)
    }

    /// The worker of a conference, by the low byte of its id.
    pub(crate) fn worker_of(&self, conference: ConferenceId) -> Option<&WorkerHandle> {
        self.workers.get((conference.0 & 0xff) as usize)
    }
}
