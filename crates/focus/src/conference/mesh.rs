//! The relays between the bridges of a conference, as far as they are known.

use std::collections::{BTreeMap, BTreeSet};

use stanza::FullJid;
use stanza::colibri2::MediaSource;
use stanza::media::IceTransport;

/// One bridge's end of a relay.
#[derive(Debug)]
pub(super) struct End {
    /// Id of the stay on it, and what the other end calls it.
    pub(super) stay: String,
    pub(super) bridge: FullJid,
    pub(super) relay: String,
    /// Its side of the transport, once it has told it.
    pub(super) transport: Option<IceTransport>,
    /// People of the other end that it was told of, with their sources.
    pub(super) told: BTreeMap<String, Vec<MediaSource>>,
}

/// A relay between two bridges: the elder one first.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [End; 2],
    /// Both know each other's transports.
    pub(super) made: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    pub(super) links: Vec<Link>,
    /// Failures between two bridges, one after another.
    pub(super) failures: BTreeMap<(FullJid, FullJid), u32>,
    /// Bridges that could not be related to the others.
    pub(super) given_up: BTreeSet<FullJid>,
    /// Those of them that are to be left.
    pub(super) unrelated: Vec<FullJid>,
}

impl Mesh {
    /// Whether a bridge could not be related to the others.
    pub(super) fn is_given_up(&self, bridge: &FullJid) -> bool {
        self.given_up.contains(bridge)
    }

    /// A bridge that is to be left, as it could not be related to the others.
    pub(super) fn take_unrelated(&mut self) -> Option<FullJid> {
        self.unrelated.pop()
    }

    /// Between which stays there are relays.
    pub(super) fn record(&self) -> Vec<(String, String)> {
        let made = self.links.iter().filter(|link| link.made);
        made.map(|link| (link.ends[0].stay.clone(), link.ends[1].stay.clone()))
            .collect()
    }

    pub(super) fn has(&self, a: &str, b: &str) -> bool {
        self.links.iter().any(|link| link.is_between(a, b))
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
