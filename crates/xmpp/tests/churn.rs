//! People come and go for a while: the server keeps nothing of those who left.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use std::alloc::System;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use kit::{Client, ROOM, World};
use stanza::ns;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use xmpp::{ConnectionId, Output, SessionId};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes allocated now.
fn live() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// The clients' end: who has a session, and how many stanzas each got since it counts them.
struct Crowd {
    world: World,
    received: HashMap<ConnectionId, (SessionId, u32)>,
}

impl Crowd {
    /// Somebody in the room, who counts what comes.
    fn join(&mut self) -> Client {
        let client = self.world.guest();
        self.world
            .server
            .enable_sm(self.world.now, client.session, true)
            .unwrap();
        self.received.insert(client.connection, (client.session, 0));
        let nick = &client.nick;
        self.say(
            &client,
            &format!(
                "<presence to='{ROOM}/{nick}'><x xmlns='{}'/></presence>",
                ns::MUC
            ),
        );
        client
    }

    fn say(&mut self, client: &Client, text: &str) {
        self.world
            .server
            .handle_stanza(self.world.now, client.session, kit::element(text))
            .unwrap();
        self.carry_out();
    }

    /// Takes what comes, and acknowledges it when asked.
    fn carry_out(&mut self) {
        while let Some(output) = self.world.server.poll_output() {
            match output {
                Output::Send { connection, .. } => {
                    if let Some((_, received)) = self.received.get_mut(&connection) {
                        *received += 1;
                    }
                }
                Output::RequestAck { connection } => {
                    if let Some(&(session, received)) = self.received.get(&connection) {
                        let now = self.world.now;
                        self.world.server.ack(now, session, received).unwrap();
                    }
                }
                Output::Close { connection, reason } => panic!("{connection:?}: {reason:?}"),
                _ => {}
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.world.now + time;
        while let Some(at) = self.world.server.poll_timeout().filter(|at| *at <= end) {
            self.world.now = self.world.now.max(at);
            self.world.server.handle_timeout(self.world.now);
            self.carry_out();
        }
        self.world.now = end;
    }

    /// 50 joins and leaves a second, ten people at a time, who speak once; every other one disappears without a word, and its
    /// session ends by time.
    fn churn(&mut self, people: usize) {
        let mut present = VecDeque::new();
        for number in 0..people + 10 {
            if number < people {
                let client = self.join();
                let body = format!("<body>I am number {number}</body>");
                self.say(
                    &client,
                    &format!("<message type='groupchat' to='{ROOM}'>{body}</message>"),
                );
                present.push_back(client);
            }
            if number >= 10 {
                self.leave(&present.pop_front().unwrap(), number % 2 == 0);
            }
            self.pass(Duration::from_millis(20));
        }
        // Sessions that hibernate end, and what was due by time is forgotten.
        self.pass(Duration::from_secs(120));
    }

    /// People who are there at once and go one by one: tables become large, and small again.
    fn come_and_go(&mut self, people: usize) {
        let guests: Vec<Client> = (0..people).map(|_| self.world.guest()).collect();
        for guest in &guests {
            self.leave(guest, true);
        }
        drop(guests);
        self.pass(Duration::from_secs(120));
    }

    fn leave(&mut self, client: &Client, in_order: bool) {
        let (now, server) = (self.world.now, &mut self.world.server);
        self.received.remove(&client.connection);
        match in_order {
            true => server.close(now, client.session, client.connection),
            false => server.detach(now, client.session, client.connection),
        }
        self.carry_out();
    }
}

#[test]
fn those_who_left_take_no_memory() {
    let mut world = World::new();
    let focus = world.focus();
    let mut crowd = Crowd {
        world,
        received: HashMap::new(),
    };
    let enabled = crowd
        .world
        .server
        .enable_sm(crowd.world.now, focus.session, true);
    enabled.unwrap();
    crowd.received.insert(focus.connection, (focus.session, 0));
    for _ in 0..20 {
        crowd.join();
    }
    let quiet = live();
    crowd.churn(500);
    crowd.come_and_go(4_000);
    let (before, stats) = (live(), crowd.world.server.stats());
    assert!(
        before <= 2 * quiet,
        "{quiet} bytes before a crowd, {before} after"
    );
    crowd.churn(2_000);
    crowd.come_and_go(4_000);
    let after = live();
    let now = crowd.world.server.stats();
    assert_eq!((now.sessions, now.occupants), (stats.sessions, 20));
    assert!(
        after <= before + before / 100,
        "{before} bytes before 2,000 joins and leaves, {after} after"
    );
}
