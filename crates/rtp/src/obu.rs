//! AV1 payloads (AV1 RTP specification, §4): where a coded video sequence begins, for senders without the dependency
//! descriptor.

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;
/// OBUs of one packet that are looked at.
const MAX_OBUS: usize = 16;

/// Whether the packet is the first of a coded video sequence, which begins with a key frame: it says so (N bit), or it
/// has a sequence header and no other frame than a key frame behind it.
pub fn starts_sequence(payload: &[u8]) -> bool {
    let Some((&head, mut rest)) = payload.split_first() else {
        return false;
    };
    let (continues, count, first) = (head & 0x80 != 0, usize::from(head >> 4 & 3), head & 8 != 0);
    if continues || first {
        return first && !continues;
    }
    let mut sequence = false;
    for n in 1..=MAX_OBUS {
        let element = if n == count {
            std::mem::take(&mut rest)
        } else {
            let Some((len, tail)) = leb128(rest) else {
                break;
            };
            let Some((element, tail)) = tail.split_at_checked(len) else {
                break;
            };
            rest = tail;
            element
        };
        let Some(&header) = element.first() else {
            break;
        };
        match header >> 3 & 0x0F {
            OBU_SEQUENCE_HEADER => sequence = true,
            OBU_FRAME_HEADER | OBU_FRAME => return sequence && is_key(element),
            _ => {}
        }
    }
    sequence
}

/// Whether a frame (header) OBU begins a key frame that is shown for the first time: show_existing_frame and frame_type.
fn is_key(element: &[u8]) -> bool {
    let header = element.first().copied().unwrap_or(0);
    let data = element.get(if header & 4 != 0 { 2 } else { 1 }..);
    let data = match (data, header & 2 != 0) {
        (Some(data), true) => leb128(data).map(|(_, tail)| tail),
        (data, _) => data,
    };
    data.and_then(<[u8]>::first).is_some_and(|b| b >> 5 == 0)
}

/// A length in LEB128, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(i + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_sequences() {
        for (payload, starts) in [
            // N bit, one OBU: a sequence header.
            (&[0x18, 0x08, 0, 0][..], true),
            // The same as a continuation is a contradiction.
            (&[0x98, 0x08, 0, 0], false),
            // No N bit: sequence header (2 bytes) and a key frame, then an inter frame, then one shown again.
            (&[0x20, 2, 0x08, 0, 0x30, 0x10], true),
            (&[0x20, 2, 0x08, 0, 0x30, 0x30], false),
            (&[0x20, 2, 0x08, 0, 0x18, 0x80], false),
            // Sizes inside of the OBUs, and an extension.
            (&[0x20, 3, 0x0A, 1, 0, 0x36, 0, 1, 0x10], true),
            (&[0x00, 2, 0x08, 0, 2, 0x30, 0x10], true),
            // A sequence header alone.
            (&[0x10, 0x08, 0], true),
            // A key frame alone, an inter frame, nothing.
            (&[0x10, 0x30, 0x10], false),
            (&[0x10, 0x30, 0x30], false),
            (&[0x10], false),
            (&[], false),
            (&[0x00, 0xFF, 0xFF, 0xFF, 0xFF], false),
        ] {
            assert_eq!(starts_sequence(payload), starts, "{payload:x?}");
        }
    }
}
