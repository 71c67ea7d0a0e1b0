//! A stream over bytes: TCP with STARTTLS, or memory.

use std::io;

use stream::client::Client;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::{Driver, FLUSH_TIMEOUT, Step, closed, now};
use crate::{MemoryConnector, TlsVerify};

/// Bytes that may wait for the socket before commands wait in their queue.
const MAX_OUTPUT: usize = 1024 * 1024;
/// Bytes read at a time.
const READ_BUFFER: usize = 16 * 1024;

impl Driver {
    pub(super) async fn memory(&mut self, connector: &MemoryConnector) -> Result<Step, Step> {
        let stream = self.attempt(connector.connect()).await?;
        self.client.connect(now(), true);
        Ok(self.drive(stream).await.0)
    }

    pub(super) async fn tcp(
        &mut self,
        host: &str,
        port: u16,
        verify: &TlsVerify,
    ) -> Result<Step, Step> {
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
                    let _ = timeout(FLUSH_TIMEOUT, async {
                        let _ = writer.shutdown().await;
                        // A socket that is closed with something unread takes what it sent last with it. Who lost the
                        // server does not wait for it.
                        while matches!(step, Step::Close)
                            && let Ok(1..) = reader.read(&mut buffer).await
                        {
                        }
                    })
                    .await;
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
