//! Services around a meeting: metadata, moderation of microphones and cameras, polls, speaking times, the waiting room.
//!
//! Each owns its state, sees the [`Meeting`], and answers a message with a [`Verdict`]; its address is only a name for the
//! messages to it.

mod av_moderation;
mod external;
mod lobby;
mod meeting;
mod metadata;
mod polls;
mod record;
mod speaker_stats;

use std::time::Instant;

use serde_json::{Value, json};
use stanza::error::{Condition, StanzaError};
use stanza::muc::{Affiliation, Destroy};
use stanza::{BareJid, Element, Jid};

use crate::core::Core;
use crate::hosts::Host;
use crate::ids::SessionId;
use crate::occupants::Occupant;

pub(crate) use external::services;
pub(crate) use meeting::Meeting;

/// Reason clients show when a moderator ended the meeting.
const TERMINATED: &str = "The meeting has been terminated";
/// Reason shown when a moderator opens the meeting: people waiting go in by themselves.
const CLOSED: &str = "Lobby room closed.";

/// State of the services of one room.
#[derive(Debug, Default)]
pub(crate) struct Services {
    metadata: metadata::Metadata,
    moderation: av_moderation::Moderation,
    polls: polls::Polls,
    speakers: speaker_stats::SpeakerStats,
    lobby: Option<lobby::Lobby>,
    /// The people of the waiting room that the journal has are gone.
    lobby_over: bool,
}

/// What comes of a message to a service.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It was taken.
    Done,
    /// It is none, or its sender may not.
    Refused,
    /// The meeting ends.
    End(Destroy),
}

impl From<Option<()>> for Verdict {
    fn from(taken: Option<()>) -> Self {
        taken.map_or(Self::Refused, |()| Self::Done)
    }
}

impl Services {
    /// A message of the occupant `from` to the service at `host`.
    #[expect(
        clippy::too_many_arguments,
        reason = "the facts of one message, each found before"
    )]
    pub(crate) fn message(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        now: Instant,
        from: SessionId,
        moderator: bool,
        payload: &Element,
        host: Host,
    ) -> Verdict {
        match host {
            Host::Metadata => self.metadata.set(core, meeting, moderator, payload),
            Host::Polls => self.polls.event(core, meeting, from, payload),
            Host::SpeakerStats => self.speakers.event(meeting, now, from, payload),
            Host::AvModeration if moderator => {
                let metadata = &mut self.metadata;
                self.moderation
                    .request(core, meeting, metadata, from, payload)
            }
            Host::EndConference if moderator && payload.name() == "end_conference" => {
                return Verdict::End(Destroy {
                    jid: None,
                    reason: Some(TERMINATED.to_owned()),
                });
            }
            _ => None,
        }
        .into()
    }

    /// Before a joiner sees its own presence.
    pub(crate) fn greet(
        &self,
        core: &mut Core,
        meeting: Meeting<'_>,
        now: Instant,
        session: SessionId,
    ) {
        self.metadata.push(core, meeting, now, session);
    }

    /// After a joiner has seen its own presence.
    pub(crate) fn joined(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        now: Instant,
        session: SessionId,
    ) {
        self.speakers.tell(core, now, session);
        self.moderation.tell(core, meeting, session);
        self.polls.tell(core, session);
    }

    /// A moderator wants joiners to start muted, or not, as older clients write it.
    pub(crate) fn start_muted(&mut self, core: &mut Core, meeting: Meeting<'_>, policy: &Element) {
        self.metadata.set_start_muted(core, meeting, policy);
    }

    /// Somebody's role has changed.
    pub(crate) fn role_changed(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        session: SessionId,
    ) {
        self.moderation.role_changed(core, meeting, session);
        if let (Some(lobby), Some(occupant)) =
            (&mut self.lobby, meeting.occupants.by_session(session))
        {
            lobby.role_changed(occupant);
        }
    }

    /// Somebody is gone.
    pub(crate) fn departed(&mut self, core: &mut Core, meeting: Meeting<'_>, occupant: &Occupant) {
        self.speakers.left(core.now, occupant);
        self.moderation.left(&occupant.nick);
        if let (Some(jid), Some(lobby)) = (core.hosts.lobby_of(meeting.jid), &mut self.lobby) {
            lobby.moderator_left(core, &jid, occupant.session);
        }
    }

    /// The meeting was opened or closed to non-members by `actor`.
    pub(crate) fn members_only(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        actor: SessionId,
        on: bool,
    ) {
        if on {
            self.lobby_over = true;
            self.lobby = Some(lobby::Lobby::default());
        } else {
            let destroy = Destroy {
                jid: Some(meeting.jid.clone()),
                reason: Some(CLOSED.to_owned()),
            };
            self.close_lobby(core, meeting.jid, &destroy);
        }
        let news = json!({ "type": "lobby-notify", "event": "LOBBY-ENABLED", "value": on });
        meeting.tell_of(core, actor, &news);
        self.metadata
            .put_of_server(core, meeting, "lobbyEnabled", Value::Bool(on));
    }

    /// Ends the waiting room of the meeting `room`.
    pub(crate) fn close_lobby(&mut self, core: &mut Core, room: &BareJid, destroy: &Destroy) {
        if let Some(jid) = core.hosts.lobby_of(room)
            && let Some(lobby) = self.lobby.take()
        {
            lobby.close(core, &jid, destroy);
        }
    }

    /// A moderator invited somebody; if that person waits, it was let in.
    pub(crate) fn invited(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        by: SessionId,
        invitee: SessionId,
    ) {
        if let (Some(jid), Some(lobby)) = (core.hosts.lobby_of(meeting.jid), &mut self.lobby) {
            lobby.invited(core, meeting, &jid, by, invitee);
        }
    }

    pub(crate) fn has_lobby(&self) -> bool {
        self.lobby.is_some()
    }

    /// Address of the waiting room of the meeting `room`, while there is one.
    pub(crate) fn lobby_jid(&self, core: &Core, room: &BareJid) -> Option<BareJid> {
        self.lobby.as_ref()?;
        core.hosts.lobby_of(room)
    }

    /// The error that sends a joiner of the meeting `room` to its waiting room.
    pub(crate) fn lobby_error(&self, core: &Core, room: &BareJid, stanza: &Element) -> StanzaError {
        match self.lobby_jid(core, room) {
            Some(lobby) => lobby::send_to(&lobby, room, stanza),
            None => StanzaError::new(Condition::RegistrationRequired).with_by(room.as_str()),
        }
    }

    /// A stanza to the waiting room or somebody in it. `affiliation` is the sender's in the meeting.
    pub(crate) fn lobby_stanza(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        from: SessionId,
        affiliation: Affiliation,
        stanza: &Element,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        match &mut self.lobby {
            Some(lobby) => lobby.handle(core, meeting, from, affiliation, stanza, to),
            None => Ok(()),
        }
    }

    /// A session is gone from the waiting room.
    pub(crate) fn lobby_leave(&mut self, core: &mut Core, jid: &BareJid, session: SessionId) {
        if let Some(lobby) = &mut self.lobby {
            lobby.leave(core, jid, session);
        }
    }
}
