//! A worker's sockets: what is read when, and how long the worker sleeps.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use net::{Lane, Poller, Ready, ReceiveSlab, Received, UdpStats};

use crate::ports::Ports;

/// Deadlines as near as this are slept for without looking at the sockets: what arrives meanwhile is read together. Not
/// longer than a burst is collected, so it adds nothing to what the packets wait anyway.
const REST: Duration = Duration::from_micros(250);
/// Sleeps shorter than this cost more than they save.
const SHORTEST_REST: Duration = Duration::from_micros(20);
/// RTCP is read this often while there is much of it: a wake costs more than what it is read for, and half of this is what
/// a repair waits longer on average.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(5);
/// So many reads that find no RTCP end that.
const IDLE_READS: u32 = 4;
/// What is read in a row before it is sent on.
const READING: Duration = Duration::from_micros(200);
/// Number of the first socket for RTCP, as the poller tells it.
const FEEDBACK: u32 = 32;
/// Number of all sockets of relays.
const RELAYS: u32 = FEEDBACK - 1;
/// Addresses a worker may have sockets at.
pub(crate) const MAX_LANES: usize = RELAYS as usize;

/// RTCP is announced so many datagrams ahead.
const AHEAD: usize = 2;

/// What there is of a datagram.
pub(crate) enum Input<'a> {
    /// RTCP that is next but one.
    Soon(Received),
    /// The datagram.
    Now(Received, &'a mut [u8]),
}

/// The sockets of a worker.
#[derive(Debug)]
pub(crate) struct Intake {
    lanes: Vec<(Lane, Pace)>,
    ports: Ports,
    poller: Poller,
    ready: Ready,
    /// Times it went to sleep.
    pub(crate) waits: u64,
}

impl Intake {
    /// # Errors
    /// What the system says.
    pub(crate) fn new(lanes: Vec<Lane>, mut poller: Poller) -> std::io::Result<Self> {
        for (number, lane) in (0..).zip(&lanes) {
            poller.add(&lane.media, number)?;
            if let Some(feedback) = &lane.feedback {
                poller.add(feedback, FEEDBACK + number)?;
            }
        }
        let lanes = lanes.into_iter().map(|lane| (lane, Pace::default()));
        Ok(Self {
            lanes: lanes.collect(),
            ports: Ports::default(),
            poller,
            ready: Ready::default(),
            waits: 0,
        })
    }

    /// Reads what the last wait found, and RTCP where it is time; whether there is more. `clock` tells the time.
    pub(crate) fn receive(
        &mut self,
        slab: &mut ReceiveSlab,
        clock: impl Fn() -> Instant,
        mut handle: impl FnMut(Input<'_>),
    ) -> bool {
        let start = clock();
        let late = || clock().saturating_duration_since(start) > READING;
        for (number, (lane, pace)) in (0..).zip(&mut self.lanes) {
            if self.ready.has(number) {
                let (_, all) = read(&mut lane.media, slab, &late, 0, &mut handle);
                if all {
                    self.ready.clear(number);
                }
            }
            let number = FEEDBACK + number;
            let Some(feedback) = &mut lane.feedback else {
                continue;
            };
            if !self.ready.has(number) && !pace.is_due(start) {
                continue;
            }
            let (count, all) = read(feedback, slab, &late, AHEAD, &mut handle);
            if all {
                self.ready.clear(number);
            }
            let listen = pace.read(start, count);
            if let Some(listen) = listen
                && let Err(error) = self.poller.listen(feedback, number, listen)
            {
                tracing::warn!(%error, "a socket cannot be waited for");
            }
        }
        if self.ready.has(RELAYS) {
            let mut all = true;
            for socket in self.ports.sockets() {
                all &= read(socket, slab, &late, 0, &mut handle).1;
            }
            if all {
                self.ready.clear(RELAYS);
            }
        }
        self.ready.sockets != 0
    }

    /// Opens sockets for a relay alone; the addresses at which it is reached, of those of `hosts`.
    pub(crate) fn open_port(&mut self, hosts: &[SocketAddr]) -> Vec<SocketAddr> {
        let lanes = self.lanes.iter().map(|(lane, _)| lane.local_addr());
        let beside: Vec<SocketAddr> = lanes.collect();
        let poller = (&mut self.poller, RELAYS);
        self.ports.open(poller, &beside, hosts)
    }

    /// Closes the sockets of all relays.
    pub(crate) fn close_ports(&mut self) {
        self.ports.clear();
    }

    /// Closes the sockets of a relay.
    pub(crate) fn close_port(&mut self, addresses: &[SocketAddr]) {
        self.ports.close(addresses);
    }

    /// Sends runs, each by the socket of its address, else by one of its family.
    pub(crate) fn send(&mut self, arena: &[u8], runs: &[net::Run]) {
        if self.ports.is_empty() {
            return self.send_shared(arena, runs);
        }
        for part in runs.chunk_by(|a, b| a.from == b.from) {
            match part.first().and_then(|run| self.ports.of(run)) {
                Some(socket) => socket.send_runs(arena, part),
                None => self.send_shared(arena, part),
            }
        }
    }

    fn send_shared(&mut self, arena: &[u8], runs: &[net::Run]) {
        match &mut *self.lanes {
            [(only, _)] => only.media.send_runs(arena, runs),
            lanes => {
                for (lane, _) in lanes {
                    let v4 = lane.local_addr().is_ipv4();
                    for part in runs.chunk_by(|a, b| a.to.is_ipv4() == b.to.is_ipv4()) {
                        if part.first().is_some_and(|run| run.to.is_ipv4() == v4) {
                            lane.media.send_runs(arena, part);
                        }
                    }
                }
            }
        }
    }

    /// Sleeps until a datagram, a wake or `deadline`. A deadline that is near is slept for without looking.
    pub(crate) fn wait(&mut self, now: Instant, deadline: Instant) {
        self.waits += 1;
        let left = deadline.saturating_duration_since(now);
        let timeout = if (SHORTEST_REST..=REST).contains(&left) {
            net::rest(left);
            Duration::ZERO
        } else {
            let due = self.lanes.iter().filter_map(|(_, pace)| pace.due).min();
            due.map_or(left, |due| left.min(due.saturating_duration_since(now)))
        };
        match self.poller.wait(Some(timeout)) {
            Ok(ready) => self.ready = ready,
            Err(error) => {
                tracing::warn!(%error, "waiting for packets failed");
                std::thread::yield_now();
            }
        }
    }

    /// Counters of all sockets.
    pub(crate) fn stats(&self) -> UdpStats {
        let mut sum = self.ports.stats();
        for (lane, _) in &self.lanes {
            sum += lane.media.stats();
            if let Some(feedback) = &lane.feedback {
                sum += feedback.stats();
            }
        }
        sum
    }
}

/// Reads a socket; how many datagrams there were, and whether those were all. Each is announced `ahead` datagrams before, if
/// that is any.
fn read(
    socket: &mut net::UdpBatch,
    slab: &mut ReceiveSlab,
    late: &impl Fn() -> bool,
    ahead: usize,
    handle: &mut impl FnMut(Input<'_>),
) -> (usize, bool) {
    let mut total = 0;
    loop {
        match socket.receive(slab) {
            Ok(count) => total += count,
            Err(error) => {
                tracing::debug!(%error, "receive failed");
                return (total, true);
            }
        }
        let (coming, datagrams) = slab.parts();
        let mut coming = coming.iter().take(if ahead == 0 { 0 } else { usize::MAX });
        for soon in coming.by_ref().take(ahead) {
            handle(Input::Soon(*soon));
        }
        for (received, bytes) in datagrams {
            if let Some(soon) = coming.next() {
                handle(Input::Soon(*soon));
            }
            handle(Input::Now(received, bytes));
        }
        if !slab.is_full() {
            return (total, true);
        }
        if late() {
            return (total, false);
        }
    }
}

/// When RTCP is read. Receivers' feedback comes in many small datagrams that nobody waits for: where they follow each other
/// closely they are read by time, together, and do not wake the worker.
#[derive(Debug, Default)]
struct Pace {
    /// When it is read next, by time.
    due: Option<Instant>,
    last: Option<Instant>,
    idle: u32,
}

impl Pace {
    /// Whether to read by time. A worker that is awake anyway reads a little early rather than to wake once more.
    fn is_due(&self, now: Instant) -> bool {
        self.due
            .is_some_and(|due| due <= now + FEEDBACK_INTERVAL / 4)
    }

    /// `count` datagrams were read; whether to wait for the socket from now on, where that changes.
    fn read(&mut self, now: Instant, count: usize) -> Option<bool> {
        let last = self.last.replace(now);
        let close = |last| now.saturating_duration_since(last) < FEEDBACK_INTERVAL;
        if self.due.is_none() {
            if !last.is_some_and(close) {
                return None;
            }
            self.due = Some(now + FEEDBACK_INTERVAL);
            self.idle = 0;
            return Some(false);
        }
        self.idle = if count == 0 { self.idle + 1 } else { 0 };
        if self.idle >= IDLE_READS {
            self.due = None;
            return Some(true);
        }
        self.due = Some(now + FEEDBACK_INTERVAL);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "some first instant")]
    fn much_feedback_is_read_by_time_and_little_when_it_comes() {
        let start = Instant::now();
        let at = |us: u64| start + Duration::from_micros(us);
        let mut pace = Pace::default();
        // Far apart: each wakes.
        for ms in [0, 10, 20] {
            assert_eq!(pace.read(at(ms * 1000), 1), None);
            assert!(!pace.is_due(at(ms * 1000 + 9_000)));
        }
        // Close together: by time from now on, or a quarter of it earlier.
        assert_eq!(pace.read(at(20_500), 1), Some(false));
        assert!(!pace.is_due(at(24_200)) && pace.is_due(at(24_250)));
        let mut now = 25_500;
        for count in [3, 0, 0, 0, 1, 0, 0, 0] {
            assert_eq!(pace.read(at(now), count), None);
            now += 5_000;
        }
        // Nothing any more.
        assert_eq!(pace.read(at(now), 0), Some(true));
        assert!(!pace.is_due(at(now + 10_000)));
        assert_eq!(pace.read(at(now + 10_000), 1), None);
    }
}
