//! What the focus offers to clients: codecs, feedback, header extensions.

/// Which codecs and extensions are offered. One set for all participants of all conferences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codecs {
    /// Offer AV1.
    pub av1: bool,
    /// Offer VP8.
    pub vp8: bool,
    /// Offer H.264.
    pub h264: bool,
    /// Offer VP9.
    pub vp9: bool,
    /// Offer redundant audio.
    pub red: bool,
    /// Offer the `mid` header extension.
    pub mid: bool,
}

impl Default for Codecs {
    fn default() -> Self {
        Self {
            av1: true,
            vp8: true,
            h264: true,
            vp9: true,
            red: true,
            mid: false,
        }
    }
}
