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
/// Wait after a login that the server refused, at first and at most: an account may have been made a moment ago, but after that
/// it will hardly think better of it soon.
const REFUSED_BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// Wait after somebody else was found to have our address: at first, and at most. Whoever comes back takes the address from
/// the other one on many servers, so it must not be often.
const TAKEN_BACKOFF: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(300));

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
        let mut taken_backoff = TAKEN_BACKOFF.0;
        let mut refused_backoff = REFUSED_BACKOFF.0;
        loop {
            let mut closing = self.closing.clone();
            let step = self.connection().await;
            self.client.disconnected();
            let domain = self.config.domain.clone();
            let was_online = std::mem::take(&mut self.online);
            let (event, wait) = match step {
                Step::Close => return,
                Step::Refused(reason) => {
                    tracing::debug!(%domain, %reason, "no XMPP stream; trying again now and then");
                    let wait = refused_backoff;
                    refused_backoff = (wait * 2).min(REFUSED_BACKOFF.1);
                    (LinkEvent::Refused { reason }, wait)
                }
                Step::Taken(reason) => {
                    let wait = if self.config.yields {
                        taken_backoff
                    } else {
                        backoff
                    };
                    taken_backoff = (taken_backoff * 2).min(TAKEN_BACKOFF.1);
                    if was_online
                        && !self
                            .tell(LinkEvent::Offline {
                                reason: reason.clone(),
                            })
                            .await
                    {
                        return;
                    }
                    (LinkEvent::Taken { reason }, wait)
                }
                Step::Lost(reason) if was_online => {
                    (backoff, taken_backoff) = (Duration::ZERO, TAKEN_BACKOFF.0);
                    refused_backoff = REFUSED_BACKOFF.0;
                    tracing::info!(%domain, %reason, "XMPP stream lost");
                    (LinkEvent::Offline { reason }, backoff)
                }
                Step::Lost(reason) => {
                    tracing::debug!(%domain, %reason, "no XMPP stream yet, trying on");
                    (LinkEvent::Unreachable { reason }, backoff)
                }
                Step::StartTls => {
                    let reason = "handshake at the wrong time".to_owned();
                    (LinkEvent::Unreachable { reason }, backoff)
                }
            };
            if !self.tell(event).await {
                return;
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = closed(&mut closing) => return,
            }
            backoff = (backoff * 2)
                .max(FIRST_BACKOFF)
                .min(self.config.max_backoff);
        }
    }

    /// Whether anybody listens still.
    async fn tell(&self, event: LinkEvent) -> bool {
        self.events.send(event).await.is_ok()
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
