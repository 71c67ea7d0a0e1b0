//! What the focus reports to its host: decisions worth a log line, and counts.
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use stanza::{BareJid, FullJid};

use crate::jingle_counts::JingleCounts;

/// A decision or an observation worth a log line.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The focus joined a room and serves it.
    ConferenceStarted {
        /// The room.
        room: BareJid,
        /// Key of the conference on bridges.
        meeting_id: String,
    },
    /// The focus is back in a room and goes on with its conference.
    ConferenceAdopted {
        /// The room.
        room: BareJid,
        /// Members that are still there.
        participants: usize,
        /// Sessions that go on untouched.
        sessions: usize,
    },
    /// A conference is over.
    ConferenceEnded {
        /// The room.
        room: BareJid,
        /// Why.
        reason: &'static str,
    },
    /// A bridge that is not known joined the brewery.
    BridgeUp {
        /// Its occupant address.
        bridge: FullJid,
        /// Where its media come in, as far as it says so.
        media: Vec<SocketAddr>,
        /// Software version it reports.
        version: Option<String>,
        /// Region it reports.
        region: Option<String>,
        /// Load it reports; 1 is all it can carry.
        stress: f64,
    },
    /// A bridge that was away, or did not answer, is there again.
    BridgeBack {
        /// Its occupant address.
        bridge: FullJid,
        /// Where its media come in, as far as it says so.
        media: Vec<SocketAddr>,
        /// How long nothing came from it.
        after: Duration,
        /// Conferences that are still on it.
        conferences: usize,
    },
    /// A bridge asks to become empty, or does so no more.
    BridgeDrains {
        /// Its occupant address.
        bridge: FullJid,
        /// Whether it does.
        drains: bool,
    },
    /// A bridge takes no new conferences until it has ended.
    BridgeClosed {
        /// Its occupant address.
        bridge: FullJid,
    },
    /// A bridge does not answer, but another one reaches it: its conferences go on, and it gets no new ones.
    BridgeCutOff {
        /// Its occupant address.
        bridge: FullJid,
        /// The bridge that reaches it.
        witness: FullJid,
    },
    /// A bridge is not used any more.
    BridgeDown {
        /// Its occupant address.
        bridge: FullJid,
        /// Which sign said so.
        reason: String,
        /// Conferences that are moved away.
        conferences: usize,
    },
    /// A conference was placed.
    BridgeSelected {
        /// The room.
        room: BareJid,
        /// The chosen bridge.
        bridge: FullJid,
        /// Why this one.
        reason: String,
        /// Reported stress.
        stress: f64,
        /// Stress of promised participants that the report cannot contain yet.
        promised: f64,
        /// Bridges among which it was chosen.
        candidates: usize,
        /// The others, each with its load, or why it did not come into question.
        others: String,
    },
    /// No bridge could be given to a conference.
    NoBridge {
        /// The room.
        room: BareJid,
        /// What was wrong with the known bridges.
        reason: String,
    },
    /// A bridge of a conference gets one relay, to a bridge of the core.
    Leaf {
        /// The room.
        room: BareJid,
        /// The bridge.
        bridge: FullJid,
        /// The bridge over which it reaches all others.
        core: FullJid,
    },
    /// A relay between two bridges of a conference failed.
    RelayFailed {
        /// The room.
        room: BareJid,
        /// The bridge by which that was noticed.
        bridge: FullJid,
        /// The bridge at the other end.
        peer: FullJid,
        /// What was wrong.
        reason: String,
        /// Failures between the two, one after another.
        failures: u32,
        /// It is not made anew: one of the two is left.
        hopeless: bool,
    },
    /// Participants leave one bridge for another.
    ConferenceMoved {
        /// The room.
        room: BareJid,
        /// The bridge left behind.
        from: FullJid,
        /// Why.
        reason: String,
        /// Participants with a session that is replaced.
        participants: usize,
    },
    /// A session became usable.
    SessionActive {
        /// The room.
        room: BareJid,
        /// The endpoint.
        endpoint: String,
    },
    /// A request of a client was refused.
    Refused {
        /// The room.
        room: BareJid,
        /// The endpoint.
        endpoint: String,
        /// What was asked and what was wrong with it.
        reason: String,
    },
    /// A bridge answered with an error.
    BridgeError {
        /// The bridge.
        bridge: FullJid,
        /// The room.
        room: BareJid,
        /// Condition and text.
        reason: String,
    },
    /// Something unexpected that needs no reaction.
    Warning {
        /// What.
        text: String,
    },
}

impl Event {
    /// The room it is about, whose name the words of the event contain. Logs that many read must not: see to it where the
    /// event is written.
    #[must_use]
    pub fn room(&self) -> Option<&BareJid> {
        match self {
            Self::ConferenceStarted { room, .. }
            | Self::ConferenceAdopted { room, .. }
            | Self::ConferenceEnded { room, .. }
            | Self::BridgeSelected { room, .. }
            | Self::NoBridge { room, .. }
            | Self::ConferenceMoved { room, .. }
            | Self::SessionActive { room, .. }
            | Self::Refused { room, .. }
            | Self::RelayFailed { room, .. }
            | Self::Leaf { room, .. }
            | Self::BridgeError { room, .. } => Some(room),
            Self::BridgeUp { .. }
            | Self::BridgeBack { .. }
            | Self::BridgeDrains { .. }
            | Self::BridgeClosed { .. }
            | Self::BridgeCutOff { .. }
            | Self::BridgeDown { .. }
            | Self::Warning { .. } => None,
        }
    }

    /// Whether somebody may have to do something about it.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        matches!(
            self,
            Self::BridgeDown { .. }
                | Self::BridgeCutOff { .. }
                | Self::NoBridge { .. }
                | Self::ConferenceMoved { .. }
                | Self::RelayFailed { .. }
                | Self::BridgeError { .. }
                | Self::Warning { .. }
        )
    }
}

/// Addresses in words.
fn places(addresses: &[SocketAddr]) -> String {
    if addresses.is_empty() {
        return "an address it does not tell".to_owned();
    }
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(" and ")
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        match self {
            Self::ConferenceStarted { room, meeting_id } => {
                write!(f, "conference {room} begins, meeting {meeting_id}")
            }
            Self::ConferenceAdopted {
                room,
                participants,
                sessions,
            } => write!(
                f,
                "conference {room} goes on: participants {participants}, sessions {sessions}"
            ),
            Self::ConferenceEnded { room, reason } => write!(f, "conference {room} ends: {reason}"),
            Self::BridgeUp {
                bridge,
                media,
                version,
                region,
                stress,
            } => {
                let (bridge, version, region) =
                    (bridge.resource(), unknown(version), unknown(region));
                write!(
                    f,
                    "bridge {bridge} came: media at {}, version {version}, region {region}, load {stress:.3}",
                    places(media)
                )
            }
            Self::BridgeBack {
                bridge,
                media,
                after,
                conferences,
            } => write!(
                f,
                "bridge {} is back after {} ms: media at {}, conferences on it: {conferences}",
                bridge.resource(),
                after.as_millis(),
                places(media)
            ),
            Self::BridgeDrains { bridge, drains } => match drains {
                true => write!(
                    f,
                    "bridge {} drains: its conferences are moved",
                    bridge.resource()
                ),
                false => write!(f, "bridge {} drains no more", bridge.resource()),
            },
            Self::BridgeCutOff { bridge, witness } => write!(
                f,
                "bridge {} does not answer here, but its media ports answer bridge {}: its conferences go on, and it gets no new ones",
                bridge.resource(),
                witness.resource()
            ),
            Self::BridgeClosed { bridge } => write!(
                f,
                "bridge {} takes no new conferences until it has ended",
                bridge.resource()
            ),
            Self::BridgeDown {
                bridge,
                reason,
                conferences,
            } => {
                let bridge = bridge.resource();
                write!(
                    f,
                    "bridge {bridge} is not used any more: {reason}; conferences on it: {conferences}"
                )
            }
            Self::BridgeSelected {
                room,
                bridge,
                reason,
                stress,
                promised,
                candidates,
                others,
            } => {
                write!(
                    f,
                    "conference {room} is placed on bridge {}: {reason} (reported stress {stress:.3}, promised \
                     {promised:.3}, candidates {candidates}",
                    bridge.resource()
                )?;
                match others.is_empty() {
                    true => f.write_str(")"),
                    false => write!(f, "; others: {others})"),
                }
            }
            Self::NoBridge { room, reason } => {
                write!(f, "conference {room} gets no bridge: {reason}")
            }
            Self::ConferenceMoved {
                room,
                from,
                reason,
                participants,
            } => write!(
                f,
                "conference {room} leaves bridge {} with {participants} participants: {reason}",
                from.resource()
            ),
            Self::SessionActive { room, endpoint } => {
                write!(f, "session of {endpoint} in {room} is active")
            }
            Self::Refused {
                room,
                endpoint,
                reason,
            } => write!(f, "request of {endpoint} in {room} is refused: {reason}"),
            Self::Leaf { room, bridge, core } => write!(
                f,
                "bridge {} reaches the others over bridge {}, conference {room}",
                bridge.resource(),
                core.resource()
            ),
            Self::RelayFailed {
                room,
                bridge,
                peer,
                reason,
                failures,
                hopeless,
            } => {
                let (bridge, peer) = (bridge.resource(), peer.resource());
                let follows = match hopeless {
                    true => "one of the two is left",
                    false => "it is made anew",
                };
                write!(
                    f,
                    "relay of bridge {bridge} to bridge {peer} failed, conference {room}: {reason}; failure {failures} in a row, {follows}"
                )
            }
            Self::BridgeError {
                bridge,
                room,
                reason,
            } => {
                write!(
                    f,
                    "bridge {} answered with an error, conference {room}: {reason}",
                    bridge.resource()
                )
            }
            Self::Warning { text } => f.write_str(text),
        }
    }
}

/// Why a participant got a new session in place of one it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reinvite {
    /// Its conference left a bridge.
    BridgeLeft,
    /// The bridge does not know its endpoint, or refuses what is said of it.
    BridgeForgot,
    /// It said that ICE failed.
    IceFailed,
    /// It ended its session and asked for another.
    Restart,
    /// Its offer may have been lost with a stream of the focus.
    OfferLost,
    /// It saw the focus leave the room.
    FocusLeft,
    /// Somebody else sends what it would have sent in its new session.
    SourcesClash,
}

impl Reinvite {
    /// All reasons, in their order.
    pub const ALL: [Self; 7] = [
        Self::BridgeLeft,
        Self::BridgeForgot,
        Self::IceFailed,
        Self::Restart,
        Self::OfferLost,
        Self::FocusLeft,
        Self::SourcesClash,
    ];

    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BridgeLeft => "bridge-left",
            Self::BridgeForgot => "bridge-forgot",
            Self::IceFailed => "ice-failed",
            Self::Restart => "restart",
            Self::OfferLost => "offer-lost",
            Self::FocusLeft => "focus-left",
            Self::SourcesClash => "sources-clash",
        }
    }
}

/// What became of participants' wishes for new ICE credentials within their session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IceRestarts {
    /// Wished for.
    pub requested: u64,
    /// Their bridge made new ones, which were passed on.
    pub relayed: u64,
    /// Their bridge kept those it had.
    pub not_needed: u64,
    /// Refused, or not possible.
    pub failed: u64,
}

/// Counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FocusStats {
    /// Conferences now.
    pub conferences: usize,
    /// Members of all rooms now, the focus not counted.
    pub participants: usize,
    /// Jingle sessions now.
    pub sessions: usize,
    /// Bridges in the brewery now.
    pub bridges: usize,
    /// Bridges that may be chosen now.
    pub bridges_usable: usize,
    /// Conferences since the start.
    pub conferences_total: u64,
    /// Participants since the start.
    pub participants_total: u64,
    /// Sessions that replaced another because of a bridge, since the start.
    pub moves_total: u64,
    /// Requests of clients that were refused, since the start.
    pub refused_total: u64,
    /// Bridges lost, since the start.
    pub bridges_lost_total: u64,
    /// Conferences that went on after the focus had lost its stream or its memory, since the start.
    pub adopted_total: u64,
    /// Sessions that replaced another, in the order of [`Reinvite::ALL`], since the start.
    pub reinvites_total: [u64; Reinvite::ALL.len()],
    /// Participants that got no further session since none worked, since the start.
    pub given_up_total: u64,
    /// Relays between bridges that failed, since the start.
    pub relays_failed_total: u64,
    /// Times that a conference left a bridge which does not work, since the start.
    pub bridges_removed_total: u64,
    /// Requests for conferences, since the start.
    pub requests_total: u64,
    /// Of these, requests for conferences that were not there.
    pub requests_new_total: u64,
    /// ICE restarts, since the start.
    pub ice_restarts: IceRestarts,
    /// Jingle requests sent, since the start.
    pub jingle_sent: JingleCounts,
    /// Jingle requests received, since the start.
    pub jingle_received: JingleCounts,
    /// How long the conferences that are over lasted, all together.
    pub conferences_lasted: Duration,
    /// How long people were in conferences which they have left, all together.
    pub people_lasted: Duration,
}

impl FocusStats {
    /// Adds what another focus counted since its start; what is so now stays as it is.
    pub fn add_totals(&mut self, other: &Self) {
        for (sum, more) in self.reinvites_total.iter_mut().zip(other.reinvites_total) {
            *sum += more;
        }
        self.jingle_sent.add(&other.jingle_sent);
        self.jingle_received.add(&other.jingle_received);
        self.conferences_lasted += other.conferences_lasted;
        self.people_lasted += other.people_lasted;
        for (sum, more) in [
            (&mut self.conferences_total, other.conferences_total),
            (&mut self.participants_total, other.participants_total),
            (&mut self.moves_total, other.moves_total),
            (&mut self.refused_total, other.refused_total),
            (&mut self.bridges_lost_total, other.bridges_lost_total),
            (&mut self.adopted_total, other.adopted_total),
            (&mut self.given_up_total, other.given_up_total),
            (&mut self.relays_failed_total, other.relays_failed_total),
            (&mut self.bridges_removed_total, other.bridges_removed_total),
            (&mut self.requests_total, other.requests_total),
            (&mut self.requests_new_total, other.requests_new_total),
            (
                &mut self.ice_restarts.requested,
                other.ice_restarts.requested,
            ),
            (&mut self.ice_restarts.relayed, other.ice_restarts.relayed),
            (
                &mut self.ice_restarts.not_needed,
                other.ice_restarts.not_needed,
            ),
            (&mut self.ice_restarts.failed, other.ice_restarts.failed),
        ] {
            *sum += more;
        }
    }
}
