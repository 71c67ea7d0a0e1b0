//! The bridges of the brewery: what becomes of them, and which one a participant gets.

mod placing;
mod silence;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stanza::jitsi::bridge_stats::BridgeStats;
use stanza::jitsi::evidence::{BrokenRelay, People};
use stanza::{BareJid, Element, FullJid};

use crate::bridge::{Bridge, Complaint};
use crate::config::BridgeConfig;
use crate::event::Event;
use crate::io::Io;
use crate::status::BridgeStatus;

/// Time for bridges to come back into sight.
const AWAY_GRACE: Duration = Duration::from_secs(5);
/// An answer overdue for so long supports what people complain of.
const OVERDUE: Duration = Duration::from_millis(500);
/// People that a bridge must miss at least before it, and not they, is taken to be at fault.
const MISSED: usize = 3;
/// Complaints are evidence together when they come within this time.
const COMPLAINT_WINDOW: Duration = Duration::from_secs(10);
/// Complaints remembered for one bridge.
const MAX_COMPLAINTS: usize = 64;
/// People who must complain before it counts.
const INDEPENDENT: usize = 2;

/// Why conferences leave a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) bridge: FullJid,
    pub(crate) reason: String,
    /// The bridge still works: sessions are replaced one by one before it is left.
    pub(crate) planned: bool,
}

/// A bridge with conferences that is not in sight.
#[derive(Debug)]
struct Away {
    since: Instant,
    /// What is known of it, if anything.
    bridge: Option<Bridge>,
    /// Its conferences know that it is gone for longer.
    told: bool,
    /// Another bridge reached it.
    vouched_for: bool,
}

impl Away {
    fn new(since: Instant, bridge: Option<Bridge>) -> Self {
        Self {
            since,
            bridge,
            told: false,
            vouched_for: false,
        }
    }
}

/// All bridges, by occupant address.
#[derive(Debug, Default)]
pub(crate) struct Bridges {
    all: BTreeMap<FullJid, Bridge>,
    /// Bridges that were not seen since the stream of the focus changed, or left while there was no other.
    away: BTreeMap<FullJid, Away>,
    /// Bridges that were away and are back.
    returned: Vec<FullJid>,
    /// Bridges that are there again, or answer again, and how long nothing came from them.
    back: Vec<(FullJid, Duration)>,
    /// Bridges that did not answer, or of which something came back, and are heard again.
    heard: Vec<FullJid>,
    /// Bridges that are away for so long that people should know.
    missed: Vec<FullJid>,
    /// Bridges of which somebody complained.
    reported: BTreeSet<FullJid>,
    losses: Vec<Loss>,
    /// Meetings that a bridge hears nobody of, or somebody again.
    hearings: Vec<(FullJid, String, bool)>,
    /// Relays that a bridge says to be broken.
    broken: Vec<(FullJid, BrokenRelay)>,
    /// Rounds of health checks.
    rounds: u32,
    /// Other bridges should be asked about those that are away.
    ask: bool,
    /// A bridge began to drain, or to be able to take what others want to be rid of.
    drains: bool,
    /// A bridge became usable: conferences without one may try again.
    improved: bool,
}

impl Bridges {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn usable(&self, now: Instant) -> usize {
        self.all.values().filter(|b| b.is_usable(now)).count()
    }

    /// What other bridges call it, if meetings may be spread over it and others.
    pub(crate) fn relay_id(&self, jid: &FullJid) -> Option<&str> {
        self.all.get(jid)?.relay_id.as_deref()
    }

    /// Whether it asks senders for key frames encoding by encoding.
    pub(crate) fn asks_for_each_key_frame(&self, jid: &FullJid) -> bool {
        let away = || self.away.get(jid).and_then(|away| away.bridge.as_ref());
        let bridge = self.all.get(jid).or_else(away);
        bridge.is_some_and(|bridge| bridge.each_key_frame)
    }

    pub(crate) fn contains(&self, jid: &FullJid) -> bool {
        self.all.contains_key(jid)
    }

    /// Another bridge than `jid` could take its conferences.
    pub(crate) fn has_alternative(&self, now: Instant, jid: &FullJid) -> bool {
        self.all
            .iter()
            .any(|(other, bridge)| other != jid && bridge.could_take(now))
    }

    /// Another bridge could take the conferences of `jid`, which still works, and would not want to be rid of them.
    pub(crate) fn can_leave(&self, now: Instant, jid: &FullJid) -> bool {
        let only_drained = self
            .all
            .get(jid)
            .is_some_and(|bridge| bridge.could_serve() && bridge.is_drained());
        self.all.iter().any(|(other, bridge)| {
            let wants = !only_drained || !bridge.is_drained();
            other != jid && bridge.could_take(now) && wants
        })
    }

    /// A bridge in sight would be chosen, if only for want of a better one.
    fn has_refuge(&self) -> bool {
        let mut all = self.all.values();
        all.any(|bridge| bridge.could_serve() && !bridge.graceful_shutdown)
    }

    pub(crate) fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    pub(crate) fn take_drains(&mut self) -> bool {
        std::mem::take(&mut self.drains)
    }

    /// Bridges that still work and should become empty, where there is a better place.
    pub(crate) fn to_empty(&self, now: Instant) -> Vec<Loss> {
        let all = self.all.iter().filter(|(jid, bridge)| {
            let why = bridge.is_drained() || bridge.shutting_down || !bridge.healthy;
            why && self.can_leave(now, jid)
        });
        all.map(|(jid, bridge)| Loss {
            bridge: jid.clone(),
            reason: match (bridge.shutting_down, bridge.healthy) {
                (true, _) => "it is shutting down",
                (_, false) => "it reports that it is not healthy",
                _ => "it drains",
            }
            .to_owned(),
            planned: true,
        })
        .collect()
    }

    pub(crate) fn take_improved(&mut self) -> bool {
        std::mem::take(&mut self.improved)
    }

    /// An available presence in the brewery.
    pub(crate) fn on_presence(
        &mut self,
        io: &mut Io,
        config: &BridgeConfig,
        jid: &FullJid,
        presence: &Element,
    ) {
        let Some(stats) = BridgeStats::of_presence(presence) else {
            return;
        };
        let now = io.now;
        let mut known = self.all.contains_key(jid);
        if let Some(former) = self.away.remove(jid) {
            known = former.bridge.is_some();
            let mut bridge = former.bridge.unwrap_or_else(|| Bridge::new(now));
            if known {
                self.back.push((jid.clone(), bridge.quiet(now)));
            }
            // That is said with it, if it did not answer before.
            bridge.answers(now);
            // Whether it is shutting down is told anew.
            (bridge.shutting_down, bridge.graceful_shutdown) = (false, false);
            self.all.insert(jid.clone(), bridge);
            self.returned.push(jid.clone());
            self.improved = true;
        }
        if !self.all.contains_key(jid) {
            if self.all.len() >= config.max_bridges {
                io.warn(format!(
                    "more than {} bridges: {jid} is ignored",
                    config.max_bridges
                ));
                return;
            }
            self.all.insert(jid.clone(), Bridge::new(now));
        }
        let Some(bridge) = self.all.get_mut(jid) else {
            return;
        };
        let (usable, was_leaving, was_healthy) = (
            known && bridge.is_usable(now),
            bridge.shutting_down,
            bridge.healthy,
        );
        let (was_drained, was_graceful) = (bridge.is_drained(), bridge.graceful_shutdown);
        bridge.read(&stats);
        let bounced = std::mem::take(&mut bridge.bounced);
        let quiet = bridge.answers(now);
        self.back.extend(quiet.map(|quiet| (jid.clone(), quiet)));
        if quiet.is_some() || bounced {
            self.heard.push(jid.clone());
        }
        self.improved |= !usable && bridge.is_usable(now);
        let changed = (
            bridge.is_drained() != was_drained,
            bridge.graceful_shutdown != was_graceful,
        );
        let drained = bridge.is_drained();
        self.drains |= changed.0;
        self.improved |= changed.0 && !drained;
        if changed.0 && (known || drained) {
            io.event(Event::BridgeDrains {
                bridge: jid.clone(),
                drains: drained,
            });
        }
        if changed.1 {
            io.event(Event::BridgeClosed {
                bridge: jid.clone(),
            });
        }
        let Some(bridge) = self.all.get(jid) else {
            return;
        };
        if bridge.shutting_down && !was_leaving {
            self.lose(jid, "it is shutting down".to_owned(), true);
        } else if !bridge.healthy && was_healthy {
            self.lose(jid, "it reports that it is not healthy".to_owned(), true);
        }
        if !known && let Some(bridge) = self.all.get(jid) {
            io.event(bridge.came(jid));
        }
    }

    /// Its occupant left the brewery: that is certain, whatever else is known. Its conferences go elsewhere, or wait for
    /// it where there is nothing else: its stream may have broken while its sessions live.
    pub(crate) fn on_gone(&mut self, io: &mut Io, jid: &FullJid) {
        let bridge = match (self.all.remove(jid), self.away.remove(jid)) {
            (None, None) => return,
            (Some(bridge), _) => Some(bridge),
            (None, Some(away)) => away.bridge,
        };
        let known = bridge.as_ref();
        let doubtful = known.is_some_and(|b| b.has_evidence() && !b.shutting_down);
        if doubtful && self.witnesses(io.now).next().is_some() {
            // Its stream may have ended, or it: another bridge sees which.
            self.ask = true;
        } else if self.has_refuge() {
            return self.lose(jid, "it left the brewery".to_owned(), false);
        } else {
            io.warn(format!(
                "bridge {} left the brewery and there is no other: its conferences wait for it",
                jid.resource()
            ));
        }
        self.away.insert(jid.clone(), Away::new(io.now, bridge));
    }

    fn witnesses(&self, now: Instant) -> impl Iterator<Item = &FullJid> {
        let all = self.all.iter().filter(move |(_, b)| b.can_witness(now));
        all.map(|(jid, _)| jid)
    }

    /// Whether somebody should be asked now, not with the next round.
    pub(crate) fn take_ask(&mut self) -> bool {
        std::mem::take(&mut self.ask)
    }

    /// A bridge says whom it hears.
    pub(crate) fn on_people(&mut self, now: Instant, jid: &FullJid, people: People) {
        let has_alternative = self.has_alternative(now, jid);
        let Some(bridge) = self.all.get_mut(jid) else {
            return;
        };
        let broken = people.broken.iter().cloned();
        self.broken.extend(broken.map(|b| (jid.clone(), b)));
        let meetings: BTreeSet<String> = people
            .silent
            .iter()
            .filter(|meeting| meeting.here > 1)
            .map(|meeting| meeting.meeting_id.clone())
            .collect();
        let before = std::mem::replace(&mut bridge.silent_meetings, meetings.clone());
        let again = before.difference(&meetings).map(|m| (m.clone(), true));
        self.hearings
            .extend(again.map(|(m, heard)| (jid.clone(), m, heard)));
        let (here, unheard) = (people.here, people.unheard);
        let (lossy, loses) = (people.lossy, bridge.hear(now, people));
        let missed = unheard >= MISSED && unheard * 5 >= here * 4;
        if missed && has_alternative && bridge.suspicion(now).is_none() {
            bridge.suspect(now, "nothing comes through to it");
            let reason = format!(
                "it hears nothing of {unheard} of its {here} people: its network lets nothing through to its media ports"
            );
            return self.lose(jid, reason, false);
        }
        let silent = meetings.into_iter().map(|m| (jid.clone(), m, false));
        self.hearings.extend(silent);
        if loses && has_alternative && bridge.suspicion(now).is_none() {
            bridge.suspect(now, "its line loses much");
            let reason =
                format!("more than a tenth is lost on the way to {lossy} of its {here} people");
            self.lose(jid, reason, true);
        }
    }

    pub(crate) fn take_hearings(&mut self) -> Vec<(FullJid, String, bool)> {
        std::mem::take(&mut self.hearings)
    }

    /// Relays that bridges said to be broken since the last call.
    pub(crate) fn take_broken(&mut self) -> Vec<(FullJid, BrokenRelay)> {
        std::mem::take(&mut self.broken)
    }

    /// Another bridge reached it a moment ago, while we do not: what runs on it goes on.
    pub(crate) fn is_cut_off(&self, now: Instant, jid: &FullJid) -> bool {
        let away = self.away.get(jid).and_then(|away| away.bridge.as_ref());
        let bridge = self.all.get(jid).or(away);
        bridge.is_some_and(|bridge| bridge.is_vouched(now))
    }

    /// Not on the present stream, or not reached by us while another bridge reaches it: it may not have heard what it was told.
    pub(crate) fn is_out_of_sight(&self, now: Instant, jid: &FullJid) -> bool {
        self.is_away(jid) || self.is_cut_off(now, jid)
    }

    /// Whether it may not have heard what it did not answer: it is out of sight, or has answered nothing at all for a while,
    /// which says nothing of what it was told. Once it is heard, it is one of [`Bridges::take_heard`].
    pub(crate) fn may_have_missed(&mut self, now: Instant, jid: &FullJid) -> bool {
        let owes = self.all.get(jid).is_some_and(|b| b.owes_answers(now));
        if owes {
            self.on_bounce(jid);
        }
        owes || self.is_out_of_sight(now, jid)
    }

    /// Something that was said to it came back. When it is heard, it is there after all.
    pub(crate) fn on_bounce(&mut self, jid: &FullJid) {
        if let Some(bridge) = self.all.get_mut(jid) {
            bridge.bounced = true;
        }
    }

    /// Bridges that are heard again on the stream on which they were not for a while.
    pub(crate) fn take_heard(&mut self) -> Vec<FullJid> {
        std::mem::take(&mut self.heard)
    }

    /// Whether it can be asked whom it hears.
    pub(crate) fn has_evidence(&self, jid: &FullJid) -> bool {
        self.all.get(jid).is_some_and(Bridge::has_evidence)
    }

    /// The stream on which the bridges were known is lost: each must show itself on the next one.
    pub(crate) fn lose_sight(&mut self, now: Instant) {
        // Those that were away before get the same time to show themselves.
        self.away.values_mut().for_each(|away| away.since = now);
        for (jid, bridge) in std::mem::take(&mut self.all) {
            self.away.insert(jid, Away::new(now, Some(bridge)));
        }
        self.returned.clear();
        self.heard.clear();
        self.missed.clear();
        self.reported.clear();
    }

    /// A conference of an earlier focus is on this bridge.
    pub(crate) fn expect(&mut self, now: Instant, jid: FullJid) {
        if !self.all.contains_key(&jid) {
            self.away.entry(jid).or_insert(Away::new(now, None));
        }
    }

    /// Whether the bridge may still come back.
    pub(crate) fn is_away(&self, jid: &FullJid) -> bool {
        self.away.contains_key(jid)
    }

    pub(crate) fn take_returned(&mut self) -> Vec<FullJid> {
        std::mem::take(&mut self.returned)
    }

    pub(crate) fn take_missed(&mut self) -> Vec<FullJid> {
        std::mem::take(&mut self.missed)
    }

    /// Whoever did not come back in time is gone, if there is another one; otherwise people are told.
    fn check_away(&mut self, now: Instant) {
        let late = |away: &Away| {
            let vouched = away.bridge.as_ref().is_some_and(|b| b.is_vouched(now));
            now.saturating_duration_since(away.since) >= AWAY_GRACE && !vouched
        };
        let late: Vec<FullJid> = self
            .away
            .iter()
            .filter(|(_, away)| late(away))
            .map(|(jid, _)| jid.clone())
            .collect();
        for jid in late {
            if self.has_refuge() {
                self.away.remove(&jid);
                self.lose(
                    &jid,
                    "it did not come back to the brewery".to_owned(),
                    false,
                );
            } else if let Some(away) = self.away.get_mut(&jid)
                && !std::mem::replace(&mut away.told, true)
            {
                self.missed.push(jid);
            }
        }
    }

    fn lose(&mut self, jid: &FullJid, reason: String, planned: bool) {
        self.losses.push(Loss {
            bridge: jid.clone(),
            reason,
            planned,
        });
    }

    /// Anything but presence came from the bridge: it lives.
    pub(crate) fn on_heard(&mut self, now: Instant, jid: &FullJid) {
        let Some(bridge) = self.all.get_mut(jid) else {
            return;
        };
        let bounced = std::mem::take(&mut bridge.bounced);
        let quiet = bridge.answers(now);
        self.back.extend(quiet.map(|quiet| (jid.clone(), quiet)));
        if quiet.is_some() || bounced {
            self.heard.push(jid.clone());
            self.improved = true;
        }
    }

    /// What became of bridges that are there again since the last call: where their media come in, and for how long nothing
    /// came from them.
    pub(crate) fn take_back(&mut self) -> Vec<(FullJid, Vec<SocketAddr>, Duration)> {
        let back = std::mem::take(&mut self.back).into_iter();
        let known = back.filter_map(|(jid, quiet)| {
            let media = self.all.get(&jid)?.media().to_vec();
            Some((jid, media, quiet))
        });
        known.collect()
    }

    /// The bridge answered that it is not well, or failed at a request.
    pub(crate) fn fail(
        &mut self,
        now: Instant,
        config: &BridgeConfig,
        jid: &FullJid,
        reason: impl Into<String>,
    ) {
        let Some(bridge) = self.all.get_mut(jid) else {
            return;
        };
        bridge.failed(now, config);
        self.lose(jid, reason.into(), false);
    }

    /// The bridge answered a health check with a failure. Said once in a while, not with every check.
    pub(crate) fn on_unwell(
        &mut self,
        now: Instant,
        config: &BridgeConfig,
        jid: &FullJid,
        reason: &str,
    ) {
        let Some(bridge) = self.all.get_mut(jid) else {
            return;
        };
        bridge.was_heard(now);
        let known = bridge.failed_until.is_some();
        match known {
            // It failed once, however often it says so.
            true => bridge.failed_until = Some(now + config.failure_hold),
            false => bridge.failed(now, config),
        }
        if !known && self.has_alternative(now, jid) {
            self.lose(jid, reason.to_owned(), true);
        }
    }

    /// The bridge takes no new conferences.
    pub(crate) fn set_graceful(&mut self, jid: &FullJid) {
        if let Some(bridge) = self.all.get_mut(jid) {
            bridge.graceful_shutdown = true;
        }
    }

    /// The bridge makes no data channels: clients reach it by WebSocket.
    pub(crate) fn set_no_data_channel(&mut self, jid: &FullJid) {
        if let Some(bridge) = self.all.get_mut(jid) {
            bridge.no_data_channel = true;
        }
    }

    pub(crate) fn has_data_channel(&self, jid: &FullJid) -> bool {
        self.all
            .get(jid)
            .is_none_or(|bridge| !bridge.no_data_channel)
    }

    /// A participant says that its media over the bridge are dead. What that is worth is seen by [`Bridges::judge`].
    pub(crate) fn report(&mut self, now: Instant, jid: &FullJid, room: &BareJid, nick: &str) {
        let Some(bridge) = self.all.get_mut(jid) else {
            return;
        };
        bridge.complaints.retain(|c| {
            now.saturating_duration_since(c.at) < COMPLAINT_WINDOW
                && (c.room != *room || c.nick != nick)
        });
        if bridge.complaints.len() >= MAX_COMPLAINTS {
            bridge.complaints.pop_front();
        }
        bridge.complaints.push_back(Complaint {
            at: now,
            room: room.clone(),
            nick: nick.to_owned(),
        });
        self.reported.insert(jid.clone());
    }

    pub(crate) fn take_reported(&mut self) -> BTreeSet<FullJid> {
        std::mem::take(&mut self.reported)
    }

    /// Whether complaints and silence together say that the bridge, which has so many conferences, is dead. A bridge is
    /// not left because of one person, nor because of one meeting where it has others, nor while it answers in time.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        config: &BridgeConfig,
        jid: &FullJid,
        conferences: usize,
    ) {
        let Some(bridge) = self.all.get(jid) else {
            return;
        };
        let overdue = bridge
            .asked
            .is_some_and(|at| now.saturating_duration_since(at) >= OVERDUE);
        let rooms: BTreeSet<&BareJid> = bridge.complaints.iter().map(|c| &c.room).collect();
        let independent = bridge.complaints.len() >= INDEPENDENT
            && rooms.len() >= conferences.clamp(1, INDEPENDENT);
        if overdue && independent && self.has_alternative(now, jid) {
            self.fail(
                now,
                config,
                jid,
                "several participants report dead media and its answer is overdue",
            );
        }
    }

    /// After a pause of our own stream: silence so far means nothing.
    pub(crate) fn excuse(&mut self, now: Instant) {
        for bridge in self.all.values_mut() {
            bridge.was_heard(now);
        }
    }

    /// The bridge gave somebody an endpoint.
    pub(crate) fn on_served(&mut self, jid: &FullJid) {
        if let Some(bridge) = self.all.get_mut(jid) {
            bridge.served();
        }
    }

    /// What operators are told of all of them; what is on them, the conferences know.
    pub(crate) fn status(&self, now: Instant, config: &BridgeConfig) -> Vec<BridgeStatus> {
        let here = self.all.iter();
        let here = here.map(|(jid, bridge)| bridge.status(now, config, jid.resource()));
        let away = self.away.iter().map(|(jid, away)| {
            let bridge = away.bridge.as_ref();
            let known = bridge.map(|b| b.status(now, config, jid.resource()));
            BridgeStatus {
                name: jid.resource().as_str().to_owned(),
                state: "away",
                usable: false,
                ..known.unwrap_or_default()
            }
        });
        let mut all: Vec<BridgeStatus> = here.chain(away).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The bridge of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&FullJid> {
        self.all.keys().find(|jid| jid.resource().as_str() == name)
    }

    /// Whether this bridge can take a conference.
    pub(crate) fn could_take(&self, now: Instant, jid: &FullJid) -> bool {
        self.all.get(jid).is_some_and(|b| b.could_take(now))
    }

    /// An operator wants the bridge to become empty, or not any more.
    pub(crate) fn order_drain(&mut self, io: &mut Io, jid: &FullJid, drain: bool) {
        let Some(bridge) = self.all.get_mut(jid) else {
            return;
        };
        if std::mem::replace(&mut bridge.ordered, drain) != drain {
            self.drains = true;
            self.improved |= !drain;
            io.event(Event::BridgeDrains {
                bridge: jid.clone(),
                drains: drain,
            });
        }
    }
}

#[cfg(test)]
#[path = "bridges_tests.rs"]
mod tests;
