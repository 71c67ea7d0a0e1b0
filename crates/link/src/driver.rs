//! The task behind a link: what all its connections have in common.

mod bytes;
mod run;
mod web_socket;

pub(crate) use run::run;

use std::io;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use stanza::error::Condition;
use stream::StreamCondition;
use stream::client::{Client, ClientError, Event};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::sender::Command;
use crate::{LinkConfig, LinkEvent, TlsVerify, tls};

/// How long the last bytes of a stream may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How a connection, or a part of its life, ended.
enum Step {
    /// The server waits for a handshake.
    StartTls,
    /// The connection is over; the text says why.
    Lost(String),
    /// The server refused the login; the text says why.
    Refused(String),
    /// Somebody else has our address; the text says how the server put it.
    Taken(String),
    /// The link shall end.
    Close,
}

struct Driver {
    config: LinkConfig,
    client: Client,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<LinkEvent>,
    closing: watch::Receiver<bool>,
    /// Whether the owner was told that the link is online.
    online: bool,
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Driver {
    /// Waits for a part of the way to a connection, within its time, unless the link is closed meanwhile.
    async fn attempt<T>(&self, part: impl Future<Output = io::Result<T>>) -> Result<T, Step> {
        let mut closing = self.closing.clone();
        tokio::select! {
            done = timeout(self.config.connect_timeout, part) => match done {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(error)) => Err(Step::Lost(format!("{}: {error}", self.config.target))),
                Err(_) => Err(Step::Lost(format!("{}: no answer", self.config.target))),
            },
            () = closed(&mut closing) => Err(Step::Close),
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        name: &str,
        verify: &TlsVerify,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let config = tls::client_config(verify).map_err(other)?;
        let name = ServerName::try_from(name.to_owned()).map_err(other)?;
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Passes the client's events on.
    async fn handle_events(&mut self) -> Option<Step> {
        while let Some(event) = self.client.poll_event() {
            let event = match event {
                Event::StartTls => return Some(Step::StartTls),
                Event::Closed(ClientError::Closed) => return Some(Step::Close),
                Event::Closed(error @ ClientError::Sasl(_)) => {
                    return Some(Step::Refused(error.to_string()));
                }
                Event::Closed(error) if is_conflict(&error) => {
                    return Some(Step::Taken(error.to_string()));
                }
                Event::Closed(error) => return Some(Step::Lost(error.to_string())),
                Event::Stanza(stanza) => LinkEvent::Stanza(stanza),
                Event::Ignored(reason) => LinkEvent::Ignored(reason),
                Event::Online { jid, resumed } => {
                    if !resumed && self.forget_commands() {
                        return Some(Step::Close);
                    }
                    self.online = true;
                    tracing::info!(domain = %self.config.domain, resumed, "XMPP stream online");
                    LinkEvent::Online { jid, resumed }
                }
            };
            if self.events.send(event).await.is_err() {
                // Nobody listens any more: end in order.
                self.client.close(now());
            }
        }
        None
    }

    /// Drops what was sent for a session that is gone; true when the link shall end.
    fn forget_commands(&mut self) -> bool {
        let mut dropped = 0u32;
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Send(_) => dropped += 1,
                Command::Close => return true,
            }
        }
        if dropped > 0 {
            tracing::debug!(domain = %self.config.domain, dropped, "dropped stanzas of a former session");
        }
        false
    }

    fn obey(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Send(stanza)) => {
                self.client.send(now(), &stanza);
            }
            Some(Command::Close) | None => self.client.close(now()),
        }
    }
}

/// Whether another session took our address, or has it and keeps it.
fn is_conflict(error: &ClientError) -> bool {
    match error {
        ClientError::Stream(condition) => *condition == StreamCondition::Conflict,
        ClientError::Bind(error) => error.condition == Condition::Conflict,
        _ => false,
    }
}

/// Returns when the link shall end.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}
