//! Sockets that relay, and the time.
#![allow(
    clippy::disallowed_methods,
    reason = "credentials end by the wall clock"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Instant, SystemTime};

use tokio::net::UdpSocket;
use turn::Now;

/// The time.
pub(super) fn now() -> Now {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Now {
        at: Instant::now(),
        unix: unix.map_or(u64::MAX, |since| since.as_secs()),
    }
}

/// A socket from which is relayed, of the wanted family; at the address that the client reached, if it is of that.
pub(super) async fn open_socket(own: IpAddr, ipv6: bool) -> Option<UdpSocket> {
    // Where a way to anywhere would begin; nothing is sent.
    let anywhere: IpAddr = match ipv6 {
        false => Ipv4Addr::new(192, 0, 2, 1).into(),
        true => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let ip = match own.is_ipv6() == ipv6 {
        true => own,
        false => source_towards(SocketAddr::new(anywhere, 9))?,
    };
    UdpSocket::bind(SocketAddr::new(ip, 0)).await.ok()
}

/// The address of this machine from which the way to another one begins.
pub(super) fn source_towards(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The next datagram, or never without a socket.
pub(super) async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> (usize, SocketAddr) {
    if let Some(socket) = socket {
        loop {
            // Errors of a socket that is not connected are of single datagrams sent.
            if let Ok(got) = socket.recv_from(buffer).await {
                return got;
            }
        }
    }
    std::future::pending().await
}
