//! What one more join costs the server's core: a room of N, somebody comes, everybody hears of it, and the newcomer hears
//! of everybody; then the newcomer leaves.
//!
//! `cargo bench -p xmpp --bench join [people...]` prints microseconds of processor time for a join and a leave, beside the nanoseconds
//! for each stanza that went out, at several sizes of the room: flat for each recipient. Linux only: the clock is the
//! thread's.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and stops at errors"
)]

#[path = "../tests/kit/mod.rs"]
mod kit;

use std::time::{Duration, Instant};

use kit::{ROOM, World};
use nix::time::{ClockId, clock_gettime};
use xmpp::{ConnectionId, Login, Output, Server, SessionId, WebQuery};

const ROUNDS: usize = 51;

/// Processor time this thread took.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

/// Takes what the server hands out, as a host would, and acknowledges what it is asked to.
fn carry_out(server: &mut Server, now: Instant, counts: &mut Counts) -> usize {
    let mut sent = 0;
    let mut asked = Vec::new();
    while let Some(output) = server.poll_output() {
        match output {
            Output::Send {
                connection, stanza, ..
            } => {
                sent += 1;
                if let Some((_, received)) = counts.of(connection) {
                    *received = received.wrapping_add(1);
                }
                std::hint::black_box(stanza);
            }
            Output::RequestAck { connection } => asked.push(connection),
            _ => {}
        }
    }
    for connection in asked {
        if let Some(&mut (session, received)) = counts.of(connection) {
            server.ack(now, session, received).unwrap();
        }
    }
    sent
}

/// Sessions and what they received, by the number of their connection.
#[derive(Default)]
struct Counts(Vec<Option<(SessionId, u32)>>);

impl Counts {
    fn of(&mut self, connection: ConnectionId) -> Option<&mut (SessionId, u32)> {
        let at = usize::try_from(connection.0).unwrap();
        self.0.get_mut(at)?.as_mut()
    }

    fn insert(&mut self, connection: ConnectionId, session: SessionId) {
        let at = usize::try_from(connection.0).unwrap();
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some((session, 0));
    }
}

fn presence(nick: &str) -> String {
    format!(
        "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/>\
         <audiomuted>true</audiomuted><videomuted>true</videomuted><stats-id>Kaia-xUc</stats-id>\
         <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://jitsi.org/jitsi-meet' ver='W0PlYwXVoZcoDdZtAB4BBAXdpN4='/>\
         <SourceInfo>{{\"{nick}-a0\":{{\"muted\":true}},\"{nick}-v0\":{{\"muted\":true}}}}</SourceInfo>\
         <jitsi_participant_codecList>vp9,vp8,h264,av1</jitsi_participant_codecList>\
         <nick xmlns='http://jabber.org/protocol/nick'>name of {nick}</nick></presence>"
    )
}

/// One who joins: its connection, session and address in the room.
fn enter(world: &mut World, counts: &mut Counts, number: u64) -> (ConnectionId, SessionId, usize) {
    let user = world
        .server
        .anonymous_user(kit::DOMAIN, &WebQuery::default())
        .unwrap();
    let connection = ConnectionId(number);
    let login = Login {
        user,
        resource: None,
        connection,
        query: WebQuery::default(),
    };
    let bound = world.server.bind(world.now, login).unwrap();
    carry_out(&mut world.server, world.now, counts);
    world
        .server
        .enable_sm(world.now, bound.session, true)
        .unwrap();
    counts.insert(connection, bound.session);
    let nick = bound.jid.node().unwrap().as_str()[..8].to_owned();
    let stanza = kit::element(&presence(&nick));
    world
        .server
        .handle_stanza(world.now, bound.session, stanza)
        .unwrap();
    let sent = carry_out(&mut world.server, world.now, counts);
    (connection, bound.session, sent)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() {
    // `cargo bench` says so; `cargo test --benches` only has to compile it.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let mut sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10, 100, 300, 1_000, 3_000];
    }
    for people in sizes {
        let mut world = World::new();
        world.focus();
        let mut counts = Counts::default();
        let mut number = 1_000;
        for _ in 0..people {
            number += 1;
            enter(&mut world, &mut counts, number);
        }
        let (mut joins, mut leaves, mut stanzas) = (Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            number += 1;
            world.now += Duration::from_secs(1);
            let start = spent();
            let (connection, session, sent) = enter(&mut world, &mut counts, number);
            joins.push(spent() - start);
            stanzas = sent;
            let start = spent();
            world.server.close(world.now, session, connection);
            carry_out(&mut world.server, world.now, &mut counts);
            leaves.push(spent() - start);
        }
        let (join, leave) = (median(&mut joins), median(&mut leaves));
        println!(
            "{people:5} people: join {:7.1} µs ({:4.0} ns for each of {stanzas} stanzas), leave {:7.1} µs",
            join.as_nanos() as f64 / 1e3,
            join.as_nanos() as f64 / stanzas as f64,
            leave.as_nanos() as f64 / 1e3,
        );
    }
}
