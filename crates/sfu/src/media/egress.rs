//! Datagrams ready to leave, as runs of equal size towards one address.

use std::net::SocketAddr;

/// Datagrams to one receiver, one behind the other in [`Egress`]'s arena: what one GSO send takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Local address to send from.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// Start in the arena.
    pub offset: usize,
    /// Length of all segments together.
    pub len: usize,
    /// Length of each segment; the last may be shorter. Equal to `len` for a single datagram.
    pub segment: usize,
}

/// The send arena. The caller clears it after sending and keeps it, so that nothing is allocated per packet.
#[derive(Debug)]
pub struct Egress {
    pub(crate) arena: Vec<u8>,
    pub(crate) runs: Vec<Run>,
    limit: usize,
}

impl Egress {
    /// An arena that is flushed at `limit` bytes (512 KiB keeps it in a core's second-level cache).
    pub fn new(limit: usize) -> Self {
        Self {
            arena: Vec::with_capacity(limit),
            runs: Vec::with_capacity(256),
            limit,
        }
    }

    /// Runs in the order they should be sent.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The bytes of a run.
    pub fn bytes(&self, run: &Run) -> &[u8] {
        self.arena
            .get(run.offset..run.offset.saturating_add(run.len))
            .unwrap_or_default()
    }

    /// The datagrams of a run.
    pub fn segments(&self, run: &Run) -> impl Iterator<Item = &[u8]> {
        self.bytes(run).chunks(run.segment.max(1))
    }

    /// The whole arena, for a sender that takes offsets.
    pub fn arena(&self) -> &[u8] {
        &self.arena
    }

    /// Nothing to send.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forgets what was sent.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.runs.clear();
    }

    /// Whether the arena should be sent before more is written.
    pub(crate) fn is_full(&self) -> bool {
        self.arena.len() >= self.limit
    }
}
