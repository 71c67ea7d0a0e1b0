//! What one conference shares with the others while it handles something.

use crate::bridges::Bridges;
use crate::config::FocusConfig;
use crate::features::CapsCache;
use crate::io::Io;

/// Everything a conference shares with the others.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a FocusConfig,
    pub(crate) io: &'a mut Io,
    pub(crate) bridges: &'a mut Bridges,
    pub(crate) caps: &'a mut CapsCache,
}
