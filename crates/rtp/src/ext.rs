//! Header extension elements (RFC 8285): iterating, writing, and the values of the ones we use.

use crate::WriteError;

/// Profile value of the one-byte form.
pub const ONE_BYTE_PROFILE: u16 = 0xBEDE;
/// Profile value of the two-byte form with application bits zero.
pub const TWO_BYTE_PROFILE: u16 = 0x1000;
/// Longest element of the one-byte form.
const ONE_BYTE_MAX_LEN: usize = 16;

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Local identifier: 1 to 14 in the one-byte form, 1 to 255 in the two-byte form.
    pub id: u8,
    /// The element's data; may be empty in the two-byte form.
    pub data: &'a [u8],
}

/// Iterator over the elements of an extension block. Stops at the first element that does not fit.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> Extensions<'a> {
    pub(crate) fn new(profile: Option<u16>, data: &'a [u8]) -> Self {
        match profile {
            Some(ONE_BYTE_PROFILE) => Self {
                rest: data,
                two_byte: false,
            },
            // RFC 8285 §4.3: the lower four bits are for the application.
            Some(p) if p & 0xFFF0 == TWO_BYTE_PROFILE => Self {
                rest: data,
                two_byte: true,
            },
            _ => Self {
                rest: &[],
                two_byte: false,
            },
        }
    }

    /// The next element as (id, data length, header length).
    fn next_head(&self) -> Option<(u8, usize, usize)> {
        let first = *self.rest.first()?;
        if self.two_byte {
            return Some((first, usize::from(*self.rest.get(1)?), 2));
        }
        let (id, len) = (first >> 4, usize::from(first & 0x0F) + 1);
        // RFC 8285 §4.2: id 15 ends the elements.
        (id != 15).then_some((id, len, 1))
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        loop {
            if self.rest.first() == Some(&0) {
                self.rest = &self.rest[1..]; // padding byte
                continue;
            }
            let Some((id, len, head)) = self.next_head() else {
                self.rest = &[];
                return None;
            };
            let Some(data) = self.rest.get(head..head + len) else {
                self.rest = &[];
                return None;
            };
            self.rest = self.rest.get(head + len..).unwrap_or_default();
            if id != 0 {
                return Some(Extension { id, data });
            }
        }
    }
}

/// Writes an extension block (profile, length, elements, padding to 32 bits) into the start of `out` and returns its
/// length: 0 when there is no element. The one-byte form is used where every element fits it.
///
/// # Errors
/// [`WriteError::NoRoom`]; [`WriteError::Unrepresentable`] for id 0 or data above 255 bytes.
pub fn write_block<'a>(
    elements: impl Iterator<Item = Extension<'a>> + Clone,
    out: &mut [u8],
) -> Result<usize, WriteError> {
    let mut two_byte = false;
    let mut any = false;
    for e in elements.clone() {
        if e.id == 0 || e.data.len() > 255 {
            return Err(WriteError::Unrepresentable("header extension element"));
        }
        any = true;
        two_byte |= e.id > 14 || e.data.is_empty() || e.data.len() > ONE_BYTE_MAX_LEN;
    }
    if !any {
        return Ok(0);
    }
    let mut at = 4;
    for e in elements {
        let head = if two_byte { 2 } else { 1 };
        let end = at + head + e.data.len();
        let slot = out.get_mut(at..end).ok_or(WriteError::NoRoom)?;
        if two_byte {
            slot[0] = e.id;
            slot[1] = e.data.len() as u8;
        } else {
            slot[0] = e.id << 4 | (e.data.len() as u8 - 1);
        }
        slot[head..].copy_from_slice(e.data);
        at = end;
    }
    let padded = at.next_multiple_of(4);
    out.get_mut(at..padded).ok_or(WriteError::NoRoom)?.fill(0);
    let profile = if two_byte {
        TWO_BYTE_PROFILE
    } else {
        ONE_BYTE_PROFILE
    };
    let words = u16::try_from((padded - 4) / 4)
        .map_err(|_| WriteError::Unrepresentable("header extension"))?;
    out[..2].copy_from_slice(&profile.to_be_bytes());
    out[2..4].copy_from_slice(&words.to_be_bytes());
    Ok(padded)
}

/// Reads a transport-wide sequence number (`draft-holmer-rmcat-transport-wide-cc-extensions-01`).
pub fn transport_seq(data: &[u8]) -> Option<u16> {
    data.first_chunk().map(|b| u16::from_be_bytes(*b))
}

/// Reads an absolute send time: 24 bits, seconds in 6.18 fixed point, wrapping every 64 s.
pub fn abs_send_time(data: &[u8]) -> Option<u32> {
    data.first_chunk()
        .map(|b: &[u8; 3]| u32::from_be_bytes([0, b[0], b[1], b[2]]))
}

/// Absolute send time of a moment given in microseconds of any epoch.
pub fn abs_send_time_from_micros(micros: u64) -> [u8; 3] {
    let fixed = ((u128::from(micros) << 18) / 1_000_000) as u32;
    let [_, a, b, c] = fixed.to_be_bytes();
    [a, b, c]
}

/// An audio level (RFC 6464).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// Level in -dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
    /// The encoder believes the packet contains speech.
    pub voice: bool,
}

impl AudioLevel {
    /// Reads the element's data.
    pub fn parse(data: &[u8]) -> Option<Self> {
        data.first().map(|b| Self {
            level: b & 0x7F,
            voice: b & 0x80 != 0,
        })
    }
}
