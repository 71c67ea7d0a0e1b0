//! What happens in a world, written down.

use std::net::SocketAddr;

use sim::Datagram;

/// Bytes of the head of a DTLS record (RFC 6347 §4.1).
const RECORD: usize = 13;
/// The content type of handshakes.
const HANDSHAKE: u8 = 22;
/// Messages that are signed: `server_key_exchange` and `certificate_verify`.
const SIGNED: [u8; 2] = [12, 15];

/// What is written down, if anything is.
#[derive(Debug, Default)]
pub(crate) struct Trace(Option<Vec<String>>);

impl Trace {
    pub(crate) fn begin(&mut self) {
        self.0 = Some(Vec::new());
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn note(&mut self, line: String) {
        if let Some(lines) = &mut self.0 {
            lines.push(line);
        }
    }

    pub(crate) fn lines(&self) -> &[String] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// A datagram as it is written down: whose it is, of what kind, how long. Its bytes are encrypted with keys of chance.
pub(crate) fn datagram(datagram: &Datagram) -> String {
    let Datagram { from, to, bytes } = datagram;
    let (from, to): (&SocketAddr, &SocketAddr) = (from, to);
    let first = bytes.first().copied().unwrap_or_default();
    format!("{from} {to} {first} {}", length(bytes))
}

/// The length without signed messages of handshakes: a signature is a byte shorter or longer by chance.
fn length(bytes: &[u8]) -> usize {
    let mut length = bytes.len();
    let mut rest = bytes;
    while let [HANDSHAKE, _, _, 0, 0, ..] = rest
        && let (Some(size), Some(kind)) = (rest.get(11..RECORD), rest.get(RECORD))
    {
        let size = usize::from(size[0]) << 8 | usize::from(size[1]);
        if SIGNED.contains(kind) {
            length = length.saturating_sub(size);
        }
        rest = rest.get(RECORD + size..).unwrap_or_default();
    }
    length
}
