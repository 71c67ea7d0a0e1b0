//! TURN over a stream, TLS or plain TCP: one task, one socket for each client.
#![allow(clippy::disallowed_methods, reason = "timers are tokio's")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::{sleep_until, timeout};
use turn::{MAX_MESSAGE, Output, Session};

use super::clients::Relays;
use super::sockets::{now, open_socket, receive};

/// How long the network may take for what is written; a client that takes nothing is gone.
const STALL: Duration = Duration::from_secs(20);
/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections, for ever.
pub(super) async fn serve_all(relays: Relays, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let relays = relays.clone();
                tokio::spawn(async move {
                    // Media must not wait to be gathered.
                    let own = stream.set_nodelay(true).and_then(|()| stream.local_addr());
                    if let Ok(own) = own {
                        serve(&relays, stream, peer, own.ip()).await;
                    }
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves a client from its first message to its end; `own` is the address that it reached.
pub(crate) async fn serve<S>(relays: &Relays, stream: S, peer: SocketAddr, own: IpAddr)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let Some(_share) = relays.take(client.ip()) else {
        return;
    };
    let session = Session::new(relays.settings(), client, rand::random(), now());
    let relay = Relay {
        stream,
        session,
        own: own.to_canonical(),
        socket: None,
    };
    relay.run().await;
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
                self.socket = open_socket(self.own, ipv6).await;
                let relayed = self.socket.as_ref().and_then(|s| s.local_addr().ok());
                match self.session.opened(now(), relayed) {
                    Some(message) => self.write(&message).await,
                    None => true,
                }
            }
            Output::Close(message) => {
                self.write(&message).await;
                false
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
