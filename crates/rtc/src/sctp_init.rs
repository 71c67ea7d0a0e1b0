//! SCTP without a handshake of its own (draft-hancke-tsvwg-snap): both sides say in signalling what would stand in their INIT,
//! and with both known the association is there as soon as DTLS is. That saves two round trips.

use dcsctp::api::handover::{
    HandoverCapabilities, HandoverReceive, HandoverSocketState, HandoverTransmission,
    SocketHandoverState,
};
use rand::Rng;

/// Chunk type of an INIT (RFC 9260 §3.3.2).
pub(crate) const INIT: u8 = 1;
/// Chunk types that a peer may say to know (RFC 5061 §4.2.7): RE-CONFIG (RFC 6525), FORWARD-TSN (RFC 3758).
const RECONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;
/// Parameters of an INIT (RFC 9260 §3.3.2): Supported Extensions, Forward-TSN-Supported.
const SUPPORTED_EXTENSIONS: u16 = 0x8008;
const FORWARD_TSN_SUPPORTED: u16 = 0xC000;
/// Length of an INIT before its parameters, and of one that is looked at, bytes.
const HEAD: usize = 20;
const LONGEST: usize = 1_024;
/// No window is smaller (RFC 9260 §3.3.2).
const LEAST_WINDOW: u32 = 1_500;
/// Bytes under way at first: ten packets (as the library begins).
const FIRST_WINDOW: u32 = 10 * 1_191;

/// What an INIT says (RFC 9260 §3.3.2), as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpInit {
    /// Verification tag of what its sender gets.
    tag: u32,
    /// Receiver window, bytes.
    window: u32,
    /// Streams its sender sends on, and takes.
    outbound: u16,
    inbound: u16,
    /// Number of its sender's first chunk of data.
    tsn: u32,
    /// Whether its sender knows how to reset streams, and to pass over data given up.
    reconfig: bool,
    forward_tsn: bool,
}

impl SctpInit {
    /// Ours.
    pub(crate) fn new(window: usize, streams: u16, rng: &mut impl Rng) -> Self {
        Self {
            tag: rng.next_u32().max(1),
            window: u32::try_from(window).unwrap_or(u32::MAX),
            outbound: streams,
            inbound: streams,
            tsn: rng.next_u32(),
            reconfig: true,
            forward_tsn: true,
        }
    }

    /// Reads a whole INIT chunk. `None` where it is none, or none that an association can begin with.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, _) = bytes.split_first_chunk::<HEAD>()?;
        let [kind, _, l0, l1, ..] = *head;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if kind != INIT || len < HEAD || bytes.len() > LONGEST {
            return None;
        }
        let u32_at = |at: usize| {
            head.get(at..)?
                .first_chunk()
                .map(|b| u32::from_be_bytes(*b))
        };
        let u16_at = |at: usize| {
            head.get(at..)?
                .first_chunk()
                .map(|b| u16::from_be_bytes(*b))
        };
        let mut init = Self {
            tag: u32_at(4)?,
            window: u32_at(8)?,
            outbound: u16_at(12)?,
            inbound: u16_at(14)?,
            tsn: u32_at(16)?,
            reconfig: false,
            forward_tsn: false,
        };
        for (kind, value) in parameters(bytes.get(HEAD..len)?) {
            match kind {
                SUPPORTED_EXTENSIONS => {
                    init.reconfig |= value.contains(&RECONFIG);
                    init.forward_tsn |= value.contains(&FORWARD_TSN);
                }
                FORWARD_TSN_SUPPORTED => init.forward_tsn = true,
                _ => {}
            }
        }
        let usable =
            init.tag != 0 && init.window >= LEAST_WINDOW && init.outbound != 0 && init.inbound != 0;
        usable.then_some(init)
    }

    /// The chunk.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = vec![INIT, 0, 0, 0];
        out.extend(self.tag.to_be_bytes());
        out.extend(self.window.to_be_bytes());
        out.extend(self.outbound.to_be_bytes());
        out.extend(self.inbound.to_be_bytes());
        out.extend(self.tsn.to_be_bytes());
        if self.forward_tsn {
            push(&mut out, FORWARD_TSN_SUPPORTED, &[]);
        }
        let known = [(self.reconfig, RECONFIG), (self.forward_tsn, FORWARD_TSN)];
        let known = known.into_iter().filter(|(is, _)| *is);
        let known: Vec<u8> = known.map(|(_, kind)| kind).collect();
        if !known.is_empty() {
            push(&mut out, SUPPORTED_EXTENSIONS, &known);
        }
        let len = (out.len() as u16).to_be_bytes();
        if let Some(field) = out.get_mut(2..4) {
            field.copy_from_slice(&len);
        }
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    /// The association that follows from ours and the peer's, with nothing sent yet.
    pub(crate) fn with(self, peer: Self) -> SocketHandoverState {
        SocketHandoverState {
            socket_state: HandoverSocketState::Connected,
            my_verification_tag: self.tag,
            my_initial_tsn: self.tsn,
            peer_verification_tag: peer.tag,
            peer_initial_tsn: peer.tsn,
            tie_tag: u64::from(self.tag) << 32 | u64::from(peer.tag),
            capabilities: HandoverCapabilities {
                partial_reliability: self.forward_tsn && peer.forward_tsn,
                reconfig: self.reconfig && peer.reconfig,
                negotiated_maximum_incoming_streams: self.inbound.min(peer.outbound),
                negotiated_maximum_outgoing_streams: self.outbound.min(peer.inbound),
                ..HandoverCapabilities::default()
            },
            tx: HandoverTransmission {
                next_tsn: self.tsn,
                next_reset_req_sn: self.tsn,
                cwnd: FIRST_WINDOW,
                rwnd: peer.window,
                ssthresh: peer.window,
                last_cumulative_tsn_ack: self.tsn.wrapping_sub(1),
                ..HandoverTransmission::default()
            },
            rx: HandoverReceive {
                last_cumulative_acked_tsn: peer.tsn.wrapping_sub(1),
                last_assembled_tsn: peer.tsn.wrapping_sub(1),
                last_completed_deferred_reset_req_sn: peer.tsn.wrapping_sub(1),
                last_completed_reset_req_sn: peer.tsn.wrapping_sub(1),
                ..HandoverReceive::default()
            },
        }
    }
}

/// Type and value of each parameter, until one is not whole.
fn parameters(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let ([k0, k1, l0, l1], tail) = rest.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([*l0, *l1])).checked_sub(4)?;
        let value = tail.get(..len)?;
        rest = tail.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_be_bytes([*k0, *k1]), value))
    })
}

fn push(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(kind.to_be_bytes());
    out.extend((value.len() as u16 + 4).to_be_bytes());
    out.extend(value);
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn ours() -> SctpInit {
        let mut rng = rand_chacha::ChaCha12Rng::seed_from_u64(7);
        SctpInit::new(500_000, 1_024, &mut rng)
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for (reconfig, forward_tsn) in [(true, true), (true, false), (false, true), (false, false)]
        {
            let init = SctpInit {
                reconfig,
                forward_tsn,
                ..ours()
            };
            let bytes = init.to_bytes();
            assert!(bytes.len().is_multiple_of(4));
            assert_eq!(SctpInit::parse(&bytes), Some(init));
        }
    }

    #[test]
    fn what_no_association_can_begin_with_is_none() {
        let good = ours().to_bytes();
        let with = |at: usize, bytes: &[u8]| {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            SctpInit::parse(&bad)
        };
        assert_eq!(with(0, &[2]), None, "an INIT ACK");
        assert_eq!(with(2, &[0, 19]), None, "too short");
        assert_eq!(with(2, &[0xff, 0xff]), None, "longer than it is");
        assert_eq!(with(4, &[0; 4]), None, "no tag");
        assert_eq!(with(8, &[0; 4]), None, "no window");
        assert_eq!(with(12, &[0; 2]), None, "no streams");
        assert_eq!(SctpInit::parse(&good[..19]), None);
        assert_eq!(SctpInit::parse(&vec![1; LONGEST + 1]), None);
        // What is not known, or not whole, is passed over.
        let mut odd = good.clone();
        odd.extend([0x12, 0x34, 0, 8, 1, 2, 3, 4, 0xc0, 0, 0, 99]);
        let len = odd.len() as u16;
        odd[2..4].copy_from_slice(&len.to_be_bytes());
        assert_eq!(SctpInit::parse(&odd), Some(ours()));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let mut init = bytes.clone();
            if init.len() >= HEAD {
                init[0] = INIT;
                let len = init.len() as u16;
                init[2..4].copy_from_slice(&len.to_be_bytes());
            }
            for bytes in [bytes, init] {
                if let Some(init) = SctpInit::parse(&bytes) {
                    assert_eq!(SctpInit::parse(&init.to_bytes()), Some(init));
                }
            }
        }
    }
}
