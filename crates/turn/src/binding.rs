//! The client's side of STUN's Binding (RFC 8489 §2, §6.2.1): which address does a server see? That is the one a translator in
//! front has given. Time and bytes go in, requests come out; the socket is the host's.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::message::{Message, Writer};

const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const FAILURE: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// The first wait for an answer, each later one twice as long, and how many requests there are (§6.2.1: RTO, Rc).
const RTO: Duration = Duration::from_millis(500);
const REQUESTS: u32 = 4;

/// Why a server told no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// It refused (RFC 8489 §14.8).
    #[error("the server refuses: error {0}")]
    Refused(u16),
    /// Its answer has no address, or none that anybody could send to.
    #[error("the server's answer has no usable address")]
    NoAddress,
    /// It did not answer.
    #[error("the server does not answer")]
    Silent,
}

/// One question to one server: requests until there is an answer or patience ends.
#[derive(Debug)]
pub struct Binding {
    id: [u8; 12],
    sent: u32,
    next: Instant,
}

impl Binding {
    /// To be asked at once. `id` is random: answers with another one are not believed.
    pub fn new(id: [u8; 12], now: Instant) -> Self {
        Self {
            id,
            sent: 0,
            next: now,
        }
    }

    /// The request to send now, if it is time for one.
    ///
    /// # Errors
    /// [`BindingError::Silent`] when all were sent and waited for.
    pub fn poll_transmit(&mut self, now: Instant) -> Result<Option<Vec<u8>>, BindingError> {
        if now < self.next {
            return Ok(None);
        }
        if self.sent >= REQUESTS {
            return Err(BindingError::Silent);
        }
        self.next = now + RTO * 2_u32.pow(self.sent);
        self.sent += 1;
        Ok(Some(Writer::new(REQUEST, self.id).plain()))
    }

    /// When [`Self::poll_transmit`] has something to say.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Takes what came from the server; `None`: it is no answer to this question.
    pub fn handle(&self, bytes: &[u8]) -> Option<Result<SocketAddr, BindingError>> {
        let message = Message::parse(bytes).filter(|message| message.id == self.id)?;
        match message.kind {
            SUCCESS => Some(mapped(&message).ok_or(BindingError::NoAddress)),
            FAILURE => Some(Err(BindingError::Refused(code(&message)))),
            _ => None,
        }
    }
}

/// XOR-MAPPED-ADDRESS, or what servers of RFC 3489 say instead of it.
fn mapped(message: &Message<'_>) -> Option<SocketAddr> {
    let address = match message.addresses(XOR_MAPPED_ADDRESS).next() {
        Some(address) => address?,
        None => plain(message.attribute(MAPPED_ADDRESS)?)?,
    };
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let ip = match address.ip() {
        IpAddr::V4(ip) => !(ip.is_broadcast() || ip.is_link_local()),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let usable = ip
        && address.port() != 0
        && !(address.ip().is_unspecified()
            || address.ip().is_multicast()
            || address.ip().is_loopback());
    usable.then_some(address)
}

/// An address in clear (RFC 8489 §14.1).
fn plain(value: &[u8]) -> Option<SocketAddr> {
    let ([_, family, p0, p1], ip) = value.split_first_chunk::<4>()?;
    let ip: IpAddr = match family {
        1 => <[u8; 4]>::try_from(ip).ok()?.into(),
        2 => <[u8; 16]>::try_from(ip).ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes([*p0, *p1])))
}

fn code(message: &Message<'_>) -> u16 {
    match message.attribute(ERROR_CODE) {
        Some([_, _, class, number, ..]) => u16::from(class & 7) * 100 + u16::from(*number),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 12] = [9; 12];

    #[allow(clippy::disallowed_methods, reason = "some first instant")]
    fn question() -> (Binding, Instant) {
        let now = Instant::now();
        (Binding::new(ID, now), now)
    }

    fn address(s: &str) -> SocketAddr {
        s.parse().unwrap()
    }

    /// A response as another server wrote it: RFC 5769 §2.2, without what protects it.
    #[test]
    fn the_answer_of_the_test_vectors_is_read() {
        let mut bytes = vec![0x01, 0x01, 0x00, 0x1c, 0x21, 0x12, 0xa4, 0x42];
        let id = [
            0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
        ];
        bytes.extend(id);
        bytes.extend([0x80, 0x22, 0x00, 0x0b]);
        bytes.extend(b"test vector ");
        bytes.extend([0x00, 0x20, 0x00, 0x08, 0x00, 0x01]);
        bytes.extend([0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let (binding, now) = question();
        assert_eq!(binding.handle(&bytes), None, "of another question");
        let binding = Binding::new(id, now);
        assert_eq!(binding.handle(&bytes), Some(Ok(address("192.0.2.1:32853"))));
    }

    #[test]
    fn requests_are_repeated_ever_less_often_and_then_given_up() {
        let (mut binding, begin) = question();
        let mut at = Vec::new();
        let mut now = begin;
        let end = loop {
            match binding.poll_transmit(now) {
                Ok(Some(request)) => {
                    assert_eq!(&request[..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
                    at.push((now - begin).as_millis());
                }
                Ok(None) => {}
                Err(error) => break error,
            }
            now = binding.deadline();
        };
        assert_eq!(at, [0, 500, 1_500, 3_500]);
        assert_eq!(
            (end, (now - begin).as_millis()),
            (BindingError::Silent, 7_500)
        );
    }

    #[test]
    fn answers_of_old_servers_refusals_and_nonsense() {
        let (binding, _) = question();
        let answer = |kind: u16, fill: &dyn Fn(Writer) -> Writer| {
            binding.handle(&fill(Writer::new(kind, ID)).plain())
        };
        let plain = [0, 1, 0x27, 0x10, 203, 0, 113, 5];
        let old = answer(SUCCESS, &|w| w.attribute(MAPPED_ADDRESS, &plain));
        assert_eq!(old, Some(Ok(address("203.0.113.5:10000"))));
        let v6 = address("[2001:db8::5]:7");
        let new = answer(SUCCESS, &|w| w.address(XOR_MAPPED_ADDRESS, v6));
        assert_eq!(new, Some(Ok(v6)));
        let refused = answer(FAILURE, &|w| w.attribute(ERROR_CODE, &[0, 0, 4, 20, b'x']));
        assert_eq!(refused, Some(Err(BindingError::Refused(420))));
        for useless in [
            "0.0.0.0:1",
            "127.0.0.1:1",
            "224.0.0.1:1",
            "169.254.1.1:1",
            "203.0.113.5:0",
        ] {
            let told = answer(SUCCESS, &|w| {
                w.address(XOR_MAPPED_ADDRESS, address(useless))
            });
            assert_eq!(told, Some(Err(BindingError::NoAddress)), "{useless}");
        }
        assert_eq!(answer(SUCCESS, &|w| w), Some(Err(BindingError::NoAddress)));
        assert_eq!(answer(REQUEST, &|w| w), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let (binding, _) = question();
            let mut answer = Writer::new(SUCCESS, ID).plain();
            answer.extend(&bytes);
            answer[2..4].copy_from_slice(&(bytes.len() as u16).to_be_bytes());
            assert!(binding.handle(&answer).is_some());
            let _ = binding.handle(&bytes);
        }
    }
}
