//! Two queues to one task: what services say goes ahead of what people say. Bridges and the focus wait for each other's answers,
//! and whoever is not answered is taken for lost; however many people come at once, their stanzas do not stand between.

use tokio::sync::mpsc::{self, Receiver, Sender, WeakSender};

/// So many in a row go ahead before one of the others has its turn.
const MOST_AHEAD: usize = 64;

/// The ends that are written to.
pub(crate) struct Ways<T> {
    ahead: Sender<T>,
    rest: Sender<T>,
}

impl<T> Clone for Ways<T> {
    fn clone(&self) -> Self {
        Self {
            ahead: self.ahead.clone(),
            rest: self.rest.clone(),
        }
    }
}

impl<T> Ways<T> {
    /// The way for services, which goes `ahead`, or that of everybody else.
    pub(crate) fn way(&self, ahead: bool) -> &Sender<T> {
        if ahead { &self.ahead } else { &self.rest }
    }

    /// A way for everybody that does not keep the task running.
    pub(crate) fn downgrade(&self) -> WeakSender<T> {
        self.rest.downgrade()
    }
}

/// The end that is read.
pub(crate) struct Lanes<T> {
    ahead: Receiver<T>,
    rest: Receiver<T>,
    in_a_row: usize,
}

/// Queues of so many places each.
pub(crate) fn lanes<T>(places: usize) -> (Ways<T>, Lanes<T>) {
    let (ahead, ahead_out) = mpsc::channel(places);
    let (rest, rest_out) = mpsc::channel(places);
    let lanes = Lanes {
        ahead: ahead_out,
        rest: rest_out,
        in_a_row: 0,
    };
    (Ways { ahead, rest }, lanes)
}

impl<T> Lanes<T> {
    /// What is there to be handled next, if anything.
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        if self.in_a_row < MOST_AHEAD
            && let Ok(next) = self.ahead.try_recv()
        {
            self.in_a_row += 1;
            return Some(next);
        }
        self.in_a_row = 0;
        let next = self.rest.try_recv();
        next.or_else(|_| self.ahead.try_recv()).ok()
    }

    /// What is to be handled next; `None` when nobody can send any more.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        if let Some(next) = self.try_recv() {
            return Some(next);
        }
        tokio::select! {
            Some(next) = self.ahead.recv() => Some(next),
            next = self.rest.recv() => next,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn services_do_not_wait_for_people() {
        let (ways, mut lanes) = lanes(8);
        for n in 0..4 {
            ways.way(false).try_send(n).unwrap();
        }
        assert_eq!(lanes.recv().await, Some(0));
        ways.way(true).try_send(100).unwrap();
        ways.way(true).try_send(101).unwrap();
        let order: Vec<i32> = std::iter::from_fn(|| lanes.try_recv()).collect();
        assert_eq!(order, [100, 101, 1, 2, 3]);
    }

    #[test]
    fn people_have_their_turn_however_much_services_say() {
        let (ways, mut lanes) = lanes(4 * MOST_AHEAD);
        for n in 0..3 * MOST_AHEAD {
            ways.way(true).try_send(n).unwrap();
        }
        ways.way(false).try_send(usize::MAX).unwrap();
        let order: Vec<usize> = std::iter::from_fn(|| lanes.try_recv()).collect();
        assert_eq!(
            order.iter().position(|n| *n == usize::MAX),
            Some(MOST_AHEAD)
        );
        assert_eq!(order.len(), 3 * MOST_AHEAD + 1);
    }

    #[tokio::test]
    async fn it_ends_when_nobody_can_send() {
        let (ways, mut lanes) = lanes(1);
        ways.way(true).try_send(1).unwrap();
        drop(ways);
        assert_eq!(lanes.recv().await, Some(1));
        assert_eq!(lanes.recv().await, None);
    }
}
