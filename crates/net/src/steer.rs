//! Which of several sockets of one port gets a datagram: a classic BPF program that the kernel runs for each.

use std::io;
use std::net::SocketAddr;

use crate::socket::{UdpBatch, UdpConfig, set_option};

/// The sockets of one thread at one address.
#[derive(Debug)]
pub struct Lane {
    /// Receives RTP, STUN and DTLS, and sends everything.
    pub media: UdpBatch,
    /// Receives RTCP, which may wait a little and be read in numbers. `None` where the kernel does not tell RTCP apart:
    /// then `media` receives it.
    pub feedback: Option<UdpBatch>,
}

impl Lane {
    /// Opens the sockets of `count` threads at one port. The kernel gives a thread all datagrams of a sender, and the
    /// RTCP among them to a socket of its own (the second byte tells it from RTP: RFC 5761 §4).
    ///
    /// # Errors
    /// As [`UdpBatch::bind_shared`].
    pub fn bind(config: &UdpConfig, count: usize) -> io::Result<Vec<Self>> {
        let sockets = UdpBatch::bind_shared(config, count * 2)?;
        let steered = match sockets.first() {
            Some(first) => attach(first, count),
            None => Ok(()),
        };
        let separate = steered.is_ok();
        if let Err(error) = steered {
            tracing::info!(%error, "the kernel does not tell RTCP from RTP for us");
        }
        let mut sockets = sockets.into_iter();
        let lane = || {
            let (media, feedback) = (sockets.next()?, sockets.next()?);
            Some(Self {
                media,
                // Not read, it would keep what the kernel gives it; closed, it gets nothing.
                feedback: separate.then_some(feedback),
            })
        };
        Ok(std::iter::from_fn(lane).collect())
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.media.local_addr()
    }
}

fn attach(socket: &UdpBatch, threads: usize) -> io::Result<()> {
    let v4 = socket.local_addr().is_ipv4();
    let mut program = program(v4, u32::try_from(threads).unwrap_or(u32::MAX));
    let fprog = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    set_option(
        socket.fd(),
        libc::SOL_SOCKET,
        libc::SO_ATTACH_REUSEPORT_CBPF,
        &fprog,
    )
}

/// Instructions of the classic BPF (`linux/bpf_common.h`).
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_SAVED_X: u32 = libc::BPF_LDX | libc::BPF_MEM;
const SAVE: u32 = libc::BPF_ST;
const SET: u32 = libc::BPF_LD | libc::BPF_IMM;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const MODULO: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
const TWICE: u32 = libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K;
const ADD_X: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X;
const TO_X: u32 = libc::BPF_MISC | libc::BPF_TAX;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN_A: u32 = libc::BPF_RET | libc::BPF_A;

/// The number of the socket: twice the thread's, which is the sum of the sender's address and port modulo the number of
/// threads, and one more for RTCP. The ports of one NAT so are spread evenly, and a sender always meets the same thread.
/// A datagram too short to be looked at goes to the first socket.
///
/// Offsets are those of the payload; the network header is reached by `SKF_NET_OFF`. The port lies where it is without
/// IP options or extension headers; with them, other bytes that stay the same for a sender are taken.
fn program(v4: bool, threads: u32) -> Vec<libc::sock_filter> {
    let rtcp = [
        // The first two bits are the version of RTP, 2; the second byte is of 192 to 223.
        (LOAD_BYTE, 0, 0, 0),
        (AND, 0xC0, 0, 0),
        (IF_EQUAL, 0x80, 0, 5),
        (LOAD_BYTE, 1, 0, 0),
        (AND, 0xE0, 0, 0),
        (IF_EQUAL, 0xC0, 0, 2),
        (SET, 1, 0, 0),
        (IF_EQUAL, 1, 1, 1),
        (SET, 0, 0, 0),
        (SAVE, 0, 0, 0),
    ];
    let net = |offset: u32| (libc::SKF_NET_OFF as u32).wrapping_add(offset);
    // IPv6: the lower half of the network part and both ends of the rest vary.
    let (address, port) = match v4 {
        true => (&[12][..], 20),
        false => (&[12, 16, 20][..], 40),
    };
    let mut sender = vec![(LOAD_HALF, net(port), 0, 0)];
    for offset in address {
        sender.extend([
            (TO_X, 0, 0, 0),
            (LOAD_WORD, net(*offset), 0, 0),
            (ADD_X, 0, 0, 0),
        ]);
    }
    let number = [
        (MODULO, threads.max(1), 0, 0),
        (TWICE, 1, 0, 0),
        (LOAD_SAVED_X, 0, 0, 0),
        (ADD_X, 0, 0, 0),
        (RETURN_A, 0, 0, 0),
    ];
    let all = rtcp.into_iter().chain(sender).chain(number);
    all.map(|(code, k, jt, jf)| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Poller, ReceiveSlab, SendArena};
    use std::time::Duration;

    /// Sends to lanes and says at which thread what arrived, and whether at the socket for RTCP.
    fn arrivals(host: &str, threads: usize, senders: usize) -> Vec<(usize, bool, Vec<u8>)> {
        let config = UdpConfig::new(format!("{host}:0").parse().unwrap());
        let mut lanes = Lane::bind(&config, threads).unwrap();
        let to = lanes[0].local_addr();
        let (mut poller, _waker) = Poller::new().unwrap();
        let mut sockets = Vec::new();
        for (thread, lane) in lanes.iter_mut().enumerate() {
            sockets.push((thread, false, &mut lane.media));
            sockets.push((thread, true, lane.feedback.as_mut().unwrap()));
        }
        for (number, (_, _, socket)) in sockets.iter().enumerate() {
            poller.add(socket, number as u32).unwrap();
        }
        let kinds: [&[u8]; 8] = [
            &[0x80, 200, 0, 0],
            &[0x81, 206, 0, 0],
            &[0x80, 100, 0, 0],
            &[0x90, 0x80 | 111, 0, 0],
            &[0, 200, 0, 0],
            &[22, 200],
            &[0x80, 0],
            &[0xC0, 200],
        ];
        // One by one: of segments sent and received as one message, the first decides for all.
        let single = UdpConfig {
            offload: false,
            ..config
        };
        for _ in 0..senders {
            let mut from = UdpBatch::bind(&single).unwrap();
            let mut arena = SendArena::default();
            for kind in kinds {
                let mut datagram = from.local_addr().port().to_be_bytes().to_vec();
                datagram.splice(0..0, kind.iter().copied());
                arena.push(None, to, &datagram);
            }
            from.send(&mut arena);
        }
        let mut slab = ReceiveSlab::new(32);
        let mut got = Vec::new();
        while got.len() < kinds.len() * senders {
            let ready = poller.wait(Some(Duration::from_secs(5))).unwrap();
            assert_ne!(ready.sockets, 0, "only {} came", got.len());
            for (number, (thread, rtcp, socket)) in sockets.iter_mut().enumerate() {
                if ready.has(number as u32) {
                    socket.receive(&mut slab).unwrap();
                    let datagrams = slab.datagrams().map(|(_, bytes)| bytes.to_vec());
                    got.extend(datagrams.map(|bytes| (*thread, *rtcp, bytes)));
                }
            }
        }
        got
    }

    fn is_rtcp(bytes: &[u8]) -> bool {
        matches!(bytes, [0x80 | 0x81, 200 | 206, ..])
    }

    /// Loopback addresses of the families this machine has.
    fn hosts() -> Vec<&'static str> {
        let mut hosts = vec!["127.0.0.1", "[::1]"];
        hosts.retain(|host| std::net::UdpSocket::bind(format!("{host}:0")).is_ok());
        hosts
    }

    #[test]
    fn rtcp_comes_by_a_socket_of_its_own() {
        for host in hosts() {
            for (_, rtcp, bytes) in arrivals(host, 1, 1) {
                assert_eq!(rtcp, is_rtcp(&bytes), "{host} {bytes:?}");
            }
        }
    }

    #[test]
    fn a_sender_meets_one_thread_and_senders_meet_all() {
        for host in hosts() {
            let got = arrivals(host, 3, 60);
            let mut by_sender = std::collections::HashMap::new();
            for (thread, rtcp, bytes) in got {
                assert_eq!(rtcp, is_rtcp(&bytes), "{host} {bytes:?}");
                let sender = bytes[bytes.len() - 2..].to_vec();
                assert_eq!(*by_sender.entry(sender).or_insert(thread), thread);
            }
            let threads: std::collections::HashSet<_> = by_sender.values().collect();
            assert_eq!(threads.len(), 3, "{host}");
        }
    }
}
