//! Streams to the server: who is logged in, what is under way, what happens when a connection breaks (XEP-0198).

use std::time::{Duration, Instant};

use stanza::{BareJid, Element, FullJid};
use xmpp::{BindError, ConnectionId, Login, Output, SessionId, WebQuery};

use crate::world::{DOMAIN, World};

/// A bridge that the server refused tries again after this time, as links do.
const AGAIN: Duration = Duration::from_secs(2);
/// Whoever loses its connection comes back after this time, if it can.
const BACK: Duration = Duration::from_secs(1);
/// For so long the server keeps sessions of clients that are away.
const KEPT: Duration = Duration::from_secs(60);
/// For so long that of the focus.
const KEPT_SERVICE: Duration = Duration::from_secs(15);

/// Who is behind a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The focus.
    Focus,
    /// A bridge, by number.
    Bridge(usize),
    /// A bot, by number.
    Bot(usize),
}

/// Something under way on a connection; lost with it.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) party: Party,
    pub(crate) connection: ConnectionId,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// A stanza to the server.
    Up(Element),
    /// A stanza from the server.
    Down(Vec<u8>),
    /// The server wants to know what came.
    AckWanted,
    /// So many stanzas came.
    Ack(u32),
    /// The server has ended the connection.
    Closed,
}

/// One party's stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Name of the session, to resume it.
    id: Option<String>,
    session: SessionId,
    /// None while it is cut.
    connection: Option<ConnectionId>,
    cut_at: Option<Instant>,
    /// Stanzas that came in it.
    pub(crate) received: u32,
    /// Stanzas that were sent in it, but for those that are forgotten.
    sent: Vec<Element>,
    forgotten: usize,
    /// Reasons for which nothing gets through at present.
    holds: u32,
    /// What waits for that.
    held: Vec<Letter>,
}

impl Stream {
    /// What was sent so far has arrived.
    pub(crate) fn forget(&mut self) {
        self.forgotten += std::mem::take(&mut self.sent).len();
    }
}

impl World {
    /// A new session.
    ///
    /// # Errors
    /// The server's.
    #[allow(
        clippy::expect_used,
        reason = "a world of bad names cannot begin and fails its test"
    )]
    pub(crate) fn login(&mut self, party: Party) -> Result<FullJid, BindError> {
        let connection = self.new_connection();
        let query = WebQuery::default();
        let resource = match party {
            Party::Focus => Some("focus".to_owned()),
            Party::Bridge(n) => Some(self.bridges[n].name().to_owned()),
            Party::Bot(_) => None,
        };
        let account = |name: &str| BareJid::new(&format!("{name}@auth.{DOMAIN}"));
        let user = match party {
            Party::Focus => account("focus").expect("a plain name"),
            Party::Bridge(_) => account("jvb").expect("a plain name"),
            Party::Bot(_) => self
                .server
                .anonymous_user(DOMAIN, &query)
                .expect("guests are welcome"),
        };
        let login = Login {
            user,
            resource,
            connection,
            query,
        };
        let bound = self.server.bind(self.now, login)?;
        let managed = !matches!(party, Party::Bridge(_));
        let enabled = managed.then(|| self.server.enable_sm(self.now, bound.session, true));
        let stream = Stream {
            id: enabled.and_then(Result::ok).and_then(|enabled| enabled.id),
            session: bound.session,
            connection: Some(connection),
            cut_at: None,
            received: 0,
            sent: Vec::new(),
            forgotten: 0,
            holds: self.streams.get(&party).map_or(0, |old| old.holds),
            held: Vec::new(),
        };
        let old = self.streams.insert(party, stream);
        if let Some(old) = old.and_then(|old| old.connection) {
            self.connected.remove(&old);
        }
        self.connected.insert(connection, party);
        Ok(bound.jid)
    }

    fn new_connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }

    /// A stanza for the server; kept until the server has it, where that is agreed, and sent if there is a connection.
    pub(crate) fn say(&mut self, party: Party, stanza: Element) {
        let Some(stream) = self.streams.get_mut(&party) else {
            return;
        };
        if stream.id.is_some() {
            stream.sent.push(stanza.clone());
        }
        self.post(party, Content::Up(stanza));
    }

    fn post(&mut self, party: Party, content: Content) {
        self.post_after(Duration::ZERO, party, content);
    }

    /// Sends something after a time.
    pub(crate) fn post_after(&mut self, wait: Duration, party: Party, content: Content) {
        let connection = self.streams.get(&party).and_then(|s| s.connection);
        if let Some(connection) = connection.filter(|_| !self.down) {
            let letter = Letter {
                party,
                connection,
                content,
            };
            self.mail.send(self.now + wait, letter);
        }
    }

    /// Something has arrived, if nothing is in the way.
    pub(crate) fn deliver(&mut self, letter: Letter) {
        let Some(stream) = self.streams.get_mut(&letter.party) else {
            return;
        };
        if stream.connection != Some(letter.connection) {
            return;
        }
        if stream.holds > 0 || self.stopped {
            return stream.held.push(letter);
        }
        let (session, received) = (stream.session, stream.received);
        let Letter {
            party,
            connection,
            content,
        } = letter;
        match content {
            Content::Up(stanza) => {
                self.note_stanza(party, "says", &stanza);
                // A session that has ended takes no stanzas.
                let _ = self.server.handle_stanza(self.now, session, stanza);
            }
            Content::Ack(h) => {
                // A session that has ended needs no acknowledgement.
                let _ = self.server.ack(self.now, session, h);
            }
            Content::AckWanted => self.post(party, Content::Ack(received)),
            Content::Down(bytes) => self.deliver_from_server(party, &bytes),
            Content::Closed => {
                self.lose_connection(party, connection);
                self.returns.push((self.now + BACK, party));
            }
        }
    }

    fn lose_connection(&mut self, party: Party, connection: ConnectionId) {
        self.connected.remove(&connection);
        if let Some(stream) = self.streams.get_mut(&party) {
            stream.connection = None;
            stream.cut_at = Some(self.now);
            stream.held.clear();
        }
        if party == Party::Focus {
            self.focus.offline(self.now);
        }
    }

    /// A connection breaks; both ends see it at once. What was under way is lost. A bridge or a bot comes back, when nothing
    /// is in its way.
    pub fn cut_stream(&mut self, party: Party) {
        let Some((session, connection)) = self.line(party) else {
            return;
        };
        self.server.detach(self.now, session, connection);
        self.lose_connection(party, connection);
        self.returns.push((self.now + BACK, party));
        self.flush();
    }

    /// A session ends with its connection.
    pub(crate) fn end_session(&mut self, party: Party) {
        if let Some((session, connection)) = self.line(party) {
            self.server.close(self.now, session, connection);
            self.lose_connection(party, connection);
        }
    }

    fn line(&self, party: Party) -> Option<(SessionId, ConnectionId)> {
        let stream = self.streams.get(&party)?;
        stream
            .connection
            .map(|connection| (stream.session, connection))
    }

    /// All connections are gone, and the server with them.
    pub(crate) fn lose_all(&mut self) {
        self.mail.clear();
        self.connected.clear();
        self.returns.clear();
        for stream in self.streams.values_mut() {
            stream.cut_at.get_or_insert(self.now);
            stream.connection = None;
            stream.held.clear();
        }
    }

    /// Nothing gets through between a party and the server from now on; nothing is lost.
    pub fn hold(&mut self, party: Party) {
        if let Some(stream) = self.streams.get_mut(&party) {
            stream.holds += 1;
        }
    }

    /// What was held gets through, if there is no other reason to hold it; whoever lost its connection comes back.
    pub fn release(&mut self, party: Party) {
        let Some(stream) = self.streams.get_mut(&party) else {
            return;
        };
        stream.holds = stream.holds.saturating_sub(1);
        if stream.holds > 0 {
            return;
        }
        if stream.connection.is_none() {
            self.returns.push((self.now + BACK, party));
        }
        self.release_held(party);
    }

    /// The same, whatever the reasons to hold it were.
    pub fn release_all(&mut self, party: Party) {
        if let Some(stream) = self.streams.get_mut(&party).filter(|s| s.holds > 0) {
            stream.holds = 1;
            self.release(party);
        }
    }

    /// Whether the stream of the focus is cut.
    #[must_use]
    pub fn is_focus_cut(&self) -> bool {
        let stream = self.streams.get(&Party::Focus);
        stream.is_none_or(|stream| stream.connection.is_none())
    }

    pub(crate) fn release_held(&mut self, party: Party) {
        let held = self.streams.get_mut(&party).map(|s| &mut s.held);
        for letter in held.map(std::mem::take).unwrap_or_default() {
            self.mail.send(self.now, letter);
        }
    }

    /// Lets those come back whose time it is.
    pub(crate) fn let_in(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.returns)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.returns = later;
        for (_, party) in due {
            let stream = self.streams.get(&party);
            // Whoever is held comes back when it is released.
            if stream.is_none_or(|s| s.holds == 0 && s.connection.is_none()) {
                self.come_back(party);
            }
        }
    }

    fn come_back(&mut self, party: Party) {
        match party {
            Party::Bridge(n) if self.bridges[n].dead => {}
            Party::Bridge(n) => match self.login(party) {
                Ok(_) => self.bridges[n].attach(self.now),
                Err(_) => self.returns.push((self.now + AGAIN, party)),
            },
            Party::Bot(n) if self.gone.contains(&n) => {}
            Party::Bot(n) => {
                if !self.resume(party) {
                    self.gone.insert(n);
                }
            }
            Party::Focus => {}
        }
    }

    /// A party takes its session up again; false if the server has forgotten it, which it may only after a while.
    ///
    /// # Panics
    /// If the session was lost before its time.
    #[allow(clippy::expect_used, reason = "a session that is lost fails the test")]
    pub(crate) fn resume(&mut self, party: Party) -> bool {
        let connection = self.new_connection();
        let stream = &self.streams[&party];
        let id = stream.id.clone().expect("it can be resumed");
        let query = WebQuery {
            previd: Some(id.clone()),
            ..WebQuery::default()
        };
        let user = match party {
            Party::Bot(_) => self
                .server
                .anonymous_user(DOMAIN, &query)
                .expect("guests are welcome"),
            _ => BareJid::new(&format!("focus@auth.{DOMAIN}")).expect("a plain name"),
        };
        let away = stream.cut_at.map_or(Duration::ZERO, |at| self.now - at);
        let resumed = match self
            .server
            .resume(self.now, &user, connection, &id, stream.received)
        {
            Ok(resumed) => resumed,
            Err(error) => {
                let kept = match party {
                    Party::Focus => KEPT_SERVICE,
                    _ => KEPT,
                };
                assert!(away >= kept, "{party:?} away for {away:?}: {error}");
                return false;
            }
        };
        let Some(stream) = self.streams.get_mut(&party) else {
            return false;
        };
        (stream.session, stream.connection) = (resumed.session, Some(connection));
        stream.cut_at = None;
        self.connected.insert(connection, party);
        let again: Vec<Element> = stream
            .sent
            .iter()
            .skip((resumed.h as usize).saturating_sub(stream.forgotten))
            .cloned()
            .collect();
        if party == Party::Focus {
            self.focus.online(self.now, resumed.jid, true);
        }
        for stanza in again {
            self.post(party, Content::Up(stanza));
        }
        true
    }

    /// Puts what the server has to say on its way.
    pub(crate) fn flush_server(&mut self) {
        if self.down || self.stopped {
            return;
        }
        self.write_down();
        while let Some(output) = self.server.poll_output() {
            let (connection, content) = match output {
                Output::Send {
                    connection, stanza, ..
                } => (connection, Content::Down(stanza.to_vec())),
                Output::RequestAck { connection } => (connection, Content::AckWanted),
                Output::Close { connection, .. } => (connection, Content::Closed),
                _ => continue,
            };
            if let Some(party) = self.connected.get(&connection).copied() {
                let letter = Letter {
                    party,
                    connection,
                    content,
                };
                self.mail.send(self.now, letter);
            }
        }
    }
}
