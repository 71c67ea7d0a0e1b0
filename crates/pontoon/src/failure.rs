//! Why the command ends with a code other than 0.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use config::ConfigError;

/// What is said on standard error before the command ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Mistakes in the configuration: code 2.
    Config(Vec<ConfigError>),
    /// Something the machine refuses, in one sentence: code 1.
    Start(String),
    /// An operator wants the process to be started again: code 3.
    Again,
}

impl Failure {
    /// A refusal, in one sentence.
    pub(crate) fn start(sentence: impl fmt::Display) -> Self {
        Self::Start(sentence.to_string())
    }

    /// A port that the media node or the signalling cannot have.
    pub(crate) fn port(what: &str, address: SocketAddr, error: &io::Error) -> Self {
        let port = address.port();
        Self::Start(match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "port {port} for {what} is taken by another program; stop it or choose another port"
                )
            }
            io::ErrorKind::PermissionDenied => {
                format!("port {port} for {what} needs root; choose a port above 1023")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!(
                    "this machine does not have the address {} for {what}",
                    address.ip()
                )
            }
            _ => format!("port {port} for {what} cannot be opened: {error}"),
        })
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Start(_) => 1,
            Self::Again => 3,
        }
    }
}

impl From<Vec<ConfigError>> for Failure {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self::Config(errors)
    }
}

impl From<bridge::StartError> for Failure {
    fn from(error: bridge::StartError) -> Self {
        match error {
            bridge::StartError::Bind { address, source } => {
                Self::port("media (UDP)", address, &source)
            }
            other => Self::start(other),
        }
    }
}

impl From<signalling::StartError> for Failure {
    fn from(error: signalling::StartError) -> Self {
        match error {
            signalling::StartError::Bind { address, source } => {
                Self::port("XMPP", address, &source)
            }
            other => Self::start(other),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.iter().try_for_each(|error| writeln!(f, "{error}")),
            Self::Start(sentence) => writeln!(f, "pontoon: {sentence}."),
            Self::Again => writeln!(f, "pontoon: ended as told, to be started again."),
        }
    }
}
