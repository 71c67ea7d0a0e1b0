//! Where a bridge takes connections that carry media: the port of HTTPS in the same process, or one of its own.

use std::net::{Ipv6Addr, SocketAddr};

use bridge::{Bridge, StreamDoor};
use config::Settings;
use front::MediaDoor;
use tokio::net::TcpListener;

use crate::failure::Failure;
use crate::parts;

/// What the port is when nobody says, for a bridge that runs alone.
const PORT: u16 = 443;

/// The port, open.
pub(crate) enum MediaTcp {
    /// None.
    Off,
    /// That of HTTPS.
    WithHttps(SocketAddr),
    /// One of its own.
    Own(TcpListener),
}

impl MediaTcp {
    /// Opens it. `https` is where this process serves HTTPS, if it does.
    pub(crate) fn beside(settings: &Settings, https: Option<SocketAddr>) -> Result<Self, Failure> {
        let wanted = match settings.bridge.tcp {
            Some(listen) => parts::address(listen),
            None => https,
        };
        match (wanted, https) {
            (None, _) => Ok(Self::Off),
            (Some(wanted), Some(https)) if wanted.port() == https.port() => {
                Ok(Self::WithHttps(https))
            }
            (Some(wanted), _) => own(wanted).map(Self::Own),
        }
    }

    /// Opens that of a bridge that runs alone. The usual port may be taken by something else; one that is written down
    /// may not.
    pub(crate) fn alone(settings: &Settings) -> Result<Self, Failure> {
        if settings.bridge.tcp.is_some() {
            return Self::beside(settings, None);
        }
        match own(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))) {
            Ok(listener) => Ok(Self::Own(listener)),
            Err(error) => {
                tracing::warn!(
                    "no media over TCP, which people need whose network lets no UDP through: {error} (bridge.tcp)"
                );
                Ok(Self::Off)
            }
        }
    }

    /// Where people connect to.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::WithHttps(address) => Some(*address),
            Self::Own(listener) => listener.local_addr().ok(),
        }
    }

    /// Lets connections in; what the front needs for those that come to it.
    pub(crate) fn serve(self, bridge: &Bridge) -> Option<MediaDoor> {
        let door = bridge.stream_door();
        match self {
            Self::Off => None,
            Self::WithHttps(_) => Some(front_door(door)),
            Self::Own(listener) => {
                tokio::spawn(door.listen(listener));
                None
            }
        }
    }
}

fn own(address: SocketAddr) -> Result<TcpListener, Failure> {
    front::bind_tcp("media over TCP", address).map_err(Failure::start)
}

fn front_door(door: StreamDoor) -> MediaDoor {
    std::sync::Arc::new(move |stream, peer| Box::pin(door.clone().serve(stream, peer)))
}
