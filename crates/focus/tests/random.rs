//! Whatever happens to people and bridges: once things are well again, everybody has a session and nothing is left over.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use stanza::colibri2::ErrorAnswer;
use stanza::jingle::{Action, BridgeSession, Jingle};
use stanza::ns;
use support::*;

const NAMES: [&str; 5] = ["aa", "bb", "cc", "dd", "ee"];
const BRIDGES: [&str; 3] = ["jvb1", "jvb2", "jvb3"];
const ERRORS: [&str; 5] = [
    "internal-server-error",
    "service-unavailable",
    "conflict",
    "item-not-found",
    "forbidden",
];

#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Leave(usize),
    Restart(usize),
    AddSource(usize, u32),
    AddBridge(usize),
    KillBridge(usize),
    Health(usize, u8),
    Deaf(usize, bool),
    Error(usize, usize),
    Forget(usize),
    ShutDown(usize),
    Wait(u64),
    /// The stream of the focus is gone for a time; another one follows.
    Cut(u64),
    /// The focus is replaced by one that has its snapshot.
    Replace,
}

fn step() -> impl Strategy<Value = Step> {
    let (who, bridge) = (0..NAMES.len(), 0..BRIDGES.len());
    prop_oneof![
        4 => who.clone().prop_map(Step::Join),
        2 => who.clone().prop_map(Step::Leave),
        2 => who.clone().prop_map(Step::Restart),
        2 => (who, 900_000_000u32..900_000_100).prop_map(|(who, ssrc)| Step::AddSource(who, ssrc)),
        2 => bridge.clone().prop_map(Step::AddBridge),
        1 => bridge.clone().prop_map(Step::KillBridge),
        2 => (bridge.clone(), 0u8..3).prop_map(|(bridge, health)| Step::Health(bridge, health)),
        1 => (bridge.clone(), any::<bool>()).prop_map(|(bridge, deaf)| Step::Deaf(bridge, deaf)),
        2 => (bridge.clone(), 0..ERRORS.len()).prop_map(|(bridge, error)| Step::Error(bridge, error)),
        1 => bridge.clone().prop_map(Step::Forget),
        1 => bridge.prop_map(Step::ShutDown),
        4 => (50u64..4000).prop_map(Step::Wait),
        1 => (0u64..40_000).prop_map(Step::Cut),
        1 => Just(Step::Replace),
    ]
}

fn client(index: usize) -> FakeClient {
    // Each kind of client takes part.
    if !index.is_multiple_of(2) {
        return FakeClient::old(NAMES[index]);
    }
    let mut client = FakeClient::new(NAMES[index]);
    if index != 2 {
        client.features.extend([ns::MOVES, ns::SPARES]);
        client.tells_moved = true;
    }
    client
}

fn apply(world: &mut World, step: &Step) {
    match *step {
        Step::Join(who) if !world.clients.contains_key(NAMES[who]) => {
            if !world.joined.contains(ROOM) {
                world.request(ROOM);
            }
            world.join(client(who));
        }
        Step::Leave(who) if world.clients.contains_key(NAMES[who]) => world.leave(NAMES[who]),
        Step::Restart(who) => restart(world, NAMES[who]),
        Step::AddSource(who, ssrc) => {
            let Some(client) = world
                .clients
                .get(NAMES[who])
                .filter(|c| c.session.is_some())
            else {
                return;
            };
            let mut add = client.jingle(Action::SourceAdd);
            add.contents = vec![client.content("video", "v1", &[ssrc], vec![])];
            world.ask(NAMES[who], &add);
        }
        Step::AddBridge(bridge) if !world.bridges.contains_key(BRIDGES[bridge]) => {
            world.add_bridge(BRIDGES[bridge], 0.0)
        }
        Step::KillBridge(bridge) if world.bridges.contains_key(BRIDGES[bridge]) => {
            world.kill_bridge(BRIDGES[bridge])
        }
        Step::Cut(time) => {
            world.cut();
            world.advance(Duration::from_millis(time));
            world.reattach();
        }
        Step::Replace => world.restart(),
        Step::Wait(time) => world.advance(Duration::from_millis(time)),
        Step::ShutDown(bridge) if world.bridges.contains_key(BRIDGES[bridge]) => {
            world.leaving_bridges.insert(BRIDGES[bridge].to_owned());
            world.bridge_stats(BRIDGES[bridge], &[("shutting_down", "true")]);
        }
        Step::Health(bridge, health) => {
            let health = [Health::Well, Health::Frozen, Health::Unwell][usize::from(health)];
            if let Some(bridge) = world.bridges.get_mut(BRIDGES[bridge]) {
                bridge.health = health;
            }
        }
        Step::Deaf(bridge, deaf) => {
            if let Some(bridge) = world.bridges.get_mut(BRIDGES[bridge]) {
                bridge.deaf = deaf;
            }
        }
        Step::Error(bridge, error) => {
            if let Some(bridge) = world.bridges.get_mut(BRIDGES[bridge]) {
                bridge
                    .errors
                    .push_back(ErrorAnswer::plain(ERRORS[error], "x"));
            }
        }
        Step::Forget(bridge) => {
            if let Some(bridge) = world.bridges.get_mut(BRIDGES[bridge]) {
                bridge.conferences.clear();
            }
        }
        _ => {}
    }
}

fn restart(world: &mut World, nick: &str) {
    let Some(client) = world.clients.get_mut(nick).filter(|c| c.session.is_some()) else {
        return;
    };
    let mut terminate = client.jingle(Action::SessionTerminate);
    let id = client.stay();
    terminate.bridge_session = Some(BridgeSession {
        id,
        restart: Some(true),
        ..BridgeSession::default()
    });
    (client.session, client.next) = (None, None);
    client.known.clear();
    if condition(&world.ask(nick, &terminate)) != "result" {
        // Such a client loads its page again.
        world.leave(nick);
        let index = NAMES.iter().position(|name| *name == nick).unwrap();
        apply(world, &Step::Join(index));
    }
}

/// Makes everything well and gives it time. Gently: bridges that live on keep what they have.
fn heal(world: &mut World) {
    for bridge in world.bridges.values_mut() {
        (bridge.health, bridge.deaf) = (Health::Well, false);
        bridge.errors.clear();
    }
    // One that once said it shuts down must end some time.
    for name in BRIDGES {
        if world.bridges.contains_key(name) {
            world.advance(Duration::from_secs(3));
        }
        if world.leaving_bridges.contains(name) && world.bridges.contains_key(name) {
            world.kill_bridge(name);
        }
    }
    if world.bridges.is_empty() {
        world.add_bridge("jvb1", 0.0);
    }
    for index in 0..2 {
        apply(world, &Step::Join(index));
    }
    world.advance(Duration::from_secs(70));
    end_dead_spares(world);
    world.advance(Duration::from_secs(70));
    // A bridge says that it forgot something only when it is asked.
    for (index, nick) in NAMES.into_iter().enumerate() {
        if world.clients.get(nick).is_some_and(|c| c.session.is_none()) {
            // It ended its session for good, as after too many restarts, and loads its page again.
            world.leave(nick);
            apply(world, &Step::Join(index));
        }
        apply(world, &Step::AddSource(index, 800_000_000 + index as u32));
    }
    world.advance(Duration::from_secs(10));
}

/// Spare sessions of which the bridge knows nothing any more have no path.
fn end_dead_spares(world: &mut World) {
    let mut dead = Vec::new();
    for (nick, client) in &world.clients {
        let Some(next) = &client.next else { continue };
        let bridge = world.bridges.get(&bridge_of(next));
        let mut known = bridge.into_iter().flat_map(|b| b.conferences.values());
        if !known.any(|conference| conference.contains_key(nick)) {
            dead.push((nick.clone(), next.sid.clone()));
        }
    }
    for (nick, sid) in dead {
        world.clients.get_mut(&nick).unwrap().next = None;
        world.ask(&nick, &Jingle::new(Action::SessionTerminate, &sid));
    }
}

/// The bridge that a session is with.
fn bridge_of(session: &Jingle) -> String {
    let transport = session.contents[0].transport.as_ref().unwrap();
    let ufrag = transport.ufrag.as_ref().unwrap();
    let name = BRIDGES.iter().find(|name| ufrag.starts_with(**name));
    name.unwrap().to_string()
}

/// The bridge to which everybody was sent last.
fn home(world: &World) -> String {
    let clients = world.clients.values();
    let homes: BTreeSet<String> = clients
        .map(|client| bridge_of(client.session.as_ref().unwrap()))
        .collect();
    assert_eq!(homes.len(), 1, "a conference is on one bridge");
    homes.into_iter().next().unwrap()
}

fn check(world: &World) {
    for (nick, client) in &world.clients {
        assert!(client.session.is_some(), "{nick} has no session");
    }
    let home = home(world);
    let conference = &world.bridges[&home].conferences["5cc8f3dc-meeting"];
    let endpoints: BTreeSet<&String> = conference.keys().collect();
    let people: BTreeSet<&String> = world.clients.keys().collect();
    assert_eq!(
        endpoints, people,
        "each participant has an endpoint and there is no other"
    );
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for (nick, endpoint) in conference {
        assert!(
            endpoint.transport.is_some() && endpoint.sources.len() >= 2,
            "{nick} is not heard"
        );
        // What others are told: everything, of simulcast the first layer.
        let count = endpoint
            .sources
            .iter()
            .map(|m| {
                if m.groups.is_empty() {
                    m.sources.len()
                } else {
                    2
                }
            })
            .sum();
        told.insert(nick, count);
    }
    for (nick, client) in world
        .clients
        .iter()
        .filter(|(_, c)| !c.features.contains(&ns::SSRC_REWRITING))
    {
        let expected: usize = told
            .iter()
            .filter(|(other, _)| *other != nick)
            .map(|(_, count)| count)
            .sum();
        assert_eq!(
            client.known.len(),
            expected,
            "{nick} does not know everybody"
        );
    }
}

/// Where there is another bridge, whoever can has a spare session there, and the bridge knows of no others.
fn check_spares(world: &World) {
    let home = home(world);
    let mut spares: BTreeMap<&String, &String> = BTreeMap::new();
    for (name, bridge) in world.bridges.iter().filter(|(name, _)| **name != home) {
        for nick in bridge.conferences.values().flat_map(BTreeMap::keys) {
            assert!(spares.insert(nick, name).is_none(), "{nick} has two");
        }
    }
    for (nick, client) in &world.clients {
        let able = client.features.contains(&ns::SPARES) && world.bridges.len() > 1;
        assert_eq!(client.next.is_some(), able, "{nick}");
        assert_eq!(spares.contains_key(nick), able, "{nick}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn everybody_has_a_session_in_the_end(
        steps in proptest::collection::vec(step(), 1..40),
        standby in any::<bool>(),
    ) {
        let mut world = World::with(|config| config.bridges.standby = standby);
        world.add_bridge("jvb1", 0.0);
        world.request(ROOM);
        for step in &steps {
            apply(&mut world, step);
        }
        heal(&mut world);
        check(&world);
        if standby {
            check_spares(&world);
        }
        // And when all leave, nothing stays.
        for nick in world.clients.keys().cloned().collect::<Vec<_>>() {
            world.leave(&nick);
        }
        prop_assert!(world.bridges.values().all(|bridge| bridge.conferences.is_empty()));
        prop_assert_eq!(world.focus.stats().conferences, 0);
    }
}
