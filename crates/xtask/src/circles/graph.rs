//! Circles in a graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// From each node to those it uses.
pub(super) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Sets of nodes that all reach each other, each as one shortest way around followed by the rest, sorted.
pub(super) fn circles(graph: &Graph) -> Vec<Circle> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for node in graph.keys() {
        if seen.contains(node) {
            continue;
        }
        let members: BTreeSet<String> = reachable(graph, node)
            .into_iter()
            .filter(|other| reachable(graph, other).contains(node))
            .collect();
        if members.len() > 1 {
            seen.extend(members.iter().cloned());
            let way = shortest(graph, &members);
            found.push(Circle { members, way });
        }
    }
    found
}

/// Nodes that depend on each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Circle {
    pub(super) members: BTreeSet<String>,
    /// A shortest way around, from one node to the one that uses it.
    pub(super) way: Vec<String>,
}

fn reachable(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut pending = vec![from];
    while let Some(node) = pending.pop() {
        for next in graph.get(node).into_iter().flatten() {
            if found.insert(next.clone()) {
                pending.push(next);
            }
        }
    }
    found
}

fn shortest(graph: &Graph, members: &BTreeSet<String>) -> Vec<String> {
    let ways = members.iter().filter_map(|start| around(graph, start));
    ways.min_by_key(Vec::len).unwrap_or_default()
}

/// The shortest way from `start` back to it, without the last step.
fn around(graph: &Graph, start: &str) -> Option<Vec<String>> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut pending = VecDeque::from([start]);
    while let Some(node) = pending.pop_front() {
        for next in graph.get(node).into_iter().flatten() {
            if next == start {
                let mut way = vec![node.to_owned()];
                let mut node = node;
                while let Some(before) = from.get(node).filter(|_| node != start) {
                    way.push((*before).to_owned());
                    node = before;
                }
                way.reverse();
                return Some(way);
            }
            if !from.contains_key(next.as_str()) {
                from.insert(next, node);
                pending.push_back(next);
            }
        }
    }
    None
}
