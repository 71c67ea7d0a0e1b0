//! Redundant audio (RFC 2198): splitting a payload into its blocks, and the headers of blocks.

use crate::ParseError;

/// One block of a redundant payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Payload type of the block's data.
    pub payload_type: u8,
    /// How much earlier than the packet's timestamp the block is; 0 for the primary.
    pub timestamp_offset: u16,
    /// The encoding.
    pub data: &'a [u8],
}

/// Longest block that is not the primary, bytes.
pub const MAX_BLOCK: usize = 0x3FF;
/// Greatest timestamp offset of a block.
pub const MAX_OFFSET: u32 = 0x3FFF;
/// Length of the header of a block that is not the primary; the primary's has one byte.
pub const HEADER_LEN: usize = 4;

/// The header of a block that is not the primary: offset and length must be within the limits, or lose their high bits.
pub fn block_header(payload_type: u8, timestamp_offset: u16, len: u16) -> [u8; HEADER_LEN] {
    let bits = u32::from(timestamp_offset) << 10 | u32::from(len) & MAX_BLOCK as u32;
    let [_, a, b, c] = bits.to_be_bytes();
    [0x80 | payload_type & 0x7F, a, b, c]
}

/// The primary block: the packet's own data without the redundancy.
///
/// # Errors
/// [`ParseError::Truncated`].
pub fn primary(payload: &[u8]) -> Result<Block<'_>, ParseError> {
    blocks(payload)?.last().ok_or(ParseError::Truncated)
}

/// All blocks, oldest first; the primary is the last.
///
/// # Errors
/// [`ParseError::Truncated`] where headers or blocks do not fit.
pub fn blocks(payload: &[u8]) -> Result<impl Iterator<Item = Block<'_>>, ParseError> {
    let (headers, data) = split_headers(payload)?;
    let mut rest = data;
    Ok(headers.chunks(4).map(move |head| match *head {
        [pt, a, b, c] => {
            let bits = u32::from_be_bytes([0, a, b, c]);
            let (data, tail) = rest
                .split_at_checked((bits & 0x3FF) as usize)
                .unwrap_or_default();
            rest = tail;
            Block {
                payload_type: pt & 0x7F,
                timestamp_offset: (bits >> 10) as u16,
                data,
            }
        }
        _ => Block {
            payload_type: head.first().map_or(0, |b| b & 0x7F),
            timestamp_offset: 0,
            data: rest,
        },
    }))
}

/// Splits block headers (four bytes each, one for the primary) from data, checking that all blocks fit.
fn split_headers(payload: &[u8]) -> Result<(&[u8], &[u8]), ParseError> {
    let (mut at, mut needed) = (0usize, 0usize);
    while payload.get(at).ok_or(ParseError::Truncated)? & 0x80 != 0 {
        let head = payload.get(at..at + 4).ok_or(ParseError::Truncated)?;
        needed += usize::from(u16::from_be_bytes([head[2], head[3]]) & 0x3FF);
        at += 4;
    }
    let (headers, data) = payload
        .split_at_checked(at + 1)
        .ok_or(ParseError::Truncated)?;
    if data.len() < needed {
        return Err(ParseError::Truncated);
    }
    Ok((headers, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks() {
        // Payload type 111, 960 units earlier, 2 bytes; then the primary.
        let mut payload = block_header(111, 960, 2).to_vec();
        payload.extend([111, 1, 2, 3, 4, 5]);
        let all: Vec<_> = blocks(&payload).unwrap().collect();
        assert_eq!(all.len(), 2);
        assert_eq!(
            all[0],
            Block {
                payload_type: 111,
                timestamp_offset: 960,
                data: &[1, 2]
            }
        );
        assert_eq!(
            all[1],
            Block {
                payload_type: 111,
                timestamp_offset: 0,
                data: &[3, 4, 5]
            }
        );
        assert_eq!(primary(&payload).unwrap(), all[1]);
    }

    #[test]
    fn bad_lengths() {
        for bad in [
            &[][..],
            &[0x80 | 111],
            &[0x80 | 111, 0, 0, 0],
            &[0x80 | 111, 0, 0, 9, 111, 1],
        ] {
            assert!(blocks(bad).is_err(), "{bad:?}");
        }
    }
}
