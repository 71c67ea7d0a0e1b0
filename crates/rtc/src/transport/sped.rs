//! DTLS inside STUN (draft-hancke-webrtc-sped): the handshake travels in connectivity checks and their answers, so that it
//! need not wait until a path is validated.
//!
//! Each message may have one DTLS datagram and names those that came lately by their checksums. Who sees neither in the
//! peer's first message knows that it does not do this.

use std::collections::VecDeque;

use is::Sha1HmacProvider as _;

use super::ice::Hmac;
use crate::demux::{MAGIC_COOKIE, STUN_HEADER_LEN};

/// A DTLS datagram (`META-DTLS-IN-STUN`), and checksums of those received (`META-DTLS-IN-STUN-ACKNOWLEDGEMENT`).
const DATA: u16 = 0xC070;
const ACKS: u16 = 0xC071;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const FINGERPRINT: u16 = 0x8028;
/// Lengths of those two, header included, and what the checksum is mixed with (RFC 8489 §14.7).
const INTEGRITY_LEN: usize = 24;
const FINGERPRINT_LEN: usize = 8;
const FINGERPRINT_XOR: u32 = 0x5354_554E;
/// Datagrams that are named as received, the latest.
const MAX_ACKS: usize = 4;
/// Datagrams of a flight that are offered; what is more goes its own way.
const MAX_PENDING: usize = 8;
/// A message with a datagram is no longer than what every path takes, bytes.
const MAX_LEN: usize = 1_232;
/// DTLS content types of a handshake: change cipher spec and handshake (RFC 6347 §4.1).
const HANDSHAKE: std::ops::RangeInclusive<u8> = 20..=22;
/// An alert is none.
const ALERT: u8 = 21;

/// What a STUN message carries of DTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedDtls<'a> {
    /// A DTLS datagram.
    pub data: Option<&'a [u8]>,
    /// CRC-32 checksums of datagrams that the sender has received, big-endian.
    acks: Option<&'a [u8]>,
}

impl<'a> EmbeddedDtls<'a> {
    /// Finds it in a STUN message; nothing where the message is malformed. Nothing is authenticated here.
    pub fn parse(message: &'a [u8]) -> Self {
        let mut found = Self::default();
        for (kind, value, _) in attributes(message) {
            match kind {
                DATA if !value.is_empty() => found.data = Some(value),
                ACKS => found.acks = Some(value),
                _ => {}
            }
        }
        found
    }

    /// Whether the sender says that it has received this datagram.
    pub fn acknowledges(&self, datagram: &[u8]) -> bool {
        let (words, _) = self.acks.unwrap_or_default().as_chunks();
        !words.is_empty() && words.contains(&crc32fast::hash(datagram).to_be_bytes())
    }
}

/// Attributes of a message in order: type, value, and where the attribute begins.
fn attributes(message: &[u8]) -> impl Iterator<Item = (u16, &[u8], usize)> {
    let is_stun = message.get(4..8) == Some(&MAGIC_COOKIE);
    let rest = message.get(STUN_HEADER_LEN..).filter(|_| is_stun);
    let mut rest = rest.unwrap_or_default();
    std::iter::from_fn(move || {
        let begin = message.len() - rest.len();
        let (head, tail) = rest.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = tail.get(..len)?;
        rest = tail.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_be_bytes([head[0], head[1]]), value, begin))
    })
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Peer {
    /// Nothing was heard yet.
    #[default]
    Unknown,
    Embeds,
    /// It does not, or both have what they need.
    Plain,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Embedding {
    peer: Peer,
    received: VecDeque<u32>,
    /// The last flight, as far as the peer has not said that it has it.
    pending: VecDeque<Vec<u8>>,
}

impl Embedding {
    /// Begins with the first message, as browsers do.
    #[cfg(test)]
    pub(super) fn begin(&mut self) {
        self.peer = Peer::Embeds;
    }

    /// Whether the peer's messages carry its handshake, and ours should.
    pub(super) fn is_on(&self) -> bool {
        self.peer == Peer::Embeds
    }

    /// An authentic message of the peer's. `connected`: the handshake is done on our side.
    pub(super) fn heard(&mut self, embedded: EmbeddedDtls<'_>, connected: bool) {
        let none = embedded.data.is_none() && embedded.acks.is_none();
        match self.peer {
            Peer::Unknown if none => self.peer = Peer::Plain,
            Peer::Unknown => self.peer = Peer::Embeds,
            Peer::Embeds | Peer::Plain => {}
        }
        if !self.is_on() {
            return;
        }
        self.pending
            .retain(|datagram| !embedded.acknowledges(datagram));
        if connected && self.pending.is_empty() && embedded.data.is_none() {
            self.peer = Peer::Plain;
        }
    }

    /// A datagram of the peer's handshake was taken, however it came.
    pub(super) fn took(&mut self, datagram: &[u8]) {
        let hash = crc32fast::hash(datagram);
        if self.is_on() && !self.received.contains(&hash) {
            if self.received.len() >= MAX_ACKS {
                self.received.pop_front();
            }
            self.received.push_back(hash);
        }
    }

    /// A flight of ours, or the first part of it, that replaces the one before.
    pub(super) fn offer<'a>(&mut self, flight: impl Iterator<Item = &'a [u8]>) {
        let handshake = |d: &&[u8]| {
            d.first()
                .is_some_and(|t| HANDSHAKE.contains(t) && *t != ALERT)
        };
        let mut fresh = flight.filter(handshake).take(MAX_PENDING).peekable();
        if self.is_on() && fresh.peek().is_some() {
            self.pending = fresh.map(<[u8]>::to_vec).collect();
        }
    }

    /// A check or an answer with what is to be said, signed anew with `key` (RFC 8489 §14.5); `None` where there is nothing
    /// to say.
    pub(super) fn embed(&mut self, message: &[u8], key: &str) -> Option<Vec<u8>> {
        if !self.is_on() {
            return None;
        }
        let end = attributes(message)
            .find(|(kind, ..)| *kind == MESSAGE_INTEGRITY)?
            .2;
        let mut out = message.get(..end)?.to_vec();
        let acks: Vec<u8> = self
            .received
            .iter()
            .flat_map(|ack| ack.to_be_bytes())
            .collect();
        push(&mut out, ACKS, &acks);
        let room = MAX_LEN.saturating_sub(out.len() + 4 + INTEGRITY_LEN + FINGERPRINT_LEN);
        if let Some(datagram) = self.pending.pop_front() {
            if datagram.len().next_multiple_of(4) <= room {
                push(&mut out, DATA, &datagram);
            }
            // The next message has the next one.
            self.pending.push_back(datagram);
        }
        sign(&mut out, key);
        Some(out)
    }
}

fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Adds integrity and fingerprint. The length in the header counts what was added, in turn.
fn sign(message: &mut Vec<u8>, key: &str) {
    set_len(message, INTEGRITY_LEN);
    let hmac = Hmac.sha1_hmac(key.as_bytes(), &[message]);
    push(message, MESSAGE_INTEGRITY, &hmac);
    set_len(message, FINGERPRINT_LEN);
    let checksum = crc32fast::hash(message) ^ FINGERPRINT_XOR;
    push(message, FINGERPRINT, &checksum.to_be_bytes());
}

fn set_len(message: &mut [u8], more: usize) {
    let len = (message.len() + more - STUN_HEADER_LEN) as u16;
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binding request without integrity, which nobody would take.
    fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0];
        message.extend(MAGIC_COOKIE);
        message.extend([7; 12]);
        for (kind, value) in attributes {
            push(&mut message, *kind, value);
        }
        set_len(&mut message, 0);
        message
    }

    fn on() -> Embedding {
        let mut embedding = Embedding::default();
        embedding.begin();
        embedding
    }

    #[test]
    fn what_is_embedded_is_found_and_signed() {
        let mut embedding = on();
        let theirs = [22; 90];
        embedding.took(&theirs);
        embedding.offer([&[22u8; 301][..], &[21; 9], &[20; 30]].into_iter());
        let mut check = message(&[(6, b"them:us"), (0x24, &[0; 4])]);
        sign(&mut check, "password");
        let embedded = embedding.embed(&check, "password").unwrap();
        let parsed = is::stun::StunMessage::parse(&embedded).unwrap();
        assert!(parsed.verify(b"password", |key, parts| Hmac.sha1_hmac(key, parts)));
        let found = EmbeddedDtls::parse(&embedded);
        assert_eq!(found.data, Some(&[22; 301][..]));
        assert!(found.acknowledges(&theirs) && !found.acknowledges(&[22; 91]));
        let next = embedding.embed(&check, "password").unwrap();
        assert_eq!(
            EmbeddedDtls::parse(&next).data,
            Some(&[20; 30][..]),
            "no alerts"
        );
    }

    #[test]
    fn what_the_peer_has_is_not_sent_again_and_what_is_done_ends() {
        let mut embedding = on();
        embedding.offer([&[22u8; 300][..]].into_iter());
        let acks = crc32fast::hash(&[22; 300]).to_be_bytes();
        let answer = message(&[(DATA, &[22; 20]), (ACKS, &acks)]);
        embedding.heard(EmbeddedDtls::parse(&answer), true);
        assert!(embedding.is_on(), "the peer still says something");
        let mut check = message(&[]);
        sign(&mut check, "p");
        let embedded = embedding.embed(&check, "p").unwrap();
        assert_eq!(EmbeddedDtls::parse(&embedded).data, None);
        embedding.heard(EmbeddedDtls::parse(&message(&[(ACKS, &acks)])), true);
        assert_eq!(embedding.embed(&check, "p"), None);
    }

    #[test]
    fn who_says_nothing_of_it_hears_nothing_of_it() {
        let mut embedding = Embedding::default();
        let mut check = message(&[]);
        sign(&mut check, "p");
        assert_eq!(embedding.embed(&check, "p"), None);
        embedding.heard(EmbeddedDtls::parse(&check), false);
        embedding.heard(EmbeddedDtls::parse(&message(&[(ACKS, &[])])), false);
        assert_eq!(
            embedding.embed(&check, "p"),
            None,
            "it does not begin later"
        );
        let mut other = Embedding::default();
        other.heard(EmbeddedDtls::parse(&message(&[(ACKS, &[])])), false);
        assert!(other.is_on(), "an empty list is enough");
    }

    #[test]
    fn what_does_not_fit_goes_its_own_way() {
        let mut embedding = on();
        embedding.offer([&[22u8; 1_200][..]].into_iter());
        let mut check = message(&[(6, b"them:us")]);
        sign(&mut check, "p");
        let embedded = embedding.embed(&check, "p").unwrap();
        assert_eq!(EmbeddedDtls::parse(&embedded).data, None);
        assert!(embedded.len() < 200);
    }

    #[test]
    fn lists_have_ends() {
        let mut embedding = on();
        for n in 0..100u8 {
            embedding.took(&[22, n]);
        }
        assert_eq!(embedding.received.len(), MAX_ACKS);
        let flight: Vec<Vec<u8>> = (0..100u8).map(|n| vec![22, n]).collect();
        embedding.offer(flight.iter().map(Vec::as_slice));
        assert_eq!(embedding.pending.len(), MAX_PENDING);
    }
}
