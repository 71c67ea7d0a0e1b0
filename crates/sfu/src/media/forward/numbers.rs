//! Where the numbers of SSRCs stand that a receiver was sent once and may be sent again: they go on, however often the
//! source goes and comes. A number used twice under one key would break the cipher, and a receiver that keeps its SRTP
//! state and jitter buffer takes what goes back for old.

use std::collections::HashMap;

/// SSRCs remembered for one receiver. SRTP refuses more as well.
const MAX_REMEMBERED: usize = 16_384;

/// Where an outgoing stream stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// Newest sequence number.
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    /// When it was sent, microseconds.
    pub(crate) sent_at: u64,
    pub(crate) next_picture: u64,
    pub(crate) tl0: u8,
    /// The newest packet did not end its frame.
    pub(crate) open: bool,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Numbers(HashMap<u32, Standing>);

impl Numbers {
    pub(crate) fn get(&self, ssrc: u32) -> Option<&Standing> {
        self.0.get(&ssrc)
    }

    pub(crate) fn remember(&mut self, ssrc: u32, standing: Standing) {
        if self.0.len() < MAX_REMEMBERED || self.0.contains_key(&ssrc) {
            self.0.insert(ssrc, standing);
        }
    }
}
