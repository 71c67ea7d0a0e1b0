//! A relay as a bridge with real sockets has it: a port of its own where it is asked for, answered at, and closed again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, and waits in real time"
)]

mod common;

use std::net::{SocketAddr, UdpSocket};

use common::{create, start};
use stanza::Element;
use stanza::colibri2::ConferenceModified;
use stanza::media::IceTransport;

fn relay(id: &str, flags: &str, transport: &str) -> String {
    format!(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='m'><relay id='{id}' {flags}>{transport}</relay></conference-modify>"
    )
}

fn ice(answer: &Element) -> IceTransport {
    let modified = ConferenceModified::try_from(answer.children().next().unwrap()).unwrap();
    let transport = modified.relays[0].transport.clone();
    transport.unwrap().ice.unwrap()
}

fn addresses(ice: &IceTransport) -> Vec<SocketAddr> {
    let candidates = ice.candidates.iter();
    candidates
        .map(|c| SocketAddr::new(c.ip.parse().unwrap(), c.port))
        .collect()
}

#[tokio::test]
async fn each_relay_that_is_to_have_a_port_of_its_own_has_one_until_it_goes() {
    let (bridge, mut meet, _) = start(|config| config.shards = 2).await;
    meet.ask(&create("m", "a", true)).await;
    let shared = bridge.media_addresses()[0];
    let own = "<transport use-unique-port='true' ice-controlling='true'><sctp role='client'/></transport>";
    let mut ports = Vec::new();
    for id in ["b2", "b3"] {
        let answer = meet.ask(&relay(id, "create='true' mesh-id='0'", own)).await;
        let at = addresses(&ice(&answer));
        assert_eq!(at.len(), 1);
        assert_eq!(at[0].ip(), shared.ip());
        ports.push(at[0]);
    }
    let other = "<transport><sctp role='server'/></transport>";
    let answer = meet
        .ask(&relay("b4", "create='true' mesh-id='0'", other))
        .await;
    assert_eq!(addresses(&ice(&answer)), [shared]);
    assert!(ports[0] != ports[1] && ports.iter().all(|p| p.port() != shared.port()));
    // Nobody else can have the port while the relay is there.
    assert!(UdpSocket::bind(ports[0]).is_err());
    meet.ask(&relay("b2", "expire='true'", "")).await;
    // What the bridge has answered it has done by its next round.
    meet.ask(&relay("b4", "expire='true'", "")).await;
    let freed = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        UdpSocket::bind(ports[0]).is_ok()
    });
    assert!(freed, "the port is free again");
    assert!(UdpSocket::bind(ports[1]).is_err(), "the other one is not");
}

#[tokio::test]
async fn two_bridges_connect_and_speak_over_their_relay() {
    let (one, mut first, _) = start(|_| {}).await;
    let (two, mut second, _) = start(|_| {}).await;
    first.ask(&create("m", "a", true)).await;
    second.ask(&create("m", "b", true)).await;
    let elder = "<transport use-unique-port='true' ice-controlling='true'><sctp role='client'/></transport>";
    let newer = "<transport ice-controlling='false'><sctp role='server'/></transport>";
    let flags = "create='true' mesh-id='0'";
    let at_first = ice(&first.ask(&relay("b2", flags, elder)).await);
    let at_second = ice(&second.ask(&relay("b1", flags, newer)).await);
    let told = |ice: &IceTransport, setup: &str| {
        let text = String::from(&Element::from(ice));
        let text = text.replace("actpass", setup);
        format!("<transport>{text}</transport>")
    };
    first
        .ask(&relay("b2", "", &told(&at_second, "active")))
        .await;
    second
        .ask(&relay("b1", "", &told(&at_first, "passive")))
        .await;
    let up = |bridge: &bridge::Bridge| {
        let page = bridge.metrics_page();
        let mut lines = page.lines().filter(|l| !l.starts_with('#'));
        let line = lines.find(|l| l.contains("ice_succeeded"));
        line.is_some_and(|l| l.ends_with(" 1"))
    };
    // ICE and DTLS of both ends are up.
    let both = async {
        while !(up(&one) && up(&two)) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let connected = tokio::time::timeout(std::time::Duration::from_secs(20), both).await;
    assert!(connected.is_ok(), "{}", one.metrics_page());
}
