//! Stanzas of an authenticated client against a server with a focus, a moderator and another participant in a room.
//!
//! Each line is one step. Its first byte chooses who acts and what it does: send the rest as a stanza, lose or resume the
//! connection, acknowledge, or let time pass.
#![no_main]

use std::time::{Duration, Instant};

use fuzz::door::check_written;
use libfuzzer_sys::fuzz_target;
use stanza::BareJid;
use stanza::xml::{self, Limits};
use xmpp::{Config, ConnectionId, Login, Output, Server, SessionId, WallClock, WebQuery};

struct Peer {
    session: SessionId,
    connection: ConnectionId,
    user: BareJid,
    resume_id: Option<String>,
}

struct World {
    server: Server,
    now: Instant,
    peers: Vec<Peer>,
    connections: u64,
    /// Bytes accepted.
    came: usize,
}

impl World {
    fn connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }

    fn add(&mut self, user: BareJid) -> Option<()> {
        let connection = self.connection();
        let query = WebQuery {
            room: Some("r".to_owned()),
            ..WebQuery::default()
        };
        let login = Login {
            user: user.clone(),
            resource: None,
            connection,
            query,
        };
        let session = self.server.bind(self.now, login).ok()?.session;
        self.peers.push(Peer {
            session,
            connection,
            user,
            resume_id: None,
        });
        self.drain();
        Some(())
    }

    fn send(&mut self, who: usize, text: &[u8]) {
        let Some(peer) = self.peers.get(who) else {
            return;
        };
        if let Ok(stanza) = xml::parse(text, &Limits::CLIENT) {
            self.came += text.len();
            let _ = self.server.handle_stanza(self.now, peer.session, stanza);
        }
        self.drain();
    }

    /// Everything that goes out can be read by whoever it is for.
    fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            if let Output::Send { stanza, .. } = output {
                check_written(&stanza.to_vec(), self.came);
            }
        }
    }

    fn step(&mut self, choice: u8, rest: &[u8]) {
        let who = usize::from(choice & 3);
        let number = u32::from(rest.first().copied().unwrap_or_default());
        let Some(peer) = self.peers.get(who) else {
            return;
        };
        let (session, connection) = (peer.session, peer.connection);
        match choice >> 2 & 15 {
            0 => {
                let enabled = self.server.enable_sm(self.now, session, true);
                if let (Ok(enabled), Some(peer)) = (enabled, self.peers.get_mut(who)) {
                    peer.resume_id = enabled.id;
                }
            }
            1 => self.server.detach(self.now, session, connection),
            2 => {
                let (user, id) = (
                    peer.user.clone(),
                    peer.resume_id.clone().unwrap_or_default(),
                );
                let connection = self.connection();
                if self
                    .server
                    .resume(self.now, &user, connection, &id, number)
                    .is_ok()
                {
                    if let Some(peer) = self.peers.get_mut(who) {
                        peer.connection = connection;
                    }
                }
            }
            3 => drop(self.server.ack(self.now, session, number)),
            4 => drop(self.server.ack_requested(self.now, session)),
            5 => {
                self.now += Duration::from_secs(u64::from(number));
                self.server.handle_timeout(self.now);
            }
            6 => self.server.close(self.now, session, connection),
            _ => self.send(who, rest),
        }
        self.drain();
    }
}

fuzz_target!(|data: &[u8]| {
    let now = Instant::now();
    let clock = WallClock::new(now, Duration::from_secs(1_700_000_000));
    let Ok(server) = Server::new(Config::new("a", b"secret"), clock, [1; 32]) else {
        return;
    };
    let mut world = World {
        server,
        now,
        peers: Vec::new(),
        connections: 0,
        came: 0,
    };
    let Ok(focus) = BareJid::new("focus@auth.a") else {
        return;
    };
    world.add(focus);
    for _ in 0..3 {
        if let Ok(user) = world.server.anonymous_user("a", &WebQuery::default()) {
            world.add(user);
        }
    }
    let join = |nick: &str| {
        format!(
            "<presence xmlns='jabber:client' to='r@conference.a/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )
    };
    world.send(0, join("focus").as_bytes());
    world.send(1, join("m").as_bytes());
    world.send(2, join("p").as_bytes());
    let moderator = world
        .peers
        .get(1)
        .map(|peer| peer.user.to_string())
        .unwrap_or_default();
    let grant = format!(
        "<iq xmlns='jabber:client' type='set' id='g' to='r@conference.a'><query xmlns='http://jabber.org/protocol/muc#admin'>\
         <item affiliation='owner' jid='{moderator}'/></query></iq>"
    );
    world.send(0, grant.as_bytes());
    for line in data.split(|byte| *byte == b'\n') {
        if let Some((&choice, rest)) = line.split_first() {
            world.step(choice, rest);
        }
    }
    // When everybody is gone, nothing is left.
    for peer in std::mem::take(&mut world.peers) {
        world.server.close(world.now, peer.session, peer.connection);
    }
    world.drain();
    world.now += Duration::from_secs(300);
    world.server.handle_timeout(world.now);
    world.drain();
    let stats = world.server.stats();
    assert_eq!((stats.sessions, stats.rooms, stats.occupants), (0, 0, 0));
});
