//! A WebRTC client on str0m, over a real UDP socket, set up from a colibri2 transport.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use channel::BridgeMessage;
use futures_util::future::select_all;
use stanza::media::IceTransport;
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::Fingerprint;
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite, SeqNo, Ssrc};
use str0m::{Candidate, Event, IceCreds, Input, Output, Rtc};
use tokio::net::UdpSocket;

pub const OPUS: u8 = 111;
pub const VP8: u8 = 100;

/// The SSRCs of a client.
#[derive(Clone, Copy)]
pub struct Ssrcs {
    pub audio: u32,
    pub video: u32,
    pub rtx: u32,
}

pub struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    ssrcs: Ssrcs,
    channel: ChannelId,
    timeout: Instant,
    audio_seq: u64,
    video_seq: u64,
    pub connected: bool,
    pub channel_open: bool,
    /// Messages of the bridge, in order.
    pub messages: Vec<BridgeMessage>,
    /// Payloads received, by SSRC, in order of arrival.
    pub packets: HashMap<u32, Vec<Vec<u8>>>,
}

fn mid(kind: MediaKind) -> Mid {
    Mid::from(if kind == MediaKind::Audio { "0" } else { "1" })
}

impl Client {
    /// Answers a transport of the bridge: ICE controlled, DTLS client, the data channel opened by us.
    pub async fn new(offer: &IceTransport, ssrcs: Ssrcs) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self::on(socket, offer, ssrcs)
    }

    /// The same with a socket of one's own.
    pub fn on(socket: UdpSocket, offer: &IceTransport, ssrcs: Ssrcs) -> Self {
        let local = socket.local_addr().unwrap();
        let mut config = Rtc::builder().clear_codecs().set_rtp_mode(true);
        let codecs = config.codec_config();
        let params = FormatParams::default();
        codecs.add_config(
            Pt::from(OPUS),
            None,
            Codec::Opus,
            Frequency::FORTY_EIGHT_KHZ,
            Some(2),
            params,
        );
        codecs.add_config(
            Pt::from(VP8),
            Some(Pt::from(96)),
            Codec::Vp8,
            Frequency::NINETY_KHZ,
            None,
            params,
        );
        let mut rtc = config.build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, Protocol::Udp).unwrap());
        let fingerprint = &offer.fingerprints[0];
        let mut api = rtc.direct_api();
        api.set_ice_controlling(false);
        api.set_remote_ice_credentials(IceCreds {
            ufrag: offer.ufrag.clone().unwrap(),
            pass: offer.pwd.clone().unwrap(),
        });
        api.set_remote_fingerprint(Fingerprint {
            hash_func: fingerprint.hash.clone(),
            bytes: fingerprint
                .value
                .split(':')
                .map(|b| u8::from_str_radix(b, 16).unwrap())
                .collect(),
        });
        api.declare_media(mid(MediaKind::Audio), MediaKind::Audio);
        api.declare_media(mid(MediaKind::Video), MediaKind::Video);
        api.declare_stream_tx(Ssrc::from(ssrcs.audio), None, mid(MediaKind::Audio), None);
        api.declare_stream_tx(
            Ssrc::from(ssrcs.video),
            Some(Ssrc::from(ssrcs.rtx)),
            mid(MediaKind::Video),
            None,
        );
        api.start_dtls(true).unwrap();
        api.start_sctp(true);
        let channel = api.create_data_channel(ChannelConfig {
            label: "JVB data channel".into(),
            protocol: "http://jitsi.org/protocols/colibri".into(),
            ..ChannelConfig::default()
        });
        for c in &offer.candidates {
            let address = SocketAddr::new(c.ip.parse().unwrap(), c.port);
            rtc.add_remote_candidate(Candidate::host(address, Protocol::Udp).unwrap());
        }
        Self {
            rtc,
            socket,
            local,
            ssrcs,
            channel,
            timeout: Instant::now(),
            audio_seq: 0,
            video_seq: 0,
            connected: false,
            channel_open: false,
            messages: Vec::new(),
            packets: HashMap::new(),
        }
    }

    /// The update that tells the bridge about us, as the focus writes it after a session-accept.
    pub fn update(&mut self, meeting: &str, id: &str) -> String {
        let api = self.rtc.direct_api();
        let creds = api.local_ice_credentials();
        let hex: Vec<String> = api
            .local_dtls_fingerprint()
            .bytes
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect();
        let (ufrag, pwd, hex) = (creds.ufrag, creds.pass, hex.join(":"));
        let Ssrcs { audio, video, rtx } = self.ssrcs;
        let ssma = "xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'";
        format!(
            "<conference-modify xmlns='jitsi:colibri2' meeting-id='{meeting}'><endpoint id='{id}'><transport>\
             <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='{ufrag}' pwd='{pwd}'><rtcp-mux/>\
             <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>{hex}</fingerprint>\
             </transport></transport><sources>\
             <media-source type='audio' id='{id}-a0'><source {ssma} ssrc='{audio}' name='{id}-a0'/></media-source>\
             <media-source type='video' id='{id}-v0'>\
             <source {ssma} ssrc='{video}' name='{id}-v0' videoType='camera'/><source {ssma} ssrc='{rtx}' name='{id}-v0'/>\
             <ssrc-group {ssma} semantics='FID'><source ssrc='{video}'/><source ssrc='{rtx}'/></ssrc-group>\
             </media-source></sources></endpoint></conference-modify>"
        )
    }

    /// The rewritten SSRC on which a source arrives, once the bridge has said so.
    pub fn ssrc_of(&self, source: &str) -> Option<u32> {
        self.messages.iter().rev().find_map(|m| match m {
            BridgeMessage::AudioSourcesMap(map) => map
                .mapped_sources
                .iter()
                .find(|s| s.source == source)
                .map(|s| s.ssrc),
            BridgeMessage::VideoSourcesMap(map) => map
                .mapped_sources
                .iter()
                .find(|s| s.source == source)
                .map(|s| s.ssrc),
            _ => None,
        })
    }

    /// Packets that arrived of a source.
    pub fn of_source(&self, source: &str) -> usize {
        let ssrc = self.ssrc_of(source);
        ssrc.and_then(|s| self.packets.get(&s)).map_or(0, Vec::len)
    }

    pub fn send_text(&mut self, text: &str) {
        if let Some(mut channel) = self.rtc.channel(self.channel) {
            channel.write(false, text.as_bytes()).unwrap();
        }
        self.drain();
    }

    pub fn send_audio(&mut self, payload: Vec<u8>) {
        self.audio_seq += 1;
        let time = self.audio_seq as u32 * 960;
        let levels = ExtensionValues {
            audio_level: Some(-20),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        let write = RtpWrite::new(
            Pt::from(OPUS),
            SeqNo::from(self.audio_seq),
            time,
            Instant::now(),
            payload,
        )
        .ext_vals(levels);
        self.write(self.ssrcs.audio, write);
    }

    /// Sends one packet that is a whole VP8 frame.
    pub fn send_video(&mut self, key: bool) {
        self.video_seq += 1;
        let picture = self.video_seq as u16 | 0x8000;
        // X, S; I and L and T; picture id of 15 bits; tl0picidx; tid 0.
        let mut payload = vec![
            0x90,
            0xe0,
            (picture >> 8) as u8,
            picture as u8,
            self.video_seq as u8,
            0,
        ];
        if key {
            payload.extend([0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
        } else {
            payload.extend([0x11, 0x02, 0x00]);
        }
        payload.resize(900, 7);
        let time = self.video_seq as u32 * 3000;
        let write = RtpWrite::new(
            Pt::from(VP8),
            SeqNo::from(self.video_seq),
            time,
            Instant::now(),
            payload,
        )
        .marker(true)
        .nackable(true);
        self.write(self.ssrcs.video, write);
    }

    fn write(&mut self, ssrc: u32, write: RtpWrite) {
        if let Some(stream) = self.rtc.direct_api().stream_tx(&Ssrc::from(ssrc)) {
            stream.write_rtp(write);
        }
        self.step(None);
    }

    fn step(&mut self, datagram: Option<(SocketAddr, &[u8])>) {
        let now = Instant::now();
        let input = match datagram {
            None => Input::Timeout(now),
            Some((from, bytes)) => match Receive::new(Protocol::Udp, from, self.local, bytes) {
                Ok(receive) => Input::Receive(now, receive),
                Err(_) => return,
            },
        };
        self.rtc.handle_input(input).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return;
                }
                Output::Transmit(t) => {
                    // A full buffer loses the datagram, as any network may.
                    let _ = self.socket.try_send_to(&t.contents, t.destination);
                }
                Output::Event(event) => self.note(event),
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => self.connected = true,
            Event::ChannelOpen(..) => self.channel_open = true,
            Event::ChannelData(data) => {
                let text = std::str::from_utf8(&data.data).unwrap();
                let message = BridgeMessage::parse(text).unwrap();
                self.expect(&message);
                self.messages.push(message);
            }
            Event::RtpPacket(p) => {
                self.packets
                    .entry(*p.header.ssrc)
                    .or_default()
                    .push(p.payload.to_vec());
            }
            _ => {}
        }
    }

    fn expect(&mut self, message: &BridgeMessage) {
        let mut api = self.rtc.direct_api();
        match message {
            BridgeMessage::AudioSourcesMap(map) => {
                for s in &map.mapped_sources {
                    api.expect_stream_rx(Ssrc::from(s.ssrc), None, mid(MediaKind::Audio), None);
                }
            }
            BridgeMessage::VideoSourcesMap(map) => {
                for s in &map.mapped_sources {
                    api.expect_stream_rx(
                        Ssrc::from(s.ssrc),
                        Some(Ssrc::from(s.rtx)),
                        mid(MediaKind::Video),
                        None,
                    );
                }
            }
            _ => {}
        }
    }
}

/// Lets all clients run until `done`, ten seconds at most; `tick` is called every 20 ms.
pub async fn run(
    clients: &mut [Client],
    what: &str,
    mut tick: impl FnMut(&mut [Client]),
    done: impl Fn(&[Client]) -> bool,
) {
    let limit = Instant::now() + Duration::from_secs(10);
    let mut next = Instant::now();
    while !done(clients) {
        let now = Instant::now();
        assert!(now < limit, "not in time: {what}");
        if now >= next {
            tick(clients);
            next += Duration::from_millis(20);
        }
        for client in clients.iter_mut() {
            let mut buffer = [0; 2000];
            while let Ok((count, from)) = client.socket.try_recv_from(&mut buffer) {
                client.step(Some((from, &buffer[..count])));
            }
            if client.timeout <= now {
                client.step(None);
            }
        }
        let due = clients
            .iter()
            .map(|c| c.timeout)
            .min()
            .unwrap_or(limit)
            .min(next);
        let readable = select_all(clients.iter().map(|c| Box::pin(c.socket.readable())));
        let _ = tokio::time::timeout_at(due.into(), readable).await;
    }
}
