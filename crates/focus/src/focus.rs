//! The focus as its host sees it: stanzas and time in, stanzas, events and answers out.
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use stanza::jitsi::conference::ConferenceResponse;
use stanza::{BareJid, Element};

use crate::bridges::{Bridges, Loss};
use crate::conference::Conference;
use crate::config::FocusConfig;
use crate::context::Context;
use crate::event::{Event, FocusStats};
use crate::features::CapsCache;
use crate::io::{Io, TimerKey};
use crate::request::{RequestError, RequestId};

/// Addresses of the components that talk to the focus.
#[derive(Debug, Default)]
struct Components {
    av_moderation: Option<String>,
    room_metadata: Option<String>,
}

/// The focus of one XMPP deployment.
#[derive(Debug)]
pub struct Focus {
    config: FocusConfig,
    seed: [u8; 32],
    /// Made with the first input, which brings the time.
    io: Option<Io>,
    online: bool,
    offline_since: Option<Instant>,
    bridges: Bridges,
    caps: CapsCache,
    components: Components,
    conferences: BTreeMap<BareJid, Conference>,
    /// Rooms to be entered again on a new stream.
    to_return: VecDeque<BareJid>,
    /// Those that were asked to let the focus in again.
    returning: BTreeSet<BareJid>,
    /// Conferences that leave bridges which work no more, first come first.
    urgent: VecDeque<(BareJid, Loss)>,
    /// Conferences that leave bridges which still work.
    planned: BTreeMap<BareJid, Loss>,
    /// People moved since the last pause, of each of the two.
    moved: (usize, usize),
    /// The next portion is due at some time.
    is_moving: bool,
    /// An answer of a bridge may be overdue then.
    doubt_timer: Option<TimerKey>,
    /// Something that a snapshot holds may have changed.
    changed: bool,
    /// Rooms just left, with the number of goodbyes the server still has to confirm.
    leaving: HashMap<BareJid, u32>,
    next_request: u64,
}

/// Runs `$body` with the conference of a room and what it needs of the focus.
macro_rules! with_conference {
    ($self:ident, $room:expr, |$conference:ident, $cx:ident| $body:expr) => {
        if let (Some(io), Some($conference)) = ($self.io.as_mut(), $self.conferences.get_mut($room))
        {
            let config = &$self.config;
            $self.changed = true;
            #[allow(unused_mut)]
            let mut cx = Context {
                config,
                io,
                bridges: &mut $self.bridges,
                caps: &mut $self.caps,
            };
            let $cx = &mut cx;
            $body;
            $conference.replace_silenced(&mut cx);
            $conference.relate(&mut cx);
            $conference.ensure_spares(&mut cx);
        }
    };
}

mod adopt;
mod answers;
mod input;
mod orders;
mod settle;
mod timers;

pub use orders::{Leave, Left, OrderError, Then};

impl Focus {
    /// A focus that is not connected yet. All ids it makes follow from `seed`.
    #[must_use]
    pub fn new(config: FocusConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            seed,
            io: None,
            online: false,
            offline_since: None,
            bridges: Bridges::default(),
            caps: CapsCache::default(),
            components: Components::default(),
            conferences: BTreeMap::new(),
            to_return: VecDeque::new(),
            urgent: VecDeque::new(),
            planned: BTreeMap::new(),
            moved: (0, 0),
            is_moving: false,
            doubt_timer: None,
            returning: BTreeSet::new(),
            changed: false,
            leaving: HashMap::new(),
            next_request: 0,
        }
    }

    fn at(&mut self, now: Instant) -> &mut Io {
        let io = self.io.get_or_insert_with(|| Io::new(now, self.seed));
        io.now = io.now.max(now);
        io
    }

    /// The next answer to a [`Focus::conference_request`].
    pub fn poll_reply(&mut self) -> Option<(RequestId, Result<ConferenceResponse, RequestError>)> {
        self.io.as_mut()?.poll_reply()
    }

    /// The next stanza to send. None while the stream is away.
    pub fn poll_transmit(&mut self) -> Option<Element> {
        if !self.online {
            return None;
        }
        self.io.as_mut()?.poll_transmit()
    }

    /// The next decision worth a log line.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.io.as_mut()?.poll_event()
    }

    /// When [`Focus::handle_timeout`] is due, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.offline_since {
            Some(since) => Some(since + self.config.reply_timeout),
            None if self.online => self.io.as_ref()?.next_timeout(),
            None => None,
        }
    }

    /// Leaves all rooms and ends all conferences on the bridges, before the host closes the stream.
    pub fn shutdown(&mut self, now: Instant) {
        self.at(now);
        self.changed = true;
        let conferences = std::mem::take(&mut self.conferences);
        let Some(io) = self.io.as_mut() else { return };
        let mut cx = Context {
            config: &self.config,
            io,
            bridges: &mut self.bridges,
            caps: &mut self.caps,
        };
        for (_, conference) in conferences {
            conference.stop(&mut cx, true);
        }
    }

    /// Counts at this moment.
    #[must_use]
    pub fn stats(&self) -> FocusStats {
        let Some(io) = self.io.as_ref() else {
            return FocusStats::default();
        };
        FocusStats {
            conferences: self.conferences.len(),
            participants: self
                .conferences
                .values()
                .map(Conference::member_count)
                .sum(),
            sessions: self
                .conferences
                .values()
                .map(Conference::session_count)
                .sum(),
            bridges: self.bridges.len(),
            bridges_usable: self.bridges.usable(io.now),
            conferences_total: io.totals.conferences,
            participants_total: io.totals.participants,
            moves_total: io.totals.moves,
            refused_total: io.totals.refused,
            bridges_lost_total: io.totals.bridges_lost,
            adopted_total: io.totals.adopted,
            reinvites_total: io.totals.reinvites,
            given_up_total: io.totals.given_up,
            relays_failed_total: io.totals.relays_failed,
            bridges_removed_total: io.totals.bridges_removed,
            requests_total: io.totals.requests.0,
            requests_new_total: io.totals.requests.1,
            ice_restarts: io.totals.ice_restarts,
            jingle_sent: io.totals.jingle_sent,
            jingle_received: io.totals.jingle_received,
            conferences_lasted: io.totals.lasted.0,
            people_lasted: io.totals.lasted.1,
        }
    }
}
