//! Stanzas and requests of others.

use std::time::Instant;

use stanza::disco::Info;
use stanza::error::{Condition, StanzaError};
use stanza::jitsi::conference::ConferenceRequest;
use stanza::jitsi::moderation::ComponentMessage;
use stanza::jitsi::mute::Mute;
use stanza::muc::{self, User};
use stanza::{BareJid, Element, ElementExt, FullJid, element, iq, ns};

use super::Focus;
use crate::conference::{Conference, Waiter};
use crate::config::NICK;
use crate::context::Context;
use crate::request::{RequestError, RequestId};

impl Focus {
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
        if !self.config.serves(&request.room) {
            return Err((RequestError::ForeignRoom, waiter));
        }
        let known = self.conferences.contains_key(&request.room);
        if !known && self.conferences.len() >= self.config.max_conferences {
            return Err((RequestError::TooMany, waiter));
        }
        let Some(io) = self.io.as_mut() else {
            return Err((RequestError::Offline, waiter));
        };
        io.totals.requests.0 += 1;
        io.totals.requests.1 += u64::from(!known);
        let mut cx = Context {
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
                if let Some(io) = self.io.as_mut() {
                    io.totals.jingle_received.note(jingle);
                }
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
