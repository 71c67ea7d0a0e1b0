//! A relay: another bridge with people of the same conference. Its link has the same number, and so has what crosses to it.

use crate::media::ids::{EndpointId, RelayId, SourceName};
use crate::media::table::FeedId;
use std::collections::BTreeMap;

/// Sources that another bridge may want something of.
const MAX_WISHES: usize = 4_096;

/// An endpoint of another bridge.
#[derive(Debug)]
struct Behind {
    /// Something is heard of it.
    active: bool,
    feeds: Vec<FeedId>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Relay {
    id: RelayId,
    /// Bridges of one mesh all have relays to each other: what came over one of these goes over no other of them.
    mesh: Option<String>,
    behind: BTreeMap<EndpointId, Behind>,
    /// The greatest height that is wanted there of each source, where something is wanted.
    wishes: BTreeMap<SourceName, i32>,
}

impl Relay {
    pub(crate) fn new(id: RelayId, mesh: Option<String>) -> Self {
        Self {
            id,
            mesh,
            behind: BTreeMap::new(),
            wishes: BTreeMap::new(),
        }
    }

    pub(crate) fn id(&self) -> &RelayId {
        &self.id
    }

    /// Whether what came over another relay may go on over this one.
    pub(crate) fn is_apart(&self, other: &Self) -> bool {
        self.mesh != other.mesh
    }

    /// Number of endpoints behind it.
    pub(crate) fn people(&self) -> usize {
        self.behind.len()
    }

    /// Whether an endpoint is behind it.
    pub(crate) fn has(&self, endpoint: &EndpointId) -> bool {
        self.behind.contains_key(endpoint)
    }

    /// Endpoints behind it, and whether something is heard of them.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&EndpointId, bool)> {
        self.behind.iter().map(|(id, behind)| (id, behind.active))
    }

    /// Endpoints behind it of which nothing is heard.
    pub(crate) fn silent(&self) -> impl Iterator<Item = &EndpointId> {
        self.members()
            .filter(|(_, active)| !active)
            .map(|(id, _)| id)
    }

    /// An endpoint is behind it; whether that is news.
    pub(crate) fn join(&mut self, endpoint: EndpointId) -> bool {
        let behind = Behind {
            active: true,
            feeds: Vec::new(),
        };
        let known = self.behind.contains_key(&endpoint);
        self.behind.entry(endpoint).or_insert(behind);
        !known
    }

    /// An endpoint is not behind it any more; its feeds, if it was.
    pub(crate) fn leave(&mut self, endpoint: &EndpointId) -> Option<Vec<FeedId>> {
        self.behind.remove(endpoint).map(|behind| behind.feeds)
    }

    /// Takes the feeds of an endpoint out, to be replaced.
    pub(crate) fn take_feeds(&mut self, endpoint: &EndpointId) -> Vec<FeedId> {
        let behind = self.behind.get_mut(endpoint);
        behind.map_or_else(Vec::new, |b| std::mem::take(&mut b.feeds))
    }

    /// Sets the feeds of an endpoint.
    pub(crate) fn set_feeds(&mut self, endpoint: &EndpointId, feeds: Vec<FeedId>) {
        if let Some(behind) = self.behind.get_mut(endpoint) {
            behind.feeds = feeds;
        }
    }

    /// All feeds of endpoints behind it.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = FeedId> + '_ {
        self.behind.values().flat_map(|b| b.feeds.iter().copied())
    }

    /// Something is heard of an endpoint, or no more; whether that is news.
    pub(crate) fn set_active(&mut self, endpoint: &EndpointId, active: bool) -> bool {
        let behind = self.behind.get_mut(endpoint);
        behind.is_some_and(|b| std::mem::replace(&mut b.active, active) != active)
    }

    /// What is wanted of a source there, 0 for nothing.
    pub(crate) fn wish(&self, source: &SourceName) -> i32 {
        self.wishes.get(source).copied().unwrap_or(0)
    }

    /// Sets what is wanted of a source there; what was before. `None` if that is one wish too many.
    pub(crate) fn set_wish(&mut self, source: SourceName, max_height: i32) -> Option<i32> {
        let before = self.wishes.get(&source).copied();
        if max_height == 0 {
            self.wishes.remove(&source);
        } else if before.is_some() || self.wishes.len() < MAX_WISHES {
            self.wishes.insert(source, max_height);
        } else {
            return None;
        }
        Some(before.unwrap_or(0))
    }

    /// All that is wanted there.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = (&SourceName, i32)> {
        self.wishes.iter().map(|(name, height)| (name, *height))
    }
}
