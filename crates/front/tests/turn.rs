//! The relay at ports of its own, over real sockets: by UDP and by TCP, for those with credentials, to the allowed and nobody
//! else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it fails"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use front::TurnServer;
use telemetry::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const SECRET: &[u8] = b"secret";
const REALM: &str = "meet.test";
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay to one address, at a port of the loopback.
fn relay(to: SocketAddr, metrics: &Metrics) -> SocketAddr {
    let settings = turn::Settings {
        realm: REALM.to_owned(),
        secret: SECRET.to_vec(),
        allows: Arc::new(move |peer| peer == to),
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let server = TurnServer::bind(any, Arc::new(settings), metrics).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run());
    address
}

/// How a client comes.
enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Way {
    async fn udp(relay: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(relay).await.unwrap();
        Self::Udp(socket)
    }

    async fn tcp(relay: SocketAddr) -> Self {
        Self::Tcp(TcpStream::connect(relay).await.unwrap())
    }

    async fn send(&mut self, message: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(message).await.unwrap()),
            Self::Tcp(stream) => stream.write_all(message).await.unwrap(),
        }
    }

    async fn receive(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 2_000];
        let read = async {
            match self {
                Self::Udp(socket) => socket.recv(&mut buffer).await.unwrap(),
                Self::Tcp(stream) => {
                    let mut len = 0;
                    loop {
                        len += stream.read(&mut buffer[len..]).await.unwrap();
                        if matches!(turn::message_len(&buffer[..len]), Ok(Some(all)) if all <= len)
                        {
                            return len;
                        }
                    }
                }
            }
        };
        let len = timeout(PATIENCE, read).await.unwrap();
        buffer.truncate(len);
        buffer
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn message(kind: u16, id: u8, body: &[u8]) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend((body.len() as u16).to_be_bytes());
    out.extend(COOKIE);
    out.extend([id; 12]);
    out.extend(body);
    out
}

fn address(kind: u16, address: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(v4) = address else {
        panic!()
    };
    let mut value = vec![0, 1];
    value.extend((v4.port() ^ 0x2112).to_be_bytes());
    value.extend(v4.ip().octets().iter().zip(COOKIE).map(|(a, b)| a ^ b));
    attribute(kind, &value)
}

/// The value of an attribute.
fn find(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = &message[20..];
    while rest.len() >= 4 {
        let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if rest[..2] == wanted.to_be_bytes() {
            return Some(&rest[4..4 + len]);
        }
        rest = &rest[4 + len.next_multiple_of(4)..];
    }
    None
}

/// A client with an account.
struct Client {
    way: Way,
    name: String,
    key: [u8; 16],
    nonce: Vec<u8>,
    requests: u8,
}

impl Client {
    fn new(way: Way) -> Self {
        let name = "99999999999".to_owned();
        let secret = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET);
        let tag = hmac::sign(&secret, name.as_bytes());
        let password = base64::engine::general_purpose::STANDARD.encode(tag.as_ref());
        let key = md5::compute(format!("{name}:{REALM}:{password}")).0;
        Self {
            way,
            name,
            key,
            nonce: Vec::new(),
            requests: 0,
        }
    }

    fn signed(&mut self, kind: u16, body: &[u8]) -> Vec<u8> {
        self.requests += 1;
        let mut all = body.to_vec();
        all.extend(attribute(0x0006, self.name.as_bytes()));
        all.extend(attribute(0x0014, REALM.as_bytes()));
        all.extend(attribute(0x0015, &self.nonce));
        let mut out = message(kind, self.requests, &all);
        let len = (all.len() + 24) as u16;
        out[2..4].copy_from_slice(&len.to_be_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.key);
        let tag = hmac::sign(&key, &out);
        out.extend(attribute(0x0008, tag.as_ref()));
        out
    }

    /// Asks; kind and whole answer.
    async fn ask(&mut self, kind: u16, body: &[u8]) -> (u16, Vec<u8>) {
        let request = self.signed(kind, body);
        self.way.send(&request).await;
        let answer = self.way.receive().await;
        (u16::from_be_bytes([answer[0], answer[1]]), answer)
    }

    /// Gets an allocation.
    async fn allocate(&mut self) {
        let transport = attribute(0x0019, &[17, 0, 0, 0]);
        self.way.send(&message(0x003, 0, &transport)).await;
        let challenge = self.way.receive().await;
        assert_eq!(challenge[..2], [0x01, 0x13]);
        self.nonce = find(&challenge, 0x0015).unwrap().to_vec();
        let (kind, answer) = self.ask(0x003, &transport).await;
        assert_eq!(kind, 0x103, "{answer:?}");
        let relayed = find(&answer, 0x0016).unwrap();
        assert_eq!(relayed.len(), 8);
    }
}

/// What a peer behind the relay does: says everything again.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 2_000];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..len], from).await.unwrap();
        }
    });
    address
}

async fn relays(udp: bool) {
    let peer = echo().await;
    let metrics = Metrics::new();
    let relay = relay(peer, &metrics);
    let way = match udp {
        true => Way::udp(relay).await,
        false => Way::tcp(relay).await,
    };
    let mut client = Client::new(way);
    client.allocate().await;
    assert!(
        metrics.encode().contains("turn_clients 1"),
        "{}",
        metrics.encode()
    );
    // Nobody else is reached.
    let other: SocketAddr = "127.0.0.1:22".parse().unwrap();
    let (kind, refused) = client.ask(0x008, &address(0x0012, other)).await;
    assert_eq!(
        (kind, &find(&refused, 0x0009).unwrap()[2..4]),
        (0x118, &[4, 3][..])
    );
    // By indication.
    let (kind, _) = client.ask(0x008, &address(0x0012, peer)).await;
    assert_eq!(kind, 0x108);
    let mut indication = address(0x0012, peer);
    indication.extend(attribute(0x0013, b"to and fro"));
    client.way.send(&message(0x016, 9, &indication)).await;
    let back = client.way.receive().await;
    assert_eq!(
        (back[..2].to_vec(), find(&back, 0x0013)),
        (vec![0, 0x17], Some(&b"to and fro"[..]))
    );
    // By channel.
    let mut bind = attribute(0x000c, &[0x40, 0, 0, 0]);
    bind.extend(address(0x0012, peer));
    assert_eq!(client.ask(0x009, &bind).await.0, 0x109);
    let mut data = vec![0x40, 0, 0, 5];
    data.extend(b"again");
    // In a datagram there need be no padding.
    data.resize(if udp { 9 } else { 12 }, 0);
    client.way.send(&data).await;
    assert_eq!(client.way.receive().await[..9], data[..9]);
    // The end is said, and the place is free.
    let (kind, _) = client.ask(0x004, &attribute(0x000d, &[0; 4])).await;
    assert_eq!(kind, 0x104);
    let gone = async {
        while !metrics.encode().contains("turn_clients 0") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn media_is_relayed_by_udp() {
    relays(true).await;
}

#[tokio::test]
async fn media_is_relayed_by_tcp() {
    relays(false).await;
}

#[tokio::test]
async fn datagrams_of_strangers_leave_nothing_behind() {
    let metrics = Metrics::new();
    let relay = relay("127.0.0.1:9".parse().unwrap(), &metrics);
    let transport = attribute(0x0019, &[17, 0, 0, 0]);
    let mut nonces = Vec::new();
    for _ in 0..20 {
        let mut client = Client::new(Way::udp(relay).await);
        client.nonce = b"guessed".to_vec();
        let (kind, answer) = client.ask(0x003, &transport).await;
        assert_eq!(
            (kind, &find(&answer, 0x0009).unwrap()[2..4]),
            (0x113, &[4, 38][..])
        );
        nonces.push(find(&answer, 0x0015).unwrap().to_vec());
        // The same for this one, while it lasts, and another one's for nobody else.
        let (_, again) = client.ask(0x003, &transport).await;
        assert_eq!(find(&again, 0x0015), nonces.last().map(Vec::as_slice));
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 20);
    assert!(
        metrics.encode().contains("turn_clients 0"),
        "{}",
        metrics.encode()
    );
}
