//! Refusals that several requests have in common.

use stanza::colibri2::{ErrorAnswer, Reason};

use crate::media::ControlError;

/// The only SCTP port.
pub(super) const SCTP_PORT: u16 = 5000;

/// Something in a request is wrong.
pub(super) fn bad_request(text: impl Into<String>) -> ErrorAnswer {
    ErrorAnswer::plain("bad-request", text)
}

/// Something is asked for that this bridge does not do.
pub(super) fn not_implemented(text: &str) -> ErrorAnswer {
    ErrorAnswer::marked(
        "feature-not-implemented",
        Reason::FeatureNotImplemented,
        text,
    )
}

/// Why the media plane refuses something.
pub(super) fn control_error(error: ControlError) -> ErrorAnswer {
    let condition = match error {
        ControlError::Exists => "conflict",
        ControlError::SsrcConflict | ControlError::BadTransport => "bad-request",
        ControlError::Full => "resource-constraint",
        _ => "internal-server-error",
    };
    ErrorAnswer::plain(condition, error.to_string())
}
