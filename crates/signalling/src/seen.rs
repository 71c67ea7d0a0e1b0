//! What the focus knew and had counted when it was asked last, for whoever must not wait for it: metrics and health.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use focus::{Figures, FocusStats};

/// A second old at most, while the focus runs. Clones see the same.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Last>>);

/// What was seen.
#[derive(Default)]
pub(crate) struct Last {
    pub(crate) figures: Figures,
    /// Since the start of the process, whatever became of the focus meanwhile.
    pub(crate) stats: FocusStats,
    /// Whether the focus is at its server.
    pub(crate) online: bool,
    /// Times that it was not any more.
    pub(crate) disconnects: u64,
}

impl Seen {
    /// Locked; nobody waits for anything meanwhile.
    pub(crate) fn look(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The focus came to its server, or lost it.
    pub(crate) fn set_online(&self, online: bool) {
        let mut last = self.look();
        let before = std::mem::replace(&mut last.online, online);
        last.disconnects += u64::from(before && !online);
    }

    /// The focus was asked.
    pub(crate) fn update(&self, figures: Figures, stats: FocusStats) {
        let mut last = self.look();
        (last.figures, last.stats) = (figures, stats);
    }

    /// Whether meetings can be held.
    pub(crate) fn health(&self) -> Result<(), String> {
        let last = self.look();
        match last.online {
            true => last.figures.health(),
            false => Err("the focus is not connected to its server".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use focus::BridgeStatus;

    use super::*;

    #[test]
    fn a_node_without_a_bridge_that_can_be_used_is_not_healthy_and_says_why() {
        let seen = Seen::default();
        let why = |seen: &Seen| seen.health().unwrap_err();
        assert_eq!(why(&seen), "the focus is not connected to its server");
        seen.set_online(true);
        assert_eq!(why(&seen), "no bridge is there");
        let bridges = |usable| Figures {
            bridges: vec![BridgeStatus {
                name: "b1".to_owned(),
                state: "silent",
                usable,
                ..BridgeStatus::default()
            }],
            ..Figures::default()
        };
        seen.update(bridges(false), FocusStats::default());
        assert_eq!(why(&seen), "no bridge can be used for a meeting: b1 silent");
        seen.update(bridges(true), FocusStats::default());
        assert_eq!(seen.health(), Ok(()));
        seen.set_online(false);
        seen.set_online(false);
        assert_eq!(seen.look().disconnects, 1);
    }
}
