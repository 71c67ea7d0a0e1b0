//! Sockets of relays, each with a port for itself: several relays may lead to one address, and only so are they told apart.

use std::net::SocketAddr;

use net::{Poller, Run, UdpBatch, UdpConfig, UdpStats};

/// Relays of one thread that get a port for themselves; further ones share that of the thread.
const MAX_PORTS: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    sockets: Vec<UdpBatch>,
    /// Counters of those that were closed.
    closed: UdpStats,
}

impl Ports {
    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Opens a socket beside each of those at `beside`, with any port, and waits for it as `number`. Of the addresses of
    /// `hosts`, those at which it can be reached.
    pub(crate) fn open(
        &mut self,
        (poller, number): (&mut Poller, u32),
        beside: &[SocketAddr],
        hosts: &[SocketAddr],
    ) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for local in beside {
            if self.sockets.len() >= MAX_PORTS {
                break;
            }
            let bind = SocketAddr::new(local.ip(), 0);
            let opened = UdpBatch::bind(&UdpConfig::new(bind))
                .and_then(|socket| poller.add(&socket, number).map(|()| socket));
            let socket = match opened {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::warn!(%error, "no port for a relay alone");
                    continue;
                }
            };
            let port = socket.local_addr().port();
            let reached = hosts.iter().filter(|host| {
                !rtc::is_tcp(host) && rtc::plain_address(**host).is_ipv4() == local.is_ipv4()
            });
            addresses.extend(reached.map(|host| SocketAddr::new(host.ip(), port)));
            self.sockets.push(socket);
        }
        addresses.dedup();
        addresses
    }

    /// Closes the sockets of some addresses.
    pub(crate) fn close(&mut self, addresses: &[SocketAddr]) {
        let closed = &mut self.closed;
        self.sockets.retain(|socket| {
            let stays = !addresses.iter().any(|a| is_of(socket, *a));
            if !stays {
                *closed += socket.stats();
            }
            stays
        });
    }

    /// Closes all.
    pub(crate) fn clear(&mut self) {
        self.closed = self.stats();
        self.sockets.clear();
    }

    /// All sockets, to be read.
    pub(crate) fn sockets(&mut self) -> impl Iterator<Item = &mut UdpBatch> {
        self.sockets.iter_mut()
    }

    /// The socket from whose address a run leaves, if it is one of these.
    pub(crate) fn of(&mut self, run: &Run) -> Option<&mut UdpBatch> {
        let from = run.from?;
        self.sockets.iter_mut().find(|socket| is_of(socket, from))
    }

    /// Counters of all sockets.
    pub(crate) fn stats(&self) -> UdpStats {
        let mut sum = self.closed;
        for socket in &self.sockets {
            sum += socket.stats();
        }
        sum
    }
}

fn is_of(socket: &UdpBatch, address: SocketAddr) -> bool {
    let local = socket.local_addr();
    local.port() == address.port() && local.is_ipv4() == rtc::plain_address(address).is_ipv4()
}
