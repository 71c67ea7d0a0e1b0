//! What the targets have in common: the check of what is written.

#[path = "../../crates/stanza/tests/kit/door.rs"]
pub mod door;
