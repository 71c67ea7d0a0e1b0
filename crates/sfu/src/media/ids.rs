//! Names of conferences, endpoints and sources.

use std::fmt;
use std::sync::Arc;

/// Longest accepted endpoint id or source name, in bytes.
const MAX_NAME: usize = 128;

/// A conference on this bridge. Chosen by the caller (random), unique per bridge; written as hexadecimal in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConferenceId(pub u64);

impl fmt::Display for ConferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length (1 to 128 bytes); `None` if it does not fit.
            pub fn new(name: &str) -> Option<Self> {
                (!name.is_empty() && name.len() <= MAX_NAME).then(|| Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// An endpoint (participant) within its conference.
    EndpointId
}
name! {
    /// Another bridge, as bridges call each other.
    RelayId
}
name! {
    /// The name of a media source, for example `a1b2c3d4-v0`; unique within its conference.
    SourceName
}
