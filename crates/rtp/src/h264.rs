//! H.264 payloads (RFC 6184): what of a key frame they hold.

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;

/// What of a key frame is in a packet. A key frame is a frame with a sequence parameter set or an IDR slice; it begins
/// with its first packet, which may hold neither (access unit delimiter, SEI).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// A sequence parameter set: what comes before it in the frame is dispensable.
    pub parameters: bool,
    /// An IDR slice or a part of one.
    pub idr: bool,
    /// A slice of any kind or a part of one.
    pub slice: bool,
}

/// Looks into a payload: a single NAL unit, STAP-A or FU-A (packetization modes 0 and 1).
pub fn contents(payload: &[u8]) -> Contents {
    let mut contents = Contents::default();
    match payload {
        [first, rest @ ..] if kind(*first) == NAL_STAP_A => {
            aggregated(rest).for_each(|b| contents.add(b));
        }
        // The FU header has the type of the NAL unit in the same bits.
        [first, fu, ..] if kind(*first) == NAL_FU_A => contents.add(*fu),
        [first, ..] => contents.add(*first),
        [] => {}
    }
    contents
}

impl Contents {
    fn add(&mut self, header: u8) {
        match kind(header) {
            NAL_SPS => self.parameters = true,
            n @ NAL_SLICE..=NAL_IDR => {
                self.slice = true;
                self.idr |= n == NAL_IDR;
            }
            _ => {}
        }
    }
}

fn kind(header: u8) -> u8 {
    header & 0x1F
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
    fn parts_of_key_frames() {
        // Payload; parameter set, IDR slice, any slice.
        for (payload, parameters, idr, slice) in [
            (&[0x67, 1][..], true, false, false),
            (&[0x68, 1], false, false, false),
            (&[0x09, 0x10], false, false, false),
            (&[0x65, 1], false, true, true),
            (&[0x61, 1], false, false, true),
            (&[0x78, 0, 1, 0x06, 0, 2, 0x67, 1], true, false, false),
            (&[0x78, 0, 1, 0x67, 0, 2, 0x65, 1], true, true, true),
            (&[0x78, 0, 1, 0x06, 0, 2, 0x61, 1], false, false, true),
            (&[0x7C, 0x85, 1], false, true, true),
            (&[0x7C, 0x05, 1], false, true, true),
            (&[0x7C, 0x81, 1], false, false, true),
            (&[0x7C], false, false, false),
            (&[0x78, 0], false, false, false),
            (&[], false, false, false),
        ] {
            let expected = Contents {
                parameters,
                idr,
                slice,
            };
            assert_eq!(contents(payload), expected, "{payload:?}");
        }
    }
}
