//! Writing the log.

use std::collections::BTreeSet;

use super::record::{BodyRecord, QueuedRecord, Record, SentRecord};

/// What was written since the host took it last.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Whether anybody reads it.
    on: bool,
    bytes: Vec<u8>,
    /// Stanzas for several that were written since then.
    written: BTreeSet<u64>,
    /// The stanza handed out last, and for whom.
    run: Option<(u64, Vec<u64>)>,
}

impl Log {
    /// A log that is read.
    pub(crate) fn new() -> Self {
        Self {
            on: true,
            ..Self::default()
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Writes a record.
    pub(crate) fn put(&mut self, record: &Record) {
        if self.on {
            self.end_run();
            self.write(record);
        }
    }

    /// The stanza `text`, number `n`, waits for `to`, whose address belongs at `gap`.
    pub(crate) fn queue(&mut self, n: u64, text: &[u8], gap: usize, to: u64) {
        if !self.on {
            return;
        }
        if let Some((_, all)) = self.run.as_mut().filter(|(last, _)| *last == n) {
            return all.push(to);
        }
        self.end_run();
        if self.written.insert(n) {
            let text = String::from_utf8_lossy(text).into_owned();
            self.write(&Record::Body(BodyRecord { n, gap, text }));
        }
        self.run = Some((n, vec![to]));
    }

    /// The stanza `text` waits for `to` alone.
    pub(crate) fn send(&mut self, to: u64, text: &[u8]) {
        if self.on {
            let text = String::from_utf8_lossy(text).into_owned();
            self.put(&Record::Sent(SentRecord { to, text }));
        }
    }

    /// What was written since the last call.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.end_run();
        self.written.clear();
        std::mem::take(&mut self.bytes)
    }

    fn end_run(&mut self) {
        if let Some((n, to)) = self.run.take() {
            self.write(&Record::Queued(QueuedRecord { n, to }));
        }
    }

    fn write(&mut self, record: &Record) {
        // Maps have texts as keys and there are no floats of ours: it cannot fail.
        let json = serde_json::to_vec(record).unwrap_or_default();
        let sum = format!("{:08x} ", crc32fast::hash(&json));
        self.bytes.extend_from_slice(sum.as_bytes());
        self.bytes.extend_from_slice(&json);
        self.bytes.push(b'\n');
    }
}
