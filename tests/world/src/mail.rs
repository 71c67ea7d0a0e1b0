//! Reliable delivery in order, with a delay: what a stream over TCP does to stanzas.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

/// Things under way, each with its moment of arrival.
#[derive(Debug)]
pub struct Mail<T> {
    delay: Duration,
    order: BinaryHeap<Reverse<(Instant, u64)>>,
    items: HashMap<u64, T>,
    next: u64,
}

impl<T> Mail<T> {
    /// Everything takes `delay`.
    #[must_use]
    pub fn new(delay: Duration) -> Self {
        Self {
            delay,
            order: BinaryHeap::new(),
            items: HashMap::new(),
            next: 0,
        }
    }

    /// Sends.
    pub fn send(&mut self, now: Instant, item: T) {
        self.order.push(Reverse((now + self.delay, self.next)));
        self.items.insert(self.next, item);
        self.next += 1;
    }

    /// Loses everything that is under way.
    pub fn clear(&mut self) {
        self.order.clear();
        self.items.clear();
    }

    /// When the next thing arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.order.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next thing that has arrived.
    pub fn receive(&mut self, now: Instant) -> Option<T> {
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse((_, id)) = self.order.pop()?;
        self.items.remove(&id)
    }
}
