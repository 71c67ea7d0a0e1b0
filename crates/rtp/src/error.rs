//! Why bytes are no packet, and why a packet could not be written.

/// Why bytes are not the packet or descriptor they were taken for. Always the sender's fault; drop the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end before the structure does.
    #[error("truncated")]
    Truncated,
    /// The version field is not 2.
    #[error("version is not 2")]
    Version,
    /// The padding count is zero or larger than the room.
    #[error("bad padding count")]
    Padding,
    /// A field has a value its specification forbids.
    #[error("invalid field: {0}")]
    Invalid(&'static str),
    /// A packet, block or header extension of a kind that is not the one asked for.
    #[error("unexpected type")]
    UnexpectedType,
}

/// Why a packet could not be written. The caller's buffer or arguments are at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The output slice is too short.
    #[error("output buffer too small")]
    NoRoom,
    /// A value that the wire format cannot carry.
    #[error("value cannot be represented: {0}")]
    Unrepresentable(&'static str),
}
