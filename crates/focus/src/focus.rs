//! The focus as its host sees it: stanzas and time in, stanzas, events and answers out.
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use stanza::disco::Info;
use stanza::element;
use stanza::error::{Condition, StanzaError};
use stanza::jitsi::conference::{ConferenceRequest, ConferenceResponse};
use stanza::jitsi::moderation::ComponentMessage;
use stanza::jitsi::mute::Mute;
use stanza::muc::{self, User};
use stanza::{BareJid, Element, ElementExt, FullJid, iq, ns};
use thiserror::Error;

use crate::NICK;
use crate::bridges::Bridges;
use crate::conference::{Conference, Cx, Phase, Waiter, is_served};
use crate::config::FocusConfig;
use crate::event::{Event, FocusStats};
use crate::features::CapsCache;
use crate::io::{Io, Purpose, Timer};

/// Names a conference request that came over HTTP until its answer is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

/// Why a conference request got no answer with a conference in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The room is on a host this focus does not serve (HTTP: 400).
    #[error("this focus does not serve the host of the room")]
    ForeignRoom,
    /// The focus is not connected to its XMPP server (HTTP: 503).
    #[error("the focus is not connected")]
    Offline,
    /// As many conferences as allowed exist (HTTP: 503).
    #[error("too many conferences")]
    TooMany,
}

/// Addresses of the components that talk to the focus.
#[derive(Debug, Default)]
struct Components {
    av_moderation: Option<String>,
    room_metadata: Option<String>,
}

/// The focus of one XMPP deployment.
#[derive(Debug)]
pub struct Focus {
    config: FocusConfig,
    seed: [u8; 32],
    /// Made with the first input, which brings the time.
    io: Option<Io>,
    online: bool,
    offline_since: Option<Instant>,
    bridges: Bridges,
    caps: CapsCache,
    components: Components,
    conferences: BTreeMap<BareJid, Conference>,
    /// Rooms to be entered again on a new stream.
    to_return: VecDeque<BareJid>,
    /// Those that were asked to let the focus in again.
    returning: BTreeSet<BareJid>,
    /// Something that a snapshot holds may have changed.
    changed: bool,
    /// Rooms just left, with the number of goodbyes the server still has to confirm.
    leaving: HashMap<BareJid, u32>,
    next_request: u64,
}

/// Runs `$body` with the conference of a room and what it needs of the focus.
macro_rules! with_conference {
    ($self:ident, $room:expr, |$conference:ident, $cx:ident| $body:expr) => {
        if let (Some(io), Some($conference)) = ($self.io.as_mut(), $self.conferences.get_mut($room))
        {
            let config = &$self.config;
            $self.changed = true;
            #[allow(unused_mut)]
            let mut cx = Cx {
                config,
                io,
                bridges: &mut $self.bridges,
                caps: &mut $self.caps,
            };
            let $cx = &mut cx;
            $body;
        }
    };
}

mod adopt;

impl Focus {
    /// A focus that is not connected yet. All ids it makes follow from `seed`.
    #[must_use]
    pub fn new(config: FocusConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            seed,
            io: None,
            online: false,
            offline_since: None,
            bridges: Bridges::default(),
            caps: CapsCache::default(),
            components: Components::default(),
            conferences: BTreeMap::new(),
            to_return: VecDeque::new(),
            returning: BTreeSet::new(),
            changed: false,
            leaving: HashMap::new(),
            next_request: 0,
        }
    }

    fn at(&mut self, now: Instant) -> &mut Io {
        let io = self.io.get_or_insert_with(|| Io::new(now, self.seed));
        io.now = io.now.max(now);
        io
    }

    /// Takes one stanza from the server.
    pub fn handle_stanza(&mut self, now: Instant, stanza: &Element) {
        self.at(now);
        match stanza.name() {
            "presence" => self.on_presence(stanza),
            "iq" => self.on_iq(stanza),
            "message" => self.on_message(stanza),
            _ => {}
        }
        self.settle();
    }

    /// Takes a conference request that came over HTTP; the answer comes from [`Focus::poll_reply`], at the latest
    /// after twice [`FocusConfig::reply_timeout`].
    pub fn conference_request(&mut self, now: Instant, request: ConferenceRequest) -> RequestId {
        self.at(now);
        let id = RequestId(self.next_request);
        self.next_request += 1;
        if let Err((error, _)) = self.request(&request, Waiter::Http(id))
            && let Some(io) = self.io.as_mut()
        {
            io.reply(id, Err(error));
        }
        self.settle();
        id
    }

    /// Gives the request to its conference. Otherwise the waiter comes back.
    fn request(
        &mut self,
        request: &ConferenceRequest,
        waiter: Waiter,
    ) -> Result<(), (RequestError, Waiter)> {
        if !self.online {
            return Err((RequestError::Offline, waiter));
        }
        if !is_served(&self.config, &request.room) {
            return Err((RequestError::ForeignRoom, waiter));
        }
        let known = self.conferences.contains_key(&request.room);
        if !known && self.conferences.len() >= self.config.max_conferences {
            return Err((RequestError::TooMany, waiter));
        }
        let Some(io) = self.io.as_mut() else {
            return Err((RequestError::Offline, waiter));
        };
        let mut cx = Cx {
            config: &self.config,
            io,
            bridges: &mut self.bridges,
            caps: &mut self.caps,
        };
        let conference = self
            .conferences
            .entry(request.room.clone())
            .or_insert_with(|| Conference::start(&mut cx, request));
        conference.ask(&mut cx, waiter);
        Ok(())
    }

    fn on_presence(&mut self, stanza: &Element) {
        let Some(from) = stanza
            .jid("from")
            .and_then(|from| from.try_into_full().ok())
        else {
            return;
        };
        let room = from.to_bare();
        let nick = from.resource().as_str();
        if room == self.config.brewery {
            return self.on_brewery_presence(&from, stanza);
        }
        if nick == NICK && self.is_of_former_stay(&room, stanza) {
            return;
        }
        with_conference!(self, &room, |conference, cx| conference
            .on_presence(cx, nick, stanza));
    }

    /// The room still speaks of the time before the focus left it, while the focus may already be joining again.
    fn is_of_former_stay(&mut self, room: &BareJid, presence: &Element) -> bool {
        let Some(count) = self.leaving.get_mut(room) else {
            return false;
        };
        if presence.attr("type") == Some("unavailable") {
            *count -= 1;
            if *count == 0 {
                self.leaving.remove(room);
            }
        }
        true
    }

    fn on_brewery_presence(&mut self, from: &FullJid, stanza: &Element) {
        let Some(io) = self.io.as_mut() else { return };
        let own = User::of(stanza).is_some_and(|user| user.has(muc::status::SELF))
            || from.resource().as_str() == NICK;
        match stanza.attr("type") {
            None if !own => self
                .bridges
                .on_presence(io, &self.config.bridges, from, stanza),
            Some("unavailable") if !own => self.bridges.on_gone(io, from),
            Some(kind @ ("unavailable" | "error")) => {
                io.warn(format!("the brewery answers {kind}: no bridges are known"))
            }
            _ => {}
        }
    }

    fn on_message(&mut self, stanza: &Element) {
        let Some(from) = stanza.attr("from") else {
            return;
        };
        let from = Some(from);
        let from_moderation = from == self.components.av_moderation.as_deref();
        let from_metadata = from == self.components.room_metadata.as_deref();
        match ComponentMessage::of_message(stanza) {
            Some(ComponentMessage::AvModeration(message)) if from_moderation => {
                let room = message.room.clone();
                with_conference!(self, &room, |conference, cx| conference
                    .on_moderation(cx, message));
            }
            Some(ComponentMessage::RoomMetadata(metadata)) if from_metadata => {
                let (audio, video) = (metadata.start_audio_muted, metadata.start_video_muted);
                if let Some(conference) = self.conferences.get_mut(&metadata.room) {
                    conference.on_start_muted(audio, video);
                    self.changed = true;
                }
            }
            _ => {}
        }
    }

    fn on_iq(&mut self, stanza: &Element) {
        if iq::is_response(stanza) {
            let purpose = self.io.as_mut().and_then(|io| io.take_pending(stanza));
            if let Some(purpose) = purpose {
                self.on_answer(purpose, Some(stanza));
            }
        } else if iq::is_request(stanza) {
            self.on_request(stanza);
        }
    }

    /// An IQ of somebody: each gets an answer.
    fn on_request(&mut self, stanza: &Element) {
        let Some(from) = stanza.jid("from") else {
            let answer = StanzaError::new(Condition::JidMalformed).reply_to(stanza);
            if let Some(io) = self.io.as_mut() {
                io.answer(answer);
            }
            return;
        };
        if self.io.as_mut().is_some_and(|io| io.is_repeated(stanza)) {
            return;
        }
        if let Some(payload) = stanza.get_child("conference", ns::FOCUS) {
            return self.on_conference_iq(stanza, payload);
        }
        let room = from.to_bare();
        let nick = from.resource().map(|nick| nick.as_str().to_owned());
        if let Some(nick) = nick.filter(|_| self.conferences.contains_key(&room)) {
            if let Some(jingle) = stanza::jingle::Jingle::element_of(stanza) {
                with_conference!(self, &room, |conference, cx| conference
                    .on_jingle(cx, &nick, stanza, jingle));
                return;
            }
            if let Some(mute) = Mute::of_iq(stanza) {
                with_conference!(self, &room, |conference, cx| conference
                    .on_mute(cx, &nick, stanza, &mute));
                return;
            }
        }
        let answer = if stanza.has_child("ping", ns::PING) {
            iq::result_to(stanza, None)
        } else if stanza.has_child("query", ns::DISCO_INFO) {
            iq::result_to(stanza, Some(own_features().into()))
        } else if stanza.has_child("jingle", ns::JINGLE) || Mute::of_iq(stanza).is_some() {
            StanzaError::new(Condition::ItemNotFound)
                .with_text("no such conference")
                .reply_to(stanza)
        } else {
            StanzaError::new(Condition::ServiceUnavailable).reply_to(stanza)
        };
        if let Some(io) = self.io.as_mut() {
            io.answer(answer);
        }
    }

    fn on_conference_iq(&mut self, stanza: &Element, payload: &Element) {
        let error = match ConferenceRequest::try_from(payload) {
            Err(error) => StanzaError::new(Condition::BadRequest).with_text(error.to_string()),
            Ok(request) => {
                // The payload is not needed any more, only where the answer goes.
                let waiter = element("iq", ns::CLIENT)
                    .attr_opt("from", stanza.attr("from"))
                    .attr_opt("id", stanza.attr("id"))
                    .attr("type", "set");
                match self.request(&request, Waiter::Iq(waiter.done())) {
                    Ok(()) => return,
                    Err((error, _)) => {
                        let condition = match error {
                            RequestError::ForeignRoom => Condition::NotAllowed,
                            RequestError::TooMany => Condition::ResourceConstraint,
                            RequestError::Offline => Condition::ServiceUnavailable,
                        };
                        StanzaError::new(condition).with_text(error.to_string())
                    }
                }
            }
        };
        if let Some(io) = self.io.as_mut() {
            io.answer(error.reply_to(stanza));
        }
    }

    /// An answer to an IQ of ours, or the certainty that none comes in time.
    fn on_answer(&mut self, purpose: Purpose, answer: Option<&Element>) {
        match purpose {
            Purpose::Components => self.on_components(answer),
            Purpose::Health(bridge) => self.on_health(&bridge, answer),
            Purpose::RoomForm(room) => {
                with_conference!(self, &room, |conference, cx| conference
                    .on_room_form(cx, answer));
                self.refuse_duplicate_meeting(&room);
            }
            Purpose::RoomConfig(room) => {
                with_conference!(self, &room, |conference, cx| conference
                    .on_room_configured(cx, answer));
            }
            Purpose::Features { room, nick, key } => {
                with_conference!(self, &room, |c, cx| c.on_features(
                    cx,
                    &nick,
                    key.as_deref(),
                    answer
                ));
            }
            Purpose::Initiate { room, nick, sid } => {
                with_conference!(self, &room, |c, cx| c
                    .on_offer_answered(cx, &nick, &sid, answer));
            }
            Purpose::Allocate { room, nick, sid } => {
                self.heard_bridge(answer);
                with_conference!(self, &room, |c, cx| c.on_allocated(cx, &nick, &sid, answer));
            }
            Purpose::Update {
                room,
                nick,
                bridge_session,
                modify,
                again,
            } => {
                self.heard_bridge(answer);
                with_conference!(self, &room, |c, cx| c.on_updated(
                    cx,
                    &nick,
                    &bridge_session,
                    *modify,
                    again,
                    answer
                ));
            }
            Purpose::IceRestart { room, nick, sid } => {
                self.heard_bridge(answer);
                with_conference!(self, &room, |c, cx| c
                    .on_ice_restarted(cx, &nick, &sid, answer));
            }
            Purpose::Probe {
                room,
                bridge_session,
                tries,
            } => {
                self.heard_bridge(answer);
                with_conference!(self, &room, |c, cx| c.on_probed(
                    cx,
                    &bridge_session,
                    tries,
                    answer
                ));
            }
            Purpose::Told { .. } => {}
        }
    }

    fn on_components(&mut self, answer: Option<&Element>) {
        let query = answer.and_then(|answer| answer.get_child("query", ns::DISCO_INFO));
        let Some(info) = query.and_then(|query| Info::try_from(query).ok()) else {
            return;
        };
        let component = |kind: &str| {
            let mut all = info
                .identities
                .iter()
                .filter(|i| i.category == "component" && i.kind == kind);
            all.find_map(|identity| identity.name.clone())
        };
        self.components = Components {
            av_moderation: component("av_moderation"),
            room_metadata: component("room_metadata"),
        };
    }

    /// The meeting id is the key on bridges: two conferences must not share it.
    fn refuse_duplicate_meeting(&mut self, room: &BareJid) {
        let Some(id) = self
            .conferences
            .get(room)
            .map(|conference| conference.meeting_id().to_owned())
        else {
            return;
        };
        let taken = self
            .conferences
            .values()
            .any(|other| other.room() != room && other.meeting_id() == id);
        if taken {
            let fresh = self.io.as_mut().map(Io::uuid);
            if let (Some(conference), Some(fresh)) = (self.conferences.get_mut(room), fresh) {
                conference.set_meeting_id(fresh);
            }
        }
    }

    /// Anything that a bridge itself says shows that it lives; errors may come from the room in its place.
    fn heard_bridge(&mut self, answer: Option<&Element>) {
        let Some(answer) = answer.filter(|answer| answer.attr("type") == Some("result")) else {
            return;
        };
        if let (Some(io), Some(from)) = (
            self.io.as_ref(),
            answer
                .jid("from")
                .and_then(|from| from.try_into_full().ok()),
        ) {
            self.bridges.on_heard(io.now, &from);
        }
    }

    fn on_health(&mut self, bridge: &FullJid, answer: Option<&Element>) {
        let (Some(io), Some(answer)) = (self.io.as_ref(), answer) else {
            return;
        };
        let now = io.now;
        match StanzaError::from_stanza(answer) {
            None => self.bridges.on_heard(now, bridge),
            Some(error) => match error.condition {
                Condition::InternalServerError | Condition::ServiceUnavailable => {
                    let text = error.text.unwrap_or_default();
                    self.bridges.on_unwell(
                        now,
                        &self.config.bridges,
                        bridge,
                        &format!("its health check failed: {text}"),
                    );
                }
                Condition::ItemNotFound | Condition::RecipientUnavailable => {}
                _ => self.bridges.on_heard(now, bridge),
            },
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Reply(id) => {
                let purpose = self.io.as_mut().and_then(|io| io.take_overdue(&id));
                if let Some(purpose) = purpose {
                    self.on_answer(purpose, None);
                }
            }
            Timer::Join(room) => {
                with_conference!(self, &room, |conference, cx| conference.on_join_timer(cx));
                // A room that never confirmed a leave does not stand in the way for ever.
                self.leaving.remove(&room);
            }
            Timer::Initial(room) => {
                if let Some(conference) = self.conferences.get_mut(&room) {
                    conference.on_initial_timer();
                }
            }
            Timer::Single(room) => {
                with_conference!(self, &room, |conference, cx| conference.on_single_timer(cx))
            }
            Timer::Retry(room) => {
                with_conference!(self, &room, |conference, cx| conference.on_retry_timer(cx))
            }
            Timer::Doubtful(room) => {
                with_conference!(self, &room, |conference, cx| conference
                    .on_doubtful_timer(cx))
            }
            Timer::Missing(room) => {
                with_conference!(self, &room, |conference, cx| conference
                    .on_missing_timer(cx))
            }
            Timer::Health => self.check_bridges(),
        }
    }

    fn check_bridges(&mut self) {
        let Some(io) = self.io.as_mut() else { return };
        let config = &self.config.bridges;
        for bridge in self.bridges.check(io.now, config) {
            let payload = element("healthcheck", ns::HEALTH);
            io.request(
                "get",
                &bridge,
                payload,
                Purpose::Health(bridge.clone()),
                config.health_timeout,
            );
        }
        io.after(config.health_interval, Timer::Health);
    }

    /// Draws the consequences of an input: conferences that leave a bridge, find one, or are over.
    fn settle(&mut self) {
        // A move may fail at once and cause the next one; more than a few rounds are left to the next input.
        for _ in 0..8 {
            self.judge_bridges();
            self.attach_returned();
            let losses = self.bridges.take_losses();
            let improved = self.bridges.take_improved();
            if losses.is_empty() && !improved {
                break;
            }
            self.changed = true;
            let Some(io) = self.io.as_mut() else { return };
            let mut cx = Cx {
                config: &self.config,
                io,
                bridges: &mut self.bridges,
                caps: &mut self.caps,
            };
            for loss in losses {
                let conferences = self
                    .conferences
                    .values()
                    .filter(|c| c.is_on(&loss.bridge))
                    .count();
                cx.io.totals.bridges_lost += 1;
                let (bridge, reason) = (loss.bridge.clone(), loss.reason.clone());
                cx.io.event(Event::BridgeDown {
                    bridge,
                    reason,
                    conferences,
                });
                for conference in self.conferences.values_mut() {
                    conference.on_bridge_lost(&mut cx, &loss);
                }
            }
            if improved {
                self.conferences
                    .values_mut()
                    .for_each(|conference| conference.on_bridges_improved(&mut cx));
            }
        }
        self.bury();
        self.enter_next_rooms();
    }

    /// Bridges of which people complain.
    fn judge_bridges(&mut self) {
        let Some(now) = self.io.as_ref().map(|io| io.now) else {
            return;
        };
        for bridge in self.bridges.take_reported() {
            let on_it = self.conferences.values().filter(|c| c.is_on(&bridge));
            let count = on_it.count();
            self.bridges
                .judge(now, &self.config.bridges, &bridge, count);
        }
    }

    fn bury(&mut self) {
        let over: Vec<BareJid> = self
            .conferences
            .iter()
            .filter(|(_, conference)| matches!(conference.phase(), Phase::Over(_)))
            .map(|(room, _)| room.clone())
            .collect();
        for room in over {
            let (Some(conference), Some(io)) = (self.conferences.remove(&room), self.io.as_mut())
            else {
                continue;
            };
            let leave = conference.is_inside();
            let mut cx = Cx {
                config: &self.config,
                io,
                bridges: &mut self.bridges,
                caps: &mut self.caps,
            };
            conference.stop(&mut cx, leave);
            self.changed = true;
            if leave {
                *self.leaving.entry(room).or_default() += 1;
            }
        }
    }

    /// The next answer to a [`Focus::conference_request`].
    pub fn poll_reply(&mut self) -> Option<(RequestId, Result<ConferenceResponse, RequestError>)> {
        self.io.as_mut()?.poll_reply()
    }

    /// The next stanza to send. None while the stream is away.
    pub fn poll_transmit(&mut self) -> Option<Element> {
        if !self.online {
            return None;
        }
        self.io.as_mut()?.poll_transmit()
    }

    /// The next decision worth a log line.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.io.as_mut()?.poll_event()
    }

    /// When [`Focus::handle_timeout`] is due, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.offline_since {
            Some(since) => Some(since + self.config.reply_timeout),
            None if self.online => self.io.as_ref()?.next_timeout(),
            None => None,
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.at(now);
        if !self.online {
            // While nothing can be heard, nothing is overdue. Only who waits for an answer is not kept for ever.
            self.dismiss_waiters(now);
            return;
        }
        while let Some(timer) = self.io.as_mut().and_then(Io::take_due) {
            self.on_timer(timer);
            self.settle();
        }
    }

    /// Leaves all rooms and ends all conferences on the bridges, before the host closes the stream.
    pub fn shutdown(&mut self, now: Instant) {
        self.at(now);
        self.changed = true;
        let conferences = std::mem::take(&mut self.conferences);
        let Some(io) = self.io.as_mut() else { return };
        let mut cx = Cx {
            config: &self.config,
            io,
            bridges: &mut self.bridges,
            caps: &mut self.caps,
        };
        for (_, conference) in conferences {
            conference.stop(&mut cx, true);
        }
    }

    /// Counts at this moment.
    #[must_use]
    pub fn stats(&self) -> FocusStats {
        let Some(io) = self.io.as_ref() else {
            return FocusStats::default();
        };
        FocusStats {
            conferences: self.conferences.len(),
            participants: self
                .conferences
                .values()
                .map(Conference::member_count)
                .sum(),
            sessions: self
                .conferences
                .values()
                .map(Conference::session_count)
                .sum(),
            bridges: self.bridges.len(),
            bridges_usable: self.bridges.usable(io.now),
            conferences_total: io.totals.conferences,
            participants_total: io.totals.participants,
            moves_total: io.totals.moves,
            refused_total: io.totals.refused,
            bridges_lost_total: io.totals.bridges_lost,
            adopted_total: io.totals.adopted,
            reinvites_total: io.totals.reinvites,
            given_up_total: io.totals.given_up,
        }
    }
}

/// What the focus answers about itself.
fn own_features() -> Info {
    Info::default()
        .identity("client", "bot", Some("focus"))
        .features([
            ns::DISCO_INFO,
            ns::PING,
            ns::JINGLE,
            "https://jitsi.org/meet/jicofo/terminate-restart",
        ])
}
