//! The life of a link: one connection after the other, with pauses.

use std::time::Duration;

use stream::Framing;
use stream::client::{Client, ClientConfig};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::{Driver, Step, closed};
use crate::sender::Command;
use crate::{Credentials, LinkConfig, LinkEvent, Target};

/// Wait before the second attempt; it doubles up to the configured maximum.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Wait after a login that the server refused: it will hardly think better of it soon.
const REFUSED_BACKOFF: Duration = Duration::from_secs(15);

pub(crate) async fn run(
    config: LinkConfig,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<LinkEvent>,
    closing: watch::Receiver<bool>,
) {
    let client = Client::new(client_config(&config), rand::random());
    let mut driver = Driver {
        config,
        client,
        commands,
        events,
        closing,
        online: false,
    };
    driver.run().await;
}

fn client_config(config: &LinkConfig) -> ClientConfig {
    let password = match &config.credentials {
        Credentials::Password { user, password } => Some((user.clone(), password.clone())),
        Credentials::Anonymous => None,
    };
    let framing = match config.target {
        Target::WebSocket { .. } => Framing::WebSocket,
        Target::Tcp { .. } | Target::Memory(_) => Framing::Tcp,
    };
    ClientConfig {
        framing,
        resource: config.resource.clone(),
        resume: config.resume,
        keep_alive: config.keep_alive.interval,
        keep_alive_timeout: config.keep_alive.timeout,
        ..ClientConfig::new(&config.domain, password)
    }
}

impl Driver {
    async fn run(&mut self) {
        let mut backoff = Duration::ZERO;
        let mut refused_before = false;
        loop {
            let mut closing = self.closing.clone();
            let (reason, refused) = match self.connection().await {
                Step::Lost(reason) => (reason, false),
                Step::Refused(reason) => (reason, true),
                Step::Close => return,
                Step::StartTls => ("handshake at the wrong time".to_owned(), false),
            };
            self.client.disconnected();
            let domain = &self.config.domain;
            let told = if refused {
                if !refused_before {
                    tracing::warn!(%domain, %reason, "no XMPP stream; trying again now and then");
                }
                self.events.send(LinkEvent::Refused { reason }).await
            } else if self.online {
                self.online = false;
                backoff = Duration::ZERO;
                tracing::info!(%domain, %reason, "XMPP stream lost");
                self.events.send(LinkEvent::Offline { reason }).await
            } else {
                if backoff.is_zero() {
                    tracing::warn!(%domain, %reason, "no XMPP stream yet, trying on");
                } else {
                    tracing::debug!(%domain, %reason, "no XMPP stream yet");
                }
                Ok(())
            };
            if told.is_err() {
                return;
            }
            refused_before = refused;
            let wait = if refused { REFUSED_BACKOFF } else { backoff };
            tokio::select! {
                () = sleep(wait) => {}
                () = closed(&mut closing) => return,
            }
            backoff = (backoff * 2)
                .max(FIRST_BACKOFF)
                .min(self.config.max_backoff);
        }
    }

    /// Connects and drives the connection until it ends.
    async fn connection(&mut self) -> Step {
        match self.config.target.clone() {
            Target::Memory(connector) => match self.memory(&connector).await {
                Ok(step) | Err(step) => step,
            },
            Target::Tcp { host, port, verify } => match self.tcp(&host, port, &verify).await {
                Ok(step) | Err(step) => step,
            },
            Target::WebSocket {
                host,
                port,
                path,
                verify,
            } => match self.web_socket(&host, port, &path, &verify).await {
                Ok(step) | Err(step) => step,
            },
        }
    }
}
