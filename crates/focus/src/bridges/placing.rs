//! Which bridge is chosen, and what is promised to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stanza::FullJid;

use super::Bridges;
use crate::config::BridgeConfig;
use crate::selection::{self, Choice, Wanted};

impl Bridges {
    /// Chooses a bridge for a participant of a conference.
    ///
    /// # Errors
    /// What is wrong with all of them, in words.
    pub(crate) fn choose(
        &self,
        now: Instant,
        config: &BridgeConfig,
        wanted: &Wanted<'_>,
    ) -> Result<Choice, String> {
        let candidates = self.all.iter();
        let candidates: Vec<_> = candidates
            .map(|(jid, bridge)| bridge.candidate(now, config, jid))
            .collect();
        selection::choose(config, &candidates, wanted)
    }

    /// Somebody gets a spare connection on the bridge, which counts at once for the next.
    pub(crate) fn promise_spare(&mut self, jid: &FullJid) {
        if let Some(bridge) = self.all.get_mut(jid) {
            bridge.spares += 1;
        }
    }

    /// Chooses a bridge for the spare connections of a conference: another one than `home`, near it, which could serve them.
    pub(crate) fn choose_standby(
        &self,
        now: Instant,
        config: &BridgeConfig,
        home: &FullJid,
        region: Option<&str>,
    ) -> Option<Choice> {
        let others = self.all.iter();
        let others = others.filter(|(jid, b)| *jid != home && b.could_take(now) && !b.is_drained());
        let candidates: Vec<_> = others
            .map(|(jid, bridge)| bridge.candidate_for_spares(now, config, jid))
            .collect();
        let wanted = Wanted {
            region,
            ..Wanted::default()
        };
        selection::choose(config, &candidates, &wanted).ok()
    }

    /// The choice of this very bridge.
    pub(crate) fn this(
        &self,
        now: Instant,
        config: &BridgeConfig,
        jid: &FullJid,
        reason: &str,
    ) -> Option<Choice> {
        let bridge = self.all.get(jid).filter(|b| b.could_take(now))?;
        Some(bridge.candidate(now, config, jid).choice(reason))
    }

    /// A participant is placed on the bridge, which counts at once.
    pub(crate) fn promise(&mut self, now: Instant, rampup: Duration, jid: &FullJid) {
        if let Some(bridge) = self.all.get_mut(jid) {
            bridge.promise(now, rampup);
        }
    }

    /// Sets how many people, and how many spare connections of others, are on each bridge; those that are not named have none.
    pub(crate) fn set_people(&mut self, people: &BTreeMap<FullJid, (usize, usize)>) {
        for (jid, bridge) in &mut self.all {
            (bridge.people, bridge.spares) = people.get(jid).copied().unwrap_or_default();
        }
    }
}
