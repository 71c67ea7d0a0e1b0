//! What a client says of a session that it has beside another one.

use stanza::colibri2::{Endpoint, Transport};
use stanza::error::Condition;
use stanza::jingle::{Action, Jingle, Moving};
use stanza::{Element, iq};

use super::requests::{Refusal, bundled_transport, read_sources, refuse};
use super::{Conference, Member};
use crate::context::Context;
use crate::event::Event;
use crate::sources::SourceSet;

impl Conference {
    /// A request about the next session of `nick`.
    pub(super) fn on_next_jingle(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        match jingle.action {
            Action::SessionAccept => {
                if let Err(refusal) = self.accept_next(cx, nick, jingle) {
                    // Without its sources the session is of no use.
                    self.drop_next(cx, nick);
                    return Err(refusal);
                }
            }
            Action::SessionInfo if jingle.moving == Some(Moving::Done) => {
                let members = self.members.get_mut(nick);
                let next = members.and_then(|member| member.next.as_mut());
                if let Some(next) = next.filter(|next| next.session.active) {
                    next.done = true;
                }
                cx.io.answer(iq::result_to(request, None));
                self.finish_moves(cx);
                return Ok(());
            }
            Action::TransportInfo => {
                let Some(transport) = bundled_transport(jingle) else {
                    return refuse(Condition::BadRequest, "no content has a transport");
                };
                let endpoint = Endpoint {
                    transport: Some(Transport {
                        ice: Some(transport),
                        ..Transport::default()
                    }),
                    ..Endpoint::default()
                };
                self.update_next(cx, nick, endpoint);
            }
            Action::SourceAdd | Action::SourceRemove => {
                self.change_next_sources(cx, nick, jingle)?;
            }
            // It cannot be had: the one that is there ends before another one is offered.
            Action::SessionTerminate => self.drop_next(cx, nick),
            _ => {}
        }
        cx.io.answer(iq::result_to(request, None));
        Ok(())
    }

    fn accept_next(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        let next = self.members.get(nick).and_then(|m| m.next.as_ref());
        if next.is_some_and(|next| next.session.active) {
            let text = "the session is already accepted";
            return refuse(Condition::UnexpectedRequest, text);
        }
        let Some(transport) = bundled_transport(jingle) else {
            return refuse(Condition::BadRequest, "no content has a transport");
        };
        let sources = self.checked(cx, nick, SourceSet::default(), jingle)?;
        let contents = jingle.contents.iter();
        let last_n = contents
            .filter(|content| content.name == "video")
            .find_map(|content| content.initial_last_n);
        let endpoint = Endpoint {
            transport: Some(Transport {
                ice: Some(transport),
                ..Transport::default()
            }),
            sources: Some(sources.to_colibri()),
            initial_last_n: last_n,
            ..Endpoint::default()
        };
        if let Some(next) = self.members.get_mut(nick).and_then(|m| m.next.as_mut()) {
            next.session.active = true;
            next.sources = sources;
        }
        self.update_next(cx, nick, endpoint);
        cx.io.event(Event::SessionActive {
            room: self.room.clone(),
            endpoint: nick.to_owned(),
        });
        Ok(())
    }

    /// `known` and what a request adds to it.
    fn checked(
        &self,
        cx: &Context<'_>,
        nick: &str,
        known: SourceSet,
        jingle: &Jingle,
    ) -> Result<SourceSet, Refusal> {
        let added = read_sources(nick, jingle)?;
        let visitor = self.members.get(nick).is_some_and(Member::is_visitor);
        if visitor && !added.is_empty() {
            return refuse(Condition::Forbidden, "visitors do not send");
        }
        let limit = cx.config.max_ssrcs_per_user;
        let whole = self.sources.joined(nick, known, added, limit);
        whole.or_else(|error| refuse(Condition::BadRequest, error.to_string()))
    }

    fn change_next_sources(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        let next = self.members.get(nick).and_then(|m| m.next.as_ref());
        let Some(next) = next.filter(|next| next.session.active) else {
            let text = "the session is not accepted yet";
            return refuse(Condition::UnexpectedRequest, text);
        };
        let known = next.sources.clone();
        let changed = match jingle.action {
            Action::SourceAdd => self.checked(cx, nick, known, jingle)?,
            _ => known
                .without(&read_sources(nick, jingle)?)
                .or_else(|error| refuse(Condition::BadRequest, error.to_string()))?,
        };
        let endpoint = Endpoint {
            sources: Some(changed.to_colibri()),
            ..Endpoint::default()
        };
        if let Some(next) = self.members.get_mut(nick).and_then(|m| m.next.as_mut()) {
            next.sources = changed;
        }
        self.update_next(cx, nick, endpoint);
        Ok(())
    }

    fn update_next(&mut self, cx: &mut Context<'_>, nick: &str, endpoint: Endpoint) {
        let next = self.members.get(nick).and_then(|m| m.next.as_ref());
        if let Some(stay) = next.map(|next| next.session.stay.clone()) {
            self.update_endpoint_at(cx, nick, &stay, endpoint);
        }
    }
}
