//! Datagrams that arrived at another worker's socket: handed over in batches, with one wake for each, whose memory comes
//! back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use net::{Received, Waker};
use rtc::PacketKind;
use sfu::Disposition;

/// Batches that may wait for a worker.
const WAITING: usize = 64;
/// Empty batches that may wait to be used again.
const SPARE: usize = 64;
/// Datagrams of a batch.
const MAX_DATAGRAMS: usize = 64;
/// Bytes of a batch, but for its last datagram.
const MAX_BYTES: usize = 64 * 1024;
/// Batches that a worker handles between two looks at its sockets.
const BATCHES_PER_ROUND: usize = 8;
/// Senders whose worker is remembered.
const MAX_SENDERS: usize = 65_536;

/// What one worker gives another one at the end of a round.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The worker whose socket received the datagrams, to which the batch goes back.
    origin: usize,
    /// The worker it is given to.
    reader: usize,
    bytes: Vec<u8>,
    datagrams: Vec<Received>,
    /// Senders whose checks the reader took: its answer.
    taken: Vec<SocketAddr>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.datagrams.len() >= MAX_DATAGRAMS || self.bytes.len() >= MAX_BYTES
    }

    fn push(&mut self, received: Received, bytes: &[u8]) {
        self.datagrams.push(Received {
            offset: self.bytes.len(),
            len: bytes.len(),
            ..received
        });
        self.bytes.extend_from_slice(bytes);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
        self.taken.clear();
    }
}

/// How others give a worker batches.
#[derive(Debug, Clone)]
struct Inlet {
    filled: SyncSender<Batch>,
    /// For batches of its own that come back.
    read: SyncSender<Batch>,
    waker: Waker,
}

/// A worker's own end.
#[derive(Debug)]
pub(crate) struct Handover {
    /// Those of all workers, this one's among them.
    inlets: Vec<Inlet>,
    index: usize,
    filled: Receiver<Batch>,
    read: Receiver<Batch>,
    /// What is being filled, for each worker.
    open: Vec<Option<Batch>>,
    spare: Vec<Batch>,
    owners: Owners,
    /// Datagrams handed over.
    pub(crate) handed_over: u64,
    /// Datagrams for a worker that had too many waiting.
    pub(crate) dropped: u64,
}

/// The ends of all workers, by what wakes each.
pub(crate) fn connect(wakers: Vec<Waker>) -> Vec<Handover> {
    let channels = wakers.into_iter().map(|waker| {
        let (filled, filled_end) = sync_channel(WAITING);
        let (read, read_end) = sync_channel(SPARE);
        let inlet = Inlet {
            filled,
            read,
            waker,
        };
        (inlet, (filled_end, read_end))
    });
    let (inlets, ends): (Vec<_>, Vec<_>) = channels.unzip();
    let own = |(index, (filled, read))| Handover {
        inlets: inlets.clone(),
        index,
        filled,
        read,
        open: inlets.iter().map(|_| None).collect(),
        spare: Vec::new(),
        owners: Owners::default(),
        handed_over: 0,
        dropped: 0,
    };
    ends.into_iter().enumerate().map(own).collect()
}

impl Handover {
    /// Takes a datagram that is no endpoint's of this worker, for [`Handover::flush`] to send to the worker it belongs to:
    /// the one whose number stands before the user fragment in a STUN request, then the one that took the sender's
    /// requests. What is no known sender's goes nowhere.
    pub(crate) fn put(&mut self, received: Received, bytes: &[u8]) {
        let count = self.inlets.len();
        if count < 2 {
            return;
        }
        let known = named_owner(bytes).or_else(|| self.owner(received.from));
        if let Some(owner) = known {
            if owner != self.index && owner < count {
                self.put_for(owner, received, bytes);
            }
        } else if rtc::demux(bytes) == Some(PacketKind::Stun) {
            // The answer to a check of ours may come before the sender's own first check, and it names nobody.
            let own = self.index;
            for other in (0..count).filter(|other| *other != own) {
                self.put_for(other, received, bytes);
            }
        }
    }

    fn owner(&mut self, from: SocketAddr) -> Option<usize> {
        self.collect();
        self.owners.get(from)
    }

    /// Takes back what others have read, and learns what they answer.
    fn collect(&mut self) {
        while let Ok(mut batch) = self.read.try_recv() {
            for from in &batch.taken {
                self.owners.learn(*from, batch.reader);
            }
            batch.clear();
            if self.spare.len() < SPARE {
                self.spare.push(batch);
            }
        }
    }

    fn put_for(&mut self, reader: usize, received: Received, bytes: &[u8]) {
        let spare = &mut self.spare;
        let Some(open) = self.open.get_mut(reader) else {
            return;
        };
        let batch = open.get_or_insert_with(|| spare.pop().unwrap_or_default());
        batch.push(received, bytes);
        if batch.is_full() {
            self.send(reader);
        }
    }

    /// Sends what was put since the last time.
    pub(crate) fn flush(&mut self) {
        for reader in 0..self.open.len() {
            self.send(reader);
        }
    }

    fn send(&mut self, reader: usize) {
        let Some(inlet) = self.inlets.get(reader) else {
            return;
        };
        let Some(mut batch) = self.open.get_mut(reader).and_then(Option::take) else {
            return;
        };
        (batch.origin, batch.reader) = (self.index, reader);
        let count = batch.datagrams.len() as u64;
        match inlet.filled.try_send(batch) {
            Ok(()) => {
                self.handed_over += count;
                inlet.waker.wake();
            }
            Err(TrySendError::Full(mut batch) | TrySendError::Disconnected(mut batch)) => {
                self.dropped += count;
                batch.clear();
                self.spare.push(batch);
            }
        }
    }

    /// Handles what others handed over, up to a limit; whether there may be more.
    pub(crate) fn take(
        &mut self,
        mut handle: impl FnMut(Received, &mut [u8]) -> Disposition,
    ) -> bool {
        for _ in 0..BATCHES_PER_ROUND {
            let Ok(mut batch) = self.filled.try_recv() else {
                return false;
            };
            let content = &mut batch;
            for received in &content.datagrams {
                let end = received.offset + received.len;
                let Some(bytes) = content.bytes.get_mut(received.offset..end) else {
                    continue;
                };
                let check = named_owner(bytes) == Some(self.index);
                if handle(*received, bytes) == Disposition::Taken && check {
                    content.taken.push(received.from);
                }
            }
            if let Some(origin) = self.inlets.get(batch.origin) {
                // A worker that has enough of them, or is gone, needs no more.
                let _ = origin.read.try_send(batch);
            }
        }
        true
    }
}

/// The worker whose number stands before the user fragment in a STUN request.
pub(crate) fn named_owner(bytes: &[u8]) -> Option<usize> {
    let number = rtc::stun_username(bytes)?.get(..2)?;
    usize::from_str_radix(number, 16).ok()
}

/// Who has which sender. When half the room is used, those that have not been asked for since are forgotten.
#[derive(Debug, Default)]
struct Owners {
    recent: HashMap<SocketAddr, usize>,
    older: HashMap<SocketAddr, usize>,
}

impl Owners {
    fn get(&mut self, from: SocketAddr) -> Option<usize> {
        if let Some(owner) = self.recent.get(&from) {
            return Some(*owner);
        }
        let owner = self.older.remove(&from)?;
        self.learn(from, owner);
        Some(owner)
    }

    fn learn(&mut self, from: SocketAddr, owner: usize) {
        if self.recent.len() >= MAX_SENDERS / 2 {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(from, owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn workers(count: usize) -> Vec<Handover> {
        let waker = |_| net::Poller::new().unwrap().1;
        connect((0..count).map(waker).collect())
    }

    #[allow(clippy::disallowed_methods, reason = "tests read the clock")]
    fn now() -> Instant {
        Instant::now()
    }

    fn received(port: u16) -> Received {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Received {
            from: address(port),
            to: address(1),
            at: now(),
            offset: 0,
            len: 0,
        }
    }

    /// A STUN binding request for a user fragment.
    fn request(ufrag: &str) -> Vec<u8> {
        let name = format!("{ufrag}:them");
        let padded = name.len().next_multiple_of(4);
        let mut bytes = vec![0, 1, 0, (4 + padded) as u8, 0x21, 0x12, 0xa4, 0x42];
        bytes.resize(20, 7);
        bytes.extend([0, 6, 0, name.len() as u8]);
        bytes.extend(name.as_bytes());
        bytes.resize(24 + padded, 0);
        bytes
    }

    const RTP: [u8; 4] = [0x80, 100, 0, 0];

    fn taken_by(end: &mut Handover) -> Vec<(u16, Vec<u8>)> {
        let mut got = Vec::new();
        end.take(|received, bytes| {
            got.push((received.from.port(), bytes.to_vec()));
            Disposition::Taken
        });
        got
    }

    #[test]
    fn requests_go_where_they_are_named_and_their_sender_follows() {
        let mut ends = workers(3);
        // Nobody is known to have this sender yet.
        ends[0].put(received(7), &RTP);
        ends[0].put(received(7), &request("02abcd"));
        ends[0].flush();
        assert_eq!(taken_by(&mut ends[1]), []);
        assert_eq!(taken_by(&mut ends[2]), [(7, request("02abcd"))]);
        // The answer came back with the batch.
        ends[0].put(received(7), &RTP);
        ends[0].put(received(8), &RTP);
        ends[0].flush();
        assert_eq!(taken_by(&mut ends[2]), [(7, RTP.to_vec())]);
        assert_eq!((ends[0].handed_over, ends[0].dropped), (2, 0));
        // The same memory went to and fro.
        ends[0].collect();
        assert_eq!(ends[0].spare.len(), 1);
    }

    #[test]
    fn what_the_named_worker_does_not_know_teaches_nothing() {
        let mut ends = workers(2);
        ends[0].put(received(7), &request("01abcd"));
        ends[0].flush();
        ends[1].take(|_, _| Disposition::Foreign);
        ends[0].put(received(7), &RTP);
        ends[0].flush();
        assert_eq!(taken_by(&mut ends[1]), []);
        // Its own number, and one that no worker has, are nobody else's.
        ends[0].put(received(7), &request("00abcd"));
        ends[0].put(received(7), &request("77abcd"));
        ends[0].flush();
        assert_eq!(ends[0].handed_over, 1);
    }

    #[test]
    fn an_answer_that_names_nobody_is_shown_to_all_others() {
        let mut ends = workers(3);
        let mut answer = request("01abcd");
        answer[0] = 1;
        ends[1].put(received(7), &answer);
        ends[1].flush();
        for index in [0, 2] {
            assert_eq!(taken_by(&mut ends[index]), [(7, answer.clone())]);
        }
    }

    #[test]
    fn a_worker_that_does_not_read_gets_no_more_than_fits() {
        let mut ends = workers(2);
        let many = 2 * WAITING * MAX_DATAGRAMS;
        for _ in 0..many {
            ends[0].put(received(7), &request("01abcd"));
        }
        ends[0].flush();
        assert_eq!(ends[0].handed_over, (WAITING * MAX_DATAGRAMS) as u64);
        assert_eq!(ends[0].handed_over + ends[0].dropped, many as u64);
        let mut got = 0;
        while ends[1].take(|_, _| {
            got += 1;
            Disposition::Taken
        }) {}
        assert_eq!(got, WAITING * MAX_DATAGRAMS);
    }

    #[test]
    fn senders_are_remembered_within_bounds_and_those_in_use_longest() {
        let from = |n: u32| SocketAddr::from((n.to_be_bytes(), 1));
        let mut owners = Owners::default();
        owners.learn(from(0), 9);
        for n in 1..200_000 {
            owners.learn(from(n), 1);
            if n % 10_000 == 0 {
                assert_eq!(owners.get(from(0)), Some(9));
            }
        }
        assert_eq!(owners.get(from(1)), None);
        assert!(owners.recent.len() + owners.older.len() <= MAX_SENDERS);
    }
}
