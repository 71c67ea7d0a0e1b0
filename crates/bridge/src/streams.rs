//! Media over TCP, for people whose network lets no UDP through: each connection is a task that gives what comes to the
//! worker that the first frame names, and writes what the worker has for it.
#![allow(
    clippy::disallowed_methods,
    reason = "when something arrived is read from the clock here, timers are tokio's"
)]

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shares::{AddressClass, Budget};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::handover::named_owner;
use crate::shared::{Command, Shared, lock};
use crate::sinks::{Sink, SinkState};

/// Connections of a bridge at one time.
const MOST: usize = 16_384;
/// Of those, connections of one address.
const MOST_OF_ONE: usize = 1_024;
/// How long a connection may be open before it has shown that it belongs to somebody.
const PROOF: Duration = Duration::from_secs(10);
/// How long nothing may come: peers check the path every few seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes read at once; more than the longest frame.
const READ: usize = 16 * 1024;
/// Bytes that the kernel takes from us before the network has taken them; more would only get old there.
const UNSENT: u32 = 32 * 1024;

/// Takes connections that carry media.
#[derive(Clone)]
pub struct StreamDoor {
    shared: Arc<Shared>,
    open: Arc<Mutex<Budget<AddressClass>>>,
}

impl std::fmt::Debug for StreamDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamDoor")
    }
}

impl StreamDoor {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            open: Arc::new(Mutex::new(Budget::new(MOST, MOST_OF_ONE))),
        }
    }

    /// Serves a connection until it ends. Nothing was read from it yet.
    pub async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let counts = &self.shared.streams;
        let class = AddressClass::from(peer.ip());
        if !lock(&self.open).take(class, 1) {
            counts.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        counts.open.fetch_add(1, Ordering::Relaxed);
        if let Some(connection) = Connection::new(&self.shared, stream, peer) {
            connection.run().await;
        }
        counts.open.fetch_sub(1, Ordering::Relaxed);
        lock(&self.open).give(class, 1);
    }

    /// Takes connections at a port of their own, for ever.
    pub async fn listen(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(self.clone().serve(stream, peer));
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    local: SocketAddr,
    remote: SocketAddr,
    input: OwnedReadHalf,
    output: Option<OwnedWriteHalf>,
    state: Arc<SinkState>,
    worker: Option<usize>,
}

impl Connection {
    fn new(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) -> Option<Self> {
        let local = stream.local_addr().ok()?;
        let options = socket2::SockRef::from(&stream);
        let set = stream
            .set_nodelay(true)
            .and_then(|()| options.set_tcp_notsent_lowat(UNSENT));
        if let Err(error) = set {
            tracing::debug!(%error, "a connection keeps its defaults");
        }
        let (input, output) = stream.into_split();
        Some(Self {
            shared: Arc::clone(shared),
            local: rtc::tcp_address(local),
            remote: rtc::tcp_address(peer),
            input,
            output: Some(output),
            state: Arc::default(),
            worker: None,
        })
    }

    async fn run(mut self) {
        let Some(output) = self.output.take() else {
            return;
        };
        let (frames, queue) = unbounded_channel();
        let write = write(output, queue, Arc::clone(&self.state));
        tokio::select! {
            () = self.read(frames) => {}
            () = write => {}
        }
        if let Some(worker) = self.worker.and_then(|w| self.shared.workers.get(w)) {
            // A worker that has no place for it finds out when it sends.
            let _ = worker.send(Command::StreamClosed(self.remote));
        }
    }

    /// Reads until the end, or until the peer turns out to be none.
    async fn read(&mut self, frames: UnboundedSender<Vec<u8>>) {
        let mut buffer = vec![0; READ];
        let mut len = 0;
        let mut frames = Some(frames);
        let start = Instant::now();
        loop {
            let proven = self.state.is_proven();
            let patience = match proven {
                true => SILENCE,
                false => PROOF.saturating_sub(start.elapsed()),
            };
            let Some(space) = buffer.get_mut(len..) else {
                return;
            };
            let read = match timeout(patience, self.input.read(space)).await {
                Ok(Ok(read)) if read > 0 => read,
                Err(_) if !proven => return self.refuse(),
                _ => return,
            };
            len += read;
            let Ok(whole) = rtc::whole_frames(buffer.get(..len).unwrap_or_default()) else {
                return self.refuse();
            };
            let Some(frames_read) = buffer.get(..whole).filter(|frames| !frames.is_empty()) else {
                continue;
            };
            let bytes = frames_read.to_vec();
            buffer.copy_within(whole..len, 0);
            len -= whole;
            if let Some(frames) = frames.take()
                && !self.open(&bytes, frames)
            {
                return self.refuse();
            }
            self.deliver(bytes);
        }
    }

    fn refuse(&self) {
        let refused = &self.shared.streams.refused;
        refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Finds the worker that the first frame names, and tells it of the connection; whether there is one.
    fn open(&mut self, bytes: &[u8], frames: UnboundedSender<Vec<u8>>) -> bool {
        let first = bytes.get(2..).unwrap_or_default();
        if rtc::stun_username(first).is_none() {
            return false;
        }
        let index = match self.shared.workers.len() {
            1 => 0,
            _ => named_owner(first).unwrap_or(usize::MAX),
        };
        let Some(worker) = self.shared.workers.get(index) else {
            return false;
        };
        self.worker = Some(index);
        let sink = Sink::new(self.local, frames, Arc::clone(&self.state));
        worker
            .send(Command::StreamOpened(self.remote, sink))
            .is_ok()
    }

    fn deliver(&self, frames: Vec<u8>) {
        let command = Command::StreamInput {
            from: self.remote,
            to: self.local,
            at: Instant::now(),
            frames,
        };
        // A worker that is too busy loses datagrams, whatever carried them.
        if let Some(worker) = self.worker.and_then(|w| self.shared.workers.get(w)) {
            let _ = worker.send(command);
        }
    }
}

async fn write(
    mut output: OwnedWriteHalf,
    mut queue: UnboundedReceiver<Vec<u8>>,
    state: Arc<SinkState>,
) {
    while let Some(frames) = queue.recv().await {
        if output.write_all(&frames).await.is_err() {
            return;
        }
        state.taken(frames.len());
    }
}
