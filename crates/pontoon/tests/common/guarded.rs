//! A room with all that can be agreed in one, and what must be so in it whenever somebody looks.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use stanza::muc::User;
use stanza::{Element, ElementExt, ns};

use super::nodes::DOMAIN;
use super::person::{Person, body, texts};

const NEWCOMER: &str = "<x xmlns='http://jabber.org/protocol/muc'/>";
const NAME: &str = "<nick xmlns='http://jabber.org/protocol/nick'>A name</nick>";
const MUTED: &str = r#"{"bob-a0":{"muted":true}}"#;
const POLL: &str = r#"{"type":"polls","command":"new-poll","pollId":"p1","question":"?","answers":[{"name":"y"},{"name":"n"}]}"#;

/// Alice is its moderator, Carol was made one too, Bob was muted and Mallory banned.
pub struct Guarded {
    https: u16,
    room: String,
    lobby: String,
    pub alice: Person,
    pub bob: Person,
    pub carol: Person,
    mallory: Person,
    /// Whoever waits to be let in.
    waiter: Option<(Person, String)>,
    said: Vec<String>,
}

fn item(payload: &str) -> String {
    format!("<query xmlns='{}'>{payload}</query>", ns::MUC_ADMIN)
}

fn with_password(password: &str) -> String {
    format!("<x xmlns='http://jabber.org/protocol/muc'><password>{password}</password></x>{NAME}")
}

fn is_from(stanza: &Element, name: &str, from: &str) -> bool {
    stanza.name() == name && stanza.attr("from") == Some(from)
}

/// The condition of a presence that refuses, or nothing.
fn refusal(presence: &Element) -> String {
    let error = stanza::error::StanzaError::from_stanza(presence);
    error.map_or_else(String::new, |error| error.condition.as_str().to_owned())
}

impl Guarded {
    pub async fn new(https: u16) -> Self {
        let mut guarded = Self {
            https,
            room: format!("standup@conference.{DOMAIN}"),
            lobby: format!("standup@lobby.{DOMAIN}"),
            alice: Person::connect(https).await,
            bob: Person::connect(https).await,
            carol: Person::connect(https).await,
            mallory: Person::connect(https).await,
            waiter: None,
            said: Vec::new(),
        };
        guarded.people_come().await;
        guarded.agree().await;
        guarded
    }

    async fn people_come(&mut self) {
        let room = self.room.clone();
        let conference = format!("<conference xmlns='{}' room='{room}'/>", ns::FOCUS);
        let focus = format!("focus.{DOMAIN}");
        assert_eq!(self.alice.ask("set", &focus, &conference).await, "result");
        join(&mut self.alice, &room, "alice", NEWCOMER).await;
        is_owner(&mut self.alice, &format!("{room}/alice")).await;
        join(&mut self.carol, &room, "carol", NEWCOMER).await;
        let sound = format!("{NEWCOMER}<SourceInfo>{MUTED}</SourceInfo>");
        join(&mut self.bob, &room, "bob", &sound).await;
        join(&mut self.mallory, &room, "mallory", NEWCOMER).await;
    }

    async fn agree(&mut self) {
        let room = self.room.clone();
        let bare = self.carol.jid.to_bare();
        let grant = item(&format!("<item affiliation='owner' jid='{bare}'/>"));
        assert_eq!(self.alice.ask("set", &room, &grant).await, "result");
        is_owner(&mut self.carol, &format!("{room}/carol")).await;
        let bare = self.mallory.jid.to_bare();
        let ban = item(&format!("<item affiliation='outcast' jid='{bare}'/>"));
        assert_eq!(self.alice.ask("set", &room, &ban).await, "result");
        let own = format!("{room}/mallory");
        let out = |s: &Element| is_from(s, "presence", &own) && s.attr("type").is_some();
        self.mallory.until("banned", out).await;
        self.configure("muc#roomconfig_roomsecret", "s3cret").await;
        self.configure("muc#roomconfig_membersonly", "1").await;
        let lobby = self.lobby.clone();
        join(&mut self.alice, &lobby, "alice", NEWCOMER).await;
        self.alice.send(&format!(
            "<message type='groupchat' to='{room}'><subject>Plans</subject></message>"
        ));
        self.alice.send(&format!(
            "<message to='avmoderation.{DOMAIN}'><av_moderation xmlns='{}' room='{room}' mediaType='audio' \
             enable='true'/></message>",
            ns::JITMEET
        ));
        self.alice.send(&format!(
            "<message to='polls.{DOMAIN}'><json-message xmlns='{}'>{POLL}</json-message></message>",
            ns::JITMEET
        ));
        let moderated = |s: &Element| json(s).is_some_and(|text| text.contains("av_moderation"));
        self.bob.until("moderation is on", moderated).await;
    }

    async fn configure(&mut self, field: &str, value: &str) {
        let form = format!(
            "<query xmlns='{}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>\
             http://jabber.org/protocol/muc#roomconfig</value></field><field var='{field}'><value>{value}</value>\
             </field></x></query>",
            ns::MUC_OWNER
        );
        let room = self.room.clone();
        assert_eq!(self.alice.ask("set", &room, &form).await, "result");
    }

    /// Somebody knocks, and waits.
    pub async fn knock(&mut self, nick: &str) {
        let mut person = Person::connect(self.https).await;
        let lobby = self.lobby.clone();
        join(&mut person, &lobby, nick, &format!("{NEWCOMER}{NAME}")).await;
        let at = format!("{lobby}/{nick}");
        let knocks = |s: &Element| is_from(s, "presence", &at);
        self.alice.until("a knock", knocks).await;
        self.waiter = Some((person, nick.to_owned()));
    }

    /// Bob says something, whether or not he has a connection.
    pub fn say(&mut self, text: &str) {
        self.said.push(text.to_owned());
        let room = &self.room;
        self.bob.send(&format!(
            "<message type='groupchat' to='{room}'><body>{text}</body></message>"
        ));
    }

    /// The others hear what Bob said last.
    pub async fn is_heard(&mut self, what: &str) {
        let text = self.said.last().cloned();
        for person in [&mut self.alice, &mut self.carol] {
            person.until(what, |s| body(s) == text).await;
        }
    }

    /// All are back in their sessions, and nobody saw anything of it but what Bob said meanwhile, once.
    pub async fn is_back(&mut self, what: &str) {
        let waiter = self.waiter.as_mut().map(|(person, _)| person);
        let inside = [&mut self.alice, &mut self.bob, &mut self.carol];
        for person in inside.into_iter().chain(waiter).chain([&mut self.mallory]) {
            assert!(person.is_back(what).await, "{what}: a new session");
        }
        self.is_heard(what).await;
        for person in [&mut self.alice, &mut self.carol] {
            let news = person.take_news().await;
            assert!(news.is_empty(), "{what}: {news:#?}");
        }
    }

    /// Everything that was agreed holds.
    pub async fn holds(&mut self, nick: &str, what: &str) {
        self.mute_holds(what).await;
        let room = self.room.clone();
        join_again(
            &mut self.mallory,
            &room,
            "mallory",
            &with_password("s3cret"),
        )
        .await;
        let own = format!("{room}/mallory");
        let answer = self
            .mallory
            .until(what, |s| is_from(s, "presence", &own))
            .await;
        assert_eq!(refusal(&answer), "forbidden", "{what}: who is banned");

        // Whoever comes is shown to the waiting room, also with a wrong password; with the right one it is in.
        let mut dia = Person::connect(self.https).await;
        let own = format!("{room}/{nick}");
        for wrong in [format!("{NEWCOMER}{NAME}"), with_password("guess")] {
            join_again(&mut dia, &room, nick, &wrong).await;
            let answer = dia.until(what, |s| is_from(s, "presence", &own)).await;
            assert_eq!(refusal(&answer), "registration-required", "{what}");
        }
        join(&mut dia, &room, nick, &with_password("s3cret")).await;
        self.finds(&dia.take().await, what);
        for person in [&mut self.alice, &mut self.carol] {
            person.until(what, |s| is_from(s, "presence", &own)).await;
        }
        dia.leave().await;
        let left = |s: &Element| is_from(s, "presence", &own) && s.attr("type").is_some();
        for person in [&mut self.alice, &mut self.carol] {
            person.until(what, left).await;
        }
        self.let_in(what).await;
        for person in [&mut self.alice, &mut self.bob, &mut self.carol] {
            person.take().await;
        }
    }

    /// What somebody who comes is told.
    fn finds(&self, seen: &[Element], what: &str) {
        let all = texts(seen);
        let of = |nick: &str| {
            let from = format!("{}/{nick}", self.room);
            let presence = seen.iter().find(|s| is_from(s, "presence", &from));
            presence.unwrap_or_else(|| panic!("{what}: no {nick} in {all:#?}"))
        };
        for (nick, affiliation, role) in [
            ("alice", "owner", "moderator"),
            ("carol", "owner", "moderator"),
            ("bob", "none", "participant"),
        ] {
            let item = User::of(of(nick)).and_then(|user| user.item).unwrap();
            let is = (
                item.affiliation.unwrap().as_str(),
                item.role.unwrap().as_str(),
            );
            assert_eq!(is, (affiliation, role), "{what}: {nick}");
        }
        let sound = of("bob").child_text("SourceInfo", ns::CLIENT);
        assert_eq!(sound.as_deref(), Some(MUTED), "{what}: who is muted");
        let heard: Vec<String> = seen.iter().filter_map(body).collect();
        assert_eq!(heard, self.said, "{what}: what was said");
        let subject = |s: &Element| s.child_text("subject", ns::CLIENT);
        assert_eq!(seen.iter().find_map(subject).as_deref(), Some("Plans"));
        for part in [
            r#""lobbyEnabled":true"#,
            r#""mediaType":"audio""#,
            r#""pollId":"p1""#,
        ] {
            let told = seen.iter().filter_map(json).any(|text| text.contains(part));
            assert!(told, "{what}: {part} in {all:#?}");
        }
    }

    /// Moderators mute, and nobody else; who was muted may not unmute.
    async fn mute_holds(&mut self, what: &str) {
        let focus = format!("{}/focus", self.room);
        let mute = |nick: &str, on: bool| {
            let (room, ns) = (&self.room, ns::JITMEET_AUDIO);
            format!("<mute xmlns='{ns}' jid='{room}/{nick}'>{on}</mute>")
        };
        let (of_bob, of_alice, unmute) =
            (mute("bob", true), mute("alice", true), mute("bob", false));
        assert_eq!(
            self.carol.ask("set", &focus, &of_bob).await,
            "result",
            "{what}"
        );
        let told = |s: &Element| s.has_child("mute", ns::JITMEET_AUDIO);
        self.bob.until(what, told).await;
        for refused in [of_alice, unmute] {
            let answer = self.bob.ask("set", &focus, &refused).await;
            assert!(answer != "result", "{what}: {refused}");
        }
    }

    /// Alice lets in who waits.
    async fn let_in(&mut self, what: &str) {
        let Some((mut waiter, nick)) = self.waiter.take() else {
            return;
        };
        let (room, jid) = (self.room.clone(), waiter.jid.clone());
        self.alice.send(&format!(
            "<message to='{room}'><x xmlns='{}'><invite to='{jid}'/></x></message>",
            ns::MUC_USER
        ));
        let invited = |s: &Element| s.name() == "message" && User::of(s).is_some();
        waiter.until(what, invited).await;
        join(&mut waiter, &room, &nick, NEWCOMER).await;
        let own = format!("{room}/{nick}");
        self.carol
            .until(what, |s| is_from(s, "presence", &own))
            .await;
        waiter.leave().await;
        let left = |s: &Element| is_from(s, "presence", &own) && s.attr("type").is_some();
        self.carol.until(what, left).await;
    }
}

fn json(stanza: &Element) -> Option<String> {
    stanza.child_text("json-message", ns::JITMEET)
}

/// Asks for a place in a room.
async fn join_again(person: &mut Person, room: &str, nick: &str, payload: &str) {
    person.take().await;
    person.send(&format!(
        "<presence to='{room}/{nick}'>{payload}</presence>"
    ));
}

/// Enters a room. All that it is told stays to be looked at.
async fn join(person: &mut Person, room: &str, nick: &str, payload: &str) {
    join_again(person, room, nick, payload).await;
    let own = format!("{room}/{nick}");
    let presence = person.until(nick, |s| is_from(s, "presence", &own)).await;
    assert_eq!(
        presence.attr("type"),
        None,
        "{}",
        stanza::xml::to_string(&presence)
    );
}

/// Waits until the room says that this place is an owner's.
async fn is_owner(person: &mut Person, own: &str) {
    let owner = |s: &Element| {
        let item = User::of(s).and_then(|user| user.item);
        let owner = item.and_then(|item| item.affiliation) == Some(stanza::muc::Affiliation::Owner);
        owner && is_from(s, "presence", own)
    };
    person.until("an owner", owner).await;
}
