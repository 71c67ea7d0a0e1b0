//! Addresses joined by links, on a virtual clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::{Link, LinkSpec, LinkStats};

/// A datagram on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Sender.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// Content.
    pub bytes: Vec<u8>,
}

/// What became of the datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Given to [`Net::send`].
    pub sent: u64,
    /// Lost by a link or by a partition.
    pub lost: u64,
    /// Delivered by [`Net::receive`].
    pub delivered: u64,
}

/// A network of hosts: one link for each ordered pair of hosts that talk.
#[derive(Debug)]
pub struct Net {
    default: LinkSpec,
    seed: u64,
    specs: HashMap<(IpAddr, IpAddr), LinkSpec>,
    links: HashMap<(IpAddr, IpAddr), Link>,
    cut: Vec<IpAddr>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    waiting: HashMap<u64, Datagram>,
    next: u64,
    stats: NetStats,
}

impl Net {
    /// A network in which every path behaves like `default`.
    #[must_use]
    pub fn new(default: LinkSpec, seed: u64) -> Self {
        Self {
            default,
            seed,
            specs: HashMap::new(),
            links: HashMap::new(),
            cut: Vec::new(),
            queue: BinaryHeap::new(),
            waiting: HashMap::new(),
            next: 0,
            stats: NetStats::default(),
        }
    }

    /// Changes one direction of one path.
    pub fn set_path(&mut self, from: IpAddr, to: IpAddr, spec: LinkSpec) {
        self.specs.insert((from, to), spec);
        if let Some(link) = self.links.get_mut(&(from, to)) {
            link.set_spec(spec);
        }
    }

    /// What became of the datagrams of one direction of one path.
    #[must_use]
    pub fn path_stats(&self, from: IpAddr, to: IpAddr) -> LinkStats {
        self.links
            .get(&(from, to))
            .map(Link::stats)
            .unwrap_or_default()
    }

    /// Cuts a host off: what it sends and what is sent to it is lost from now on.
    pub fn cut(&mut self, host: IpAddr) {
        self.cut.push(host);
    }

    /// Joins a host again.
    pub fn join(&mut self, host: IpAddr) {
        self.cut.retain(|cut| *cut != host);
    }

    /// Sends a datagram.
    pub fn send(&mut self, now: Instant, datagram: Datagram) {
        self.stats.sent += 1;
        let path = (datagram.from.ip(), datagram.to.ip());
        if self.cut.contains(&path.0) || self.cut.contains(&path.1) {
            self.stats.lost += 1;
            return;
        }
        let spec = self.specs.get(&path).unwrap_or(&self.default);
        let seed = self.seed ^ (self.links.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let link = self
            .links
            .entry(path)
            .or_insert_with(|| Link::new(*spec, seed));
        match link.send(now, datagram.bytes.len()) {
            Some(arrival) => {
                self.queue.push(Reverse((arrival, self.next)));
                self.waiting.insert(self.next, datagram);
                self.next += 1;
            }
            None => self.stats.lost += 1,
        }
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Datagram> {
        let Reverse((at, _)) = self.queue.peek()?;
        if *at > now {
            return None;
        }
        let Reverse((_, id)) = self.queue.pop()?;
        self.stats.delivered += 1;
        self.waiting.remove(&id)
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.stats
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some first instant")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn datagram(from: &str, to: &str, byte: u8) -> Datagram {
        Datagram {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            bytes: vec![byte],
        }
    }

    #[test]
    fn datagrams_arrive_in_the_order_of_their_paths() {
        let now = Instant::now();
        let mut net = Net::new(LinkSpec::default(), 1);
        let far = LinkSpec {
            delay: Duration::from_millis(50),
            ..LinkSpec::default()
        };
        net.set_path([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), far);
        net.send(now, datagram("10.0.0.1:1", "10.0.0.2:1", 1));
        net.send(now, datagram("10.0.0.3:1", "10.0.0.2:1", 2));
        assert_eq!(net.next_arrival(), Some(now + Duration::from_millis(1)));
        assert_eq!(net.receive(now), None);
        let late = now + Duration::from_secs(1);
        let order: Vec<u8> = std::iter::from_fn(|| net.receive(late))
            .map(|d| d.bytes[0])
            .collect();
        assert_eq!(order, [2, 1]);
    }

    #[test]
    fn a_host_that_is_cut_off_hears_and_says_nothing() {
        let now = Instant::now();
        let mut net = Net::new(LinkSpec::default(), 1);
        net.cut([10, 0, 0, 1].into());
        net.send(now, datagram("10.0.0.1:1", "10.0.0.2:1", 1));
        net.send(now, datagram("10.0.0.2:1", "10.0.0.1:1", 2));
        net.join([10, 0, 0, 1].into());
        net.send(now, datagram("10.0.0.2:1", "10.0.0.1:1", 3));
        let late = now + Duration::from_secs(1);
        assert_eq!(net.receive(late).map(|d| d.bytes), Some(vec![3]));
        assert_eq!(net.receive(late), None);
        assert_eq!(net.stats().lost, 2);
    }
}
