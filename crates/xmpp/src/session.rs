//! One session: its place in stream management, its rooms.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use shares::Budget;
use stanza::{BareJid, FullJid, xml};

use crate::api::WebQuery;
use crate::config::Limits;
use crate::ids::{ConnectionId, SessionId};
use crate::journal::{CountRecord, KeptSession, SessionRecord};
use crate::outgoing::{Outgoing, Output};
use crate::pace::Pacer;

/// Stanzas that a session may have got of which the journal does not know.
const LOST: u32 = 1_000;

/// What an account may do beyond a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Owns and may create every room.
    pub(crate) admin: bool,
    /// A service account: may enter the internal rooms, is not paced.
    pub(crate) service: bool,
    /// A bridge: its session ends with its connection, and the brewery is all it may enter.
    pub(crate) bridge: bool,
    /// May ask for the account of a bridge, and nothing else.
    pub(crate) joins: bool,
}

/// Stream management (XEP-0198) of one session. All counters are modulo 2³².
#[derive(Debug, Default)]
struct Management {
    id: Option<String>,
    handled: u32,
    acked: u32,
    /// What is not acknowledged, and which participant it came from, where that counts.
    queue: VecDeque<(Outgoing, Option<SessionId>)>,
    bytes: usize,
    since_request: u32,
    requested: bool,
}

/// Who filled the queue of a service. A service that falls behind is not cut off: whoever sends it much waits.
#[derive(Debug)]
struct Senders {
    stanzas: Budget<SessionId>,
    bytes: Budget<SessionId>,
}

impl Senders {
    fn new(limits: &Limits) -> Self {
        Self {
            stanzas: Budget::new(limits.service_queue_stanzas, limits.service_share_stanzas),
            bytes: Budget::new(limits.service_queue_bytes, limits.service_share_bytes),
        }
    }

    /// Whether there is room for a stanza of `sender`.
    fn fits(&self, sender: SessionId, bytes: usize) -> bool {
        self.stanzas.fits(sender, 1)
            && (self.bytes.of(sender) == 0 || self.bytes.fits(sender, bytes))
    }

    /// Whether `sender` went on although it was told to wait.
    fn twice(&self, sender: SessionId, limits: &Limits) -> bool {
        self.stanzas.of(sender) >= 2 * limits.service_share_stanzas
            || self.bytes.of(sender) >= 2 * limits.service_share_bytes
    }

    fn add(&mut self, sender: SessionId, bytes: usize) {
        self.stanzas.add(sender, 1);
        self.bytes.add(sender, bytes);
    }

    fn give(&mut self, sender: SessionId, bytes: usize) {
        self.stanzas.give(sender, 1);
        self.bytes.give(sender, bytes);
    }
}

/// What became of a stanza for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Sent, or kept until the peer is back.
    Taken,
    /// The same, and its sender has its share of the queue now.
    Crowded,
    /// The queue is over its limit: the session must end.
    Overflow,
}

/// What became of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckOutcome {
    Accepted,
    TooHigh,
}

/// A bound resource.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) jid: FullJid,
    pub(crate) bare: BareJid,
    /// `jid`, escaped for an attribute.
    pub(crate) to: Arc<str>,
    pub(crate) rights: Rights,
    pub(crate) query: WebQuery,
    pub(crate) connection: Option<ConnectionId>,
    /// End of hibernation.
    pub(crate) expires: Option<Instant>,
    pub(crate) last_heard: Instant,
    /// When the peer was asked for a sign of life that has not come yet.
    pub(crate) probed: Option<Instant>,
    pub(crate) pacer: Pacer,
    /// Rooms it is in, by their address.
    pub(crate) rooms: BTreeSet<BareJid>,
    /// Whether it ever sent a stanza.
    pub(crate) spoke: bool,
    /// Whether it has asked for the account of a bridge.
    pub(crate) asked_to_join: bool,
    /// Number of its next ping.
    pub(crate) pings: u64,
    /// Whether the journal has it.
    pub(crate) journaled: bool,
    /// It comes from the journal and was not resumed yet: its peer may know more of it than we do.
    put_back: bool,
    management: Option<Management>,
    /// Only of services.
    senders: Option<Senders>,
}

impl Session {
    pub(crate) fn new(
        now: Instant,
        id: SessionId,
        jid: FullJid,
        rights: Rights,
        query: WebQuery,
        connection: ConnectionId,
    ) -> Self {
        let mut to = Vec::new();
        xml::escape_attr(jid.as_str(), &mut to);
        Self {
            id,
            bare: jid.to_bare(),
            to: String::from_utf8(to).unwrap_or_default().into(),
            jid,
            rights,
            query,
            connection: Some(connection),
            expires: None,
            last_heard: now,
            probed: None,
            pacer: Pacer::new(now),
            rooms: BTreeSet::new(),
            spoke: false,
            asked_to_join: false,
            pings: 0,
            journaled: false,
            put_back: false,
            management: None,
            senders: None,
        }
    }

    /// Hands `stanza` of the participant `sender`, if it is of one, to the peer, now or when it is back.
    pub(crate) fn send(
        &mut self,
        stanza: Outgoing,
        sender: Option<SessionId>,
        limits: &Limits,
        outputs: &mut VecDeque<Output>,
    ) -> Sent {
        if let Some(connection) = self.connection {
            outputs.push_back(Output::Send {
                connection,
                session: self.id,
                stanza: stanza.clone(),
            });
        }
        let Some(management) = &mut self.management else {
            return Sent::Taken;
        };
        let bytes = stanza.len();
        management.bytes += bytes;
        management.queue.push_back((stanza, sender));
        management.since_request += 1;
        let every = match self.rights.service {
            true => limits.ack_request_every_services,
            false => limits.ack_request_every,
        };
        if management.since_request >= every
            && !management.requested
            && let Some(connection) = self.connection
        {
            management.requested = true;
            outputs.push_back(Output::RequestAck { connection });
        }
        let (most, most_bytes) = most_waiting(self.rights, limits);
        if management.queue.len() > most || management.bytes > most_bytes {
            return Sent::Overflow;
        }
        let (Some(senders), Some(sender)) = (&mut self.senders, sender) else {
            return Sent::Taken;
        };
        senders.add(sender, bytes);
        match senders.fits(sender, bytes) {
            true => Sent::Taken,
            false => Sent::Crowded,
        }
    }

    /// Whether its queue has room for a request of `bytes` from the participant `sender`, or from a service (`None`). A
    /// request larger than a share fits into an empty one.
    pub(crate) fn has_room(
        &self,
        sender: Option<SessionId>,
        bytes: usize,
        limits: &Limits,
    ) -> bool {
        self.is_free(limits)
            && match (&self.senders, sender) {
                (Some(senders), Some(sender)) => senders.fits(sender, bytes),
                _ => true,
            }
    }

    /// Whether it takes what `sender` tells a whole room. That slows its sender, and is refused only if it comes all the
    /// same.
    pub(crate) fn hears(&self, sender: SessionId, limits: &Limits) -> bool {
        let patient = self.senders.as_ref();
        self.is_free(limits) && patient.is_none_or(|senders| !senders.twice(sender, limits))
    }

    /// Whether the queue of a service is below what may wait for it.
    fn is_free(&self, limits: &Limits) -> bool {
        !self.rights.service
            || self.management.as_ref().is_none_or(|management| {
                management.queue.len() < limits.service_queue_stanzas
                    && management.bytes < limits.service_queue_bytes
            })
    }

    /// Asks the peer for an acknowledgement, as a sign of life. `false` when it has no stream management.
    pub(crate) fn request_ack(&mut self, outputs: &mut VecDeque<Output>) -> bool {
        let (Some(management), Some(connection)) = (&mut self.management, self.connection) else {
            return false;
        };
        management.requested = true;
        outputs.push_back(Output::RequestAck { connection });
        true
    }

    /// Counts a stanza of the peer.
    pub(crate) fn count_handled(&mut self) {
        if let Some(management) = &mut self.management {
            management.handled = management.handled.wrapping_add(1);
        }
    }

    /// Stanzas of the peer handled since stream management began.
    pub(crate) fn handled(&self) -> Option<u32> {
        self.management
            .as_ref()
            .map(|management| management.handled)
    }

    /// Turns stream management on, resumable under `id` if there is one.
    pub(crate) fn enable(&mut self, id: Option<String>, limits: &Limits) {
        self.management = Some(Management {
            id,
            ..Management::default()
        });
        self.senders = self.rights.service.then(|| Senders::new(limits));
    }

    /// Only its places in rooms are left, until another session takes them: it gets nothing and cannot be resumed.
    pub(crate) fn become_placeholder(&mut self, expires: Instant) -> Option<ConnectionId> {
        self.expires = Some(expires);
        self.probed = None;
        self.management = None;
        self.senders = None;
        self.spoke = false;
        self.connection.take()
    }

    /// Name under which the session can be resumed.
    pub(crate) fn resume_id(&self) -> Option<&str> {
        self.management.as_ref()?.id.as_deref()
    }

    /// Drops what the peer has received: `h` stanzas since the beginning.
    pub(crate) fn acknowledge(&mut self, h: u32) -> AckOutcome {
        let Some(management) = &mut self.management else {
            return AckOutcome::Accepted;
        };
        let news = h.wrapping_sub(management.acked);
        let waiting = u32::try_from(management.queue.len()).unwrap_or(u32::MAX);
        if news > waiting && !(self.put_back && news - waiting <= LOST) {
            return AckOutcome::TooHigh;
        }
        for _ in 0..news.min(waiting) {
            if let Some((stanza, sender)) = management.queue.pop_front() {
                management.bytes -= stanza.len().min(management.bytes);
                if let (Some(senders), Some(sender)) = (&mut self.senders, sender) {
                    senders.give(sender, stanza.len());
                }
            }
        }
        management.acked = h;
        management.requested = false;
        management.since_request = u32::try_from(management.queue.len()).unwrap_or(u32::MAX);
        AckOutcome::Accepted
    }

    /// Sends everything not acknowledged to `connection`, which the session moves to.
    pub(crate) fn replay(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        outputs: &mut VecDeque<Output>,
    ) -> u64 {
        self.connection = Some(connection);
        self.expires = None;
        self.last_heard = now;
        self.probed = None;
        self.put_back = false;
        let Some(management) = &mut self.management else {
            return 0;
        };
        management.requested = false;
        for (stanza, _) in &management.queue {
            outputs.push_back(Output::Send {
                connection,
                session: self.id,
                stanza: stanza.clone(),
            });
        }
        if !management.queue.is_empty() {
            management.requested = true;
            outputs.push_back(Output::RequestAck { connection });
        }
        management.queue.len() as u64
    }
}

impl Session {
    /// As the journal keeps it; `None` if it cannot be resumed.
    pub(crate) fn record(&self) -> Option<SessionRecord> {
        let management = self.management.as_ref()?;
        Some(SessionRecord {
            id: self.id.0,
            jid: self.jid.to_string(),
            resume: management.id.clone()?,
            handled: management.handled,
            acked: management.acked,
            room: self.query.room.clone(),
            prefix: self.query.prefix.clone(),
            region: self.query.region.clone(),
        })
    }

    /// What it has handled and what its peer acknowledged, as the journal keeps it.
    pub(crate) fn counts(&self) -> Option<CountRecord> {
        let management = self.management.as_ref()?;
        Some(CountRecord {
            id: self.id.0,
            handled: management.handled,
            acked: management.acked,
        })
    }

    /// Whether what waits for it is written into the journal.
    pub(crate) fn waits_in_journal(&self) -> bool {
        self.journaled && self.management.is_some()
    }

    /// What is not acknowledged.
    pub(crate) fn queue(&self) -> impl Iterator<Item = &Outgoing> {
        let queue = self.management.iter().flat_map(|m| &m.queue);
        queue.map(|(stanza, _)| stanza)
    }

    /// A session of the journal: it waits for its peer. `None` when it is none, or has more waiting than it may.
    pub(crate) fn put_back(
        now: Instant,
        kept: KeptSession,
        rights: Rights,
        limits: &Limits,
    ) -> Option<Self> {
        let record = kept.record;
        let jid = FullJid::new(&record.jid).ok()?;
        let query = WebQuery {
            room: record.room,
            prefix: record.prefix,
            region: record.region,
            ..WebQuery::default()
        };
        let id = SessionId(record.id);
        let mut session = Self::new(now, id, jid, rights, query, ConnectionId(0));
        session.connection = None;
        session.journaled = true;
        session.put_back = true;
        session.spoke = record.handled > 0;
        session.enable(Some(record.resume), limits);
        let to = session.to.clone();
        let management = session.management.as_mut()?;
        management.handled = record.handled;
        management.acked = record.acked;
        for queued in kept.queue {
            let stanza = match queued.gap {
                Some(gap) => Outgoing::addressed(queued.text, gap, to.clone()),
                None => Outgoing::whole(queued.text),
            };
            management.bytes += stanza.len();
            management.queue.push_back((stanza, None));
        }
        management.since_request = u32::try_from(management.queue.len()).unwrap_or(u32::MAX);
        let (most, most_bytes) = most_waiting(rights, limits);
        let fits = management.queue.len() <= most && management.bytes <= most_bytes;
        fits.then_some(session)
    }
}

/// Stanzas and bytes that may wait for a peer.
fn most_waiting(rights: Rights, limits: &Limits) -> (usize, usize) {
    match rights.service {
        true => (
            2 * limits.service_queue_stanzas,
            2 * limits.service_queue_bytes,
        ),
        false => (limits.unacked_stanzas, limits.unacked_bytes),
    }
}
