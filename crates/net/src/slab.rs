//! Memory of received bursts.

use std::net::SocketAddr;
use std::time::Instant;

use crate::message::Messages;

/// Length of one receive slot: a whole coalesced datagram.
pub const SLOT_LEN: usize = 65_536;
/// From slot to slot. An odd number of cache lines more than a power of two, so that the beginnings of the slots, which
/// are what is mostly used, do not all compete for the same lines of the cache.
pub(crate) const STRIDE: usize = SLOT_LEN + 21 * 64;

/// One received datagram in the receive slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: SocketAddr,
    /// The local address it was sent to.
    pub to: SocketAddr,
    /// When it arrived at this machine, by the kernel's stamp; when it was read, where there is none.
    pub at: Instant,
    /// Offset in the slab.
    pub offset: usize,
    /// Length.
    pub len: usize,
}

/// Memory for one receive burst: slots in a row, and what is in them.
#[derive(Debug)]
pub struct ReceiveSlab {
    pub(crate) bytes: Vec<u8>,
    pub(crate) received: Vec<Received>,
    pub(crate) messages: Messages,
    pub(crate) full: bool,
}

impl ReceiveSlab {
    /// A slab of `slots` slots of [`SLOT_LEN`] bytes.
    pub fn new(slots: usize) -> Self {
        Self {
            bytes: vec![0; slots * STRIDE],
            received: Vec::with_capacity(slots),
            messages: Messages::new(slots),
            full: false,
        }
    }

    /// Whether the last burst took every slot: then there may be more to receive, else there was not.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The datagrams of the last burst.
    pub fn received(&self) -> &[Received] {
        &self.received
    }

    /// The datagrams of the last burst with their bytes, in order of arrival.
    pub fn datagrams(&mut self) -> impl Iterator<Item = (Received, &mut [u8])> {
        self.parts().1
    }

    /// All that was received, and one by one with their bytes.
    pub fn parts(&mut self) -> (&[Received], impl Iterator<Item = (Received, &mut [u8])>) {
        let mut rest: &mut [u8] = &mut self.bytes;
        let mut base = 0;
        let received = self.received.as_slice();
        let datagrams = received.iter().map(move |r| {
            let tail = std::mem::take(&mut rest);
            let (_, tail) = tail.split_at_mut(r.offset.saturating_sub(base).min(tail.len()));
            let (datagram, tail) = tail.split_at_mut(r.len.min(tail.len()));
            base = r.offset + r.len;
            rest = tail;
            (*r, datagram)
        });
        (received, datagrams)
    }

    /// Notes what is in a slot: one message, cut into segments of `segment` bytes (0: not cut).
    pub(crate) fn note(&mut self, slot: usize, whole: Received, segment: usize) {
        let start = slot * STRIDE;
        let segment = if segment == 0 { whole.len } else { segment };
        let mut offset = 0;
        while offset < whole.len {
            let len = segment.min(whole.len - offset);
            self.received.push(Received {
                offset: start + offset,
                len,
                ..whole
            });
            offset += len;
        }
    }
}
