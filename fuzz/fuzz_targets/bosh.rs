//! A BOSH session and its requests. A zero byte separates requests; the first byte of each is its distance in time.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use fuzz::door::{check_accepted, check_written};
use libfuzzer_sys::fuzz_target;
use stanza::xml::{self, Limits};
use stanza::{BareJid, FullJid};
use stream::bosh::{BoshConfig, RequestToken, Session};
use stream::server::{Event, HostPolicy, ServerConfig, single_host};

static CONFIG: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let policy = HostPolicy {
        anonymous: true,
        password: false,
        plain: false,
        limits: Limits::CLIENT,
    };
    Arc::new(ServerConfig::new(single_host("a", policy), [0; 32]))
});

fn settle(session: &mut Session, now: Instant, came: usize) {
    loop {
        session.flush(now);
        match session.poll_event() {
            Some(Event::Anonymous { .. }) => {
                if let Ok(user) = BareJid::new("u@a") {
                    session.server().accept_anonymous(now, user);
                }
            }
            Some(Event::Bind { .. }) => {
                if let Ok(jid) = FullJid::new("u@a/r") {
                    session.server().bound(now, &jid);
                }
            }
            Some(Event::Stanza(stanza)) => check_accepted(&stanza, came),
            Some(_) => {}
            None => return,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let mut session: Option<Session> = None;
    let mut open = Vec::new();
    for (n, part) in data.split(|byte| *byte == 0).enumerate() {
        let Some((&step, body)) = part.split_first() else {
            continue;
        };
        now += Duration::from_secs(u64::from(step % 64));
        let token = RequestToken(n as u64);
        let Ok(element) = xml::parse(body, &Limits::CLIENT) else {
            continue;
        };
        match &mut session {
            None => {
                let config = BoshConfig::default();
                session = Session::create(
                    &CONFIG,
                    config,
                    now,
                    [0; 32],
                    "s",
                    token,
                    &element,
                    body.len(),
                )
                .ok();
                if session.is_some() {
                    open.push(token);
                }
            }
            Some(session) => {
                session.handle_timeout(now);
                session.handle_request(now, token, &element, body.len());
                open.push(token);
            }
        }
        if let Some(session) = &mut session {
            settle(session, now, data.len());
            while let Some((token, body)) = session.poll_response() {
                let before = open.len();
                open.retain(|waiting| *waiting != token);
                assert_eq!(open.len() + 1, before, "one answer to each request");
                check_written(&body, data.len());
            }
        }
    }
    // Whatever happened, nobody waits for ever.
    if let Some(session) = &mut session {
        for _ in 0..8 {
            now += Duration::from_secs(70);
            session.handle_timeout(now);
            settle(session, now, data.len());
            while let Some((token, _)) = session.poll_response() {
                open.retain(|waiting| *waiting != token);
            }
        }
        assert!(open.is_empty() && session.is_finished());
    }
});
