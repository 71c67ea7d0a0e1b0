//! The thread of a shard: one event loop over its sockets, its queue and its deadlines.
#![allow(
    clippy::disallowed_methods,
    reason = "the packet loop reads the clock once per round"
)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use net::{Poller, ReceiveSlab, UdpBatch};
use rand::Rng;
use sfu::control::{ControlConfig, Controller, Note, Output, WebSocketId};
use sfu::{Disposition, Egress, ShardConfig};
use tokio::sync::mpsc;

use crate::hub::{Command, Frame, Handover, Hub, Snapshot, lock};

/// Messages received in one system call.
const BURST: usize = 32;
/// Commands handled between two looks at the socket.
const COMMANDS_PER_ROUND: usize = 64;
/// Addresses remembered as belonging to other shards.
const MAX_LEARNED: usize = 65_536;
/// How often the state is published while nothing changes.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes written before they are sent; fits the second-level cache.
const EGRESS_BYTES: usize = 512 * 1024;

/// What a shard's thread is made of.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) hub: Arc<Hub>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) sockets: Vec<UdpBatch>,
    pub(crate) poller: Poller,
    pub(crate) pin: bool,
    pub(crate) control: ControlConfig,
    pub(crate) shard: ShardConfig,
}

struct State {
    controller: Controller,
    egress: Egress,
    runs: Vec<net::Run>,
    web_sockets: HashMap<WebSocketId, mpsc::Sender<Frame>>,
    learned: HashMap<SocketAddr, usize>,
    next_snapshot: Instant,
    dirty: bool,
    working: Duration,
    counters: Counters,
    stop: bool,
}

#[derive(Default, Clone, Copy)]
struct Counters {
    panics: u64,
    handed_over: u64,
    handover_dropped: u64,
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
        let mut counters = Counters::default();
        loop {
            let mut seed = [0; 32];
            rand::rng().fill_bytes(&mut seed);
            let now = Instant::now();
            let mut state = State {
                controller: Controller::new(self.control.clone(), self.shard.clone(), seed),
                egress: Egress::new(EGRESS_BYTES),
                runs: Vec::with_capacity(256),
                web_sockets: HashMap::new(),
                learned: HashMap::new(),
                next_snapshot: now,
                dirty: true,
                working: Duration::ZERO,
                counters,
                stop: false,
            };
            let mut slab = ReceiveSlab::new(BURST);
            let result = catch_unwind(AssertUnwindSafe(|| {
                while !state.stop {
                    self.round(&mut state, &mut slab);
                }
            }));
            counters = state.counters;
            if result.is_ok() {
                return;
            }
            counters.panics += 1;
            tracing::error!(
                shard = self.index,
                "a defect ended the conferences of this shard"
            );
            for frames in state.web_sockets.into_values() {
                let _ = frames.try_send(Frame::Close(1011, "internal error"));
            }
            self.hub.shard_lost(self.index);
            self.hub.changed();
        }
    }

    fn round(&mut self, state: &mut State, slab: &mut ReceiveSlab) {
        let now = Instant::now();
        let commands_left = self.handle_commands(state, now);
        let mut drained = true;
        for socket in &mut self.sockets {
            match socket.receive(slab) {
                Ok(0) => continue,
                Ok(_) => {}
                Err(e) => {
                    tracing::debug!(shard = self.index, error = %e, "receive failed");
                    continue;
                }
            }
            drained = false;
            for (datagram, bytes) in slab.datagrams() {
                let taken =
                    state
                        .controller
                        .handle_datagram(now, datagram.from, datagram.to, bytes);
                if taken == Disposition::Foreign {
                    hand_over(
                        &self.hub,
                        self.index,
                        state,
                        datagram.from,
                        datagram.to,
                        bytes,
                    );
                }
            }
        }
        if state.controller.poll_timeout().is_some_and(|t| t <= now) {
            state.controller.handle_timeout(now);
        }
        self.drain_outputs(state, now);
        self.transmit(state, now);
        let end = Instant::now();
        state.working += end.saturating_duration_since(now);
        if state.dirty || state.next_snapshot <= end {
            self.publish(state, end);
        }
        if drained && !commands_left && !state.stop {
            let deadline = state
                .controller
                .poll_timeout()
                .map_or(state.next_snapshot, |t| t.min(state.next_snapshot));
            let timeout = deadline.saturating_duration_since(Instant::now());
            if let Err(e) = self.poller.wait(Some(timeout)) {
                tracing::warn!(shard = self.index, error = %e, "waiting for packets failed");
                std::thread::yield_now();
            }
        }
    }

    /// Handles what waits, up to a limit; whether there may be more.
    fn handle_commands(&self, state: &mut State, now: Instant) -> bool {
        for _ in 0..COMMANDS_PER_ROUND {
            match self.commands.try_recv() {
                Ok(command) => self.handle_command(state, now, command),
                Err(_) => return false,
            }
        }
        true
    }

    fn handle_command(&self, state: &mut State, now: Instant, command: Command) {
        match command {
            Command::Modify {
                request,
                accept_new,
                reply,
            } => {
                let answer = state.controller.modify(now, &request, accept_new);
                self.hub
                    .answered(&request.meeting_id, self.index, answer.conference.is_some());
                state.dirty |= request.create
                    || request.expire
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
            Command::Datagram(datagram) => self.handle_handover(state, now, datagram),
            Command::Learn { from, shard } => {
                if state.learned.len() >= MAX_LEARNED {
                    state.learned.clear();
                }
                state.learned.insert(from, shard);
            }
            Command::Addresses(hosts, mapped) => {
                state.controller.set_addresses(now, hosts, mapped);
            }
            Command::Stop => {
                state.controller.shutdown(now);
                state.stop = true;
            }
            #[cfg(test)]
            Command::Panic => panic!("a defect"),
        }
    }

    fn handle_handover(&self, state: &mut State, now: Instant, mut d: Handover) {
        let taken = state
            .controller
            .handle_datagram(now, d.from, d.to, &mut d.bytes);
        match taken {
            Disposition::Taken => {
                if let Some(origin) = self.hub.shards.get(d.origin) {
                    let _ = origin.send(Command::Learn {
                        from: d.from,
                        shard: self.index,
                    });
                }
            }
            Disposition::Foreign if d.left > 0 => {
                d.left -= 1;
                pass_on(
                    &self.hub,
                    (self.index + 1) % self.hub.shards.len(),
                    state,
                    d,
                );
            }
            Disposition::Foreign => {}
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
                    self.hub.ended(&meeting_id, self.index);
                    state.dirty = true;
                }
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
                state.dirty = true;
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
                for socket in &mut self.sockets {
                    let v4 = socket.local_addr().is_ipv4();
                    state.runs.clear();
                    let runs = state.egress.runs().iter();
                    state
                        .runs
                        .extend(
                            runs.filter(|run| run.to.is_ipv4() == v4)
                                .map(|run| net::Run {
                                    to: run.to,
                                    from: Some(run.from),
                                    offset: run.offset,
                                    len: run.len,
                                    segment: run.segment,
                                }),
                        );
                    socket.send_runs(state.egress.arena(), &state.runs);
                }
                state.egress.clear();
            }
            if !more {
                return;
            }
        }
    }

    fn publish(&self, state: &mut State, now: Instant) {
        let Some(handle) = self.hub.shards.get(self.index) else {
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
        let mut udp = net::UdpStats::default();
        for socket in &self.sockets {
            let s = socket.stats();
            udp.received += s.received;
            udp.sent += s.sent;
            udp.send_messages += s.send_messages;
            udp.send_dropped += s.send_dropped;
            udp.segmentation_refused += s.segmentation_refused;
            udp.receive_errors += s.receive_errors;
        }
        let mut snapshot = lock(&handle.snapshot);
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
            udp,
            busy,
            panics: state.counters.panics,
            handed_over: state.counters.handed_over,
            handover_dropped: state.counters.handover_dropped,
        };
        drop(snapshot);
        if std::mem::take(&mut state.dirty) {
            self.hub.changed();
        }
    }
}

/// Gives a datagram to the shard that has its sender, or asks the others one after the other.
fn hand_over(
    hub: &Hub,
    index: usize,
    state: &mut State,
    from: SocketAddr,
    to: SocketAddr,
    bytes: &[u8],
) {
    let count = hub.shards.len();
    if count < 2 {
        return;
    }
    let known = owner(bytes)
        .or_else(|| state.learned.get(&from).copied())
        .filter(|shard| *shard != index && *shard < count);
    let (target, left) = match known {
        // Should the others have to be asked after all, this one comes last.
        Some(target) => (target, count - 1),
        None => ((index + 1) % count, count - 2),
    };
    let datagram = Handover {
        from,
        to,
        bytes: bytes.to_vec(),
        origin: index,
        left,
    };
    pass_on(hub, target, state, datagram);
}

/// The shard whose number stands before the user fragment in a STUN request.
fn owner(bytes: &[u8]) -> Option<usize> {
    let number = rtc::stun_username(bytes)?.get(..2)?;
    usize::from_str_radix(number, 16).ok()
}

fn pass_on(hub: &Hub, target: usize, state: &mut State, datagram: Handover) {
    let sent = hub
        .shards
        .get(target)
        .is_some_and(|s| s.send(Command::Datagram(datagram)).is_ok());
    if sent {
        state.counters.handed_over += 1;
    } else {
        state.counters.handover_dropped += 1;
    }
}
