//! Settings of the focus; times are durations, sizes are counts.
use std::time::Duration;

use stanza::BareJid;

use crate::offer::Codecs;

/// Nickname of the focus in every room. Clients and servers depend on this very word.
pub(crate) const NICK: &str = "focus";

/// What a [`crate::Focus`] needs to know about its deployment.
#[derive(Debug, Clone)]
pub struct FocusConfig {
    /// Main domain: target of the component discovery.
    pub domain: String,
    /// Host of the rooms; conference requests for rooms elsewhere are refused.
    pub muc_domain: String,
    /// Further hosts whose rooms are served (breakout rooms).
    pub extra_muc_domains: Vec<String>,
    /// The proxy in front of the focus (`focus.<domain>`), whose requests carry the real sender in the resource.
    pub proxy_domain: String,
    /// Room of the bridges.
    pub brewery: BareJid,
    /// Domains whose members may call themselves recorders, gateways or transcribers.
    pub trusted_domains: Vec<String>,
    /// Members (the focus not counted) from which sessions are made.
    pub min_participants: usize,
    /// A conference that nobody joins ends after this time.
    pub initial_timeout: Duration,
    /// The session of the last participant ends after this time.
    pub single_participant_timeout: Duration,
    /// The first member becomes owner.
    pub auto_owner: bool,
    /// Clients may ask the bridge for new ICE credentials inside their session.
    pub ice_restart: bool,
    /// Sources one participant may have.
    pub max_ssrcs_per_user: usize,
    /// Unmuted microphones beyond which further ones are refused.
    pub max_audio_senders: usize,
    /// Unmuted cameras beyond which further ones are refused.
    pub max_video_senders: usize,
    /// Receivers without SSRC rewriting learn only the first layer of a simulcast source.
    pub strip_simulcast: bool,
    /// Conferences kept at the same time; a request for one more is refused.
    pub max_conferences: usize,
    /// Members of one room that get a session.
    pub max_participants: usize,
    /// What the offers hold.
    pub codecs: Codecs,
    /// How bridges are watched and chosen.
    pub bridges: BridgeConfig,
    /// Time given to a client or to the server for an answer.
    pub reply_timeout: Duration,
}

/// How bridges are watched and chosen.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Time between two health checks of a bridge with people on it; others are asked half as often. Longer where there are
    /// many bridges.
    pub health_interval: Duration,
    /// A health check without an answer counts as failed after this time.
    pub health_timeout: Duration,
    /// An unanswered allocation or update counts against the bridge after this time.
    pub reply_timeout: Duration,
    /// A bridge that failed is not chosen again for this time.
    pub failure_hold: Duration,
    /// Stress of one participant, where the bridge reports none.
    pub participant_stress: f64,
    /// Time after which a promised participant is expected to be part of the reported stress.
    pub rampup: Duration,
    /// Stress at and above which a bridge counts as overloaded.
    pub stress_threshold: f64,
    /// Region preferred for participants that name none.
    pub local_region: Option<String>,
    /// Bridges remembered; further brewery occupants are ignored.
    pub max_bridges: usize,
    /// Which bridge a participant gets.
    pub strategy: Strategy,
    /// Regions that count as near each other; one that stands in none is near itself alone.
    pub region_groups: Vec<Vec<String>>,
    /// People on one bridge beyond which it gets no further meeting.
    pub max_people: Option<usize>,
    /// People of one meeting on one bridge beyond which others take the next, where a meeting may be on several.
    pub max_people_of_meeting: Option<usize>,
    /// Bridges of one meeting that have relays to each other; each further one, and each with visitors alone, has one relay, to one
    /// of these. `None`: all have relays to each other.
    pub max_mesh: Option<usize>,
    /// Clients that can hold a spare connection on another bridge, ready for when theirs is lost.
    pub standby: bool,
    /// One meeting may be on bridges of several versions.
    pub mix_versions: bool,
}

/// Which bridge a participant gets. All but [`Strategy::Single`] spread a meeting over several bridges, which needs relays
/// between them: bridges that name no relay id keep a meeting together whatever the strategy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// All of a meeting together, on the least loaded bridge of the first participant's region, else of all.
    #[default]
    Single,
    /// Each on a bridge that the meeting is not on yet: for tests.
    Split,
    /// Bridges near the participant, then those where the meeting is, then the least loaded.
    RegionBased,
    /// Bridges of the region in which the meeting began.
    IntraRegion,
    /// Visitors and participants of a meeting on different bridges, each by a strategy of their own.
    Visitor {
        /// Of participants.
        participants: Plain,
        /// Of visitors.
        visitors: Plain,
    },
}

/// A [`Strategy`] that is made of no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// [`Strategy::Single`].
    Single,
    /// [`Strategy::Split`].
    Split,
    /// [`Strategy::RegionBased`].
    RegionBased,
    /// [`Strategy::IntraRegion`].
    IntraRegion,
}

impl From<Plain> for Strategy {
    fn from(plain: Plain) -> Self {
        match plain {
            Plain::Single => Self::Single,
            Plain::Split => Self::Split,
            Plain::RegionBased => Self::RegionBased,
            Plain::IntraRegion => Self::IntraRegion,
        }
    }
}

impl BridgeConfig {
    /// Whether two regions are near each other.
    pub(crate) fn are_neighbours(&self, a: &str, b: &str) -> bool {
        let has = |group: &&Vec<String>, region: &str| group.iter().any(|r| r == region);
        let mut groups = self.region_groups.iter();
        a == b || groups.any(|group| has(&group, a) && has(&group, b))
    }
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            health_interval: Duration::from_millis(150),
            health_timeout: Duration::from_millis(1500),
            reply_timeout: Duration::from_secs(2),
            failure_hold: Duration::from_secs(10),
            participant_stress: 0.01,
            rampup: Duration::from_secs(20),
            stress_threshold: 0.8,
            local_region: None,
            max_bridges: 1000,
            strategy: Strategy::Single,
            region_groups: Vec::new(),
            max_people: None,
            max_people_of_meeting: Some(80),
            max_mesh: Some(5),
            standby: false,
            mix_versions: false,
        }
    }
}

impl FocusConfig {
    /// Whether rooms of `room`'s host are served: the room host itself, or the room host of a tenant.
    pub(crate) fn serves(&self, room: &BareJid) -> bool {
        let host = room.domain().as_str();
        if host == self.muc_domain || self.extra_muc_domains.iter().any(|extra| extra == host) {
            return true;
        }
        let prefix = self.muc_domain.strip_suffix(&self.domain);
        let tenant = prefix.and_then(|prefix| host.strip_prefix(prefix));
        let tenant = tenant
            .and_then(|rest| rest.strip_suffix(&self.domain))
            .and_then(|rest| rest.strip_suffix('.'));
        tenant.is_some_and(|tenant| !tenant.is_empty())
    }

    /// The usual host names below `domain`: `conference.`, `focus.`, `internal.auth.`.
    ///
    /// # Errors
    /// If `domain` is not a valid host name.
    pub fn for_domain(domain: &str) -> Result<Self, stanza::jid::Error> {
        Ok(Self {
            domain: domain.to_owned(),
            muc_domain: format!("conference.{domain}"),
            extra_muc_domains: vec![format!("breakout.{domain}")],
            proxy_domain: format!("focus.{domain}"),
            brewery: BareJid::new(&format!("jvbbrewery@internal.auth.{domain}"))?,
            trusted_domains: Vec::new(),
            min_participants: 2,
            initial_timeout: Duration::from_secs(15),
            single_participant_timeout: Duration::from_secs(20),
            auto_owner: true,
            ice_restart: true,
            max_ssrcs_per_user: 20,
            max_audio_senders: 999_999,
            max_video_senders: 999_999,
            strip_simulcast: true,
            max_conferences: 10_000,
            max_participants: 1_000,
            codecs: Codecs::default(),
            bridges: BridgeConfig::default(),
            reply_timeout: Duration::from_secs(15),
        })
    }
}
