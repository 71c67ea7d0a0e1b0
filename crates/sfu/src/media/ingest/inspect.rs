//! What a codec says of a payload: properties for layers and rewriting, and what it tells of a key frame.

use super::key_frames::KeySign;
use crate::media::negotiated::PayloadCodec;
use crate::media::packet::Codec;
use rtp::av1::{Frame, Indication, Structure};

/// What a codec says of a payload: properties, and what it tells of a key frame. `structure`: of the stream, as its key
/// frames say it in the dependency descriptor.
pub(super) fn inspect(
    codec: PayloadCodec,
    payload: &[u8],
    descriptor: Option<&[u8]>,
    structure: &mut Option<Box<Structure>>,
) -> Option<(Codec, KeySign)> {
    let start = |starts| {
        if starts {
            KeySign::Start
        } else {
            KeySign::None
        }
    };
    Some(match codec {
        PayloadCodec::Vp8 => {
            let mut vp8 = rtp::vp8::Vp8::parse(payload).ok()?;
            // Where it sends the descriptor, Chromium leaves the temporal layer out of the payload.
            if vp8.temporal_id.is_none()
                && let Some(frame) = descriptor.and_then(|d| Frame::parse(d, structure).ok())
                && frame.targets > 0
            {
                vp8.temporal_id = Some(frame.temporal);
                let own = frame.best_target(0, frame.temporal);
                vp8.layer_sync = own.is_some_and(|t| frame.indication(t) == Indication::Switch);
            }
            (Codec::Vp8(vp8), start(vp8.key_frame))
        }
        PayloadCodec::Vp9 => {
            let vp9 = rtp::vp9::Vp9::parse(payload).ok()?;
            let key = vp9.key_frame() && vp9.start_of_frame && vp9.spatial_id == 0;
            (Codec::Vp9(vp9), start(key))
        }
        PayloadCodec::H264 => {
            let contents = rtp::h264::contents(payload);
            let sign = match (contents.parameters, contents.idr) {
                (true, _) if contents.slice => KeySign::Start,
                (true, _) => KeySign::Parameters,
                (false, true) => KeySign::Inside,
                (false, false) => KeySign::None,
            };
            (Codec::H264, sign)
        }
        PayloadCodec::Av1 => {
            // AV1 RTP specification, appendix A.8.2: a structure follows the mandatory fields of a key frame's first
            // packet. Senders without the descriptor tell by the payload.
            // What cannot be read is forwarded without, and receivers find their way by the payload.
            let frame = descriptor.and_then(|d| Frame::parse(d, structure).ok());
            let key = frame.map_or_else(
                || rtp::obu::starts_sequence(payload),
                |f| f.structure.is_some(),
            );
            (Codec::Av1(frame), start(key))
        }
        PayloadCodec::Opus | PayloadCodec::Red | PayloadCodec::Other => {
            (Codec::Opaque, KeySign::Start)
        }
    })
}
