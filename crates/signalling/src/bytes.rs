//! Streams over byte transports: TCP with STARTTLS, and memory.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stream::Framing;
use stream::server::{Event, Security, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use xmpp::Door;

use crate::brake::Attempts;
use crate::gate::{Open, Place};
use crate::now;
use crate::peer::{Context, Next, Peer};
use crate::server_task::{Inbox, Reply};
use crate::visitor::Visitor;

/// Bytes read at a time.
const READ_BUFFER: usize = 16 * 1024;
/// Bytes that may wait for the socket before the server task's replies wait in their queue.
const MAX_OUTPUT: usize = 256 * 1024;
/// What a peer hears whose address is not allowed.
const NOT_ALLOWED: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:error>\
    <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
    <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>this address may not connect (signalling.xmpp_allow)</text>\
    </stream:error></stream:stream>";
/// Time between two words to the operator about such peers.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How long the last bytes of a stream, or a handshake, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Accepts TCP connections until the node stops.
pub(crate) async fn serve_tcp(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    allow: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    context: Context,
) {
    let mut stopping = context.stopping.clone();
    let mut said = None;
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) if allow(address.ip()) => (stream, address.ip()),
                Ok((stream, address)) => {
                    context.metrics.refused("address");
                    turn_away(&stream, address.ip(), &mut said);
                    continue;
                }
                Err(error) => {
                    // Out of descriptors, most likely: wait for connections to end instead of spinning.
                    tracing::warn!(%error, "cannot accept an XMPP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = crate::stopped(&mut stopping) => return,
        };
        let place = match context.service_gate.enter(now(), Some(address.into())) {
            Ok(place) => place,
            Err(reason) => {
                context.metrics.refused(reason);
                continue;
            }
        };
        let guest = Guest {
            attempts: context.brake.attempts(address),
            visitor: context.doorkeeper.visitor(address),
        };
        let tls = Arc::clone(&tls);
        tokio::spawn(tcp(stream, tls, context.clone(), place, guest));
    }
}

/// Who comes from another machine.
struct Guest {
    attempts: Attempts,
    visitor: Visitor,
}

/// Tells a peer whose address is not allowed, and now and then the operator.
fn turn_away(stream: &TcpStream, address: IpAddr, said: &mut Option<Instant>) {
    // As much as the socket takes at once: nobody waits for a stranger.
    let _ = stream.try_write(NOT_ALLOWED);
    if said.is_none_or(|said| said + SAY_AGAIN <= now()) {
        *said = Some(now());
        tracing::warn!(
            "an XMPP connection from {address} was refused: its address is not in signalling.xmpp_allow"
        );
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
        let place = match context.process_gate.enter(now(), None) {
            Ok(place) => place,
            Err(reason) => {
                context.metrics.refused(reason);
                continue;
            }
        };
        let context = context.clone();
        tokio::spawn(async move {
            let _open = context.metrics.connection("memory");
            let mut connection = ByteConnection::new(&context, Door::Process, place).await;
            connection.drive(stream).await;
            connection.finish().await;
        });
    }
}

async fn tcp(
    stream: TcpStream,
    tls: Arc<rustls::ServerConfig>,
    context: Context,
    place: Place,
    guest: Guest,
) {
    let _open = context.metrics.connection("tcp");
    let _ = stream.set_nodelay(true);
    let mut connection = ByteConnection::new(&context, Door::Service, place).await;
    connection.attempts = Some(guest.attempts);
    connection.visitor = Some(guest.visitor);
    if let Some(stream) = connection.drive(stream).await {
        let evicted = connection.peer.evicted();
        let accept = async {
            tokio::select! {
                done = timeout(PATIENCE, TlsAcceptor::from(tls).accept(stream)) => Some(done),
                () = evicted => None,
            }
        };
        let Some(done) = accept.await else {
            connection.peer.made_room();
            return connection.finish().await;
        };
        match done {
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
    connection.finish().await;
}

struct ByteConnection {
    server: Server,
    peer: Peer,
    /// Logins of the peer's address, where others could guess passwords.
    attempts: Option<Attempts>,
    /// What operators read of it, if it comes from elsewhere.
    visitor: Option<Visitor>,
    inbox: Inbox,
    _place: Open,
}

impl ByteConnection {
    async fn new(context: &Context, door: Door, place: Place) -> Self {
        let (peer, inbox) = Peer::service(context, door, place.stranger).await;
        let (streams, security) = match door {
            Door::Process => (&context.streams.process, Security::Secure),
            Door::Service | Door::Web => (&context.streams.service, Security::StartTls),
        };
        let streams = Arc::clone(streams);
        let server = Server::new(streams, Framing::Tcp, security, now(), rand::random());
        Self {
            server,
            peer,
            attempts: None,
            visitor: None,
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
            Ok(_) => {}
            Err(_) => self.hear_out(&mut reader).await,
        }
        None
    }

    /// What the peer sent before its connection was gone counts, its farewell most of all: without it, its session would
    /// wait for it.
    async fn hear_out<R: AsyncRead + Unpin>(&mut self, reader: &mut R) {
        let mut buffer = vec![0; READ_BUFFER];
        let heard = async {
            while self.server.wants_input()
                && let Ok(n @ 1..) = reader.read(&mut buffer).await
            {
                let bytes = buffer.get(..n).unwrap_or_default();
                self.server.handle_input(now(), bytes);
                if self.handle_events().await != Next::Continue {
                    return;
                }
            }
        };
        let _ = timeout(PATIENCE, heard).await;
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
        let evicted = self.peer.evicted();
        tokio::pin!(overflow, evicted);
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
                        self.peer.charge(n);
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
                () = &mut evicted => return Ok(self.peer.made_room()),
                () = async { sleep_until(due.unwrap_or_else(now).into()).await }, if due.is_some() => {
                    self.server.handle_timeout(now());
                }
            }
        }
    }

    async fn handle_events(&mut self) -> Next {
        while let Some(event) = self.server.poll_event() {
            if let (Event::Lookup { .. }, Some(attempts)) = (&event, &mut self.attempts)
                && !attempts.begin().await
            {
                return Next::Drop;
            }
            if let Some(visitor) = &mut self.visitor {
                visitor.on_event(&event);
            }
            match self.peer.on_event(event).await {
                Next::Continue => {}
                next => return next,
            }
        }
        if self.server.is_authenticated()
            && let Some(mut attempts) = self.attempts.take()
        {
            attempts.succeeded(now());
        }
        Next::Continue
    }

    fn fill(&mut self, output: &mut Vec<u8>) {
        while let Some(bytes) = self.server.poll_transmit() {
            output.extend_from_slice(&bytes);
        }
    }

    /// Takes a reply and those behind it.
    fn on_replies(&mut self, reply: Option<Reply>) -> Next {
        let Some(mut reply) = reply else {
            return Next::Drop;
        };
        let mut budget = 128;
        loop {
            match self.on_reply(reply) {
                Next::Continue => {}
                next => return next,
            }
            budget -= 1;
            match self.inbox.try_recv() {
                Some(following) if budget > 0 => reply = following,
                Some(following) => return self.on_reply(following),
                None => return Next::Continue,
            }
        }
    }

    fn on_reply(&mut self, reply: Reply) -> Next {
        if let Some(visitor) = &mut self.visitor {
            visitor.on_reply(&reply);
        }
        self.peer.on_reply(&mut self.server, reply)
    }

    /// The connection is over.
    async fn finish(self) {
        if let Some(visitor) = self.visitor {
            visitor.went();
        }
        self.peer.finish().await;
    }
}
