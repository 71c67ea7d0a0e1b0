//! The way into a link.

use std::sync::Arc;

use stanza::Element;
use tokio::sync::{mpsc, watch};

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

/// What the task behind a link shall do.
pub(crate) enum Command {
    Send(Element),
    Close,
}

/// The way into a link. Clones lead to the same link; the link ends when all are gone.
#[derive(Clone)]
pub struct LinkSender {
    pub(crate) commands: mpsc::Sender<Command>,
    /// Set when the link shall end even if it is offline.
    pub(crate) closing: Arc<watch::Sender<bool>>,
}

impl LinkSender {
    /// Hands over a stanza; never blocks.
    ///
    /// While the link is offline, stanzas wait for the resumption of the session; when a new session begins instead they
    /// are dropped, as they belonged to the old one. So send what a session needs after its [`LinkEvent::Online`](crate::LinkEvent::Online).
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
