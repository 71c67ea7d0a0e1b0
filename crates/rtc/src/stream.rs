//! Media over TCP (RFC 6544): how an address says that it is the end of a connection, and the frames that datagrams
//! travel in (RFC 4571).
//!
//! Everything that carries datagrams names both ends by [`SocketAddr`]. The end of a TCP connection is written as one
//! that no datagram socket has: an IPv6 address, mapped if need be, with a flow label. So a UDP port and a TCP port of the
//! same number stay apart wherever addresses are compared, and nothing on the way needs to know.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The flow label of a connection's end; of its 20 bits the kernel reports none to datagram sockets.
const MARK: u32 = 0x7463; // "tc"
/// Longest datagram in a frame, bytes: what no path carries in one datagram has no business here.
pub const MAX_FRAME: usize = 2_048;
/// Bytes before each datagram.
const HEADER: usize = 2;

/// The end of a TCP connection at this address.
pub fn tcp_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddrV6::new(ip, address.port(), MARK, 0).into()
}

/// Whether this is the end of a TCP connection.
pub fn is_tcp(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.flowinfo() == MARK)
}

/// The address as the network knows it.
pub fn plain_address(address: SocketAddr) -> SocketAddr {
    if is_tcp(&address) {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    } else {
        address
    }
}

/// What came over a connection is no sequence of frames that a peer would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes")]
pub struct BadFrame(pub usize);

/// Puts a datagram into a frame at the end of `out`. Nothing longer than [`MAX_FRAME`] is ever sent; it would be left out.
pub fn write_frame(datagram: &[u8], out: &mut Vec<u8>) {
    if let Some(len) = u16::try_from(datagram.len())
        .ok()
        .filter(|len| usize::from(*len) <= MAX_FRAME)
    {
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(datagram);
    }
}

fn frame_len(bytes: &[u8]) -> Option<usize> {
    let (header, _) = bytes.split_first_chunk::<HEADER>()?;
    Some(usize::from(u16::from_be_bytes(*header)))
}

/// How many bytes at the start of `bytes` are whole frames.
///
/// # Errors
/// [`BadFrame`] when a frame is longer than [`MAX_FRAME`]; what stands before it is lost with the connection.
pub fn whole_frames(bytes: &[u8]) -> Result<usize, BadFrame> {
    let mut end = 0;
    while let Some(len) = bytes.get(end..).and_then(frame_len) {
        if len > MAX_FRAME {
            return Err(BadFrame(len));
        }
        if bytes.len() < end + HEADER + len {
            break;
        }
        end += HEADER + len;
    }
    Ok(end)
}

/// The datagrams of whole frames; empty ones, which keep connections open, are passed over.
pub fn frames(mut bytes: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    std::iter::from_fn(move || {
        loop {
            let len = frame_len(bytes)?;
            let rest = std::mem::take(&mut bytes);
            let (frame, rest) = rest.split_at_mut_checked(HEADER + len)?;
            bytes = rest;
            if len > 0 {
                return frame.get_mut(HEADER..);
            }
        }
    })
}

/// Whether a connection begins like media rather than like TLS or HTTP: with a frame that holds a STUN request, of which
/// the first byte suffices to tell, since such requests are shorter than 512 bytes.
pub fn begins_with_frame(first: u8) -> bool {
    first <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(s: &str) -> SocketAddr {
        s.parse().unwrap()
    }

    #[test]
    fn ends_of_connections_are_like_no_other_address() {
        for plain in ["10.0.0.5:443", "[2001:db8::5]:443"].map(address) {
            let tcp = tcp_address(plain);
            assert_ne!(tcp, plain);
            assert!(is_tcp(&tcp) && !is_tcp(&plain));
            assert_eq!((plain_address(tcp), plain_address(plain)), (plain, plain));
        }
        assert!(!is_tcp(&address("[::ffff:10.0.0.5]:443")));
    }

    #[test]
    fn datagrams_come_out_of_their_frames_however_the_stream_is_cut() {
        let sent: [&[u8]; 4] = [&[1; 20], &[], &[2], &[3; MAX_FRAME]];
        let mut stream = Vec::new();
        sent.iter().for_each(|d| write_frame(d, &mut stream));
        for cut in 0..=stream.len() {
            let whole = whole_frames(&stream[..cut]).unwrap();
            assert!(whole <= cut);
            let mut bytes = stream.clone();
            let mut got: Vec<Vec<u8>> = frames(&mut bytes[..whole]).map(|d| d.to_vec()).collect();
            got.extend(frames(&mut bytes[whole..]).map(|d| d.to_vec()));
            assert_eq!(got, [sent[0], sent[2], sent[3]], "cut at {cut}");
        }
    }

    #[test]
    fn what_no_peer_sends_ends_the_connection() {
        assert_eq!(whole_frames(&[0xff, 0xff]), Err(BadFrame(0xffff)));
        assert_eq!(whole_frames(b"\x00\x01xGET / HTTP"), Err(BadFrame(0x4745)));
        assert_eq!(whole_frames(&[0x08, 0x00]), Ok(0));
        let mut out = Vec::new();
        write_frame(&[0; MAX_FRAME + 1], &mut out);
        assert!(out.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_stream(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let mut copy = bytes.clone();
            match whole_frames(&bytes) {
                Ok(whole) => {
                    let held: usize = frames(&mut copy[..whole]).map(|d| d.len()).sum();
                    assert!(held <= whole);
                }
                Err(BadFrame(len)) => assert!(len > MAX_FRAME),
            }
            let all = frames(&mut copy).count();
            assert!(all <= bytes.len());
        }
    }
}
