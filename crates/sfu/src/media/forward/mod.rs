//! What each receiver gets of what is published: [`Plan`] decides who gets what, [`Burst`] collects what arrived, and each
//! [`Receiver`] turns it into its own numbering. Nothing here knows how packets leave.

mod allocation;
mod asks;
mod audio;
mod audio_slot;
mod budget;
mod burst;
mod crossing;
mod fit;
mod history;
mod layering;
#[cfg(test)]
mod layering_tests;
mod numbers;
mod pictures;
mod plan;
mod protection;
mod receiver;
mod resend;
#[cfg(test)]
mod scalable_tests;
mod slot;
#[cfg(test)]
mod slot_tests;
mod stage;

pub(crate) use audio::AudioPlan;
pub(crate) use budget::Room;
pub(crate) use burst::{Burst, Pass};
pub(crate) use crossing::Crossing;
pub(crate) use plan::Plan;
pub(crate) use receiver::{Receiver, Ssrcs};
pub(crate) use stage::Stage;
