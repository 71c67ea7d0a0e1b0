//! Streams inside one process: the same bytes as on a socket, without the socket.

use std::fmt;
use std::io;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// Bytes that may be under way in one direction before a writer waits.
const BUFFER: usize = 64 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 16;

/// Opens streams to the [`MemoryListener`] it was made with.
#[derive(Clone)]
pub struct MemoryConnector {
    backlog: mpsc::Sender<DuplexStream>,
}

impl fmt::Debug for MemoryConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryConnector")
    }
}

impl MemoryConnector {
    /// Opens a stream.
    ///
    /// # Errors
    /// `ConnectionRefused` when nobody listens any more.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        self.backlog
            .send(theirs)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(ours)
    }
}

/// Accepts what its [`MemoryConnector`]s open.
#[derive(Debug)]
pub struct MemoryListener {
    backlog: mpsc::Receiver<DuplexStream>,
}

impl MemoryListener {
    /// The next stream; `None` when all connectors are gone.
    pub async fn accept(&mut self) -> Option<DuplexStream> {
        self.backlog.recv().await
    }
}

/// A connector and the listener it leads to.
#[must_use]
pub fn memory() -> (MemoryConnector, MemoryListener) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    (
        MemoryConnector { backlog: sender },
        MemoryListener { backlog: receiver },
    )
}
