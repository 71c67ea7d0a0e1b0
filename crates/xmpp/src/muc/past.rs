//! What a room remembers of what was said.

use crate::core::Body;

/// One message a late joiner gets.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) unix: u64,
    pub(super) body: Body,
}

/// The room's subject.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) text: String,
    pub(super) from: String,
    pub(super) unix: u64,
}
