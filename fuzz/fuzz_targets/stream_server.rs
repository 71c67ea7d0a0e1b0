//! A server's end of a stream on TCP and WebSocket, with a caller that answers every question one way or the other.
//!
//! The first byte chooses the framing and how questions are answered; a zero byte separates what arrives together.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use fuzz::door::check_accepted;
use libfuzzer_sys::fuzz_target;
use stanza::error::Condition;
use stanza::xml::Limits;
use stanza::{BareJid, FullJid};
use stream::Framing;
use stream::sasl::Credentials;
use stream::server::{Event, HostPolicy, Security, Server, ServerConfig, single_host};

static CONFIG: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let policy = HostPolicy {
        anonymous: true,
        password: true,
        plain: true,
        limits: Limits::CLIENT,
    };
    Arc::new(ServerConfig::new(single_host("a", policy), [0; 32]))
});
static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| Credentials::derive("p", b"s", 1));

fn answer(server: &mut Server, now: Instant, event: Event, kind: bool, came: usize) {
    match event {
        Event::StartTls => server.tls_started(now),
        Event::Anonymous { host } => match BareJid::new(&format!("u@{host}")) {
            Ok(user) if kind => server.accept_anonymous(now, user),
            _ => server.refuse(now, stream::SaslCondition::NotAllowed),
        },
        Event::Lookup { .. } => server.credentials(now, kind.then(|| CREDENTIALS.clone())),
        Event::Bind { user, resource } => {
            let jid: Option<FullJid> = user
                .with_resource_str(resource.as_deref().unwrap_or("r"))
                .ok();
            match jid.filter(|_| kind) {
                Some(jid) => server.bound(now, &jid),
                None => server.bind_failed(now, Condition::Conflict),
            }
        }
        Event::Resume { previd, h, .. } if kind => server.resumed(now, &previd, h),
        Event::Resume { .. } => server.resume_failed(now, Condition::ItemNotFound),
        Event::EnableSm { .. } if kind => server.sm_enabled(Some("id"), None),
        Event::EnableSm { .. } => server.sm_failed(Condition::UnexpectedRequest),
        Event::AckRequest => server.ack(1),
        Event::Stanza(stanza) => check_accepted(&stanza, came),
        Event::Ack(_) | Event::Skipped(_) | Event::LoginFailed(_) | Event::Closed(_) => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let framing = if choice & 1 == 0 {
        Framing::Tcp
    } else {
        Framing::WebSocket
    };
    let security = if choice & 2 == 0 {
        Security::Secure
    } else {
        Security::StartTls
    };
    let now = Instant::now();
    let mut server = Server::new(Arc::clone(&CONFIG), framing, security, now, [0; 32]);
    let mut sent = 0;
    for part in data.split(|byte| *byte == 0) {
        server.handle_input(now, part);
        while let Some(event) = server.poll_event() {
            answer(&mut server, now, event, choice & 4 == 0, data.len());
        }
        while let Some(bytes) = server.poll_transmit() {
            assert!(std::str::from_utf8(&bytes).is_ok());
            sent += bytes.len();
        }
    }
    // A peer cannot make the server say much more than it said itself.
    assert!(
        sent <= 4096 + 1024 * data.len(),
        "{sent} bytes for {}",
        data.len()
    );
    server.handle_timeout(now + Duration::from_secs(60));
    assert!(server.is_bound() || server.is_closed());
});
