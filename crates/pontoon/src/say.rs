//! Standard output: what was asked for goes there, and a reader that is gone or a full disk is a sentence, not a crash.

use std::fmt;
use std::io::Write as _;

use crate::failure::Failure;

/// Writes a line.
///
/// # Errors
/// When it could not be written. A command whose purpose the line was ends with that; a server goes on.
pub(crate) fn say(line: impl fmt::Display) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .map_err(|error| Failure::start(format!("standard output cannot be written: {error}")))
}

/// Writes what the operator should read while the server goes on.
pub(crate) fn announce(text: impl fmt::Display) {
    if let Err(failure) = say(text) {
        tracing::warn!("{}", failure.to_string().trim_end());
    }
}
