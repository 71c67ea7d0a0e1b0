//! An XMPP client connection: connect, STARTTLS, log in, resume; stanzas in and out.
//!
//! [`spawn`] starts a task that keeps one stream to a server alive for ever. What happens is told by [`LinkEvent`]s;
//! stanzas leave through a [`LinkSender`], which may be used from any thread.

mod config;
mod driver;
mod memory;
mod tls;

pub use config::{Credentials, KeepAlive, LinkConfig, Target, TlsVerify};
pub use memory::{MemoryConnector, MemoryListener, memory};

use std::sync::Arc;

use stanza::{Element, FullJid};
use tokio::sync::{mpsc, watch};

/// What happens on a link.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkEvent {
    /// Logged in and bound.
    Online {
        /// Our address.
        jid: FullJid,
        /// The former session goes on: nothing was lost, and the server still knows what we joined. Otherwise the
        /// session is new and what was sent meanwhile is gone.
        resumed: bool,
    },
    /// A stanza for us, in the namespace `jabber:client`.
    Stanza(Element),
    /// Something was passed over that is over a limit or no stanza; whoever asked for an answer was given an error. The word
    /// says why, for metrics.
    Ignored(&'static str),
    /// The server refused the login: no such account, another password. The link tries again by itself, now and then.
    Refused {
        /// Why, for the log.
        reason: String,
    },
    /// The stream is lost. The link tries again by itself.
    Offline {
        /// Why, for the log.
        reason: String,
    },
}

/// Why a stanza was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link has more stanzas waiting than it keeps.
    #[error("the link's queue is full")]
    Full,
    /// The link was closed.
    #[error("the link is closed")]
    Closed,
}

pub(crate) enum Command {
    Send(Element),
    Close,
}

/// The way into a link. Clones lead to the same link; the link ends when all are gone.
#[derive(Clone)]
pub struct LinkSender {
    commands: mpsc::Sender<Command>,
    /// Set when the link shall end even if it is offline.
    closing: Arc<watch::Sender<bool>>,
}

impl LinkSender {
    /// Hands over a stanza; never blocks.
    ///
    /// While the link is offline, stanzas wait for the resumption of the session; when a new session begins instead they
    /// are dropped, as they belonged to the old one. So send what a session needs after its [`LinkEvent::Online`].
    ///
    /// # Errors
    /// When the queue is full or the link closed; the stanza is dropped.
    pub fn send(&self, stanza: Element) -> Result<(), SendError> {
        self.commands
            .try_send(Command::Send(stanza))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SendError::Full,
                mpsc::error::TrySendError::Closed(_) => SendError::Closed,
            })
    }

    /// Ends the stream in order, after what was sent before, and the link with it. The link is gone when its events
    /// end.
    pub async fn close(&self) {
        let _ = self.commands.send(Command::Close).await;
        self.closing.send_replace(true);
    }
}

/// Starts a link on the current runtime. Its events must be read; a link whose events are not read stops reading too.
#[must_use]
pub fn spawn(config: LinkConfig) -> (LinkSender, mpsc::Receiver<LinkEvent>) {
    let (commands, inbox) = mpsc::channel(config.queue.max(1));
    let (events, outbox) = mpsc::channel(config.queue.max(1));
    let (closing, closed) = watch::channel(false);
    tokio::spawn(driver::run(config, inbox, events, closed));
    let sender = LinkSender {
        commands,
        closing: Arc::new(closing),
    };
    (sender, outbox)
}
