//! `tracing` to standard error, for people or as JSON.

use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people; coloured when standard error is a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err("must be \"human\" or \"json\""),
        }
    }
}

/// Libraries that would write each packet, or what people say, at the levels we use for events of a meeting. Directives of the
/// configuration stand after these and win where they name the same target.
const QUIET: &str = "dcsctp=error,dimpl=warn,is=warn,rustls=warn,hyper=warn,hyper_util=warn,h2=warn,tungstenite=warn";

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level (`info`) or `tracing` directives (`info,focus=debug`).
    pub filter: String,
    /// The look of a line.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Human,
        }
    }
}

/// Logging could not be set up.
#[derive(Debug, PartialEq, Eq)]
pub enum LogInitError {
    /// The filter does not parse; the text says where.
    Filter(String),
    /// A subscriber is installed already.
    AlreadySet,
}

impl std::fmt::Display for LogInitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Filter(why) => write!(f, "the log filter is not understood: {why}"),
            Self::AlreadySet => f.write_str("logging is set up already"),
        }
    }
}

impl std::error::Error for LogInitError {}

/// Checks a filter without installing anything.
///
/// # Errors
/// [`LogInitError::Filter`] when it does not parse.
pub fn check_filter(filter: &str) -> Result<(), LogInitError> {
    env_filter(filter).map(drop)
}

/// Installs the process-wide subscriber.
///
/// # Errors
/// [`LogInitError`] when the filter does not parse or a subscriber is installed already.
pub fn init(config: &LogConfig) -> Result<(), LogInitError> {
    let filter = env_filter(&config.filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Human => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    // Standard error on a full disk must not end the process, as writing about it there would.
                    .log_internal_errors(false)
                    .with_ansi(std::io::stderr().is_terminal()),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .log_internal_errors(false)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    }
    .map_err(|_already| LogInitError::AlreadySet)
}

fn env_filter(filter: &str) -> Result<EnvFilter, LogInitError> {
    // Alone first: an error must speak of what the operator wrote.
    EnvFilter::try_new(filter)
        .and_then(|_filter| EnvFilter::try_new(format!("{QUIET},{filter}")))
        .map_err(|error| LogInitError::Filter(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{LogInitError, check_filter, env_filter};

    #[test]
    fn foreign_libraries_are_quiet_unless_named() {
        let default = env_filter("debug").unwrap().to_string();
        assert!(default.contains("dcsctp=error"), "{default}");
        let named = env_filter("info,dcsctp=trace").unwrap().to_string();
        assert!(
            named.contains("dcsctp=trace") && !named.contains("dcsctp=error"),
            "{named}"
        );
    }

    #[test]
    fn filters() {
        assert_eq!(check_filter("info,focus=debug"), Ok(()));
        assert!(matches!(
            check_filter("focus=loud"),
            Err(LogInitError::Filter(_))
        ));
    }
}
