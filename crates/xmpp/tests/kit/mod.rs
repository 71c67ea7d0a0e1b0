//! A world of one server and clients on a virtual clock, driven through the public interface only.
#![allow(dead_code, reason = "each test file uses its own part of the kit")]
#![allow(unreachable_pub, reason = "shared by several test files")]
#![allow(
    clippy::disallowed_methods,
    reason = "any instant will do as the origin of the virtual clock"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use stanza::xml::{Limits, parse};
use stanza::{BareJid, Element, ElementExt as _, FullJid};
use xmpp::auth::Credentials;
use xmpp::{
    BridgeAccounts, CloseReason, Config, ConnectionId, JoinRequest, Login, Outgoing, Output, Pace,
    Restored, Server, SessionId, WallClock, WebQuery,
};

pub const DOMAIN: &str = "meet.example.com";
pub const ROOM: &str = "standup@conference.meet.example.com";
/// 2026-08-20T08:00:00Z.
pub const EPOCH: u64 = 1_787_212_800;

/// A client's end.
#[derive(Clone, Debug)]
pub struct Client {
    pub connection: ConnectionId,
    pub session: SessionId,
    pub jid: FullJid,
    pub nick: String,
}

impl Client {
    pub fn occupant(&self, room: &str) -> String {
        format!("{room}/{}", self.nick)
    }
}

pub struct World {
    pub server: Server,
    pub now: Instant,
    start: Instant,
    /// Parsed when looked at: in a large room most is not.
    pub inbox: HashMap<ConnectionId, Vec<Outgoing>>,
    pub acks: HashMap<ConnectionId, Vec<u32>>,
    pub ack_requests: HashMap<ConnectionId, u32>,
    pub closed: HashMap<ConnectionId, CloseReason>,
    pub joining: Vec<JoinRequest>,
    /// Connections whose peer no longer reads: their output is lost.
    pub cut: Vec<ConnectionId>,
    /// What the host has written down, if it keeps a journal.
    pub journal: Option<Vec<u8>>,
    config: Config,
    next: u64,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(DOMAIN, b"cluster secret");
        change(&mut config);
        let now = Instant::now();
        let clock = WallClock::new(now, Duration::from_secs(EPOCH));
        Self {
            server: Server::new(config.clone(), clock, [7; 32]).unwrap(),
            config,
            journal: None,
            now,
            start: now,
            inbox: HashMap::new(),
            acks: HashMap::new(),
            ack_requests: HashMap::new(),
            closed: HashMap::new(),
            joining: Vec::new(),
            cut: Vec::new(),
            next: 0,
        }
    }

    pub fn connection(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId(self.next)
    }

    /// A guest with the room in its URL.
    pub fn guest(&mut self) -> Client {
        self.guest_with(WebQuery {
            room: Some("standup".to_owned()),
            ..WebQuery::default()
        })
    }

    pub fn guest_with(&mut self, query: WebQuery) -> Client {
        let user = self.server.anonymous_user(DOMAIN, &query).unwrap();
        self.bind(user, None, query)
    }

    pub fn account(&mut self, name: &str, resource: &str) -> Client {
        let user = BareJid::new(&format!("{name}@auth.{DOMAIN}")).unwrap();
        self.bind(user, Some(resource.to_owned()), WebQuery::default())
    }

    /// Gives these bridges, and nobody else, accounts; each name is the password too. With `join` new ones may ask.
    pub fn set_bridges(&mut self, names: &[&str], join: Option<&str>) {
        let keys = |password: &str| Credentials::new(password, b"salt");
        let accounts = BridgeAccounts {
            bridges: names
                .iter()
                .map(|name| ((*name).to_owned(), keys(name)))
                .collect(),
            join: join.map(keys),
        };
        self.server.set_bridges(self.now, accounts);
        self.drain();
    }

    pub fn bind(&mut self, user: BareJid, resource: Option<String>, query: WebQuery) -> Client {
        let connection = self.connection();
        let login = Login {
            user,
            resource,
            connection,
            query,
        };
        let bound = self.server.bind(self.now, login).unwrap();
        self.drain();
        let nick = bound.jid.node().unwrap().as_str().chars().take(8).collect();
        Client {
            connection,
            session: bound.session,
            jid: bound.jid,
            nick,
        }
    }

    /// A focus that has opened [`ROOM`]; its inbox is empty.
    pub fn focus(&mut self) -> Client {
        let mut focus = self.account("focus", "focus");
        focus.nick = "focus".to_owned();
        self.join(&focus, ROOM);
        self.take(&focus);
        focus
    }

    /// A guest that has joined [`ROOM`]; its inbox is empty.
    pub fn participant(&mut self) -> Client {
        let client = self.guest();
        self.join(&client, ROOM);
        self.inbox.remove(&client.connection);
        client
    }

    /// A participant that the focus made owner; all inboxes are empty.
    pub fn moderator(&mut self, focus: &Client) -> Client {
        let client = self.participant();
        self.grant(focus, &client, "owner");
        self.clear();
        client
    }

    pub fn grant(&mut self, by: &Client, to: &Client, affiliation: &str) {
        let bare = to.jid.to_bare();
        self.send(
            by,
            &format!(
                "<iq type='set' id='grant' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#admin'>\
                 <item affiliation='{affiliation}' jid='{bare}'/></query></iq>"
            ),
        );
    }

    pub fn join(&mut self, client: &Client, room: &str) {
        let nick = &client.nick;
        self.send(
            client,
            &format!(
                "<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/>\
                 <nick xmlns='http://jabber.org/protocol/nick'>name of {nick}</nick></presence>"
            ),
        );
    }

    /// Sends a stanza written without namespace declarations for `jabber:client`.
    pub fn send(&mut self, client: &Client, text: &str) -> Pace {
        let stanza = element(text);
        let pace = self
            .server
            .handle_stanza(self.now, client.session, stanza)
            .unwrap();
        self.drain();
        pace
    }

    /// Sends an IQ and returns the answer, which must be there at once.
    pub fn ask(&mut self, client: &Client, text: &str) -> Element {
        let id = element(text).attr("id").unwrap().to_owned();
        self.send(client, text);
        let inbox = self.inbox.entry(client.connection).or_default();
        let is_answer = |stanza: &Outgoing| {
            let stanza = read(stanza);
            stanza.name() == "iq" && stanza.attr("id") == Some(&id)
        };
        let at = inbox.iter().rposition(is_answer);
        read(&inbox.remove(at.unwrap_or_else(|| panic!("no answer to {text}"))))
    }

    /// What came for a client since the last look, which stays.
    pub fn look(&self, client: &Client) -> Vec<Element> {
        self.inbox
            .get(&client.connection)
            .into_iter()
            .flatten()
            .map(read)
            .collect()
    }

    /// From now on the host keeps a journal.
    pub fn keep_journal(&mut self) {
        self.server.keep_journal();
        self.journal = Some(self.server.journal());
    }

    /// The process is killed, and another one takes its place. No connection survives.
    pub fn restart(&mut self) -> Restored {
        let journal = self.journal.take().unwrap();
        let clock = WallClock::new(self.now, self.unix());
        let (server, restored) =
            Server::restore(self.config.clone(), clock, [8; 32], &journal).unwrap();
        self.server = server;
        self.journal = Some(self.server.journal());
        self.inbox.clear();
        self.drain();
        restored
    }

    fn unix(&self) -> Duration {
        Duration::from_secs(EPOCH) + (self.now - self.start)
    }

    /// Turns stream management on; returns the name to resume with.
    pub fn manage(&mut self, client: &Client) -> String {
        let enabled = self.server.enable_sm(self.now, client.session, true);
        self.drain();
        enabled.unwrap().id.unwrap()
    }

    /// The client, which has received `h` stanzas, comes back; returns what the server has handled.
    pub fn resume(&mut self, client: &mut Client, id: &str, h: u32) -> u32 {
        let connection = self.connection();
        let user = client.jid.to_bare();
        let resumed = self
            .server
            .resume(self.now, &user, connection, id, h)
            .unwrap();
        assert_eq!(resumed.jid, client.jid);
        (client.connection, client.session) = (connection, resumed.session);
        self.drain();
        resumed.h
    }

    pub fn drain(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.extend(self.server.take_news());
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send {
                    connection, stanza, ..
                } => {
                    if !self.cut.contains(&connection) {
                        self.inbox.entry(connection).or_default().push(stanza);
                    }
                }
                Output::RequestAck { connection } => {
                    *self.ack_requests.entry(connection).or_default() += 1
                }
                Output::Ack { connection, h } => self.acks.entry(connection).or_default().push(h),
                Output::Close { connection, reason } => {
                    self.closed.insert(connection, reason);
                }
                Output::Join(request) => self.joining.push(request),
            }
        }
    }

    /// What came for a client since the last look.
    pub fn take(&mut self, client: &Client) -> Vec<Element> {
        let seen = self.inbox.remove(&client.connection).unwrap_or_default();
        seen.iter().map(read).collect()
    }

    pub fn clear(&mut self) {
        self.inbox.clear();
    }

    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.server.handle_timeout(end);
        self.drain();
    }
}

fn read(stanza: &Outgoing) -> Element {
    let bytes = stanza.to_vec();
    assert_eq!(bytes.len(), stanza.len());
    parse(&bytes, &Limits::FROM_SERVER).unwrap()
}

pub fn element(text: &str) -> Element {
    let (name, rest) = text.split_at(text.find([' ', '>', '/']).unwrap());
    parse(
        format!("{name} xmlns='jabber:client'{rest}"),
        &Limits::CLIENT,
    )
    .unwrap()
}

/// A stanza in a few words: kind, sender's nickname or name, statuses, what else matters.
pub fn brief(stanza: &Element) -> String {
    let from = stanza.attr("from").unwrap_or("-");
    let from = from.rsplit_once('/').map_or(from, |(_, nick)| nick);
    let mut out = format!("{} {from}", stanza.name());
    if let Some(kind) = stanza.attr("type") {
        out += &format!(" type={kind}");
    }
    if let Some(user) = stanza::muc::User::of(stanza) {
        if let Some(item) = &user.item {
            let affiliation = item.affiliation.map_or("-", |a| a.as_str());
            out += &format!(
                " {affiliation}/{}",
                item.role.map_or("-", |role| role.as_str())
            );
            out += &item
                .actor
                .as_ref()
                .map(|actor| format!(" by={actor}"))
                .unwrap_or_default();
            out += &item
                .reason
                .as_ref()
                .map(|reason| format!(" because={reason}"))
                .unwrap_or_default();
        }
        if let Some(destroy) = &user.destroy {
            out += &format!(
                " destroy={:?}",
                destroy.reason.as_deref().unwrap_or_default()
            );
        }
        if !user.status.is_empty() {
            out += &format!(" {:?}", user.status);
        }
    }
    for name in ["permissions", "json-message"] {
        if stanza.has_child(name, stanza::ns::JITMEET) {
            out += &format!(" {name}");
        }
    }
    for name in ["subject", "body"] {
        if let Some(text) = stanza.child_text(name, stanza::ns::CLIENT) {
            out += &format!(" {name}={text:?}");
        }
    }
    if let Some(error) = stanza::error::StanzaError::from_stanza(stanza) {
        out += &format!(" {}/{}", error.error_type, error.condition);
    }
    out
}

pub fn briefs(stanzas: &[Element]) -> Vec<String> {
    stanzas.iter().map(brief).collect()
}
