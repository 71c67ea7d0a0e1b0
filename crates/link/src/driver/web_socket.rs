//! A stream over a WebSocket: one message for each element (RFC 7395).

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Driver, FLUSH_TIMEOUT, Step, closed, now, other};
use crate::TlsVerify;

impl Driver {
    pub(super) async fn web_socket(
        &mut self,
        host: &str,
        port: u16,
        path: &str,
        verify: &TlsVerify,
    ) -> Result<Step, Step> {
        let stream = self.attempt(TcpStream::connect((host, port))).await?;
        let _ = stream.set_nodelay(true);
        let stream = self.attempt(self.handshake(stream, host, verify)).await?;
        let request = async {
            let previd = self.client.resume_id().map(|id| {
                let sign = if path.contains('?') { '&' } else { '?' };
                format!("{sign}previd={id}")
            });
            let previd = previd.unwrap_or_default();
            let mut request = format!("wss://{host}:{port}{path}{previd}")
                .into_client_request()
                .map_err(other)?;
            request
                .headers_mut()
                .insert("sec-websocket-protocol", HeaderValue::from_static("xmpp"));
            let (socket, _) = client_async(request, stream).await.map_err(other)?;
            Ok(socket)
        };
        let mut socket = self.attempt(request).await?;
        self.client.connect(now(), true);
        let step = self.drive_messages(&mut socket).await;
        let _ = timeout(FLUSH_TIMEOUT, self.flush_messages(&mut socket)).await;
        let _ = timeout(FLUSH_TIMEOUT, async {
            let _ = socket.close(None).await;
            // A socket that is closed with something unread takes what it sent last with it. Who lost the server does not
            // wait for it.
            while matches!(step, Step::Close)
                && let Some(Ok(_)) = socket.next().await
            {}
        })
        .await;
        Ok(step)
    }

    /// Carries messages, events and commands until the stream ends.
    async fn drive_messages<S>(&mut self, socket: &mut WebSocketStream<S>) -> Step
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let login_deadline = tokio::time::Instant::now() + self.config.connect_timeout;
        let mut closing = self.closing.clone();
        loop {
            if let Some(step) = self.handle_events().await {
                return step;
            }
            if let Err(error) = self.flush_messages(socket).await {
                return Step::Lost(error.to_string());
            }
            let online = self.client.is_online();
            let due = match self.client.poll_timeout() {
                Some(due) => due.into(),
                None => login_deadline,
            };
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.client.handle_input(now(), text.as_bytes()),
                    Some(Ok(Message::Close(_))) | None => {
                        return Step::Lost("the server closed the connection".to_owned());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Step::Lost(error.to_string()),
                },
                command = self.commands.recv(), if online => self.obey(command),
                () = closed(&mut closing), if !online => return Step::Close,
                () = sleep_until(due) => {
                    if self.client.poll_timeout().is_none() && !online {
                        return Step::Lost("the server took too long".to_owned());
                    }
                    self.client.handle_timeout(now());
                }
            }
        }
    }

    async fn flush_messages<S>(&mut self, socket: &mut WebSocketStream<S>) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some(bytes) = self.client.poll_transmit() {
            // The client writes nothing but text.
            let text = String::from_utf8(bytes).unwrap_or_default();
            socket.feed(Message::text(text)).await?;
        }
        socket.flush().await
    }
}
