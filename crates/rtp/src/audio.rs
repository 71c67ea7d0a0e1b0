//! Opus facts that forwarding needs (RFC 6716 §3.1, RFC 7587).

/// Clock rate of Opus in RTP, always 48 kHz.
pub const OPUS_CLOCK_RATE: u32 = 48_000;

/// Duration of an Opus packet in clock units, from its TOC byte. `None` for an empty or invalid packet.
pub fn opus_duration(payload: &[u8]) -> Option<u32> {
    let toc = *payload.first()?;
    let config = toc >> 3;
    let frame = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        // Hybrid: 10, 20 ms.
        12..=15 => [480, 960][usize::from(config & 1)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3F),
    };
    // RFC 6716 §3.2.5: at most 120 ms.
    (frames > 0 && frame * frames <= 5760).then_some(frame * frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(opus_duration(&[0x78]), Some(960));
        assert_eq!(opus_duration(&[0x79]), Some(1920));
        assert_eq!(opus_duration(&[0x7B, 3]), Some(2880));
        assert_eq!(opus_duration(&[0x7B]), None);
        assert_eq!(opus_duration(&[0x7B, 0]), None);
        assert_eq!(opus_duration(&[]), None);
    }
}
