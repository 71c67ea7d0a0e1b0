//! Telling packets of one port apart (RFC 7983, RFC 5761) and finding the endpoint that a STUN request is for.

/// What a datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// STUN, with the magic cookie.
    Stun,
    /// A DTLS record.
    Dtls,
    /// RTP or SRTP.
    Rtp,
    /// RTCP or SRTCP.
    Rtcp,
}

pub(crate) const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
pub(crate) const STUN_HEADER_LEN: usize = 20;
const ATTRIBUTE_USERNAME: u16 = 0x0006;

/// Tells what a datagram is by its first bytes. `None`: none of ours, drop it.
pub fn demux(datagram: &[u8]) -> Option<PacketKind> {
    match *datagram.first()? {
        0..=3 => (datagram.get(4..8) == Some(&MAGIC_COOKIE)).then_some(PacketKind::Stun),
        20..=63 => Some(PacketKind::Dtls),
        // RFC 5761 §4: RTCP types 192 to 223 are where an RTP packet has marker and payload type.
        128..=191 => match *datagram.get(1)? {
            192..=223 => Some(PacketKind::Rtcp),
            _ => Some(PacketKind::Rtp),
        },
        _ => None,
    }
}

/// The receiver's username fragment in a STUN binding request: the part of USERNAME before the first colon
/// (RFC 8445 §7.2.2). `None` for anything that is not a request with a user name. Nothing is authenticated yet.
pub fn stun_username(datagram: &[u8]) -> Option<&str> {
    const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
    let header = datagram.get(..STUN_HEADER_LEN)?;
    if header[..2] != BINDING_REQUEST || header[4..8] != MAGIC_COOKIE {
        return None;
    }
    let mut rest = &datagram[STUN_HEADER_LEN..];
    loop {
        let ([t0, t1, l0, l1], tail) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let value = tail.get(..len)?;
        if u16::from_be_bytes([*t0, *t1]) == ATTRIBUTE_USERNAME {
            let name = std::str::from_utf8(value).ok()?;
            return name
                .split_once(':')
                .map(|(ours, _)| ours)
                .filter(|u| !u.is_empty());
        }
        rest = tail.get(len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let mut stun = [0u8; 20];
        stun[4..8].copy_from_slice(&MAGIC_COOKIE);
        assert_eq!(demux(&stun), Some(PacketKind::Stun));
        assert_eq!(demux(&[0; 20]), None);
        assert_eq!(demux(&[22, 254]), Some(PacketKind::Dtls));
        assert_eq!(demux(&[0x80, 200]), Some(PacketKind::Rtcp));
        assert_eq!(demux(&[0x90, 0x80 | 111]), Some(PacketKind::Rtp));
        assert_eq!(demux(&[0x80, 96]), Some(PacketKind::Rtp));
        for bad in [&[][..], &[0x80], &[64, 1], &[4, 0], &[200, 1]] {
            assert_eq!(demux(bad), None);
        }
    }

    #[test]
    fn usernames() {
        let request = |attributes: &[u8]| {
            let mut m = vec![0, 1, 0, attributes.len() as u8];
            m.extend_from_slice(&MAGIC_COOKIE);
            m.extend_from_slice(&[0; 12]);
            m.extend_from_slice(attributes);
            m
        };
        let named = request(&[
            0x80, 0x22, 0, 1, b'x', 0, 0, 0, 0, 6, 0, 5, b'a', b'b', b':', b'c', b'd', 0, 0, 0,
        ]);
        assert_eq!(stun_username(&named), Some("ab"));
        for n in 0..named.len() - 3 {
            assert_eq!(stun_username(&named[..n]), None, "{n}");
        }
        assert_eq!(
            stun_username(&request(&[0, 6, 0, 2, b'a', b'b', 0, 0])),
            None
        );
        assert_eq!(
            stun_username(&request(&[0, 6, 0, 2, b':', b'b', 0, 0])),
            None
        );
        assert_eq!(
            stun_username(&request(&[0, 6, 0, 3, 0xFF, b':', b'b', 0])),
            None
        );
        let mut response = named.clone();
        response[0] = 1;
        assert_eq!(stun_username(&response), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100), stun: bool) {
            let mut bytes = bytes;
            if let (true, Some(head)) = (stun, bytes.first_chunk_mut::<8>()) {
                *head = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
            }
            let kind = demux(&bytes);
            if let Some(name) = stun_username(&bytes) {
                assert_eq!(kind, Some(PacketKind::Stun));
                assert!(!name.contains(':'));
            }
        }
    }
}
