//! TURN beside HTTPS, for networks that let nothing through but TLS: one task, one socket for each client.
#![allow(
    clippy::disallowed_methods,
    reason = "credentials end by the wall clock; timers are tokio's"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use shares::{AddressClass, Budget};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};
use turn::{MAX_MESSAGE, Now, Output, Session, Settings};

use crate::metrics::Counters;

/// Clients at one time, and those of one address.
const MOST: usize = 4_096;
const MOST_OF_ONE: usize = 256;
/// How long the network may take for what is written; a client that takes nothing is gone.
const STALL: Duration = Duration::from_secs(20);

/// Relays for all clients of a front.
#[derive(Clone)]
pub(crate) struct Relays {
    settings: Arc<Settings>,
    counters: Counters,
    open: Arc<Mutex<Budget<AddressClass>>>,
}

impl Relays {
    pub(crate) fn new(settings: Arc<Settings>, counters: Counters) -> Self {
        Self {
            settings,
            counters,
            open: Arc::new(Mutex::new(Budget::new(MOST, MOST_OF_ONE))),
        }
    }

    /// Serves a client from its first message to its end; `own` is the address that it reached.
    pub(crate) async fn serve<S>(&self, stream: S, peer: SocketAddr, own: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let class = AddressClass::from(peer.ip());
        let open = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open().take(class, 1) {
            self.counters.refused("relays");
            return;
        }
        self.counters.relay_opened();
        let client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let session = Session::new(Arc::clone(&self.settings), client, rand::random(), now());
        let relay = Relay {
            stream,
            session,
            own: own.to_canonical(),
            socket: None,
        };
        relay.run().await;
        self.counters.relay_closed();
        open().give(class, 1);
    }
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Now {
        at: Instant::now(),
        unix: unix.map_or(u64::MAX, |since| since.as_secs()),
    }
}

struct Relay<S> {
    stream: S,
    session: Session,
    own: IpAddr,
    socket: Option<UdpSocket>,
}

/// What woke a relay.
enum Event {
    Read(usize),
    Datagram(usize, SocketAddr),
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Relay<S> {
    async fn run(mut self) {
        let mut input = vec![0; 2 * MAX_MESSAGE];
        let mut len = 0;
        let mut datagram = vec![0; MAX_MESSAGE];
        loop {
            let deadline = self.session.deadline();
            let space = input.get_mut(len..).unwrap_or_default();
            let event = tokio::select! {
                read = self.stream.read(space) => match read {
                    Ok(read) if read > 0 => Event::Read(read),
                    _ => Event::End,
                },
                got = receive(self.socket.as_ref(), &mut datagram) => Event::Datagram(got.0, got.1),
                () = sleep_until(deadline.into()) => Event::End,
            };
            let goes_on = match event {
                Event::Read(read) => {
                    len += read;
                    self.take(&mut input, &mut len).await
                }
                Event::Datagram(size, from) => {
                    let data = datagram.get(..size).unwrap_or_default();
                    match self.session.handle_peer(now(), from, data) {
                        Some(message) => self.write(&message).await,
                        None => true,
                    }
                }
                Event::End => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Handles the whole messages that were read; whether the client may go on.
    async fn take(&mut self, input: &mut [u8], len: &mut usize) -> bool {
        loop {
            let bytes = input.get(..*len).unwrap_or_default();
            let whole = match turn::message_len(bytes) {
                Ok(Some(whole)) if whole <= bytes.len() => whole,
                Ok(_) => return true,
                Err(_) => return false,
            };
            let message = bytes.get(..whole).unwrap_or_default();
            let output = self.session.handle_client(now(), message);
            input.copy_within(whole..*len, 0);
            *len -= whole;
            if let Some(output) = output
                && !self.act(output).await
            {
                return false;
            }
        }
    }

    async fn act(&mut self, output: Output) -> bool {
        match output {
            Output::Reply(message) => self.write(&message).await,
            Output::Send(to, data) => {
                if let Some(socket) = &self.socket {
                    // A datagram that does not fit into the network is lost, as any may be.
                    let _ = socket.try_send_to(&data, to);
                }
                true
            }
            Output::Open { ipv6 } => {
                let ip = match (ipv6, self.own) {
                    (false, IpAddr::V4(_)) | (true, IpAddr::V6(_)) => self.own,
                    (false, _) => Ipv4Addr::UNSPECIFIED.into(),
                    (true, _) => Ipv6Addr::UNSPECIFIED.into(),
                };
                self.socket = UdpSocket::bind(SocketAddr::new(ip, 0)).await.ok();
                let relayed = self.socket.as_ref().and_then(|s| s.local_addr().ok());
                match self.session.opened(now(), relayed) {
                    Some(message) => self.write(&message).await,
                    None => true,
                }
            }
            _ => false,
        }
    }

    async fn write(&mut self, message: &[u8]) -> bool {
        let write = async {
            self.stream.write_all(message).await?;
            self.stream.flush().await
        };
        matches!(timeout(STALL, write).await, Ok(Ok(())))
    }
}

/// The next datagram, or never without a socket.
async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> (usize, SocketAddr) {
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
