//! Multi-user chat (XEP-0045) as meetings use it: who is in a room, what it remembers, how its presence goes out.

mod admin;
mod affiliations;
mod config;
mod guesses;
mod handover;
mod join;
mod leave;
mod message;
mod past;
mod record;
mod rooms;
mod serve;

use std::collections::VecDeque;
use std::time::Instant;

use stanza::muc::{Affiliation, Role, status};
use stanza::{BareJid, Element, ElementExt as _, element, ns};

use crate::core::{Body, Core};
use crate::ids::SessionId;
use crate::journal::HeadRecord;
use crate::occupants::{Marks, Occupant, Occupants};
use crate::requests::Kept;
use crate::services::Services;
use affiliations::Affiliations;
use guesses::Guesses;
use past::{Past, Subject};

pub(crate) use config::OwnerOutcome;
pub(crate) use leave::creation_restricted;
pub(crate) use rooms::Rooms;

/// What a room is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomKind {
    /// A meeting.
    Meeting,
    /// A room in which the focus tests itself.
    HealthCheck,
    /// A room of service accounts: only administrators see others there.
    Internal,
}

/// A join that waits for the focus.
#[derive(Debug)]
struct Waiting {
    session: SessionId,
    presence: Element,
    until: Instant,
    _kept: Kept,
}

/// One room.
#[derive(Debug)]
pub(crate) struct Room {
    jid: BareJid,
    kind: RoomKind,
    occupants: Occupants,
    affiliations: Affiliations,
    password: Option<String>,
    members_only: bool,
    meeting_id: String,
    /// When a second occupant came, in milliseconds since 1970: the meeting's clock.
    created_ms: Option<u128>,
    subject: Option<Subject>,
    past: VecDeque<Past>,
    past_bytes: usize,
    /// Messages of the past, the youngest, that the journal does not know.
    past_news: usize,
    waiting: VecDeque<Waiting>,
    /// Wrong passwords, once there were any.
    guesses: Option<Guesses>,
    services: Services,
    /// What the journal knows of all that is one value, and of who waits.
    journaled: Option<HeadRecord>,
    journaled_waiting: Vec<SessionId>,
}

impl Room {
    pub(crate) fn new(jid: BareJid, kind: RoomKind, meeting_id: String) -> Self {
        Self {
            jid,
            kind,
            occupants: Occupants::default(),
            affiliations: Affiliations::default(),
            password: None,
            members_only: false,
            meeting_id,
            created_ms: None,
            subject: None,
            past: VecDeque::new(),
            past_bytes: 0,
            past_news: 0,
            waiting: VecDeque::new(),
            guesses: None,
            services: Services::default(),
            journaled: None,
            journaled_waiting: Vec::new(),
        }
    }

    pub(crate) fn affiliation(&self, core: &Core, bare: &BareJid) -> Affiliation {
        if core.is_admin(bare) {
            return Affiliation::Owner;
        }
        self.affiliations.get(bare).unwrap_or(Affiliation::None)
    }

    /// The occupant that is the focus.
    pub(crate) fn focus(&self, core: &Core) -> Option<&Occupant> {
        self.occupants
            .iter()
            .find(|occupant| core.rights(occupant.session).admin)
    }

    /// Whether `viewer` gets the presence of `subject`. Workers in an internal room do not see each other.
    pub(crate) fn sees(&self, core: &Core, viewer: SessionId, subject: SessionId) -> bool {
        self.kind != RoomKind::Internal || viewer == subject || core.rights(viewer).admin
    }

    /// Whether what `from` says comes to `to`. In an internal room workers speak with administrators only.
    pub(crate) fn reaches(&self, core: &Core, from: SessionId, to: SessionId) -> bool {
        self.sees(core, to, from) || core.rights(from).admin
    }

    /// Renders the presence of an occupant anew and returns it.
    fn refresh(&mut self, core: &mut Core, session: SessionId, marks: Marks) -> Option<Body> {
        let room = self.jid.clone();
        let occupant = self.occupants.by_session_mut(session)?;
        let plain = marks.actor.is_none() && marks.reason.is_none();
        let body = core.body(&occupant.render(&room, marks, None));
        // What joiners get later must not carry who caused the last change.
        occupant.body = plain.then(|| body.clone());
        Some(body)
    }

    /// The presence of an occupant as a joiner gets it.
    pub(crate) fn present(&mut self, core: &mut Core, session: SessionId) -> Option<Body> {
        match self.occupants.by_session(session)?.body.clone() {
            Some(body) => Some(body),
            None => self.refresh(core, session, Marks::default()),
        }
    }

    /// Tells everybody, the occupant last, about its presence. `actor` and `reason` say who changed its role and why.
    pub(crate) fn announce(
        &mut self,
        core: &mut Core,
        session: SessionId,
        actor: Option<String>,
        reason: Option<String>,
    ) {
        let marks = Marks {
            actor,
            reason,
            ..Marks::default()
        };
        let Some(body) = self.refresh(core, session, marks.clone()) else {
            return;
        };
        self.tell_others(core, session, &body);
        self.tell_self(
            core,
            session,
            Marks {
                status: vec![status::SELF],
                ..marks
            },
        );
    }

    /// Sends `body` to everybody who may see `subject`, except itself.
    pub(crate) fn tell_others(&self, core: &mut Core, subject: SessionId, body: &Body) {
        for occupant in self.occupants.iter() {
            if occupant.session != subject && self.sees(core, occupant.session, subject) {
                core.send_body(occupant.session, body);
            }
        }
    }

    /// Sends an occupant its own presence.
    pub(crate) fn tell_self(&mut self, core: &mut Core, session: SessionId, marks: Marks) {
        let Some(occupant) = self.occupants.by_session(session) else {
            return;
        };
        let mut own = occupant.render(&self.jid, marks, None);
        if self.kind == RoomKind::Meeting
            && occupant.role == Role::Moderator
            && !core.rights(session).admin
        {
            own.append_child(permissions());
        }
        if self.kind == RoomKind::Meeting && core.rights(session).admin {
            // Whether others have seen the focus leave in between, it cannot know otherwise.
            let place = self.occupants.place(session);
            let id = place.map(|number| format!("{}-{number}", self.meeting_id));
            own.append_child(element("place", ns::PLACE).attr_opt("id", id).done());
        }
        core.send_element(session, own);
    }

    /// Sends a message from the room itself to all its occupants.
    pub(crate) fn notify(&self, core: &mut Core, mut message: Element) {
        message.put("from", self.jid.as_str());
        let body = core.body(&message);
        for occupant in self.occupants.iter() {
            core.send_body(occupant.session, &body);
        }
    }

    /// Occupants that are not service accounts.
    pub(crate) fn people(&self, core: &Core) -> usize {
        self.occupants
            .iter()
            .filter(|occupant| !core.rights(occupant.session).service)
            .count()
    }

    pub(crate) fn jid(&self) -> &BareJid {
        &self.jid
    }

    pub(crate) fn kind(&self) -> RoomKind {
        self.kind
    }

    pub(crate) fn occupants(&self) -> &Occupants {
        &self.occupants
    }

    /// Forgets the join of a session that waits.
    pub(crate) fn withdraw(&mut self, session: SessionId) {
        self.waiting.retain(|waiting| waiting.session != session);
    }

    /// Whether nothing keeps the room alive any more.
    pub(crate) fn is_over(&self) -> bool {
        self.occupants.is_empty() && self.waiting.is_empty()
    }
}

/// What a moderator may ask of the services around the meeting; buttons appear in clients by it.
fn permissions() -> Element {
    const NAMES: [&str; 7] = [
        "livestreaming",
        "recording",
        "transcription",
        "outbound-call",
        "create-polls",
        "send-groupchat",
        "flip",
    ];
    let all = NAMES.map(|name| {
        element("p", ns::JITMEET)
            .attr("name", name)
            .attr("val", "true")
            .done()
    });
    element("permissions", ns::JITMEET).children(all).done()
}
