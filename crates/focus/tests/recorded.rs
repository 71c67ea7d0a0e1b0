//! Offers and allocations against recorded ones of the system whose clients must be served.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use stanza::Element;
use stanza::colibri2::ConferenceModify;
use stanza::jingle::Jingle;
use stanza::media::IceTransport;
use stanza::xml::{Limits, parse};
use support::*;

fn fixture(text: &str) -> Element {
    parse(text.trim_end(), &Limits::SERVICE).unwrap()
}

/// What differs from one session to the next.
fn without_ids(mut jingle: Jingle) -> Jingle {
    jingle.sid = String::new();
    for content in &mut jingle.contents {
        let transport: &mut IceTransport = content.transport.as_mut().unwrap();
        (transport.ufrag, transport.pwd) = (None, None);
        transport
            .candidates
            .iter_mut()
            .for_each(|candidate| candidate.id.clear());
    }
    let bridge_session = jingle.bridge_session.as_mut().unwrap();
    (bridge_session.id, bridge_session.region) = (String::new(), None);
    jingle
}

fn world() -> World {
    let mut world = World::ready(&["jvb1"]);
    world.join(FakeClient::new("2905496c"));
    world.join(FakeClient::new("fa640d1f"));
    world
}

#[test]
fn an_offer_is_the_recorded_one_but_for_ids() {
    let recorded = Jingle::try_from(&fixture(include_str!("fixtures/offer.xml"))).unwrap();
    let ours = world().clients["2905496c"].offers[0].clone();
    assert_eq!(without_ids(ours), without_ids(recorded));
}

#[test]
fn an_allocation_is_the_recorded_one() {
    let recorded =
        ConferenceModify::try_from(&fixture(include_str!("fixtures/allocation.xml"))).unwrap();
    assert_eq!(world().bridges["jvb1"].requests[0], recorded);
}
