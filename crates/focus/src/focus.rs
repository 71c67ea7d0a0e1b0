//! The focus as its host sees it.
use std::collections::VecDeque;
use std::time::Instant;

use stanza::jitsi::conference::{ConferenceRequest, ConferenceResponse};
use stanza::{Element, FullJid};
use thiserror::Error;

use crate::config::FocusConfig;
use crate::event::{Event, FocusStats};

/// Names a conference request that came over HTTP until its answer is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

/// Why a conference request got no answer with a conference in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The room is on a host this focus does not serve (HTTP: 400).
    #[error("this focus does not serve the host of the room")]
    ForeignRoom,
    /// The focus is not connected to its XMPP server (HTTP: 503).
    #[error("the focus is not connected")]
    Offline,
    /// As many conferences as allowed exist (HTTP: 503).
    #[error("too many conferences")]
    TooMany,
    /// The room could not be joined (HTTP: 503).
    #[error("the room could not be joined: {0}")]
    JoinFailed(String),
}

/// The focus of one XMPP deployment.
#[derive(Debug)]
pub struct Focus {
    config: FocusConfig,
    jid: Option<FullJid>,
    transmits: VecDeque<Element>,
    events: VecDeque<Event>,
    replies: VecDeque<(RequestId, Result<ConferenceResponse, RequestError>)>,
    next_request: u64,
}

impl Focus {
    /// A focus that is not connected yet. All ids it makes follow from `seed`.
    #[must_use]
    pub fn new(config: FocusConfig, seed: [u8; 32]) -> Self {
        let _ = seed;
        Self {
            config,
            jid: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            replies: VecDeque::new(),
            next_request: 0,
        }
    }

    /// The host has logged in as `jid`. `resumed`: the former stream goes on (XEP-0198), so everything the server
    /// knows of the focus still holds; otherwise conferences begin anew.
    pub fn online(&mut self, now: Instant, jid: FullJid, resumed: bool) {
        let _ = (now, resumed);
        self.jid = Some(jid);
    }

    /// The stream is lost; it may come back by [`Focus::online`].
    pub fn offline(&mut self, now: Instant) {
        let _ = now;
    }

    /// Takes one stanza from the server.
    pub fn handle_stanza(&mut self, now: Instant, stanza: &Element) {
        let _ = (now, stanza);
    }

    /// Takes a conference request that came over HTTP; the answer comes from [`Focus::poll_reply`], at the latest
    /// after [`FocusConfig::reply_timeout`].
    pub fn conference_request(&mut self, now: Instant, request: ConferenceRequest) -> RequestId {
        let _ = now;
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.replies
            .push_back((id, Ok(ConferenceResponse::new(request.room, false))));
        id
    }

    /// The next answer to a [`Focus::conference_request`].
    pub fn poll_reply(&mut self) -> Option<(RequestId, Result<ConferenceResponse, RequestError>)> {
        self.replies.pop_front()
    }

    /// The next stanza to send.
    pub fn poll_transmit(&mut self) -> Option<Element> {
        self.transmits.pop_front()
    }

    /// The next decision worth a log line.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Focus::handle_timeout`] is due, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Leaves all rooms and ends all conferences on the bridges, before the host closes the stream.
    pub fn shutdown(&mut self, now: Instant) {
        let _ = now;
    }

    /// Counts at this moment.
    #[must_use]
    pub fn stats(&self) -> FocusStats {
        let _ = &self.config;
        FocusStats::default()
    }
}
