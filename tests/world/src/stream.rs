//! A client's end of a stream that can be resumed (XEP-0198).

use stanza::Element;

/// What a client keeps of its session.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Name of the session, to resume it.
    pub(crate) id: Option<String>,
    /// Stanzas that came in it.
    pub(crate) received: u32,
    /// Stanzas that were sent in it.
    sent: Vec<Element>,
    /// No connection at present.
    pub(crate) cut: bool,
}

impl Stream {
    pub(crate) fn new(id: Option<String>) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    pub(crate) fn sent(&mut self, stanza: Element) {
        self.sent.push(stanza);
    }

    /// What the server, which has handled `h` stanzas, has to be told again.
    pub(crate) fn again(&self, h: u32) -> Vec<Element> {
        self.sent.iter().skip(h as usize).cloned().collect()
    }
}
