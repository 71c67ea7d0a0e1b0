//! One session: its place in stream management, its rooms, the requests it still has to answer.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use stanza::{BareJid, Element, FullJid, xml};

use crate::pace::Pacer;
use crate::{ConnectionId, Limits, Outgoing, Output, SessionId, WebQuery};

/// What an account may do beyond a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Owns and may create every room.
    pub(crate) admin: bool,
    /// A service account: may enter the internal rooms, is not paced.
    pub(crate) service: bool,
    /// A bridge: its session ends with its connection.
    pub(crate) bridge: bool,
}

/// A request that was handed to a session and not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Relayed {
    /// Address the requester wrote to, which its answer must come from.
    pub(crate) from: String,
    /// The request itself, where another session of the account can answer it in place of this one.
    pub(crate) again: Option<Element>,
}

/// Stream management (XEP-0198) of one session. All counters are modulo 2³².
#[derive(Debug, Default)]
struct Management {
    id: Option<String>,
    handled: u32,
    acked: u32,
    queue: VecDeque<Outgoing>,
    bytes: usize,
    since_request: u32,
    requested: bool,
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
    /// Requests it has to answer, by requester and id.
    pub(crate) relayed: HashMap<(SessionId, String), Relayed>,
    /// Requests of this session that others have to answer, by target and id.
    pub(crate) asked: HashSet<(SessionId, String)>,
    /// Whether it ever sent a stanza.
    pub(crate) spoke: bool,
    /// Number of its next ping.
    pub(crate) pings: u64,
    management: Option<Management>,
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
            relayed: HashMap::new(),
            asked: HashSet::new(),
            spoke: false,
            pings: 0,
            management: None,
        }
    }

    /// Hands `stanza` to the peer, now or when it is back. `false` when its queue is over its limit.
    pub(crate) fn send(
        &mut self,
        stanza: Outgoing,
        limits: &Limits,
        outputs: &mut VecDeque<Output>,
    ) -> bool {
        if let Some(connection) = self.connection {
            outputs.push_back(Output::Send {
                connection,
                session: self.id,
                stanza: stanza.clone(),
            });
        }
        let Some(management) = &mut self.management else {
            return true;
        };
        management.bytes += stanza.len();
        management.queue.push_back(stanza);
        management.since_request += 1;
        if management.since_request >= limits.ack_request_every
            && !management.requested
            && let Some(connection) = self.connection
        {
            management.requested = true;
            outputs.push_back(Output::RequestAck { connection });
        }
        management.queue.len() <= limits.unacked_stanzas && management.bytes <= limits.unacked_bytes
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
    pub(crate) fn enable(&mut self, id: Option<String>) {
        self.management = Some(Management {
            id,
            ..Management::default()
        });
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
        if usize::try_from(news).unwrap_or(usize::MAX) > management.queue.len() {
            return AckOutcome::TooHigh;
        }
        for _ in 0..news {
            if let Some(stanza) = management.queue.pop_front() {
                management.bytes -= stanza.len().min(management.bytes);
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
        let Some(management) = &mut self.management else {
            return 0;
        };
        management.requested = false;
        for stanza in &management.queue {
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
