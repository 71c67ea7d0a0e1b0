//! A service's end of a TCP stream, whose socket the tests have in their hands.

use std::sync::Arc;

use stanza::{Element, element, ns};
use stream::client::{Client, ClientConfig, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{DOMAIN, SECRET, TestNode, must};

pub struct Service {
    client: Client,
    socket: TlsStream<TcpStream>,
}

impl Service {
    /// Logs in over STARTTLS, with stream management.
    pub async fn connect(node: &TestNode, user: &str, resource: &str) -> Self {
        let password = xmpp::auth::derive_password(SECRET, user);
        let login = Some((user.to_owned(), password));
        let mut config = ClientConfig::new(&format!("auth.{DOMAIN}"), login);
        config.resource = Some(resource.to_owned());
        let mut client = Client::new(config, [1; 32]);
        let mut socket = must(TcpStream::connect(node.xmpp))
            .await
            .expect("connected");
        client.connect(now(), false);
        while !matches!(client.poll_event(), Some(Event::StartTls)) {
            exchange(&mut client, &mut socket).await;
        }
        let name = rustls::pki_types::ServerName::try_from(DOMAIN).expect("name");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(node.client_tls()));
        let mut socket = must(connector.connect(name, socket)).await.expect("TLS");
        client.tls_started(now());
        while !matches!(client.poll_event(), Some(Event::Online { .. })) {
            exchange(&mut client, &mut socket).await;
        }
        Self { client, socket }
    }

    /// Enters a room, and waits until it is in.
    pub async fn join(&mut self, room: &str, nick: &str) {
        let own = format!("{room}/{nick}");
        let join = element("presence", ns::CLIENT)
            .attr("to", &own)
            .child(element("x", ns::MUC))
            .done();
        self.client.send(now(), &join);
        let is_own = |s: &Element| s.name() == "presence" && s.attr("from") == Some(&own);
        loop {
            match self.client.poll_event() {
                Some(Event::Stanza(stanza)) if is_own(&stanza) => {
                    assert_eq!(stanza.attr("type"), None, "let in");
                    return;
                }
                Some(_) => {}
                None => exchange(&mut self.client, &mut self.socket).await,
            }
        }
    }

    /// Says its last words, ends its stream, all at once, and closes its socket so that the other end can send nothing more.
    pub async fn slam(mut self, words: &[Element]) {
        for stanza in words {
            self.client.send(now(), stanza);
        }
        self.client.close(now());
        let mut bytes = Vec::new();
        while let Some(more) = self.client.poll_transmit() {
            bytes.extend_from_slice(&more);
        }
        let socket = self.socket.get_ref().0;
        socket.set_nodelay(true).expect("no delay");
        socket.set_zero_linger().expect("linger");
        must(self.socket.write_all(&bytes)).await.expect("sent");
        must(self.socket.flush()).await.expect("sent");
    }
}

/// Sends what the client has to say, and gives it what comes next.
async fn exchange<S>(client: &mut Client, socket: &mut S)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(bytes) = client.poll_transmit() {
        must(socket.write_all(&bytes)).await.expect("sent");
    }
    must(socket.flush()).await.expect("sent");
    let mut buffer = [0; 4096];
    let n = must(socket.read(&mut buffer)).await.expect("read");
    assert!(n > 0, "the node closed the connection");
    client.handle_input(now(), &buffer[..n]);
}

fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
