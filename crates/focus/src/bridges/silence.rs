//! Bridges that do not answer: others are asked about them, and who is reached by nobody is lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use stanza::FullJid;
use stanza::jitsi::evidence::Probe;

use super::Bridges;
use crate::config::BridgeConfig;
use crate::event::Event;
use crate::io::Io;

/// Bridges asked about another one.
const WITNESSES: usize = 2;

impl Bridges {
    /// Questions about bridges that do not answer: whom to ask, about whom.
    pub(crate) fn questions(&mut self, now: Instant) -> Vec<(FullJid, FullJid, Probe)> {
        let witnesses: Vec<FullJid> = self.witnesses(now).take(WITNESSES).cloned().collect();
        let away = self.away.iter_mut();
        let away = away.filter_map(|(jid, away)| Some((jid, away.bridge.as_mut()?)));
        let away = away.filter(|(_, bridge)| bridge.can_be_questioned(now));
        let silent = self.all.iter_mut().filter(|(_, b)| b.is_doubtful(now));
        let mut questions = Vec::new();
        for (suspect, bridge) in silent.chain(away) {
            for witness in witnesses.iter().filter(|w| *w != suspect) {
                let addresses = bridge.media().to_vec();
                bridge.question(now);
                questions.push((witness.clone(), suspect.clone(), Probe { addresses }));
            }
        }
        questions
    }

    /// Another bridge says whether it reaches `suspect`.
    pub(crate) fn on_testimony(
        &mut self,
        io: &mut Io,
        witness: &FullJid,
        suspect: &FullJid,
        reached: bool,
    ) {
        let now = io.now;
        let has_refuge = self.has_refuge();
        if let Some(away) = self.away.get_mut(suspect) {
            let Some(bridge) = away.bridge.as_mut() else {
                return;
            };
            bridge.testify(now, reached);
            let (vouched, denied) = (bridge.is_vouched(now), bridge.is_denied(now));
            if denied && has_refuge {
                self.away.remove(suspect);
                let reason = format!(
                    "it left the brewery, and bridge {} does not reach it either",
                    witness.resource()
                );
                self.lose(suspect, reason, false);
            } else if vouched && !std::mem::replace(&mut away.vouched_for, true) {
                io.event(Event::BridgeCutOff {
                    bridge: suspect.clone(),
                    witness: witness.clone(),
                });
            }
            return;
        }
        let Some(bridge) = self.all.get_mut(suspect) else {
            return;
        };
        // It may have answered meanwhile.
        if bridge.asked.is_none() {
            return;
        }
        bridge.testify(now, reached);
        if bridge.take_cut_off(now) {
            io.event(Event::BridgeCutOff {
                bridge: suspect.clone(),
                witness: witness.clone(),
            });
        }
        self.lose_dead(now);
    }

    /// Bridges that say nothing for long enough and that no other bridge reaches are lost.
    pub(crate) fn lose_dead(&mut self, now: Instant) {
        let all = self.all.iter_mut();
        let dead = all.filter(|(_, bridge)| bridge.is_dead(now));
        let dead: Vec<(FullJid, Duration)> = dead
            .map(|(jid, bridge)| {
                (bridge.silent, bridge.unreachable) = (true, false);
                (jid.clone(), bridge.quiet(now))
            })
            .collect();
        for (jid, quiet) in dead {
            self.lose_silent(now, &jid, quiet);
        }
    }

    /// When [`Bridges::questions`] or [`Bridges::lose_dead`] may have something to do, if nothing is heard until then.
    pub(crate) fn next_judgement(&self, now: Instant) -> Option<Instant> {
        let all = self.all.values();
        all.filter_map(|bridge| bridge.next_judgement(now)).min()
    }

    fn lose_silent(&mut self, now: Instant, jid: &FullJid, quiet: Duration) {
        if self.has_alternative(now, jid) {
            let reason = format!("it has been silent for {} ms", quiet.as_millis());
            self.lose(jid, reason, false);
        }
    }

    /// A round of health checks: whom to ask, and who has been silent for too long. Bridges without people are asked in every
    /// second round.
    pub(crate) fn check(&mut self, now: Instant, config: &BridgeConfig) -> Vec<FullJid> {
        self.check_away(now);
        self.rounds = self.rounds.wrapping_add(1);
        let all = self.rounds.is_multiple_of(2);
        let mut asked_now = Vec::new();
        let witnesses: BTreeSet<FullJid> = self.witnesses(now).cloned().collect();
        let mut silent = Vec::new();
        for (jid, bridge) in &mut self.all {
            let quiet = now.saturating_duration_since(bridge.heard);
            // Other bridges that can be asked have a say, and some more time for it.
            let asked = bridge.has_evidence() && witnesses.iter().any(|witness| witness != jid);
            let patience = match asked {
                true => 2 * config.health_timeout,
                false => config.health_timeout,
            };
            let overdue = bridge.unanswered >= 2 && quiet >= patience;
            if overdue && !bridge.silent && !bridge.is_vouched(now) {
                silent.push((jid.clone(), quiet));
            }
            if all || bridge.people() > 0 || bridge.spares > 0 {
                bridge.unanswered = bridge.unanswered.saturating_add(1);
                bridge.asked.get_or_insert(now);
                asked_now.push(jid.clone());
            }
            if bridge.failed_until.is_some_and(|until| until <= now) {
                bridge.failed_until = None;
                self.improved = true;
            }
            self.improved |= bridge.take_cleared(now);
        }
        // When nobody answers, the way to them is in doubt, and there would be no place to move to.
        let others_answer = self
            .all
            .values()
            .any(|b| now.saturating_duration_since(b.heard) < config.health_timeout);
        for (jid, quiet) in silent {
            if let Some(bridge) = self.all.get_mut(&jid) {
                bridge.silent = true;
                bridge.unreachable = false;
            }
            if others_answer {
                self.lose_silent(now, &jid, quiet);
            }
        }
        asked_now
    }
}
