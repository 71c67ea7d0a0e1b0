//! The thread of a shard: one event loop over its sockets, its queues and its deadlines.
#![allow(
    clippy::disallowed_methods,
    reason = "the packet loop reads the clock a few times a round"
)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use net::ReceiveSlab;
use rand::Rng;
use sfu::control::{ControlConfig, Controller, Note, Output, WebSocketId};
use sfu::{Disposition, Egress, Hearing, ShardConfig};
use tokio::sync::mpsc;

use crate::handover::Handover;
use crate::intake::{Input, Intake};
use crate::post::Post;
use crate::shared::{Command, Frame, Shared, Snapshot, lock};
use crate::sinks::Sinks;

/// Messages received in one system call.
const BURST: usize = 32;
/// Commands handled between two looks at the socket.
const COMMANDS_PER_ROUND: usize = 64;
/// How often the state is published while nothing changes.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whom it hears, where meetings are: a focus asks for that several times a second.
const HEARING_INTERVAL: Duration = Duration::from_millis(250);
/// A thread that wakes so much too late was held up: what it has not heard meanwhile means nothing,
const HELD_UP: Duration = Duration::from_millis(500);
/// for this time.
const DEAFENED: Duration = Duration::from_secs(4);
/// Questions whether the port answers, answered in one round.
const ECHOES: usize = 32;
/// Bytes written before they are sent; fits the second-level cache.
const EGRESS_BYTES: usize = 512 * 1024;

/// What a worker's thread is made of.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) intake: Intake,
    pub(crate) handover: Handover,
    pub(crate) post: Post,
    pub(crate) pin: bool,
    pub(crate) control: ControlConfig,
    pub(crate) shard: ShardConfig,
}

struct State {
    controller: Controller,
    egress: Egress,
    runs: Vec<net::Run>,
    web_sockets: HashMap<WebSocketId, mpsc::Sender<Frame>>,
    streams: Sinks,
    /// What relays are told as this machine's addresses.
    hosts: Vec<SocketAddr>,
    /// Addresses of relays that are gone, to be closed when the last words are sent.
    closing: Vec<SocketAddr>,
    /// The latest moment the controller was told.
    latest: Instant,
    next_snapshot: Instant,
    next_hearing: Instant,
    /// When it should be awake next.
    awake: Instant,
    /// Silence means nothing before this time.
    deaf_until: Instant,
    /// Answers to whoever asked whether the port answers, with where from and where to.
    echoes: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    dirty: bool,
    working: Duration,
    panics: u64,
    stop: bool,
}

impl State {
    /// A moment for the controller, which is never told an earlier one than before: a datagram that lay in a socket while
    /// others were handled arrived then, for it.
    fn tell(&mut self, at: Instant) -> Instant {
        self.latest = self.latest.max(at);
        self.latest
    }

    fn handle_datagram(&mut self, received: net::Received, bytes: &mut [u8]) -> Disposition {
        if let Some((answer, len)) = rtc::echo::answer(bytes, received.from) {
            if self.echoes.len() < ECHOES {
                let answer = answer[..len].to_vec();
                self.echoes.push((received.to, received.from, answer));
            }
            return Disposition::Taken;
        }
        let at = self.tell(received.at);
        self.controller
            .handle_datagram(at, received.from, received.to, bytes)
    }

    /// What came over a TCP connection.
    fn handle_frames(&mut self, from: SocketAddr, to: SocketAddr, at: Instant, frames: &mut [u8]) {
        let at = self.tell(at);
        for datagram in rtc::frames(frames) {
            let is_check = rtc::stun_username(datagram).is_some();
            let taken = self.controller.handle_datagram(at, from, to, datagram);
            if is_check
                && taken == Disposition::Taken
                && let Some(sink) = self.streams.get(&from)
            {
                sink.prove();
            }
        }
    }
}

impl Worker {
    fn pin(&self) {
        if !self.pin {
            return;
        }
        // The first processor is left to everything else.
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        if let Err(error) = net::pin_current_thread((self.index + 1) % cores) {
            tracing::warn!(shard = self.index, %error, "cannot keep the thread on one processor");
        }
    }

    /// Runs until told to stop. A panic ends the shard's conferences, not the thread.
    pub(crate) fn run(mut self) {
        self.pin();
        if let Err(error) = net::precise_timers() {
            tracing::warn!(shard = self.index, %error, "the thread sleeps longer than it should");
        }
        let mut panics = 0;
        loop {
            let mut seed = [0; 32];
            rand::rng().fill_bytes(&mut seed);
            let now = Instant::now();
            let mut state = State {
                controller: Controller::new(self.control.clone(), self.shard.clone(), seed),
                egress: Egress::new(EGRESS_BYTES),
                runs: Vec::with_capacity(256),
                web_sockets: HashMap::new(),
                streams: Sinks::default(),
                hosts: self.shard.host_candidates.clone(),
                closing: Vec::new(),
                latest: now,
                next_snapshot: now,
                next_hearing: now,
                awake: now,
                deaf_until: now,
                echoes: Vec::new(),
                dirty: true,
                working: Duration::ZERO,
                panics,
                stop: false,
            };
            let mut slab = ReceiveSlab::new(BURST);
            let result = catch_unwind(AssertUnwindSafe(|| {
                while !state.stop {
                    self.round(&mut state, &mut slab);
                }
            }));
            if result.is_ok() {
                return;
            }
            panics += 1;
            tracing::error!(
                shard = self.index,
                "a defect ended the conferences of this shard"
            );
            for frames in state.web_sockets.into_values() {
                let _ = frames.try_send(Frame::Close(1011, "internal error"));
            }
            if let Some(handle) = self.shared.workers.get(self.index) {
                lock(&handle.snapshot).conferences.clear();
            }
            self.intake.close_ports();
            self.shared.worker_lost(self.index);
            self.post.lost();
            self.shared.changed();
        }
    }

    fn round(&mut self, state: &mut State, slab: &mut ReceiveSlab) {
        let start = Instant::now();
        if start.saturating_duration_since(state.awake) > HELD_UP {
            state.deaf_until = start + DEAFENED;
        }
        let more_commands = self.handle_commands(state, start);
        let more_input = self.take_input(state, slab);
        let more_told = self.take_told(state);
        let now = state.tell(Instant::now());
        if state.controller.poll_timeout().is_some_and(|t| t <= now) {
            state.controller.handle_timeout(now);
        }
        self.drain_outputs(state, now);
        // The others begin to send while this one does.
        self.tell(state, now);
        self.transmit(state, now);
        self.answer_echoes(state);
        if !state.closing.is_empty() {
            self.intake.close_port(&std::mem::take(&mut state.closing));
        }
        self.tell(state, now);
        self.handover.flush();
        let end = Instant::now();
        state.awake = end;
        state.working += end.saturating_duration_since(start);
        if state.dirty || state.next_snapshot <= end {
            self.publish(state, end);
        } else if state.next_hearing <= end {
            self.publish_hearing(state, end);
        }
        if !more_commands && !more_input && !more_told && !state.stop {
            let has_meetings = state.controller.meetings().next().is_some();
            let hearing = has_meetings.then_some(state.next_hearing);
            let own = hearing.map_or(state.next_snapshot, |t| t.min(state.next_snapshot));
            let deadline = state.controller.poll_timeout().map_or(own, |t| t.min(own));
            state.awake = deadline.max(end);
            self.intake.wait(end, deadline);
        }
    }

    /// Handles what others handed over and what the sockets have; whether there is more.
    fn take_input(&mut self, state: &mut State, slab: &mut ReceiveSlab) -> bool {
        let handover = &mut self.handover;
        let more = handover.take(|received, bytes| state.handle_datagram(received, bytes));
        let unread = self
            .intake
            .receive(slab, Instant::now, |input| match input {
                Input::Soon(coming) => state.controller.announce(coming.from, coming.to),
                Input::Now(received, bytes) => {
                    if state.handle_datagram(received, bytes) == Disposition::Foreign {
                        handover.put(received, bytes);
                    }
                }
            });
        more || unread
    }

    /// Handles what workers with other parts of a conference tell; whether there is more.
    fn take_told(&mut self, state: &mut State) -> bool {
        let now = Instant::now();
        let controller = &mut state.controller;
        self.post.take(|told| {
            let at = state.latest.max(now);
            state.latest = at;
            controller.handle_exchange(at, told);
        })
    }

    /// Tells workers with other parts of a conference what there is to tell.
    fn tell(&mut self, state: &mut State, now: Instant) {
        let controller = &mut state.controller;
        self.post
            .take_back(|emptied| controller.reuse_exchange(emptied));
        self.post.flush();
        while let Some(exchange) = controller.poll_exchange(now) {
            self.post.send(exchange);
        }
    }

    /// Handles what waits, up to a limit; whether there may be more.
    fn handle_commands(&mut self, state: &mut State, now: Instant) -> bool {
        for _ in 0..COMMANDS_PER_ROUND {
            match self.commands.try_recv() {
                Ok(command) => {
                    let now = state.tell(now);
                    self.handle_command(state, now, command);
                }
                Err(_) => return false,
            }
        }
        true
    }

    fn handle_command(&mut self, state: &mut State, now: Instant, command: Command) {
        match command {
            Command::Modify {
                request,
                accept_new,
                part,
                reply,
            } => {
                let own = |t: &stanza::colibri2::Transport| t.use_unique_port;
                let mut relays = request.relays.iter().filter(|r| r.create);
                let spare = relays.any(|r| r.transport.as_ref().is_some_and(own));
                if spare {
                    let addresses = self.intake.open_port(&state.hosts);
                    state.controller.spare_addresses(addresses);
                }
                let answer = state
                    .controller
                    .modify_part(now, &request, accept_new, part);
                if spare {
                    // Whatever was refused.
                    state.closing.extend(state.controller.take_spare());
                }
                self.shared
                    .answered(&request.meeting_id, self.index, answer.conference.is_some());
                state.dirty |= request.create
                    || request.expire
                    || request.relays.iter().any(|r| r.create || r.expire)
                    || request.endpoints.iter().any(|e| e.create || e.expire);
                // Whoever has the answer finds the load that goes with it.
                if state.dirty {
                    self.publish(state, now);
                }
                reply(answer);
            }
            Command::OpenWebSocket {
                conference,
                endpoint,
                password,
                frames,
                reply,
            } => {
                let opened = state
                    .controller
                    .open_web_socket(now, conference, &endpoint, &password);
                if let Ok(socket) = opened {
                    state.web_sockets.insert(socket, frames);
                }
                if reply.send(opened).is_err()
                    && let Ok(socket) = opened
                {
                    state.web_sockets.remove(&socket);
                    state.controller.web_socket_closed(socket);
                }
            }
            Command::WebSocketText { socket, text } => {
                state.controller.web_socket_text(now, socket, &text);
            }
            Command::WebSocketClosed { socket } => {
                state.web_sockets.remove(&socket);
                state.controller.web_socket_closed(socket);
            }
            Command::Inspect { conference, reply } => {
                let shard = state.controller.shard();
                let endpoints = shard.endpoints(conference).into_iter();
                let stats = endpoints.filter_map(|(id, visitor)| {
                    let stats = shard.endpoint_stats(conference, &id)?;
                    Some((id, visitor, stats))
                });
                // Whoever asked may have gone.
                let _ = reply.send(stats.collect());
            }
            Command::Addresses(hosts, mapped) => {
                state.hosts.clone_from(&hosts);
                state.controller.set_addresses(now, hosts, mapped);
            }
            Command::StreamOpened(remote, sink) => state.streams.open(remote, sink),
            Command::StreamInput {
                from,
                to,
                at,
                mut frames,
            } => state.handle_frames(from, to, at, &mut frames),
            Command::StreamClosed(remote) => state.streams.close(remote),
            Command::Stop => {
                state.controller.shutdown(now);
                state.stop = true;
            }
            #[cfg(test)]
            Command::Panic => panic!("a defect"),
        }
    }

    fn drain_outputs(&self, state: &mut State, now: Instant) {
        while let Some(output) = state.controller.poll_output(now) {
            match output {
                Output::WebSocketText { socket, text } => {
                    let full = state
                        .web_sockets
                        .get(&socket)
                        .is_some_and(|frames| frames.try_send(Frame::Text(text)).is_err());
                    // A client that does not read is cut off; it will dial again and get the state anew.
                    if full {
                        state.web_sockets.remove(&socket);
                        state.controller.web_socket_closed(socket);
                    }
                }
                Output::WebSocketClose {
                    socket,
                    code,
                    reason,
                } => {
                    if let Some(frames) = state.web_sockets.remove(&socket) {
                        let _ = frames.try_send(Frame::Close(code, reason));
                    }
                }
                Output::ConferenceEnded {
                    meeting_id,
                    conference,
                } => {
                    tracing::info!(%conference, meeting = meeting_id, "conference ended");
                    self.shared.ended(&meeting_id, self.index);
                    state.dirty = true;
                }
                Output::AddressesFree(addresses) => state.closing.extend(addresses),
                Output::Note(note) => self.log(state, &note),
                _ => {}
            }
        }
    }

    fn log(&self, state: &mut State, note: &Note) {
        let shard = self.index;
        match note {
            Note::ConferenceCreated(conference) => {
                tracing::info!(shard, %conference, "conference created");
            }
            Note::EndpointCreated(conference, endpoint) => {
                tracing::info!(shard, %conference, %endpoint, "endpoint created");
            }
            Note::Connected(conference, endpoint) => {
                tracing::info!(shard, %conference, %endpoint, "transport connected");
            }
            Note::ChannelOpened(conference, endpoint, path) => {
                tracing::info!(shard, %conference, %endpoint, ?path, "bridge channel open");
            }
            Note::TransportFailed(conference, endpoint, reason) => {
                tracing::warn!(shard, %conference, %endpoint, reason, "transport failed");
            }
            Note::EndpointExpired(conference, endpoint) => {
                tracing::info!(shard, %conference, %endpoint, "endpoint expired");
                if let Some(meeting) = state.controller.meeting_id(*conference) {
                    self.shared.left(meeting, endpoint.as_str());
                }
                state.dirty = true;
            }
            Note::RelayCreated(conference, relay) => {
                tracing::info!(shard, %conference, %relay, "relay to another bridge created");
            }
            Note::RelayConnected(conference, relay) => {
                tracing::info!(shard, %conference, %relay, "relay connected");
            }
            Note::RelayChannelOpened(conference, relay) => {
                tracing::info!(shard, %conference, %relay, "channel of a relay open");
            }
            Note::RelayFailed(conference, relay, reason) => {
                tracing::warn!(shard, %conference, %relay, reason, "relay failed");
            }
            Note::Ignored(conference, endpoint, what) => {
                tracing::warn!(shard, %conference, %endpoint, what, "part of a request ignored");
            }
            _ => {}
        }
    }

    fn transmit(&mut self, state: &mut State, now: Instant) {
        loop {
            let more = state.controller.poll_transmit(now, &mut state.egress);
            if !state.egress.is_empty() {
                state.runs.clear();
                let runs = state.egress.runs().iter();
                let datagrams = runs.filter(|run| !rtc::is_tcp(&run.from));
                state.runs.extend(datagrams.map(|run| net::Run {
                    to: run.to,
                    from: Some(run.from),
                    offset: run.offset,
                    len: run.len,
                    segment: run.segment,
                }));
                self.transmit_streams(state);
                self.count_latencies(state, now);
                self.intake.send(state.egress.arena(), &state.runs);
                state.egress.clear();
            }
            if !more {
                return;
            }
        }
    }

    /// Answers whoever asked whether the port answers.
    fn answer_echoes(&mut self, state: &mut State) {
        for (from, to, answer) in state.echoes.drain(..) {
            let run = net::Run {
                to,
                from: Some(from),
                offset: 0,
                len: answer.len(),
                segment: answer.len(),
            };
            self.intake.send(&answer, &[run]);
        }
    }

    /// Passes on what goes over TCP.
    fn transmit_streams(&self, state: &State) {
        let runs = state.egress.runs().iter();
        for run in runs.filter(|run| rtc::is_tcp(&run.from)) {
            let bytes = state.egress.arena().get(run.offset..run.offset + run.len);
            let path = (run.from, run.to);
            let counts = &self.shared.streams;
            let bytes = bytes.unwrap_or_default();
            state.streams.send(counts, path, bytes, run.segment);
        }
    }

    /// Counts how long the packets about to be sent have been in the bridge; `now` is what the controller was told.
    fn count_latencies(&self, state: &State, now: Instant) {
        let Some(worker) = self.shared.workers.get(self.index) else {
            return;
        };
        let since = Instant::now().saturating_duration_since(now);
        for run in state.egress.runs() {
            if let Some(waited) = run.waited {
                let packets = run.len.div_ceil(run.segment.max(1)) as u64;
                worker.latencies.record(waited + since, packets);
            }
        }
    }

    fn publish(&self, state: &mut State, now: Instant) {
        let Some(handle) = self.shared.workers.get(self.index) else {
            return;
        };
        let shard = state.controller.shard();
        let conferences = state
            .controller
            .meetings()
            .map(|(meeting, id)| {
                let stats = shard.conference_stats(id).unwrap_or_default();
                (meeting.to_owned(), id, stats)
            })
            .collect();
        let hearing = (state.next_hearing <= now).then(|| hearing(state, now));
        if hearing.is_some() {
            state.next_hearing = now + HEARING_INTERVAL;
        }
        let hears = state.deaf_until <= now;
        let shard = state.controller.shard();
        let related = state.controller.meetings().filter(|_| hears);
        let broken = related.flat_map(|(meeting, id)| {
            let relays = shard.broken_relays(now, id).into_iter();
            relays.map(|relay| (meeting.to_owned(), relay))
        });
        let broken = broken.collect();
        let mut snapshot = lock(&handle.snapshot);
        let hearing = hearing.unwrap_or_else(|| std::mem::take(&mut snapshot.hearing));
        let busy = if state.next_snapshot <= now {
            let interval = SNAPSHOT_INTERVAL + now.saturating_duration_since(state.next_snapshot);
            let busy = state.working.as_secs_f64() / interval.as_secs_f64();
            state.working = Duration::ZERO;
            state.next_snapshot = now + SNAPSHOT_INTERVAL;
            busy.min(1.0)
        } else {
            snapshot.busy
        };
        *snapshot = Snapshot {
            at: Some(now),
            stats: shard.stats().clone(),
            control: state.controller.stats(),
            conferences,
            hearing,
            broken,
            udp: self.intake.stats(),
            waits: self.intake.waits,
            busy,
            panics: state.panics,
            handed_over: self.handover.handed_over,
            handover_dropped: self.handover.dropped,
            exchanges: self.post.sent,
            exchange_dropped: self.post.dropped,
        };
        drop(snapshot);
        if std::mem::take(&mut state.dirty) {
            self.shared.changed();
        }
    }

    fn publish_hearing(&self, state: &mut State, now: Instant) {
        if let Some(handle) = self.shared.workers.get(self.index) {
            let hearing = hearing(state, now);
            lock(&handle.snapshot).hearing = hearing;
            state.next_hearing = now + HEARING_INTERVAL;
        }
    }
}

/// Whom it hears, by meeting; nothing where silence means nothing.
fn hearing(state: &State, now: Instant) -> Vec<(String, Hearing)> {
    let shard = state.controller.shard();
    let hears = state.deaf_until <= now;
    let meetings = state.controller.meetings().filter(|_| hears);
    let hearing = meetings.filter_map(|(meeting, id)| {
        let hearing = shard.hearing(now, id)?;
        Some((meeting.to_owned(), hearing))
    });
    hearing.collect()
}
