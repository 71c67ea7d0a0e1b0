//! Which packets of sound may be sent again with the next one (RFC 2198).

use super::packet::Ready;
use super::store::Store;
use rtp::red::{HEADER_LEN, MAX_BLOCK, MAX_OFFSET};
use smallvec::SmallVec;

/// Packets before it that go along with a packet, at most.
pub(crate) const MOST: u8 = 2;
/// Longest payload with redundancy, bytes: it stays one datagram on any path.
const MAX_PAYLOAD: usize = 1100;

/// An encoding that goes along.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Earlier<'a> {
    pub(crate) payload_type: u8,
    /// How much earlier it is, clock units.
    pub(crate) timestamp_offset: u16,
    pub(crate) data: &'a [u8],
}

/// The encodings that go along with a packet, newest first.
#[inline]
pub(crate) fn earlier<'a>(
    store: &'a Store,
    ready: &Ready<'_>,
) -> SmallVec<[Earlier<'a>; MOST as usize]> {
    let mut list = SmallVec::new();
    let mut before = ready.record.before;
    let mut room = MAX_PAYLOAD.saturating_sub(usize::from(ready.record.header.payload_len) + 1);
    for _ in 0..ready.out.redundancy.min(MOST) {
        let Some((bytes, record)) = before.and_then(|id| store.get(id)) else {
            break;
        };
        let start = usize::from(record.header.header_len);
        let len = usize::from(record.header.payload_len);
        let offset = ready
            .record
            .header
            .timestamp
            .wrapping_sub(record.header.timestamp);
        let Some(data) = bytes.get(start..start + len) else {
            break;
        };
        if offset > MAX_OFFSET || len > MAX_BLOCK || len + HEADER_LEN > room {
            break;
        }
        room -= len + HEADER_LEN;
        list.push(Earlier {
            payload_type: record.header.payload_type,
            timestamp_offset: offset as u16,
            data,
        });
        before = record.before;
    }
    list
}

/// Length that they add to a payload.
#[inline]
pub(crate) fn overhead(earlier: &[Earlier<'_>]) -> usize {
    match earlier {
        [] => 0,
        list => {
            1 + list
                .iter()
                .map(|e| HEADER_LEN + e.data.len())
                .sum::<usize>()
        }
    }
}

/// Writes the headers of all blocks and the data of the earlier ones, oldest first; the primary's data follows. Its
/// length, or `None` without room.
#[inline]
pub(crate) fn write(earlier: &[Earlier<'_>], payload_type: u8, room: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        room.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        at += bytes.len();
        Some(())
    };
    for e in earlier.iter().rev() {
        let len = e.data.len() as u16;
        put(&rtp::red::block_header(
            e.payload_type,
            e.timestamp_offset,
            len,
        ))?;
    }
    put(&[payload_type & 0x7F])?;
    for e in earlier.iter().rev() {
        put(e.data)?;
    }
    Some(at)
}
