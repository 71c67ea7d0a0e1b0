//! One member of a room as the focus sees it.
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use stanza::Jid;
use stanza::colibri2::ForceMute;
use stanza::jitsi::presence::ParticipantInfo;
use stanza::muc::{Affiliation, Item, Role};

use crate::features::Features;
use crate::sources::SourceSet;

/// Restart requests of one participant: spacing, and how many in which time.
const RESTART_SPACING: Duration = Duration::from_secs(5);
const RESTARTS: usize = 5;
const RESTART_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Member {
    /// Real address.
    pub(super) jid: Option<Jid>,
    pub(super) affiliation: Affiliation,
    pub(super) role: Role,
    pub(super) info: ParticipantInfo,
    /// A recorder: neither muted nor made owner.
    pub(super) recorder: bool,
    /// A telephone gateway or transcriber: not made owner.
    pub(super) gateway: bool,
    /// `None` until they are known.
    pub(super) features: Option<Features>,
    /// Order of joining.
    pub(super) order: u64,
    pub(super) session: Option<Session>,
    /// A session beside it, which will take its place.
    pub(super) next: Option<Next>,
    /// A spare endpoint is being asked for.
    pub(super) spare_asked: Option<Invite>,
    /// A spare session came to nothing lately.
    pub(super) spare_failed: bool,
    /// A session beside another one came to nothing: the next one is not made that way.
    pub(super) no_next: bool,
    /// An endpoint is being asked for.
    pub(super) invite: Option<Invite>,
    /// The client ended its session, or could not use one: no further offers.
    pub(super) released: bool,
    pub(super) invited_before: bool,
    /// No offer before this time.
    pub(super) hold_until: Option<Instant>,
    /// Offers refused, or answered with what could not be accepted, one after another.
    pub(super) refusals: u32,
    /// Answers one after another with sources that others have.
    pub(super) clashes: u32,
    /// What the bridge was told last.
    pub(super) force_mute: ForceMute,
    pub(super) restarts: RateLimit,
    pub(super) ice_restarts: RateLimit,
    /// When ICE failed lately.
    pub(super) ice_failures: VecDeque<Instant>,
    /// The room showed it since the focus came.
    pub(super) seen: bool,
    /// Since when it is there, as far as this focus saw it come.
    pub(super) since: Option<Instant>,
}

/// A Jingle session that the client knows.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) sid: String,
    /// The stay its endpoint belongs to.
    pub(super) stay: String,
    /// The client accepted.
    pub(super) active: bool,
    /// To be replaced by a new one.
    pub(super) stale: bool,
    /// Its offer may have been lost with a stream.
    pub(super) doubtful: bool,
    /// Last ICE generation relayed.
    pub(super) ice_generation: i32,
    /// Sources the client was told of, by owner; unused with SSRC rewriting.
    pub(super) signalled: BTreeMap<String, SourceSet>,
}

/// A session beside another one: the client connects it, says when it carries everything, and then the other one ends.
#[derive(Debug)]
pub(crate) struct Next {
    pub(super) session: Session,
    /// What the client sends on it.
    pub(super) sources: SourceSet,
    /// It carries everything.
    pub(super) done: bool,
    /// When it was offered.
    pub(super) since: Instant,
    /// It carries nothing as long as the other one does.
    pub(super) spare: bool,
}

/// An endpoint asked for, of which an offer will be made.
#[derive(Debug)]
pub(crate) struct Invite {
    pub(super) sid: String,
    pub(super) stay: String,
    /// A data channel was asked for too.
    pub(super) sctp: bool,
}

/// Lets a few through, then no more for a while.
#[derive(Debug, Default)]
pub(crate) struct RateLimit(VecDeque<Instant>);

impl RateLimit {
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        while self
            .0
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= RESTART_INTERVAL)
        {
            self.0.pop_front();
        }
        let spaced = self
            .0
            .back()
            .is_none_or(|at| now.saturating_duration_since(*at) >= RESTART_SPACING);
        if !spaced || self.0.len() >= RESTARTS {
            return false;
        }
        self.0.push_back(now);
        true
    }
}

impl Member {
    /// How long it has been there, as far as this focus saw it come.
    pub(super) fn lasted(&self, now: Instant) -> Duration {
        let since = self.since.map(|since| now.saturating_duration_since(since));
        since.unwrap_or_default()
    }

    pub(super) fn new(item: &Item, info: ParticipantInfo, order: u64) -> Self {
        Self {
            jid: item.jid.clone(),
            affiliation: item.affiliation.unwrap_or(Affiliation::None),
            role: item.role.unwrap_or(Role::None),
            info,
            recorder: false,
            gateway: false,
            features: None,
            order,
            session: None,
            next: None,
            spare_asked: None,
            spare_failed: false,
            no_next: false,
            invite: None,
            released: false,
            invited_before: false,
            hold_until: None,
            refusals: 0,
            clashes: 0,
            force_mute: ForceMute::default(),
            restarts: RateLimit::default(),
            ice_restarts: RateLimit::default(),
            since: None,
            ice_failures: VecDeque::new(),
            seen: true,
        }
    }

    pub(super) fn is_owner(&self) -> bool {
        self.affiliation == Affiliation::Owner
    }

    pub(super) fn is_moderator(&self) -> bool {
        matches!(self.affiliation, Affiliation::Owner | Affiliation::Admin)
            || self.role == Role::Moderator
    }

    /// Receives only.
    pub(super) fn is_visitor(&self) -> bool {
        !self.is_moderator() && self.role != Role::Participant
    }

    /// Learns its sources one by one from the focus, not from the bridge.
    pub(super) fn is_told_sources(&self) -> bool {
        self.features
            .is_some_and(|features| !features.ssrc_rewriting)
    }

    /// Cannot be muted by others.
    pub(super) fn is_exempt_from_mute(&self) -> bool {
        let deaf_gateway =
            self.gateway && !self.features.is_some_and(|features| features.audio_mute);
        self.recorder || self.is_visitor() || deaf_gateway
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "any instant will do")]
    fn restarts_are_spaced_and_counted() {
        let start = Instant::now();
        let mut limit = RateLimit::default();
        let seconds = |s: u64| start + Duration::from_secs(s);
        let asked = [0, 4, 5, 10, 15, 20, 25, 60, 61, 65];
        let allowed: Vec<u64> = asked
            .into_iter()
            .filter(|s| limit.allow(seconds(*s)))
            .collect();
        assert_eq!(allowed, [0, 5, 10, 15, 20, 60, 65]);
    }
}
