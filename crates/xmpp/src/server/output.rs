//! What the host is told to do.

use super::Server;
use crate::outgoing::Output;

/// Outputs for which there is room although none waits.
const OUTPUTS: usize = 256;

impl Server {
    /// What to do next, in order; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.core.outputs.pop_front();
        if next.is_none() {
            self.note_changes();
        }
        // What was said to a large room leaves a large queue behind.
        if next.is_none() && self.core.outputs.capacity() > OUTPUTS {
            self.core.outputs.shrink_to(OUTPUTS);
        }
        next
    }
}
