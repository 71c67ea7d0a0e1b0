//! What workers with parts of one conference tell each other, from thread to thread. The memory comes back.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use net::Waker;
use sfu::Exchange;

/// Exchanges that may wait for a worker; after that it is told what must not be lost only.
const WAITING: usize = 256;
/// Emptied exchanges that may wait to be used again.
const SPARE: usize = 64;
/// Exchanges that a worker handles between two looks at its sockets.
const EXCHANGES_PER_ROUND: usize = 16;

/// How others reach a worker.
#[derive(Debug, Clone)]
struct Inlet {
    filled: SyncSender<Exchange>,
    emptied: SyncSender<Exchange>,
    waker: Waker,
}

/// A worker's own end.
#[derive(Debug)]
pub(crate) struct Post {
    index: usize,
    /// Those of all workers, this one's among them.
    inlets: Vec<Inlet>,
    filled: Receiver<Exchange>,
    emptied: Receiver<Exchange>,
    /// What a worker that was behind is yet to be told, for each.
    backlog: Vec<VecDeque<Exchange>>,
    /// Exchanges sent.
    pub(crate) sent: u64,
    /// What was not told to workers that were behind.
    pub(crate) dropped: u64,
}

/// The ends of all workers, by what wakes each.
pub(crate) fn connect(wakers: Vec<Waker>) -> Vec<Post> {
    let channels = wakers.into_iter().map(|waker| {
        let (filled, filled_end) = sync_channel(WAITING);
        let (emptied, emptied_end) = sync_channel(SPARE);
        let inlet = Inlet {
            filled,
            emptied,
            waker,
        };
        (inlet, (filled_end, emptied_end))
    });
    let (inlets, ends): (Vec<_>, Vec<_>) = channels.unzip();
    let own = |(index, (filled, emptied))| Post {
        index,
        inlets: inlets.clone(),
        filled,
        emptied,
        backlog: inlets.iter().map(|_| VecDeque::new()).collect(),
        sent: 0,
        dropped: 0,
    };
    ends.into_iter().enumerate().map(own).collect()
}

impl Post {
    /// Sends an exchange to the worker it is for. One that is behind is told later what must not be lost, and no packets.
    pub(crate) fn send(&mut self, exchange: Exchange) {
        let to = usize::from(exchange.to());
        let Some(backlog) = self.backlog.get_mut(to) else {
            return;
        };
        backlog.push_back(exchange);
        self.deliver(to);
    }

    /// Tells workers what they were behind for.
    pub(crate) fn flush(&mut self) {
        for to in 0..self.backlog.len() {
            self.deliver(to);
        }
    }

    fn deliver(&mut self, to: usize) {
        let (Some(inlet), Some(backlog)) = (self.inlets.get(to), self.backlog.get_mut(to)) else {
            return;
        };
        while let Some(exchange) = backlog.pop_front() {
            match inlet.filled.try_send(exchange) {
                Ok(()) => {
                    self.sent += 1;
                    inlet.waker.wake();
                }
                Err(TrySendError::Full(mut exchange)) => {
                    self.dropped += exchange.shorten();
                    if !exchange.is_empty() {
                        backlog.push_front(exchange);
                    }
                    // The newest may be another one.
                    if let Some(newest) = backlog.back_mut() {
                        self.dropped += newest.shorten();
                    }
                    return;
                }
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Says to all others that this worker lost what it had.
    pub(crate) fn lost(&mut self) {
        let number = |n: usize| u8::try_from(n).ok();
        let own = self.index;
        for to in (0..self.inlets.len()).filter(|to| *to != own) {
            if let (Some(from), Some(to)) = (number(own), number(to)) {
                self.send(Exchange::lost(from, to));
            }
        }
    }

    /// Handles what others tell, up to a limit; whether there may be more.
    pub(crate) fn take(&mut self, mut handle: impl FnMut(&mut Exchange)) -> bool {
        for _ in 0..EXCHANGES_PER_ROUND {
            let Ok(mut exchange) = self.filled.try_recv() else {
                return false;
            };
            handle(&mut exchange);
            if let Some(origin) = self.inlets.get(usize::from(exchange.from())) {
                // A worker that has enough of them, or is gone, needs no more.
                let _ = origin.emptied.try_send(exchange);
            }
        }
        true
    }

    /// Takes back what others have emptied.
    pub(crate) fn take_back(&mut self, mut reuse: impl FnMut(Exchange)) {
        while let Ok(exchange) = self.emptied.try_recv() {
            reuse(exchange);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posts(count: usize) -> Vec<Post> {
        let waker = |_| net::Poller::new().unwrap().1;
        connect((0..count).map(waker).collect())
    }

    #[test]
    fn what_is_told_arrives_however_far_behind_a_worker_is() {
        let mut posts = posts(2);
        let many = 3 * WAITING;
        for _ in 0..many {
            posts[0].send(Exchange::lost(0, 1));
        }
        assert_eq!(posts[0].sent, WAITING as u64);
        let mut told = 0;
        for _ in 0..many {
            posts[1].take(|_| told += 1);
            posts[0].flush();
        }
        assert_eq!(told, many);
        // What nobody emptied is no memory to use again.
        let mut back = 0;
        posts[0].take_back(|exchange| back += usize::from(exchange.is_empty()));
        assert_eq!(back, 0);
    }

    #[test]
    fn who_lost_everything_tells_all_others() {
        let mut posts = posts(3);
        posts[1].lost();
        let mut heard = |n: usize| {
            let mut from = Vec::new();
            posts[n].take(|exchange| from.push(exchange.from()));
            from
        };
        assert_eq!((heard(0), heard(1), heard(2)), (vec![1], vec![], vec![1]));
    }
}
