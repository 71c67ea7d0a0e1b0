//! What one stanza may use, and why one was refused.

use minidom::rxml::{AttrMap, QName, XMLNS_XMLNS};

use super::write::{Count, is_reserved, start_tag};

/// How many times larger than it came a stanza may become when it is written: the longest escape takes six bytes for one,
/// and what real clients leave to inheritance takes fewer than four.
const GROWTH: usize = 8;
/// Growth that is always allowed, in bytes.
const ALWAYS: usize = 4096;

/// What one stanza may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one stanza, markup included, as they come.
    pub bytes: usize,
    /// Bytes of one stanza as [`write`](super::write()) spells it. Whatever the limit, it may not be more than eight times
    /// what came and 4 KiB.
    pub written: usize,
    /// Bytes of the name of an element or attribute, without its prefix.
    pub name: usize,
    /// Bytes of a namespace.
    pub namespace: usize,
    /// Nesting of elements; the stanza itself is level 1.
    pub depth: usize,
    /// Elements in one stanza, itself included.
    pub elements: usize,
    /// Attributes of one element.
    pub attributes: usize,
    /// Whether a stanza over a limit is passed over ([`ReaderEvent::Skipped`](super::ReaderEvent::Skipped)); otherwise it
    /// ends its stream.
    pub skip: bool,
}

impl Limits {
    /// For a peer that has not logged in yet: stream headers, SASL, the first request of a BOSH session.
    pub const UNAUTHENTICATED: Self = Self {
        bytes: 8 * 1024,
        written: 16 * 1024,
        name: 64,
        namespace: 128,
        depth: 8,
        elements: 32,
        attributes: 24,
        skip: false,
    };
    /// For a participant.
    pub const CLIENT: Self = Self {
        bytes: 256 * 1024,
        written: 512 * 1024,
        name: 256,
        namespace: 256,
        depth: 64,
        elements: 4_096,
        attributes: 64,
        skip: false,
    };
    /// For the accounts of the system itself (focus, bridges). One stanza fits into what the server keeps for a session.
    pub const SERVICE: Self = Self {
        bytes: 4 * 1024 * 1024,
        written: 6 * 1024 * 1024,
        name: 512,
        namespace: 512,
        depth: 80,
        elements: 100_000,
        attributes: 96,
        skip: true,
    };
    /// For whoever reads what a server writes: whatever any door accepts, and what the server adds to it.
    pub const FROM_SERVER: Self = Self {
        bytes: 8 * 1024 * 1024,
        written: 16 * 1024 * 1024,
        name: 1_024,
        namespace: 1_024,
        depth: 96,
        elements: 120_000,
        attributes: 128,
        skip: true,
    };

    /// Checks the start tag of an element and returns how much it and its end tag take when written. `parent` is the
    /// namespace of the element around it.
    pub(super) fn check_tag(
        &self,
        name: &QName,
        namespace: &str,
        attrs: &AttrMap,
        parent: Option<&str>,
    ) -> Result<usize, XmlError> {
        let local = name.1.as_str();
        let wrong_name = |name: &str| name.len() > self.name;
        let wrong_ns = |namespace: &str| namespace.len() > self.namespace;
        if wrong_name(local) || wrong_ns(name.0.as_str()) {
            return Err(XmlError::TooLarge);
        }
        if is_reserved(&name.0) {
            return Err(XmlError::Reserved);
        }
        if attrs.len() > self.attributes {
            return Err(XmlError::TooMany);
        }
        for ((namespace, name), _) in attrs.iter() {
            if wrong_name(name.as_str()) || wrong_ns(namespace.as_str()) {
                return Err(XmlError::TooLarge);
            }
            if namespace.as_str() == XMLNS_XMLNS {
                return Err(XmlError::Reserved);
            }
        }
        let mut size = Count::default();
        start_tag(local, namespace, attrs, parent, &mut size);
        Ok(size.0 + "></>".len() + local.len())
    }

    /// Checks how much a stanza takes when written, of which `came` bytes have come.
    pub(super) fn check_written(&self, written: usize, came: usize) -> Result<(), XmlError> {
        if written > self.written || written > came.saturating_mul(GROWTH).saturating_add(ALWAYS) {
            return Err(XmlError::TooLarge);
        }
        Ok(())
    }
}

/// Why input was refused. Unless its reader passes stanzas over, the stream it came on cannot go on.
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
    /// An element or attribute in a namespace that is XML's own.
    #[error("stanza uses a namespace that is reserved for XML itself")]
    Reserved,
    /// More bytes than [`Limits::bytes`], as it came or as it would be written, or too long a name or namespace.
    #[error("stanza is larger than allowed")]
    TooLarge,
    /// More levels than [`Limits::depth`].
    #[error("stanza is nested deeper than allowed")]
    TooDeep,
    /// More than [`Limits::elements`] or [`Limits::attributes`].
    #[error("stanza has more elements or attributes than allowed")]
    TooMany,
}

impl XmlError {
    /// A word for it, for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotWellFormed => "not-well-formed",
            Self::Restricted => "restricted-xml",
            Self::BadFormat => "bad-format",
            Self::Reserved => "reserved-namespace",
            Self::TooLarge => "too-large",
            Self::TooDeep => "too-deep",
            Self::TooMany => "too-many-parts",
        }
    }
}
