//! Between which bridges of a conference there are relays. A few are a core, in which each has a relay to each other one; any
//! further bridge is a leaf, with one relay to a bridge of the core, which passes on what goes to and from it. So the number of
//! relays grows with the number of bridges, not with its square, and a sender's bridge sends to few others.
//!
//! On the wire these are meshes: a bridge passes what came over a relay of one mesh on to those of other meshes. The core is one
//! mesh, and the relay of each leaf is one of its own.

use std::collections::BTreeMap;

/// The mesh of the core.
const CORE: &str = "0";

/// A stay, as far as its place depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) id: &'a str,
    pub(super) region: Option<&'a str>,
    pub(super) people: usize,
    /// It serves visitors, who only watch.
    pub(super) visitors: bool,
    /// Relays can be made to it.
    pub(super) related: bool,
    /// It is being left.
    pub(super) retiring: bool,
}

impl Site<'_> {
    /// Whether others may depend on it.
    fn lasts(&self) -> bool {
        self.related && !self.retiring
    }
}

/// Where a stay stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    Core,
    /// A leaf, and to which stay of the core it has its relay.
    Leaf(String),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Topology {
    /// By stay. Who has a place keeps it as long as it can: relays that are made anew cost people a moment.
    positions: BTreeMap<String, Position>,
    /// How often the relay between a leaf and a stay of the core has failed.
    failures: BTreeMap<(String, String), u32>,
}

impl Topology {
    /// Gives each stay a place; those that are being left come last. With a limit, no more than so many are the core, and those
    /// with visitors alone are leaves. If anything changed: who was given another place.
    pub(super) fn arrange(
        &mut self,
        sites: &[Site<'_>],
        limit: Option<usize>,
    ) -> Option<Vec<String>> {
        let before = self.positions.len();
        self.positions
            .retain(|id, _| sites.iter().any(|site| site.id == id));
        let fewer = self.positions.len() != before;
        self.failures.retain(|(leaf, of), _| {
            self.positions.contains_key(leaf) && self.positions.contains_key(of)
        });
        let mut placed = Vec::new();
        for site in sites.iter().filter(|site| site.related) {
            if self.holds(sites, site) {
                continue;
            }
            let core = sites.iter().filter(|other| self.carries(other));
            let fits = limit.is_none_or(|most| core.count() < most && !site.visitors);
            // Whose relay failed gets another one: in the core it would need that to all.
            let fits = fits && !self.has_parent(sites, site);
            let parent = self.parent_for(sites, site);
            let position = match parent {
                Some(parent) if !fits => Position::Leaf(parent.to_owned()),
                _ => Position::Core,
            };
            self.positions.insert(site.id.to_owned(), position);
            placed.push(site.id.to_owned());
        }
        (fewer || !placed.is_empty()).then_some(placed)
    }

    /// A stay of an earlier focus.
    pub(super) fn assume(&mut self, id: &str, parent: Option<&str>) {
        let position = match parent {
            Some(parent) => Position::Leaf(parent.to_owned()),
            None => Position::Core,
        };
        self.positions.insert(id.to_owned(), position);
    }

    /// The leaves, and where each has its relay.
    pub(super) fn leaves(&self) -> impl Iterator<Item = (&str, &str)> {
        self.positions.iter().filter_map(|(id, position)| {
            let parent = match position {
                Position::Leaf(parent) => parent,
                Position::Core => return None,
            };
            Some((id.as_str(), parent.as_str()))
        })
    }

    /// The stay of the core to which a leaf has its relay.
    pub(super) fn parent(&self, id: &str) -> Option<&str> {
        match self.positions.get(id) {
            Some(Position::Leaf(parent)) => Some(parent),
            _ => None,
        }
    }

    /// The mesh of the relay between two stays, if there is to be one.
    pub(super) fn mesh<'a>(&'a self, a: &'a str, b: &'a str) -> Option<&'a str> {
        match (self.parent(a), self.parent(b)) {
            (Some(parent), _) if parent == b => Some(a),
            (_, Some(parent)) if parent == a => Some(b),
            _ => (a != b && self.is_core(a) && self.is_core(b)).then_some(CORE),
        }
    }

    /// Whether what is at `stay` comes to `at` over its relay to `of`.
    pub(super) fn is_behind(&self, stay: &str, at: &str, of: &str) -> bool {
        if self.mesh(at, of).is_none() {
            return false;
        }
        match (self.parent(at), self.parent(of)) {
            // All there is.
            (Some(_), _) => stay != at && self.positions.contains_key(stay),
            (None, Some(_)) => stay == of,
            (None, None) => stay == of || self.parent(stay) == Some(of),
        }
    }

    /// Whether others need a stay to meet each other, even if nobody is at it.
    pub(super) fn passes_on(&self, id: &str) -> bool {
        let leaves = self.leaves().filter(|(_, parent)| *parent == id).count();
        let core = self.positions.iter();
        let core = core.filter(|(other, p)| **p == Position::Core && *other != id);
        leaves > 0 && leaves + core.count() > 1
    }

    fn is_core(&self, id: &str) -> bool {
        self.positions.get(id) == Some(&Position::Core)
    }

    /// Whether it is of the core, and others may depend on it.
    fn carries(&self, site: &Site<'_>) -> bool {
        site.lasts() && self.is_core(site.id)
    }

    /// Whether a stay has a place that it can keep.
    fn holds(&self, sites: &[Site<'_>], site: &Site<'_>) -> bool {
        match self.positions.get(site.id) {
            None => false,
            Some(Position::Core) => true,
            Some(Position::Leaf(parent)) => {
                let failed = self.failures_of(site.id, parent);
                let mut others = sites.iter().filter(|other| self.carries(other));
                self.has_parent(sites, site)
                    && others.all(|other| self.failures_of(site.id, other.id) >= failed)
            }
        }
    }

    /// Whether it is a leaf of a stay that carries others.
    fn has_parent(&self, sites: &[Site<'_>], site: &Site<'_>) -> bool {
        let parent = self.parent(site.id);
        let mut all = sites.iter().filter(|other| self.carries(other));
        parent.is_some_and(|parent| all.any(|other| other.id == parent))
    }

    fn failures_of(&self, leaf: &str, of: &str) -> u32 {
        let key = (leaf.to_owned(), of.to_owned());
        self.failures.get(&key).copied().unwrap_or_default()
    }

    /// The relay between two stays failed. If one of them is a leaf: which; it gets a relay to the stay of the core with which
    /// that has failed least often.
    pub(super) fn on_failed(&mut self, a: &str, b: &str) -> Option<String> {
        let (leaf, of) = match (self.parent(a), self.parent(b)) {
            (Some(parent), _) if parent == b => (a, b),
            (_, Some(parent)) if parent == a => (b, a),
            _ => return None,
        };
        let key = (leaf.to_owned(), of.to_owned());
        *self.failures.entry(key).or_default() += 1;
        Some(leaf.to_owned())
    }

    /// Where a leaf gets its relay: where that has not failed, in its region, where there are the fewest others.
    fn parent_for<'a>(&self, sites: &[Site<'a>], leaf: &Site<'_>) -> Option<&'a str> {
        let core = sites.iter().filter(|site| self.carries(site));
        let best = core.min_by_key(|site| {
            let leaves = self.leaves().filter(|(_, parent)| *parent == site.id);
            let failed = self.failures_of(leaf.id, site.id);
            (
                failed,
                site.region != leaf.region,
                leaves.count(),
                site.people,
            )
        });
        best.map(|site| site.id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site(id: &str) -> Site<'_> {
        Site {
            id,
            region: None,
            people: 1,
            visitors: false,
            related: true,
            retiring: false,
        }
    }

    /// Leaves with their parents, after a change.
    fn leaves(topology: &Topology) -> Vec<(&str, &str)> {
        topology.leaves().collect()
    }

    #[test]
    fn the_first_are_the_core_and_further_ones_are_spread_over_it() {
        let mut topology = Topology::default();
        let all = ["a", "b", "c", "d", "e"].map(site);
        topology.arrange(&all, Some(2));
        assert_eq!(leaves(&topology), [("c", "a"), ("d", "b"), ("e", "a")]);
        assert_eq!(topology.arrange(&all, Some(2)), None);
        assert_eq!(topology.mesh("a", "b"), Some("0"));
        assert_eq!(topology.mesh("c", "a"), topology.mesh("a", "c"));
        assert_ne!(topology.mesh("c", "a"), topology.mesh("e", "a"));
        assert_eq!(topology.mesh("c", "b"), None);
        let mut whole = Topology::default();
        whole.arrange(&all, None);
        assert!(leaves(&whole).is_empty());
    }

    #[test]
    fn bridges_with_visitors_alone_are_leaves_if_there_are_others() {
        let mut topology = Topology::default();
        let audience = Site {
            visitors: true,
            ..site("v")
        };
        topology.arrange(&[audience], Some(5));
        assert!(leaves(&topology).is_empty());
        let mut topology = Topology::default();
        topology.arrange(&[site("a"), audience, site("b")], Some(5));
        assert_eq!(leaves(&topology), [("v", "a")]);
    }

    #[test]
    fn leaves_of_a_core_bridge_that_is_lost_take_its_place_or_another_parent() {
        let mut topology = Topology::default();
        let mut all = ["a", "b", "c", "d", "e", "f"].map(site);
        topology.arrange(&all, Some(2));
        assert_eq!(
            leaves(&topology),
            [("c", "a"), ("d", "b"), ("e", "a"), ("f", "b")]
        );
        // It is being left: what it serves itself goes on, and nobody else depends on it.
        let first = all[0];
        all.rotate_left(1);
        all[5] = Site {
            retiring: true,
            ..first
        };
        let placed = topology.arrange(&all, Some(2)).unwrap();
        assert_eq!(placed, ["c", "e"]);
        assert_eq!(
            leaves(&topology),
            [("d", "b"), ("e", "c"), ("f", "b")],
            "one takes its place"
        );
        assert_eq!(topology.mesh("a", "c"), Some("0"));
        // It is gone: nothing changes for the others.
        topology.arrange(&all[..5], Some(2));
        assert_eq!(leaves(&topology), [("d", "b"), ("e", "c"), ("f", "b")]);
    }

    #[test]
    fn a_leaf_is_in_its_region_if_it_can() {
        let at = |id, region| Site {
            region: Some(region),
            ..site(id)
        };
        let all = [at("a", "eu"), at("b", "us"), at("c", "us"), at("d", "us")];
        let mut topology = Topology::default();
        topology.arrange(&all, Some(2));
        assert_eq!(leaves(&topology), [("c", "b"), ("d", "b")]);
    }

    #[test]
    fn a_leaf_whose_relay_fails_gets_one_to_another_bridge() {
        let mut topology = Topology::default();
        let all = ["a", "b", "c"].map(site);
        topology.arrange(&all, Some(2));
        assert_eq!(leaves(&topology), [("c", "a")]);
        assert_eq!(topology.on_failed("a", "b"), None, "neither is a leaf");
        for (of, next) in [("a", "b"), ("b", "b"), ("b", "a"), ("a", "a"), ("a", "b")] {
            assert_eq!(topology.on_failed(of, "c").as_deref(), Some("c"));
            topology.arrange(&all, Some(2));
            assert_eq!(leaves(&topology), [("c", next)]);
        }
        // Also where the core has a place: there it would need a relay to all.
        topology.on_failed("c", "b");
        topology.on_failed("c", "b");
        topology.arrange(&all, Some(3));
        assert_eq!(leaves(&topology), [("c", "a")]);
    }

    #[test]
    fn an_empty_bridge_is_needed_while_others_meet_through_it() {
        let mut topology = Topology::default();
        let all = ["a", "b", "c"].map(site);
        topology.arrange(&all, Some(1));
        assert!(topology.passes_on("a") && !topology.passes_on("b"));
        topology.arrange(&all[..2], Some(1));
        assert!(!topology.passes_on("a"), "one leaf meets nobody through it");
    }

    proptest! {
        /// Whatever comes and goes: over its relays each has all others, each once, and what a bridge passes on to a relay is
        /// what the other end has behind it.
        #[test]
        fn everybody_is_reached_over_one_way(
            limit in 1_usize..4,
            steps in proptest::collection::vec((0_usize..9, 0_u8..4), 1..40),
        ) {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
            let mut here: Vec<Site<'_>> = Vec::new();
            let mut topology = Topology::default();
            for (n, what) in steps {
                let id = names[n];
                let at = here.iter().position(|site| site.id == id);
                match (at, what) {
                    (None, what) => here.push(Site { visitors: what == 3, ..site(id) }),
                    (Some(at), 0) => { here.remove(at); }
                    (Some(at), 1) => here[at].retiring = true,
                    (Some(_), _) => {}
                }
                here.sort_by_key(|site| site.retiring);
                topology.arrange(&here, Some(limit));
                let core = here.iter().filter(|s| topology.carries(s)).count();
                prop_assert!(core <= limit);
                for at in &here {
                    let mut reached = Vec::new();
                    for of in here.iter().filter(|of| topology.mesh(at.id, of.id).is_some()) {
                        let behind = here.iter().filter(|s| topology.is_behind(s.id, at.id, of.id));
                        let behind: Vec<&str> = behind.map(|s| s.id).collect();
                        prop_assert!(behind.contains(&of.id));
                        reached.extend(behind);
                    }
                    reached.sort_unstable();
                    let others = here.iter().map(|s| s.id).filter(|id| *id != at.id);
                    let mut others: Vec<&str> = others.collect();
                    others.sort_unstable();
                    prop_assert_eq!(reached, others, "at {}", at.id);
                }
            }
        }
    }
}
