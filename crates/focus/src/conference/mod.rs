//! One conference: its room, its members, its stay on a bridge.
mod adopt;
mod bridge;
mod colibri;
mod described;
mod endpoint;
mod enter;
mod ice;
mod invite;
mod jingle;
mod member;
mod members;
mod mesh;
mod moderation;
mod moves;
mod moving;
mod mute;
mod publish;
mod record;
mod refusals;
mod relays;
mod requests;
mod roll;
mod room;
mod signal;
mod spares;
mod standby;
mod stays;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use stanza::jitsi::compact::OwnerSources;
use stanza::jitsi::presence::FocusInfo;
use stanza::{BareJid, Element, FullJid};

use crate::context::Context;
use crate::event::Event;
use crate::io::{TimerKey, Undone};
use crate::request::RequestId;
use crate::sources::SourceTable;
use crate::status::{MeetingStatus, PlaceStatus};

pub(crate) use member::Member;
use mesh::Mesh;
use moderation::Moderation;
use roll::Roll;

/// Who waits for the room to be ready.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// The sender of an IQ; only its addresses and id are kept.
    Iq(Element),
    /// A request over HTTP.
    Http(RequestId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The room is being joined and configured.
    Joining,
    /// Clients may come.
    Ready,
    /// The focus is on its way back into the room; the meeting goes on meanwhile.
    Returning,
    /// To be removed.
    Over(&'static str),
}

/// The time a conference spends on one bridge.
#[derive(Debug)]
struct Stay {
    /// What clients repeat in their requests (`bridge-session`).
    id: String,
    bridge: FullJid,
    region: Option<String>,
    /// What other bridges call it; without, the conference cannot be on another one too.
    relay: Option<String>,
    /// The conference was asked for on the bridge.
    created: bool,
    endpoints: BTreeSet<String>,
    /// Why this bridge was chosen, for operators.
    why: String,
    /// Sources of the bridge's own reports.
    feedback: Option<OwnerSources>,
    /// Requests that went wrong one after another.
    errors: u32,
}

impl Stay {
    /// What operators are told of it; `behind`: the bridge to which it has its only relay.
    fn place(&self, behind: Option<&Self>) -> PlaceStatus {
        let name = |stay: &Self| stay.bridge.resource().as_str().to_owned();
        PlaceStatus {
            bridge: name(self),
            people: self.endpoints.len(),
            why: self.why.clone(),
            behind: behind.map(name),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Conference {
    room: BareJid,
    meeting_id: String,
    phase: Phase,
    /// The room counts the focus, or will when it has read what is on its way.
    inside: bool,
    /// What the room calls the place of the focus. Another name: it left in between, and everybody has seen that.
    place: Option<String>,
    waiters: Vec<Waiter>,
    members: Roll,
    /// The bridge it is on; the first one, if it is on several.
    stay: Option<Stay>,
    /// The other bridges it is on.
    further: Vec<Stay>,
    /// Relays between them.
    mesh: Mesh,
    /// Bridges that members are just leaving.
    retiring: Vec<Stay>,
    /// The bridge on which members have spare sessions.
    standby: Option<Stay>,
    sources: SourceTable,
    /// Members whose sources could not be taken over into their session, which is to be replaced.
    silenced: Vec<String>,
    moderation: Moderation,
    /// Statistics of the meeting may be collected.
    rtcstats: bool,
    /// Newcomers after so many participants begin muted.
    start_audio_muted_after: Option<usize>,
    start_video_muted_after: Option<usize>,
    /// The room's metadata says that newcomers begin muted.
    start_audio_muted: bool,
    start_video_muted: bool,
    is_breakout: bool,
    /// The member (by its order) whom the room was asked to make owner.
    owner_asked: Option<u64>,
    info: FocusInfo,
    /// Allocations that failed one after another.
    failures: u32,
    /// No more allocations before the retry timer.
    paused: bool,
    /// How many were told that the room is ready and have not come since, and when the last of them was.
    expected: u32,
    expected_since: Option<Instant>,
    /// Bridges that heard nobody of it: not before when it may leave each for that again, and how often it did.
    unheard: BTreeMap<FullJid, (Instant, u32)>,
    /// The bridge an operator wants it on, at the next choice.
    prefer: Option<FullJid>,
    /// The bridge that was left last, and when: it is avoided for a while, if there is another.
    avoid: Option<(FullJid, Instant)>,
    /// What waited for an answer when the stream broke, until it can be said again.
    undone: Vec<Undone>,
    /// The focus has entered the room again, but is not done with what follows from it.
    adopting: bool,
    /// What the room was told of the conference last.
    told: Option<FocusInfo>,
    /// Since when it goes on, as far as this focus saw it begin.
    began: Option<Instant>,
    /// Attempts to enter the room.
    join_tries: u32,
    join_timer: Option<TimerKey>,
    initial_timer: Option<TimerKey>,
    single_timer: Option<TimerKey>,
    retry_timer: Option<TimerKey>,
    /// Whoever has two sessions has them no longer.
    move_timer: Option<TimerKey>,
    /// Spare sessions that came to nothing are tried again.
    spare_timer: Option<TimerKey>,
}

impl Conference {
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn is_inside(&self) -> bool {
        self.inside
    }

    pub(crate) fn room(&self) -> &BareJid {
        &self.room
    }

    pub(crate) fn meeting_id(&self) -> &str {
        &self.meeting_id
    }

    pub(crate) fn set_meeting_id(&mut self, id: String) {
        self.meeting_id = id;
    }

    /// Members, the focus not counted.
    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn session_count(&self) -> usize {
        self.members
            .values()
            .filter(|m| m.session.is_some())
            .count()
    }

    /// Whether the conference is on `bridge` now.
    pub(crate) fn is_on(&self, bridge: &FullJid) -> bool {
        let mut stays = self.stays().chain(&self.standby);
        stays.any(|stay| stay.bridge == *bridge)
    }

    /// An operator wants it on this bridge, or merely elsewhere.
    pub(crate) fn prefer(&mut self, bridge: Option<FullJid>) {
        self.prefer = bridge;
    }

    /// What operators are told of it.
    pub(crate) fn status(&self) -> MeetingStatus {
        let core = |stay: &Stay| self.stay_by_id(self.mesh.topology.parent(&stay.id)?);
        let places = self.stays().map(|stay| stay.place(core(stay)));
        MeetingStatus {
            room: self.room.to_string(),
            meeting_id: self.meeting_id.clone(),
            people: self.members.len(),
            sessions: self.session_count(),
            waits: self.info.bridge_not_available,
            bridges: places.collect(),
            spares: self.standby.as_ref().map(|stay| stay.place(None)),
        }
    }

    /// Whether its people were told that no bridge can be had.
    pub(crate) fn waits(&self) -> bool {
        self.info.bridge_not_available
    }

    /// The bridges it is on, with its people on each.
    pub(crate) fn people_on(&self) -> impl Iterator<Item = (&FullJid, usize)> {
        self.stays()
            .map(|stay| (&stay.bridge, stay.endpoints.len()))
    }

    /// The bridge with the spare sessions of its people, and how many those are.
    pub(crate) fn spares_on(&self) -> Option<(&FullJid, usize)> {
        let standby = self.standby.as_ref();
        standby.map(|stay| (&stay.bridge, stay.endpoints.len()))
    }

    /// Its people who would need a new session if they lost the one they have.
    pub(crate) fn without_spares(&self) -> usize {
        let without = |member: &&Member| {
            let spare = member.next.as_ref().is_some_and(|next| next.spare);
            member.session.is_some() && !spare
        };
        self.members.values().filter(without).count()
    }

    /// The bridge it is on; the first one, if it is on several.
    pub(crate) fn bridge(&self) -> Option<&FullJid> {
        self.stay.as_ref().map(|stay| &stay.bridge)
    }

    /// All stays, those that are just ending included.
    fn stays(&self) -> impl Iterator<Item = &Stay> {
        self.current_stays().chain(&self.retiring)
    }

    /// Where members are given endpoints.
    fn current_stays(&self) -> impl Iterator<Item = &Stay> {
        self.stay.iter().chain(&self.further)
    }

    fn occupant(&self, nick: &str) -> String {
        format!("{}/{nick}", self.room)
    }

    fn stay_by_id(&self, id: &str) -> Option<&Stay> {
        let mut stays = self.stays().chain(&self.standby);
        stays.find(|stay| stay.id == id)
    }

    fn refused(&self, cx: &mut Context<'_>, nick: &str, reason: impl Into<String>) {
        cx.io.totals.refused += 1;
        let (room, endpoint) = (self.room.clone(), nick.to_owned());
        cx.io.event(Event::Refused {
            room,
            endpoint,
            reason: reason.into(),
        });
    }

    fn end(&mut self, reason: &'static str) {
        if !matches!(self.phase, Phase::Over(_)) {
            self.phase = Phase::Over(reason);
        }
    }
}
