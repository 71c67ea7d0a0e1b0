//! Memory of received bursts.

use std::net::SocketAddr;

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

/// Memory for one receive burst: slots in a row, and what is in them.
#[derive(Debug, Default)]
pub struct ReceiveSlab {
    pub(crate) bytes: Vec<u8>,
    pub(crate) received: Vec<Received>,
}

impl ReceiveSlab {
    /// A slab of `slots` slots of [`SLOT_LEN`] bytes.
    pub fn new(slots: usize) -> Self {
        Self {
            bytes: vec![0; slots * SLOT_LEN],
            received: Vec::new(),
        }
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

    /// Notes what is in a slot: `len` bytes, cut into segments of `segment` bytes.
    pub(crate) fn note(
        &mut self,
        slot: usize,
        len: usize,
        segment: usize,
        from: SocketAddr,
        to: SocketAddr,
    ) {
        let start = slot * SLOT_LEN;
        let segment = if segment == 0 { len } else { segment };
        let mut at = 0;
        while at < len {
            let piece = segment.min(len - at);
            self.received.push(Received {
                from,
                to,
                offset: start + at,
                len: piece,
            });
            at += piece;
        }
    }
}
