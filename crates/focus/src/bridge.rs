//! One bridge of the brewery: what it reports, what was seen of it, and what of its load is promised.
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stanza::jitsi::bridge_stats::{BridgeStats, stat};
use stanza::jitsi::evidence::People;
use stanza::{BareJid, FullJid};

use crate::config::BridgeConfig;
use crate::event::Event;
use crate::selection::{Candidate, Standing};
use crate::status::BridgeStatus;

/// Who answers nothing for so long may have heard nothing either.
const OWING: Duration = Duration::from_secs(1);
/// Promises remembered for one bridge.
const MAX_PROMISES: usize = 10_000;
/// Media ports remembered of one bridge.
const MAX_MEDIA: usize = 8;
/// An answer overdue for so long is a reason to ask other bridges,
const DOUBT: Duration = Duration::from_millis(400);
/// or for so long, of a bridge whose answers take half of it at most.
const QUICK_DOUBT: Duration = Duration::from_millis(100);
/// A bridge whose answer is overdue for so long, and that no other bridge reaches, is dead: by how long its answers take
/// otherwise. The least is what a move costs people: whoever waits for so long and moves then loses twice of what was
/// needed at most, whether it would have gone on or not.
const CERTAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(850)];
/// That is so many times as long.
const SURELY: u32 = 5;
/// An answer that takes so many times as long as others did is doubtful.
const DOUBTFUL: u32 = 2;
/// With each answer this part of the slowest one before is forgotten.
const FORGOTTEN: u32 = 8;
/// What another bridge saw holds for so long.
const TESTIMONY: Duration = Duration::from_secs(2);
/// Another bridge that was asked is waited for at most so long.
const HEARING: Duration = Duration::from_millis(450);
/// How long a bridge that does not serve its people is avoided the first time; it doubles.
const SUSPICION: Duration = Duration::from_secs(60);
/// How long most of its people must lose much before it is suspected.
const LOSS_LASTS: Duration = Duration::from_secs(5);
/// How often the time for which a bridge that failed is avoided doubles.
const MAX_DOUBLINGS: u32 = 4;

/// A participant that says its media are dead.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub(crate) at: Instant,
    pub(crate) room: BareJid,
    pub(crate) nick: String,
}

/// One occupant of the brewery that is a bridge.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) version: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) relay_id: Option<String>,
    stress: f64,
    participant_stress: Option<f64>,
    /// People on it, of whichever focus, as it reports.
    reported_people: usize,
    /// People on it, as the conferences of this focus know.
    pub(crate) people: usize,
    /// Spare connections on it, of people who are elsewhere; its report counts them as people.
    pub(crate) spares: usize,
    /// A bridge that does not say counts as draining.
    draining: Option<bool>,
    /// An operator wants it to become empty.
    pub(crate) ordered: bool,
    pub(crate) graceful_shutdown: bool,
    pub(crate) shutting_down: bool,
    /// It refused an endpoint with a data channel: its SCTP is switched off.
    pub(crate) no_data_channel: bool,
    /// Its own opinion.
    pub(crate) healthy: bool,
    /// Not chosen before this time, if there is another.
    pub(crate) failed_until: Option<Instant>,
    /// How often it failed since it served somebody.
    failures: u32,
    /// When anything came from it.
    pub(crate) heard: Instant,
    /// Health checks since then.
    pub(crate) unanswered: u32,
    /// When the oldest of them was sent.
    pub(crate) asked: Option<Instant>,
    /// How long its answers take; a slow one counts for a while.
    answers_in: Option<Duration>,
    /// Who complained lately, and when last.
    pub(crate) complaints: VecDeque<Complaint>,
    /// Declared lost because it was silent; wins trust again when it answers.
    pub(crate) silent: bool,
    /// Where its media come in, if it says so: other bridges can be asked whether it lives, and it whom it hears.
    media: Vec<SocketAddr>,
    /// It asks senders for key frames encoding by encoding.
    pub(crate) each_key_frame: bool,
    /// It does not answer, but another bridge reaches it: what runs on it goes on.
    pub(crate) unreachable: bool,
    /// Something that was said to it came back.
    pub(crate) bounced: bool,
    /// When other bridges were asked last and have not answered.
    questioned: Option<Instant>,
    /// When another bridge reached it last, and when last not.
    vouched: Option<Instant>,
    denied: Option<Instant>,
    /// What it said last of whom it hears.
    pub(crate) people_report: People,
    /// Since when most of its people lose much.
    lossy_since: Option<Instant>,
    /// It does not serve its people until this time, as far as is known, and why.
    suspect: Option<(Instant, &'static str)>,
    suspicions: u32,
    /// Meetings in which it hears nobody.
    pub(crate) silent_meetings: BTreeSet<String>,
    /// When participants were promised to it that its report may not contain yet.
    promises: VecDeque<Instant>,
}

impl Bridge {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            version: None,
            region: None,
            relay_id: None,
            stress: 0.0,
            participant_stress: None,
            reported_people: 0,
            people: 0,
            spares: 0,
            draining: None,
            ordered: false,
            graceful_shutdown: false,
            shutting_down: false,
            no_data_channel: false,
            healthy: true,
            failed_until: None,
            failures: 0,
            heard: now,
            unanswered: 0,
            asked: None,
            answers_in: None,
            complaints: VecDeque::new(),
            silent: false,
            media: Vec::new(),
            each_key_frame: false,
            unreachable: false,
            bounced: false,
            questioned: None,
            vouched: None,
            denied: None,
            people_report: People::default(),
            lossy_since: None,
            suspect: None,
            suspicions: 0,
            silent_meetings: BTreeSet::new(),
            promises: VecDeque::new(),
        }
    }

    pub(crate) fn was_heard(&mut self, now: Instant) {
        self.heard = now;
        self.unanswered = 0;
        if let Some(asked) = self.asked.take() {
            let took = now.saturating_duration_since(asked);
            let before = self.answers_in.map(|b| b - b / FORGOTTEN);
            self.answers_in = before.max(Some(took));
        }
        (self.questioned, self.vouched, self.denied) = (None, None, None);
    }

    /// How long nothing has come from it.
    pub(crate) fn quiet(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }

    /// Something came from it. If it was taken not to answer: how long nothing had come.
    pub(crate) fn answers(&mut self, now: Instant) -> Option<Duration> {
        let quiet = self.quiet(now);
        self.was_heard(now);
        let was_away = std::mem::take(&mut self.silent) | std::mem::take(&mut self.unreachable);
        was_away.then_some(quiet)
    }

    /// What is told of it when it comes.
    pub(crate) fn came(&self, jid: &FullJid) -> Event {
        Event::BridgeUp {
            bridge: jid.clone(),
            media: self.media.clone(),
            version: self.version.clone(),
            region: self.region.clone(),
            stress: self.stress,
        }
    }

    /// Whether it can be asked whom it hears, and about other bridges.
    pub(crate) fn has_evidence(&self) -> bool {
        !self.media.is_empty()
    }

    /// Where its media come in, as far as it says.
    pub(crate) fn media(&self) -> &[SocketAddr] {
        &self.media
    }

    /// Whether it is time to ask other bridges about it.
    pub(crate) fn is_doubtful(&self, now: Instant) -> bool {
        let overdue = self.asked.is_some_and(|at| at + self.doubt() <= now);
        overdue && self.can_be_questioned(now)
    }

    /// Its answer is overdue for so long that what other bridges say of it counts.
    fn is_overdue(&self, now: Instant) -> bool {
        self.asked.is_some_and(|at| at + self.certain() <= now)
    }

    /// Its answer is overdue for long enough, and no other bridge reaches it: it does nothing any more.
    pub(crate) fn is_dead(&self, now: Instant) -> bool {
        self.is_overdue(now) && !self.silent && self.is_denied(now) && !self.is_vouched(now)
    }

    /// Its answer is overdue for long enough, and another bridge reaches it. True once, until it answers.
    pub(crate) fn take_cut_off(&mut self, now: Instant) -> bool {
        let cut_off = self.is_overdue(now) && self.is_vouched(now);
        cut_off && !std::mem::replace(&mut self.unreachable, true)
    }

    /// It has answered nothing at all for so long that one unanswered request says no more.
    pub(crate) fn owes_answers(&self, now: Instant) -> bool {
        let overdue = |at: Instant| now.saturating_duration_since(at) >= OWING;
        self.has_evidence() && self.asked.is_some_and(overdue)
    }

    /// When one of the two may come to be so, if it goes on to say nothing.
    pub(crate) fn next_judgement(&self, now: Instant) -> Option<Instant> {
        let asked = self.asked.filter(|_| self.has_evidence() && !self.silent)?;
        let moments = [asked + self.doubt(), asked + self.certain()];
        moments.into_iter().filter(|at| *at > now).min()
    }

    /// How long an answer may be overdue.
    fn doubt(&self) -> Duration {
        let usual = self.answers_in.map(|usual| usual * DOUBTFUL);
        usual.map_or(DOUBT, |usual| usual.clamp(QUICK_DOUBT, DOUBT))
    }

    /// An answer overdue for so long, where no other bridge reaches it either, means that it is dead.
    fn certain(&self) -> Duration {
        let [least, most] = CERTAIN;
        let usual = self.answers_in.map(|usual| usual * SURELY);
        usual.map_or(most, |usual| usual.clamp(least, most))
    }

    /// Whether others may be asked about it now.
    pub(crate) fn can_be_questioned(&self, now: Instant) -> bool {
        let waiting = |at: Instant| now.saturating_duration_since(at) < HEARING;
        self.has_evidence() && !self.questioned.is_some_and(waiting)
    }

    /// Other bridges are asked about it.
    pub(crate) fn question(&mut self, now: Instant) {
        self.questioned = Some(now);
    }

    /// Another bridge reached it, or did not.
    pub(crate) fn testify(&mut self, now: Instant, reached: bool) {
        self.questioned = None;
        match reached {
            true => (self.vouched, self.denied) = (Some(now), None),
            false if !self.is_vouched(now) => self.denied = Some(now),
            false => {}
        }
    }

    /// Another bridge reached it a moment ago.
    pub(crate) fn is_vouched(&self, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < TESTIMONY;
        self.vouched.is_some_and(recent)
    }

    /// Another bridge was asked a moment ago and did not reach it either.
    pub(crate) fn is_denied(&self, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < TESTIMONY;
        self.denied.is_some_and(recent)
    }

    /// It answers in time and can be asked about others.
    pub(crate) fn can_witness(&self, now: Instant) -> bool {
        let answers = self
            .asked
            .is_none_or(|at| now.saturating_duration_since(at) < DOUBT);
        self.has_evidence() && answers && !self.silent && !self.unreachable && !self.shutting_down
    }

    /// It says whom it hears. True if most lose much, and have done so for a while.
    pub(crate) fn hear(&mut self, now: Instant, people: People) -> bool {
        let lossy = people.lossy >= 3 && people.lossy * 5 >= people.here * 3;
        self.lossy_since = lossy.then(|| self.lossy_since.unwrap_or(now));
        let past = self
            .suspect
            .is_some_and(|(until, _)| until + SUSPICION <= now);
        if past && people.unheard == 0 && people.here > 1 {
            self.suspicions = 0;
        }
        self.people_report = people;
        self.lossy_since
            .is_some_and(|since| now.saturating_duration_since(since) >= LOSS_LASTS)
    }

    /// It does not serve its people: it is avoided for a while, longer each time.
    pub(crate) fn suspect(&mut self, now: Instant, why: &'static str) {
        let doublings = self.suspicions.min(MAX_DOUBLINGS);
        self.suspicions = self.suspicions.saturating_add(1);
        self.suspect = Some((now + SUSPICION.saturating_mul(1 << doublings), why));
    }

    /// Why it is avoided although it answers, if it is.
    pub(crate) fn suspicion(&self, now: Instant) -> Option<&'static str> {
        let (until, why) = self.suspect?;
        (until > now).then_some(why)
    }

    /// A suspicion that was held is over since the last call.
    pub(crate) fn take_cleared(&mut self, now: Instant) -> bool {
        // The time it ended is kept for a while, to see whether it comes back.
        let over = self
            .suspect
            .is_some_and(|(until, why)| until <= now && !why.is_empty());
        if over {
            self.suspect = self.suspect.map(|(until, _)| (until, ""));
        }
        over
    }

    pub(crate) fn read(&mut self, stats: &BridgeStats) {
        self.stress = stats
            .number(stat::STRESS_LEVEL)
            .map_or(self.stress, |s| s.max(0.0));
        self.participant_stress = stats
            .number(stat::AVERAGE_PARTICIPANT_STRESS)
            .or(self.participant_stress);
        self.draining = stats.flag(stat::DRAIN).or(self.draining);
        self.graceful_shutdown |= stats.flag(stat::GRACEFUL_SHUTDOWN) == Some(true);
        self.shutting_down |= stats.flag(stat::SHUTTING_DOWN) == Some(true);
        self.healthy = stats.flag(stat::HEALTHY).unwrap_or(true);
        let people = stats.number(stat::LOCAL_ENDPOINTS);
        let people = people.or_else(|| stats.number(stat::PARTICIPANTS));
        // Negative numbers become 0, and no machine has more people than fit.
        self.reported_people = people.map_or(0, |people| people as usize);
        let text = |name: &str| {
            stats
                .get(name)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        self.version = match (text(stat::VERSION), text(stat::RELEASE)) {
            (Some(version), Some(release)) => Some(format!("{version}-{release}")),
            (version, _) => version,
        };
        if let Some(media) = text(stat::MEDIA) {
            let ports = media.split(',').filter_map(|port| port.parse().ok());
            self.media = ports.take(MAX_MEDIA).collect();
        }
        self.each_key_frame = stats.flag(stat::EACH_KEY_FRAME) == Some(true);
        self.region = text(stat::REGION);
        self.relay_id = text(stat::RELAY_ID);
    }

    /// Whether it asks to become empty. One that does not say is merely not preferred.
    pub(crate) fn is_drained(&self) -> bool {
        self.ordered || self.draining == Some(true)
    }

    /// People on it, promised ones included.
    pub(crate) fn people(&self) -> usize {
        let reported = self.reported_people.saturating_sub(self.spares);
        self.people.max(reported)
    }

    /// Load of people that its report does not show yet: those who came a moment ago, and as much of what the people on it
    /// should bring as is more than all it reports.
    pub(crate) fn promised(&self, now: Instant, config: &BridgeConfig) -> f64 {
        let is_recent = |at: &&Instant| now.saturating_duration_since(**at) < config.rampup;
        // Who has left again is promised no more.
        let recent = self.promises.iter().filter(is_recent).count();
        let recent = recent.min(self.people());
        let each = self
            .participant_stress
            .unwrap_or(config.participant_stress)
            .max(0.0);
        // Counts are far below 2^52.
        let unshown = self.people() as f64 * each - self.stress;
        unshown.max(recent as f64 * each)
    }

    /// A participant is placed on it, which counts at once.
    pub(crate) fn promise(&mut self, now: Instant, rampup: Duration) {
        while self.promises.len() >= MAX_PROMISES
            || self
                .promises
                .front()
                .is_some_and(|at| now.saturating_duration_since(*at) >= rampup)
        {
            self.promises.pop_front();
        }
        self.promises.push_back(now);
        self.people += 1;
    }

    /// It failed: it is avoided for a while, and for longer the more often that happens.
    pub(crate) fn failed(&mut self, now: Instant, config: &BridgeConfig) {
        let doublings = self.failures.min(MAX_DOUBLINGS);
        self.failures = self.failures.saturating_add(1);
        self.failed_until = Some(now + config.failure_hold.saturating_mul(1 << doublings));
    }

    /// It did what it was asked.
    pub(crate) fn served(&mut self) {
        self.failures = 0;
    }

    /// One that failed and still answers is better than none.
    pub(crate) fn could_serve(&self) -> bool {
        !self.shutting_down && self.healthy && !self.silent && !self.unreachable
    }

    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        self.could_serve() && self.failed_until.is_none_or(|until| until <= now)
    }

    /// Whether a meeting that leaves another bridge may come to it.
    pub(crate) fn could_take(&self, now: Instant) -> bool {
        self.is_usable(now) && !self.graceful_shutdown && self.suspicion(now).is_none()
    }

    pub(crate) fn standing(&self, now: Instant) -> Standing {
        if self.shutting_down {
            Standing::Leaving
        } else if self.silent {
            Standing::Silent
        } else if self.unreachable {
            Standing::Unreachable
        } else if !self.healthy {
            Standing::Unwell
        } else if self.graceful_shutdown {
            Standing::Graceful
        } else if !self.is_usable(now) {
            Standing::Failed
        } else if self.ordered || self.draining.unwrap_or(true) {
            Standing::Draining
        } else {
            Standing::Ready
        }
    }

    /// What operators are told of it; what is on it, the conferences know.
    pub(crate) fn status(&self, now: Instant, config: &BridgeConfig, name: &str) -> BridgeStatus {
        let promised = self.promised(now, config);
        let state = match self.suspicion(now) {
            Some(why) => why,
            None => self.standing(now).word(),
        };
        BridgeStatus {
            name: name.to_owned(),
            addresses: self.media.iter().map(ToString::to_string).collect(),
            version: self.version.clone(),
            region: self.region.clone(),
            relay_id: self.relay_id.clone(),
            state,
            usable: self.could_take(now),
            healthy: self.healthy,
            drain: self.is_drained(),
            load: self.stress + promised,
            stress: self.stress,
            promised,
            room_for: self.room_for(now, config),
            suspect: self.suspicion(now).is_some(),
            ending: self.graceful_shutdown || self.shutting_down,
            meetings: 0,
            people: 0,
            spares: 0,
            unheard: self.people_report.unheard,
            heard_ms: now.saturating_duration_since(self.heard).as_millis() as u64,
        }
    }

    /// People who still find room, until it is avoided for its load.
    fn room_for(&self, now: Instant, config: &BridgeConfig) -> usize {
        if !self.could_take(now) || self.is_drained() {
            return 0;
        }
        let each = self.participant_stress.unwrap_or(config.participant_stress);
        let left = config.stress_threshold - self.stress - self.promised(now, config);
        // Numbers that are not positive become 0.
        let by_load = (left / each.max(f64::EPSILON)) as usize;
        match config.max_people {
            Some(most) => by_load.min(most.saturating_sub(self.people())),
            None => by_load,
        }
    }

    /// The bridge as a choice sees it.
    pub(crate) fn candidate<'a>(
        &'a self,
        now: Instant,
        config: &BridgeConfig,
        jid: &'a FullJid,
    ) -> Candidate<'a> {
        Candidate {
            jid,
            standing: self.standing(now),
            stress: self.stress,
            promised: self.promised(now, config),
            people: self.people(),
            failed_until: self.failed_until,
            region: self.region.as_deref(),
            version: self.version.as_deref(),
            has_relays: self.relay_id.is_some(),
            suspect: self.suspicion(now).is_some(),
        }
    }

    /// The same where a spare connection is to be placed: as if all who have one here already had come.
    pub(crate) fn candidate_for_spares<'a>(
        &'a self,
        now: Instant,
        config: &BridgeConfig,
        jid: &'a FullJid,
    ) -> Candidate<'a> {
        let each = self.participant_stress.unwrap_or(config.participant_stress);
        let candidate = self.candidate(now, config, jid);
        Candidate {
            promised: candidate.promised + self.spares as f64 * each.max(0.0),
            people: candidate.people + self.spares,
            ..candidate
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some first instant")]
mod tests {
    use super::*;

    #[test]
    fn who_answers_quickly_is_doubted_soon() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        for (answer, doubt) in [(ms(2), ms(100)), (ms(80), ms(160)), (ms(300), ms(400))] {
            let mut bridge = Bridge::new(start);
            bridge.media = vec![SocketAddr::from(([10, 0, 0, 1], 10_000))];
            let mut now = start;
            for _ in 0..3 {
                bridge.asked = Some(now);
                now += answer;
                bridge.was_heard(now);
            }
            bridge.asked = Some(now);
            assert!(!bridge.is_doubtful(now + doubt - ms(1)), "{answer:?}");
            assert!(bridge.is_doubtful(now + doubt), "{answer:?}");
        }
    }
}
