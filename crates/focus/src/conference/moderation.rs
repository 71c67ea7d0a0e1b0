//! Who needs permission to unmute what.

use std::collections::{BTreeMap, BTreeSet};

use stanza::jitsi::mute::MuteMedia;

/// Who needs permission to unmute what.
#[derive(Debug, Default)]
pub(crate) struct Moderation {
    pub(super) enabled: BTreeSet<MuteMedia>,
    /// Nicknames with permission.
    pub(super) allowed: BTreeMap<MuteMedia, BTreeSet<String>>,
}

impl Moderation {
    pub(super) fn forbids(&self, media: MuteMedia, nick: &str) -> bool {
        self.enabled.contains(&media)
            && !self
                .allowed
                .get(&media)
                .is_some_and(|nicks| nicks.contains(nick))
    }
}
