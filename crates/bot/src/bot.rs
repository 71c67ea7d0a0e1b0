//! A participant without IO.

mod features;
mod view;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use channel::{BridgeMessage, ClientMessage};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use stanza::element;
use stanza::jingle::{Action, Jingle, Moving};
use stanza::jitsi::conference::ConferenceRequest;
use stanza::media::IceTransport;
use stanza::{BareJid, Element, ElementExt, FullJid, iq, muc, ns};
use str0m::config::DtlsCert;

use crate::call::{Call, Seen};
use crate::event::Event;
use crate::layout::Layout;
use crate::media::{AUDIO_INTERVAL, Camera, VideoSpec, voice};
use crate::peer::{Local, Peer, PeerError, PeerEvent, credentials};
use crate::session::{Codecs, LocalSources, answer};

/// After so long on a session beside another one, the other one is left whatever is missing.
const MOVE_PATIENCE: Duration = Duration::from_secs(4);
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
    /// Whether it takes a new session beside the one it has, so that a move to another bridge costs nothing.
    pub moves: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Offline,
    Requesting { retry: Instant },
    Joining,
    Joined,
    Left,
}

/// One of the sessions that a bot may have at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Call,
    Next,
    Former,
}

/// A participant: stanzas and datagrams in and out.
pub struct Bot {
    config: BotConfig,
    phase: Phase,
    jid: Option<FullJid>,
    endpoint: String,
    /// Who offered the session.
    focus: String,
    ids: u64,
    request: Option<String>,
    sources: LocalSources,
    /// What comes is counted and not decrypted.
    counts: bool,
    rng: ChaCha8Rng,
    /// Certificate of all its sessions; without, each has its own.
    certificate: Option<DtlsCert>,
    /// The session whose media are shown.
    call: Option<Call>,
    /// One that will take its place, and what comes on it.
    next: Option<(Call, Seen)>,
    /// One whose place was taken and that was not ended yet.
    former: Option<Call>,
    camera: Option<Camera>,
    next_audio: Instant,
    audio_level: i8,
    /// Key frames are made of all layers, whichever is asked for.
    all_key_frames: bool,
    audio_ticks: u32,
    epoch: Instant,
    seen: Seen,
    occupants: BTreeSet<String>,
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
            focus: String::new(),
            ids: 0,
            request: None,
            sources,
            counts: false,
            rng,
            certificate: None,
            call: None,
            next: None,
            former: None,
            camera: None,
            next_audio: epoch,
            audio_level: -127,
            all_key_frames: false,
            audio_ticks: 0,
            epoch,
            seen: Seen::default(),
            occupants: BTreeSet::new(),
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
        let muted = |yes: bool| format!("{{\"muted\":{yes}}}");
        let sources = format!(
            "{{\"{0}-a0\":{1},\"{0}-v0\":{2}}}",
            self.endpoint,
            muted(!self.config.audio),
            muted(self.config.video.is_none())
        );
        element("presence", ns::CLIENT)
            .attr("to", format!("{}/{}", self.config.room, self.endpoint))
            .child(features::in_presence(self.config.moves))
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
                if nick == "focus" && self.phase != Phase::Left {
                    // The focus is gone: ask for it again, as clients do.
                    self.end_session();
                    self.ask_focus(now);
                } else if self.occupants.remove(&nick) {
                    self.events.push_back(Event::OccupantLeft(nick));
                }
            }
            None if me && self.phase == Phase::Joining && has_self_status(stanza) => {
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
        if let Some(answer) = features::answer(stanza, self.config.moves) {
            return self.stanzas.push_back(answer);
        }
        let jingle = Jingle::element_of(stanza).and_then(|e| Jingle::try_from(e).ok());
        self.stanzas.push_back(iq::result_to(stanza, None));
        let Some(jingle) = jingle else { return };
        let from = stanza.attr("from").unwrap_or_default().to_owned();
        match jingle.action {
            Action::SessionInitiate => self.start(now, Action::SessionAccept, &from, jingle),
            Action::TransportReplace => self.start(now, Action::TransportAccept, &from, jingle),
            Action::TransportInfo => {
                let calls = [self.call.as_mut(), self.next.as_mut().map(|(call, _)| call)];
                let call = calls.into_iter().flatten().find(|c| c.sid() == jingle.sid);
                if let (Some(call), Some(transport)) = (call, transport_of(&jingle)) {
                    let done = call.peer.add_candidates(transport);
                    self.check(done);
                }
            }
            Action::SessionTerminate => self.terminated(now, &jingle.sid),
            Action::SessionInfo if jingle.moving == Some(Moving::Done) => {
                let next = self.next.as_mut().map(|(call, _)| call);
                if let Some(next) = next.filter(|next| next.sid() == jingle.sid) {
                    next.fill(now);
                    self.ask();
                }
            }
            _ => {}
        }
    }

    /// Begins a session, beside the one there is or in its place, or replaces its transport.
    fn start(&mut self, now: Instant, action: Action, to: &str, mut offer: Jingle) {
        if action == Action::TransportAccept {
            // A replaced transport may come without the codecs: they stay.
            let Some(call) = &self.call else {
                return;
            };
            if Codecs::of_offer(&offer).is_none() {
                let transport = transport_of(&offer).cloned();
                offer.contents.clone_from(&call.offer.contents);
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
        let spare = matches!(offer.moving, Some(Moving::Spare(_)));
        let beside = self.call.as_ref().is_some_and(|call| call.bears(&offer));
        let beside = beside && self.config.moves;
        if !beside {
            self.end_session();
        }
        let transport = transport_of(&offer).cloned().unwrap_or_default();
        let local = Local {
            address: self.config.local,
            credentials: credentials(&mut self.rng),
            certificate: self.certificate.clone(),
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
        self.focus = to.to_owned();
        let id = self.id();
        self.stanzas.push_back(iq::set(to, &id, &accept));
        let mut call = Call::new(offer, peer);
        call.spare = beside && spare;
        match beside {
            true => self.next = Some((call, Seen::default())),
            false => self.call = Some(call),
        }
        self.collect(now);
    }

    /// The focus ended a session.
    fn terminated(&mut self, now: Instant, sid: &str) {
        self.former.take_if(|call| call.sid() == sid);
        self.next.take_if(|(call, _)| call.sid() == sid);
        if self.call.as_ref().is_none_or(|call| call.sid() != sid) {
            return;
        }
        self.events.push_back(Event::SessionEnded);
        match self.next.is_some() {
            true => {
                self.take_next(now);
                self.former = None;
                if self.call.as_ref().is_some_and(|c| c.connected.is_some()) {
                    self.events.push_back(Event::Connected);
                }
            }
            false => self.end_session(),
        }
    }

    /// The session beside takes the place of the other one.
    fn take_next(&mut self, now: Instant) {
        let Some((mut call, seen)) = self.next.take() else {
            return;
        };
        call.go_on();
        call.spare = false;
        if call.connected.is_none() {
            self.camera = None;
        }
        self.seen.go_on_with(seen);
        self.former = self.call.replace(call);
        self.ask();
        self.collect(now);
    }

    /// Takes the session beside when it carries everything, and says so.
    fn move_on(&mut self, now: Instant) {
        let (Some(call), Some((next, _))) = (&self.call, &self.next) else {
            return;
        };
        let Some(since) = next.connected.filter(|_| !next.spare) else {
            return;
        };
        let ready = next.channel_open && next.has_all_of(now, call);
        if !ready && since + MOVE_PATIENCE > now {
            return;
        }
        let mut done = Jingle::new(Action::SessionInfo, next.sid());
        done.moving = Some(Moving::Done);
        let (to, id) = (self.focus.clone(), self.id());
        self.stanzas.push_back(iq::set(&to, &id, &done));
        self.take_next(now);
        self.events.push_back(Event::Moved);
    }

    fn end_session(&mut self) {
        (self.call, self.next, self.former) = (None, None, None);
        self.camera = None;
    }

    fn calls(&mut self) -> impl Iterator<Item = &mut Call> {
        let next = self.next.as_mut().map(|(call, _)| call);
        let all = self.call.iter_mut().chain(next);
        all.chain(&mut self.former)
    }

    fn check(&mut self, result: Result<(), PeerError>) {
        if let Err(error) = result {
            self.events.push_back(Event::Failed(error.to_string()));
        }
    }

    /// From now on counts what comes by its clear headers, and tells the bridge of it by transport-wide feedback; nothing
    /// is decrypted, shown, repaired or dated. What a bridge can do is seen by those who do not: see [`Crowd`](crate::Crowd).
    pub fn count(&mut self) {
        self.counts = true;
    }

    /// Takes a datagram of media by counting it, if that is wanted; there is nothing else to do for it then.
    pub(crate) fn count_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> bool {
        let alone = self.next.is_none() && self.former.is_none();
        if !self.counts || !alone {
            return false;
        }
        // What it sends feedback with sends nothing else: it has no video.
        let sender = !self.sources.audio;
        let call = self.call.as_mut();
        call.is_some_and(|call| call.count(now, from, bytes, sender, &mut self.seen))
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let alone = self.next.is_none() && self.former.is_none();
        let mut calls = self.calls();
        let call = calls.find(|call| alone || call.peer.accepts(now, from, bytes));
        let done = call.map(|call| call.peer.handle_datagram(now, from, bytes));
        drop(calls);
        self.check(done.unwrap_or(Ok(())));
        self.collect(now);
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
        for call in self.calls() {
            if call.peer.timeout() <= now {
                call.peer.handle_timeout(now)?;
            }
        }
        if self.calls().all(|call| !call.carries()) {
            return self.receive_due(now);
        }
        let stamp = now.saturating_duration_since(self.epoch).as_micros() as u64;
        let frames = self.camera.iter_mut().flat_map(|c| c.capture(now, stamp));
        for frame in frames.collect::<Vec<_>>() {
            let ssrc = self.sources.video[frame.layer].0;
            let last = frame.packets.len() - 1;
            for (n, packet) in frame.packets.into_iter().enumerate() {
                self.seen.tally.sent_packets += 1;
                self.seen.tally.sent_bytes += packet.len() as u64;
                for call in self.calls().filter(|call| call.carries()) {
                    let (layer, time) = (frame.layer, frame.timestamp);
                    let packet = packet.clone();
                    call.peer
                        .send_video(now, layer, ssrc, time, n == last, packet)?;
                }
            }
        }
        if self.config.audio && self.next_audio <= now {
            self.next_audio = now + AUDIO_INTERVAL;
            self.audio_ticks = self.audio_ticks.wrapping_add(960);
            let payload = voice(stamp);
            self.seen.tally.sent_packets += 1;
            self.seen.tally.sent_bytes += payload.len() as u64;
            let (ssrc, ticks) = (self.sources.audio, self.audio_ticks);
            let level = spoken(self.audio_level, ticks);
            for call in self.calls().filter(|call| call.carries()) {
                call.peer
                    .send_audio(now, ssrc, ticks, level, payload.clone())?;
            }
        }
        self.receive_due(now)
    }

    /// Who may be heard on a spare session is made ready for as well.
    fn receive_due(&mut self, now: Instant) -> Result<(), PeerError> {
        for call in self.calls().filter(|call| call.connected.is_some()) {
            call.receive_due(now)?;
        }
        Ok(())
    }

    /// Turns what the sessions have to tell into state.
    fn collect(&mut self, now: Instant) {
        for which in [Which::Call, Which::Next, Which::Former] {
            while let Some(event) = self.which(which).and_then(|c| c.peer.events.pop_front()) {
                self.handle_event(now, which, event);
            }
        }
        self.move_on(now);
    }

    fn which(&mut self, which: Which) -> Option<&mut Call> {
        match which {
            Which::Call => self.call.as_mut(),
            Which::Next => self.next.as_mut().map(|(call, _)| call),
            Which::Former => self.former.as_mut(),
        }
    }

    fn handle_event(&mut self, now: Instant, which: Which, event: PeerEvent) {
        match event {
            PeerEvent::Connected => {
                if let Some(call) = self.which(which) {
                    call.connected = Some(now);
                }
                // One camera for all sessions.
                if which == Which::Call {
                    let video = self.config.video.clone();
                    self.camera = video.map(|video| Camera::new(video, now));
                    self.events.push_back(Event::Connected);
                }
            }
            PeerEvent::ChannelOpen => {
                if let Some(call) = self.which(which) {
                    call.channel_open = true;
                }
                if which == Which::Call {
                    self.events.push_back(Event::ChannelOpen);
                }
                self.ask();
            }
            PeerEvent::Text(text) => self.handle_text(now, which, &text),
            PeerEvent::Rtp(packet) => {
                let elapsed = now.saturating_duration_since(self.epoch).as_micros() as u64;
                match (which, &mut self.call, &mut self.next) {
                    (Which::Call, Some(call), _) => {
                        call.handle_rtp(now, elapsed, &packet, &mut self.seen);
                    }
                    (Which::Next, _, Some((call, seen))) => {
                        call.handle_rtp(now, elapsed, &packet, seen);
                    }
                    // What still comes on a former session is not shown.
                    _ => {}
                }
            }
            PeerEvent::KeyFrameWanted(layer) => {
                if let Some(camera) = &mut self.camera {
                    camera.request_key_frame(layer.filter(|_| !self.all_key_frames));
                }
            }
            PeerEvent::Disconnected if which == Which::Call => self.complain(),
            PeerEvent::Disconnected => {}
            PeerEvent::Closed => self.closed(now, which),
        }
    }

    /// Tells the focus, once, that the session has no path to the bridge, as clients do.
    fn complain(&mut self) {
        let Some(call) = self.call.as_mut().filter(|call| !call.complained) else {
            return;
        };
        call.complained = true;
        let mut info = Jingle::new(Action::SessionInfo, call.sid());
        info.ice_state = Some("failed".to_owned());
        info.bridge_session.clone_from(&call.offer.bridge_session);
        let (to, id) = (self.focus.clone(), self.id());
        self.stanzas.push_back(iq::set(&to, &id, &info));
    }

    fn closed(&mut self, now: Instant, which: Which) {
        match which {
            // A bridge that ends closes what the focus will end: the camera goes on for the other one.
            Which::Call if self.next.is_some() => self.take_next(now),
            Which::Call => {
                if let Some(call) = &mut self.call {
                    call.connected = None;
                }
                self.camera = None;
                self.events
                    .push_back(Event::Failed("the session closed".into()));
            }
            Which::Next => self.next = None,
            Which::Former => self.former = None,
        }
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
        let next = self.next.as_mut().map(|(call, _)| call);
        let calls = self.call.iter_mut().chain(next);
        let open = calls.filter(|call| call.channel_open && !call.spare);
        let sent: Vec<_> = open.map(|call| call.peer.send_text(&text)).collect();
        sent.into_iter().for_each(|sent| self.check(sent));
    }

    fn handle_text(&mut self, now: Instant, which: Which, text: &str) {
        let (call, seen) = match (which, &mut self.call, &mut self.next) {
            (Which::Call, Some(call), _) => (call, &mut self.seen),
            (Which::Next, _, Some((call, seen))) => (call, seen),
            _ => return,
        };
        match BridgeMessage::parse(text) {
            Ok(BridgeMessage::VideoSourcesMap(map)) => {
                for m in map.mapped_sources {
                    call.map(now, m.ssrc, m.source, Some(m.rtx), seen);
                }
            }
            Ok(BridgeMessage::AudioSourcesMap(map)) => {
                for m in map.mapped_sources {
                    call.map(now, m.ssrc, m.source, None, seen);
                }
            }
            Ok(BridgeMessage::SenderSourceConstraints(c)) => {
                call.wanted = Some(c.max_height);
                let all = self.calls().filter_map(|call| call.wanted);
                // Negative: everything.
                let most = all.max_by_key(|height| *height as u32);
                if let (Some(camera), Some(most)) = (&mut self.camera, most) {
                    camera.limit_height(most);
                }
            }
            Ok(BridgeMessage::DominantSpeaker(speaker)) if which == Which::Call => {
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

    /// Answers whoever waits for a key frame of one layer with key frames of all of them, as browsers do that do not know
    /// `x-google-per-layer-pli`.
    pub fn answer_with_all_layers(&mut self) {
        self.all_key_frames = true;
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
        // What it has asked for is not waited for any more.
        self.request = None;
        self.end_session();
    }

    /// The next stanza to send.
    pub fn poll_stanza(&mut self) -> Option<Element> {
        self.stanzas.pop_front()
    }

    /// The next datagram to send, and where.
    pub fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.calls()
            .find_map(|call| call.peer.transmits.pop_front())
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
        let next = self.next.as_ref().map(|(call, _)| call);
        let calls = self.call.iter().chain(next).chain(&self.former);
        let peers = calls.clone().map(|call| call.peer.timeout());
        let camera = self.camera.as_ref().map(Camera::next_at);
        let carries = calls.clone().any(Call::carries);
        let audio = (carries && self.config.audio).then_some(self.next_audio);
        let streams = calls.filter(|call| call.connected.is_some());
        let streams = streams.filter_map(Call::stream_due).min();
        let others = [request, camera, audio, streams].into_iter().flatten();
        others.chain(peers).min()
    }

    /// Makes all its sessions use this certificate and its PKCS #8 key, both DER, instead of new ones.
    pub fn set_certificate(&mut self, certificate: Vec<u8>, private_key: Vec<u8>) {
        self.certificate = Some(DtlsCert {
            certificate,
            private_key,
        });
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
