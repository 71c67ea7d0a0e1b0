//! A participant without IO.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use channel::{BridgeMessage, ClientMessage};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use stanza::element;
use stanza::jingle::{Action, Jingle};
use stanza::jitsi::conference::ConferenceRequest;
use stanza::media::IceTransport;
use stanza::{BareJid, Element, ElementExt, FullJid, iq, muc, ns};

use crate::layout::Layout;
use crate::media::{AUDIO_INTERVAL, Camera, VideoSpec, voice, voice_stamp};
use crate::peer::{Local, Peer, PeerError, PeerEvent, credentials};
use crate::receive::{Assembler, Gaps, SourceStats, Tally};
use crate::session::{Codecs, LocalSources, answer};

/// How long a receiver needs to be ready for a newly announced stream, as browsers do: what came before is lost.
const RENEGOTIATION: Duration = Duration::from_millis(150);
/// How often a receiver without a picture asks for a key frame, as browsers do.
const KEY_FRAME_RETRY: Duration = Duration::from_millis(200);
/// How long the focus may take before it is asked again.
const REQUEST_RETRY: Duration = Duration::from_secs(2);

/// Settings of a bot.
#[derive(Debug, Clone)]
pub struct BotConfig {
    /// The deployment's XMPP domain.
    pub domain: String,
    /// The room, on the conference component.
    pub room: BareJid,
    /// Display name.
    pub name: String,
    /// Address the bot's datagrams come from.
    pub local: SocketAddr,
    /// Video to send, if any.
    pub video: Option<VideoSpec>,
    /// Whether audio is sent.
    pub audio: bool,
    /// Height to ask for of every video; 0: none.
    pub max_height: i32,
}

/// What a bot tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// In the room, under this endpoint id.
    Joined(String),
    /// Somebody else came, or was there.
    OccupantJoined(String),
    /// Somebody else went.
    OccupantLeft(String),
    /// ICE and DTLS are done.
    Connected,
    /// The bridge channel is open.
    ChannelOpen,
    /// A message to all.
    Chat {
        /// Endpoint id of the sender.
        from: String,
        /// The text.
        text: String,
    },
    /// The dominant speaker.
    DominantSpeaker(String),
    /// A session was ended by the focus, which will offer another if `restart`.
    SessionEnded,
    /// Removed from the room, or refused.
    Out(String),
    /// The session cannot go on.
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Offline,
    Requesting { retry: Instant },
    Joining,
    Joined,
    Left,
}

struct Stream {
    source: String,
    rtx: Option<u32>,
    is_video: bool,
    gaps: Gaps,
    assembler: Assembler,
    /// When the receiver for it is ready.
    ready_at: Option<Instant>,
    asked_at: Instant,
}

/// A participant: stanzas and datagrams in and out.
pub struct Bot {
    config: BotConfig,
    phase: Phase,
    jid: Option<FullJid>,
    endpoint: String,
    ids: u64,
    request: Option<String>,
    sources: LocalSources,
    rng: ChaCha8Rng,
    session: Option<(Jingle, Codecs)>,
    peer: Option<Peer>,
    connected: bool,
    channel_open: bool,
    camera: Option<Camera>,
    next_audio: Instant,
    audio_level: i8,
    audio_ticks: u32,
    epoch: Instant,
    streams: BTreeMap<u32, Stream>,
    stats: BTreeMap<String, SourceStats>,
    audio_packets: BTreeMap<String, u64>,
    occupants: BTreeSet<String>,
    latencies: Vec<u64>,
    voice_latencies: Vec<u64>,
    tally: Tally,
    layout: Layout,
    speaker: Option<String>,
    stanzas: VecDeque<Element>,
    events: VecDeque<Event>,
}

impl Bot {
    /// A bot that has not joined yet. `epoch` is the zero of the stamps in frames: give all bots the same one.
    #[must_use]
    pub fn new(config: BotConfig, epoch: Instant, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sources = LocalSources::new(config.video.as_ref(), &mut rng);
        let layout = Layout::tiles(config.max_height);
        Self {
            config,
            phase: Phase::Offline,
            jid: None,
            endpoint: String::new(),
            ids: 0,
            request: None,
            sources,
            rng,
            session: None,
            peer: None,
            connected: false,
            channel_open: false,
            camera: None,
            next_audio: epoch,
            audio_level: -127,
            audio_ticks: 0,
            epoch,
            streams: BTreeMap::new(),
            stats: BTreeMap::new(),
            audio_packets: BTreeMap::new(),
            occupants: BTreeSet::new(),
            latencies: Vec::new(),
            voice_latencies: Vec::new(),
            tally: Tally::default(),
            layout,
            speaker: None,
            stanzas: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The login is done: ask the focus for the room.
    pub fn online(&mut self, now: Instant, jid: FullJid) {
        self.endpoint = jid.node().map_or_else(
            || format!("bot{}", self.ids),
            |node| node.as_str().chars().take(8).collect(),
        );
        self.jid = Some(jid);
        self.ask_focus(now);
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("bot-{}", self.ids)
    }

    fn ask_focus(&mut self, now: Instant) {
        let id = self.id();
        let to = format!("focus.{}", self.config.domain);
        let request = ConferenceRequest::new(self.config.room.clone());
        self.request = Some(id.clone());
        self.stanzas.push_back(iq::set(&to, &id, request));
        self.phase = Phase::Requesting {
            retry: now + REQUEST_RETRY,
        };
    }

    /// Takes a stanza from the server.
    pub fn handle_stanza(&mut self, now: Instant, stanza: &Element) {
        match stanza.name() {
            "iq" if iq::is_request(stanza) => self.handle_request(now, stanza),
            "iq" => self.handle_response(now, stanza),
            "presence" => self.handle_presence(now, stanza),
            "message" => self.handle_message(stanza),
            _ => {}
        }
    }

    fn handle_response(&mut self, now: Instant, stanza: &Element) {
        if self.request.is_none() || stanza.attr("id") != self.request.as_deref() {
            return;
        }
        self.request = None;
        let ready = stanza
            .payload()
            .is_some_and(|p| p.name() == "conference" && p.attr("ready") == Some("true"));
        if ready {
            self.join();
        } else if let Phase::Requesting { retry } = &mut self.phase {
            *retry = now + REQUEST_RETRY;
        }
    }

    fn join(&mut self) {
        self.phase = Phase::Joining;
        let presence = self.presence().child(element("x", ns::MUC)).done();
        self.stanzas.push_back(presence);
    }

    fn presence(&self) -> stanza::Build {
        let features = [
            "urn:xmpp:jingle:apps:rtp:audio",
            "urn:xmpp:jingle:apps:rtp:video",
            "urn:xmpp:jingle:transports:dtls-sctp:1",
            "urn:ietf:rfc:4588",
            "http://jitsi.org/tcc",
            "http://jitsi.org/ssrc-rewriting-1",
            "http://jitsi.org/json-encoded-sources",
            "http://jitsi.org/source-name",
        ];
        let feature = |var: &&str| element("feature", ns::CLIENT).attr("var", *var);
        let muted = |yes: bool| format!("{{\"muted\":{yes}}}");
        let sources = format!(
            "{{\"{0}-a0\":{1},\"{0}-v0\":{2}}}",
            self.endpoint,
            muted(!self.config.audio),
            muted(self.config.video.is_none())
        );
        element("presence", ns::CLIENT)
            .attr("to", format!("{}/{}", self.config.room, self.endpoint))
            .child(element("features", ns::CLIENT).children(features.iter().map(feature)))
            .child(element("SourceInfo", ns::CLIENT).text(sources))
            .child(element("jitsi_participant_codecList", ns::CLIENT).text("vp8"))
            .child(element("nick", "http://jabber.org/protocol/nick").text(&self.config.name))
    }

    fn handle_presence(&mut self, now: Instant, stanza: &Element) {
        let Some(from) = stanza.jid("from").and_then(|jid| jid.try_into_full().ok()) else {
            if stanza.attr("type") == Some("error") && self.phase == Phase::Joining {
                self.out(refusal(stanza));
            }
            return;
        };
        if from.to_bare() != self.config.room {
            return;
        }
        let nick = from.resource().as_str().to_owned();
        let me = nick == self.endpoint;
        match stanza.attr("type") {
            Some("error") if me => self.out(refusal(stanza)),
            Some("unavailable") if me => self.out("left the room".into()),
            Some("unavailable") => {
                if nick == "focus" {
                    // The focus is gone: ask for it again, as clients do.
                    self.end_session();
                    self.ask_focus(now);
                } else if self.occupants.remove(&nick) {
                    self.events.push_back(Event::OccupantLeft(nick));
                }
            }
            None if me && self.phase != Phase::Joined && has_self_status(stanza) => {
                self.phase = Phase::Joined;
                self.events.push_back(Event::Joined(self.endpoint.clone()));
            }
            None if !me && nick != "focus" && self.occupants.insert(nick.clone()) => {
                self.events.push_back(Event::OccupantJoined(nick));
            }
            _ => {}
        }
    }

    fn out(&mut self, why: String) {
        if self.phase != Phase::Left {
            self.phase = Phase::Left;
            self.end_session();
            self.events.push_back(Event::Out(why));
        }
    }

    fn handle_message(&mut self, stanza: &Element) {
        let from = stanza.jid("from").and_then(|jid| jid.try_into_full().ok());
        let body = stanza.child_text("body", ns::CLIENT);
        if let (Some("groupchat"), Some(from), Some(text)) = (stanza.attr("type"), from, body) {
            let from = from.resource().as_str().to_owned();
            self.events.push_back(Event::Chat { from, text });
        }
    }

    fn handle_request(&mut self, now: Instant, stanza: &Element) {
        let jingle = Jingle::element_of(stanza).and_then(|e| Jingle::try_from(e).ok());
        self.stanzas.push_back(iq::result_to(stanza, None));
        let Some(jingle) = jingle else { return };
        let from = stanza.attr("from").unwrap_or_default().to_owned();
        match jingle.action {
            Action::SessionInitiate => self.start(now, Action::SessionAccept, &from, jingle),
            Action::TransportReplace => self.start(now, Action::TransportAccept, &from, jingle),
            Action::TransportInfo => {
                if let (Some(peer), Some(transport)) = (&mut self.peer, transport_of(&jingle)) {
                    let done = peer.add_candidates(transport);
                    self.check(done);
                }
            }
            Action::SessionTerminate => {
                self.end_session();
                self.events.push_back(Event::SessionEnded);
            }
            _ => {}
        }
    }

    /// Begins a session, or replaces its transport.
    fn start(&mut self, now: Instant, action: Action, to: &str, mut offer: Jingle) {
        if action == Action::TransportAccept {
            // A replaced transport may come without the codecs: they stay.
            let Some((session, _)) = &self.session else {
                return;
            };
            if Codecs::of_offer(&offer).is_none() {
                let transport = transport_of(&offer).cloned();
                offer.contents.clone_from(&session.contents);
                for content in &mut offer.contents {
                    content.transport.clone_from(&transport);
                }
            }
        }
        let (Some(codecs), Some(jid)) = (Codecs::of_offer(&offer), &self.jid) else {
            self.events
                .push_back(Event::Failed("the offer lacks Opus or VP8".into()));
            return;
        };
        let jid = jid.to_string();
        self.end_session();
        let transport = transport_of(&offer).cloned().unwrap_or_default();
        let local = Local {
            address: self.config.local,
            credentials: credentials(&mut self.rng),
        };
        let peer = Peer::new(now, local, &transport, codecs, &self.sources);
        let mut peer = match peer {
            Ok(peer) => peer,
            Err(error) => return self.events.push_back(Event::Failed(error.to_string())),
        };
        let ours = peer.transport();
        let accept = answer(
            action,
            &offer,
            &jid,
            &self.endpoint,
            &codecs,
            &self.sources,
            &ours,
        );
        let id = self.id();
        self.stanzas.push_back(iq::set(to, &id, &accept));
        self.peer = Some(peer);
        self.session = Some((offer, codecs));
        self.collect(now);
    }

    fn end_session(&mut self) {
        self.peer = None;
        self.session = None;
        self.connected = false;
        self.channel_open = false;
        self.camera = None;
        self.streams.clear();
    }

    fn check(&mut self, result: Result<(), PeerError>) {
        if let Err(error) = result {
            self.events.push_back(Event::Failed(error.to_string()));
        }
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        if let Some(peer) = &mut self.peer {
            let done = peer.handle_datagram(now, from, bytes);
            self.check(done);
            self.collect(now);
        }
    }

    /// Lets time pass: sends media that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Requesting { retry } if retry <= now) {
            self.ask_focus(now);
        }
        let done = self.send_due(now);
        self.check(done);
        self.collect(now);
    }

    fn send_due(&mut self, now: Instant) -> Result<(), PeerError> {
        let Some(peer) = &mut self.peer else {
            return Ok(());
        };
        if peer.timeout() <= now {
            peer.handle_timeout(now)?;
        }
        if !self.connected {
            return Ok(());
        }
        let stamp = now.saturating_duration_since(self.epoch).as_micros() as u64;
        for frame in self.camera.iter_mut().flat_map(|c| c.capture(now, stamp)) {
            let ssrc = self.sources.video[frame.layer].0;
            let last = frame.packets.len() - 1;
            for (n, packet) in frame.packets.into_iter().enumerate() {
                self.tally.sent_packets += 1;
                self.tally.sent_bytes += packet.len() as u64;
                peer.send_video(now, frame.layer, ssrc, frame.timestamp, n == last, packet)?;
            }
        }
        if self.config.audio && self.next_audio <= now {
            self.next_audio = now + AUDIO_INTERVAL;
            self.audio_ticks = self.audio_ticks.wrapping_add(960);
            let payload = voice(stamp);
            self.tally.sent_packets += 1;
            self.tally.sent_bytes += payload.len() as u64;
            peer.send_audio(
                now,
                self.sources.audio,
                self.audio_ticks,
                spoken(self.audio_level, self.audio_ticks),
                payload,
            )?;
        }
        for (ssrc, stream) in &mut self.streams {
            if stream.ready_at.is_some_and(|at| at <= now) {
                stream.ready_at = None;
                peer.expect(*ssrc, stream.rtx, stream.is_video)?;
                stream.asked_at = now;
            }
            if stream.is_video
                && stream.ready_at.is_none()
                && stream.assembler.lacks_picture(now)
                && stream.asked_at + KEY_FRAME_RETRY <= now
            {
                stream.asked_at = now;
                peer.request_key_frame(*ssrc)?;
            }
        }
        Ok(())
    }

    /// Turns what the session has to tell into state.
    fn collect(&mut self, now: Instant) {
        while let Some(event) = self.peer.as_mut().and_then(|peer| peer.events.pop_front()) {
            match event {
                PeerEvent::Connected => {
                    self.connected = true;
                    self.camera = self
                        .config
                        .video
                        .clone()
                        .map(|video| Camera::new(video, now));
                    self.events.push_back(Event::Connected);
                }
                PeerEvent::ChannelOpen => self.channel_opened(),
                PeerEvent::Text(text) => self.handle_text(now, &text),
                PeerEvent::Rtp(packet) => self.handle_rtp(now, &packet),
                PeerEvent::KeyFrameWanted => {
                    if let Some(camera) = &mut self.camera {
                        camera.request_key_frame();
                    }
                }
                PeerEvent::Closed => {
                    self.connected = false;
                    self.camera = None;
                    self.events
                        .push_back(Event::Failed("the session closed".into()));
                }
            }
        }
    }

    fn channel_opened(&mut self) {
        self.channel_open = true;
        self.events.push_back(Event::ChannelOpen);
        self.ask();
    }

    /// Asks for every video in at most this height.
    pub fn ask_height(&mut self, max_height: i32) {
        self.arrange(Layout::tiles(max_height));
    }

    /// Arranges the pictures, and asks for what that needs.
    pub fn arrange(&mut self, layout: Layout) {
        self.layout = layout;
        self.ask();
    }

    fn ask(&mut self) {
        let constraints = self.layout.constraints(self.speaker.as_deref());
        let text = ClientMessage::ReceiverVideoConstraints(constraints).to_json();
        if let Some(peer) = self.peer.as_mut().filter(|_| self.channel_open) {
            let sent = peer.send_text(&text);
            self.check(sent);
        }
    }

    fn handle_text(&mut self, now: Instant, text: &str) {
        match BridgeMessage::parse(text) {
            Ok(BridgeMessage::VideoSourcesMap(map)) => {
                for m in map.mapped_sources {
                    self.map_stream(now, m.ssrc, m.source, true, Some(m.rtx));
                }
            }
            Ok(BridgeMessage::AudioSourcesMap(map)) => {
                for m in map.mapped_sources {
                    self.map_stream(now, m.ssrc, m.source, false, None);
                }
            }
            Ok(BridgeMessage::SenderSourceConstraints(c)) => {
                if let Some(camera) = &mut self.camera {
                    camera.limit_height(c.max_height);
                }
            }
            Ok(BridgeMessage::DominantSpeaker(speaker)) => {
                let endpoint = speaker.dominant_speaker_endpoint;
                self.speaker = Some(endpoint.clone());
                if self.layout.follows_speaker() {
                    self.ask();
                }
                self.events.push_back(Event::DominantSpeaker(endpoint));
            }
            _ => {}
        }
    }

    fn map_stream(
        &mut self,
        now: Instant,
        ssrc: u32,
        source: String,
        is_video: bool,
        rtx: Option<u32>,
    ) {
        // A map may come again while its stream is still being made.
        let ready_at = match self.streams.get(&ssrc) {
            Some(stream) => stream.ready_at,
            None => Some(now + RENEGOTIATION),
        };
        self.streams
            .retain(|other, stream| *other == ssrc || stream.source != source);
        if is_video {
            self.stats.entry(source.clone()).or_default();
        }
        let stream = Stream {
            source,
            rtx,
            is_video,
            gaps: Gaps::default(),
            assembler: Assembler::default(),
            ready_at,
            asked_at: now,
        };
        self.streams.insert(ssrc, stream);
    }

    fn handle_rtp(&mut self, now: Instant, packet: &str0m::rtp::RtpPacket) {
        let Some(stream) = self.streams.get_mut(&*packet.header.ssrc) else {
            return;
        };
        stream.gaps.note(*packet.seq_no, &mut self.tally.lost);
        let bytes = packet.payload.len() as u64;
        let elapsed = now.saturating_duration_since(self.epoch).as_micros() as u64;
        if !stream.is_video {
            self.tally.audio_packets += 1;
            self.tally.audio_bytes += bytes;
            match self.audio_packets.get_mut(&stream.source) {
                Some(packets) => *packets += 1,
                None => {
                    self.audio_packets.insert(stream.source.clone(), 1);
                }
            }
            let stamp = voice_stamp(&packet.payload);
            let latency = stamp.map(|stamp| elapsed.saturating_sub(stamp));
            self.voice_latencies.extend(latency);
            return;
        }
        self.tally.video_packets += 1;
        self.tally.video_bytes += bytes;
        let Some(stats) = self.stats.get_mut(&stream.source) else {
            return;
        };
        let header = &packet.header;
        stream.assembler.receive(
            now,
            *packet.seq_no,
            header.timestamp,
            header.marker,
            &packet.payload,
            stats,
        );
        for stamp in stream.assembler.stamps.drain(..) {
            self.latencies.push(elapsed.saturating_sub(stamp));
        }
    }

    /// Writes to everybody in the room.
    pub fn chat(&mut self, text: &str) {
        let id = self.id();
        self.stanzas.push_back(
            element("message", ns::CLIENT)
                .attr("to", &self.config.room)
                .attr("type", "groupchat")
                .attr("id", id)
                .child(element("body", ns::CLIENT).text(text))
                .done(),
        );
    }

    /// Speaks at this level (-127 to 0 dBov) from now on.
    pub fn speak(&mut self, level: i8) {
        self.audio_level = level;
    }

    /// Captures this many frames a second from now on, each as large as before.
    pub fn film(&mut self, frame_rate: u32) {
        if let Some(video) = &mut self.config.video {
            let mean = |bitrate: u32| u64::from(bitrate) * u64::from(frame_rate.max(1));
            for layer in &mut video.layers {
                let bitrate = mean(layer.bitrate) / u64::from(video.frame_rate.max(1));
                layer.bitrate = u32::try_from(bitrate).unwrap_or(u32::MAX);
            }
            video.frame_rate = frame_rate.max(1);
        }
        if let Some(camera) = &mut self.camera {
            camera.set_frame_rate(frame_rate);
        }
    }

    /// Leaves the room.
    pub fn leave(&mut self) {
        let to = format!("{}/{}", self.config.room, self.endpoint);
        let presence = element("presence", ns::CLIENT)
            .attr("to", to)
            .attr("type", "unavailable");
        self.stanzas.push_back(presence.done());
        self.phase = Phase::Left;
        self.end_session();
    }

    /// The next stanza to send.
    pub fn poll_stanza(&mut self) -> Option<Element> {
        self.stanzas.pop_front()
    }

    /// The next datagram to send, and where.
    pub fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.peer.as_mut()?.transmits.pop_front()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Bot::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let request = match self.phase {
            Phase::Requesting { retry } => Some(retry),
            _ => None,
        };
        let peer = self.peer.as_ref().map(Peer::timeout);
        let camera = self.camera.as_ref().map(Camera::next_at);
        let audio = (self.connected && self.config.audio).then_some(self.next_audio);
        let streams = self.streams.values().filter_map(|s| s.ready_at).min();
        [request, peer, camera, audio, streams]
            .into_iter()
            .flatten()
            .min()
    }

    /// Address the bot's datagrams come from.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.config.local
    }

    /// Endpoint id: the bot's nickname in the room.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Video received, by source name.
    #[must_use]
    pub fn video(&self) -> &BTreeMap<String, SourceStats> {
        &self.stats
    }

    /// Audio packets received, by source name.
    #[must_use]
    pub fn audio(&self) -> &BTreeMap<String, u64> {
        &self.audio_packets
    }

    /// Frames the bot's camera has captured in this session.
    #[must_use]
    pub fn frames_captured(&self) -> u32 {
        self.camera.as_ref().map_or(0, Camera::frames)
    }

    /// Takes the delays, in microseconds from camera to decoder, of the frames decoded since the last call.
    pub fn take_latencies(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.latencies)
    }

    /// Takes the delays, in microseconds, of the audio packets received since the last call.
    pub fn take_voice_latencies(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.voice_latencies)
    }

    /// Cameras received now.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.streams.values().filter(|s| s.is_video).count()
    }

    /// What was sent and received, over all sources.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

/// Whether a presence is the receiver's own (XEP-0045 §7.2.2).
fn has_self_status(presence: &Element) -> bool {
    muc::User::of(presence).is_some_and(|user| user.has(110))
}

/// Speech is no tone: syllables of 160 ms with pauses of 80 ms, 30 dB below.
fn spoken(level: i8, ticks: u32) -> i8 {
    let packet = ticks / 960 % 12;
    if packet < 8 || level <= -97 {
        level
    } else {
        level - 30
    }
}

fn transport_of(jingle: &Jingle) -> Option<&IceTransport> {
    jingle.contents.iter().find_map(|c| c.transport.as_ref())
}

fn refusal(stanza: &Element) -> String {
    stanza
        .children()
        .find(|c| c.name() == "error")
        .and_then(|error| error.children().next())
        .map_or_else(
            || "refused".to_owned(),
            |condition| condition.name().to_owned(),
        )
}
