//! The AV1 dependency descriptor header extension (AV1 RTP specification, appendix A).

/// Reads the three mandatory bytes of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mandatory {
    /// First packet of a frame.
    pub start_of_frame: bool,
    /// Last packet of a frame.
    pub end_of_frame: bool,
    /// Template the frame's dependencies come from, 0 to 63.
    pub template_id: u8,
    /// Frame number, wrapping.
    pub frame_number: u16,
}

impl Mandatory {
    /// Parses the start of the extension's data.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let b: &[u8; 3] = data.first_chunk()?;
        Some(Self {
            start_of_frame: b[0] & 0x80 != 0,
            end_of_frame: b[0] & 0x40 != 0,
            template_id: b[0] & 0x3F,
            frame_number: u16::from_be_bytes([b[1], b[2]]),
        })
    }
}
