//! TURN (RFC 8656), for networks that let little through: beside HTTPS, and over TCP and UDP at ports of its own.

mod clients;
mod datagrams;
mod sockets;
mod streams;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use turn::Settings;

use crate::FrontError;
use crate::listen::{bind_tcp, bind_udp};
use crate::metrics::Counters;
pub(crate) use clients::Relays;
pub(crate) use streams::serve;

/// A TURN server at ports of its own (RFC 8656): UDP and TCP of the same number.
pub struct TurnServer {
    relays: Relays,
    streams: TcpListener,
    datagrams: UdpSocket,
}

impl std::fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TurnServer")
    }
}

impl TurnServer {
    /// Opens the ports; `[::]` means IPv4 too. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`FrontError::Bind`].
    pub fn bind(
        address: SocketAddr,
        settings: Arc<Settings>,
        metrics: &telemetry::Metrics,
    ) -> Result<Self, FrontError> {
        let streams = bind_tcp("TURN over TCP", address)?;
        let mut same = address;
        if let Ok(bound) = streams.local_addr() {
            same.set_port(bound.port());
        }
        Ok(Self {
            relays: Relays::new(settings, Counters::register_turn(metrics)),
            streams,
            datagrams: bind_udp("TURN over UDP", same)?,
        })
    }

    /// Where it is.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.streams.local_addr()
    }

    /// Serves clients, for ever.
    pub async fn run(self) {
        let (relays, streams) = (self.relays.clone(), self.streams);
        tokio::join!(
            datagrams::serve_all(self.relays, self.datagrams),
            streams::serve_all(relays, streams)
        );
    }
}
