//! Strangers get no more than their share of a node, seen from real sockets.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use common::{Browser, DOMAIN, TestNode, must};
use link::LinkEvent;
use stanza::{element, iq, ns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tower::ServiceExt;

/// Opens a WebSocket from another loopback address, and says nothing on it.
async fn silent(node: &TestNode, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("socket");
    socket
        .bind(format!("{from}:0").parse().expect("address"))
        .expect("bound");
    let mut stream = must(socket.connect(node.http)).await.expect("connected");
    let request = "GET /xmpp-websocket?room=standup HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: xmpp\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    must(stream.write_all(request.as_bytes()))
        .await
        .expect("sent");
    let mut head = [0; 12];
    must(stream.read_exact(&mut head)).await.expect("answer");
    assert_eq!(&head, b"HTTP/1.1 101");
    stream
}

#[tokio::test]
async fn idle_connections_of_one_address_lock_nobody_out() {
    let node = TestNode::start().await;
    let mut crowd = Vec::new();
    for _ in 0..1_100 {
        crowd.push(silent(&node, "127.0.0.9").await);
    }
    // The rest of what was there first is cut off.
    let mut rest = Vec::new();
    must(crowd[0].read_to_end(&mut rest)).await.expect("ended");
    // Others come in, from other addresses and from the same, and stay.
    let mut guests = Vec::new();
    for _ in 0..3 {
        let mut guest = Browser::connect(&node).await;
        assert!(guest.ping().await.is_empty());
        guests.push(guest);
    }
    for guest in &mut guests {
        assert!(guest.ping().await.is_empty());
    }
    // Services have a door of their own.
    let (_sender, mut events) = link::spawn(node.link("jvb1", node.pinned()));
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
}

#[tokio::test]
async fn silent_services_lock_no_bridge_out() {
    let node = TestNode::start().await;
    let mut crowd = Vec::new();
    for _ in 0..150 {
        crowd.push(
            must(TcpStream::connect(node.xmpp))
                .await
                .expect("connected"),
        );
    }
    let (_sender, mut events) = link::spawn(node.link("jvb1", node.pinned()));
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
    let mut browser = Browser::connect(&node).await;
    assert!(browser.ping().await.is_empty());
}

/// A status for each of `count` requests that come at once from `from`.
async fn ask(node: &TestNode, from: &str, count: usize, body: &str) -> Vec<StatusCode> {
    let address: SocketAddr = format!("{from}:1").parse().expect("address");
    let asked = (0..count).map(|_| {
        let mut request = Request::post("/conference-request/v1")
            .body(Body::from(body.to_owned()))
            .expect("request");
        request.extensions_mut().insert(ConnectInfo(address));
        let answered = node.node.router().oneshot(request);
        async move { must(answered).await.expect("infallible").status() }
    });
    futures_util::future::join_all(asked).await
}

#[tokio::test]
async fn a_flood_of_conference_requests_over_http_is_refused_and_others_are_answered() {
    let node = TestNode::start().await;
    let mut browser = Browser::connect(&node).await;
    browser
        .join(&format!("first@conference.{DOMAIN}"), "a")
        .await;
    let room = |name: &str| format!(r#"{{"room":"{name}@conference.{DOMAIN}"}}"#);
    let padded = format!(
        r#"{{"room":"flood@conference.{DOMAIN}"{}}}"#,
        " ".repeat(60_000)
    );
    let (second, third) = (room("second"), room("third"));
    let (flood, other) = tokio::join!(
        ask(&node, "192.0.2.1", 200, &padded),
        ask(&node, "192.0.2.2", 5, &second),
    );
    assert_eq!(other, [StatusCode::OK; 5]);
    assert!(flood.contains(&StatusCode::TOO_MANY_REQUESTS), "{flood:?}");
    assert!(flood.contains(&StatusCode::OK), "{flood:?}");
    // When those are done, the address may ask again.
    assert_eq!(ask(&node, "192.0.2.1", 1, &third).await, [StatusCode::OK]);
}

#[tokio::test]
async fn a_burst_within_the_permitted_rate_leaves_the_focus_where_it_is() {
    let node = TestNode::start().await;
    let mut watcher = Browser::connect(&node).await;
    let room = format!("standup@conference.{DOMAIN}");
    watcher.join(&room, "watcher").await;
    let burst = |n: usize| {
        let node = &node;
        async move {
            let mut browser = Browser::connect(node).await;
            for m in 0..400 {
                let ping = element("ping", ns::PING).done();
                let focus = format!("focus.{DOMAIN}");
                browser
                    .send(&iq::get(&focus, &format!("{n}-{m}"), ping))
                    .await;
            }
            for _ in 0..400 {
                browser.stanza_where(|s| s.name() == "iq").await;
            }
        }
    };
    futures_util::future::join_all((0..8).map(burst)).await;
    let before = watcher.ping().await;
    assert!(
        before.iter().all(|s| s.attr("type") != Some("unavailable")),
        "the focus is still in the room"
    );
    watcher
        .join(&format!("next@conference.{DOMAIN}"), "watcher")
        .await;
}
