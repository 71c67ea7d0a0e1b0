//! An XMPP client connection: connect, STARTTLS, log in, resume; stanzas in and out.
//!
//! [`spawn`] starts a task that keeps one stream to a server alive for ever. What happens is told by [`LinkEvent`]s;
//! stanzas leave through a [`LinkSender`], which may be used from any thread.

mod config;
mod driver;
mod event;
mod memory;
mod sender;
mod tls;

pub use config::{Credentials, KeepAlive, LinkConfig, Target, TlsVerify};
pub use event::LinkEvent;
pub use memory::{MemoryConnector, MemoryListener, memory};
pub use sender::{LinkSender, SendError};

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

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
