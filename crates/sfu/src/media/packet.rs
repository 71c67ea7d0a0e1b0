//! What is said of packets on their way from a feed to receivers: plain values that all stages share.

use super::negotiated::PayloadCodec;
use super::spec::MediaKind;
use super::table::FeedId;
use rtp::RtpHeader;
use rtp::av1::Frame;
use rtp::ext::AudioLevel;
use rtp::vp8::Vp8;
use rtp::vp9::Vp9;

/// Names a stored packet for as long as the store still holds it. Ids grow in the order of arrival and wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PacketId(pub(super) u32);

impl PacketId {
    /// Whether it arrived after another one.
    pub(crate) fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) as i32 > 0
    }

    /// A name of nothing stored.
    #[cfg(test)]
    pub(crate) fn for_test(id: u32) -> Self {
        Self(id)
    }
}

/// What is known of a stored packet besides its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// Header as published: an RTX packet shows its original SSRC, number, payload type and payload.
    pub(crate) header: RtpHeader,
    /// Codec properties.
    pub(crate) codec: Codec,
    /// Video orientation (RTP header extension), if the packet had it.
    pub(crate) orientation: Option<u8>,
    /// Audio level byte, if the packet had it.
    pub(crate) audio_level: Option<u8>,
    /// Offset and length of the AV1 dependency descriptor in the packet; length 0 for none.
    pub(crate) descriptor: (u16, u16),
    /// The packet of sound right before this one, which may be sent again with it.
    pub(crate) before: Option<PacketId>,
}

/// Codec properties that layer choice and rewriting need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Of another codec: nothing to choose or rewrite.
    Opaque,
    /// H.264 (RFC 6184): nothing to rewrite.
    H264,
    /// AV1, and what its dependency descriptor says, where it has one.
    Av1(Option<Frame>),
    /// VP8 (RFC 7741).
    Vp8(Vp8),
    /// VP9 (RFC 9628).
    Vp9(Vp9),
}

impl Codec {
    /// Picture id (AV1: frame number) and how many bits it has, where the packet has one.
    pub(crate) fn picture_id(&self) -> Option<(u16, u32)> {
        let bits = |(id, long)| (id, if long { 15 } else { 7 });
        match self {
            Self::Vp8(vp8) => vp8.picture_id.map(bits),
            Self::Vp9(vp9) => vp9.picture_id.map(bits),
            Self::Av1(frame) => frame.map(|f| (f.number, 16)),
            Self::H264 | Self::Opaque => None,
        }
    }

    /// Spatial and temporal layer; zeros where there are none.
    pub(crate) fn layer(&self) -> (u8, u8) {
        match self {
            Self::Vp8(vp8) => (0, vp8.temporal_id.unwrap_or(0)),
            Self::Vp9(vp9) => (vp9.spatial_id, vp9.temporal_id),
            Self::Av1(frame) => frame.map_or((0, 0), |f| (f.spatial, f.temporal)),
            Self::H264 | Self::Opaque => (0, 0),
        }
    }

    /// TL0PICIDX; 0 where there is none.
    pub(crate) fn tl0(&self) -> u8 {
        match self {
            Self::Vp8(vp8) => vp8.tl0_pic_idx.unwrap_or(0),
            Self::Vp9(vp9) => vp9.tl0_pic_idx.unwrap_or(0),
            Self::H264 | Self::Av1(_) | Self::Opaque => 0,
        }
    }
}

/// A decrypted packet of a publisher, as its header reads; its payload follows in the same buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming {
    pub(crate) feed: FeedId,
    pub(crate) encoding: u8,
    pub(crate) record: Record,
    pub(crate) kind: MediaKind,
    pub(crate) codec: PayloadCodec,
    pub(crate) level: Option<AudioLevel>,
    /// It came as a retransmission.
    pub(crate) retransmitted: bool,
    /// Length of header and payload.
    pub(crate) len: usize,
}

/// A stored packet of an encoding, with its place in the encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    /// Unwrapped sequence number.
    pub(crate) seq: u64,
    /// Timestamp as received.
    pub(crate) timestamp: u32,
    /// In the store.
    pub(crate) id: PacketId,
}

/// What arrived on a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A packet of audio.
    Audio,
    /// A packet of video; with `key`, the newest key frame is known from its first packet on.
    Video { key: bool },
    /// A number of video that carries nothing (padding); there is no packet in the store.
    Gap,
}

/// One packet of a burst: what a publisher sent, before any receiver is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived {
    pub(crate) feed: FeedId,
    pub(crate) encoding: u8,
    pub(crate) what: Arrival,
    pub(crate) packet: Published,
    /// It ends its frame.
    pub(crate) marker: bool,
    /// Its place among what arrived.
    pub(crate) nth: u16,
}

/// How one packet leaves towards one receiver; its bytes are in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) id: PacketId,
    pub(crate) ssrc: u32,
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    pub(crate) picture_id: u16,
    pub(crate) tl0: u8,
    pub(crate) video: bool,
    /// Original sequence number: this is a retransmission on the RTX stream.
    pub(crate) osn: Option<u16>,
    /// Sound: how many of the packets before it are to be sent again with it.
    pub(crate) redundancy: u8,
    /// It ends what this receiver gets of its picture, although the sender's has more layers.
    pub(crate) ends: bool,
    /// AV1: by how much template ids are shifted, and the decode targets that are active from here on (0: as they are).
    pub(crate) templates: u8,
    pub(crate) active: u32,
}

/// What a probe of a receiver's line is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filler {
    /// A packet that was sent lately, on its RTX stream.
    Again(Outgoing),
    /// Nothing but padding on an RTX stream; `payload_type` is that of the media.
    Padding {
        ssrc: u32,
        seq: u16,
        timestamp: u32,
        payload_type: u8,
    },
}

/// A packet on its way to one receiver, with its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready<'a> {
    pub(crate) out: Outgoing,
    pub(crate) bytes: &'a [u8],
    pub(crate) record: &'a Record,
}
