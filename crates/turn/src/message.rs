//! STUN messages (RFC 8489) and channel data as they stand in a stream (RFC 8656 §2.1, §12.4).

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;

/// Longest message taken from a client or a peer, bytes.
pub const MAX_MESSAGE: usize = 4_096;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const HEADER: usize = 20;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const INTEGRITY_LEN: usize = 20;

/// What came is no message of TURN; where the next one would begin is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of TURN, or one that is too long")]
pub struct BadStream;

/// Whether a stream begins like TURN: with a STUN request. No request of HTTP does.
pub fn begins_with_message(first: u8) -> bool {
    first == 0
}

/// How long the first message of `bytes` is, with its padding; `None` if its head is not there yet.
///
/// # Errors
/// [`BadStream`].
pub fn message_len(bytes: &[u8]) -> Result<Option<usize>, BadStream> {
    let Some(([b0, _, l0, l1], _)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes([*l0, *l1]));
    let whole = match b0 {
        0..=3 if len.is_multiple_of(4) => HEADER + len,
        0x40..=0x4f => 4 + len.next_multiple_of(4),
        _ => return Err(BadStream),
    };
    if whole > MAX_MESSAGE {
        return Err(BadStream);
    }
    Ok(Some(whole))
}

/// Number and data of channel data.
pub(crate) fn channel_data(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let ([c0, c1, l0, l1], rest) = bytes.split_first_chunk::<4>()?;
    let data = rest.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?;
    (0x40..=0x4f)
        .contains(c0)
        .then_some((u16::from_be_bytes([*c0, *c1]), data))
}

/// Channel data with its padding.
pub(crate) fn write_channel_data(number: u16, data: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(data.len()).ok()?;
    let mut out = Vec::with_capacity(4 + data.len().next_multiple_of(4));
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(data);
    out.resize(4 + data.len().next_multiple_of(4), 0);
    Some(out)
}

/// A STUN message that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
    pub(crate) kind: u16,
    pub(crate) id: [u8; 12],
}

impl<'a> Message<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = bytes.split_first_chunk::<HEADER>()?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let id = *head[8..].first_chunk()?;
        let good = kind < 0x4000 && head[4..8] == COOKIE && len == body.len();
        good.then_some(Self { bytes, kind, id })
    }

    /// Attributes with their places, up to the one that ends what is protected.
    fn attributes(&self) -> impl Iterator<Item = (usize, u16, &'a [u8])> {
        let bytes = self.bytes;
        let mut at = HEADER;
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let ([t0, t1, l0, l1], rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
            let kind = u16::from_be_bytes([*t0, *t1]);
            let len = usize::from(u16::from_be_bytes([*l0, *l1]));
            let value = rest.get(..len)?;
            let place = at;
            at += 4 + len.next_multiple_of(4);
            ended = kind == MESSAGE_INTEGRITY;
            Some((place, kind, value))
        })
    }

    pub(crate) fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        self.attributes()
            .find(|(_, kind, _)| *kind == wanted)
            .map(|(_, _, value)| value)
    }

    pub(crate) fn text(&self, wanted: u16) -> Option<&'a str> {
        std::str::from_utf8(self.attribute(wanted)?).ok()
    }

    pub(crate) fn number(&self, wanted: u16) -> Option<u32> {
        Some(u32::from_be_bytes(*self.attribute(wanted)?.first_chunk()?))
    }

    /// All addresses in attributes of this kind.
    pub(crate) fn addresses(&self, wanted: u16) -> impl Iterator<Item = Option<SocketAddr>> {
        let id = self.id;
        self.attributes()
            .filter(move |(_, kind, _)| *kind == wanted)
            .map(move |(_, _, value)| read_address(value, &id))
    }

    /// Whether the message was protected with this key.
    pub(crate) fn is_authentic(&self, key: &[u8]) -> bool {
        let protected = self
            .attributes()
            .find(|(_, kind, _)| *kind == MESSAGE_INTEGRITY);
        let Some((at, _, tag)) = protected else {
            return false;
        };
        let Some(covered) = self.bytes.get(..at) else {
            return false;
        };
        // The length in the head is that of a message that ends with this attribute.
        let Ok(len) = u16::try_from(at - HEADER + 4 + INTEGRITY_LEN) else {
            return false;
        };
        let mut copy = covered.to_vec();
        copy[2..4].copy_from_slice(&len.to_be_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        hmac::verify(&key, &copy, tag).is_ok()
    }
}

fn mask(id: &[u8; 12]) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE);
    mask[4..].copy_from_slice(id);
    mask
}

fn read_address(value: &[u8], id: &[u8; 12]) -> Option<SocketAddr> {
    let ([_, family, p0, p1], ip) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([*p0, *p1]) ^ 0x2112;
    let mask = mask(id);
    let ip: IpAddr = match (family, ip.len()) {
        (1, 4) => std::array::from_fn::<u8, 4, _>(|i| ip[i] ^ mask[i]).into(),
        (2, 16) => std::array::from_fn::<u8, 16, _>(|i| ip[i] ^ mask[i]).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A STUN message that is written.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    id: [u8; 12],
}

impl Writer {
    pub(crate) fn new(kind: u16, id: [u8; 12]) -> Self {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&COOKIE);
        out.extend_from_slice(&id);
        Self { out, id }
    }

    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let len = u16::try_from(value.len()).unwrap_or(0);
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&len.to_be_bytes());
        self.out
            .extend_from_slice(value.get(..usize::from(len)).unwrap_or_default());
        self.out.resize(self.out.len().next_multiple_of(4), 0);
        self.with_len(0)
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub(crate) fn address(self, kind: u16, address: SocketAddr) -> Self {
        let mask = mask(&self.id);
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let family = if ip.len() == 4 { 1 } else { 2 };
        let mut value = vec![0, family];
        value.extend_from_slice(&(address.port() ^ 0x2112).to_be_bytes());
        value.extend(ip.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        self.attribute(kind, &value)
    }

    fn with_len(mut self, more: usize) -> Self {
        let len = u16::try_from(self.out.len() - HEADER + more).unwrap_or(0);
        self.out[2..4].copy_from_slice(&len.to_be_bytes());
        self
    }

    pub(crate) fn plain(self) -> Vec<u8> {
        self.out
    }

    /// Protects it with a key.
    pub(crate) fn protected(self, key: &[u8]) -> Vec<u8> {
        let this = self.with_len(4 + INTEGRITY_LEN);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let tag = hmac::sign(&key, &this.out);
        this.attribute(MESSAGE_INTEGRITY, tag.as_ref()).out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        let id = [7; 12];
        for address in ["9.8.7.6:5", "[2606::1]:65535"].map(|a| a.parse().unwrap()) {
            let bytes = Writer::new(3, id)
                .attribute(0x8022, b"abc")
                .address(0x12, address)
                .number(0x0d, 600)
                .protected(b"key");
            assert_eq!(message_len(&bytes), Ok(Some(bytes.len())));
            let message = Message::parse(&bytes).unwrap();
            assert_eq!((message.kind, message.id), (3, id));
            assert_eq!(message.text(0x8022), Some("abc"));
            assert_eq!(message.number(0x0d), Some(600));
            let found: Vec<_> = message.addresses(0x12).collect();
            assert_eq!(found, [Some(address)]);
            assert!(message.is_authentic(b"key") && !message.is_authentic(b"other"));
            let mut bent = bytes.clone();
            bent[25] ^= 1;
            assert!(!Message::parse(&bent).unwrap().is_authentic(b"key"));
        }
        let data = write_channel_data(0x4001, b"hello").unwrap();
        assert_eq!(message_len(&data), Ok(Some(12)));
        assert_eq!(channel_data(&data), Some((0x4001, &b"hello"[..])));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120), stun: bool) {
            let mut bytes = bytes;
            if stun && bytes.len() >= HEADER {
                let len = (bytes.len() - HEADER) as u16;
                bytes[..2].copy_from_slice(&[0, 3]);
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
                bytes[4..8].copy_from_slice(&COOKIE);
            }
            if let Ok(Some(len)) = message_len(&bytes) {
                assert!((4..=MAX_MESSAGE).contains(&len));
            }
            if let Some(message) = Message::parse(&bytes) {
                assert!(!message.is_authentic(b"key"));
                let _ = message.addresses(0x12).count();
            }
            let _ = channel_data(&bytes);
        }
    }
}
