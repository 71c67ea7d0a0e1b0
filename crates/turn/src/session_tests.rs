//! A client against its session.

use super::*;

const PEER: &str = "9.9.9.9:10000";
const SECRET: &[u8] = b"secret";

struct Client {
    session: Session,
    now: Now,
    name: String,
    key: [u8; 16],
}

fn address(s: &str) -> SocketAddr {
    s.parse().unwrap()
}

impl Client {
    #[allow(clippy::disallowed_methods, reason = "some first instant")]
    fn new(ends: u64) -> Self {
        let now = Now {
            at: Instant::now(),
            unix: 1_000,
        };
        let settings = Settings {
            realm: "meet.test".to_owned(),
            secret: SECRET.to_vec(),
            allows: Arc::new(|peer| peer.port() == 10_000),
        };
        let session = Session::new(Arc::new(settings), address("8.8.8.8:1"), [5; 16], now);
        let name = ends.to_string();
        // As the XMPP server makes it.
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET),
            name.as_bytes(),
        );
        let password = base64::engine::general_purpose::STANDARD.encode(tag.as_ref());
        let key = md5::compute(format!("{name}:meet.test:{password}")).0;
        Self {
            session,
            now,
            name,
            key,
        }
    }

    fn request(&self, kind: u16, fill: impl Fn(Writer) -> Writer) -> Vec<u8> {
        fill(Writer::new(kind, [1; 12]))
            .attribute(attribute::USERNAME, self.name.as_bytes())
            .attribute(attribute::REALM, b"meet.test")
            .attribute(attribute::NONCE, self.session.nonce.as_bytes())
            .protected(&self.key)
    }

    fn ask(&mut self, kind: u16, fill: impl Fn(Writer) -> Writer) -> Output {
        let request = self.request(kind, fill);
        self.session.handle_client(self.now, &request).unwrap()
    }

    /// The code of the error that the answer says, 0 for success.
    fn code(&mut self, kind: u16, fill: impl Fn(Writer) -> Writer) -> u16 {
        code(&self.ask(kind, fill))
    }

    fn allocate(&mut self) {
        let open = self.ask(method::ALLOCATE, udp);
        assert_eq!(open, Output::Open { ipv6: false });
        let reply = self
            .session
            .opened(self.now, Some(address("8.8.4.4:50000")))
            .unwrap();
        let message = Message::parse(&reply).unwrap();
        assert_eq!(message.kind, method::ALLOCATE | SUCCESS);
        assert!(message.is_authentic(&self.key));
        assert_eq!(message.number(attribute::LIFETIME), Some(600));
    }

    fn pass(&mut self, seconds: u64) {
        self.now.at += Duration::from_secs(seconds);
        self.now.unix += seconds;
    }
}

fn udp(writer: Writer) -> Writer {
    writer.attribute(attribute::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0])
}

fn peer(at: &'static str) -> impl Fn(Writer) -> Writer {
    move |writer| writer.address(attribute::XOR_PEER_ADDRESS, address(at))
}

fn channel(number: u32, at: &'static str) -> impl Fn(Writer) -> Writer {
    move |writer| peer(at)(writer).number(attribute::CHANNEL_NUMBER, number << 16)
}

fn code(output: &Output) -> u16 {
    let Output::Reply(reply) = output else {
        panic!("{output:?}");
    };
    let message = Message::parse(reply).unwrap();
    match message.attribute(attribute::ERROR_CODE) {
        Some(value) => u16::from(value[2]) * 100 + u16::from(value[3]),
        None => 0,
    }
}

#[test]
fn packets_go_both_ways_by_indication_and_by_channel() {
    let mut c = Client::new(2_000);
    c.allocate();
    assert_eq!(c.code(method::CREATE_PERMISSION, peer(PEER)), 0);
    let indication = peer(PEER)(Writer::new(method::SEND | INDICATION, [2; 12]))
        .attribute(attribute::DATA, b"hi")
        .plain();
    let sent = c.session.handle_client(c.now, &indication);
    assert_eq!(sent, Some(Output::Send(address(PEER), b"hi".to_vec())));
    let back = c.session.handle_peer(c.now, address(PEER), b"ho").unwrap();
    let message = Message::parse(&back).unwrap();
    assert_eq!(message.kind, method::DATA | INDICATION);
    assert_eq!(message.attribute(attribute::DATA), Some(&b"ho"[..]));

    assert_eq!(c.code(method::CHANNEL_BIND, channel(0x4000, PEER)), 0);
    let data = write_channel_data(0x4000, b"hey").unwrap();
    let sent = c.session.handle_client(c.now, &data);
    assert_eq!(sent, Some(Output::Send(address(PEER), b"hey".to_vec())));
    let back = c.session.handle_peer(c.now, address(PEER), b"ho").unwrap();
    assert_eq!(channel_data(&back), Some((0x4000, &b"ho"[..])));
    assert_eq!(
        c.session.handle_peer(c.now, address("9.9.9.8:1"), b"x"),
        None
    );
}

#[test]
fn credentials_are_asked_for_checked_and_end() {
    let mut c = Client::new(2_000);
    let bare = udp(Writer::new(method::ALLOCATE, [1; 12])).plain();
    let refused = c.session.handle_client(c.now, &bare).unwrap();
    assert_eq!(code(&refused), 401);
    let Output::Reply(reply) = refused else {
        panic!()
    };
    let challenge = Message::parse(&reply).unwrap();
    assert_eq!(challenge.text(attribute::REALM), Some("meet.test"));
    assert_eq!(challenge.text(attribute::NONCE), Some(&*c.session.nonce));
    let key = std::mem::take(&mut c.key);
    assert_eq!(c.code(method::ALLOCATE, udp), 401, "another password");
    c.key = key;
    c.allocate();
    c.pass(1_001);
    assert_eq!(c.code(method::REFRESH, |w| w), 401, "it has ended");
    assert_eq!(Client::new(999).code(method::ALLOCATE, udp), 401);
    let mut forged = Client::new(2_000);
    forged.name = "9999".to_owned();
    assert_eq!(forged.code(method::ALLOCATE, udp), 401);
}

#[test]
fn only_allowed_peers_are_reached_and_only_with_an_allocation() {
    let mut c = Client::new(2_000);
    assert_eq!(c.code(method::CREATE_PERMISSION, peer(PEER)), 437);
    c.allocate();
    assert_eq!(c.code(method::CREATE_PERMISSION, peer("9.9.9.9:22")), 403);
    assert_eq!(
        c.code(method::CREATE_PERMISSION, peer("[2606::1]:10000")),
        443
    );
    assert_eq!(c.code(method::CREATE_PERMISSION, |w| w), 400);
    assert_eq!(c.code(method::CHANNEL_BIND, channel(0x3fff, PEER)), 400);
    // Another port of an address that has a permission is still looked at.
    assert_eq!(c.code(method::CREATE_PERMISSION, peer(PEER)), 0);
    let indication = peer("9.9.9.9:22")(Writer::new(method::SEND | INDICATION, [2; 12]))
        .attribute(attribute::DATA, b"hi")
        .plain();
    assert_eq!(c.session.handle_client(c.now, &indication), None);
    let tcp = |w: Writer| w.attribute(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    assert_eq!(Client::new(2_000).code(method::ALLOCATE, tcp), 442);
}

/// Datagrams get lost: the same request is answered the same way, another one is another allocation.
#[test]
fn a_repeated_request_has_the_same_answer() {
    let mut c = Client::new(2_000);
    c.ask(method::ALLOCATE, udp);
    let relayed = address("8.8.4.4:50000");
    let first = c.session.opened(c.now, Some(relayed)).unwrap();
    c.pass(3);
    assert_eq!(c.ask(method::ALLOCATE, udp), Output::Reply(first));
    let other = udp(Writer::new(method::ALLOCATE, [2; 12]))
        .attribute(attribute::USERNAME, c.name.as_bytes())
        .attribute(attribute::REALM, b"meet.test")
        .attribute(attribute::NONCE, c.session.nonce.as_bytes())
        .protected(&c.key);
    let refused = c.session.handle_client(c.now, &other).unwrap();
    assert_eq!(code(&refused), 437);
}

#[test]
fn a_channel_has_one_peer_and_a_peer_one_channel() {
    let mut c = Client::new(2_000);
    c.allocate();
    assert_eq!(c.code(method::CHANNEL_BIND, channel(0x4000, PEER)), 0);
    assert_eq!(
        c.code(method::CHANNEL_BIND, channel(0x4000, PEER)),
        0,
        "renewed"
    );
    assert_eq!(c.code(method::CHANNEL_BIND, channel(0x4001, PEER)), 400);
    assert_eq!(
        c.code(method::CHANNEL_BIND, channel(0x4000, "9.9.9.8:10000")),
        400
    );
}

#[test]
fn what_is_not_renewed_ends() {
    let mut c = Client::new(1_000_000);
    c.allocate();
    assert_eq!(c.code(method::CREATE_PERMISSION, peer(PEER)), 0);
    c.pass(299);
    assert!(c.session.handle_peer(c.now, address(PEER), b"x").is_some());
    c.pass(2);
    assert_eq!(c.session.handle_peer(c.now, address(PEER), b"x"), None);
    let long = |w: Writer| w.number(attribute::LIFETIME, 1_000_000);
    assert_eq!(c.code(method::REFRESH, long), 0);
    assert_eq!(c.session.deadline(), c.now.at + MAX_LIFETIME);
    let none = |w: Writer| w.number(attribute::LIFETIME, 0);
    let Output::Close(reply) = c.ask(method::REFRESH, none) else {
        panic!("it goes on");
    };
    let message = Message::parse(&reply).unwrap();
    assert_eq!(message.number(attribute::LIFETIME), Some(0));
    assert!(message.is_authentic(&c.key));
    let indication = peer(PEER)(Writer::new(method::SEND | INDICATION, [2; 12]))
        .attribute(attribute::DATA, b"hi")
        .plain();
    assert_eq!(c.session.handle_client(c.now, &indication), None);
}

#[test]
fn a_client_has_room_for_so_many_peers() {
    let mut c = Client::new(2_000);
    c.allocate();
    let mut codes = Vec::new();
    for n in 0..=MAX_PEERS as u8 {
        codes.push(c.code(method::CREATE_PERMISSION, |w| {
            w.address(attribute::XOR_PEER_ADDRESS, ([9, 9, 9, n], 10_000).into())
        }));
    }
    assert_eq!(codes.pop(), Some(508));
    assert!(codes.iter().all(|code| *code == 0));
    assert_eq!(c.session.permissions.len(), MAX_PEERS);
}

#[test]
fn a_socket_that_cannot_be_had_is_said() {
    let mut c = Client::new(2_000);
    c.ask(method::ALLOCATE, udp);
    let reply = c.session.opened(c.now, None).unwrap();
    assert_eq!(code(&Output::Reply(reply)), 508);
    c.allocate();
}

proptest::proptest! {
    #[test]
    fn any_message(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut c = Client::new(2_000);
        c.allocate();
        assert!(!matches!(
            c.session.handle_client(c.now, &bytes),
            Some(Output::Send(..) | Output::Close(_))
        ));
    }
}
