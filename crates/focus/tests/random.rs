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
use stanza::jingle::{Action, BridgeSession};
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
    if index.is_multiple_of(2) {
        FakeClient::new(NAMES[index])
    } else {
        FakeClient::old(NAMES[index])
    }
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
    client.session = None;
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

/// The bridge to which everybody was sent last.
fn home(world: &World) -> String {
    let ufrag = |client: &FakeClient| {
        client.session.as_ref().unwrap().contents[0]
            .transport
            .clone()
            .unwrap()
            .ufrag
            .unwrap()
    };
    let homes: BTreeSet<String> = world
        .clients
        .values()
        .map(|client| {
            BRIDGES
                .iter()
                .find(|name| ufrag(client).starts_with(**name))
                .unwrap()
                .to_string()
        })
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
        .filter(|(_, c)| !c.features.contains(&stanza::ns::SSRC_REWRITING))
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn everybody_has_a_session_in_the_end(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        world.add_bridge("jvb1", 0.0);
        world.request(ROOM);
        for step in &steps {
            apply(&mut world, step);
        }
        heal(&mut world);
        check(&world);
        let home = home(&world);
        // And when all leave, nothing stays.
        for nick in world.clients.keys().cloned().collect::<Vec<_>>() {
            world.leave(&nick);
        }
        prop_assert!(world.bridges[&home].conferences.is_empty());
        prop_assert_eq!(world.focus.stats().conferences, 0);
    }
}
