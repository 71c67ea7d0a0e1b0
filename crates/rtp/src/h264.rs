//! H.264 payloads (RFC 6184): finding key frames.

const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;

/// Whether the packet starts a key frame: carries a sequence parameter set or the first part of an IDR slice.
pub fn starts_key_frame(payload: &[u8]) -> bool {
    let kind = |b: u8| b & 0x1F;
    let is_key = |b: u8| matches!(kind(b), NAL_IDR | NAL_SPS);
    match payload {
        [first, ..] if is_key(*first) => true,
        [first, rest @ ..] if kind(*first) == NAL_STAP_A => aggregated(rest).any(is_key),
        // FU header: start bit, end bit, reserved, type.
        [first, fu, ..] if kind(*first) == NAL_FU_A => fu & 0x80 != 0 && is_key(*fu),
        _ => false,
    }
}

/// First bytes of the NAL units of a STAP-A.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = u8> + '_ {
    std::iter::from_fn(move || {
        let (len, tail) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes(*len));
        let first = *tail.first()?;
        rest = tail.get(len.max(1)..).unwrap_or_default();
        Some(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames() {
        for (payload, key) in [
            (&[0x67, 1][..], true),
            (&[0x65, 1], true),
            (&[0x61, 1], false),
            (&[0x78, 0, 1, 0x06, 0, 2, 0x67, 1], true),
            (&[0x78, 0, 1, 0x06, 0, 2, 0x61, 1], false),
            (&[0x7C, 0x85, 1], true),
            (&[0x7C, 0x05, 1], false),
            (&[0x7C], false),
            (&[0x78, 0], false),
            (&[], false),
        ] {
            assert_eq!(starts_key_frame(payload), key, "{payload:?}");
        }
    }
}
