//! Which bridge a participant gets: jicofo's strategies over the bridges that can serve, and the choice in words.
//!
//! A choice never falls on a bridge that is known to refuse: it fails in words instead, and is made again when a bridge
//! gets better. See the strategies' descriptions at [`Strategy`].
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::time::Instant;

use stanza::FullJid;

use crate::config::{BridgeConfig, Strategy};

/// Differences of load up to this are noise of its measurement: among such bridges people decide.
const NOISE: f64 = 0.05;
/// Other bridges named when a choice is explained.
const EXPLAINED: usize = 8;

/// How a bridge stands at the moment of a choice, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Ready,
    /// It failed lately; better than none.
    Failed,
    /// It shall become empty; better than none.
    Draining,
    /// It takes nobody into meetings that it does not have.
    Graceful,
    /// It says that it is not well.
    Unwell,
    /// It does not answer, but serves its people.
    Unreachable,
    /// It does not answer.
    Silent,
    /// It is shutting down.
    Leaving,
}

impl Standing {
    /// In a word, for explanations and status.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Failed => "failed lately",
            Self::Draining => "draining",
            Self::Graceful => "takes no new meetings",
            Self::Unwell => "not well",
            Self::Unreachable => "cut off from here",
            Self::Silent => "silent",
            Self::Leaving => "shutting down",
        }
    }
}

/// A bridge as a choice sees it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate<'a> {
    pub(crate) jid: &'a FullJid,
    pub(crate) standing: Standing,
    /// The load it reports.
    pub(crate) stress: f64,
    /// Load of people that the report does not show yet.
    pub(crate) promised: f64,
    /// People on it.
    pub(crate) people: usize,
    /// Until when it is avoided, if it failed.
    pub(crate) failed_until: Option<Instant>,
    pub(crate) region: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
    /// Meetings may be spread over it and others.
    pub(crate) has_relays: bool,
    /// Most of what it serves cannot be reached through it, as far as is known: it counts as overloaded.
    pub(crate) suspect: bool,
}

/// A bridge that the meeting is on already.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    pub(crate) bridge: FullJid,
    /// People of the meeting on it.
    pub(crate) people: usize,
    /// It serves the meeting's visitors, not its participants.
    pub(crate) visitors: bool,
}

/// For whom a bridge is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) region: Option<&'a str>,
    pub(crate) visitor: bool,
    /// Not this one, if there is another.
    pub(crate) avoid: Option<&'a FullJid>,
    /// Where the meeting is already.
    pub(crate) used: &'a [Used],
}

impl Wanted<'_> {
    fn used(&self, jid: &FullJid) -> Option<&Used> {
        self.used.iter().find(|used| used.bridge == *jid)
    }
}

/// The bridge chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) bridge: FullJid,
    pub(crate) region: Option<String>,
    pub(crate) reason: String,
    pub(crate) stress: f64,
    pub(crate) promised: f64,
    /// Bridges that came into question.
    pub(crate) candidates: usize,
    /// The other bridges, each with its load or why it did not come into question.
    pub(crate) others: String,
}

impl Choice {
    /// Why it was made, for operators.
    pub(crate) fn why(&self) -> String {
        format!(
            "{} (reported {:.3}, promised {:.3}, of {})",
            self.reason, self.stress, self.promised, self.candidates
        )
    }
}

impl Candidate<'_> {
    pub(crate) fn load(&self) -> f64 {
        self.stress + self.promised
    }

    /// The choice of this one, among no others.
    pub(crate) fn choice(&self, reason: &str) -> Choice {
        Choice {
            bridge: self.jid.clone(),
            region: self.region.map(str::to_owned),
            reason: reason.to_owned(),
            stress: self.stress,
            promised: self.promised,
            candidates: 1,
            others: String::new(),
        }
    }

    fn is_overloaded(&self, config: &BridgeConfig) -> bool {
        self.suspect || self.load() >= config.stress_threshold
    }

    fn is_full(&self, config: &BridgeConfig) -> bool {
        config.max_people.is_some_and(|most| self.people >= most)
    }

    /// Overloaded, or the meeting has its share of it.
    fn is_loaded(&self, config: &BridgeConfig, wanted: &Wanted<'_>) -> bool {
        self.is_overloaded(config) || self.has_share(config, wanted)
    }

    fn has_share(&self, config: &BridgeConfig, wanted: &Wanted<'_>) -> bool {
        let people = wanted.used(self.jid).map_or(0, |used| used.people);
        config.max_people_of_meeting.is_some_and(|m| people >= m)
    }
}

/// Least load; where loads differ by no more than the noise of their measurement, fewest people.
fn least<'a, 'b>(pool: impl Iterator<Item = &'b Candidate<'a>>) -> Option<&'b Candidate<'a>>
where
    'a: 'b,
{
    let pool: Vec<_> = pool.collect();
    let lowest = pool.iter().map(|c| c.load()).fold(f64::INFINITY, f64::min);
    let by_load = |a: &Candidate<'_>, b: &Candidate<'_>| {
        let loads = a.load().partial_cmp(&b.load()).unwrap_or(Ordering::Equal);
        loads.then_with(|| a.jid.cmp(b.jid))
    };
    pool.into_iter()
        .filter(|c| c.load() <= lowest + NOISE)
        .min_by(|a, b| a.people.cmp(&b.people).then_with(|| by_load(a, b)))
}

/// Chooses a bridge.
///
/// # Errors
/// What is wrong with all of them, in words.
pub(crate) fn choose(
    config: &BridgeConfig,
    all: &[Candidate<'_>],
    wanted: &Wanted<'_>,
) -> Result<Choice, String> {
    if all.is_empty() {
        return Err("no bridge is in the brewery".to_owned());
    }
    let able = able(config, all, wanted)?;
    let (chosen, reason) = match existing(config, all, &able, wanted) {
        Some(chosen) => (chosen, "the meeting is there"),
        None => by_strategy(config.strategy, config, &able, wanted)
            .ok_or_else(|| "no bridge is left for this meeting".to_owned())?,
    };
    Ok(Choice {
        candidates: able.len(),
        others: others(config, all, chosen),
        ..chosen.choice(reason)
    })
}

/// The bridges among which the strategy chooses. Preferences narrow the list, but never empty it; what would surely refuse
/// is not in it.
fn able<'b, 'a>(
    config: &BridgeConfig,
    all: &'b [Candidate<'a>],
    wanted: &Wanted<'_>,
) -> Result<Vec<&'b Candidate<'a>>, String> {
    let serves = |c: &&Candidate<'_>| match c.standing {
        Standing::Ready | Standing::Failed | Standing::Draining => true,
        // It would refuse, again and again.
        Standing::Graceful => wanted.used(c.jid).is_some(),
        Standing::Unwell | Standing::Unreachable | Standing::Silent | Standing::Leaving => false,
    };
    let mut able: Vec<_> = all.iter().filter(serves).collect();
    if able.is_empty() {
        return Err(format!(
            "none of {} bridges is usable{}",
            all.len(),
            whys(all)
        ));
    }
    let first = wanted.used.first();
    let version = first.and_then(|used| all.iter().find(|c| c.jid == &used.bridge)?.version);
    if let Some(version) = version
        && !config.mix_versions
    {
        able.retain(|c| c.version == Some(version) || wanted.used(c.jid).is_some());
        if able.is_empty() {
            return Err(format!(
                "no usable bridge has the meeting's version {version}"
            ));
        }
    }
    able.retain(|c| !c.is_full(config) || wanted.used(c.jid).is_some());
    if able.is_empty() {
        let most = config.max_people.unwrap_or_default();
        return Err(format!("every usable bridge has its {most} people"));
    }
    let mut prefer = |keep: &dyn Fn(&Candidate<'_>) -> bool| {
        if able.iter().any(|c| keep(c)) {
            able.retain(|c| keep(c));
        }
    };
    prefer(&|c| !c.suspect);
    prefer(&|c| c.standing != Standing::Failed);
    // If all failed: the one that failed longest ago, so that each has its turn.
    let failed = |c: &Candidate<'_>| c.failed_until.filter(|_| c.standing == Standing::Failed);
    let oldest = all.iter().filter(serves).filter_map(failed).min();
    prefer(&|c| failed(c).is_none() || failed(c) == oldest);
    prefer(&|c| Some(c.jid) != wanted.avoid);
    prefer(&|c| c.standing != Standing::Draining);
    prefer(&|c| c.standing != Standing::Graceful);
    Ok(able)
}

/// Where meetings are not spread, all of one are together.
fn existing<'b, 'a>(
    config: &BridgeConfig,
    all: &'b [Candidate<'a>],
    able: &[&'b Candidate<'a>],
    wanted: &Wanted<'_>,
) -> Option<&'b Candidate<'a>> {
    let first = wanted.used.first()?;
    let at = all.iter().find(|c| c.jid == &first.bridge)?;
    let alone = config.strategy == Strategy::Single || !at.has_relays;
    (alone && able.iter().any(|c| c.jid == at.jid)).then_some(at)
}

type Step<'f> = (&'static str, &'f dyn Fn(&Candidate<'_>) -> bool);

/// The least loaded of the first step that keeps somebody.
fn first_of<'b, 'a>(
    able: &[&'b Candidate<'a>],
    steps: &[Step<'_>],
) -> Option<(&'b Candidate<'a>, &'static str)> {
    steps.iter().find_map(|(reason, keep)| {
        let pool = able.iter().copied().filter(|c| keep(c));
        least(pool).map(|c| (c, *reason))
    })
}

fn by_strategy<'b, 'a>(
    strategy: Strategy,
    config: &BridgeConfig,
    able: &[&'b Candidate<'a>],
    wanted: &Wanted<'_>,
) -> Option<(&'b Candidate<'a>, &'static str)> {
    let used = |c: &Candidate<'_>| wanted.used(c.jid).is_some();
    match strategy {
        Strategy::Single => single(config, able, wanted),
        Strategy::Split => first_of(able, &[("the meeting is not there yet", &|c| !used(c))])
            .or_else(|| {
                let people = |c: &&Candidate<'_>| wanted.used(c.jid).map_or(0, |u| u.people);
                let fewest = able.iter().copied().min_by_key(people)?;
                Some((fewest, "fewest people of the meeting"))
            }),
        Strategy::IntraRegion => intra_region(config, able, wanted),
        Strategy::RegionBased => region_based(config, able, wanted),
        Strategy::Visitor {
            participants,
            visitors,
        } => {
            let kind = |c: &&&Candidate<'_>| {
                wanted
                    .used(c.jid)
                    .is_none_or(|u| u.visitors == wanted.visitor)
            };
            let same: Vec<_> = able.iter().filter(kind).copied().collect();
            let inner = match wanted.visitor {
                true => visitors.into(),
                false => participants.into(),
            };
            let pool = if same.is_empty() { able } else { &same };
            by_strategy(inner, config, pool, wanted)
        }
    }
}

/// The region of somebody who may not say one.
fn region<'w>(config: &'w BridgeConfig, wanted: &Wanted<'w>) -> Option<&'w str> {
    wanted.region.or(config.local_region.as_deref())
}

fn single<'b, 'a>(
    config: &BridgeConfig,
    able: &[&'b Candidate<'a>],
    wanted: &Wanted<'_>,
) -> Option<(&'b Candidate<'a>, &'static str)> {
    let region = region(config, wanted);
    let light = |c: &Candidate<'_>| !c.is_overloaded(config);
    let near = |c: &Candidate<'_>| region.is_some() && c.region == region;
    first_of(
        able,
        &[
            (
                "least loaded in the region of the first participant",
                &|c| light(c) && near(c),
            ),
            ("least loaded", &light),
            ("least loaded, although all are overloaded", &|_| true),
        ],
    )
}

fn intra_region<'b, 'a>(
    config: &BridgeConfig,
    able: &[&'b Candidate<'a>],
    wanted: &Wanted<'_>,
) -> Option<(&'b Candidate<'a>, &'static str)> {
    let light = |c: &Candidate<'_>| !c.is_loaded(config, wanted);
    let used = |c: &Candidate<'_>| wanted.used(c.jid).is_some();
    let Some(first) = wanted.used.first() else {
        return single(config, able, wanted);
    };
    let home = able.iter().find(|c| c.jid == &first.bridge);
    let home = home.and_then(|c| c.region);
    let near = |c: &Candidate<'_>| c.region == home;
    first_of(
        able,
        &[
            ("the meeting is there, in its region", &|c| {
                light(c) && used(c) && near(c)
            }),
            ("least loaded in the region of the meeting", &|c| {
                light(c) && near(c)
            }),
            ("the meeting is there, although it is loaded", &|c| {
                used(c) && near(c)
            }),
        ],
    )
}

fn region_based<'b, 'a>(
    config: &BridgeConfig,
    able: &[&'b Candidate<'a>],
    wanted: &Wanted<'_>,
) -> Option<(&'b Candidate<'a>, &'static str)> {
    let local = config.local_region.as_deref();
    let mut desired = region(config, wanted);
    if let (Some(local), Some(asked)) = (local, desired) {
        // The second of the first two is probably local.
        let first_near = wanted.used.is_empty() && config.are_neighbours(asked, local);
        let nobody_there = !able
            .iter()
            .any(|c| c.region.is_some_and(|r| config.are_neighbours(r, asked)));
        if first_near || nobody_there {
            desired = Some(local);
        }
    }
    let light = |c: &Candidate<'_>| !c.is_loaded(config, wanted);
    let used = |c: &Candidate<'_>| wanted.used(c.jid).is_some();
    let here = |c: &Candidate<'_>| desired.is_some() && c.region == desired;
    let near = |c: &Candidate<'_>| {
        let regions = desired.zip(c.region);
        regions.is_some_and(|(a, b)| config.are_neighbours(a, b))
    };
    first_of(
        able,
        &[
            (
                "the meeting is there, in the region of the participant",
                &|c| light(c) && used(c) && here(c),
            ),
            (
                "the meeting is there, near the region of the participant",
                &|c| light(c) && used(c) && near(c),
            ),
            ("least loaded in the region of the participant", &|c| {
                light(c) && here(c)
            }),
            ("least loaded near the region of the participant", &|c| {
                light(c) && near(c)
            }),
            ("the meeting is there", &|c| light(c) && used(c)),
            ("least loaded", &|c| !c.is_overloaded(config)),
            ("the meeting is there, although all are overloaded", &|c| {
                used(c) && !c.has_share(config, wanted)
            }),
            ("least loaded, although all are overloaded", &|_| true),
        ],
    )
}

/// What is to say of each of the other bridges.
fn others(config: &BridgeConfig, all: &[Candidate<'_>], chosen: &Candidate<'_>) -> String {
    let mut text = String::new();
    let others = all.iter().filter(|c| c.jid != chosen.jid);
    for (n, other) in others.clone().take(EXPLAINED).enumerate() {
        let comma = if n > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}{} {:.3}", other.jid.resource(), other.load());
        if other.standing != Standing::Ready {
            let _ = write!(text, " {}", other.standing.word());
        } else if other.suspect {
            text.push_str(" failing for its people");
        } else if other.is_full(config) {
            text.push_str(" full");
        }
    }
    let more = others.count().saturating_sub(EXPLAINED);
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// Why each of them cannot be chosen.
fn whys(all: &[Candidate<'_>]) -> String {
    let mut text = String::new();
    for (n, c) in all.iter().take(EXPLAINED).enumerate() {
        let comma = if n > 0 { ", " } else { ": " };
        let _ = write!(text, "{comma}{} {}", c.jid.resource(), c.standing.word());
    }
    text
}
