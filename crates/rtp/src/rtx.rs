//! The retransmission payload format (RFC 4588 §4): two bytes of original sequence number before the payload.

/// Length of the original sequence number.
pub const OSN_LEN: usize = 2;

/// The original sequence number of an RTX payload, and the original payload. `None` where it is too short, as in
/// packets that are padding only (bandwidth probes).
pub fn unwrap(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (osn, rest) = payload.split_first_chunk()?;
    Some((u16::from_be_bytes(*osn), rest))
}

/// Restores the original packet in place: `packet` is a plaintext RTX packet without padding whose header is
/// `header_len` bytes; sequence number, payload type and SSRC become the original ones and the payload moves down by
/// two bytes. Returns the length of the restored packet, `None` (nothing changed) where there is no original number.
pub fn restore_in_place(
    packet: &mut [u8],
    header_len: usize,
    payload_type: u8,
    ssrc: crate::Ssrc,
) -> Option<usize> {
    if header_len < 12 || packet.len() < header_len + OSN_LEN {
        return None;
    }
    packet[1] = packet[1] & 0x80 | payload_type & 0x7F;
    packet.copy_within(header_len..header_len + OSN_LEN, 2);
    packet[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
    packet.copy_within(header_len + OSN_LEN.., header_len);
    Some(packet.len() - OSN_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RtpView, Ssrc};

    #[test]
    fn restores_the_original() {
        let mut packet = vec![
            0x80, 0xE1, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0x12, 0x34, 0xAA, 0xBB,
        ];
        assert_eq!(unwrap(&packet[12..]), Some((0x1234, &[0xAA, 0xBB][..])));
        let len = restore_in_place(&mut packet, 12, 96, Ssrc(7)).unwrap();
        let view = RtpView::parse(&packet[..len]).unwrap();
        assert_eq!(
            (view.sequence_number, view.payload_type, view.ssrc),
            (0x1234, 96, Ssrc(7))
        );
        assert!(view.marker);
        assert_eq!(view.payload(), [0xAA, 0xBB]);
    }

    #[test]
    fn a_probe_has_no_original() {
        assert_eq!(unwrap(&[]), None);
        assert_eq!(unwrap(&[1]), None);
        assert_eq!(restore_in_place(&mut [0x80; 13], 12, 1, Ssrc(1)), None);
    }
}
