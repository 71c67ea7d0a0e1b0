//! End to end through the server: whatever a participant's door accepts leaves in a form that every peer of ours can read,
//! and no larger than a small multiple of what came in.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;
#[path = "../../stanza/tests/kit/mod.rs"]
mod written;

use kit::{Client, DOMAIN, ROOM, World};
use proptest::prelude::*;
use stanza::iq::{is_request, result_to};
use stanza::xml::{Limits, parse};
use stanza::{ElementExt as _, FullJid, element, ns};
use written::door::check_written;
use written::hostile;
use xmpp::WebQuery;

/// Where participants send what they make up.
const HEADS: [&str; 12] = [
    "message type='groupchat' to='standup@conference.meet.example.com'",
    "message to='standup@conference.meet.example.com/focus'",
    "message type='chat' to='standup@conference.meet.example.com/NICK'",
    "message to='polls.meet.example.com'",
    "message to='metadata.meet.example.com'",
    "iq type='set' id='1' to='focus.meet.example.com'",
    "iq type='get' id='2' to='standup@conference.meet.example.com/NICK'",
    "iq type='get' id='3' to='standup@conference.meet.example.com/focus'",
    "iq type='set' id='4' to='standup@conference.meet.example.com'",
    "presence to='standup@conference.meet.example.com/NICK'",
    "presence to='standup@lobby.meet.example.com/NICK'",
    "iq type='get' id='5' to='@@'",
];

/// A meeting whose every output is checked.
struct Watched {
    world: World,
    focus: Client,
    people: Vec<Client>,
    /// Bytes accepted so far.
    came: usize,
}

impl Watched {
    fn new() -> Self {
        let mut world = World::new();
        let focus = world.focus();
        let people = vec![
            world.moderator(&focus),
            world.participant(),
            world.participant(),
        ];
        world
            .server
            .enable_sm(world.now, people[1].session, true)
            .unwrap();
        world.clear();
        Self {
            world,
            focus,
            people,
            came: 2_000,
        }
    }

    /// Hands `text` in as the door would, and lets the focus answer.
    fn say(&mut self, who: usize, text: &str) {
        let text = text.replacen(" ", " xmlns='jabber:client' ", 1);
        let Ok(stanza) = parse(&text, &Limits::CLIENT) else {
            return;
        };
        self.came += text.len();
        let session = self.people[who].session;
        let _ = self
            .world
            .server
            .handle_stanza(self.world.now, session, stanza);
        self.world.drain();
        for request in self.check() {
            let answer = result_to(&request, request.payload().cloned());
            let _ = self
                .world
                .server
                .handle_stanza(self.world.now, self.focus.session, answer);
        }
        self.world.drain();
        self.check();
    }

    /// Checks all that came out; what the focus is asked is returned.
    fn check(&mut self) -> Vec<stanza::Element> {
        assert!(!self.world.closed.contains_key(&self.focus.connection));
        let mut asked = Vec::new();
        for (connection, stanzas) in std::mem::take(&mut self.world.inbox) {
            for stanza in stanzas {
                let read = check_written(&stanza.to_vec(), self.came);
                if connection == self.focus.connection && is_request(&read) {
                    asked.push(read);
                }
            }
        }
        asked
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_accepted_can_be_read_by_everybody(
        steps in proptest::collection::vec(
            (0..3_usize, 0..3_usize, proptest::sample::select(HEADS.to_vec())
                .prop_flat_map(|head| hostile::stanza(head.to_owned()))),
            1..10,
        ),
    ) {
        let mut meeting = Watched::new();
        for (who, to, text) in steps {
            let nick = meeting.people[to].nick.clone();
            meeting.say(who, &text.replace("NICK", &nick));
        }
        // Whoever joins now gets the past; whoever comes back gets what was missed.
        let late = meeting.world.guest();
        meeting.world.join(&late, ROOM);
        meeting.check();
        let back = meeting.people[1].clone();
        meeting.world.server.detach(meeting.world.now, back.session, back.connection);
        meeting.world.drain();
        meeting.check();
    }
}

#[test]
fn a_conference_request_at_the_limit_is_readable_for_the_focus() {
    let mut meeting = Watched::new();
    let head = "iq type='set' id='1' to='focus.meet.example.com'";
    let request = |n: usize| {
        let attributes: String = (0..n).map(|n| format!(" a{n}=''")).collect();
        format!(
            "<{head}{attributes}><conference xmlns='{}' room='{ROOM}'/></iq>",
            ns::FOCUS
        )
    };
    // Three of its own; `from` is added.
    let most = request(Limits::CLIENT.attributes - 3);
    let stanza = parse(&most, &Limits::CLIENT).unwrap();
    let session = meeting.people[1].session;
    meeting.came += most.len();
    meeting
        .world
        .server
        .handle_stanza(meeting.world.now, session, stanza)
        .unwrap();
    meeting.world.drain();
    assert_eq!(meeting.check().len(), 1, "the focus is asked");
    assert!(parse(request(Limits::CLIENT.attributes - 2), &Limits::CLIENT).is_err());
}

#[test]
fn the_focus_can_answer_whatever_resource_was_asked_for() {
    let mut world = World::new();
    let focus = world.focus();
    let long = "r".repeat(1_000);
    for resource in ["plain", "שלום", "\u{338}x", long.as_str()] {
        let query = WebQuery::default();
        let user = world.server.anonymous_user(DOMAIN, &query).unwrap();
        let client = world.bind(user, Some(resource.to_owned()), query);
        assert_eq!(
            client.jid.resource().as_str() == "plain",
            resource == "plain"
        );
        world.send(
            &client,
            &format!("<iq type='set' id='c' to='focus.{DOMAIN}'><conference xmlns='{}' room='{ROOM}'/></iq>", ns::FOCUS),
        );
        let asked = world.take(&focus);
        let request = asked.last().unwrap();
        let from = FullJid::new(request.attr("from").unwrap()).unwrap();
        assert_eq!(from.resource().as_str(), client.jid.as_str());
        world.send(
            &focus,
            &stanza::xml::to_string(&{
                let mut answer = result_to(request, None);
                answer.take_attr("from");
                answer
            })
            .replace(" xmlns=\"jabber:client\"", ""),
        );
        let answers = world.take(&client);
        assert!(
            answers
                .iter()
                .any(|a| a.attr("id") == Some("c") && a.attr("type") == Some("result"))
        );
    }
}

#[test]
fn a_stanza_that_was_passed_over_is_answered_and_counted() {
    let mut world = World::new();
    let focus = world.focus();
    let guest = world.participant();
    world
        .server
        .enable_sm(world.now, focus.session, true)
        .unwrap();
    world.clear();
    let stub = |kind: &str, to: &str| {
        element("iq", ns::CLIENT)
            .attr("type", kind)
            .attr("id", "q")
            .attr("to", to)
            .done()
    };
    // What it asks is refused.
    world
        .server
        .handle_skipped(world.now, focus.session, stub("get", ROOM))
        .unwrap();
    world.drain();
    let answers = world.take(&focus);
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].attr("type"), answers[0].attr("from")),
        (Some("error"), Some(ROOM))
    );
    // What it answers reaches whoever asked, as an error.
    world.send(
        &guest,
        &format!("<iq type='get' id='q' to='{ROOM}/focus'><x xmlns='y'/></iq>"),
    );
    let asked = world.take(&focus).pop().unwrap();
    let from = asked.attr("from").unwrap().to_owned();
    world
        .server
        .handle_skipped(world.now, focus.session, stub("result", &from))
        .unwrap();
    world.drain();
    let answer = world.take(&guest).pop().unwrap();
    assert_eq!(
        (answer.attr("id"), answer.attr("type")),
        (Some("q"), Some("error"))
    );
    world
        .server
        .ack_requested(world.now, focus.session)
        .unwrap();
    world.drain();
    assert_eq!(world.acks[&focus.connection], [2]);
}

#[test]
fn a_long_name_is_not_repeated_with_each_message_of_the_past() {
    let mut world = World::new();
    world.focus();
    let guest = world.guest();
    world.send(
        &guest,
        &format!(
            "<presence to='{ROOM}/{}'><x xmlns='http://jabber.org/protocol/muc'/>\
             <nick xmlns='http://jabber.org/protocol/nick'>{}</nick></presence>",
            guest.nick,
            "n".repeat(60_000)
        ),
    );
    for _ in 0..5 {
        world.send(
            &guest,
            &format!("<message type='groupchat' to='{ROOM}'><body>x</body></message>"),
        );
    }
    let late = world.guest();
    world.join(&late, ROOM);
    let past = world.inbox.remove(&late.connection).unwrap();
    let messages: Vec<_> = past
        .iter()
        .filter(|stanza| stanza.to_vec().starts_with(b"<message"))
        .collect();
    assert!(messages.len() >= 5);
    for message in messages {
        assert!(message.len() < 1_000, "{}", message.len());
    }
}
