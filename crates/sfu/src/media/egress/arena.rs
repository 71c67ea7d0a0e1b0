//! Datagrams ready to leave, as runs of equal size towards one address.

use std::net::SocketAddr;
use std::time::Duration;

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
    /// How long its oldest packet has waited since it arrived; `None` for what the bridge itself made.
    pub waited: Option<Duration>,
}

/// The send arena. The caller clears it after sending and keeps it, so that nothing is allocated per packet.
#[derive(Debug)]
pub struct Egress {
    arena: Vec<u8>,
    used: usize,
    runs: Vec<Run>,
    datagrams: u64,
    limit: usize,
}

/// Room behind the limit, for what one receiver's flush may still write.
const HEADROOM: usize = 64 * 1024;

impl Egress {
    /// An arena that is to be sent at `limit` bytes (512 KiB keeps it in a core's second-level cache).
    pub fn new(limit: usize) -> Self {
        Self {
            arena: vec![0; limit + HEADROOM],
            used: 0,
            runs: Vec::with_capacity(256),
            datagrams: 0,
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

    /// What is written of the arena, for a sender that takes offsets.
    pub fn arena(&self) -> &[u8] {
        self.arena.get(..self.used).unwrap_or_default()
    }

    /// Nothing to send.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forgets what was sent.
    pub fn clear(&mut self) {
        self.used = 0;
        self.datagrams = 0;
        self.runs.clear();
    }

    /// Whether the arena should be sent before more is written.
    pub(crate) fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    /// Bytes written.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Datagrams written since the last [`Self::clear`].
    pub(crate) fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// At least `len` bytes to write to; [`Self::advance`] takes what was used.
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        if self.arena.len() < self.used + len {
            // A receiver's backlog was longer than the headroom; happens once, then the room is there.
            self.arena.resize(self.used + len.max(HEADROOM), 0);
        }
        self.arena.get_mut(self.used..).unwrap_or_default()
    }

    /// Keeps `len` bytes of the room.
    pub(crate) fn advance(&mut self, len: usize) {
        self.used = (self.used + len).min(self.arena.len());
    }

    /// Adds a single datagram.
    pub(crate) fn write(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let (offset, len) = (self.used, bytes.len());
        if let Some(slot) = self.room(len).get_mut(..len) {
            slot.copy_from_slice(bytes);
            self.advance(len);
            self.push(
                Run {
                    from,
                    to,
                    offset,
                    len,
                    segment: len,
                    waited: None,
                },
                1,
            );
        }
    }

    /// Adds a run of `datagrams` segments.
    pub(crate) fn push(&mut self, run: Run, datagrams: u64) {
        self.runs.push(run);
        self.datagrams += datagrams;
    }
}
