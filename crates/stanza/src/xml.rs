//! XML in and out: a push reader with limits, whole documents, and the writer that always spells out `xmlns`.
//!
//! What may come in is the restricted XML of RFC 6120 section 11.1: no document type, no processing instructions, no
//! comments, no entities beyond the five of XML.
//!
//! What the writer makes of a stanza can be larger than the stanza was: it repeats namespaces that were inherited and
//! escapes what was not escaped. So limits count both sizes, and each peer that reads what the server writes has wider
//! limits than whoever it was accepted from: [`Limits::CLIENT`] < [`Limits::SERVICE`] < [`Limits::FROM_SERVER`].

mod limits;
mod read;
mod tree;
mod write;

pub use limits::{Limits, XmlError};
pub use read::{Reader, ReaderEvent, Skipped, StreamHeader, parse, root};
pub use write::{escape_attr, escape_text, to_string, write, written_len};
