//! Streams over byte transports: TCP with STARTTLS, and memory.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use stream::Framing;
use stream::server::{Security, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::gate::Place;
use crate::hub::Inbox;
use crate::now;
use crate::peer::{Context, Next, Peer};

/// Bytes read at a time.
const READ_BUFFER: usize = 16 * 1024;
/// Bytes that may wait for the socket before the hub's replies wait in their queue.
const MAX_OUTPUT: usize = 256 * 1024;
/// How long the last bytes of a stream, or a handshake, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Accepts TCP connections until the node stops.
pub(crate) async fn serve_tcp(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    context: Context,
) {
    let mut stopping = context.stopping.clone();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: wait for connections to end instead of spinning.
                    tracing::warn!(%error, "cannot accept an XMPP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = crate::stopped(&mut stopping) => return,
        };
        let Some(place) = context.gate.enter() else {
            context.metrics.refused("too-many-connections");
            continue;
        };
        tokio::spawn(tcp(stream, Arc::clone(&tls), context.clone(), place));
    }
}

/// Accepts streams from inside the process until the node stops.
pub(crate) async fn serve_memory(mut listener: link::MemoryListener, context: Context) {
    let mut stopping = context.stopping.clone();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Some(stream) => stream,
                None => return,
            },
            () = crate::stopped(&mut stopping) => return,
        };
        let Some(place) = context.gate.enter() else {
            context.metrics.refused("too-many-connections");
            continue;
        };
        let context = context.clone();
        tokio::spawn(async move {
            let _open = context.metrics.connection("memory");
            let mut connection = ByteConnection::new(&context, Security::Secure, place).await;
            connection.drive(stream).await;
            connection.peer.finish().await;
        });
    }
}

async fn tcp(stream: TcpStream, tls: Arc<rustls::ServerConfig>, context: Context, place: Place) {
    let _open = context.metrics.connection("tcp");
    let _ = stream.set_nodelay(true);
    let mut connection = ByteConnection::new(&context, Security::StartTls, place).await;
    if let Some(stream) = connection.drive(stream).await {
        match timeout(PATIENCE, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => {
                connection.server.tls_started(now());
                connection.drive(stream).await;
            }
            Ok(Err(error)) => {
                context.metrics.refused("tls");
                tracing::debug!(%error, "TLS handshake failed");
            }
            Err(_) => context.metrics.refused("tls"),
        }
    }
    connection.peer.finish().await;
}

struct ByteConnection {
    server: Server,
    peer: Peer,
    inbox: Inbox,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl ByteConnection {
    async fn new(context: &Context, security: Security, place: Place) -> Self {
        let (peer, inbox) = Peer::service(context, place.stranger).await;
        let streams = Arc::clone(&context.streams);
        let server = Server::new(streams, Framing::Tcp, security, now(), rand::random());
        Self {
            server,
            peer,
            inbox,
            _place: place.connection,
        }
    }

    /// Carries bytes until the stream ends or waits for TLS; gives the transport back then.
    async fn drive<S>(&mut self, stream: S) -> Option<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        match self.carry(&mut reader, &mut writer).await {
            Ok(Next::StartTls) => return Some(reader.unsplit(writer)),
            Ok(Next::Finish) => {
                let _ = timeout(PATIENCE, writer.shutdown()).await;
                // Closing with unread input would make the system discard what was just sent.
                let mut rest = [0; 1024];
                let _ = timeout(PATIENCE, async {
                    while reader.read(&mut rest).await.is_ok_and(|n| n > 0) {}
                })
                .await;
            }
            Ok(_) | Err(_) => {}
        }
        None
    }

    async fn carry<R, W>(&mut self, reader: &mut R, writer: &mut W) -> io::Result<Next>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut buffer = vec![0; READ_BUFFER];
        let mut output = Vec::new();
        let mut sent = 0;
        let overflow = self.inbox.overflow();
        tokio::pin!(overflow);
        loop {
            let next = self.handle_events().await;
            self.fill(&mut output);
            if next != Next::Continue {
                let rest = output.get(sent..).unwrap_or_default();
                let _ = timeout(PATIENCE, async {
                    writer.write_all(rest).await?;
                    writer.flush().await
                })
                .await;
                return Ok(next);
            }
            let pause = self.peer.paused_until();
            let due = [self.server.poll_timeout(), pause]
                .into_iter()
                .flatten()
                .min();
            let reading = self.server.wants_input() && pause.is_none();
            let waiting = output.len() - sent;
            tokio::select! {
                read = reader.read(&mut buffer), if reading => match read? {
                    0 => return Ok(Next::Drop),
                    n => {
                        let bytes = buffer.get(..n).unwrap_or_default();
                        if bytes.iter().all(u8::is_ascii_whitespace) {
                            self.peer.heard().await;
                        }
                        self.server.handle_input(now(), bytes);
                    }
                },
                written = writer.write(output.get(sent..).unwrap_or_default()), if waiting > 0 => {
                    sent += written?;
                    if sent == output.len() {
                        output.clear();
                        sent = 0;
                        writer.flush().await?;
                    }
                }
                reply = self.inbox.recv(), if waiting < MAX_OUTPUT => match self.on_replies(reply) {
                    Next::Continue => {}
                    next => return Ok(next),
                },
                () = &mut overflow => return Ok(Next::Drop),
                () = async { sleep_until(due.unwrap_or_else(now).into()).await }, if due.is_some() => {
                    self.server.handle_timeout(now());
                }
            }
        }
    }

    async fn handle_events(&mut self) -> Next {
        while let Some(event) = self.server.poll_event() {
            match self.peer.on_event(event).await {
                Next::Continue => {}
                next => return next,
            }
        }
        Next::Continue
    }

    fn fill(&mut self, output: &mut Vec<u8>) {
        while let Some(bytes) = self.server.poll_transmit() {
            output.extend_from_slice(&bytes);
        }
    }

    /// Takes a reply and those behind it.
    fn on_replies(&mut self, reply: Option<crate::hub::Reply>) -> Next {
        let Some(mut reply) = reply else {
            return Next::Drop;
        };
        let mut budget = 128;
        loop {
            match self.peer.on_reply(&mut self.server, reply) {
                Next::Continue => {}
                next => return next,
            }
            budget -= 1;
            match self.inbox.try_recv() {
                Some(following) if budget > 0 => reply = following,
                Some(following) => return self.peer.on_reply(&mut self.server, following),
                None => return Next::Continue,
            }
        }
    }
}
