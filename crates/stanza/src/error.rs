//! Stanza errors (RFC 6120 section 8.3).

use std::fmt;
use std::str::FromStr;

use minidom::Element;

use crate::{element, ns};

macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every value, in the order of the specification.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The spelling on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl FromStr for $name {
            type Err = UnknownValue;
            fn from_str(text: &str) -> Result<Self, UnknownValue> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(UnknownValue) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// A word that the specification does not define at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a value the specification defines here")]
pub struct UnknownValue;

wire_enum! {
    /// What the sender may do about the error (RFC 6120 section 8.3.2).
    ErrorType {
        /// Retry after providing credentials.
        Auth = "auth",
        /// Do not retry.
        Cancel = "cancel",
        /// It was only a warning.
        Continue = "continue",
        /// Retry after changing the data.
        Modify = "modify",
        /// Retry after waiting.
        Wait = "wait",
    }
}

wire_enum! {
    /// What went wrong (RFC 6120 section 8.3.3).
    Condition {
        /// Malformed request.
        BadRequest = "bad-request",
        /// A session or resource of that name exists already.
        Conflict = "conflict",
        /// Understood, not implemented.
        FeatureNotImplemented = "feature-not-implemented",
        /// No permission.
        Forbidden = "forbidden",
        /// The recipient has left for another address.
        Gone = "gone",
        /// A fault of the server.
        InternalServerError = "internal-server-error",
        /// No such item or JID.
        ItemNotFound = "item-not-found",
        /// An address that violates the format of JIDs.
        JidMalformed = "jid-malformed",
        /// Does not meet criteria the recipient defined.
        NotAcceptable = "not-acceptable",
        /// Nobody may do that.
        NotAllowed = "not-allowed",
        /// Log in first.
        NotAuthorized = "not-authorized",
        /// Violates a local policy (rate, size).
        PolicyViolation = "policy-violation",
        /// The recipient is not available at the moment.
        RecipientUnavailable = "recipient-unavailable",
        /// Ask there instead.
        Redirect = "redirect",
        /// Register first.
        RegistrationRequired = "registration-required",
        /// The remote server does not exist.
        RemoteServerNotFound = "remote-server-not-found",
        /// The remote server did not answer in time.
        RemoteServerTimeout = "remote-server-timeout",
        /// Busy or out of a resource.
        ResourceConstraint = "resource-constraint",
        /// Nobody there offers that service.
        ServiceUnavailable = "service-unavailable",
        /// Subscribe first.
        SubscriptionRequired = "subscription-required",
        /// None of the others.
        UndefinedCondition = "undefined-condition",
        /// Understood, but not at this time.
        UnexpectedRequest = "unexpected-request",
    }
}

impl Condition {
    /// The error type the specification associates with the condition.
    #[must_use]
    pub const fn default_type(self) -> ErrorType {
        match self {
            Self::BadRequest
            | Self::JidMalformed
            | Self::NotAcceptable
            | Self::PolicyViolation
            | Self::Redirect => ErrorType::Modify,
            Self::Forbidden
            | Self::NotAuthorized
            | Self::RegistrationRequired
            | Self::SubscriptionRequired => ErrorType::Auth,
            Self::RecipientUnavailable
            | Self::RemoteServerTimeout
            | Self::ResourceConstraint
            | Self::UnexpectedRequest => ErrorType::Wait,
            _ => ErrorType::Cancel,
        }
    }
}

/// The `<error>` of a stanza of type `error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender may do about it.
    pub error_type: ErrorType,
    /// What went wrong.
    pub condition: Condition,
    /// Who noticed (`by`), when that is not the sender of the error.
    pub by: Option<String>,
    /// Words for a person, in English.
    pub text: Option<String>,
    /// An application-specific condition: an element in a namespace of its own.
    pub application: Option<Box<Element>>,
}

impl StanzaError {
    /// An error with the type that the specification associates with `condition`.
    #[must_use]
    pub const fn new(condition: Condition) -> Self {
        Self {
            error_type: condition.default_type(),
            condition,
            by: None,
            text: None,
            application: None,
        }
    }

    /// The same error with another type.
    #[must_use]
    pub fn with_type(mut self, error_type: ErrorType) -> Self {
        self.error_type = error_type;
        self
    }

    /// The same error with words for a person.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same error, noticed by `by`.
    #[must_use]
    pub fn with_by(mut self, by: impl Into<String>) -> Self {
        self.by = Some(by.into());
        self
    }

    /// The same error with an application-specific condition.
    #[must_use]
    pub fn with_application(mut self, child: impl Into<Element>) -> Self {
        self.application = Some(Box::new(child.into()));
        self
    }

    /// The answer to `request`: same name and id, addresses exchanged, type `error`.
    ///
    /// It is the caller's part not to answer a stanza that is itself an error or, for an IQ, a result.
    #[must_use]
    pub fn reply_to(&self, request: &Element) -> Element {
        let mut reply = crate::iq::reply(request, "error");
        reply.append_child(self.into());
        reply
    }

    /// The error inside a stanza of type `error`. An unknown condition reads as `undefined-condition`.
    ///
    /// `None` when the stanza has no `<error>`.
    #[must_use]
    pub fn from_stanza(stanza: &Element) -> Option<Self> {
        stanza.get_child("error", ns::CLIENT).map(Self::from_error)
    }

    fn from_error(error: &Element) -> Self {
        let mut out = Self::new(Condition::UndefinedCondition);
        let mut text = None;
        for child in error.children() {
            if child.is("text", ns::STANZA_ERRORS) {
                text.get_or_insert_with(|| child.text());
            } else if child.has_ns(ns::STANZA_ERRORS) {
                out.condition = child.name().parse().unwrap_or(out.condition);
            } else if out.application.is_none() {
                out.application = Some(Box::new(child.clone()));
            }
        }
        out.text = text;
        out.by = error.attr("by").map(str::to_owned);
        out.error_type = error
            .attr("type")
            .and_then(|t| t.parse().ok())
            .unwrap_or_else(|| out.condition.default_type());
        out
    }
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> Self {
        Self::new(condition)
    }
}

impl From<&StanzaError> for Element {
    fn from(error: &StanzaError) -> Self {
        let mut out = element("error", ns::CLIENT)
            .attr("type", error.error_type.as_str())
            .attr_opt("by", error.by.as_deref())
            .child(element(error.condition.as_str(), ns::STANZA_ERRORS))
            .done();
        if let Some(text) = &error.text {
            out.append_child(element("text", ns::STANZA_ERRORS).text(text).done());
        }
        if let Some(child) = &error.application {
            out.append_child(Element::clone(child));
        }
        out
    }
}

impl From<StanzaError> for Element {
    fn from(error: StanzaError) -> Self {
        Self::from(&error)
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.as_str())?;
        if let Some(text) = &self.text {
            write!(f, " ({text})")?;
        }
        Ok(())
    }
}

impl std::error::Error for StanzaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_carry_condition_text_and_child_in_order() {
        let request = element("iq", ns::CLIENT)
            .attr("type", "set")
            .attr("id", "c1")
            .attr("to", "focus.example.com")
            .attr("from", "a@example.com/r")
            .child(element("conference", ns::FOCUS))
            .done();
        let reply = StanzaError::new(Condition::NotAcceptable)
            .with_text("no such session")
            .with_application(element("session-invalid", ns::FOCUS).done())
            .reply_to(&request);
        assert_eq!(reply.attr("type"), Some("error"));
        assert_eq!(reply.attr("id"), Some("c1"));
        assert_eq!(reply.attr("from"), Some("focus.example.com"));
        assert_eq!(reply.attr("to"), Some("a@example.com/r"));
        let error = reply.get_child("error", ns::CLIENT).expect("error");
        let names: Vec<_> = error.children().map(Element::name).collect();
        assert_eq!(names, ["not-acceptable", "text", "session-invalid"]);
        assert_eq!(error.attr("type"), Some("modify"));
    }

    #[test]
    fn every_condition_survives_the_wire() {
        for &condition in Condition::ALL {
            for &error_type in ErrorType::ALL {
                let error = StanzaError::new(condition)
                    .with_type(error_type)
                    .with_by("room@c");
                let stanza = element("message", ns::CLIENT)
                    .child(Element::from(&error))
                    .done();
                assert_eq!(StanzaError::from_stanza(&stanza), Some(error));
            }
        }
    }

    #[test]
    fn unknown_words_are_tolerated() {
        let stanza = element("iq", ns::CLIENT)
            .child(
                element("error", ns::CLIENT)
                    .attr("type", "odd")
                    .child(element("invented", ns::STANZA_ERRORS)),
            )
            .done();
        let error = StanzaError::from_stanza(&stanza).expect("error");
        assert_eq!(error.condition, Condition::UndefinedCondition);
        assert_eq!(error.error_type, ErrorType::Cancel);
        assert_eq!(
            StanzaError::from_stanza(&element("iq", ns::CLIENT).done()),
            None
        );
    }
}
