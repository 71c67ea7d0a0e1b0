//! What publishers send: each source is a [`Feed`] that takes packets, notes what is missing, knows its key frames and
//! what it can offer; the [`Floor`] knows who speaks. Nothing here knows who receives.

mod audio;
mod feed;
mod floor;
mod inspect;
mod key_frames;
mod key_requests;
mod layers;
mod loudness;
mod rates;
mod receive;
mod speakers;
mod taken;

pub(crate) use feed::Feed;
pub(crate) use floor::Floor;
#[cfg(test)]
pub(crate) use key_frames::{KeyFrames, KeySign};
pub(crate) use layers::Layer;
pub(crate) use loudness::Loudness;
pub(crate) use rates::{LayerRates, TEMPORAL_LAYERS};
pub(crate) use receive::ClockPoint;
pub(crate) use taken::Taken;
