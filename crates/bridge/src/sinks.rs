//! What a worker has for TCP connections: a queue for each, bounded, whose surplus is dropped as a router would do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc::UnboundedSender;

/// Bytes that may wait for one connection.
const MAX_QUEUED: usize = 128 * 1024;

/// Counters of all connections of a bridge.
#[derive(Debug, Default)]
pub(crate) struct StreamCounts {
    /// Connections now.
    pub(crate) open: AtomicU64,
    /// Connections that were one too many, or whose first frame was no check of anybody here.
    pub(crate) refused: AtomicU64,
    /// Datagrams that did not fit into a queue, or whose connection was gone.
    pub(crate) dropped: AtomicU64,
}

/// The worker's end of a connection.
#[derive(Debug)]
pub(crate) struct Sink {
    local: SocketAddr,
    frames: UnboundedSender<Vec<u8>>,
    state: Arc<SinkState>,
}

/// What both ends of a connection know.
#[derive(Debug, Default)]
pub(crate) struct SinkState {
    /// Bytes in the queue.
    queued: AtomicUsize,
    /// Whether a check of somebody known came.
    proven: AtomicBool,
}

impl SinkState {
    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// The network has taken so many bytes.
    pub(crate) fn taken(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Sink {
    pub(crate) fn new(
        local: SocketAddr,
        frames: UnboundedSender<Vec<u8>>,
        state: Arc<SinkState>,
    ) -> Self {
        Self {
            local,
            frames,
            state,
        }
    }

    /// A check on this connection was for somebody here.
    pub(crate) fn prove(&self) {
        self.state.proven.store(true, Ordering::Relaxed);
    }
}

/// The connections of a worker, by the peer's end.
#[derive(Debug, Default)]
pub(crate) struct Sinks(HashMap<SocketAddr, Sink>);

impl Sinks {
    pub(crate) fn open(&mut self, remote: SocketAddr, sink: Sink) {
        self.0.insert(remote, sink);
    }

    pub(crate) fn close(&mut self, remote: SocketAddr) {
        // A newer connection may have the same ends.
        if self.0.get(&remote).is_some_and(|s| s.frames.is_closed()) {
            self.0.remove(&remote);
        }
    }

    pub(crate) fn get(&self, remote: &SocketAddr) -> Option<&Sink> {
        self.0.get(remote)
    }

    /// Queues a run of datagrams, all of `segment` bytes but the last; counts those that find no place.
    pub(crate) fn send(
        &self,
        counts: &StreamCounts,
        (from, to): (SocketAddr, SocketAddr),
        run: &[u8],
        segment: usize,
    ) {
        let datagrams = run.chunks(segment.max(1));
        let count = datagrams.len();
        let bytes = run.len() + 2 * count;
        let sink = self.0.get(&to).filter(|sink| sink.local == from);
        let fits = |sink: &&Sink| {
            let queued = &sink.state.queued;
            queued.load(Ordering::Relaxed) + bytes <= MAX_QUEUED
        };
        if let Some(sink) = sink.filter(fits) {
            let mut frames = Vec::with_capacity(bytes);
            datagrams.for_each(|d| rtc::write_frame(d, &mut frames));
            sink.state.queued.fetch_add(frames.len(), Ordering::Relaxed);
            if sink.frames.send(frames).is_ok() {
                return;
            }
        }
        counts.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn a_connection_that_takes_nothing_loses_what_does_not_fit() {
        let address = |s: &str| rtc::tcp_address(s.parse().unwrap());
        let (local, remote) = (address("10.0.0.1:443"), address("10.0.0.2:5000"));
        let (frames, mut queue) = unbounded_channel();
        let state = Arc::new(SinkState::default());
        let mut sinks = Sinks::default();
        sinks.open(remote, Sink::new(local, frames, Arc::clone(&state)));
        let counts = StreamCounts::default();
        let dropped = || counts.dropped.load(Ordering::Relaxed);
        let run = vec![7; 2_500];
        sinks.send(&counts, (local, remote), &run, 1_000);
        let framed = queue.try_recv().unwrap();
        assert_eq!(rtc::whole_frames(&framed), Ok(2_506));
        assert_eq!((framed[..2].to_vec(), dropped()), (vec![3, 232], 0));
        // Nobody has taken it from the network's end.
        for _ in 0..100 {
            sinks.send(&counts, (local, remote), &run, 1_000);
        }
        assert_eq!(state.queued.load(Ordering::Relaxed) / 2_506, 52);
        assert_eq!(dropped(), 3 * 49);
        // What is for another end of ours, or for nobody, has no connection.
        sinks.send(&counts, (remote, remote), &run, 1_000);
        sinks.send(&counts, (local, local), &run, 1_000);
        assert_eq!(dropped(), 3 * 51);
        sinks.close(remote);
        assert!(sinks.get(&remote).is_some(), "it is a newer connection");
        drop(queue);
        sinks.close(remote);
        assert!(sinks.get(&remote).is_none());
    }
}
