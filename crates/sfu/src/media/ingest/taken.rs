//! What became of a packet that a feed took.

use crate::media::packet::Arrived;
use smallvec::SmallVec;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) arrived: Arrived,
    /// Packets before it that had not come, and came with it as redundant audio; oldest first.
    pub(crate) restored: SmallVec<[Arrived; 2]>,
    /// A layer appeared, or its height became known.
    pub(crate) layers_changed: bool,
}

impl Taken {
    /// One packet, which changes nothing else.
    pub(super) fn one(arrived: Arrived) -> Self {
        Self {
            arrived,
            restored: SmallVec::new(),
            layers_changed: false,
        }
    }
}
