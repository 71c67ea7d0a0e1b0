//! Which public addresses a translator in front gives, asked of STUN servers: at the start, and again and again, since the
//! provider may give another one. The translator must lead the port of media to the same port here.
#![allow(
    clippy::disallowed_methods,
    reason = "waits for sockets, timers are tokio's"
)]

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use turn::{Binding, BindingError};

use crate::config::{Mapping, StunServer};
use crate::shared::{Shared, lock};

/// How often servers are asked as long as they answer, and else.
const INTERVAL: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const LONGEST: usize = 1_500;

/// What servers said last; clones know the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reflexive(Arc<Mutex<Vec<Mapping>>>);

impl Reflexive {
    /// The addresses known now, each with the one of the host behind it.
    pub(crate) fn mappings(&self) -> Vec<Mapping> {
        lock(&self.0).clone()
    }

    /// Asks the servers, in their order until one answers, from each of the families in which the bridge listens. Blocks
    /// for some seconds if none answers; whether one did.
    pub(crate) fn ask(&self, servers: &[StunServer], listen: &[SocketAddr]) -> bool {
        let from: BTreeSet<_> = listen.iter().map(|address| address.ip()).collect();
        let ask = |ip| first_answer(servers, SocketAddr::new(ip, 0));
        let found: Vec<Mapping> = std::thread::scope(|scope| {
            let asked: Vec<_> = from
                .into_iter()
                .map(|ip| scope.spawn(move || ask(ip)))
                .collect();
            let answers = asked.into_iter().filter_map(|thread| thread.join().ok());
            answers.flatten().collect()
        });
        if found.is_empty() {
            return false;
        }
        let mut known = lock(&self.0);
        if *known != found {
            let public: Vec<_> = found.iter().map(|mapping| mapping.public.ip()).collect();
            tracing::info!(?public, "the public addresses, as STUN servers see them");
            *known = found;
        }
        true
    }

    /// Goes on asking, for ever. What was known stays while no server answers.
    pub(crate) async fn watch(
        self,
        shared: Arc<Shared>,
        servers: Vec<StunServer>,
        listen: Vec<SocketAddr>,
    ) {
        let mut answered = true;
        loop {
            tokio::time::sleep(if answered { INTERVAL } else { SOON }).await;
            let (this, servers, listen) = (self.clone(), servers.clone(), listen.clone());
            let asked = tokio::task::spawn_blocking(move || this.ask(&servers, &listen));
            let now = asked.await.unwrap_or(false);
            if !now {
                shared.stun_unanswered.fetch_add(1, Ordering::Relaxed);
            }
            if answered && !now {
                tracing::warn!(
                    "no STUN server of bridge.advertise answers; what is advertised stays as it is"
                );
            }
            answered = now;
        }
    }
}

/// What the first server says that answers from this address; none of another family is asked.
fn first_answer(servers: &[StunServer], from: SocketAddr) -> Option<Mapping> {
    for server in servers {
        let looked_up = (server.host.as_str(), server.port).to_socket_addrs();
        let found = match looked_up {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(server = server.host, %error, "a STUN server cannot be looked up");
                continue;
            }
        };
        for to in found.filter(|to| to.is_ipv4() == from.is_ipv4()) {
            match ask(from, to) {
                Ok(mapping) => return Some(mapping),
                Err(error) => {
                    tracing::debug!(server = server.host, %error, "a STUN server is of no use")
                }
            }
        }
    }
    None
}

/// Why one question came to nothing.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Binding(#[from] BindingError),
    #[error("the system refuses: {0}")]
    Socket(#[from] io::Error),
}

/// Asks one server from a port of our own. The address of the host behind the answer is the one from which the way to the
/// server leads.
fn ask(from: SocketAddr, server: SocketAddr) -> Result<Mapping, AskError> {
    let socket = UdpSocket::bind(from)?;
    // From then on nobody else's datagrams come.
    socket.connect(server)?;
    let local = socket.local_addr()?.ip();
    let mut binding = Binding::new(rand::random(), Instant::now());
    let mut buffer = [0; LONGEST];
    loop {
        if let Some(request) = binding.poll_transmit(Instant::now())? {
            // One that cannot be sent is lost, as any may be.
            let _ = socket.send(&request);
        }
        let left = binding.deadline().saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match socket.recv(&mut buffer) {
            Ok(len) => {
                if let Some(answer) = binding.handle(buffer.get(..len).unwrap_or_default()) {
                    let public = SocketAddr::new(answer?.ip(), 0);
                    return Ok(Mapping {
                        public,
                        local: Some(local),
                    });
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Nobody listens there, or there is no way.
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    /// A server that sees these addresses, one after the other; it takes no notice of the first request.
    fn server(sees: &'static [&'static str]) -> StunServer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut buffer = [0; 100];
            socket.recv_from(&mut buffer).unwrap();
            for ip in sees {
                let (len, from) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!((len, &buffer[..4]), (20, &[0, 1, 0, 0][..]));
                let IpAddr::V4(ip) = ip.parse().unwrap() else {
                    panic!("{ip}");
                };
                let mut answer = vec![1, 1, 0, 12];
                answer.extend(&buffer[4..20]);
                answer.extend([0, 0x20, 0, 8, 0, 1, 0xa1, 0x47]);
                answer.extend(
                    ip.octets()
                        .iter()
                        .zip([0x21, 0x12, 0xa4, 0x42])
                        .map(|(a, b)| a ^ b),
                );
                // What is not of this question is not believed.
                let mut other = answer.clone();
                other[8] ^= 1;
                socket.send_to(&other, from).unwrap();
                socket.send_to(&answer, from).unwrap();
            }
        });
        StunServer {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    #[test]
    fn the_first_server_that_answers_is_believed_and_what_it_says_later_too() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
        let silent = StunServer {
            host: "127.0.0.1".to_owned(),
            port: closed.local_addr().unwrap().port(),
        };
        drop(closed);
        let servers = [silent.clone(), server(&["203.0.113.9", "203.0.113.10"])];
        let listen = ["0.0.0.0:10000", "[::1]:10000"].map(|a| a.parse().unwrap());
        let reflexive = Reflexive::default();
        for public in ["203.0.113.9:0", "203.0.113.10:0"] {
            assert!(reflexive.ask(&servers, &listen));
            let mapping = Mapping {
                public: public.parse().unwrap(),
                local: Some(IpAddr::from([127, 0, 0, 1])),
            };
            assert_eq!(reflexive.mappings(), [mapping]);
        }
        // Nobody answers any more: what was known stays.
        assert!(!reflexive.ask(&[silent], &listen));
        assert_eq!(reflexive.mappings().len(), 1);
    }
}
