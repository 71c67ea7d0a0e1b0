//! Runs the focus as an XMPP client of its own node.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use focus::{
    ConferenceRequest, ConferenceResponse, Focus, FocusConfig, FocusStats, RequestError, RequestId,
    Snapshot,
};
use link::{LinkEvent, LinkSender};
use shares::{AddressClass, Budget};
use stanza::FullJid;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};

use crate::focus_store::Store;
use crate::metrics::FocusMetrics;
use crate::operator::{Door, ORDERS, Order};
use crate::room_names::RoomNames;
use crate::seen::Seen;
use crate::{contained, now};

/// Conference requests over HTTP that may wait for the focus to take them.
const QUEUE: usize = 4096;
/// Bytes of such requests that may wait for their answers, each counted with [`ENTRY`].
const WAITING: usize = 16 * 1024 * 1024;
/// What a request takes beside its text.
const ENTRY: usize = 1024;
/// How long a request may wait for its answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How long the focus may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Rest after a defect in what is due by time.
const AFTER_DEFECT: Duration = Duration::from_millis(100);
/// A focus that meets more defects within this time ends its conferences and begins anew.
const DEFECT_WINDOW: Duration = Duration::from_secs(60);
const MAX_DEFECTS: usize = 5;
/// How often metrics are brought up to date.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

type Answer = oneshot::Sender<Result<ConferenceResponse, RequestError>>;

/// The way to the focus for requests over HTTP.
#[derive(Clone)]
pub(crate) struct FocusHandle {
    requests: mpsc::Sender<(ConferenceRequest, Answer)>,
    waiting: Arc<Mutex<Waiting>>,
}

type Waiting = Budget<Option<AddressClass>>;

/// Why a request got no answer of the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Its address, or all, have as many waiting as may be.
    Full,
    /// None came in time.
    Late,
}

/// A share of what may wait, given back when it is dropped.
struct Share<'a> {
    handle: &'a FocusHandle,
    address: Option<AddressClass>,
    bytes: usize,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.handle
            .with(|waiting| waiting.give(self.address, self.bytes));
    }
}

impl FocusHandle {
    fn with<T>(&self, act: impl FnOnce(&mut Waiting) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the focus in the name of `address`, with a request that took `bytes`.
    pub(crate) async fn request(
        &self,
        request: ConferenceRequest,
        bytes: usize,
        address: Option<AddressClass>,
    ) -> Result<Result<ConferenceResponse, RequestError>, NoAnswer> {
        let bytes = bytes + ENTRY;
        if !self.with(|waiting| waiting.take(address, bytes)) {
            return Err(NoAnswer::Full);
        }
        let _share = Share {
            handle: self,
            address,
            bytes,
        };
        let (answer, answered) = oneshot::channel();
        match self.requests.try_send((request, answer)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(NoAnswer::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => return Ok(Err(RequestError::Offline)),
        }
        match timeout(ANSWER, answered).await {
            Ok(answer) => Ok(answer.unwrap_or(Err(RequestError::Offline))),
            Err(_elapsed) => Err(NoAnswer::Late),
        }
    }
}

/// What a focus is run with.
pub(crate) struct FocusHost {
    pub(crate) config: FocusConfig,
    pub(crate) store: Store,
    pub(crate) metrics: FocusMetrics,
    pub(crate) seen: Seen,
}

/// The task's state.
pub(crate) struct FocusTask {
    focus: Focus,
    host: FocusHost,
    /// Our address, while the link is online.
    online: Option<FullJid>,
    /// The last snapshot: what remains when the focus cannot even say what it knows.
    last: Snapshot,
    /// Something changed since then.
    unsaved: bool,
    defects: VecDeque<Instant>,
    /// What the metrics have taken over of the focus's counts.
    counted: FocusStats,
    /// What focuses before this one counted, in this process.
    before: FocusStats,
    count_due: Instant,
    link: LinkSender,
    events: mpsc::Receiver<LinkEvent>,
    requests: mpsc::Receiver<(ConferenceRequest, Answer)>,
    orders: mpsc::Receiver<Order>,
    answers: HashMap<RequestId, Answer>,
    names: RoomNames,
    /// Number of answers at which those nobody waits for any more are forgotten.
    sweep_at: usize,
    /// Another process goes on with the conferences when this one ends.
    keeps: bool,
}

/// A focus behind a link that was just spawned. It goes on with the meetings of the one before it.
pub(crate) fn new(
    host: FocusHost,
    link: LinkSender,
    events: mpsc::Receiver<LinkEvent>,
    keeps: bool,
) -> (FocusHandle, Door, FocusTask) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (door, orders) = mpsc::channel(ORDERS);
    let last = host.store.load();
    if !last.is_empty() {
        tracing::info!(
            conferences = last.len(),
            "meetings from before the restart are taken up again"
        );
    }
    let task = FocusTask {
        focus: Focus::restore(now(), host.config.clone(), rand::random(), &last),
        host,
        online: None,
        last,
        unsaved: false,
        defects: VecDeque::new(),
        counted: FocusStats::default(),
        before: FocusStats::default(),
        count_due: now(),
        link,
        events,
        requests: receiver,
        orders,
        answers: HashMap::new(),
        names: RoomNames::default(),
        sweep_at: QUEUE,
        keeps,
    };
    let handle = FocusHandle {
        requests: sender,
        waiting: Arc::new(Mutex::new(Budget::new(WAITING, WAITING))),
    };
    (handle, Door(door), task)
}

impl FocusTask {
    /// Runs until the node stops, then leaves all rooms in order, unless another process goes on with them.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            let due = [
                self.focus.poll_timeout(),
                self.save_due(),
                Some(self.count_due),
            ];
            let due = due.into_iter().flatten().min();
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.on_link(event),
                    None => return,
                },
                request = self.requests.recv() => if let Some((request, answer)) = request {
                    self.ask(request, answer);
                },
                order = self.orders.recv() => if let Some(order) = order {
                    self.obey(order);
                },
                () = async { sleep_until(due.unwrap_or_else(now).into()).await }, if due.is_some() => {}
                () = crate::stopped(&mut stopping) => return self.goodbye().await,
            }
            if self.focus.poll_timeout().is_some_and(|due| due <= now()) {
                self.hear_all();
            }
            let now = now();
            if self.focus.poll_timeout().is_some_and(|due| due <= now)
                && !self.guarded(|focus| focus.handle_timeout(now))
            {
                // It may be due again at once; the node must not spin.
                sleep(AFTER_DEFECT).await;
            }
            self.carry_out();
            self.save(now);
        }
    }

    /// What has come is heard before time judges: a focus that is behind would take those for silent whose answers it has not
    /// read yet.
    fn hear_all(&mut self) {
        for _ in 0..self.events.len() {
            match self.events.try_recv() {
                Ok(event) => self.on_link(event),
                Err(_) => return,
            }
        }
    }

    fn ask(&mut self, request: ConferenceRequest, answer: Answer) {
        if answer.is_closed() {
            return;
        }
        if self.answers.len() >= self.sweep_at {
            self.answers.retain(|_, answer| !answer.is_closed());
            self.sweep_at = QUEUE.max(2 * self.answers.len());
        }
        let mut id = None;
        if self.guarded(|focus| id = Some(focus.conference_request(now(), request)))
            && let Some(id) = id
        {
            self.answers.insert(id, answer);
        }
    }

    /// Does what an operator wants.
    fn obey(&mut self, order: Order) {
        let now = now();
        // Whoever asked may have gone.
        match order {
            Order::Status(done) => {
                let status = contained("focus", || self.focus.status()).unwrap_or_default();
                let _ = done.send((status, self.totals()));
            }
            Order::Drain {
                bridge,
                drain,
                then,
                done,
            } => {
                self.guarded(|focus| {
                    let _ = done.send(focus.order_drain(now, &bridge, drain, then));
                });
            }
            Order::Move { room, to, done } => {
                self.guarded(|focus| {
                    let _ = done.send(focus.order_move(now, &room, to.as_deref()));
                });
            }
            Order::Leave { who, done } => {
                self.guarded(|focus| {
                    let _ = done.send(focus.order_leave(now, &who));
                });
            }
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        let now = now();
        match event {
            LinkEvent::Online { jid, resumed } => {
                self.online = Some(jid.clone());
                self.host.seen.set_online(true);
                self.guarded(|focus| focus.online(now, jid, resumed));
            }
            LinkEvent::Offline { .. } => {
                self.online = None;
                self.host.seen.set_online(false);
                self.guarded(|focus| focus.offline(now));
            }
            LinkEvent::Stanza(stanza) => {
                self.guarded(|focus| focus.handle_stanza(now, &stanza));
            }
            LinkEvent::Ignored(reason) => self.host.metrics.ignored(reason),
            // It was never online.
            LinkEvent::Refused { .. } | LinkEvent::Taken { .. } | LinkEvent::Unreachable { .. } => {
            }
        }
    }

    /// Lets the focus do something. A defect costs it its memory of what was under way, and no meeting; false then.
    fn guarded(&mut self, act: impl FnOnce(&mut Focus)) -> bool {
        let done = contained("focus", || act(&mut self.focus)).is_some();
        if !done {
            self.recover(now());
        }
        done
    }

    /// Another focus goes on with what is left of the one that met a defect.
    fn recover(&mut self, now: Instant) {
        self.host.metrics.restarted();
        self.defects
            .retain(|at| now.saturating_duration_since(*at) < DEFECT_WINDOW);
        self.defects.push_back(now);
        // What it had decided before is still said.
        contained("focus", || self.carry_out());
        let left = contained("focus", || self.focus.snapshot());
        let left = left.unwrap_or_else(|| self.last.clone());
        // Whoever waits for an answer asks again.
        self.answers.clear();
        self.begin(now, &left);
        if self.defects.len() > MAX_DEFECTS {
            tracing::error!(
                conferences = left.len(),
                "the focus meets one defect after the other: its meetings are ended"
            );
            contained("focus", || self.focus.shutdown(now));
            self.carry_out();
            self.defects.clear();
            self.begin(now, &Snapshot::default());
        }
    }

    fn begin(&mut self, now: Instant, snapshot: &Snapshot) {
        self.unsaved = true;
        self.count();
        self.before.add_totals(&self.counted);
        self.counted = FocusStats::default();
        self.focus = Focus::restore(now, self.host.config.clone(), rand::random(), snapshot);
        if let Some(jid) = self.online.clone() {
            contained("focus", || self.focus.online(now, jid, false));
        }
    }

    fn save_due(&self) -> Option<Instant> {
        self.host.store.due().filter(|_| self.unsaved)
    }

    /// Writes the state down, if it changed and it is time.
    fn save(&mut self, now: Instant) {
        if self.count_due <= now {
            self.count_due = now + COUNT_INTERVAL;
            self.count();
        }
        self.unsaved |= self.focus.take_changed();
        if self.save_due().is_none_or(|due| due > now) {
            return;
        }
        self.unsaved = false;
        if let Some(snapshot) = contained("focus", || self.focus.snapshot())
            && snapshot != self.last
        {
            self.host.store.write(now, &snapshot);
            self.last = snapshot;
        }
    }

    fn count(&mut self) {
        let stats = self.focus.stats();
        self.host.metrics.update(&self.counted, &stats);
        self.counted = stats;
        let figures = contained("focus", || self.focus.figures());
        self.host
            .seen
            .update(figures.unwrap_or_default(), self.totals());
    }

    /// What is so now, and what was counted since the start of the process.
    fn totals(&self) -> FocusStats {
        let mut stats = self.focus.stats();
        stats.add_totals(&self.before);
        stats
    }

    fn carry_out(&mut self) {
        while let Some(stanza) = self.focus.poll_transmit() {
            if let Err(error) = self.link.send(stanza) {
                tracing::warn!(%error, "a stanza of the focus was dropped");
            }
        }
        while let Some(event) = self.focus.poll_event() {
            let text = self.names.hide(&event);
            if event.is_problem() {
                tracing::warn!(target: "focus", "{text}");
            } else {
                tracing::info!(target: "focus", "{text}");
            }
        }
        while let Some((id, answer)) = self.focus.poll_reply() {
            if let Some(waiting) = self.answers.remove(&id) {
                let _ = waiting.send(answer);
            }
        }
    }

    async fn goodbye(mut self) {
        if self.keeps {
            return self.host.store.finish(&self.focus.snapshot()).await;
        }
        self.focus.shutdown(now());
        self.carry_out();
        self.link.close().await;
        self.host.store.finish(&self.focus.snapshot()).await;
        let _ = timeout(GOODBYE, async {
            while self.events.recv().await.is_some() {}
        })
        .await;
    }
}

#[cfg(test)]
#[path = "focus_task_tests.rs"]
mod tests;
