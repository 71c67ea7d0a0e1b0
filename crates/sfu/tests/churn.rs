//! People come and go for a while: the bridge keeps nothing of those who left.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and begins at an arbitrary time"
)]

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sfu::control::{ControlConfig, Controller};
use sfu::{Certificate, ConferenceId, Egress, ShardConfig};
use stanza::Element;
use stanza::colibri2::{ConferenceModified, ConferenceModify};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes allocated now.
fn live() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

const NS: &str = "xmlns='jitsi:colibri2' meeting-id='m1'";

struct Bridge {
    controller: Controller,
    now: Instant,
    egress: Egress,
}

impl Bridge {
    fn new() -> Self {
        let now = Instant::now();
        let certificate = Arc::new(Certificate::generate(SystemTime::now()).unwrap());
        let shard = ShardConfig::new(certificate, vec!["192.0.2.1:10000".parse().unwrap()]);
        let config = ControlConfig {
            web_socket_bases: vec!["wss://meet.test/colibri-ws/b1".to_owned()],
            ..ControlConfig::default()
        };
        Self {
            controller: Controller::new(config, shard, [7; 32]),
            now,
            egress: Egress::new(64 * 1024),
        }
    }

    fn ask(&mut self, inside: &str, flags: &str) -> ConferenceModified {
        let xml = format!("<conference-modify {NS} {flags}>{inside}</conference-modify>");
        let element: Element = xml.parse().unwrap();
        let request = ConferenceModify::try_from(&element).unwrap();
        self.controller
            .modify(self.now, &request, true)
            .result
            .unwrap()
    }

    /// Somebody who sends sound and pictures and whose channel is a WebSocket.
    fn join(&mut self, number: usize, flags: &str) {
        let ssrc = 1_000 + 10 * number;
        let id = format!("p{number}");
        let created = self.ask(
            &format!(
                "<endpoint id='{id}' create='true' stats-id='S'>\
                 <media type='audio'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000' channels='2'/></media>\
                 <media type='video'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='100' name='VP8' clockrate='90000'/></media>\
                 <transport ice-controlling='true'><sctp/></transport>\
                 <sources>\
                 <media-source type='audio' id='{id}-a0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='{ssrc}' name='{id}-a0'/></media-source>\
                 <media-source type='video' id='{id}-v0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='{}' name='{id}-v0'/></media-source>\
                 </sources>\
                 <capability name='source-names'/><capability name='ssrc-rewriting'/></endpoint>",
                ssrc + 1
            ),
            flags,
        );
        let ice = created.endpoints[0]
            .transport
            .as_ref()
            .unwrap()
            .ice
            .as_ref();
        let (path, password) = ice.unwrap().web_sockets[0].split_once("?pwd=").unwrap();
        let parts: Vec<&str> = path.rsplit('/').collect();
        let conference = ConferenceId(u64::from_str_radix(parts[1], 16).unwrap());
        let socket = self
            .controller
            .open_web_socket(self.now, conference, &id, password);
        let wish = r#"{"colibriClass":"ReceiverVideoConstraints","lastN":5,"defaultConstraints":{"maxHeight":720}}"#;
        self.controller
            .web_socket_text(self.now, socket.unwrap(), wish);
    }

    fn leave(&mut self, number: usize) {
        self.ask(&format!("<endpoint id='p{number}' expire='true'/>"), "");
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while self.controller.poll_transmit(self.now, &mut self.egress) {
                self.egress.clear();
            }
            self.egress.clear();
            while self.controller.poll_output(self.now).is_some() {}
            let Some(at) = self.controller.poll_timeout().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.controller.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// 100 joins and leaves a second, ten people at a time.
    fn churn(&mut self, first: usize, people: usize) {
        for number in first..first + people + 10 {
            if number < first + people {
                self.join(number, "");
            }
            if number >= first + 10 {
                self.leave(number - 10);
            }
            self.pass(Duration::from_millis(10));
        }
        self.pass(Duration::from_secs(5));
    }
}

#[test]
fn those_who_left_take_no_memory() {
    let mut bridge = Bridge::new();
    for number in 0..10 {
        let flags = if number == 0 {
            "create='true' name='r@c.test'"
        } else {
            ""
        };
        bridge.join(number, flags);
    }
    // Tables have the size that such a crowd takes.
    bridge.churn(1_000, 100);
    let before = live();
    bridge.churn(10_000, 1_000);
    let after = live();
    assert!(
        after <= before + before / 100,
        "{before} bytes before 1,000 joins and leaves, {after} after"
    );
}
