//! Which video sources a receiver wants, and how large: order, last-N, constraints. What its line carries is not looked at
//! here; senders are told of wishes, not of lines.

use crate::media::ids::SourceName;
use crate::media::spec::{ReceiverConstraints, SourceConstraint};
use crate::media::table::FeedId;
use smallvec::SmallVec;
use std::collections::HashMap;

/// Default limit when the first message of a client names none, pixels.
const DEFAULT_HEIGHT: i32 = 180;
/// All temporal layers.
pub(crate) const ALL_TEMPORAL: u8 = 7;
/// Longest list of names taken from one message.
const MAX_NAMES: usize = 1000;

/// What a receiver asked for so far.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    last_n: i32,
    selected: Vec<SourceName>,
    on_stage: Vec<SourceName>,
    default: SourceConstraint,
    by_source: HashMap<SourceName, SourceConstraint>,
    /// Bandwidth to assume, bits per second.
    assumed: Option<u64>,
    /// A message arrived: video may be sent.
    heard: bool,
}

impl Settings {
    /// Before the first message: no video at all.
    pub(crate) fn new(last_n: Option<i32>) -> Self {
        Self {
            last_n: last_n.unwrap_or(-1),
            selected: Vec::new(),
            on_stage: Vec::new(),
            default: SourceConstraint::height(0),
            by_source: HashMap::new(),
            assumed: None,
            heard: false,
        }
    }

    /// Sets last-N from signalling, until the client names its own.
    pub(crate) fn set_initial_last_n(&mut self, last_n: i32) {
        if !self.heard {
            self.last_n = last_n;
        }
    }

    /// Takes a message: groups that are present replace the old ones.
    pub(crate) fn apply(&mut self, message: ReceiverConstraints) {
        if let Some(last_n) = message.last_n {
            self.last_n = last_n;
        }
        if let Some(mut names) = message.selected_sources {
            names.truncate(MAX_NAMES);
            self.selected = names;
        }
        if let Some(mut names) = message.on_stage_sources {
            names.truncate(MAX_NAMES);
            self.on_stage = names;
        }
        match message.default_constraint {
            Some(default) => self.default = default,
            None if !self.heard => self.default = SourceConstraint::height(DEFAULT_HEIGHT),
            None => {}
        }
        if let Some(constraints) = message.constraints {
            self.by_source = constraints.into_iter().take(MAX_NAMES).collect();
        }
        if let Some(assumed) = message.assumed_bandwidth {
            self.assumed = u64::try_from(assumed).ok();
        }
        self.heard = true;
    }

    fn constraint(&self, name: &SourceName) -> i32 {
        let c = self.by_source.get(name).unwrap_or(&self.default);
        if c.max_frame_rate == 0.0 {
            0
        } else {
            c.max_height
        }
    }

    /// Whether a source is on stage or selected.
    pub(crate) fn prefers(&self, name: &SourceName) -> bool {
        self.on_stage.contains(name) || self.selected.contains(name)
    }

    /// Whether the client has said anything yet.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard
    }

    /// Whether the number of sources is limited, so that their order matters.
    pub(super) fn is_limited(&self) -> bool {
        self.last_n >= 0
    }

    /// Whether a source is on stage.
    pub(super) fn is_on_stage(&self, name: &SourceName) -> bool {
        self.on_stage.contains(name)
    }

    /// Bandwidth that the client wants to be assumed, bits per second.
    pub(super) fn assumed_bandwidth(&self) -> Option<u64> {
        self.assumed
    }

    /// Whether somebody is on stage.
    pub(crate) fn is_stage_view(&self) -> bool {
        !self.on_stage.is_empty()
    }
}

/// A video source that may be sent to receivers.
#[derive(Debug, Clone)]
struct Candidate {
    feed: FeedId,
    name: SourceName,
    enabled: bool,
}

/// All video sources of a conference: those that are on in the order of speech, then those that are off.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    list: Vec<Candidate>,
    by_name: HashMap<SourceName, usize>,
}

impl Candidates {
    /// Takes sources in the order of speech, each with whether its video is on.
    pub(super) fn new(sources: impl Iterator<Item = (FeedId, SourceName, bool)>) -> Self {
        let candidate = |(feed, name, enabled)| Candidate {
            feed,
            name,
            enabled,
        };
        let mut list: Vec<_> = sources.map(candidate).collect();
        list.sort_by_key(|c| !c.enabled);
        let names = list.iter().enumerate();
        let by_name = names.map(|(at, c)| (c.name.clone(), at)).collect();
        Self { list, by_name }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }
}

/// The decision for one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) feed: FeedId,
    /// Height limit after last-N; 0 for nothing, -1 for no limit. What its sender is told.
    pub(super) constraint: i32,
    /// Whether a slot should be bound even if nothing is sent now: its video is on, only not wanted at present.
    pub(super) available: bool,
}

/// A source that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) feed: FeedId,
    pub(super) on_stage: bool,
}

/// Decides for all candidates but the receiver's own, in order of preference. `slots` bounds the number of sources.
pub(super) fn allocate(
    settings: &Settings,
    candidates: &Candidates,
    is_own: impl Fn(FeedId) -> bool,
    slots: usize,
) -> Vec<Decision> {
    let list = &candidates.list;
    let mut preferred: SmallVec<[usize; 16]> = SmallVec::new();
    for name in settings.on_stage.iter().chain(&settings.selected) {
        if let Some(&at) = candidates.by_name.get(name)
            && list.get(at).is_some_and(|c| c.enabled)
            && !preferred.contains(&at)
        {
            preferred.push(at);
        }
    }
    let rest = (0..list.len()).filter(|at| !preferred.contains(at));
    let order = preferred.iter().copied().chain(rest);
    let order = order.filter_map(|at| list.get(at).filter(|c| !is_own(c.feed)));

    let limit = usize::try_from(settings.last_n)
        .unwrap_or(usize::MAX)
        .min(slots);
    let mut passed = 0;
    let mut decisions = Vec::with_capacity(list.len());
    for candidate in order {
        let mut constraint = settings.constraint(&candidate.name);
        if !candidate.enabled || passed >= limit || !settings.heard {
            constraint = 0;
        }
        passed += usize::from(constraint != 0);
        decisions.push(Decision {
            feed: candidate.feed,
            constraint,
            available: candidate.enabled,
        });
    }
    decisions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::spec::VideoType;
    use crate::media::table::Key;

    fn name(s: &str) -> SourceName {
        SourceName::new(s).unwrap()
    }

    fn run(settings: &Settings, names: &[(&str, VideoType)]) -> Vec<(String, i32)> {
        let sources = names.iter().enumerate().map(|(at, (n, video_type))| {
            (FeedId::of(at), name(n), *video_type != VideoType::Disabled)
        });
        let decisions = allocate(settings, &Candidates::new(sources), |_| false, 50);
        decisions
            .iter()
            .map(|d| (names[d.feed.index()].0.to_owned(), d.constraint))
            .collect()
    }

    const CAMERAS: [(&str, VideoType); 3] = [
        ("a", VideoType::Camera),
        ("b", VideoType::Camera),
        ("c", VideoType::Camera),
    ];

    #[test]
    fn nothing_before_the_first_message() {
        let s = Settings::new(None);
        assert!(run(&s, &CAMERAS).iter().all(|d| d.1 == 0));
    }

    #[test]
    fn the_first_message_without_a_default_means_180() {
        let mut s = Settings::new(None);
        s.apply(ReceiverConstraints {
            last_n: Some(-1),
            ..Default::default()
        });
        assert!(run(&s, &CAMERAS).iter().all(|d| d.1 == 180));
    }

    #[test]
    fn stage_comes_first_and_last_n_counts_sources() {
        let mut s = Settings::new(None);
        s.apply(ReceiverConstraints {
            last_n: Some(2),
            on_stage_sources: Some(vec![name("c")]),
            selected_sources: Some(vec![name("c"), name("nobody")]),
            default_constraint: Some(SourceConstraint::height(180)),
            constraints: Some(vec![(name("c"), SourceConstraint::height(720))]),
            ..Default::default()
        });
        let expected = [("c", 720), ("a", 180), ("b", 0)];
        assert_eq!(run(&s, &CAMERAS), expected.map(|(n, h)| (n.to_string(), h)));
    }

    #[test]
    fn what_is_off_or_limited_to_zero_takes_no_place() {
        let mut s = Settings::new(None);
        s.apply(ReceiverConstraints {
            last_n: Some(1),
            default_constraint: Some(SourceConstraint::height(-1)),
            constraints: Some(vec![(
                name("b"),
                SourceConstraint {
                    max_height: 360,
                    max_frame_rate: 0.0,
                },
            )]),
            ..Default::default()
        });
        let sources = [
            ("a", VideoType::Disabled),
            ("b", VideoType::Camera),
            ("c", VideoType::Camera),
        ];
        let expected = [("b", 0), ("c", -1), ("a", 0)];
        assert_eq!(run(&s, &sources), expected.map(|(n, h)| (n.to_string(), h)));
    }
}
