//! XML in and out: a push reader with limits, whole documents, and the writer that always spells out `xmlns`.
//!
//! What may come in is the restricted XML of RFC 6120 section 11.1: no document type, no processing instructions, no
//! comments, no entities beyond the five of XML.

mod read;
mod write;

pub use read::{Reader, ReaderEvent, StreamHeader, parse};
pub use write::{escape_attr, escape_text, to_string, write};

/// What one stanza may use. A stanza over a limit ends its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one stanza, markup included.
    pub bytes: usize,
    /// Nesting of elements; the stanza itself is level 1.
    pub depth: usize,
    /// Elements in one stanza, itself included.
    pub elements: usize,
    /// Attributes of one element.
    pub attributes: usize,
}

impl Limits {
    /// For a peer that has not logged in yet.
    pub const UNAUTHENTICATED: Self = Self {
        bytes: 10_000,
        depth: 16,
        elements: 100,
        attributes: 32,
    };
    /// For a participant.
    pub const CLIENT: Self = Self {
        bytes: 256 * 1024,
        depth: 64,
        elements: 10_000,
        attributes: 128,
    };
    /// For the accounts of the system itself (focus, bridges).
    pub const SERVICE: Self = Self {
        bytes: 10 * 1024 * 1024,
        depth: 64,
        elements: 200_000,
        attributes: 128,
    };
}

/// Why input was refused. The stream it came on cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// Not well-formed, or not namespace-well-formed.
    #[error("XML is not well-formed")]
    NotWellFormed,
    /// A document type, processing instruction, comment or entity.
    #[error("XML uses a feature that XMPP forbids")]
    Restricted,
    /// Text or markup at a place where the stream has none.
    #[error("XML is not of the form expected here")]
    BadFormat,
    /// More bytes than [`Limits::bytes`].
    #[error("stanza is larger than allowed")]
    TooLarge,
    /// More levels than [`Limits::depth`].
    #[error("stanza is nested deeper than allowed")]
    TooDeep,
    /// More than [`Limits::elements`] or [`Limits::attributes`].
    #[error("stanza has more elements or attributes than allowed")]
    TooMany,
}
