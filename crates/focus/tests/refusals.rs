//! Clients whose answer to an offer must be refused: nobody stays without media for ever who could have them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::time::Duration;

use support::*;

const MEETING: &str = "5cc8f3dc-meeting";
const SECOND: Duration = Duration::from_secs(1);

/// A meeting of `aa` and `cc`, and somebody who comes with the numbers that `aa` has.
fn twins(keeps_ssrcs: bool) -> World {
    let mut world = World::ready(&["jvb1"]);
    let aa = FakeClient::new("aa");
    let mut bb = FakeClient::new("bb");
    (bb.ssrc, bb.keeps_ssrcs) = (aa.ssrc, keeps_ssrcs);
    world.join(aa);
    world.join(FakeClient::new("cc"));
    world.join(bb);
    world
}

fn people(world: &World) -> Vec<String> {
    let meeting = &world.bridges["jvb1"].conferences[MEETING];
    meeting.keys().cloned().collect()
}

fn sends(world: &World, nick: &str) -> bool {
    let meeting = &world.bridges["jvb1"].conferences[MEETING];
    meeting
        .get(nick)
        .is_some_and(|endpoint| !endpoint.sources.is_empty())
}

#[test]
fn numbers_that_somebody_has_already_cost_a_second() {
    let mut world = twins(false);
    let first = world.clients["bb"].offers[0].sid.clone();
    let terminations = &world.clients["bb"].terminations;
    assert_eq!(
        *terminations,
        [(first, "general-error".to_owned())],
        "it is told"
    );
    assert_eq!(people(&world), ["aa", "cc"]);
    world.advance(2 * SECOND);
    assert_eq!(world.clients["bb"].offers.len(), 2);
    assert!(world.clients["bb"].session.is_some() && sends(&world, "bb"));
    assert_eq!(world.focus.stats().sessions, 3);
    for nick in ["aa", "cc"] {
        assert_eq!(world.clients[nick].offers.len(), 1, "nobody else notices");
    }
}

#[test]
fn who_insists_on_the_numbers_of_another_is_asked_ever_more_seldom() {
    let mut world = twins(true);
    world.advance(100 * SECOND);
    // After 1, 3, 7, 15, 31, 63 and 95 seconds.
    assert_eq!(world.clients["bb"].offers.len(), 8);
    assert_eq!(people(&world), ["aa", "cc"]);
    world.advance(3600 * SECOND);
    let offers = world.clients["bb"].offers.len();
    assert!((100..130).contains(&offers), "{offers}");
    // It was the same person, say, whose former connection was not known to be dead.
    world.leave("aa");
    assert!(world.clients["bb"].session.is_some() && sends(&world, "bb"));
    assert_eq!(people(&world), ["bb", "cc"]);
}

#[test]
fn an_answer_that_nobody_could_accept_ends_the_session_of_that_client_only() {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("aa"));
    let mut bad = FakeClient::new("bb");
    bad.accepts = false;
    world.join(bad);
    for offers in [1, 2, 3] {
        assert_eq!(world.clients["bb"].offers.len(), offers);
        let mut accept = world.clients.get_mut("bb").unwrap().accept();
        let content = accept.contents[0].description.as_mut().unwrap();
        content.sources[0].name = Some("aa-a7".into());
        assert_eq!(condition(&world.ask("bb", &accept)), "bad-request");
        assert_eq!(people(&world), ["aa"]);
        assert_eq!(condition(&world.ask("bb", &accept)), "item-not-found");
        world.advance(2 * SECOND);
    }
    world.advance(600 * SECOND);
    assert_eq!(world.clients["bb"].offers.len(), 3, "it is at fault itself");
    assert!(world.clients["aa"].session.is_some());
}
