//! Runs the focus as an XMPP client of its own node.

use std::collections::HashMap;
use std::time::Duration;

use focus::{ConferenceRequest, ConferenceResponse, Focus, RequestError, RequestId};
use link::{LinkEvent, LinkSender};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};

use crate::{contained, now};

/// Conference requests over HTTP that may wait for the focus.
const QUEUE: usize = 256;
/// How long the focus may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Rest after a defect in what is due by time.
const AFTER_DEFECT: Duration = Duration::from_millis(100);

type Answer = oneshot::Sender<Result<ConferenceResponse, RequestError>>;

/// The way to the focus for requests over HTTP.
#[derive(Clone)]
pub(crate) struct FocusHandle {
    requests: mpsc::Sender<(ConferenceRequest, Answer)>,
}

impl FocusHandle {
    pub(crate) async fn request(
        &self,
        request: ConferenceRequest,
    ) -> Result<ConferenceResponse, RequestError> {
        let (answer, answered) = oneshot::channel();
        if self.requests.send((request, answer)).await.is_err() {
            return Err(RequestError::Offline);
        }
        answered.await.unwrap_or(Err(RequestError::Offline))
    }
}

/// The task's state.
pub(crate) struct FocusTask {
    focus: Focus,
    link: LinkSender,
    events: mpsc::Receiver<LinkEvent>,
    requests: mpsc::Receiver<(ConferenceRequest, Answer)>,
    answers: HashMap<RequestId, Answer>,
}

/// A focus behind a link that was just spawned.
pub(crate) fn new(
    focus: Focus,
    link: LinkSender,
    events: mpsc::Receiver<LinkEvent>,
) -> (FocusHandle, FocusTask) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let task = FocusTask {
        focus,
        link,
        events,
        requests: receiver,
        answers: HashMap::new(),
    };
    (FocusHandle { requests: sender }, task)
}

impl FocusTask {
    /// Runs until the node stops, then leaves all rooms in order.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            let due = self.focus.poll_timeout();
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => {
                        contained("focus", || self.on_link(event));
                    }
                    None => return,
                },
                request = self.requests.recv() => if let Some((request, answer)) = request {
                    let id = self.focus.conference_request(now(), request);
                    self.answers.insert(id, answer);
                },
                () = async { sleep_until(due.unwrap_or_else(now).into()).await }, if due.is_some() => {}
                () = crate::stopped(&mut stopping) => return self.goodbye().await,
            }
            let now = now();
            if self.focus.poll_timeout().is_some_and(|due| due <= now) {
                let done = contained("focus", || self.focus.handle_timeout(now));
                if done.is_none() {
                    // It may be due again at once; the node must not spin.
                    sleep(AFTER_DEFECT).await;
                }
            }
            self.carry_out();
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        let now = now();
        match event {
            LinkEvent::Online { jid, resumed } => self.focus.online(now, jid, resumed),
            LinkEvent::Offline { .. } => self.focus.offline(now),
            LinkEvent::Stanza(stanza) => self.focus.handle_stanza(now, &stanza),
        }
    }

    fn carry_out(&mut self) {
        while let Some(stanza) = self.focus.poll_transmit() {
            if let Err(error) = self.link.send(stanza) {
                tracing::warn!(%error, "a stanza of the focus was dropped");
            }
        }
        while let Some(event) = self.focus.poll_event() {
            if event.is_problem() {
                tracing::warn!(target: "focus", "{event}");
            } else {
                tracing::info!(target: "focus", "{event}");
            }
        }
        while let Some((id, answer)) = self.focus.poll_reply() {
            if let Some(waiting) = self.answers.remove(&id) {
                let _ = waiting.send(answer);
            }
        }
    }

    async fn goodbye(mut self) {
        self.focus.shutdown(now());
        self.carry_out();
        self.link.close().await;
        let _ = timeout(GOODBYE, async {
            while self.events.recv().await.is_some() {}
        })
        .await;
    }
}
