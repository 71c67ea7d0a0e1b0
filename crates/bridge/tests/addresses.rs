//! A machine that gets and loses addresses while its bridge runs, in a network namespace of its own. The tests run
//! themselves again in one; where that is not allowed they say so and do nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it fails"
)]

mod common;

use std::process::Command;
use std::time::Duration;

use bridge::{Mapping, OwnAddresses, StunServer};
use common::client::{Client, Ssrcs, run};
use common::{create, start, transport};

/// Set for a test that runs in its namespace.
const INSIDE: &str = "PONTOON_TEST_IN_NAMESPACE";

/// Whether a test may go on: it runs in a namespace of its own. Otherwise it was run in one, if that is allowed.
fn in_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = |arguments: &[&str]| {
        Command::new("unshare")
            .arg("--net")
            .args(arguments)
            .env(INSIDE, "")
            .status()
    };
    if !unshare(&["ip", "link", "set", "lo", "up"]).is_ok_and(|status| status.success()) {
        eprintln!("skipped: no rights to make a network namespace, or no `unshare` and `ip`");
        return false;
    }
    let own = std::env::current_exe().unwrap();
    let arguments = [own.to_str().unwrap(), "--exact", test, "--nocapture"];
    assert!(unshare(&arguments).unwrap().success());
    false
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

/// An interface with one address.
fn interface(address: &str) {
    ip("link set lo up");
    ip("link add d0 type veth peer name d1");
    ip("link set d0 up");
    ip("link set d1 up");
    ip(&format!("addr add {address}/24 dev d0"));
}

fn listen(config: &mut bridge::BridgeConfig) {
    config.listen = vec!["0.0.0.0:0".parse().unwrap()];
}

#[tokio::test]
async fn new_meetings_are_offered_what_is_there() {
    if !in_namespace("new_meetings_are_offered_what_is_there") {
        return;
    }
    interface("192.0.2.5");
    let (_bridge, mut meet, _) = start(listen).await;
    let mut offered = async |n: u32| {
        let meeting = format!("5cc8f3dc-9e19-4a26-a0e4-{n:012}");
        let answer = meet.ask(&create(&meeting, "aaaa1111", true)).await;
        let candidates = transport(&answer).candidates;
        candidates.into_iter().map(|c| c.ip).collect::<Vec<_>>()
    };
    assert_eq!(offered(0).await, ["192.0.2.5"]);
    ip("addr del 192.0.2.5/24 dev d0");
    ip("addr add 192.0.2.8/24 dev d0");
    for n in 1..300 {
        if offered(n).await == ["192.0.2.8"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the new address is not offered");
}

#[tokio::test]
async fn an_advertised_address_that_came_later_is_used() {
    if !in_namespace("an_advertised_address_that_came_later_is_used") {
        return;
    }
    interface("192.0.2.5");
    // As behind an address translation: nothing else comes through.
    let filter = "add table ip n; add chain ip n in { type filter hook input priority 0; }; \
                  add rule ip n in ip saddr 192.0.2.5 drop";
    if !Command::new("nft")
        .arg(filter)
        .status()
        .is_ok_and(|s| s.success())
    {
        eprintln!("skipped: no `nft` to filter with");
        return;
    }
    let (_bridge, mut meet, _) = start(|config| {
        listen(config);
        config.mappings = vec![Mapping {
            public: "192.0.2.7:0".parse().unwrap(),
            local: None,
        }];
    })
    .await;
    ip("addr add 192.0.2.7/24 dev d0");
    let meeting = "5cc8f3dc-9e19-4a26-a0e4-1404e987b296";
    let answer = meet.ask(&create(meeting, "aaaa1111", true)).await;
    let mut offer = transport(&answer);
    offer.candidates.retain(|c| c.ip == "192.0.2.7");
    assert_eq!(offer.candidates.len(), 1);
    let ssrcs = Ssrcs {
        audio: 1,
        video: 2,
        rtx: 3,
    };
    let mut client = Client::new(&offer, ssrcs).await;
    meet.ask(&client.update(meeting, "aaaa1111")).await;
    let mut clients = [client];
    run(
        &mut clients,
        "connected by the later address",
        |_| {},
        |c| c[0].connected && c[0].channel_open,
    )
    .await;
}

/// A STUN server that sees everybody at this address.
fn stun_server(sees: [u8; 4]) -> StunServer {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut request = [0; 100];
        while let Ok((_, from)) = socket.recv_from(&mut request) {
            let mut answer = vec![1, 1, 0, 12];
            answer.extend(&request[4..20]);
            answer.extend([0, 0x20, 0, 8, 0, 1, 0xa1, 0x47]);
            answer.extend(
                sees.iter()
                    .zip([0x21, 0x12, 0xa4, 0x42])
                    .map(|(a, b)| a ^ b),
            );
            socket.send_to(&answer, from).unwrap();
        }
    });
    StunServer {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

fn behind_a_translator(config: &mut bridge::BridgeConfig, server: StunServer) {
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.own_addresses = OwnAddresses::Only(Vec::new());
    config.stun = vec![server];
}

#[tokio::test]
async fn what_a_stun_server_sees_is_offered() {
    let server = stun_server([203, 0, 113, 9]);
    let (bridge, mut meet, _) = start(|config| behind_a_translator(config, server)).await;
    let meeting = "5cc8f3dc-9e19-4a26-a0e4-1404e987b297";
    let answer = meet.ask(&create(meeting, "aaaa1111", true)).await;
    let candidates = transport(&answer).candidates;
    let told: Vec<_> = candidates
        .iter()
        .map(|c| (c.ip.as_str(), c.kind.as_str()))
        .collect();
    assert_eq!(told, [("203.0.113.9", "srflx")]);
    // The port is that of the machine, to which the translator leads.
    let reached = std::net::SocketAddr::from(([203, 0, 113, 9], candidates[0].port));
    assert!(bridge.is_reached_at()(reached));
    assert_eq!(bridge.media_addresses(), [reached]);
}

#[tokio::test]
async fn a_bridge_with_nothing_to_tell_says_whose_answer_is_missing() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = StunServer {
        host: "127.0.0.1".to_owned(),
        port: closed.local_addr().unwrap().port(),
    };
    drop(closed);
    let mut config = bridge::BridgeConfig::new("b", telemetry::Metrics::new());
    behind_a_translator(&mut config, server);
    let error = bridge::Bridge::start(config).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("no STUN server"), "{error}");
}
