//! What all parts of the focus share: the way out, requests that wait for an answer, timers, ids.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use stanza::colibri2::ConferenceModify;
use stanza::element;
use stanza::jitsi::conference::ConferenceResponse;
use stanza::{BareJid, Element, ElementExt, FullJid, ns};

use crate::event::{Event, IceRestarts, Reinvite};
use crate::jingle_counts::JingleCounts;
use crate::request::{RequestError, RequestId};

/// Events kept for the host; older ones are dropped when it does not poll.
const MAX_EVENTS: usize = 10_000;
/// What is merely told is forgotten after this time.
const TOLD_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers remembered in case their questions are asked again after a break.
const MAX_ANSWERED: usize = 256;
/// How long after a break questions may be repetitions.
const REPETITIONS: Duration = Duration::from_secs(30);

/// Why an IQ was sent, and with that what its answer means.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// Which components the server has.
    Components,
    /// The configuration form of a room.
    RoomForm(BareJid),
    /// The submitted configuration of a room.
    RoomConfig(BareJid),
    /// Features of a member.
    Features {
        room: BareJid,
        nick: String,
        key: Option<String>,
    },
    /// An offer.
    Initiate {
        room: BareJid,
        nick: String,
        sid: String,
    },
    /// A new endpoint for an offer.
    Allocate {
        room: BareJid,
        nick: String,
        sid: String,
    },
    /// A spare endpoint.
    Spare {
        room: BareJid,
        nick: String,
        sid: String,
    },
    /// A change of an endpoint, which may be said again.
    Update {
        room: BareJid,
        nick: String,
        bridge_session: String,
        modify: Box<ConferenceModify>,
        again: bool,
    },
    /// A relay to another bridge: made, or told of the people behind it.
    Relay {
        room: BareJid,
        /// Id of the stay on the bridge that is asked, and of the one on the other bridge.
        at: String,
        other: String,
        /// Which of the relays between the two it is about, one after another.
        number: u64,
        create: bool,
        modify: Box<ConferenceModify>,
        /// It is said again, after it came back as what could not be delivered.
        again: bool,
    },
    /// New ICE credentials for an endpoint.
    IceRestart {
        room: BareJid,
        nick: String,
        sid: String,
    },
    /// Is the bridge well?
    Health(FullJid),
    /// Does the bridge that is asked reach this one?
    Witness {
        /// The bridge that is asked.
        witness: FullJid,
        /// The one it is asked about.
        suspect: FullJid,
    },
    /// Does the bridge still have the conference? Asked after a break, at most a few times.
    Probe {
        room: BareJid,
        bridge_session: String,
        tries: u32,
    },
    /// Something told whose answer changes nothing. It is kept to be said again should the stream break before that.
    Told {
        room: BareJid,
        kind: &'static str,
        payload: Box<Element>,
    },
}

impl Purpose {
    /// The room it is about, if it is about one.
    pub(crate) fn room(&self) -> Option<&BareJid> {
        match self {
            Self::Components | Self::Health(_) | Self::Witness { .. } => None,
            Self::RoomForm(room) | Self::RoomConfig(room) => Some(room),
            Self::Features { room, .. }
            | Self::Initiate { room, .. }
            | Self::Allocate { room, .. }
            | Self::Spare { room, .. }
            | Self::Update { room, .. }
            | Self::Relay { room, .. }
            | Self::IceRestart { room, .. }
            | Self::Probe { room, .. }
            | Self::Told { room, .. } => Some(room),
        }
    }
}

/// A request whose answer was lost with the stream.
#[derive(Debug)]
pub(crate) struct Undone {
    pub(crate) to: String,
    pub(crate) purpose: Purpose,
}

/// An IQ without an answer so far.
#[derive(Debug)]
struct Pending {
    to: String,
    purpose: Purpose,
    timer: TimerKey,
}

/// Something due at some time.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// An answer is overdue.
    Reply(String),
    /// The focus is still not in the room.
    Join(BareJid),
    /// Nobody joined the room.
    Initial(BareJid),
    /// One participant was alone for too long.
    Single(BareJid),
    /// Try again to give sessions to members without one.
    Retry(BareJid),
    /// Whoever has two sessions for a move had time enough to connect the second.
    Moved(BareJid),
    /// Spare sessions that came to nothing may be tried again.
    Spares(BareJid),
    /// Offers whose arrival is doubtful after a break are still not accepted.
    Doubtful(BareJid),
    /// Members did not come back to a room that the server made anew.
    Missing(BareJid),
    /// The next portion of people may be moved to other bridges.
    Move,
    /// Ask the bridges how they are.
    Health,
    /// Those that answer quickly should have answered.
    Doubt,
}

/// Names a timer for [`Io::cancel`].
pub(crate) type TimerKey = (Instant, u64);

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) conferences: u64,
    pub(crate) adopted: u64,
    pub(crate) reinvites: [u64; Reinvite::ALL.len()],
    pub(crate) given_up: u64,
    pub(crate) relays_failed: u64,
    pub(crate) participants: u64,
    pub(crate) moves: u64,
    pub(crate) refused: u64,
    pub(crate) bridges_lost: u64,
    /// Times that a conference left a bridge which does not work.
    pub(crate) bridges_removed: u64,
    /// Requests for conferences, and those of them for new ones.
    pub(crate) requests: (u64, u64),
    pub(crate) ice_restarts: IceRestarts,
    pub(crate) jingle_sent: JingleCounts,
    pub(crate) jingle_received: JingleCounts,
    /// Of conferences, and of people in them, that are over.
    pub(crate) lasted: (Duration, Duration),
}

#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) now: Instant,
    pub(crate) jid: Option<FullJid>,
    pub(crate) totals: Totals,
    rng: ChaCha20Rng,
    transmits: VecDeque<Element>,
    events: VecDeque<Event>,
    replies: VecDeque<(RequestId, Result<ConferenceResponse, RequestError>)>,
    pending: HashMap<String, Pending>,
    timers: BTreeMap<TimerKey, Timer>,
    counter: u64,
    /// The request being handled, as [`fingerprint`] sees it.
    handling: Option<u64>,
    /// The last requests answered on this stream, with their answers.
    answered: VecDeque<(u64, Element)>,
    /// Those of the stream before.
    answered_before: VecDeque<(u64, Element)>,
    /// When the last stream began that was not the continuation of another.
    adopted: Option<Instant>,
}

impl Io {
    pub(crate) fn new(now: Instant, seed: [u8; 32]) -> Self {
        Self {
            now,
            jid: None,
            totals: Totals::default(),
            rng: ChaCha20Rng::from_seed(seed),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            replies: VecDeque::new(),
            pending: HashMap::new(),
            timers: BTreeMap::new(),
            counter: 0,
            handling: None,
            answered: VecDeque::new(),
            answered_before: VecDeque::new(),
            adopted: None,
        }
    }

    /// Numbers up to `used` were given before this focus began.
    pub(crate) fn count_from(&mut self, used: u64) {
        self.counter = self.counter.max(used);
    }

    /// A number that was not used before.
    pub(crate) fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A session id: 64 random bits in base 32.
    pub(crate) fn sid(&mut self) -> String {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
        let mut bits = self.rng.next_u64();
        let mut text = String::with_capacity(13);
        for _ in 0..13 {
            text.push(char::from(DIGITS[(bits & 31) as usize]));
            bits >>= 5;
        }
        text
    }

    /// A random UUID (RFC 9562, version 4).
    pub(crate) fn uuid(&mut self) -> String {
        let high = self.rng.next_u64() & 0xffff_ffff_ffff_0fff | 0x4000;
        let low = self.rng.next_u64() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// A random part of a time.
    pub(crate) fn random_part(&mut self, of: Duration) -> Duration {
        of.mul_f64(f64::from(self.rng.next_u32()) / f64::from(u32::MAX))
    }

    pub(crate) fn send(&mut self, stanza: Element) {
        self.transmits.push_back(stanza);
    }

    pub(crate) fn event(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.event(Event::Warning { text: text.into() });
    }

    pub(crate) fn reply(
        &mut self,
        id: RequestId,
        answer: Result<ConferenceResponse, RequestError>,
    ) {
        self.replies.push_back((id, answer));
    }

    fn iq(&mut self, kind: &str, to: &str, payload: Element) -> (String, Element) {
        self.totals.jingle_sent.note(&payload);
        let id = format!("{}-{}", self.sid(), self.count());
        let iq = element("iq", ns::CLIENT)
            .attr("type", kind)
            .attr("to", to)
            .attr("id", &id)
            .child(payload);
        (id, iq.done())
    }

    /// Sends an IQ whose answer, or lack of one after `timeout`, matters.
    pub(crate) fn request(
        &mut self,
        kind: &str,
        to: impl ToString,
        payload: impl Into<Element>,
        purpose: Purpose,
        timeout: Duration,
    ) {
        let to = to.to_string();
        let (id, iq) = self.iq(kind, &to, payload.into());
        let timer = self.after(timeout, Timer::Reply(id.clone()));
        self.pending.insert(id, Pending { to, purpose, timer });
        self.send(iq);
    }

    /// Sends an IQ whose answer does not matter.
    pub(crate) fn tell(
        &mut self,
        room: &BareJid,
        kind: &'static str,
        to: impl ToString,
        payload: impl Into<Element>,
    ) {
        let payload = payload.into();
        let told = Purpose::Told {
            room: room.clone(),
            kind,
            payload: Box::new(payload.clone()),
        };
        self.request(kind, to, payload, told, TOLD_TIMEOUT);
    }

    /// Tells a bridge what an operator wants of it.
    pub(crate) fn send_order(&mut self, to: &FullJid, order: Element) {
        let (_, iq) = self.iq("set", to.as_str(), order);
        self.send(iq);
    }

    /// Answers an IQ. The sender's address is left to the server to write.
    pub(crate) fn answer(&mut self, mut reply: Element) {
        reply.take_attr("from");
        if let Some(request) = self.handling.take() {
            if self.answered.len() >= MAX_ANSWERED {
                self.answered.pop_front();
            }
            self.answered.push_back((request, reply.clone()));
        }
        self.send(reply);
    }

    /// Whether the streams changed so recently that people may say again what was said before.
    pub(crate) fn expects_repetitions(&self) -> bool {
        self.adopted
            .is_some_and(|at| self.now.saturating_duration_since(at) < REPETITIONS)
    }

    /// A request is going to be handled. If the very same one was answered before the stream broke, the answer may have
    /// been lost: it is given once more, and true comes back.
    pub(crate) fn is_repeated(&mut self, request: &Element) -> bool {
        let print = fingerprint(request);
        self.handling = Some(print);
        if !self.expects_repetitions() {
            self.answered_before.clear();
            return false;
        }
        let mut known = self.answered_before.iter();
        let Some((_, reply)) = known.find(|(known, _)| *known == print) else {
            return false;
        };
        let reply = reply.clone();
        self.send(reply);
        true
    }

    /// The purpose of the request that `response` answers.
    pub(crate) fn take_pending(&mut self, response: &Element) -> Option<Purpose> {
        let id = response.attr("id")?;
        // An answer from somebody else than the one asked is a forgery, or a stray.
        let pending = self.pending.get(id)?;
        if response.attr("from") != Some(pending.to.as_str())
            && !self.speaks_for(response, &pending.to)
        {
            return None;
        }
        let pending = self.pending.remove(id)?;
        self.cancel(pending.timer);
        Some(pending.purpose)
    }

    /// A server may answer for our own account without saying who it is.
    fn speaks_for(&self, response: &Element, to: &str) -> bool {
        response.attr("from").is_none()
            && self
                .jid
                .as_ref()
                .is_some_and(|jid| jid.domain().as_str() == to)
    }

    /// The purpose of a request that nobody answered in time.
    pub(crate) fn take_overdue(&mut self, id: &str) -> Option<Purpose> {
        self.pending.remove(id).map(|pending| pending.purpose)
    }

    pub(crate) fn after(&mut self, delay: Duration, timer: Timer) -> TimerKey {
        let key = (self.now + delay, self.count());
        self.timers.insert(key, timer);
        key
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        if self.timers.remove(&key).is_some() {
            return;
        }
        // It was postponed: the number is still the same.
        let moved = self.timers.keys().find(|(_, number)| *number == key.1);
        if let Some(moved) = moved.copied() {
            self.timers.remove(&moved);
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn take_due(&mut self) -> Option<Timer> {
        let (&key, _) = self.timers.first_key_value()?;
        if key.0 > self.now {
            return None;
        }
        self.timers.remove(&key)
    }

    /// After a pause in which nothing could be heard: nothing is due before `grace` is over.
    pub(crate) fn postpone(&mut self, grace: Duration) {
        let limit = self.now + grace;
        let early: Vec<TimerKey> = self
            .timers
            .keys()
            .take_while(|(at, _)| *at < limit)
            .copied()
            .collect();
        for key in early {
            let Some(timer) = self.timers.remove(&key) else {
                continue;
            };
            let moved = (limit, key.1);
            if let Timer::Reply(id) = &timer
                && let Some(pending) = self.pending.get_mut(id)
            {
                pending.timer = moved;
            }
            self.timers.insert(moved, timer);
        }
    }

    /// Another stream takes the place of the former one: what was on its way is lost. Gives back what waited for an
    /// answer, oldest first. Nothing else is due before `grace` is over.
    pub(crate) fn change_stream(&mut self, jid: FullJid, grace: Duration) -> Vec<Undone> {
        if self.jid.replace(jid).is_some() {
            self.adopted = Some(self.now);
        }
        self.transmits.clear();
        self.answered_before = std::mem::take(&mut self.answered);
        let mut lost: Vec<Pending> = self.pending.drain().map(|(_, pending)| pending).collect();
        lost.sort_by_key(|pending| pending.timer.1);
        self.timers
            .retain(|_, timer| !matches!(timer, Timer::Reply(_) | Timer::Health | Timer::Doubt));
        self.postpone(grace);
        let undone = |pending: Pending| Undone {
            to: pending.to,
            purpose: pending.purpose,
        };
        lost.into_iter().map(undone).collect()
    }

    /// This focus continues another, of which it has only the records.
    pub(crate) fn set_adopting(&mut self) {
        self.adopted = Some(self.now);
    }

    pub(crate) fn reinvited(&mut self, reason: Reinvite) {
        self.reinvited_many(reason, 1);
    }

    pub(crate) fn reinvited_many(&mut self, reason: Reinvite, count: usize) {
        if let Some(total) = self.totals.reinvites.get_mut(reason as usize) {
            *total += count as u64;
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Element> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn poll_reply(
        &mut self,
    ) -> Option<(RequestId, Result<ConferenceResponse, RequestError>)> {
        self.replies.pop_front()
    }
}

/// Tells requests apart, sender and id included.
fn fingerprint(request: &Element) -> u64 {
    let mut hasher = DefaultHasher::new();
    stanza::xml::to_string(request).hash(&mut hasher);
    hasher.finish()
}
