//! Bridge-channel messages: what is read is written and read alike; then to a shard with two clients on WebSockets.
#![no_main]
#![allow(
    clippy::disallowed_methods,
    reason = "a start for the target's own time"
)]

use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime};

use channel::{BridgeMessage, ClientMessage, RelayMessage};
use libfuzzer_sys::fuzz_target;
use sfu::control::{ControlConfig, Controller, Output, WebSocketId};
use sfu::{Certificate, ConferenceId, ShardConfig};
use stanza::colibri2::{ConferenceModify, Endpoint, Media, Transport};
use stanza::media::{MediaType, PayloadType};

static CERTIFICATE: LazyLock<Arc<Certificate>> =
    LazyLock::new(|| Arc::new(Certificate::generate(SystemTime::now()).expect("a certificate")));

fn endpoint(
    controller: &mut Controller,
    now: Instant,
    id: &str,
    first: bool,
) -> Option<WebSocketId> {
    let vp8 = PayloadType {
        id: 100,
        name: "VP8".into(),
        clockrate: 90_000,
        channels: 0,
        parameters: Vec::new(),
        rtcp_fb: Vec::new(),
    };
    let media = Media {
        media: MediaType::Video,
        payload_types: vec![vp8],
        hdr_exts: Vec::new(),
        extmap_allow_mixed: false,
    };
    let request = ConferenceModify {
        meeting_id: "m".into(),
        create: first,
        endpoints: vec![Endpoint {
            create: true,
            capabilities: vec!["source-names".into(), "ssrc-rewriting".into()],
            transport: Some(Transport::default()),
            media: vec![media],
            ..Endpoint::bare(id)
        }],
        ..ConferenceModify::default()
    };
    let modified = controller.modify(now, &request, true).result.ok()?;
    let url = modified
        .endpoints
        .first()?
        .transport
        .as_ref()?
        .ice
        .as_ref()?
        .web_sockets
        .first()?
        .clone();
    let (path, password) = url.split_once("?pwd=")?;
    let conference = path.rsplit('/').nth(1)?;
    let conference = ConferenceId(u64::from_str_radix(conference, 16).ok()?);
    controller
        .open_web_socket(now, conference, id, password)
        .ok()
}

fn written_is_read(text: &str) {
    if let Ok(message) = ClientMessage::parse(text, "e")
        && !matches!(message, ClientMessage::Unknown(_))
    {
        let again = ClientMessage::parse(&message.to_json(), "e").expect("our own message");
        assert_eq!(again.to_json(), message.to_json());
    }
    if let Ok(message) = BridgeMessage::parse(text)
        && !matches!(message, BridgeMessage::Unknown(_))
    {
        let again = BridgeMessage::parse(&message.to_json()).expect("our own message");
        assert_eq!(again.to_json(), message.to_json());
    }
    if let Ok(message) = RelayMessage::parse(text)
        && !matches!(message, RelayMessage::Unknown(_))
    {
        let again = RelayMessage::parse(&message.to_json()).expect("our own message");
        assert_eq!(again.to_json(), message.to_json());
    }
}

fuzz_target!(|data: &[u8]| {
    let now = Instant::now();
    let mut shard = ShardConfig::new(CERTIFICATE.clone(), vec![([192, 0, 2, 1], 10_000).into()]);
    shard.store = (64, 128 * 1024);
    let config = ControlConfig {
        web_socket_bases: vec!["ws://h/colibri-ws/s".into()],
        ..ControlConfig::default()
    };
    let mut controller = Controller::new(config, shard, [7; 32]);
    let a = endpoint(&mut controller, now, "a", true).expect("a socket");
    endpoint(&mut controller, now, "b", false).expect("a socket");
    for part in data.split(|b| *b == 0) {
        let Ok(text) = std::str::from_utf8(part) else {
            continue;
        };
        written_is_read(text);
        controller.web_socket_text(now, a, text);
        while let Some(output) = controller.poll_output(now) {
            if let Output::WebSocketText { text, .. } = output {
                let message = BridgeMessage::parse(&text).expect("what clients get is ours");
                assert!(!matches!(message, BridgeMessage::Unknown(_)));
            }
        }
    }
});
