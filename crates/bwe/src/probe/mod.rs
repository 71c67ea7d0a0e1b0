//! Probes: when to ask the path for more, and what it answers.

mod clusters;
mod prober;

pub(crate) use clusters::Clusters;
pub(crate) use prober::{Limit, Prober};
