//! What all parts of the focus share: the way out, requests that wait for an answer, timers, ids.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use stanza::colibri2::ConferenceModify;
use stanza::element;
use stanza::jitsi::conference::ConferenceResponse;
use stanza::{BareJid, Element, ElementExt, FullJid, ns};

use crate::event::Event;
use crate::focus::{RequestError, RequestId};

/// Events kept for the host; older ones are dropped when it does not poll.
const MAX_EVENTS: usize = 10_000;

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
    /// A change of an endpoint, which may be said again.
    Update {
        room: BareJid,
        nick: String,
        bridge_session: String,
        modify: Box<ConferenceModify>,
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
    /// Ask the bridges how they are.
    Health,
}

/// Names a timer for [`Io::cancel`].
pub(crate) type TimerKey = (Instant, u64);

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) conferences: u64,
    pub(crate) participants: u64,
    pub(crate) moves: u64,
    pub(crate) refused: u64,
    pub(crate) bridges_lost: u64,
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
        }
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
    pub(crate) fn tell(&mut self, kind: &str, to: impl ToString, payload: impl Into<Element>) {
        let (_, iq) = self.iq(kind, &to.to_string(), payload.into());
        self.send(iq);
    }

    /// Answers an IQ. The sender's address is left to the server to write.
    pub(crate) fn answer(&mut self, mut reply: Element) {
        reply.take_attr("from");
        self.send(reply);
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
        self.timers.remove(&key);
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

    /// Forgets everything that belongs to a lost stream.
    pub(crate) fn forget_stream(&mut self) {
        self.transmits.clear();
        self.pending.clear();
        self.timers.clear();
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
