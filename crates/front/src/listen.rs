//! Opening ports.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::FrontError;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// Listens at `address`; `[::]` means IPv4 too, and IPv4 only where the machine has no IPv6. `what` names the port in errors.
///
/// # Errors
/// [`FrontError::Bind`].
pub fn bind_tcp(what: &'static str, address: SocketAddr) -> Result<TcpListener, FrontError> {
    bind(what, address, open_tcp)
}

/// The same for datagrams.
///
/// # Errors
/// [`FrontError::Bind`].
pub(crate) fn bind_udp(what: &'static str, address: SocketAddr) -> Result<UdpSocket, FrontError> {
    bind(what, address, open_udp)
}

fn bind<T>(
    what: &'static str,
    address: SocketAddr,
    open: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<T, FrontError> {
    let result = match open(address) {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && lacks_ipv6(&error) => {
            open(SocketAddr::new(
                Ipv4Addr::UNSPECIFIED.into(),
                address.port(),
            ))
        }
        result => result,
    };
    result.map_err(|source| FrontError::Bind {
        what,
        address,
        source,
    })
}

fn open_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A restart must not wait for the connections of the run before.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT where the kernel has no IPv6, EADDRNOTAVAIL where it is switched off.
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(97)
}

#[cfg(test)]
mod tests {
    use super::bind_tcp;

    #[tokio::test]
    async fn a_taken_port_is_said_in_a_sentence() {
        let first = bind_tcp("HTTPS", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind_tcp("HTTPS", address).unwrap_err().to_string();
        let port = address.port();
        assert_eq!(
            error,
            format!(
                "port {port} for HTTPS is taken by another program; stop it or choose another port"
            )
        );
    }

    #[tokio::test]
    async fn the_unspecified_address_takes_ipv4_too() {
        let listener = bind_tcp("HTTPS", "[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_foreign_address_is_said() {
        let error = bind_tcp("HTTPS", "192.0.2.1:0".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "this machine does not have the address 192.0.2.1 for HTTPS"
        );
    }
}
