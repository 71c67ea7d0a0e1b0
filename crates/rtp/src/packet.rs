//! The RTP packet: header fields and where its parts lie (RFC 3550 §5.1, RFC 8285).

use std::fmt;
use std::ops::{Deref, Range};

use crate::error::ParseError;
use crate::ext::{Extension, Extensions};

/// A synchronisation source identifier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ssrc(pub u32);

impl From<u32> for Ssrc {
    fn from(value: u32) -> Self {
        Self(value)
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssrc({})", self.0)
    }
}

/// The fields of an RTP header and the layout of its packet; `Copy`, to be stored beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence_number: u16,
    /// Timestamp in clock units of the payload type.
    pub timestamp: u32,
    /// Source of the stream.
    pub ssrc: Ssrc,
    /// Number of contributing sources, 0 to 15.
    pub csrc_count: u8,
    /// "Defined by profile" of the header extension, if the packet has one (0xBEDE, 0x100x).
    pub extension_profile: Option<u16>,
    /// Length of the extension's data in bytes, without its four bytes of header.
    pub extension_len: u16,
    /// Length of everything before the payload, in bytes.
    pub header_len: u16,
    /// Length of the payload without RTP padding, in bytes.
    pub payload_len: u16,
    /// Length of the RTP padding including its count byte; 0 if there is none.
    pub padding_len: u8,
}

/// Length of the fixed header.
pub(crate) const FIXED_LEN: usize = 12;

impl RtpHeader {
    /// Parses a packet's header and layout. Padding is checked, which needs plaintext: of an encrypted packet use
    /// [`RtpHeader::parse_encrypted`].
    ///
    /// # Errors
    /// [`ParseError`] when the bytes are not an RTP packet of at most 65,535 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut header = Self::parse_encrypted(bytes)?;
        let has_padding = bytes.first().is_some_and(|b| b & 0x20 != 0);
        if has_padding {
            let count = bytes.last().copied().unwrap_or(0);
            if count == 0 || u16::from(count) > header.payload_len {
                return Err(ParseError::Padding);
            }
            header.padding_len = count;
            header.payload_len -= u16::from(count);
        }
        Ok(header)
    }

    /// Parses the header of a packet whose payload is still encrypted: `payload_len` is the whole rest (with
    /// authentication tag and padding) and `padding_len` is 0.
    ///
    /// # Errors
    /// [`ParseError`] when the bytes are not an RTP packet of at most 65,535 bytes.
    pub fn parse_encrypted(bytes: &[u8]) -> Result<Self, ParseError> {
        let fixed: &[u8; FIXED_LEN] = bytes.first_chunk().ok_or(ParseError::Truncated)?;
        let total = u16::try_from(bytes.len()).map_err(|_| ParseError::Invalid("length"))?;
        if fixed[0] >> 6 != 2 {
            return Err(ParseError::Version);
        }
        let csrc_count = fixed[0] & 0x0F;
        let mut header_len = FIXED_LEN + 4 * usize::from(csrc_count);
        let mut extension_profile = None;
        let mut extension_len = 0u16;
        if fixed[0] & 0x10 != 0 {
            let head = bytes
                .get(header_len..header_len + 4)
                .ok_or(ParseError::Truncated)?;
            extension_profile = Some(u16::from_be_bytes([head[0], head[1]]));
            let len = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            extension_len = u16::try_from(len).map_err(|_| ParseError::Truncated)?;
            header_len += 4 + len;
        }
        if header_len > bytes.len() {
            return Err(ParseError::Truncated);
        }
        let header_len = u16::try_from(header_len).map_err(|_| ParseError::Truncated)?;
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence_number: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: Ssrc(u32::from_be_bytes([
                fixed[8], fixed[9], fixed[10], fixed[11],
            ])),
            csrc_count,
            extension_profile,
            extension_len,
            header_len,
            payload_len: total - header_len,
            padding_len: 0,
        })
    }

    /// Where the payload (without padding) lies in the packet.
    pub fn payload_range(&self) -> Range<usize> {
        let start = usize::from(self.header_len);
        start..start + usize::from(self.payload_len)
    }

    /// Where the extension's data (the elements) lies in the packet; empty if there is none.
    pub fn extension_range(&self) -> Range<usize> {
        let end = usize::from(self.header_len);
        end - usize::from(self.extension_len)..end
    }

    /// Length of the whole packet in bytes.
    pub fn packet_len(&self) -> usize {
        usize::from(self.header_len) + usize::from(self.payload_len) + usize::from(self.padding_len)
    }
}

/// A parsed packet: the bytes and their [`RtpHeader`], whose fields it shows by `Deref`.
#[derive(Clone, Copy)]
pub struct RtpView<'a> {
    bytes: &'a [u8],
    header: RtpHeader,
}

impl<'a> RtpView<'a> {
    /// Parses a plaintext packet.
    ///
    /// # Errors
    /// As [`RtpHeader::parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Ok(Self {
            bytes,
            header: RtpHeader::parse(bytes)?,
        })
    }

    /// Joins stored bytes with the header that was parsed from them. A header of other bytes yields empty slices
    /// where it does not fit, never a panic.
    pub fn new(bytes: &'a [u8], header: RtpHeader) -> Self {
        Self { bytes, header }
    }

    /// The parsed header.
    pub fn header(&self) -> RtpHeader {
        self.header
    }

    /// The whole packet.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The payload without padding.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes
            .get(self.header.payload_range())
            .unwrap_or_default()
    }

    /// The contributing sources.
    pub fn csrcs(&self) -> impl Iterator<Item = Ssrc> + 'a {
        let end = FIXED_LEN + 4 * usize::from(self.header.csrc_count);
        let list = self.bytes.get(FIXED_LEN..end).unwrap_or_default();
        list.chunks_exact(4)
            .map(|c| Ssrc(u32::from_be_bytes([c[0], c[1], c[2], c[3]])))
    }

    /// All header extension elements in order, of the one-byte and two-byte forms.
    pub fn extensions(&self) -> Extensions<'a> {
        let data = self
            .bytes
            .get(self.header.extension_range())
            .unwrap_or_default();
        Extensions::new(self.header.extension_profile, data)
    }

    /// The first header extension element with this id.
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions()
            .find(|e: &Extension<'a>| e.id == id)
            .map(|e| e.data)
    }
}

impl Deref for RtpView<'_> {
    type Target = RtpHeader;

    fn deref(&self) -> &RtpHeader {
        &self.header
    }
}

impl fmt::Debug for RtpView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header.fmt(f)
    }
}
