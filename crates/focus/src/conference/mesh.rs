//! The relays between the bridges of a conference, as far as they are known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use stanza::FullJid;
use stanza::media::IceTransport;

use super::topology::Topology;
use crate::sources::SourceSet;

/// Relays between two bridges that may fail one after another before one of the bridges is given up.
const MAX_FAILURES: u32 = 3;
/// A relay that was made for so long has worked: a failure after that is the first one again.
const WORKED: Duration = Duration::from_secs(20);
/// Failures further back than this do not count any more, and a bridge that was given up gets people again.
const FORGOTTEN: Duration = Duration::from_secs(300);
/// A report about a relay younger than this is about the one before it.
const NEW: Duration = Duration::from_secs(3);

/// One bridge's end of a relay.
#[derive(Debug)]
pub(super) struct End {
    /// Id of the stay on it, and what the other end calls it.
    pub(super) stay: String,
    pub(super) bridge: FullJid,
    pub(super) relay: String,
    /// That it is to make the relay is kept to be said again: it may not know of it.
    pub(super) unheard: bool,
    /// Its side of the transport, once it has told it.
    pub(super) transport: Option<IceTransport>,
    /// People of the other end that it was told of, with their sources.
    pub(super) told: BTreeMap<String, SourceSet>,
}

/// A relay between two bridges: the elder one first.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [End; 2],
    /// What goes over it, bridges pass on to other meshes alone.
    pub(super) mesh: String,
    /// Since when both know each other's transports.
    pub(super) made: Option<Instant>,
    /// Which of the relays between the two it is, one after another.
    pub(super) number: u64,
}

/// Relays between two bridges that failed one after another.
#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is made anew, after so many failures.
    Again(u32),
    /// No relay can be made between the two.
    Hopeless(u32),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    pub(super) links: Vec<Link>,
    /// Between which stays there are to be relays.
    pub(super) topology: Topology,
    /// Stays without people, kept because others meet through them.
    pub(super) kept: BTreeSet<String>,
    /// The stays that the conference had when the relays were seen to last.
    pub(super) stays: Vec<String>,
    /// By bridge, the elder first.
    failures: BTreeMap<(FullJid, FullJid), Failures>,
    /// Bridges that could not be related to others, and since when.
    given_up: BTreeMap<FullJid, Instant>,
    /// Those of them that are to be left, with the reason.
    unrelated: Vec<(FullJid, String)>,
}

impl Mesh {
    /// Whether a bridge could not be related to others lately.
    pub(super) fn is_given_up(&self, now: Instant, bridge: &FullJid) -> bool {
        let since = self.given_up.get(bridge);
        since.is_some_and(|at| now.saturating_duration_since(*at) < FORGOTTEN)
    }

    /// A bridge could not be related to others, and is to be left.
    pub(super) fn give_up(&mut self, now: Instant, bridge: FullJid, reason: String) {
        self.given_up.insert(bridge.clone(), now);
        // What failed with it says nothing of another time.
        self.failures
            .retain(|(a, b), _| *a != bridge && *b != bridge);
        self.unrelated.push((bridge, reason));
    }

    /// A bridge that is to be left, and why.
    pub(super) fn take_unrelated(&mut self) -> Option<(FullJid, String)> {
        self.unrelated.pop()
    }

    /// A relay failed.
    pub(super) fn count_failure(&mut self, now: Instant, link: &Link) -> Verdict {
        let old = |at: Instant| now.saturating_duration_since(at) >= FORGOTTEN;
        self.failures.retain(|_, failures| !old(failures.last));
        self.given_up.retain(|_, since| !old(*since));
        let [elder, newer] = &link.ends;
        let key = (elder.bridge.clone(), newer.bridge.clone());
        let failures = self.failures.entry(key);
        let failures = failures.or_insert(Failures {
            count: 0,
            last: now,
        });
        let worked = |at: Instant| now.saturating_duration_since(at) >= WORKED;
        if link.made.is_some_and(worked) {
            failures.count = 0;
        }
        failures.count += 1;
        failures.last = now;
        let mut count = failures.count;
        if let Some(leaf) = self.topology.on_failed(&elder.stay, &newer.stay) {
            // It tries one bridge after another; whether it gets on with none does not depend on how many there are.
            let leaf = &link.ends[link.at(&leaf)].bridge;
            let pairs = self.failures.iter();
            let of_leaf = pairs.filter(|((a, b), _)| a == leaf || b == leaf);
            count = of_leaf.map(|(_, failures)| failures.count).sum();
        }
        match count >= MAX_FAILURES {
            true => Verdict::Hopeless(count),
            false => Verdict::Again(count),
        }
    }

    /// To how many bridges relays of this one have failed.
    pub(super) fn troubles(&self, bridge: &FullJid) -> usize {
        let pairs = self.failures.keys();
        pairs.filter(|(a, b)| a == bridge || b == bridge).count()
    }

    /// The stays at both ends of the relay that a bridge calls by this name, if it is not too new to be meant.
    pub(super) fn find(&self, now: Instant, bridge: &FullJid, relay: &str) -> Option<[String; 2]> {
        let meant = |at: Instant| now.saturating_duration_since(at) >= NEW;
        let mut links = self
            .links
            .iter()
            .filter(|link| link.made.is_some_and(meant));
        links.find_map(|link| {
            let [elder, newer] = &link.ends;
            let is_it = |at: &End, other: &End| at.bridge == *bridge && other.relay == relay;
            match (is_it(elder, newer), is_it(newer, elder)) {
                (true, _) => Some([elder.stay.clone(), newer.stay.clone()]),
                (_, true) => Some([newer.stay.clone(), elder.stay.clone()]),
                _ => None,
            }
        })
    }

    /// Between which stays there are relays.
    pub(super) fn record(&self) -> Vec<(String, String)> {
        let made = self.links.iter().filter(|link| link.made.is_some());
        made.map(|link| (link.ends[0].stay.clone(), link.ends[1].stay.clone()))
            .collect()
    }

    pub(super) fn has(&self, a: &str, b: &str) -> bool {
        self.links.iter().any(|link| link.is_between(a, b))
    }

    /// Whether there is to be such a relay.
    pub(super) fn wants(&self, link: &Link) -> bool {
        let [elder, newer] = &link.ends;
        self.topology.mesh(&elder.stay, &newer.stay) == Some(link.mesh.as_str())
    }
}

impl Link {
    pub(super) fn is_between(&self, a: &str, b: &str) -> bool {
        let [elder, newer] = &self.ends;
        (elder.stay == a && newer.stay == b) || (elder.stay == b && newer.stay == a)
    }

    /// The index of the end at a stay.
    pub(super) fn at(&self, stay: &str) -> usize {
        usize::from(self.ends[0].stay != stay)
    }
}
