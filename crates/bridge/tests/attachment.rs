//! A bridge in the brewery: presence, requests, drain, shutdown.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it fails"
)]

mod common;

use common::{BREWERY, FOCUS, Meet, attach, start};
use stanza::Element;
use stanza::colibri2::{ErrorAnswer, Reason};
use stanza::jitsi::bridge_stats::{BridgeStats, stat};

/// The statistics of the next presence for which `wanted` holds.
async fn presence(meet: &mut Meet, wanted: impl Fn(&BridgeStats) -> bool) -> Element {
    loop {
        let stanza = meet.next_stanza().await;
        if BridgeStats::of_presence(&stanza).is_some_and(|s| wanted(&s)) {
            return stanza;
        }
    }
}

#[tokio::test]
async fn the_first_presence_has_all_a_focus_reads() {
    let (bridge, _meet, join) = start(|c| c.region = Some("region1".into())).await;
    assert!(join.has_child("x", "http://jabber.org/protocol/muc"));
    let stats = BridgeStats::of_presence(&join).unwrap();
    for (name, value) in [
        (stat::DRAIN, false),
        (stat::GRACEFUL_SHUTDOWN, false),
        (stat::SHUTTING_DOWN, false),
        (stat::HEALTHY, true),
    ] {
        assert_eq!(stats.flag(name), Some(value), "{name}");
    }
    assert!(stats.number(stat::STRESS_LEVEL).is_some());
    assert!(stats.number(stat::AVERAGE_PARTICIPANT_STRESS).is_some());
    assert!(stats.get(stat::VERSION).is_some_and(|v| !v.is_empty()));
    assert_eq!(stats.get(stat::REGION), Some("region1"));
    // What other bridges call it: the focus may spread a meeting over it and others.
    assert!(stats.get(stat::RELAY_ID).is_some_and(|id| !id.is_empty()));
    assert_eq!(bridge.load(), (0, 0));
}

#[tokio::test]
async fn requests_of_occupants_are_answered_others_refused() {
    let (_bridge, mut meet, _) = start(|_| {}).await;
    let health = "<healthcheck xmlns='http://jitsi.org/protocol/healthcheck'/>";
    let answer = meet.ask(health).await;
    assert_eq!(
        (answer.attr("type"), answer.children().count()),
        (Some("result"), 0)
    );
    let stranger = meet.ask_as("mallory@meet.test/x", health).await;
    assert_eq!(
        ErrorAnswer::of_iq(&stranger).unwrap().condition,
        "forbidden"
    );
    let near = meet.ask_as(&format!("x{BREWERY}/focus"), health).await;
    assert_eq!(ErrorAnswer::of_iq(&near).unwrap().condition, "forbidden");

    let version = meet.ask("<query xmlns='jabber:iq:version'/>").await;
    let query = version.get_child("query", "jabber:iq:version").unwrap();
    assert!(query.get_child("name", "jabber:iq:version").is_some());
    let disco = meet
        .ask("<query xmlns='http://jabber.org/protocol/disco#info'/>")
        .await;
    let features: Vec<_> = disco
        .get_child("query", "http://jabber.org/protocol/disco#info")
        .unwrap()
        .children()
        .filter_map(|c| c.attr("var"))
        .collect();
    assert!(
        features.contains(&"http://jitsi.org/protocol/healthcheck"),
        "{features:?}"
    );
    let shutdown = meet
        .ask("<force-shutdown xmlns='http://jitsi.org/protocol/colibri'/>")
        .await;
    assert_eq!(
        ErrorAnswer::of_iq(&shutdown).unwrap().condition,
        "service-unavailable"
    );
}

#[tokio::test]
async fn colibri_errors_carry_the_marker() {
    let (_bridge, mut meet, _) = start(|_| {}).await;
    let answer = meet
        .ask("<conference-modify xmlns='jitsi:colibri2' meeting-id='nobody'/>")
        .await;
    let error = ErrorAnswer::of_iq(&answer).unwrap();
    assert_eq!(
        (error.condition.as_str(), error.reason),
        ("item-not-found", Some(Reason::ConferenceNotFound))
    );
    let answer = meet
        .ask("<conference-modify xmlns='jitsi:colibri2'/>")
        .await;
    assert_eq!(
        ErrorAnswer::of_iq(&answer).unwrap().condition,
        "bad-request"
    );
}

#[tokio::test]
async fn a_deployment_may_have_names_of_its_own() {
    let (_bridge, meet, join) = attach(|config| {
        let node = &mut config.nodes[0];
        node.domain = "elsewhere.test".to_owned();
        node.service_domain = Some("auth.meet.test".to_owned());
        node.brewery = Some("pool@internal-muc.meet.test".to_owned());
    })
    .await;
    assert!(meet.jid().starts_with("jvb@auth.meet.test/"));
    assert_eq!(join.attr("to"), Some("pool@internal-muc.meet.test/b1"));
}

#[tokio::test]
async fn drain_is_published_at_once() {
    let (bridge, mut meet, _) = start(|_| {}).await;
    bridge.set_drain(true);
    let update = presence(&mut meet, |s| s.flag(stat::DRAIN) == Some(true)).await;
    assert!(!update.has_child("x", "http://jabber.org/protocol/muc"));
    bridge.set_drain(false);
    presence(&mut meet, |s| s.flag(stat::DRAIN) == Some(false)).await;
}

#[tokio::test]
async fn a_bridge_put_out_of_the_brewery_comes_back() {
    let (_bridge, mut meet, _) = start(|_| {}).await;
    let to = meet.jid();
    meet.send(&format!(
        "<presence xmlns='jabber:client' type='unavailable' from='{BREWERY}/b1' to='{to}'/>"
    ))
    .await;
    let again = presence(&mut meet, |_| true).await;
    assert!(again.has_child("x", "http://jabber.org/protocol/muc"));
    // Somebody else's leaving is none of its business.
    meet.send(&format!(
        "<presence xmlns='jabber:client' type='unavailable' from='{FOCUS}' to='{to}'/>"
    ))
    .await;
}

#[tokio::test]
async fn shutdown_is_announced_before_the_bridge_leaves() {
    let (bridge, mut meet, _) = start(|_| {}).await;
    let stopping = tokio::spawn(bridge.shutdown());
    let mut announced = false;
    let mut left = false;
    while let Some(stanza) = meet.try_next().await {
        if let Some(stats) = BridgeStats::of_presence(&stanza) {
            announced |= stats.flag(stat::SHUTTING_DOWN) == Some(true);
        } else if stanza.attr("type") == Some("unavailable") {
            left = true;
        }
    }
    assert!(left);
    assert!(announced);
    stopping.await.unwrap();
}
