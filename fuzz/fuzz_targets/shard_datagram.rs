//! Datagrams from anybody to a shard with a meeting of two.
//!
//! Each datagram: two bytes of length, one of address and kind, then its bytes. Kinds: as it is; behind a STUN header that
//! names one of the endpoints; behind a DTLS record header; behind an RTP header with a known SSRC.
#![no_main]
#![allow(
    clippy::disallowed_methods,
    reason = "a start for the target's own time"
)]

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use sfu::control::{ControlConfig, Controller};
use sfu::{Certificate, Egress, ShardConfig};
use stanza::Element;
use stanza::colibri2::ConferenceModify;

static CERTIFICATE: LazyLock<Arc<Certificate>> =
    LazyLock::new(|| Arc::new(Certificate::generate(SystemTime::now()).expect("a certificate")));

const CREATE: &str = "<conference-modify xmlns='jitsi:colibri2' meeting-id='m' CREATE><endpoint id='ID' create='true'>\
    <media type='audio'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000'/></media>\
    <media type='video'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='100' name='VP8' clockrate='90000'/></media>\
    <transport ice-controlling='true'><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='peer' pwd='0123456789012345678901'>\
    <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>\
00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00</fingerprint></transport><sctp/></transport>\
    <sources><media-source type='audio' id='ID-a0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='SSRC'/></media-source></sources>\
    <capability name='source-names'/><capability name='ssrc-rewriting'/></endpoint></conference-modify>";

fn create(controller: &mut Controller, now: Instant, id: &str, first: bool, ssrc: u32) -> String {
    let flag = if first { "create='true'" } else { "" };
    let xml = CREATE
        .replace("CREATE", flag)
        .replace("ID", id)
        .replace("SSRC", &ssrc.to_string());
    let element: Element = xml.parse().expect("our own request");
    let request = ConferenceModify::try_from(&element).expect("our own request");
    let modified = controller
        .modify(now, &request, true)
        .result
        .expect("created");
    let transport = modified.endpoints[0]
        .transport
        .clone()
        .expect("a transport");
    transport.ice.and_then(|i| i.ufrag).expect("a ufrag")
}

/// A binding request that names `ufrag`, with `rest` behind the user name as further attributes.
fn stun(ufrag: &str, rest: &[u8]) -> Vec<u8> {
    let name = format!("{ufrag}:peer");
    let padded = name.len().next_multiple_of(4);
    let length = u16::try_from(4 + padded + rest.len()).unwrap_or(u16::MAX);
    let mut out = vec![0, 1];
    out.extend(length.to_be_bytes());
    out.extend([0x21, 0x12, 0xa4, 0x42]);
    out.extend([9; 12]);
    out.extend([0, 6]);
    out.extend(u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
    out.extend(name.as_bytes());
    out.resize(20 + 4 + padded, 0);
    out.extend(rest);
    out
}

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let to: SocketAddr = ([192, 0, 2, 1], 10_000).into();
    let mut shard = ShardConfig::new(CERTIFICATE.clone(), vec![to]);
    shard.store = (64, 128 * 1024);
    let mut controller = Controller::new(ControlConfig::default(), shard, [7; 32]);
    let a = create(&mut controller, now, "aa", true, 1);
    let b = create(&mut controller, now, "bb", false, 2);
    let mut egress = Egress::new(64 * 1024);
    let mut rest = data;
    while let [high, low, kind, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low]) % 1600).min(tail.len());
        let (bytes, after) = tail.split_at(len);
        rest = after;
        let from: SocketAddr = ([198, 51, 100, kind & 3], 4000).into();
        let mut datagram = match kind >> 2 & 7 {
            1 => stun(&a, bytes),
            2 => stun(&b, bytes),
            3 => [
                &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0][..],
                &(len as u16).to_be_bytes(),
                bytes,
            ]
            .concat(),
            4 => [&[0x90, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1][..], bytes].concat(),
            5 => [&[0x81, 206, 0, 2, 0, 0, 0, 1][..], bytes].concat(),
            _ => bytes.to_vec(),
        };
        controller.handle_datagram(now, from, to, &mut datagram);
        now += Duration::from_millis(u64::from(kind >> 5) * 20);
        if controller.poll_timeout().is_some_and(|t| t <= now) {
            controller.handle_timeout(now);
        }
        while controller.poll_output(now).is_some() {}
        while controller.poll_transmit(now, &mut egress) {
            egress.clear();
        }
        egress.clear();
    }
});
