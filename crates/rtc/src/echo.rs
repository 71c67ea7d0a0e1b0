//! A plain STUN server, stateless: says to whoever asks from where they come (RFC 8489 §12, "basic server behaviour").
//!
//! Bridges ask each other so whether a media port still answers. ICE's own checks carry a user name and are not answered here.

use std::net::{IpAddr, SocketAddr};

use crate::demux::{MAGIC_COOKIE, STUN_HEADER_LEN};

const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];
/// A comment that does nothing, from the range of attributes that may be ignored: the question is as long as the longest
/// answer, so that nobody gets more sent to a third party than they send.
const PADDING: [u8; 2] = [0x80, 0x22];
/// Length of a question, and of the longest answer: an IPv6 address.
const LEN: usize = 44;

/// Name of one question, which its answer repeats.
pub type Transaction = [u8; 12];

/// A question.
pub fn question(transaction: &Transaction) -> [u8; LEN] {
    let mut message = [b' '; LEN];
    let attributes = LEN - STUN_HEADER_LEN;
    put_header(&mut message, BINDING_REQUEST, attributes, transaction);
    message[20..22].copy_from_slice(&PADDING);
    // Lengths here are far below 2^16.
    message[22..24].copy_from_slice(&((attributes - 4) as u16).to_be_bytes());
    message
}

/// The answer to a question from `from`, and its length; nothing if it is no question, or a shorter one.
pub fn answer(datagram: &[u8], from: SocketAddr) -> Option<([u8; LEN], usize)> {
    let is_question = datagram.len() == LEN
        && datagram.get(..2)? == BINDING_REQUEST
        && datagram.get(4..8)? == MAGIC_COOKIE
        && datagram.get(20..22)? == PADDING;
    if !is_question {
        return None;
    }
    let transaction: Transaction = datagram.get(8..20)?.try_into().ok()?;
    let mut message = [0; LEN];
    let (family, octets, count) = match from.ip() {
        IpAddr::V4(ip) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&ip.octets());
            (1, octets, 4)
        }
        IpAddr::V6(ip) => (2, ip.octets(), 16),
    };
    let len = STUN_HEADER_LEN + 8 + count;
    put_header(&mut message, BINDING_SUCCESS, 8 + count, &transaction);
    message[20..22].copy_from_slice(&XOR_MAPPED_ADDRESS);
    message[22..24].copy_from_slice(&((4 + count) as u16).to_be_bytes());
    message[25] = family;
    let mask: Vec<u8> = MAGIC_COOKIE.iter().chain(&transaction).copied().collect();
    let port = from.port().to_be_bytes();
    message[26] = port[0] ^ mask[0];
    message[27] = port[1] ^ mask[1];
    for ((to, octet), mask) in message[28..].iter_mut().zip(&octets[..count]).zip(&mask) {
        *to = octet ^ mask;
    }
    Some((message, len))
}

/// Whether a datagram answers the question of this name.
pub fn is_answer(datagram: &[u8], transaction: &Transaction) -> bool {
    datagram.get(..2) == Some(&BINDING_SUCCESS[..])
        && datagram.get(4..8) == Some(&MAGIC_COOKIE[..])
        && datagram.get(8..20) == Some(&transaction[..])
}

fn put_header(
    message: &mut [u8; LEN],
    kind: [u8; 2],
    attributes: usize,
    transaction: &Transaction,
) {
    message[..2].copy_from_slice(&kind);
    message[2..4].copy_from_slice(&(attributes as u16).to_be_bytes());
    message[4..8].copy_from_slice(&MAGIC_COOKIE);
    message[8..20].copy_from_slice(transaction);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PacketKind, demux, stun_username};

    #[test]
    fn a_question_is_answered_with_its_senders_address() {
        let transaction = *b"twelve bytes";
        let question = question(&transaction);
        assert_eq!(demux(&question), Some(PacketKind::Stun));
        assert_eq!(stun_username(&question), None);
        // The addresses and bytes of RFC 5769 §2.2 and §2.3, with its transaction.
        let rfc = [
            0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
        ];
        let v4 = [0x00, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let v6 = [
            0x00, 0x20, 0, 0x14, 0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79,
            0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        let rows: [(&str, &[u8]); 2] = [
            ("192.0.2.1:32853", &v4),
            ("[2001:db8:1234:5678:11:2233:4455:6677]:32853", &v6),
        ];
        for (from, expected) in rows {
            let (bytes, len) = answer(&super::question(&rfc), from.parse().unwrap()).unwrap();
            assert!(is_answer(&bytes[..len], &rfc));
            assert!(!is_answer(&bytes[..len], &transaction));
            assert_eq!(&bytes[20..len], expected, "{from}");
            assert!(len <= question.len(), "nothing is amplified");
        }
    }

    #[test]
    fn nothing_else_is_answered() {
        let from = "192.0.2.1:1".parse().unwrap();
        let question = question(&[7; 12]);
        assert!(answer(&question[..LEN - 1], from).is_none());
        assert!(answer(&[], from).is_none());
        for byte in [0, 1, 5, 20] {
            let mut other = question;
            other[byte] ^= 1;
            assert!(answer(&other, from).is_none(), "byte {byte}");
        }
    }
}
