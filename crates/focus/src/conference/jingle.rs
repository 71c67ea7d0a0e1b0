//! Jingle requests of participants.
use stanza::colibri2::{Endpoint, Transport};
use stanza::error::{Condition, StanzaError};
use stanza::jingle::{Action, Jingle};
use stanza::media::MediaType;
use stanza::{Element, iq};

use super::Conference;
use super::requests::{Refusal, bundled_transport, read_sources, refuse};
use crate::context::Context;
use crate::event::{Event, IceRestarts, Reinvite};
use crate::sources::SourceSet;

impl Conference {
    /// A participant's Jingle request. Every one is answered.
    pub(crate) fn on_jingle(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        payload: &Element,
    ) {
        let outcome = match Jingle::try_from(payload) {
            Ok(jingle) => self.handle_jingle(cx, nick, request, jingle),
            Err(malformed) => refuse(Condition::BadRequest, malformed.to_string()),
        };
        if let Err((condition, text)) = outcome {
            self.refused(cx, nick, format!("jingle: {text}"));
            cx.io.answer(
                StanzaError::new(condition)
                    .with_text(text)
                    .reply_to(request),
            );
        }
    }

    fn handle_jingle(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        jingle: Jingle,
    ) -> Result<(), Refusal> {
        let Some(member) = self.members.get(nick) else {
            return refuse(Condition::ItemNotFound, "not in the room");
        };
        let current = member
            .session
            .as_ref()
            .is_some_and(|session| session.sid == jingle.sid);
        if !current
            && member
                .next
                .as_ref()
                .is_some_and(|n| n.session.sid == jingle.sid)
        {
            return self.on_next_jingle(cx, nick, request, &jingle);
        }
        if !current {
            // The end of a session that was replaced at the same moment is no mistake.
            if jingle.action == Action::SessionTerminate {
                cx.io.answer(iq::result_to(request, None));
                return Ok(());
            }
            return refuse(Condition::ItemNotFound, "jingle session no longer active");
        }
        match jingle.action {
            Action::SessionAccept => self.on_accept(cx, nick, request, &jingle),
            Action::SessionInfo => self.on_info(cx, nick, request, &jingle),
            Action::SessionTerminate => self.on_terminate(cx, nick, request, &jingle),
            Action::TransportInfo | Action::TransportAccept => {
                self.on_transport(cx, nick, request, &jingle)
            }
            Action::TransportReject => {
                cx.io.answer(iq::result_to(request, None));
                Ok(())
            }
            Action::SourceAdd => self.on_source_add(cx, nick, request, &jingle),
            Action::SourceRemove => self.on_source_remove(cx, nick, request, &jingle),
            _ => refuse(
                Condition::FeatureNotImplemented,
                format!("action {}", jingle.action.name()),
            ),
        }
    }

    fn on_accept(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        let Some(session) = self.members.get(nick).and_then(|m| m.session.as_ref()) else {
            return refuse(Condition::ItemNotFound, "jingle session no longer active");
        };
        if session.active && cx.io.expects_repetitions() {
            // Its first answer may have been lost with a stream of the focus.
            cx.io.answer(iq::result_to(request, None));
            return Ok(());
        }
        if session.active {
            return refuse(
                Condition::UnexpectedRequest,
                "the session is already accepted",
            );
        }
        let Some(transport) = bundled_transport(jingle) else {
            return refuse(Condition::BadRequest, "no content has a transport");
        };
        if let Err(refusal) = self.add_sources(cx, nick, jingle) {
            // Without its sources the session is of no use.
            let read = read_sources(nick, jingle);
            let clash = read.is_ok_and(|sources| self.sources.clashes(nick, &sources));
            self.end_refused(cx, nick, &jingle.sid, &refusal.1, clash);
            return Err(refusal);
        }
        cx.io.answer(iq::result_to(request, None));
        if let Some(member) = self.members.get_mut(nick) {
            (member.refusals, member.clashes) = (0, 0);
            if let Some(session) = member.session.as_mut() {
                session.active = true;
                session.doubtful = false;
            }
        }
        let last_n = jingle
            .contents
            .iter()
            .find(|c| c.name == "video")
            .and_then(|c| c.initial_last_n);
        let endpoint = Endpoint {
            transport: Some(Transport {
                ice: Some(transport),
                ..Transport::default()
            }),
            sources: Some(self.colibri_sources(nick)),
            initial_last_n: last_n,
            ..Endpoint::default()
        };
        self.update_endpoint(cx, nick, endpoint);
        cx.io.event(Event::SessionActive {
            room: self.room.clone(),
            endpoint: nick.to_owned(),
        });
        self.tell_sources(cx, nick);
        self.sync_receiver(cx, nick, None);
        Ok(())
    }

    fn colibri_sources(&self, nick: &str) -> Vec<stanza::colibri2::MediaSource> {
        self.sources
            .of(nick)
            .map(SourceSet::to_colibri)
            .unwrap_or_default()
    }

    fn add_sources(
        &mut self,
        cx: &Context<'_>,
        nick: &str,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        let added = read_sources(nick, jingle)?;
        if added.is_empty() {
            return Ok(());
        }
        if self
            .members
            .get(nick)
            .is_some_and(super::Member::is_visitor)
        {
            return refuse(Condition::Forbidden, "visitors do not send");
        }
        let limit = cx.config.max_ssrcs_per_user;
        self.members.touch(nick);
        self.sources
            .add(nick, added, limit)
            .or_else(|error| refuse(Condition::BadRequest, error.to_string()))
    }

    /// Sources may change only in an accepted session.
    fn need_active(&self, nick: &str) -> Result<(), Refusal> {
        let session = self.members.get(nick).and_then(|m| m.session.as_ref());
        if session.is_some_and(|session| session.active) {
            return Ok(());
        }
        refuse(
            Condition::UnexpectedRequest,
            "the session is not accepted yet",
        )
    }

    fn on_source_add(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        self.need_active(nick)?;
        let added = read_sources(nick, jingle)?;
        for (audio, media) in [(true, MediaType::Audio), (false, MediaType::Video)] {
            if added.has(media) && self.is_full(cx, audio) {
                return refuse(
                    Condition::ResourceConstraint,
                    format!("no further {} senders", media.name()),
                );
            }
        }
        self.add_sources(cx, nick, jingle)?;
        cx.io.answer(iq::result_to(request, None));
        self.sources_changed(cx, nick, &added);
        Ok(())
    }

    fn on_source_remove(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        self.need_active(nick)?;
        let removed = read_sources(nick, jingle)?;
        if let Err(error) = self.sources.remove(nick, &removed) {
            return refuse(Condition::BadRequest, error.to_string());
        }
        cx.io.answer(iq::result_to(request, None));
        self.sources_changed(cx, nick, &removed);
        Ok(())
    }

    fn sources_changed(&mut self, cx: &mut Context<'_>, nick: &str, change: &SourceSet) {
        if change.is_empty() {
            return;
        }
        self.members.touch(nick);
        let sources = Some(self.colibri_sources(nick));
        self.update_endpoint(
            cx,
            nick,
            Endpoint {
                sources,
                ..Endpoint::default()
            },
        );
        self.tell_sources(cx, nick);
    }

    fn on_transport(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        let Some(transport) = bundled_transport(jingle) else {
            return refuse(Condition::BadRequest, "no content has a transport");
        };
        cx.io.answer(iq::result_to(request, None));
        let transport = Transport {
            ice: Some(transport),
            ..Transport::default()
        };
        self.update_endpoint(
            cx,
            nick,
            Endpoint {
                transport: Some(transport),
                ..Endpoint::default()
            },
        );
        Ok(())
    }

    /// The client must mean the stay it is in.
    fn check_bridge_session(&self, nick: &str, jingle: &Jingle) -> Result<(), Refusal> {
        let session = self.members.get(nick).and_then(|m| m.session.as_ref());
        let asked = jingle
            .bridge_session
            .as_ref()
            .map(|bridge| bridge.id.as_str());
        if session.is_some_and(|session| Some(session.stay.as_str()) == asked) {
            return Ok(());
        }
        refuse(
            Condition::ItemNotFound,
            "not the bridge session of this participant",
        )
    }

    fn on_info(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        if jingle
            .bridge_session
            .as_ref()
            .is_some_and(|bridge| bridge.ice_restart)
        {
            return self.on_ice_restart(cx, nick, request, jingle);
        }
        if jingle.ice_state.as_deref() == Some("failed") {
            self.check_bridge_session(nick, jingle)?;
            self.on_ice_failed(cx, nick, request);
            return Ok(());
        }
        cx.io.answer(iq::result_to(request, None));
        Ok(())
    }

    fn on_ice_restart(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        cx.io.totals.ice_restarts.requested += 1;
        let refuse = |totals: &mut IceRestarts, condition, text| {
            totals.failed += 1;
            refuse(condition, text)
        };
        let totals = &mut cx.io.totals.ice_restarts;
        if !cx.config.ice_restart {
            return refuse(totals, Condition::FeatureNotImplemented, "ICE restart");
        }
        let now = cx.io.now;
        if self
            .members
            .get_mut(nick)
            .is_some_and(|member| !member.ice_restarts.allow(now))
        {
            return refuse(
                totals,
                Condition::ResourceConstraint,
                "too many ICE restarts",
            );
        }
        if let Err(refusal) = self.check_bridge_session(nick, jingle) {
            totals.failed += 1;
            return Err(refusal);
        }
        cx.io.answer(iq::result_to(request, None));
        self.report_bridge(cx, nick);
        self.restart_ice(cx, nick, &jingle.sid);
        Ok(())
    }

    fn on_terminate(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        let restart = jingle
            .bridge_session
            .as_ref()
            .and_then(|bridge| bridge.restart)
            == Some(true);
        if !restart {
            cx.io.answer(iq::result_to(request, None));
            self.release(cx, nick);
            return Ok(());
        }
        let now = cx.io.now;
        let allowed = self
            .members
            .get_mut(nick)
            .is_some_and(|member| member.restarts.allow(now));
        let checked = self.check_bridge_session(nick, jingle);
        if !allowed {
            self.release(cx, nick);
            return refuse(Condition::ResourceConstraint, "too many restarts");
        }
        // The client has closed the session whatever the answer is: leaving it without one helps nobody.
        if let Err((condition, text)) = checked {
            cx.io.answer(
                StanzaError::new(condition)
                    .with_text(text)
                    .reply_to(request),
            );
        } else {
            cx.io.answer(iq::result_to(request, None));
        }
        self.report_bridge(cx, nick);
        if self.has_other_session(nick) {
            // It has another one already.
            self.finish_move(cx, nick);
            return Ok(());
        }
        self.close_session(cx, nick);
        cx.io.reinvited(Reinvite::Restart);
        self.ensure_sessions(cx);
        Ok(())
    }

    /// The client wants no session.
    fn release(&mut self, cx: &mut Context<'_>, nick: &str) {
        if let Some(member) = self.members.get_mut(nick) {
            member.released = true;
        }
        self.close_session(cx, nick);
    }
}
