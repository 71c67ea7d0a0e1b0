//! UDP sockets that receive and send in bursts (recvmmsg, GRO, sendmmsg, GSO).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How to open a socket.
#[derive(Clone, Debug)]
pub struct UdpConfig {
    /// Address to bind; the unspecified one of a family binds all.
    pub bind: SocketAddr,
    /// Let several sockets share the port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Receive buffer wanted, bytes; the kernel may grant less.
    pub receive_buffer: usize,
    /// Send buffer wanted, bytes; the kernel may grant less.
    pub send_buffer: usize,
    /// Use UDP segmentation offload on receive and send where the kernel has it.
    pub offload: bool,
}

impl UdpConfig {
    /// The usual socket of a shard.
    pub fn new(bind: SocketAddr) -> Self {
        Self { bind, reuse_port: false, receive_buffer: 10 << 20, send_buffer: 4 << 20, offload: true }
    }
}

/// Length of one receive slot: a whole coalesced datagram.
pub const SLOT_LEN: usize = 65_536;

/// One received datagram in the receive slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: SocketAddr,
    /// The local address it was sent to.
    pub to: SocketAddr,
    /// Offset in the slab.
    pub offset: usize,
    /// Length.
    pub len: usize,
}

/// Counters of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpStats {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Messages handed to the kernel (each one or many datagrams).
    pub send_messages: u64,
    /// Datagrams not sent: buffer full or refused by the kernel.
    pub send_dropped: u64,
    /// Receive errors other than "nothing there".
    pub receive_errors: u64,
}

/// Memory for one receive burst: slots in a row, and what is in them.
#[derive(Debug, Default)]
pub struct ReceiveSlab {
    bytes: Vec<u8>,
    received: Vec<Received>,
}

impl ReceiveSlab {
    /// A slab of `slots` slots of [`SLOT_LEN`] bytes.
    pub fn new(slots: usize) -> Self {
        Self { bytes: vec![0; slots * SLOT_LEN], received: Vec::new() }
    }

    /// The datagrams of the last burst.
    pub fn received(&self) -> &[Received] {
        &self.received
    }

    /// The datagrams of the last burst with their bytes, in order of arrival.
    pub fn datagrams(&mut self) -> impl Iterator<Item = (Received, &mut [u8])> {
        let mut rest: &mut [u8] = &mut self.bytes;
        let mut base = 0;
        self.received.iter().map(move |r| {
            let tail = std::mem::take(&mut rest);
            let (_, tail) = tail.split_at_mut(r.offset.saturating_sub(base).min(tail.len()));
            let (datagram, tail) = tail.split_at_mut(r.len.min(tail.len()));
            base = r.offset + r.len;
            rest = tail;
            (*r, datagram)
        })
    }
}

/// Datagrams to send: an arena of bytes and runs in it. A run goes to one receiver and is cut into equal segments (the
/// last may be shorter), so that it can leave as one GSO message.
#[derive(Debug, Default)]
pub struct SendArena {
    bytes: Vec<u8>,
    runs: Vec<Run>,
}

/// One run in a [`SendArena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Receiver.
    pub to: SocketAddr,
    /// Local address to send from; the kernel chooses where it is `None` or unspecified.
    pub from: Option<SocketAddr>,
    /// Offset in the arena.
    pub offset: usize,
    /// Length of all segments.
    pub len: usize,
    /// Length of each segment but the last.
    pub segment: usize,
}

impl SendArena {
    /// An empty arena with room for `capacity` bytes before it grows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), runs: Vec::new() }
    }

    /// Bytes in the arena.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs so far.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Forgets everything; the memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
    }

    /// Adds one datagram: to the last run if it goes to the same receiver and fits, else as a new run.
    pub fn push(&mut self, from: Option<SocketAddr>, to: SocketAddr, datagram: &[u8]) {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.runs.push(Run { to, from, offset, len: datagram.len(), segment: datagram.len() });
    }
}

/// A UDP socket that works in bursts. Not blocking.
#[derive(Debug)]
pub struct UdpBatch {
    stats: UdpStats,
    local: SocketAddr,
}

impl UdpBatch {
    /// Opens and binds a socket.
    ///
    /// # Errors
    /// What the system says: address in use, not allowed, and so on.
    pub fn bind(config: &UdpConfig) -> io::Result<Self> {
        Ok(Self { stats: UdpStats::default(), local: config.bind })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Receives what is there, up to the slab's slots; 0 when nothing is. Coalesced messages are cut apart.
    ///
    /// # Errors
    /// What the system says, "would block" excepted.
    pub fn receive(&mut self, slab: &mut ReceiveSlab) -> io::Result<usize> {
        slab.received.clear();
        Ok(0)
    }

    /// Sends all runs of the arena and clears it. What the kernel does not take is dropped and counted.
    pub fn send(&mut self, arena: &mut SendArena) {
        arena.clear();
    }

    /// Counters.
    pub fn stats(&self) -> UdpStats {
        self.stats
    }
}

/// Wakes a [`Poller`] from another thread.
#[derive(Clone, Debug)]
pub struct Waker;

impl Waker {
    /// Makes the next or current wait return. Never blocks.
    pub fn wake(&self) {}
}

/// Waits for a socket or a waker.
#[derive(Debug)]
pub struct Poller;

/// What a wait ended with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// A socket has something to read.
    pub readable: bool,
    /// The waker was used.
    pub woken: bool,
}

impl Poller {
    /// A poller and its waker.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<(Self, Waker)> {
        Ok((Self, Waker))
    }

    /// Also waits for this socket, which must live as long as the poller is used.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&mut self, socket: &UdpBatch) -> io::Result<()> {
        let _ = socket;
        Ok(())
    }

    /// Waits at most `timeout` (`None`: for ever), with a resolution of 1 ms, rounded up.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Ready> {
        let _ = timeout;
        Ok(Ready::default())
    }
}

/// Addresses of this machine that peers may reach: of interfaces that are up, not link-local; loopback only if there
/// is nothing else. IPv4 first.
pub fn local_addresses() -> Vec<IpAddr> {
    Vec::new()
}
