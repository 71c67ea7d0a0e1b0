//! A shard, real transports as clients, and a network between them, on virtual time.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by test files, each of which uses a part"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop here")]
#![allow(
    clippy::disallowed_methods,
    reason = "a virtual clock needs some first instant"
)]

pub mod camera;
mod joining;
pub mod receiver;
pub mod relays;

use camera::Camera;
use receiver::Receiver;
use rtc::{Candidate, RemoteParameters, Setup, Transport, TransportConfig};
use rtp::rtcp::{Rtcp, Writer};
use sfu::*;
use sim::{Datagram, LinkSpec, Net};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub const VP8: u8 = 100;
pub const RTX: u8 = 96;
pub const VP9: u8 = 101;
pub const H264: u8 = 102;
pub const AV1: u8 = 103;
/// Local id of the AV1 dependency descriptor.
pub const DESCRIPTOR: u8 = 11;
/// Payload types of RTX are so far below those of the codecs of video.
const RTX_BELOW: u8 = VP8 - RTX;
/// Local id of the absolute send time.
pub const SEND_TIME: u8 = 3;
pub const OPUS: u8 = 111;
pub const RED: u8 = 112;
pub const CONFERENCE: ConferenceId = ConferenceId(7);

/// The payload type of retransmissions of a codec of video.
pub fn rtx_of(codec: u8) -> u8 {
    codec - RTX_BELOW
}

/// Whether it is one of those.
pub fn is_rtx(payload_type: u8) -> bool {
    (rtx_of(VP8)..=rtx_of(AV1)).contains(&payload_type)
}

pub fn endpoint_id(name: &str) -> EndpointId {
    EndpointId::new(name).unwrap()
}

pub fn source_name(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

/// One client.
pub struct Client {
    pub id: EndpointId,
    /// The shard it is on: 0 is `World::shard`.
    pub at: usize,
    pub address: SocketAddr,
    /// What it takes for its address itself.
    home: SocketAddr,
    transport: Transport,
    srtp: Option<(rtc::srtp::Inbound, rtc::srtp::Outbound)>,
    pub connected: bool,
    pub camera: Option<Camera>,
    pub receiver: Receiver,
    /// Audio level to send every 20 ms, -dBov.
    pub audio_level: Option<u8>,
    pub audio_seq: u16,
    pub audio_ssrc: u32,
    next_audio: Instant,
    /// Audio packets received, by SSRC, and their newest number.
    pub heard: HashMap<u32, (u64, u16)>,
    pub audio_gaps: u64,
    pub notices: Vec<(Instant, ChannelNotice)>,
    /// RTP and RTCP in plaintext to send next.
    pub outbox: (Vec<Vec<u8>>, Vec<Vec<u8>>),
    /// Video packets as received, instead of decoding them.
    pub video: Option<Vec<Vec<u8>>>,
    /// Audio packets as received, with the time.
    pub sound: Option<Vec<(Instant, Vec<u8>)>>,
    /// RTCP as received.
    pub reports: Option<Vec<Vec<u8>>>,
    next_feedback: Instant,
    next_transport_feedback: Instant,
    /// Datagrams sent to it by the bridge, and those that arrived.
    pub sent: u64,
    pub arrived: u64,
    /// Of what was received, bytes.
    pub received: u64,
}

pub struct World {
    pub start: Instant,
    pub now: Instant,
    pub shard: Shard,
    /// Other shards with parts of the same conference.
    pub others: Vec<Shard>,
    /// Where the next client joins: 0 is `shard`.
    pub join_at: usize,
    pub net: Net,
    pub clients: Vec<Client>,
    by_address: HashMap<SocketAddr, usize>,
    pub bridge: SocketAddr,
    /// Each shard is a bridge of its own, at an address of its own.
    pub apart: bool,
    pub events: Vec<Event>,
    pub runs: u64,
    /// Where it tells, what each call of the shard took that a join is made of.
    pub clock: Option<fn() -> Duration>,
    pub held: Vec<Duration>,
    pub datagrams: u64,
    /// Whether those who join from now on take redundant audio.
    pub red: bool,
    /// Whether they take REMB and no transport-wide feedback.
    pub remb: bool,
    /// Whether they want to know ahead of whom they may hear.
    pub sound_ahead: bool,
    egress: Egress,
    certificate: Arc<rtc::Certificate>,
    rng: rand_chacha::ChaCha12Rng,
}

impl World {
    /// Lines are known to be fast.
    pub fn new(link: LinkSpec, seed: u64) -> Self {
        Self::over(1, link, seed)
    }

    /// One conference over several shards.
    pub fn over(shards: usize, link: LinkSpec, seed: u64) -> Self {
        Self::with(shards, link, seed, |config| {
            config.bandwidth.start = 20_000_000
        })
    }

    pub fn with(
        shards: usize,
        link: LinkSpec,
        seed: u64,
        change: impl Fn(&mut ShardConfig),
    ) -> Self {
        use rand::SeedableRng;
        let start = Instant::now();
        let bridge: SocketAddr = "10.0.0.1:10000".parse().unwrap();
        let certificate = Arc::new(rtc::Certificate::generate(SystemTime::now()).unwrap());
        let make = |number: usize| {
            let mut config = ShardConfig::new(certificate.clone(), vec![bridge]);
            change(&mut config);
            config.number = number as u8;
            config.ufrag_prefix = format!("{number:02x}");
            let mut shard = Shard::new(config, [seed as u8 + number as u8; 32]);
            let others = (0..shards as u8).filter(|n| usize::from(*n) != number);
            let part = Part {
                feedback: FeedbackSources { audio: 1, video: 2 },
                others: others.collect(),
                exists: number > 0,
            };
            let spec = ConferenceSpec {
                id: CONFERENCE,
                meeting_id: "m".into(),
                name: None,
                part: (shards > 1).then_some(part),
            };
            shard.create_conference(start, spec).unwrap();
            shard
        };
        let shard = make(0);
        let others = (1..shards).map(make).collect();
        Self {
            start,
            now: start,
            shard,
            others,
            join_at: 0,
            net: Net::new(link, seed),
            clients: Vec::new(),
            by_address: HashMap::new(),
            bridge,
            apart: false,
            events: Vec::new(),
            runs: 0,
            clock: None,
            held: Vec::new(),
            datagrams: 0,
            red: false,
            remb: false,
            sound_ahead: false,
            egress: Egress::new(512 * 1024),
            certificate,
            rng: rand_chacha::ChaCha12Rng::seed_from_u64(seed),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Adds a client that sends camera (and, with a level, audio) and begins to connect. Returns its index.
    pub fn join(
        &mut self,
        name: &str,
        camera: Option<Camera>,
        level: Option<u8>,
        rewriting: bool,
    ) -> usize {
        let index = self.clients.len();
        let address: SocketAddr = format!(
            "10.{}.{}.{}:5000",
            1 + index / 62_500,
            index / 250 % 250,
            index % 250 + 1
        )
        .parse()
        .unwrap();
        let audio_ssrc = 1_000_000 * (index as u32 + 1);
        let spec = self.spec(name, audio_ssrc, camera.as_ref(), rewriting);
        let transport = self.connect(spec, address);
        self.by_address.insert(address, index);
        self.clients.push(Client {
            id: endpoint_id(name),
            at: self.join_at,
            address,
            home: address,
            transport,
            srtp: None,
            connected: false,
            camera,
            receiver: Receiver::default(),
            audio_level: level,
            audio_seq: 65_000,
            audio_ssrc,
            next_audio: self.now,
            heard: HashMap::new(),
            audio_gaps: 0,
            notices: Vec::new(),
            outbox: Default::default(),
            video: None,
            sound: None,
            reports: None,
            next_feedback: self.now,
            next_transport_feedback: self.now,
            sent: 0,
            arrived: 0,
            received: 0,
        });
        index
    }

    /// The client opens its channel and asks for a height of everything.
    pub fn want(&mut self, client: usize, height: i32) {
        self.want_of(client, height, -1);
    }

    /// The same of so many sources.
    pub fn want_of(&mut self, client: usize, height: i32, last_n: i32) {
        let (id, at, now) = {
            let client = &self.clients[client];
            (client.id.clone(), client.at, self.now)
        };
        self.shard_at(at).channel_opened(now, CONFERENCE, &id);
        let constraints = ReceiverConstraints {
            last_n: Some(last_n),
            default_constraint: Some(SourceConstraint::height(height)),
            ..ReceiverConstraints::default()
        };
        self.shard_at(at)
            .set_receiver_constraints(now, CONFERENCE, &id, constraints);
    }

    pub fn shard_at(&mut self, at: usize) -> &mut Shard {
        match at {
            0 => &mut self.shard,
            at => &mut self.others[at - 1],
        }
    }

    /// Sets what the line from the bridge to a client does.
    pub fn line(&mut self, client: usize, spec: LinkSpec) {
        let to = self.clients[client].address.ip();
        self.net.set_path(self.bridge.ip(), to, spec);
    }

    /// A client is seen at another address from now on, as behind an address translation that was made anew.
    pub fn rebind(&mut self, client: usize, address: SocketAddr) {
        self.clients[client].address = address;
        self.by_address.insert(address, client);
    }

    /// The client that came last is no more.
    pub fn dismiss_last(&mut self) {
        self.clients.pop();
        let there = self.clients.len();
        self.by_address.retain(|_, client| *client < there);
    }

    /// Runs for a time in steps of one millisecond.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            self.now += Duration::from_millis(1);
        }
    }

    /// Runs until `done`; panics after `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        what: &str,
        done: impl Fn(&World) -> bool,
    ) -> Duration {
        let begin = self.now;
        while !done(self) {
            assert!(
                self.now - begin < limit,
                "not within {limit:?}: {what}; {:?}",
                self.shard.stats()
            );
            self.run(Duration::from_millis(1));
        }
        self.now - begin
    }

    pub fn connect_all(&mut self) {
        self.run_until(Duration::from_secs(5), "everybody connected", |w| {
            w.clients.iter().all(|c| c.connected)
        });
    }

    /// Encrypted media that a client has to send now.
    pub fn media_of(&mut self, client: usize) -> Vec<Vec<u8>> {
        let client = &mut self.clients[client];
        let packets = client
            .camera
            .as_mut()
            .map(|c| c.packets(self.now))
            .unwrap_or_default();
        let (_, outbound) = client.srtp.as_mut().unwrap();
        let protect = |packet: Vec<u8>| {
            let len = packet.len();
            let mut buf = packet;
            buf.resize(len + rtc::srtp::MAX_OVERHEAD, 0);
            let len = outbound.protect_rtp(&mut buf, len).unwrap();
            buf.truncate(len);
            buf
        };
        packets.into_iter().map(protect).collect()
    }

    /// Gives datagrams of the first client to the shard and lets it write what it forwards, which is thrown away.
    pub fn feed(&mut self, datagrams: &mut [Vec<u8>]) {
        self.feed_from(0, datagrams);
    }

    /// The same of any client.
    pub fn feed_from(&mut self, client: usize, datagrams: &mut [Vec<u8>]) {
        let from = self.clients[client].address;
        for datagram in datagrams {
            self.shard
                .handle_datagram(self.now, from, self.bridge, datagram);
        }
        while self.shard.poll_transmit(self.now, &mut self.egress) {
            self.egress.clear();
        }
        self.egress.clear();
    }

    /// Encrypts so many packets of a size for the bridge, as a client: what encryption costs alone.
    pub fn seal(&mut self, client: usize, count: usize, size: usize) {
        let (_, outbound) = self.clients[client].srtp.as_mut().unwrap();
        let mut packet = vec![0; size + rtc::srtp::MAX_OVERHEAD];
        for n in 0..count {
            packet[..12].copy_from_slice(&[0x80, 100, 0, n as u8, 0, 0, 0, 0, 9, 9, 9, 9]);
            outbound.protect_rtp(&mut packet, size).unwrap();
        }
    }

    /// SRTP protection of the first client.
    pub fn profile(&self) -> Option<rtc::srtp::Profile> {
        self.clients[0].srtp.as_ref().map(|(i, _)| i.profile())
    }

    fn step(&mut self) {
        while let Some(mut d) = self.net.receive(self.now) {
            if let Some(range) = self.shards_behind(d.to) {
                for at in range {
                    let now = self.now;
                    let shard = self.shard_at(at);
                    if shard.handle_datagram(now, d.from, d.to, &mut d.bytes) == Disposition::Taken
                    {
                        break;
                    }
                }
            } else if let Some(client) = self.by_address.get(&d.to) {
                self.clients[*client].receive(self.now, d);
            }
        }
        for at in 0..=self.others.len() {
            let now = self.now;
            let shard = self.shard_at(at);
            if shard.poll_timeout().is_some_and(|t| t <= now) {
                shard.handle_timeout(now);
            }
            self.drain_shard(at);
        }
        self.exchange();
        for client in &mut self.clients {
            let bridge = address_of(self.bridge, self.apart, client.at);
            client.step(self.now, bridge, &mut self.net);
        }
    }

    /// The shards to which datagrams for an address go.
    fn shards_behind(&self, to: SocketAddr) -> Option<std::ops::RangeInclusive<usize>> {
        let last = self.others.len();
        if !self.apart {
            return (to == self.bridge).then_some(0..=last);
        }
        let at = (0..=last).find(|at| address_of(self.bridge, true, *at).ip() == to.ip())?;
        Some(at..=at)
    }

    /// Carries to and fro what the shards have to tell each other.
    fn exchange(&mut self) {
        for at in 0..=self.others.len() {
            let now = self.now;
            while let Some(mut exchange) = self.shard_at(at).poll_exchange(now) {
                let to = usize::from(exchange.to());
                if to <= self.others.len() {
                    self.shard_at(to).handle_exchange(now, &mut exchange);
                    self.drain_shard(to);
                }
                self.shard_at(at).reuse_exchange(exchange);
            }
        }
    }

    fn drain_shard(&mut self, at: usize) {
        while let Some(event) = self.shard_at(at).poll_event() {
            match event {
                Event::Notice {
                    endpoint, notice, ..
                } => {
                    let client = self.clients.iter_mut().find(|c| c.id == endpoint);
                    if let Some(client) = client {
                        client.notice(self.now, notice);
                    }
                }
                Event::Broadcast { notice, .. } => {
                    for client in self.clients.iter_mut().filter(|c| c.at == at) {
                        client.notice(self.now, notice.clone());
                    }
                }
                event => {
                    if let Some(event) = self.relay_event(at, event) {
                        self.events.push(event);
                    }
                }
            }
        }
        loop {
            let shard = match at {
                0 => &mut self.shard,
                at => &mut self.others[at - 1],
            };
            let more = shard.poll_transmit(self.now, &mut self.egress);
            for run in self.egress.runs() {
                self.runs += 1;
                for segment in self.egress.segments(run) {
                    self.datagrams += 1;
                    if let Some(client) = self.by_address.get(&run.to) {
                        self.clients[*client].sent += 1;
                    }
                    let datagram = Datagram {
                        from: run.from,
                        to: run.to,
                        bytes: segment.to_vec(),
                    };
                    self.net.send(self.now, datagram);
                }
            }
            self.egress.clear();
            if !more {
                break;
            }
        }
    }
}

/// Where a shard is reached.
fn address_of(bridge: SocketAddr, apart: bool, at: usize) -> SocketAddr {
    match apart {
        true => SocketAddr::from(([10, 0, 0, 1 + at as u8], bridge.port())),
        false => bridge,
    }
}

impl Client {
    fn notice(&mut self, now: Instant, notice: ChannelNotice) {
        match &notice {
            ChannelNotice::VideoSourcesMap(entries) => self.receiver.map(now, entries),
            ChannelNotice::SenderSourceConstraints { max_height, .. } => {
                if let Some(camera) = &mut self.camera {
                    camera.limit(*max_height);
                }
            }
            _ => {}
        }
        self.notices.push((now, notice));
    }

    fn receive(&mut self, now: Instant, mut d: Datagram) {
        self.arrived += 1;
        self.received += d.bytes.len() as u64;
        match rtc::demux(&d.bytes) {
            Some(rtc::PacketKind::Rtp) => {
                let Some((inbound, _)) = &mut self.srtp else {
                    return;
                };
                if let Ok(len) = inbound.unprotect_rtp(&mut d.bytes) {
                    self.rtp(now, &d.bytes[..len]);
                }
            }
            Some(rtc::PacketKind::Rtcp) => {
                let Some((inbound, _)) = &mut self.srtp else {
                    return;
                };
                if let Ok(len) = inbound.unprotect_rtcp(&mut d.bytes) {
                    self.rtcp(now, &d.bytes[..len]);
                }
            }
            _ => {
                self.transport
                    .handle_control(now, d.from, self.home, &d.bytes);
            }
        }
    }

    fn rtp(&mut self, now: Instant, packet: &[u8]) {
        let view = rtp::RtpView::parse(packet).unwrap();
        self.receiver.note_number(now, &view);
        if let (OPUS | RED, Some(sound)) = (view.payload_type, &mut self.sound) {
            sound.push((now, packet.to_vec()));
        }
        if matches!(view.payload_type, OPUS | RED) {
            let entry = self
                .heard
                .entry(view.ssrc.0)
                .or_insert((0, view.sequence_number.wrapping_sub(1)));
            if view.sequence_number != entry.1.wrapping_add(1) {
                self.audio_gaps += 1;
            }
            *entry = (entry.0 + 1, view.sequence_number);
        } else if let Some(video) = &mut self.video {
            video.push(packet.to_vec());
        } else {
            self.receiver.receive(now, &view);
        }
    }

    fn rtcp(&mut self, now: Instant, compound: &[u8]) {
        if let Some(reports) = &mut self.reports {
            reports.push(compound.to_vec());
        }
        for packet in rtp::rtcp::packets(compound) {
            match packet.unwrap() {
                Rtcp::Nack(nack) => {
                    if let Some(camera) = &mut self.camera {
                        camera.nack(nack.media.0, nack.sequence_numbers());
                    }
                }
                Rtcp::Pli { .. } => {
                    if let Some(camera) = &mut self.camera {
                        camera.want_key();
                    }
                }
                Rtcp::SenderReport(report) => self.receiver.sender_report(now, &report),
                _ => {}
            }
        }
    }

    fn step(&mut self, now: Instant, bridge: SocketAddr, net: &mut Net) {
        if self.transport.poll_timeout().is_some_and(|t| t <= now) {
            self.transport.handle_timeout(now);
        }
        while let Some(event) = self.transport.poll_event() {
            if let rtc::Event::Connected { .. } = event {
                self.srtp = self.transport.take_srtp();
                self.connected = true;
                self.next_audio = now;
            }
        }
        let mut buf = [0; 1500];
        while let Some(t) = self.transport.poll_transmit(&mut buf) {
            let bytes = buf[..t.len].to_vec();
            net.send(
                now,
                Datagram {
                    from: self.address,
                    to: t.to,
                    bytes,
                },
            );
        }
        if self.connected {
            self.send_media(now, bridge, net);
        }
    }

    fn send_media(&mut self, now: Instant, bridge: SocketAddr, net: &mut Net) {
        let mut packets = std::mem::take(&mut self.outbox.0);
        if now >= self.next_audio
            && let Some(level) = self.audio_level
        {
            self.next_audio += Duration::from_millis(20);
            let timestamp = u32::from(self.audio_seq).wrapping_mul(960);
            packets.push(audio_packet(
                self.audio_ssrc,
                self.audio_seq,
                timestamp,
                level,
            ));
            self.audio_seq = self.audio_seq.wrapping_add(1);
        }
        let mut rtcp = std::mem::take(&mut self.outbox.1);
        if let Some(camera) = &mut self.camera {
            packets.extend(camera.packets(now));
            rtcp.extend(camera.report(now));
        }
        if now >= self.next_feedback {
            self.next_feedback = now + Duration::from_millis(10);
            let mut out = vec![0; 8192];
            let mut writer = Writer::new(&mut out);
            self.receiver.feedback(now, &mut writer);
            let len = writer.len();
            out.truncate(len);
            if len > 0 {
                rtcp.push(out);
            }
        }
        if now >= self.next_transport_feedback {
            self.next_transport_feedback = now + Duration::from_millis(50);
            rtcp.extend(self.receiver.transport_feedback());
        }
        let Some((_, outbound)) = &mut self.srtp else {
            return;
        };
        let mut send = |bytes: Vec<u8>| {
            net.send(
                now,
                Datagram {
                    from: self.address,
                    to: bridge,
                    bytes,
                },
            );
        };
        for packet in packets {
            let len = packet.len();
            let mut buf = packet;
            buf.resize(len + rtc::srtp::MAX_OVERHEAD, 0);
            let len = outbound.protect_rtp(&mut buf, len).unwrap();
            buf.truncate(len);
            send(buf);
        }
        for mut packet in rtcp {
            let len = packet.len();
            packet.resize(len + rtc::srtp::MAX_OVERHEAD, 0);
            let len = outbound.protect_rtcp(&mut packet, len).unwrap();
            packet.truncate(len);
            send(packet);
        }
    }
}

pub fn audio_packet(ssrc: u32, seq: u16, timestamp: u32, level: u8) -> Vec<u8> {
    let mut p = vec![0x90, OPUS];
    p.extend(seq.to_be_bytes());
    p.extend(timestamp.to_be_bytes());
    p.extend(ssrc.to_be_bytes());
    p.extend([0xBE, 0xDE, 0, 1, 0x10, level, 0, 0]);
    p.extend([0x78; 60]);
    p
}
