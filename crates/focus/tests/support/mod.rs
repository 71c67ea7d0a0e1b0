//! A server with rooms, strict bridges and clients around one focus, on a virtual clock.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of this module"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod bridge;
mod client;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use focus::{
    ConferenceRequest, ConferenceResponse, Event, Focus, FocusConfig, RequestError, RequestId,
};
use stanza::error::{Condition, StanzaError};
use stanza::jitsi::bridge_stats::BridgeStats;
use stanza::{BareJid, Element, FullJid, iq, ns};
use stanza::{Build, element};

pub use bridge::FakeBridge;
pub use client::FakeClient;

pub const ROOM: &str = "standup@conference.meet.test";
pub const BREWERY: &str = "jvbbrewery@internal.auth.meet.test";
pub const FOCUS: &str = "focus@auth.meet.test/focus";
pub const MODERATION: &str = "avmoderation.meet.test";
pub const METADATA: &str = "metadata.meet.test";

/// How a bridge is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// Answers.
    Well,
    /// Neither answers nor leaves.
    Frozen,
    /// Answers health checks with an error.
    Unwell,
}

pub struct World {
    pub now: Instant,
    pub focus: Focus,
    pub bridges: BTreeMap<String, FakeBridge>,
    pub clients: BTreeMap<String, FakeClient>,
    /// Presences of the focus in the room, whole.
    pub focus_presences: Vec<Element>,
    pub events: Vec<Event>,
    pub replies: BTreeMap<RequestId, Result<ConferenceResponse, RequestError>>,
    /// Answers to conference requests by IQ.
    pub iq_replies: Vec<Element>,
    /// Owners made by the focus.
    pub grants: Vec<String>,
    pub joined: BTreeSet<String>,
    pub left: Vec<String>,
    /// Bridges that said they shut down.
    pub leaving_bridges: BTreeSet<String>,
    /// Extra fields of the configuration form.
    pub form_fields: Vec<(String, String)>,
    /// The room answers joins.
    pub room_answers: bool,
    /// What each bridge said of itself last.
    pub bridge_presences: BTreeMap<String, Element>,
    /// The server lost its rooms: the next join makes one anew.
    pub rooms_lost: bool,
    /// What the room calls the place of the focus; other servers give it no name.
    pub place: Option<&'static str>,
    config: FocusConfig,
    /// Joins that rooms still refuse, since they think that the focus is there.
    pub refused_joins: u32,
    restarts: u8,
    /// Nothing reaches the focus.
    is_cut: bool,
    inbox: VecDeque<Element>,
    /// All that the focus sent.
    pub sent: Vec<Element>,
    counter: u64,
}

#[allow(
    clippy::disallowed_methods,
    reason = "a virtual clock must begin somewhere"
)]
fn beginning() -> Instant {
    Instant::now()
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut FocusConfig)) -> Self {
        let mut config = FocusConfig::for_domain("meet.test").unwrap();
        change(&mut config);
        let now = beginning();
        let mut world = Self {
            now,
            focus: Focus::new(config.clone(), [7; 32]),
            bridges: BTreeMap::new(),
            clients: BTreeMap::new(),
            focus_presences: Vec::new(),
            events: Vec::new(),
            replies: BTreeMap::new(),
            iq_replies: Vec::new(),
            grants: Vec::new(),
            joined: BTreeSet::new(),
            left: Vec::new(),
            leaving_bridges: BTreeSet::new(),
            form_fields: vec![("muc#roominfo_meetingId".into(), "5cc8f3dc-meeting".into())],
            room_answers: true,
            bridge_presences: BTreeMap::new(),
            rooms_lost: false,
            place: Some("first"),
            config,
            refused_joins: 0,
            restarts: 0,
            is_cut: false,
            inbox: VecDeque::new(),
            sent: Vec::new(),
            counter: 0,
        };
        world.focus.online(now, FullJid::new(FOCUS).unwrap(), false);
        world.run();
        world
    }

    /// A world with bridges and a room that is ready.
    pub fn ready(bridges: &[&str]) -> Self {
        let mut world = Self::new();
        bridges.iter().for_each(|name| world.add_bridge(name, 0.0));
        world.request(ROOM);
        world
    }

    pub fn add_bridge(&mut self, name: &str, stress: f64) {
        self.leaving_bridges.remove(name);
        self.bridges.insert(name.to_owned(), FakeBridge::new(name));
        self.bridge_stats(
            name,
            &[
                ("stress_level", &stress.to_string()),
                ("drain", "false"),
                ("region", "eu"),
                ("version", "1"),
            ],
        );
    }

    /// A presence of a bridge with statistics.
    pub fn bridge_stats(&mut self, name: &str, stats: &[(&str, &str)]) {
        let mut all = BridgeStats::default();
        stats.iter().for_each(|(key, value)| all.push(key, value));
        let presence = element("presence", ns::CLIENT)
            .attr("from", format!("{BREWERY}/{name}"))
            .attr("to", FOCUS)
            .child(Element::from(&all))
            .child(user("participant", "none", None, false))
            .done();
        self.bridge_presences
            .insert(name.to_owned(), presence.clone());
        self.deliver(presence);
    }

    /// The stream of the focus breaks.
    pub fn cut(&mut self) {
        self.focus.offline(self.now);
        self.is_cut = true;
    }

    /// The room shows that the focus is gone, and clients end their sessions by that. Later the focus has another place:
    /// `None` on a server that does not name it.
    pub fn focus_is_seen_to_leave(&mut self, next: Option<&'static str>) {
        self.place = next;
        for client in self.clients.values_mut() {
            client.session = None;
            client.known.clear();
        }
    }

    /// The focus is back with a new stream.
    pub fn reattach(&mut self) {
        self.is_cut = false;
        self.inbox.clear();
        self.joined.clear();
        let jid = FullJid::new(FOCUS).unwrap();
        self.focus.online(self.now, jid, false);
        self.run();
    }

    /// The focus dies, and another one goes on with what was written down of it.
    pub fn restart(&mut self) {
        let json = self.focus.snapshot().to_json();
        let snapshot = focus::Snapshot::from_json(&json).unwrap();
        self.restarts += 1;
        let seed = [7 + self.restarts; 32];
        self.focus = Focus::restore(self.now, self.config.clone(), seed, &snapshot);
        assert_eq!(
            self.focus.snapshot(),
            snapshot,
            "nothing is lost on the way"
        );
        self.reattach();
    }

    /// The bridge's stream is gone and the server says so.
    pub fn kill_bridge(&mut self, name: &str) {
        self.bridges.remove(name);
        let presence = element("presence", ns::CLIENT)
            .attr("from", format!("{BREWERY}/{name}"))
            .attr("to", FOCUS)
            .attr("type", "unavailable")
            .child(user("none", "none", None, false));
        self.deliver(presence.done());
    }

    pub fn request(&mut self, room: &str) -> RequestId {
        let id = self.focus.conference_request(
            self.now,
            ConferenceRequest::new(BareJid::new(room).unwrap()),
        );
        self.run();
        id
    }

    /// A participant joins and behaves.
    pub fn join(&mut self, client: FakeClient) {
        let nick = client.nick.clone();
        self.clients.insert(nick.clone(), client);
        self.presence(&nick);
    }

    pub fn presence(&mut self, nick: &str) {
        let presence = self.clients[nick].presence();
        self.deliver(presence);
    }

    pub fn leave(&mut self, nick: &str) {
        let client = self.clients.remove(nick).unwrap();
        // Clients infer from the presence which sources are gone.
        let prefix = format!("{nick}-");
        self.clients
            .values_mut()
            .for_each(|c| c.known.retain(|_, name| !name.starts_with(&prefix)));
        let presence = element("presence", ns::CLIENT)
            .attr("from", format!("{}/{nick}", client.room))
            .attr("type", "unavailable")
            .child(user("none", "none", Some(&client.jid), false));
        self.deliver(presence.done());
    }

    /// Gives the focus a stanza and lets everything happen that follows.
    pub fn deliver(&mut self, stanza: Element) {
        if self.is_cut {
            return;
        }
        self.inbox.push_back(stanza);
        self.run();
    }

    /// An IQ of a participant; the focus's answer comes back.
    pub fn ask(&mut self, nick: &str, payload: impl Into<Element>) -> Element {
        self.counter += 1;
        let id = format!("ask{}", self.counter);
        let from = format!("{}/{nick}", self.clients[nick].room);
        let iq = Build::from(iq::set(FOCUS, &id, payload))
            .attr("from", from)
            .done();
        self.deliver(iq);
        let answer = self
            .sent
            .iter()
            .find(|s| s.attr("id") == Some(&id))
            .cloned();
        let answer = answer.expect("every request gets an answer");
        assert_eq!(answer.attr("from"), None, "the server writes the sender");
        answer
    }

    pub fn run(&mut self) {
        loop {
            while let Some(out) = self.focus.poll_transmit() {
                self.sent.push(out.clone());
                self.route(out);
            }
            while let Some(event) = self.focus.poll_event() {
                self.events.push(event);
            }
            while let Some((id, reply)) = self.focus.poll_reply() {
                self.replies.insert(id, reply);
            }
            let Some(stanza) = self.inbox.pop_front() else {
                return;
            };
            self.focus.handle_stanza(self.now, &stanza);
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.focus.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.focus.handle_timeout(self.now);
            self.run();
        }
        self.now = end;
        self.focus.handle_timeout(end);
        self.run();
    }

    fn route(&mut self, out: Element) {
        let Some(to) = out.attr("to").map(str::to_owned) else {
            return;
        };
        let (bare, resource) = to
            .split_once('/')
            .map_or((to.as_str(), None), |(bare, resource)| {
                (bare, Some(resource))
            });
        match (out.name(), bare, resource) {
            ("presence", BREWERY, _) => {
                let there = self.bridge_presences.iter();
                let there = there.filter(|(name, _)| self.bridges.contains_key(*name));
                self.inbox
                    .extend(there.map(|(_, presence)| presence.clone()));
            }
            ("presence", room, Some("focus")) => self.route_presence(room, &out),
            ("iq", BREWERY, Some(name)) => self.route_to_bridge(name, &out),
            ("iq", "meet.test", None) => {
                let info = stanza::disco::Info::default()
                    .identity("component", "av_moderation", Some(MODERATION))
                    .identity("component", "room_metadata", Some(METADATA));
                self.answer(&out, Some(info.into()));
            }
            ("iq", room, None) => self.route_to_room(room, &out),
            ("iq", "focus.meet.test", Some(_)) => self.iq_replies.push(out),
            ("iq", _, Some(nick)) => self.route_to_client(nick, &out),
            other => panic!("{other:?} is not addressed to anybody"),
        }
    }

    fn answer(&mut self, request: &Element, payload: Option<Element>) {
        self.inbox.push_back(iq::result_to(request, payload));
    }

    fn route_presence(&mut self, room: &str, out: &Element) {
        let unavailable = out.attr("type") == Some("unavailable");
        if out.has_child("x", ns::MUC) {
            assert!(self.joined.insert(room.to_owned()), "joined twice");
            if !self.room_answers {
                return;
            }
            if self.refused_joins > 0 {
                self.refused_joins -= 1;
                self.joined.remove(room);
                let error = Element::from(StanzaError::new(Condition::Conflict));
                let refusal = element("presence", ns::CLIENT)
                    .attr("from", format!("{room}/focus"))
                    .attr("type", "error")
                    .child(error);
                return self.inbox.push_back(refusal.done());
            }
            let there = self.clients.values().filter(|c| c.room == room);
            self.inbox.extend(there.map(FakeClient::presence));
            if self.rooms_lost {
                let status = element("status", ns::MUC_USER).attr("code", 201);
                let own = user("moderator", "owner", Some(FOCUS), true);
                let echo = element("presence", ns::CLIENT)
                    .attr("from", format!("{room}/focus"))
                    .children(self.place_of_focus())
                    .child(Build::from(own).child(status));
                return self.inbox.push_back(echo.done());
            }
        } else if unavailable {
            assert!(self.joined.remove(room), "left without being there");
            self.left.push(room.to_owned());
        } else {
            assert!(self.joined.contains(room), "presence before the join");
            self.focus_presences.push(out.clone());
        }
        let echo = element("presence", ns::CLIENT)
            .attr("from", format!("{room}/focus"))
            .attr_opt("type", unavailable.then_some("unavailable"))
            .children(self.place_of_focus())
            .child(user("moderator", "owner", Some(FOCUS), true));
        self.inbox.push_back(echo.done());
    }

    fn place_of_focus(&self) -> Option<Build> {
        self.place
            .map(|id| element("place", ns::PLACE).attr("id", id))
    }

    fn route_to_room(&mut self, room: &str, out: &Element) {
        if let Some(admin) = out.get_child("query", ns::MUC_ADMIN) {
            let jid = admin
                .get_child("item", ns::MUC_ADMIN)
                .and_then(|item| item.attr("jid"))
                .unwrap()
                .to_owned();
            let nick = self
                .clients
                .values_mut()
                .find(|c| c.room == room && c.jid.starts_with(&jid))
                .map(|client| {
                    client.affiliation = "owner";
                    client.role = "moderator";
                    client.nick.clone()
                });
            self.grants.push(nick.clone().unwrap());
            self.answer(out, None);
            self.inbox
                .push_back(self.clients[&nick.unwrap()].presence());
            return;
        }
        if out.attr("type") == Some("set") {
            return self.answer(out, None);
        }
        let fields = self.form_fields.iter().map(|(var, value)| {
            element("field", ns::DATA)
                .attr("var", var)
                .attr("type", "text-single")
                .child(element("value", ns::DATA).text(value))
        });
        let form = element("x", ns::DATA).attr("type", "form").children(fields);
        self.answer(
            out,
            Some(element("query", ns::MUC_OWNER).child(form).done()),
        );
    }

    fn route_to_bridge(&mut self, name: &str, out: &Element) {
        let Some(bridge) = self.bridges.get_mut(name) else {
            let error = StanzaError::new(Condition::ItemNotFound).reply_to(out);
            return self.inbox.push_back(error);
        };
        if let Some(answer) = bridge.handle(out) {
            self.inbox.push_back(answer);
        }
    }

    fn route_to_client(&mut self, nick: &str, out: &Element) {
        let Some(client) = self.clients.get_mut(nick) else {
            return self
                .inbox
                .push_back(StanzaError::new(Condition::ItemNotFound).reply_to(out));
        };
        self.inbox.extend(client.handle(out));
    }

    pub fn has_event(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }

    /// The bridge on which a conference is, seen from the bridges.
    pub fn home_of(&self, meeting: &str) -> Vec<&str> {
        let on = self
            .bridges
            .values()
            .filter(|b| b.conferences.contains_key(meeting));
        on.map(|b| b.name.as_str()).collect()
    }
}

pub fn user(role: &str, affiliation: &str, jid: Option<&str>, own: bool) -> Element {
    element("x", ns::MUC_USER)
        .child(
            element("item", ns::MUC_USER)
                .attr("role", role)
                .attr("affiliation", affiliation)
                .attr_opt("jid", jid),
        )
        .children(own.then(|| element("status", ns::MUC_USER).attr("code", 110)))
        .done()
}

pub fn condition(answer: &Element) -> String {
    StanzaError::from_stanza(answer).map_or_else(
        || answer.attr("type").unwrap().to_owned(),
        |e| e.condition.to_string(),
    )
}
