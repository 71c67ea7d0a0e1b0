//! The bridge channel over WebSocket.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it fails"
)]

mod common;

use common::{create, start, transport};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The HTTP status with which an upgrade is refused.
async fn refused(url: &str) -> u16 {
    match connect_async(url).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

/// The next message of a class.
async fn next(socket: &mut Socket, class: &str) -> String {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) if text.contains(class) => return text.to_string(),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

async fn close_frame(socket: &mut Socket) -> CloseFrame {
    loop {
        if let Message::Close(frame) = socket.next().await.unwrap().unwrap() {
            return frame.unwrap();
        }
    }
}

#[tokio::test]
async fn clients_talk_over_web_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let base = format!("ws://{address}/colibri-ws/b1");
    let (bridge, mut meet, _) = start(|c| c.web_socket_bases = vec![base]).await;
    let router = bridge.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut urls = Vec::new();
    for (id, first) in [("aaaa1111", true), ("bbbb2222", false)] {
        let answer = meet.ask(&create("m", id, first)).await;
        urls.push(transport(&answer).web_sockets[0].clone());
    }
    let (mut a, _) = connect_async(&urls[0]).await.unwrap();
    let (mut b, _) = connect_async(&urls[1]).await.unwrap();
    for socket in [&mut a, &mut b] {
        assert_eq!(next(socket, "").await, r#"{"colibriClass":"ServerHello"}"#);
    }
    let message = r#"{"colibriClass":"EndpointMessage","to":"bbbb2222","msgPayload":{"n":1}}"#;
    a.send(Message::text(message)).await.unwrap();
    assert_eq!(
        next(&mut b, "EndpointMessage").await,
        r#"{"colibriClass":"EndpointMessage","from":"aaaa1111","to":"bbbb2222","msgPayload":{"n":1}}"#
    );

    // Messages much larger than the buffers arrive whole, with small ones around them, in order.
    let long = "x".repeat(100 * 1024);
    let texts = ["first", long.as_str(), "last"];
    for text in texts {
        let message = format!(
            r#"{{"colibriClass":"EndpointMessage","to":"bbbb2222","msgPayload":"{text}"}}"#
        );
        a.feed(Message::text(message)).await.unwrap();
    }
    a.flush().await.unwrap();
    for text in texts {
        let arrived = next(&mut b, "EndpointMessage").await;
        assert!(
            arrived.ends_with(&format!(r#""msgPayload":"{text}"}}"#)),
            "{}",
            arrived.len()
        );
    }

    // Whatever is wrong with the URL, the answer says no more than needed.
    let (path, _) = urls[0].split_once('?').unwrap();
    assert_eq!(refused(&format!("{path}?pwd=wrong")).await, 403);
    assert_eq!(refused(path).await, 403);
    assert_eq!(refused(&format!("{}&x=1", urls[0])).await, 403);
    assert_eq!(refused(&urls[0].replace("aaaa1111", "cccc3333")).await, 403);
    assert_eq!(refused(&urls[0].replace("/b1/", "/b2/")).await, 404);

    // A second socket of an endpoint replaces the first.
    let (mut again, _) = connect_async(&urls[0]).await.unwrap();
    next(&mut again, "ServerHello").await;
    let closed = close_frame(&mut a).await;
    assert_eq!(
        (u16::from(closed.code), closed.reason.as_str()),
        (1000, "replaced")
    );

    meet.ask("<conference-modify xmlns='jitsi:colibri2' meeting-id='m' expire='true'/>")
        .await;
    let closed = close_frame(&mut b).await;
    assert_eq!(u16::from(closed.code), 1001);
}
