//! Why the command ends with a code other than 0.

use std::fmt;

use config::ConfigError;

/// What is said on standard error before the command ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Mistakes in the configuration: code 2.
    Config(Vec<ConfigError>),
    /// Something the machine refuses, in one sentence: code 1.
    Start(String),
}

impl Failure {
    /// A refusal, in one sentence.
    pub(crate) fn start(sentence: impl fmt::Display) -> Self {
        Self::Start(sentence.to_string())
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Start(_) => 1,
        }
    }
}

impl From<Vec<ConfigError>> for Failure {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self::Config(errors)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.iter().try_for_each(|error| writeln!(f, "{error}")),
            Self::Start(sentence) => writeln!(f, "pontoon: {sentence}."),
        }
    }
}
