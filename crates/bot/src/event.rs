//! What a bot tells.

/// What a bot tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// In the room, under this endpoint id.
    Joined(String),
    /// Somebody else came, or was there.
    OccupantJoined(String),
    /// Somebody else went.
    OccupantLeft(String),
    /// ICE and DTLS are done.
    Connected,
    /// The bridge channel is open.
    ChannelOpen,
    /// A message to all.
    Chat {
        /// Endpoint id of the sender.
        from: String,
        /// The text.
        text: String,
    },
    /// The dominant speaker.
    DominantSpeaker(String),
    /// A session was ended by the focus, which will offer another if `restart`.
    SessionEnded,
    /// A session that was connected beside another one has taken its place.
    Moved,
    /// Removed from the room, or refused.
    Out(String),
    /// The session cannot go on.
    Failed(String),
}
