//! Writing the numbers of pictures that VP8 and VP9 descriptors share (RFC 7741 §4.2, RFC 9628 §4.2).

/// Writes a picture id at `at`, in 15 bits if `long`, else in 7. What does not fit is not written.
pub(crate) fn write_id(payload: &mut [u8], at: usize, long: bool, id: u16) {
    if !long {
        write_byte(payload, at, (id & 0x7F) as u8);
    } else if let Some(slot) = payload.get_mut(at..at + 2) {
        slot.copy_from_slice(&(id | 0x8000).to_be_bytes());
    }
}

/// Writes a byte, TL0PICIDX for one.
pub(crate) fn write_byte(payload: &mut [u8], at: usize, value: u8) {
    if let Some(slot) = payload.get_mut(at) {
        *slot = value;
    }
}
