//! The process is killed and another one takes its place: meetings, and who is in them, go on as they were.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod kit;

use std::time::Duration;

use kit::{Client, DOMAIN, ROOM, World, brief, briefs};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use stanza::{Element, ElementExt as _, ns};
use xmpp::{Config, JournalError, Server, WallClock};

const LOBBY: &str = "standup@lobby.meet.example.com";

/// A server whose journal is kept. It asks nobody for signs of life: these clients say nothing by themselves.
fn world() -> World {
    let mut world = World::with(|c| c.limits.probe_after = Duration::from_secs(1_000_000));
    world.keep_journal();
    world
}

/// A client with stream management, and how much it got since then.
struct Managed {
    client: Client,
    id: String,
    received: u32,
}

impl Managed {
    fn new(world: &mut World, client: Client) -> Self {
        let id = world.manage(&client);
        Self {
            client,
            id,
            received: 0,
        }
    }

    /// A guest that has joined.
    fn guest(world: &mut World) -> Self {
        let client = world.guest();
        let mut guest = Self::new(world, client);
        world.join(&guest.client, ROOM);
        guest.read(world);
        guest
    }

    fn read(&mut self, world: &mut World) -> Vec<Element> {
        let seen = world.take(&self.client);
        self.received += u32::try_from(seen.len()).unwrap();
        seen
    }

    /// Comes back after a restart; returns what the server has handled.
    fn resume(&mut self, world: &mut World) -> u32 {
        world.resume(&mut self.client, &self.id.clone(), self.received)
    }
}

/// A focus with stream management in the room.
fn focus(world: &mut World) -> Managed {
    let mut client = world.account("focus", "focus");
    client.nick = "focus".to_owned();
    let mut focus = Managed::new(world, client);
    world.join(&focus.client, ROOM);
    focus.read(world);
    focus
}

/// The focus of the new process comes and enters the room; returns what it is told there.
fn focus_again(world: &mut World) -> (Client, Vec<Element>) {
    let mut focus = world.account("focus", "focus");
    focus.nick = "focus".to_owned();
    world.manage(&focus);
    world.send(&focus, "<presence/>");
    world.join(&focus, ROOM);
    let seen = world.take(&focus);
    (focus, seen)
}

fn configure(world: &mut World, by: &Client, field: &str, value: &str) {
    let form = format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>\
         http://jabber.org/protocol/muc#roomconfig</value></field>\
         <field var='{field}'><value>{value}</value></field></x>"
    );
    let owner = "http://jabber.org/protocol/muc#owner";
    world.send(
        by,
        &format!("<iq type='set' id='c' to='{ROOM}'><query xmlns='{owner}'>{form}</query></iq>"),
    );
}

fn say(world: &mut World, by: &Client, text: &str) {
    world.send(
        by,
        &format!("<message type='groupchat' to='{ROOM}'><body>{text}</body></message>"),
    );
}

fn bodies(seen: &[Element]) -> Vec<String> {
    let body = |stanza: &Element| stanza.child_text("body", ns::CLIENT);
    seen.iter().filter_map(body).collect()
}

fn gone(seen: &[Element]) -> Vec<String> {
    let gone = |stanza: &&Element| stanza.attr("type") == Some("unavailable");
    seen.iter().filter(gone).map(brief).collect()
}

#[test]
fn people_stay_where_they_are() {
    let mut world = world();
    let _focus = focus(&mut world);
    let mut alice = Managed::guest(&mut world);
    let mut bob = Managed::guest(&mut world);
    alice.read(&mut world);
    // Bob hears this before the end, Alice does not read it any more.
    say(&mut world, &bob.client, "one");
    bob.read(&mut world);
    let restored = world.restart();
    assert_eq!((restored.sessions, restored.rooms), (3, 1));
    assert_eq!((restored.left_out, restored.damaged), (0, 0));
    let (_, told) = focus_again(&mut world);
    for client in [&alice.client, &bob.client] {
        assert!(briefs(&told).iter().any(|line| line.contains(&client.nick)));
    }
    assert_eq!(alice.resume(&mut world), 1, "her join");
    assert_eq!(bob.resume(&mut world), 2, "his join and what he said");
    let seen = alice.read(&mut world);
    assert_eq!(bodies(&seen), ["one"]);
    let seen = [seen, bob.read(&mut world)].concat();
    assert!(gone(&seen).is_empty(), "{:?}", briefs(&seen));
    // All goes on.
    say(&mut world, &alice.client, "two");
    assert_eq!(bodies(&bob.read(&mut world)), ["two"]);
    world.pass(Duration::from_secs(120));
    assert!(gone(&alice.read(&mut world)).is_empty());
    // And once more.
    world.restart();
    focus_again(&mut world);
    alice.resume(&mut world);
    bob.resume(&mut world);
    say(&mut world, &bob.client, "three");
    assert_eq!(bodies(&alice.read(&mut world)), ["three"]);
}

#[test]
fn the_place_of_the_focus_is_the_same() {
    let mut world = world();
    let place = |seen: &[Element]| -> String {
        let place = seen.iter().find_map(|s| s.get_child("place", ns::PLACE));
        place.and_then(|p| p.attr("id")).unwrap().to_owned()
    };
    let mut client = world.account("focus", "focus");
    client.nick = "focus".to_owned();
    world.manage(&client);
    world.join(&client, ROOM);
    let before = place(&world.take(&client));
    let mut alice = Managed::guest(&mut world);
    world.restart();
    let (_, told) = focus_again(&mut world);
    assert_eq!(place(&told), before);
    alice.resume(&mut world);
    let seen = alice.read(&mut world);
    assert!(gone(&seen).is_empty(), "{:?}", briefs(&seen));
}

#[test]
fn who_does_not_come_back_leaves_in_the_end() {
    let mut world = world();
    focus(&mut world);
    let mut alice = Managed::guest(&mut world);
    let _bob = Managed::guest(&mut world);
    // Cannot be resumed: gone with the process.
    let carol = world.participant();
    alice.read(&mut world);
    world.restart();
    focus_again(&mut world);
    alice.resume(&mut world);
    let left = gone(&alice.read(&mut world));
    assert!(left.len() == 1 && left[0].contains(&carol.nick), "{left:?}");
    world.pass(Duration::from_secs(55));
    assert!(gone(&alice.read(&mut world)).is_empty());
    world.pass(Duration::from_secs(10));
    assert_eq!(gone(&alice.read(&mut world)).len(), 1);
}

#[test]
fn roles_password_waiting_room_and_all_that_was_agreed_are_the_same() {
    for minutes in [0, 10] {
        all_is_the_same_after(Duration::from_secs(60 * minutes));
    }
}

fn all_is_the_same_after(away: Duration) {
    let mut world = world();
    let first = focus(&mut world);
    let mut alice = Managed::guest(&mut world);
    world.grant(&first.client, &alice.client, "owner");
    configure(
        &mut world,
        &alice.client,
        "muc#roomconfig_roomsecret",
        "sesame",
    );
    configure(&mut world, &alice.client, "muc#roomconfig_membersonly", "1");
    let nick = alice.client.nick.clone();
    let join = |room: &str, nick: &str| {
        format!(
            "<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/>\
             <nick xmlns='http://jabber.org/protocol/nick'>{nick}</nick></presence>"
        )
    };
    world.send(&alice.client, &join(LOBBY, &nick));
    let waiting = world.guest();
    let mut waiting = Managed::new(&mut world, waiting);
    world.send(&waiting.client, &join(LOBBY, "waiter"));
    world.send(
        &alice.client,
        &format!("<message type='groupchat' to='{ROOM}'><subject>Plans</subject></message>"),
    );
    world.send(
        &alice.client,
        &format!(
            "<message to='avmoderation.meet.example.com'><av_moderation \
             xmlns='http://jitsi.org/jitmeet' room='{ROOM}' mediaType='audio' enable='true'/></message>"
        ),
    );
    let poll = r#"{"type":"polls","command":"new-poll","pollId":"p1","question":"?","answers":[{"name":"y"},{"name":"n"}]}"#;
    world.send(
        &alice.client,
        &format!(
            "<message to='polls.meet.example.com'><json-message \
             xmlns='http://jitsi.org/jitmeet'>{poll}</json-message></message>"
        ),
    );
    say(&mut world, &alice.client, "before");
    alice.read(&mut world);
    waiting.read(&mut world);
    world.now += away;
    assert_eq!(world.restart().left_out, 0);
    let (_, told) = focus_again(&mut world);
    assert!(
        briefs(&told)
            .iter()
            .any(|line| line.contains("owner/moderator") && line.contains(&nick)),
        "{:?}",
        briefs(&told)
    );
    alice.resume(&mut world);
    waiting.resume(&mut world);
    world.clear();
    // Whoever comes now meets the waiting room, and with the password gets in and hears what was.
    let bob = world.guest();
    world.join(&bob, ROOM);
    let refused = world.take(&bob);
    assert!(brief(&refused[0]).contains("registration-required"));
    let lobby = refused[0].get_child("error", ns::CLIENT).unwrap();
    assert!(lobby.children().any(|child| child.text() == LOBBY));
    world.send(
        &bob,
        &format!(
            "<presence to='{ROOM}/{}'><x xmlns='http://jabber.org/protocol/muc'>\
             <password>sesame</password></x></presence>",
            bob.nick
        ),
    );
    let seen = world.take(&bob);
    assert_eq!(bodies(&seen), ["before"]);
    let subject = |s: &Element| s.child_text("subject", ns::CLIENT);
    assert_eq!(seen.iter().find_map(subject).as_deref(), Some("Plans"));
    let json: Vec<String> = seen
        .iter()
        .filter_map(|s| s.child_text("json-message", ns::JITMEET))
        .collect();
    for part in [
        "\"lobbyEnabled\":true",
        "\"mediaType\":\"audio\"",
        "\"pollId\":\"p1\"",
    ] {
        assert!(
            json.iter().any(|json| json.contains(part)),
            "{part}: {json:?}"
        );
    }
    // She still decides about who waits.
    world.send(
        &alice.client,
        &format!(
            "<iq type='set' id='k' to='{LOBBY}'><query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item nick='waiter' role='none'/></query></iq>"
        ),
    );
    let out = briefs(&world.take(&waiting.client));
    assert!(
        out[0].contains("unavailable") && out[0].contains("307"),
        "{out:?}"
    );
}

#[test]
fn requests_that_were_under_way_are_asked_again_or_refused() {
    let mut world = world();
    let first = focus(&mut world);
    let mut alice = Managed::guest(&mut world);
    let bob = world.participant();
    world.clear();
    let ask = |to: &str, id: &str| {
        format!("<iq type='set' id='{id}' to='{to}'><query xmlns='urn:x'/></iq>")
    };
    world.send(&alice.client, &ask(&format!("{ROOM}/focus"), "in-room"));
    world.send(&alice.client, &ask(&bob.occupant(ROOM), "of-bob"));
    let conference = "<conference xmlns='http://jitsi.org/protocol/focus' \
        room='other@conference.meet.example.com'/>";
    world.send(
        &alice.client,
        &format!("<iq type='set' id='conference' to='focus.{DOMAIN}'>{conference}</iq>"),
    );
    drop(first);
    alice.read(&mut world);
    world.restart();
    let (focus, told) = focus_again(&mut world);
    alice.resume(&mut world);
    let seen = alice.read(&mut world);
    let refused = seen
        .iter()
        .find(|s| s.attr("id") == Some("of-bob"))
        .unwrap();
    assert!(brief(refused).contains("service-unavailable"));
    for id in ["in-room", "conference"] {
        let request = told.iter().find(|s| s.attr("id") == Some(id));
        let request = request.unwrap_or_else(|| panic!("{id} in {:?}", briefs(&told)));
        let from = request.attr("from").unwrap();
        let to = match id {
            "in-room" => alice.client.occupant(ROOM),
            _ => format!("focus.{DOMAIN}/{}", alice.client.jid),
        };
        assert_eq!(from, to);
        world.send(
            &focus,
            &format!("<iq type='result' id='{id}' to='{from}'/>"),
        );
        let answers = alice.read(&mut world);
        assert!(answers.iter().any(|s| s.attr("id") == Some(id)), "{id}");
    }
}

#[test]
fn a_client_that_knows_more_than_the_journal_is_believed() {
    let mut world = world();
    focus(&mut world);
    let mut alice = Managed::guest(&mut world);
    let bob = Managed::guest(&mut world);
    alice.read(&mut world);
    // The last lines were not written any more.
    let journal = world.journal.clone();
    say(&mut world, &bob.client, "lost");
    alice.read(&mut world);
    world.journal = journal;
    world.restart();
    focus_again(&mut world);
    alice.resume(&mut world);
    alice.read(&mut world);
    say(&mut world, &alice.client, "on");
    assert_eq!(bodies(&alice.read(&mut world)), ["on"]);
}

/// Everything a server has, in an order of no meaning: rooms and requests are in tables.
fn sorted(journal: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = String::from_utf8(journal.to_vec())
        .unwrap()
        .lines()
        .map(|line| line[9..].to_owned())
        .collect();
    lines.sort();
    lines
}

/// The same meetings, told in one go and step by step, come to the same.
#[test]
fn news_come_to_the_same_as_the_whole() {
    for seed in 0..20 {
        let mut world = world();
        random_life(&mut world, seed, 150);
        let whole = world.server.journal();
        let steps = world.journal.take().unwrap();
        let restore = |journal: &[u8]| {
            let config = Config::new(DOMAIN, b"cluster secret");
            let clock = WallClock::new(world.now, Duration::from_secs(kit::EPOCH));
            let (mut server, restored) = Server::restore(config, clock, [9; 32], journal).unwrap();
            assert_eq!((restored.left_out, restored.damaged), (0, 0), "seed {seed}");
            sorted(&server.journal())
        };
        let (steps, whole) = (restore(&steps), restore(&whole));
        let other = steps.iter().zip(&whole).find(|(step, whole)| step != whole);
        assert_eq!(other, None, "seed {seed}");
        assert_eq!(steps.len(), whole.len(), "seed {seed}");
    }
}

/// People come, speak, change what is agreed, lose their connections, come back, and go.
fn random_life(world: &mut World, seed: u64, steps: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let focus = focus(world);
    let mut people: Vec<Managed> = Vec::new();
    for step in 0..steps {
        let n = rng.random_range(0..people.len().max(1));
        match (rng.random_range(0..14), people.get_mut(n)) {
            (0..=2, _) | (_, None) => {
                let guest = Managed::guest(world);
                people.push(guest);
            }
            (3, Some(_)) => {
                let gone = people.remove(n).client;
                world.server.close(world.now, gone.session, gone.connection);
                world.drain();
            }
            (4, Some(lost)) => {
                let lost = &lost.client;
                world
                    .server
                    .detach(world.now, lost.session, lost.connection);
                world.drain();
            }
            (5, Some(back)) => {
                back.resume(world);
            }
            (6, Some(client)) => {
                client.read(world);
                let (now, session) = (world.now, client.client.session);
                world.server.ack(now, session, client.received).unwrap();
                world.drain();
            }
            (kind, Some(client)) => {
                // Only who is there can speak.
                let client = client.client.clone();
                act(world, &mut rng, &focus.client, &client, kind, step);
            }
        }
        if rng.random_range(0..20) == 0 {
            world.pass(Duration::from_secs(rng.random_range(0..40)));
            people.retain(|p| world.server.jid(p.client.session).is_some());
        }
    }
}

fn act(
    world: &mut World,
    rng: &mut impl RngExt,
    focus: &Client,
    client: &Client,
    kind: u32,
    step: usize,
) {
    match kind {
        7 | 8 => say(world, client, &format!("step {step} \"&lt;é\" \\")),
        9 => world.grant(
            focus,
            client,
            ["owner", "member", "none"][rng.random_range(0..3)],
        ),
        10 => configure(
            world,
            focus,
            "muc#roomconfig_membersonly",
            ["0", "1"][rng.random_range(0..2)],
        ),
        11 => configure(
            world,
            focus,
            "muc#roomconfig_roomsecret",
            ["", "sesame"][rng.random_range(0..2)],
        ),
        12 => {
            let nick = &client.nick;
            let lobby = format!(
                "<presence to='{LOBBY}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/>\
                 <nick xmlns='http://jabber.org/protocol/nick'>{nick}</nick></presence>"
            );
            world.send(client, &lobby);
        }
        _ => {
            let ask = format!(
                "<iq type='set' id='q{step}' to='{ROOM}/focus'><query xmlns='urn:x'/></iq>"
            );
            world.send(client, &ask);
        }
    }
}

/// A journal of a life with everything in it.
fn some_journal() -> Vec<u8> {
    let mut world = world();
    random_life(&mut world, 3, 80);
    world.journal.take().unwrap()
}

fn restore(journal: &[u8]) -> (Server, xmpp::Restored) {
    let config = Config::new(DOMAIN, b"cluster secret");
    #[allow(clippy::disallowed_methods, reason = "any instant will do")]
    let clock = WallClock::new(std::time::Instant::now(), Duration::from_secs(kit::EPOCH));
    Server::restore(config, clock, [9; 32], journal).unwrap()
}

#[test]
fn a_torn_tail_is_passed_over() {
    let journal = some_journal();
    let (_, whole) = restore(&journal);
    assert!(whole.sessions > 1 && whole.damaged == 0, "{whole:?}");
    let (mut server, torn) = restore(&journal[..journal.len() - 3]);
    assert_eq!((torn.damaged, torn.error), (1, None));
    server.handle_timeout(server_time());
    for (journal, error) in [
        (&b""[..], JournalError::NoBeginning),
        (b"no journal\n", JournalError::NoBeginning),
    ] {
        assert_eq!(restore(journal).1.error, Some(error));
    }
}

#[allow(clippy::disallowed_methods, reason = "any instant will do")]
fn server_time() -> std::time::Instant {
    std::time::Instant::now() + Duration::from_secs(3_600)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is in the file, the server that reads it works.
    #[test]
    fn a_damaged_journal_harms_nobody(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        lines in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut journal = some_journal();
        for (at, byte) in cuts {
            let at = at.index(journal.len());
            journal[at] = byte;
        }
        let all: Vec<Vec<u8>> = journal.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        // Lines may be missing, doubled, out of order.
        let mut shuffled = all.clone();
        for at in lines {
            let at = at.index(all.len());
            let line = all[at].clone();
            shuffled.push(line);
            let len = shuffled.len();
            shuffled.remove(1 + at % (len - 1));
        }
        let (mut server, _) = restore(&shuffled.concat());
        server.journal();
        server.handle_timeout(server_time());
        while server.poll_output().is_some() {}
        prop_assert_eq!(server.stats().sessions, 0);
        prop_assert_eq!(server.stats().occupants, 0);
        prop_assert_eq!(server.stats().kept_bytes, 0);
    }

    /// The same where every line is whole, but what it says is wrong.
    #[test]
    fn a_journal_that_lies_harms_nobody(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..6), 1..200),
    ) {
        let text = String::from_utf8(some_journal()).unwrap();
        let mut lines: Vec<String> = text.lines().map(|line| line[9..].to_owned()).collect();
        for (at, kind) in edits {
            let n = at.index(lines.len() - 1) + 1;
            let (from, to) = [
                ("1", "9"),
                ("\"to\":[", "\"to\":[7,7,"),
                ("@", "@@"),
                ("conference.", "lobby."),
                ("true", "false"),
                ("<presence", "<message"),
            ][kind];
            lines[n] = lines[n].replacen(from, to, 1);
        }
        let whole = |line: &String| format!("{:08x} {line}\n", crc32fast::hash(line.as_bytes()));
        let journal: String = lines.iter().map(whole).collect();
        let (mut server, _) = restore(journal.as_bytes());
        server.journal();
        server.handle_timeout(server_time());
        while server.poll_output().is_some() {}
        prop_assert_eq!(server.stats().sessions, 0);
        prop_assert_eq!(server.stats().occupants, 0);
        prop_assert_eq!(server.stats().kept_bytes, 0);
    }
}
