//! A wrapper whose contents never reach a log line by accident.

use std::fmt;

/// A secret or personal value: passwords, tokens, addresses of people, display names.
///
/// `Debug` and `Display` print `[redacted]`; the value itself is reached only through [`Redacted::expose`], which is easy to
/// find in a review.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(transparent)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Each call is a decision to let it out.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps the value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::Redacted;

    #[test]
    fn formatting_hides_the_value() {
        let secret = Redacted::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(secret)),
            "[redacted] [redacted] Some([redacted])"
        );
        assert_eq!(*secret.expose(), "hunter2");
    }
}
