//! The task behind a link: one connection after the other, each driven until it breaks.

mod web_socket;

use std::io;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use stream::Framing;
use stream::client::{Client, ClientConfig, ClientError, Event};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use crate::{Command, Credentials, LinkConfig, LinkEvent, Target, TlsVerify, tls};

/// Wait before the second attempt; it doubles up to the configured maximum.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Wait after a login that the server refused: it will hardly think better of it soon.
const REFUSED_BACKOFF: Duration = Duration::from_secs(15);
/// Bytes that may wait for the socket before commands wait in their queue.
const MAX_OUTPUT: usize = 1024 * 1024;
/// Bytes read at a time.
const READ_BUFFER: usize = 16 * 1024;
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

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
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
            Target::Memory(connector) => match self.attempt(connector.connect()).await {
                Ok(stream) => {
                    self.client.connect(now(), true);
                    self.drive(stream).await.0
                }
                Err(step) => step,
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

    async fn tcp(&mut self, host: &str, port: u16, verify: &TlsVerify) -> Result<Step, Step> {
        let stream = self.attempt(TcpStream::connect((host, port))).await?;
        let _ = stream.set_nodelay(true);
        self.client.connect(now(), false);
        match self.drive(stream).await {
            (Step::StartTls, Some(stream)) => {
                let stream = self
                    .attempt(self.handshake(stream, &self.config.domain, verify))
                    .await?;
                self.client.tls_started(now());
                Ok(self.drive(stream).await.0)
            }
            (step, _) => Ok(step),
        }
    }

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

    /// Carries bytes, events and commands until the stream ends or waits for TLS; gives the stream back then.
    async fn drive<S>(&mut self, stream: S) -> (Step, Option<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let login_deadline = tokio::time::Instant::now() + self.config.connect_timeout;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut output = Output::default();
        let mut buffer = vec![0; READ_BUFFER];
        let mut closing = self.closing.clone();
        let step = loop {
            output.fill(&mut self.client);
            match self.handle_events().await {
                Some(Step::StartTls) => {
                    output.fill(&mut self.client);
                    match output.flush(&mut writer).await {
                        Ok(()) => break Step::StartTls,
                        Err(error) => break Step::Lost(error.to_string()),
                    }
                }
                Some(step) => {
                    output.fill(&mut self.client);
                    let _ = timeout(FLUSH_TIMEOUT, output.flush(&mut writer)).await;
                    let _ = timeout(FLUSH_TIMEOUT, writer.shutdown()).await;
                    break step;
                }
                None => {}
            }
            output.fill(&mut self.client);
            let online = self.client.is_online();
            let due = match self.client.poll_timeout() {
                Some(due) => due.into(),
                None => login_deadline,
            };
            tokio::select! {
                read = reader.read(&mut buffer) => match read {
                    Ok(0) => break Step::Lost("the server closed the connection".to_owned()),
                    Ok(n) => self.client.handle_input(now(), buffer.get(..n).unwrap_or_default()),
                    Err(error) => break Step::Lost(error.to_string()),
                },
                written = writer.write(output.rest()), if !output.is_empty() => match written {
                    Ok(n) => output.advance(n),
                    Err(error) => break Step::Lost(error.to_string()),
                },
                command = self.commands.recv(), if online && output.len() < MAX_OUTPUT => self.obey(command),
                () = closed(&mut closing), if !online => break Step::Close,
                () = sleep_until(due) => {
                    if self.client.poll_timeout().is_none() && !online {
                        break Step::Lost("the server took too long".to_owned());
                    }
                    self.client.handle_timeout(now());
                }
            }
            if output.is_empty() {
                let _ = writer.flush().await;
            }
        };
        let stream = matches!(step, Step::StartTls).then(|| reader.unsplit(writer));
        (step, stream)
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

/// Returns when the link shall end.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Bytes on their way to the socket.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    fn fill(&mut self, client: &mut Client) {
        while let Some(bytes) = client.poll_transmit() {
            self.bytes.extend_from_slice(&bytes);
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.rest().len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    async fn flush<W: AsyncWrite + Unpin>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.rest()).await?;
        self.advance(self.len());
        writer.flush().await
    }
}
