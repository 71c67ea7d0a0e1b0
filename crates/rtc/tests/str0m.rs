//! Against an independent stack: str0m as the browser, on a lossy network in virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rtc::{
    Candidate, Certificate, Event, Fingerprint, PacketKind, RemoteParameters, Setup, Transport,
    TransportConfig, demux,
};
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::DtlsVersion;
use str0m::media::MediaKind;
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite, Ssrc};
use str0m::{Candidate as StrCandidate, Event as StrEvent, IceCreds, Input, Output, Rtc};

const LABEL: &str = "JVB data channel";
const PROTOCOL: &str = "http://jitsi.org/protocols/colibri";
const AUDIO: u32 = 1111;
const FORWARDED: u32 = 2222;

fn bridge_addr() -> SocketAddr {
    ([10, 0, 0, 1], 10_000).into()
}

fn browser_addr() -> SocketAddr {
    ([10, 0, 0, 2], 5000).into()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Bridge,
    Browser,
}

struct World {
    now: Instant,
    start: Instant,
    bridge: Transport,
    browser: Rtc,
    browser_timeout: Instant,
    channel: ChannelId,
    wire: BTreeMap<(Instant, u64), (To, Vec<u8>)>,
    order: u64,
    rng: ChaCha8Rng,
    loss: u32,
    bridge_events: Vec<Event>,
    browser_events: Vec<StrEvent>,
    /// Plaintext RTP that the bridge received.
    received: Vec<Vec<u8>>,
}

impl World {
    #[allow(
        clippy::disallowed_methods,
        reason = "an arbitrary moment to count from"
    )]
    fn new(seed: u64, loss: u32, version: DtlsVersion, browser_active: bool) -> Self {
        let now = Instant::now();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let certificate =
            Certificate::generate(UNIX_EPOCH + Duration::from_secs(1_800_000_000)).unwrap();
        let mut config = TransportConfig::new(
            vec![Candidate::host(bridge_addr(), 65_535)],
            Arc::new(certificate),
        );
        config.sctp = true;
        let mut bridge = Transport::new(now, config, &mut rng);
        let mut browser = Rtc::builder()
            .set_rtp_mode(true)
            .set_dtls_version(version)
            .build(now);
        let channel = negotiate(now, &mut bridge, &mut browser, browser_active);
        Self {
            now,
            start: now,
            bridge,
            browser,
            browser_timeout: now,
            channel,
            wire: BTreeMap::new(),
            order: 0,
            rng,
            loss,
            bridge_events: Vec::new(),
            browser_events: Vec::new(),
            received: Vec::new(),
        }
    }

    fn put(&mut self, to: To, bytes: Vec<u8>) {
        if self.rng.next_u32() % 100 < self.loss {
            return;
        }
        let delay = Duration::from_millis(5 + u64::from(self.rng.next_u32() % 30));
        self.order += 1;
        self.wire
            .insert((self.now + delay, self.order), (to, bytes));
    }

    fn collect(&mut self) {
        let mut buf = [0u8; 1500];
        while let Some(t) = self.bridge.poll_transmit(&mut buf) {
            assert_eq!((t.from, t.to), (bridge_addr(), browser_addr()));
            self.put(To::Browser, buf[..t.len].to_vec());
        }
        self.bridge_events
            .extend(std::iter::from_fn(|| self.bridge.poll_event()));
        loop {
            match self.browser.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.browser_timeout = at;
                    break;
                }
                Output::Transmit(t) => self.put(To::Bridge, t.contents.to_vec()),
                Output::Event(e) => self.browser_events.push(e),
            }
        }
    }

    fn deliver(&mut self, to: To, mut bytes: Vec<u8>) {
        let now = self.now;
        if to == To::Browser {
            let Ok(contents) = bytes.as_slice().try_into() else {
                return;
            };
            let receive = Receive {
                proto: Protocol::Udp,
                source: bridge_addr(),
                destination: browser_addr(),
                contents,
            };
            return self
                .browser
                .handle_input(Input::Receive(now, receive))
                .unwrap();
        }
        match demux(&bytes) {
            Some(PacketKind::Rtp) => {
                let Some(inbound) = self.bridge.srtp_inbound() else {
                    return;
                };
                let len = inbound.unprotect_rtp(&mut bytes).unwrap();
                self.bridge
                    .media_received(now, browser_addr(), bridge_addr());
                self.received.push(bytes[..len].to_vec());
            }
            Some(PacketKind::Rtcp) => {
                let Some(inbound) = self.bridge.srtp_inbound() else {
                    return;
                };
                let len = inbound.unprotect_rtcp(&mut bytes).unwrap();
                assert!(rtp::rtcp::packets(&bytes[..len]).all(|p| p.is_ok()));
            }
            _ => {
                self.bridge
                    .handle_control(now, browser_addr(), bridge_addr(), &bytes);
            }
        }
    }

    fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.collect();
            if done(self) {
                return true;
            }
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let timers = [
                arrival,
                self.bridge.poll_timeout(),
                Some(self.browser_timeout),
            ];
            let Some(next) = timers.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
            let now = self.now;
            if arrival.is_some_and(|at| at <= now) {
                if let Some((_, (to, bytes))) = self.wire.pop_first() {
                    self.deliver(to, bytes);
                }
                continue;
            }
            self.bridge.handle_timeout(now);
            self.browser.handle_input(Input::Timeout(now)).unwrap();
        }
    }

    fn channels_open(&mut self) -> bool {
        self.bridge.is_channel_open()
            && self
                .browser_events
                .iter()
                .any(|e| matches!(e, StrEvent::ChannelOpen(c, _) if *c == self.channel))
    }
}

/// Signals as Jitsi does: the offer says actpass, the client says none of its candidates.
fn negotiate(
    now: Instant,
    bridge: &mut Transport,
    browser: &mut Rtc,
    browser_active: bool,
) -> ChannelId {
    let local = bridge.local();
    browser.add_local_candidate(StrCandidate::host(browser_addr(), "udp").unwrap());
    browser.add_remote_candidate(StrCandidate::host(bridge_addr(), "udp").unwrap());
    let mut direct = browser.direct_api();
    direct.set_ice_controlling(false);
    direct.set_remote_ice_credentials(IceCreds {
        ufrag: local.ufrag,
        pass: local.pwd,
    });
    direct.set_remote_fingerprint(
        format!("{} {}", local.fingerprint.hash_name(), local.fingerprint)
            .parse()
            .unwrap(),
    );
    let creds = direct.local_ice_credentials();
    let fingerprint = direct.local_dtls_fingerprint().clone();
    direct.start_dtls(browser_active).unwrap();
    direct.start_sctp(true);
    let channel = direct.create_data_channel(ChannelConfig {
        label: LABEL.into(),
        protocol: PROTOCOL.into(),
        ..ChannelConfig::default()
    });
    direct.declare_media("a0".into(), MediaKind::Audio);
    direct.declare_stream_tx(AUDIO.into(), None, "a0".into(), None);
    direct.declare_media("a1".into(), MediaKind::Audio);
    direct.expect_stream_rx(FORWARDED.into(), None, "a1".into(), None);

    let hex: Vec<String> = fingerprint
        .bytes
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    bridge.set_remote(
        now,
        RemoteParameters {
            credentials: Some((creds.ufrag, creds.pass)),
            fingerprints: vec![Fingerprint::parse(&fingerprint.hash_func, &hex.join(":")).unwrap()],
            setup: Some(if browser_active {
                Setup::Active
            } else {
                Setup::Passive
            }),
            ..RemoteParameters::default()
        },
    );
    channel
}

#[test]
fn joins_talks_and_exchanges_media() {
    let versions = [
        (DtlsVersion::Dtls12, true),
        (DtlsVersion::Auto, true),
        (DtlsVersion::Dtls12, false),
    ];
    for (i, (version, browser_active)) in versions.into_iter().enumerate() {
        for (seed, loss) in [(1, 0), (2, 5), (3, 10)] {
            let mut w = World::new(seed + 10 * i as u64, loss, version, browser_active);
            assert!(
                w.run_until(Duration::from_secs(60), World::channels_open),
                "loss {loss}: {:?}",
                w.bridge_events
            );
            let joined = w.now - w.start;
            assert!(
                loss > 0 || joined < Duration::from_millis(800),
                "{joined:?}"
            );
            let opened = Event::ChannelOpen {
                label: LABEL.into(),
                protocol: PROTOCOL.into(),
            };
            assert!(w.bridge_events.contains(&opened));
            messages(&mut w);
            media_to_the_bridge(&mut w);
            media_to_the_browser(&mut w);
        }
    }
}

fn messages(w: &mut World) {
    let long = format!("{{\"colibriClass\":\"{}\"}}", "x".repeat(30_000));
    let texts = ["{\"colibriClass\":\"LastNChangedEvent\"}", long.as_str()];
    for text in texts {
        let channel = w.channel;
        w.browser
            .channel(channel)
            .unwrap()
            .write(false, text.as_bytes())
            .unwrap();
        w.bridge.send_channel(w.now, text).unwrap();
    }
    let done = w.run_until(Duration::from_secs(60), |w| {
        let to_bridge = w.bridge_events.iter().filter_map(|e| match e {
            Event::ChannelMessage(text) => Some(text.as_str()),
            _ => None,
        });
        let to_browser = w.browser_events.iter().filter_map(|e| match e {
            StrEvent::ChannelData(d) if !d.binary => std::str::from_utf8(&d.data).ok(),
            _ => None,
        });
        to_bridge.eq(texts) && to_browser.eq(texts)
    });
    assert!(done);
}

fn media_to_the_bridge(w: &mut World) {
    let pt = opus(w);
    for seq in 1..=100u64 {
        let write = RtpWrite::new(
            pt,
            seq.into(),
            seq as u32 * 960,
            w.now,
            &[0x78, seq as u8][..],
        );
        let write = write.ext_vals(ExtensionValues {
            audio_level: Some(-30),
            ..ExtensionValues::default()
        });
        let ssrc: Ssrc = AUDIO.into();
        w.browser
            .direct_api()
            .stream_tx(&ssrc)
            .unwrap()
            .write_rtp(write);
        w.browser.handle_input(Input::Timeout(w.now)).unwrap();
        w.run_until(Duration::from_millis(20), |_| false);
    }
    let payloads = w
        .received
        .iter()
        .map(|p| rtp::RtpView::parse(p).unwrap())
        .filter(|v| v.ssrc.0 == AUDIO);
    let good = payloads
        .filter(|v| v.payload() == [0x78, v.sequence_number as u8])
        .count();
    assert!(good >= 75, "{good} of 100");
}

fn media_to_the_browser(w: &mut World) {
    let pt = opus(w);
    for seq in 1..=50u16 {
        let mut packet = vec![0x80, *pt];
        packet.extend_from_slice(&seq.to_be_bytes());
        packet.extend_from_slice(&(u32::from(seq) * 960).to_be_bytes());
        packet.extend_from_slice(&FORWARDED.to_be_bytes());
        packet.extend_from_slice(&[0x78, seq as u8]);
        let len = packet.len();
        packet.resize(len + rtc::srtp::MAX_OVERHEAD, 0);
        let len = w
            .bridge
            .srtp_outbound()
            .unwrap()
            .protect_rtp(&mut packet, len)
            .unwrap();
        w.put(To::Browser, packet[..len].to_vec());
        w.run_until(Duration::from_millis(20), |_| false);
    }
    w.run_until(Duration::from_secs(2), |_| false);
    let heard = w.browser_events.iter().filter(|e| match e {
        StrEvent::RtpPacket(p) => p.payload[..] == [0x78, p.header.sequence_number as u8],
        _ => false,
    });
    assert!(heard.count() >= 40);
}

fn opus(w: &World) -> str0m::media::Pt {
    let params = w.browser.codec_config().params();
    params
        .iter()
        .find(|p| p.spec().codec == str0m::format::Codec::Opus)
        .unwrap()
        .pt()
}
