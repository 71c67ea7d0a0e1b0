//! Conditions of stream errors (RFC 6120 section 4.9.3) and of SASL failures (section 6.5).

use std::fmt;
use std::str::FromStr;

use stanza::xml::XmlError;

macro_rules! conditions {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Its name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl FromStr for $name {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(()) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

conditions! {
    /// Why a stream ends with an error.
    StreamCondition {
        /// XML at a place where the stream has none.
        BadFormat = "bad-format",
        /// Another stream took the resource.
        Conflict = "conflict",
        /// The peer did not log in or answer in time.
        ConnectionTimeout = "connection-timeout",
        /// The host is served elsewhere now.
        HostGone = "host-gone",
        /// The host is not served here.
        HostUnknown = "host-unknown",
        /// No host in the stream header.
        ImproperAddressing = "improper-addressing",
        /// A fault of the server.
        InternalServerError = "internal-server-error",
        /// A namespace other than the stream's.
        InvalidNamespace = "invalid-namespace",
        /// Content before login.
        NotAuthorized = "not-authorized",
        /// XML is not well-formed.
        NotWellFormed = "not-well-formed",
        /// A limit on size, rate or attempts.
        PolicyViolation = "policy-violation",
        /// The server gives the connection up to spare itself.
        ResourceConstraint = "resource-constraint",
        /// XML features that XMPP forbids.
        RestrictedXml = "restricted-xml",
        /// Go to another host.
        SeeOtherHost = "see-other-host",
        /// The server stops.
        SystemShutdown = "system-shutdown",
        /// None of the others.
        UndefinedCondition = "undefined-condition",
        /// A feature was offered that the peer does not have.
        UnsupportedFeature = "unsupported-feature",
        /// A first-level element that is no stanza.
        UnsupportedStanzaType = "unsupported-stanza-type",
        /// A version other than 1.0.
        UnsupportedVersion = "unsupported-version",
    }
}

impl From<XmlError> for StreamCondition {
    fn from(error: XmlError) -> Self {
        match error {
            XmlError::Restricted => Self::RestrictedXml,
            XmlError::BadFormat | XmlError::Reserved => Self::BadFormat,
            XmlError::TooLarge | XmlError::TooDeep | XmlError::TooMany => Self::PolicyViolation,
            _ => Self::NotWellFormed,
        }
    }
}

conditions! {
    /// Why a login failed.
    SaslCondition {
        /// The peer gave up.
        Aborted = "aborted",
        /// The account is disabled.
        AccountDisabled = "account-disabled",
        /// TLS first.
        EncryptionRequired = "encryption-required",
        /// Not base64.
        IncorrectEncoding = "incorrect-encoding",
        /// May not act as somebody else.
        InvalidAuthzid = "invalid-authzid",
        /// Not a mechanism offered.
        InvalidMechanism = "invalid-mechanism",
        /// Not what the mechanism expects here.
        MalformedRequest = "malformed-request",
        /// Refused by the server's rules, as with a token that has expired. Not of the RFC, but what clients of this system
        /// know.
        NotAllowed = "not-allowed",
        /// Wrong password, or no such account.
        NotAuthorized = "not-authorized",
        /// Try again later.
        TemporaryAuthFailure = "temporary-auth-failure",
    }
}

/// A login that failed, as told to the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslFailure {
    /// Why.
    pub condition: SaslCondition,
    /// Words for the user.
    pub text: Option<String>,
}

impl From<SaslCondition> for SaslFailure {
    fn from(condition: SaslCondition) -> Self {
        Self {
            condition,
            text: None,
        }
    }
}
