//! Reading the log: from lines to what is left in the end. What the records say is checked by those they belong to.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use super::record::{
    AffiliationRecord, HeadRecord, HeldRecord, ModeratedRecord, OccupantRecord, Part, PollRecord,
    Record, RequestName, RequestRecord, SaidRecord, SessionRecord, SpeakersRecord, VERSION,
    WaitingRecord,
};

/// Messages of the past that are read; a server keeps fewer.
const MOST_SAID: usize = 1_024;

/// Why a log cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// No line of it is whole, or the first that is does not say what it is.
    #[error("it does not begin as a journal does")]
    NoBeginning,
    /// It was written by another version.
    #[error("its version is {0}, this server reads {VERSION}")]
    Version(u32),
}

/// A stanza that waits.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) text: Arc<[u8]>,
    /// Where its address belongs, if it has none yet.
    pub(crate) gap: Option<usize>,
}

/// A session, and what waits for it.
#[derive(Debug)]
pub(crate) struct KeptSession {
    pub(crate) record: SessionRecord,
    pub(crate) queue: VecDeque<Queued>,
}

/// A room.
#[derive(Debug, Default)]
pub(crate) struct KeptRoom {
    pub(crate) head: Option<HeadRecord>,
    pub(crate) affiliations: BTreeMap<String, String>,
    pub(crate) occupants: BTreeMap<u64, OccupantRecord>,
    pub(crate) lobby: BTreeMap<u64, OccupantRecord>,
    pub(crate) said: VecDeque<SaidRecord>,
    pub(crate) waiting: Vec<WaitingRecord>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) moderation: BTreeMap<String, ModeratedRecord>,
    pub(crate) polls: Vec<PollRecord>,
    pub(crate) speakers: SpeakersRecord,
}

/// What a log comes to.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The highest number that a session got.
    pub(crate) sessions_made: u64,
    pub(crate) sessions: BTreeMap<u64, KeptSession>,
    pub(crate) rooms: BTreeMap<String, KeptRoom>,
    pub(crate) requests: BTreeMap<RequestName, RequestRecord>,
    pub(crate) held: Vec<HeldRecord>,
    /// Lines that were not whole.
    pub(crate) damaged: usize,
    bodies: HashMap<u64, Queued>,
}

impl State {
    /// Reads a log. Lines that are not whole are passed over and counted: the last one often is one.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, JournalError> {
        let mut state: Option<Self> = None;
        let mut damaged = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match (parse(line), &mut state) {
                (Some(Record::Begin(begin)), _) if begin.version != VERSION => {
                    return Err(JournalError::Version(begin.version));
                }
                (Some(Record::Begin(begin)), state) => {
                    *state = Some(Self {
                        sessions_made: begin.sessions,
                        ..Self::default()
                    });
                }
                (Some(record), Some(state)) => state.apply(record),
                (Some(_), None) => return Err(JournalError::NoBeginning),
                (None, _) => damaged += 1,
            }
        }
        let mut state = state.ok_or(JournalError::NoBeginning)?;
        state.damaged = damaged;
        state.bodies = HashMap::new();
        Ok(state)
    }

    fn apply(&mut self, record: Record) {
        match record {
            // Read before.
            Record::Begin(_) => {}
            Record::Session(record) => {
                self.sessions_made = self.sessions_made.max(record.id);
                let queue = VecDeque::new();
                self.sessions
                    .insert(record.id, KeptSession { record, queue });
            }
            Record::Count(count) => {
                if let Some(session) = self.sessions.get_mut(&count.id) {
                    session.count(count.handled, count.acked);
                }
            }
            Record::Ended(id) => {
                self.sessions.remove(&id);
            }
            Record::Body(body) => {
                let (text, gap) = (body.text.into_bytes(), Some(body.gap));
                // Told again, it is still shared with those who got it before.
                let known = self.bodies.get(&body.n);
                if known.is_none_or(|known| *known.text != *text || known.gap != gap) {
                    let text = text.into();
                    self.bodies.insert(body.n, Queued { text, gap });
                }
            }
            Record::Queued(queued) => {
                let Some(body) = self.bodies.get(&queued.n) else {
                    return;
                };
                for to in queued.to {
                    if let Some(session) = self.sessions.get_mut(&to) {
                        session.queue.push_back(body.clone());
                    }
                }
            }
            Record::Sent(sent) => {
                if let Some(session) = self.sessions.get_mut(&sent.to) {
                    let text = sent.text.into_bytes().into();
                    session.queue.push_back(Queued { text, gap: None });
                }
            }
            Record::Room(room) => self.rooms.entry(room.room).or_default().apply(room.part),
            Record::Over(room) => {
                self.rooms.remove(&room);
            }
            Record::Asked(request) => {
                self.requests.insert(request.name.clone(), request);
            }
            Record::Answered(name) => {
                self.requests.remove(&name);
            }
            Record::Held(held) => self.held = held,
        }
    }
}

impl KeptSession {
    fn count(&mut self, handled: u32, acked: u32) {
        let news = acked.wrapping_sub(self.record.acked);
        let news = usize::try_from(news).unwrap_or(usize::MAX);
        // More than there is: a record was lost, and what is left is older than what was acknowledged.
        self.queue.drain(..news.min(self.queue.len()));
        self.record.handled = handled;
        self.record.acked = acked;
    }
}

impl KeptRoom {
    fn apply(&mut self, part: Part) {
        match part {
            Part::Head(head) => self.head = Some(head),
            Part::LobbyOver => self.lobby.clear(),
            Part::Affiliation(AffiliationRecord { account, to }) => match to.as_str() {
                "none" => drop(self.affiliations.remove(&account)),
                _ => drop(self.affiliations.insert(account, to)),
            },
            Part::Occupant(occupant) => {
                let places = match occupant.lobby {
                    true => &mut self.lobby,
                    false => &mut self.occupants,
                };
                places.insert(occupant.place, occupant);
            }
            Part::Left(left) => {
                match left.lobby {
                    true => self.lobby.remove(&left.place),
                    false => self.occupants.remove(&left.place),
                };
            }
            Part::Said(said) => {
                self.said.push_back(said);
                if self.said.len() > MOST_SAID {
                    self.said.pop_front();
                }
            }
            Part::Waiting(waiting) => self.waiting = waiting,
            Part::Metadata(document) => self.metadata = document,
            Part::Moderation(media) => self.moderation = media,
            Part::Polls(polls) => self.polls = polls,
            Part::Speakers(speakers) => self.speakers = speakers,
        }
    }
}

/// A line that is whole: its checksum in hexadecimal, a space, JSON, the end of the line.
fn parse(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    if crc32fast::hash(json) != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}
