//! Requests that wait for somebody else: asked and not answered yet, or held back because there is no focus.
//!
//! What a session makes the server keep counts against its share of [`Kept`](Keeping), and everything has a deadline, at
//! which the requester gets an error.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shares::Budget;
use stanza::error::{Condition, StanzaError};
use stanza::iq::is_request;
use stanza::xml::{self, written_len};
use stanza::{Element, ElementExt as _, element, ns};

use crate::ids::SessionId;
use crate::journal::{Record, RequestName, RequestRecord};

/// What an entry takes beside its texts, roughly.
const ENTRY: usize = 256;
/// How often a conference request goes to a focus that ends before it answers. A request that no focus survives must not
/// meet each new one.
const MOST_TRIES: u8 = 3;

/// Bytes kept in the name of sessions.
#[derive(Clone, Debug)]
pub(crate) struct Keeping(Arc<Mutex<Budget<SessionId>>>);

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    keeping: Keeping,
    session: SessionId,
    bytes: usize,
}

impl Keeping {
    pub(crate) fn new(most: usize, of_one: usize) -> Self {
        Self(Arc::new(Mutex::new(Budget::new(most, of_one))))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Budget<SessionId>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts `bytes` for `session`; `None` when it may not have so much more. Services are counted but not refused.
    pub(crate) fn keep(&self, session: SessionId, bytes: usize, service: bool) -> Option<Kept> {
        let fits = self.with(|budget| {
            let fits = service || budget.fits(session, bytes);
            if fits {
                budget.add(session, bytes);
            }
            fits
        });
        fits.then(|| Kept {
            keeping: self.clone(),
            session,
            bytes,
        })
    }

    /// Bytes kept in all.
    pub(crate) fn bytes(&self) -> usize {
        self.with(|budget| budget.taken())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeping
            .with(|budget| budget.give(self.session, self.bytes));
    }
}

/// A conference request on its way to a focus: it may be asked again, but not for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand {
    /// When its sender gets an error at the latest.
    pub(crate) until: Instant,
    tries: u8,
}

impl Errand {
    pub(crate) fn new(until: Instant) -> Self {
        Self { until, tries: 0 }
    }

    /// The next try; `None` when there were enough.
    pub(crate) fn again(self, now: Instant) -> Option<Self> {
        let tries = self.tries + 1;
        (tries < MOST_TRIES && now < self.until).then_some(Self { tries, ..self })
    }
}

/// Names a request that was handed to a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestKey {
    pub(crate) requester: SessionId,
    pub(crate) target: SessionId,
    pub(crate) id: Arc<str>,
}

impl RequestKey {
    /// As the journal keeps it.
    fn name(&self) -> RequestName {
        RequestName {
            requester: self.requester.0,
            target: self.target.0,
            id: self.id.to_string(),
        }
    }

    fn record(&self, open: &Open) -> RequestRecord {
        RequestRecord {
            name: self.name(),
            asked: open.asked.clone(),
            again: open.again.as_ref().map(|(again, _)| xml::to_string(again)),
        }
    }
}

/// A request that was handed to a session and not answered yet.
#[derive(Debug)]
pub(crate) struct Open {
    /// Address the requester wrote to, which its answer must come from.
    pub(crate) asked: String,
    /// The request itself, where another session of the account can answer it in place of this one.
    pub(crate) again: Option<(Element, Errand)>,
    due: (Instant, u64),
    _kept: Kept,
}

/// All requests that were handed to sessions and not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    open: HashMap<RequestKey, Open>,
    by_target: HashMap<SessionId, BTreeSet<RequestKey>>,
    by_requester: HashMap<SessionId, BTreeSet<RequestKey>>,
    deadlines: BTreeMap<(Instant, u64), RequestKey>,
    serial: u64,
    /// Requests of which the journal does not know whether they are open.
    changed: BTreeSet<RequestKey>,
}

impl Requests {
    /// What keeping a request with this id costs.
    pub(crate) fn cost(id: &str, asked: &str, again: Option<&Element>) -> usize {
        ENTRY + id.len() + asked.len() + again.map_or(0, written_len)
    }

    /// Remembers a request until `until`. One of the same name that was still open is forgotten.
    pub(crate) fn add(
        &mut self,
        key: RequestKey,
        asked: String,
        again: Option<(Element, Errand)>,
        until: Instant,
        kept: Kept,
    ) {
        self.remove(&key);
        self.changed.insert(key.clone());
        self.serial += 1;
        let due = (until, self.serial);
        self.deadlines.insert(due, key.clone());
        self.by_target
            .entry(key.target)
            .or_default()
            .insert(key.clone());
        self.by_requester
            .entry(key.requester)
            .or_default()
            .insert(key.clone());
        let open = Open {
            asked,
            again,
            due,
            _kept: kept,
        };
        self.open.insert(key, open);
    }

    /// The request is answered, or nobody waits for the answer any more.
    pub(crate) fn remove(&mut self, key: &RequestKey) -> Option<Open> {
        let open = self.open.remove(key)?;
        self.changed.insert(key.clone());
        self.deadlines.remove(&open.due);
        if let Some(keys) = self.by_target.get_mut(&key.target) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_target.remove(&key.target);
            }
        }
        if let Some(keys) = self.by_requester.get_mut(&key.requester) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_requester.remove(&key.requester);
            }
        }
        Some(open)
    }

    /// Requests that `target` has not answered.
    pub(crate) fn at(&self, target: SessionId) -> usize {
        self.by_target.get(&target).map_or(0, BTreeSet::len)
    }

    /// Forgets what `requester` asked.
    pub(crate) fn forget(&mut self, requester: SessionId) {
        for key in self.by_requester.remove(&requester).unwrap_or_default() {
            self.remove(&key);
        }
    }

    /// Takes all that `target` had to answer.
    pub(crate) fn take_all(&mut self, target: SessionId) -> Vec<(RequestKey, Open)> {
        let keys = self.by_target.remove(&target).unwrap_or_default();
        keys.into_iter()
            .filter_map(|key| {
                let open = self.remove(&key)?;
                Some((key, open))
            })
            .collect()
    }

    /// Names of all that `target` has to answer, in the order they were asked.
    pub(crate) fn keys_at(&self, target: SessionId) -> Vec<RequestKey> {
        let keys = self.by_target.get(&target).into_iter().flatten();
        let mut keys: Vec<RequestKey> = keys.cloned().collect();
        keys.sort_by_key(|key| self.open.get(key).map(|open| open.due.1));
        keys
    }

    pub(crate) fn get(&self, key: &RequestKey) -> Option<&Open> {
        self.open.get(key)
    }

    /// What the journal does not know yet.
    pub(crate) fn take_changes(&mut self) -> Vec<Record> {
        let changed = std::mem::take(&mut self.changed);
        let record = |key: RequestKey| match self.open.get(&key) {
            Some(open) => Record::Asked(key.record(open)),
            None => Record::Answered(key.name()),
        };
        changed.into_iter().map(record).collect()
    }

    /// Nobody keeps a journal.
    pub(crate) fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// The same, where the journal knows nothing; in the order they were asked.
    pub(crate) fn records(&self) -> Vec<Record> {
        let in_order = self.deadlines.values();
        let open = in_order.filter_map(|key| Some((key, self.open.get(key)?)));
        open.map(|(key, open)| Record::Asked(key.record(open)))
            .collect()
    }

    /// When the next one is late.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes one that is late at `now`.
    pub(crate) fn late(&mut self, now: Instant) -> Option<(RequestKey, Open)> {
        let (&(due, _), key) = self.deadlines.first_key_value()?;
        if due > now {
            return None;
        }
        let key = key.clone();
        let open = self.remove(&key)?;
        Some((key, open))
    }
}

/// The error that ends a request in place of its answer.
pub(crate) fn failure(key: &RequestKey, open: &Open, condition: Condition) -> Element {
    element("iq", ns::CLIENT)
        .attr("type", "error")
        .attr("from", open.asked.as_str())
        .attr("id", &*key.id)
        .child(Element::from(StanzaError::new(condition)))
        .done()
}

/// Whether a lost answer to this request would leave a client waiting for ever.
pub(crate) fn is_conference_request(stanza: &Element) -> bool {
    stanza.name() == "iq"
        && is_request(stanza)
        && stanza
            .payload()
            .is_some_and(|p| p.is("conference", ns::FOCUS))
}
