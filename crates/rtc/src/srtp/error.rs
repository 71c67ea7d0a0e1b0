//! Why a packet is not protected or accepted.

/// Why a packet is not protected or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// Not an RTP or RTCP packet, or too short.
    #[error("malformed packet")]
    Malformed,
    /// The authentication tag is wrong: not from the peer.
    #[error("authentication failed")]
    Authentication,
    /// The index was seen already, or is older than the window.
    #[error("replayed packet")]
    Replayed,
    /// This index of this source was used, or is too old to know: a second packet under it would break the cipher.
    #[error("packet index used twice")]
    IndexReused,
    /// More sources than the limit.
    #[error("too many sources")]
    TooManySources,
    /// The buffer has no room for the tag.
    #[error("output buffer too small")]
    NoRoom,
    /// A key has protected as many packets as it may.
    #[error("key exhausted")]
    Exhausted,
}
