//! TURN over UDP: one socket for all clients, and for each that has an allocation a task and a socket of its own. Of those that
//! have none nothing is kept, so that nobody can fill the memory from addresses that are not his.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep_until;
use turn::{MAX_MESSAGE, Now, Output, Session};

use super::clients::{Relays, Share};
use super::sockets::{now, open_socket, receive, source_towards};

/// Messages of a client that wait for its task; what is too much is lost, as any datagram may be.
const QUEUE: usize = 256;
/// A nonce is made anew after so long, seconds.
const NONCE: u64 = 3_600;

/// Clients with an allocation, by their address.
type Clients = Arc<Mutex<HashMap<SocketAddr, Sender<Vec<u8>>>>>;

/// The socket, and who is known there.
struct Door {
    relays: Relays,
    socket: Arc<UdpSocket>,
    clients: Clients,
    nonces: hmac::Key,
}

/// Serves clients that send to this socket, for ever.
pub(super) async fn serve_all(relays: Relays, socket: UdpSocket) {
    let door = Door {
        relays,
        socket: Arc::new(socket),
        clients: Clients::default(),
        nonces: hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()),
    };
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let (len, from) = receive(Some(&*door.socket), &mut buffer).await;
        let message = buffer.get(..len).unwrap_or_default();
        let known = lock(&door.clients).get(&from).cloned();
        match known {
            Some(client) if client.try_send(message.to_vec()).is_ok() => {}
            Some(_) => door.relays.dropped(),
            None => door.greet(from, message).await,
        }
    }
}

impl Door {
    /// Somebody without an allocation says something.
    async fn greet(&self, from: SocketAddr, message: &[u8]) {
        let client = SocketAddr::new(from.ip().to_canonical(), from.port());
        let now = now();
        let settings = self.relays.settings();
        let mut session = Session::new(settings, client, self.nonce(client, now), now);
        match session.handle_client(now, message) {
            Some(Output::Reply(reply)) => self.send(&reply, from).await,
            Some(Output::Open { ipv6 }) => {
                let relayed = self.open(client, ipv6, from).await;
                let address = relayed.as_ref().and_then(|r| r.socket.local_addr().ok());
                let reply = session.opened(now, address);
                if let Some(allocated) = relayed.filter(|_| address.is_some()) {
                    tokio::spawn(allocated.run(session));
                }
                // From then on its messages come to the task.
                if let Some(reply) = reply {
                    self.send(&reply, from).await;
                }
            }
            _ => {}
        }
    }

    /// A socket for a client, if it may have one.
    async fn open(&self, client: SocketAddr, ipv6: bool, from: SocketAddr) -> Option<Allocated> {
        let share = self.relays.take(client.ip())?;
        let own = match self.socket.local_addr().ok()?.ip() {
            ip if ip.is_unspecified() => source_towards(client)?,
            ip => ip.to_canonical(),
        };
        let socket = open_socket(own, ipv6).await?;
        let (sender, inbox) = channel(QUEUE);
        lock(&self.clients).insert(from, sender);
        Some(Allocated {
            socket,
            inbox,
            door: Arc::clone(&self.socket),
            known: Known {
                clients: Arc::clone(&self.clients),
                client: from,
            },
            _share: share,
        })
    }

    async fn send(&self, reply: &[u8], to: SocketAddr) {
        // One that cannot be sent is lost, as any may be.
        let _ = self.socket.send_to(reply, to).await;
    }

    /// The same for a client for a while, and not to be guessed by who does not get what is sent there.
    fn nonce(&self, client: SocketAddr, now: Now) -> [u8; 16] {
        let what = format!("{client} {}", now.unix / NONCE);
        let tag = hmac::sign(&self.nonces, what.as_bytes());
        let mut nonce = [0; 16];
        nonce
            .iter_mut()
            .zip(tag.as_ref())
            .for_each(|(n, t)| *n = *t);
        nonce
    }
}

/// A client in the list, until this is dropped.
struct Known {
    clients: Clients,
    client: SocketAddr,
}

impl Drop for Known {
    fn drop(&mut self) {
        lock(&self.clients).remove(&self.client);
    }
}

/// A client with an allocation.
struct Allocated {
    socket: UdpSocket,
    inbox: Receiver<Vec<u8>>,
    door: Arc<UdpSocket>,
    known: Known,
    _share: Share,
}

impl Allocated {
    async fn run(mut self, mut session: Session) {
        let mut datagram = vec![0; MAX_MESSAGE];
        loop {
            let deadline = session.deadline();
            let reply = tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => match session.handle_client(now(), &message) {
                        Some(Output::Reply(reply)) => Some(reply),
                        Some(Output::Send(to, data)) => {
                            let _ = self.socket.try_send_to(&data, to);
                            None
                        }
                        Some(Output::Close(reply)) => return self.send(&reply).await,
                        _ => None,
                    },
                    None => return,
                },
                (len, from) = receive(Some(&self.socket), &mut datagram) => {
                    session.handle_peer(now(), from, datagram.get(..len).unwrap_or_default())
                }
                () = sleep_until(deadline.into()) => return,
            };
            if let Some(reply) = reply {
                self.send(&reply).await;
            }
        }
    }

    async fn send(&self, message: &[u8]) {
        let _ = self.door.send_to(message, self.known.client).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
